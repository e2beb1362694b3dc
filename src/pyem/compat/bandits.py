"""The pyEM functions of the reinforcement-learning models: letters for options, and what is reported of each trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyem.compat.adapt import Bundle, bundle
from pyem.compat.fields import Fields, Values, by_person, inside, letters, numbers, seed_of, subject_values, whole
from pyem.model.model import Model
from pyem.simulation.play import Simulation
from pyem.simulation.play import simulate as simulate_task
from pyem.task.designs import Design
from pyem.task.social import PAIRS, SIGNS, PairedBandit

RECIPIENTS = ("self", "other", "noone")


def two_options(factory: Callable[..., Model], desc: str, spec: dict[str, Any]) -> Bundle:
    """``_sim, _fit, _model`` of a model of choices between A and B that learns from one reward."""

    def fields(choices: Any, rewards: Any) -> Fields:
        return {"choice": letters("choices", choices, "AB"), "reward": numbers("rewards", rewards)}

    def report(values: Values, choices: Any, rewards: Any) -> dict[str, Any]:
        return {"choices": choices, "rewards": rewards, **_learning(values, letters("choices", choices, "AB"))}

    def simulate(
        params: Any, nblocks: int = 3, ntrials: int = 24, outcomes: Any = None, seed: int | None = None
    ) -> dict[str, Any]:
        """Simulate people who choose between A and B and learn from their rewards.

        Parameters
        ----------
        params
            Natural parameters, (S, P).
        nblocks, ntrials
            Blocks, each of which starts afresh, and trials a block.
        outcomes
            What A and B pay on every trial, (B, T, 2); else A pays 1 with probability .8 and B with .2.
        seed
            Whole number; without it NumPy's global generator decides.

        Returns
        -------
        dict
            ``params`` (S, P); ``choices`` "A" or "B", ``rewards``, ``choices_A``, ``PE`` (S, B, T); ``EV`` (S, B, T+1, 2);
            ``ch_prob`` (S, B, T, 2); ``nll`` (S,).
        """
        given = None if outcomes is None else _given(outcomes, (nblocks, ntrials, 2))
        task = None if given is None else Design(payoffs={"reward": given[None]})
        people, values = played(factory(), params, nblocks, ntrials, seed, task)
        choices = by_person(people, "choice")
        return {
            "params": np.array(params, float),
            "choices": np.array(list("AB"), object)[choices],
            "rewards": by_person(people, "reward"),
            **_stacked([_learning(v, c) for v, c in zip(values, choices, strict=True)]),
            "nll": np.array([v.nll for v in values]),
        }

    return _bundle(factory, desc, spec, fields, report, simulate)


def three_recipients(factory: Callable[..., Model], desc: str, spec: dict[str, Any]) -> Bundle:
    """``_sim, _fit, _model`` of a model of choices between A and B that pay oneself, another person and no one."""

    def fields(choices: Any, rewards: Any) -> Fields:
        codes = letters("choices", choices, "AB")
        paid = {f"reward_{who}": _of_chosen(values, codes) for who, values in _by_recipient(rewards).items()}
        return {"choice": codes, **paid}

    def report(values: Values, choices: Any, rewards: Any) -> dict[str, Any]:
        return {"choices": choices, "rewards": rewards, **_learning(values, letters("choices", choices, "AB"))}

    def simulate(
        params: Any, nblocks: int = 3, ntrials: int = 24, outcomes: Any = None, seed: int | None = None
    ) -> dict[str, Any]:
        """Simulate people whose choices between A and B pay themselves, another person and no one.

        Parameters
        ----------
        params
            Natural parameters, (S, P).
        nblocks, ntrials
            Blocks, each of which starts afresh, and trials a block.
        outcomes
            What A and B pay on every trial to oneself, another and no one, (B, T, 2, 3); else 0 or 1 with equal chances.
        seed
            Whole number; without it NumPy's global generator decides.

        Returns
        -------
        dict
            ``params`` (S, P); ``choices`` "A" or "B", ``choices_A``, ``PE_self, PE_other, PE_noone`` (S, B, T); ``rewards``:
            for each subject a dict with ``rewards_self, rewards_other, rewards_noone`` of both options (B, T, 2); ``EV``
            (S, B, T+1, 2); ``ch_prob`` (S, B, T, 2); ``nll`` (S,).
        """
        seed, n = seed_of(seed), len(np.asarray(params))
        if outcomes is None:
            shape = (n, nblocks, ntrials, 2, len(RECIPIENTS))
            outcomes = (np.random.default_rng(seed).random(shape) < 0.5).astype(float)
        else:
            given = _given(outcomes, (nblocks, ntrials, 2, len(RECIPIENTS)))
            outcomes = np.broadcast_to(given, (n, *given.shape))
        task = Design(payoffs={f"reward_{who}": outcomes[..., k] for k, who in enumerate(RECIPIENTS)})
        people, values = played(factory(), params, nblocks, ntrials, seed, task)
        choices = by_person(people, "choice")
        return {
            "params": np.array(params, float),
            "choices": np.array(list("AB"), object)[choices],
            "rewards": [{f"rewards_{who}": one[..., k].copy() for k, who in enumerate(RECIPIENTS)} for one in outcomes],
            **_stacked([_learning(v, c) for v, c in zip(values, choices, strict=True)]),
            "nll": np.array([v.nll for v in values]),
        }

    return _bundle(factory, desc, spec, fields, report, simulate)


def paired_options(factory: Callable[..., Model], desc: str, spec: dict[str, Any]) -> Bundle:
    """``_sim, _fit, _model`` of a model of choices within pairs of A-D that have outcomes for oneself and another."""

    def fields(choices: Any, outcomes_self: Any, outcomes_other: Any, option_pairs: Any) -> Fields:
        chosen = letters("choices", choices, "ABCD")
        pairs = _pairs(option_pairs, chosen.shape)
        strange = (chosen >= 0) & (chosen[..., None] != pairs).all(-1)
        if strange.any():
            block, trial = np.argwhere(strange)[0]
            pair = " and ".join("ABCD"[k] for k in pairs[block, trial])
            raise ValueError(
                f"choices has {'ABCD'[chosen[block, trial]]!r} in block {block}, trial {trial}, but the pair was {pair}"
            )
        return {
            "option_left": pairs[..., 0],
            "option_right": pairs[..., 1],
            "choice": np.where(chosen < 0, -1, chosen == pairs[..., 1]),
            "outcome_self": numbers("outcomes_self", outcomes_self),
            "outcome_other": numbers("outcomes_other", outcomes_other),
        }

    def report(
        values: Values, choices: Any, outcomes_self: Any, outcomes_other: Any, option_pairs: Any
    ) -> dict[str, Any]:
        given = {"choices": choices, "outcomes_self": outcomes_self, "outcomes_other": outcomes_other}
        chosen = letters("choices", choices, "ABCD")
        return given | {"option_pairs": option_pairs, **_learning(values, chosen)}

    def simulate(params: Any, nblocks: int = 6, ntrials: int = 20, seed: int | None = None) -> dict[str, Any]:
        """Simulate people who choose within pairs of four options that are good or bad for themselves and another person.

        Option A is good for both, B for oneself, C for the other, D for no one. A good one gives +1, 0 or -1 with
        probability .75, .15 and .10 (of 20 trials exactly 15, 3 and 2), a bad one the opposite.

        Parameters
        ----------
        params
            Natural parameters, (S, P).
        nblocks, ntrials
            Blocks, each of which starts afresh with a pair of its own, and trials a block.
        seed
            Whole number; without it NumPy's global generator decides.

        Returns
        -------
        dict
            ``params`` (S, P); ``choices`` "A" to "D", ``outcomes_self, outcomes_other, choices_A, PE_self, PE_other``
            (S, B, T); ``option_pairs`` (S, B, 2); ``EV`` (S, B, T+1, 4); ``ch_prob`` of the pair's two options (S, B, T, 2);
            ``nll`` (S,).
        """
        seed, n = seed_of(seed), len(np.asarray(params))
        pairs, payoffs = _paired_design(np.random.default_rng(seed), (n, nblocks, ntrials))
        shown = {name: pairs[..., side] for side, name in enumerate(("option_left", "option_right"))}
        task = Design(shown=shown, payoffs=payoffs)
        people, values = played(factory(), params, nblocks, ntrials, seed, task)
        chosen = np.take_along_axis(pairs, by_person(people, "choice")[..., None], axis=-1)[..., 0]
        names = np.array(list("ABCD"), object)
        return {
            "params": np.array(params, float),
            "choices": names[chosen],
            "outcomes_self": by_person(people, "outcome_self"),
            "outcomes_other": by_person(people, "outcome_other"),
            "option_pairs": names[pairs[:, :, 0]],
            **_stacked([_learning(v, c) for v, c in zip(values, chosen, strict=True)]),
            "nll": np.array([v.nll for v in values]),
        }

    return _bundle(factory, desc, spec, fields, report, simulate)


def _bundle(factory: Callable[..., Model], desc: str, spec: Any, fields: Any, report: Any, simulate: Any) -> Bundle:
    return bundle(
        factory().name,
        module="pyem.models.rl",
        desc=desc,
        spec=spec,
        fields=fields,
        model=lambda subjects, n_params: factory(),
        report=report,
        simulate=simulate,
    )


def _learning(values: Values, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """What is reported of every trial: values, probabilities, choices of A, prediction errors."""
    assert values.log_probs is not None
    errors = {name.replace("prediction_error", "PE"): error for name, error in values.latents.items()}
    choices_a = np.where(chosen < 0, np.nan, chosen == 0)
    return {"EV": values.state, "ch_prob": np.exp(values.log_probs), "choices_A": choices_a, **errors}


def _stacked(each: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([one[name] for one in each]) for name in each[0]}


def _by_recipient(rewards: Any) -> dict[str, np.ndarray]:
    """Rewards of each recipient, from a dict or a 3-tuple."""
    if isinstance(rewards, Mapping):
        missing = [f"rewards_{who}" for who in RECIPIENTS if f"rewards_{who}" not in rewards]
        if missing:
            raise ValueError(f"rewards has no {', '.join(missing)}; it has {', '.join(map(str, rewards))}")
        return {who: np.asarray(rewards[f"rewards_{who}"], float) for who in RECIPIENTS}
    if len(rewards) != len(RECIPIENTS):
        raise ValueError(f"rewards has {len(rewards)} members; expected a dict, or three: {', '.join(RECIPIENTS)}")
    return {who: np.asarray(values, float) for who, values in zip(RECIPIENTS, rewards, strict=True)}


def _of_chosen(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """What the chosen option paid (B, T), from what both pay (B, T, 2); NaN where there was no choice."""
    if values.shape == codes.shape:
        return values
    if values.shape != (*codes.shape, 2):
        raise ValueError(
            f"rewards have shape {values.shape}; expected {(*codes.shape, 2)}, both options of every trial"
        )
    paid = np.take_along_axis(values, np.maximum(codes, 0)[..., None], axis=-1)[..., 0]
    return np.where(codes < 0, np.nan, paid)


def _paired_design(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Codes of the options on show (S, B, T, 2), one pair a block, and what both would pay to each recipient."""
    n, blocks, trials = shape
    # Everyone gets all six pairs, in an order of their own, before one comes again.
    order = rng.permuted(np.tile(np.arange(len(PAIRS)), (n, -(-blocks // len(PAIRS)), 1)), axis=-1)
    pairs = np.array(PAIRS)[order.reshape(n, -1)[:, :blocks]]
    task = PairedBandit(deck=20) if trials == 20 else PairedBandit()
    if task.deck:
        cards = rng.permuted(np.broadcast_to(np.repeat([1, 0, -1], task.cards), (n, blocks, 2, 2, trials)), axis=-1)
        cards = np.moveaxis(cards, -1, 2)
    else:
        cards = rng.choice([1, 0, -1], p=task.chances, size=(n, blocks, trials, 2, 2))
    paid = (cards * np.array(SIGNS)[pairs][:, :, None]).astype(float)
    everywhere = np.broadcast_to(pairs[:, :, None], (*shape, 2))
    return everywhere, {"outcome_self": paid[..., 0], "outcome_other": paid[..., 1]}


def _pairs(option_pairs: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Codes of the two options on show, (B, T, 2), from one pair a block (B, 2) or a trial (B, T, 2)."""
    array = np.asarray(option_pairs)
    codes = letters("option_pairs", array.reshape(-1, array.shape[-1]), "ABCD").reshape(array.shape)
    if codes.shape == (shape[0], 2):
        codes = np.broadcast_to(codes[:, None], (*shape, 2))
    if codes.shape != (*shape, 2):
        raise ValueError(
            f"option_pairs has shape {codes.shape}; expected a pair for each block {(shape[0], 2)} or trial {(*shape, 2)}"
        )
    return codes


def played(
    model: Model, params: Any, nblocks: int, ntrials: int, seed: int | None, task: Any = None
) -> tuple[Simulation, Sequence[Values]]:
    """Simulated people, and what the model gives for each of them."""
    blocks, trials = whole("nblocks", nblocks), whole("ntrials", ntrials)
    people = simulate_task(model, inside(model, params), key=seed_of(seed), blocks=blocks, trials=trials, task=task)
    return people, subject_values(model, people, people.truth)


def _given(outcomes: Any, shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(outcomes, float)
    if values.shape != shape:
        raise ValueError(
            f"outcomes has shape {values.shape}, but nblocks={shape[0]} and ntrials={shape[1]} ask for {shape}; make them agree"
        )
    return values
