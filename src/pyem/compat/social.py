"""The pyEM functions of the models of learning for oneself and for others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyem.compat.adapt import Bundle
from pyem.compat.bandits import learned, learner, outcomes_given, played, stacked_reports, within
from pyem.compat.fields import Fields, Values, by_person, letters, numbers, seed_of, whole
from pyem.model.model import Model
from pyem.task.designs import Design
from pyem.task.social import PAIRS, SIGNS, PairedBandit

RECIPIENTS = ("self", "other", "noone")


def three_recipients(factory: Callable[..., Model], desc: str, spec: dict[str, Any]) -> Bundle:
    """The functions of a model of choices between A and B that pay oneself, another person and no one."""

    def fields(choices: Any, rewards: Any) -> Fields:
        codes = letters("choices", choices, "AB")
        paid = {f"reward_{who}": _of_chosen(values, codes) for who, values in _by_recipient(rewards).items()}
        return {"choice": codes, **paid}

    def report(values: Values, choices: Any, rewards: Any) -> dict[str, Any]:
        paid = {f"rewards_{who}": one for who, one in _by_recipient(rewards).items()}
        counted = int((letters("choices", choices, "AB") >= 0).sum())
        more = {"BIC": len(values.params) * np.log(counted) + 2 * values.nll} if counted else {"BIC": np.nan}
        found = learned(values, letters("choices", choices, "AB"))
        return {"choices": choices, "rewards": rewards, **paid, **found, **more}

    def simulate(
        params: Any, nblocks: int = 9, ntrials: int = 16, outcomes: Any = None, seed: int | None = None
    ) -> dict[str, Any]:
        """Simulate people whose choices between A and B pay themselves, another person and no one.

        Parameters
        ----------
        params
            Natural parameters, (S, P).
        nblocks, ntrials
            Blocks, each of which starts afresh, and trials a block.
        outcomes
            Payments of A and B on every trial to oneself, another and no one, (B, T, 2, 3); else 0 or 1 with equal chances, the
            same for all people.
        seed
            Whole number; without it NumPy's global generator decides.

        Returns
        -------
        dict
            ``params`` (S, P); ``choices`` "A" or "B", ``choices_A``, ``PE_self, PE_other, PE_noone``, ``nll`` (S, B, T);
            ``rewards_self, rewards_other, rewards_noone`` of both options (B, T, 2), and ``rewards``, for each subject a dict
            of them; ``EV`` (S, B, T+1, 2); ``ch_prob`` (S, B, T, 2).
        """
        seed, shape = seed_of(seed), (nblocks, ntrials, 2, len(RECIPIENTS))
        if outcomes is None:
            outcomes = (np.random.default_rng(seed).random(shape) < 0.5).astype(float)
        given = outcomes_given(outcomes, shape)
        task = Design(payoffs={f"reward_{who}": given[None, ..., k] for k, who in enumerate(RECIPIENTS)})
        people, values = played(factory(), within(factory(), params), nblocks, ntrials, seed, task)
        choices = by_person(people, "choice")
        paid = {f"rewards_{who}": given[..., k].copy() for k, who in enumerate(RECIPIENTS)}
        return {
            "params": np.array(params, float),
            "choices": np.array(list("AB"), object)[choices],
            **paid,
            "rewards": [{name: one.copy() for name, one in paid.items()} for _ in choices],
            **stacked_reports([learned(v, c) for v, c in zip(values, choices, strict=True)]),
            "nll": np.stack([-v.log_lik for v in values]),
        }

    return learner(factory, desc, spec, fields, report, simulate)


def paired_options(factory: Callable[..., Model], desc: str, spec: dict[str, Any]) -> Bundle:
    """The functions of a model of choices within pairs of A-D that have outcomes for oneself and another."""

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
        chosen = letters("choices", choices, "ABCD")
        pairs = _pairs(option_pairs, chosen.shape)
        given = {"outcomes_self": outcomes_self, "outcomes_other": outcomes_other, "option_pairs": option_pairs}
        return {"choices": chosen, **given, **_paired_report(values, chosen, pairs)}

    def simulate(params: Any, nblocks: int = 12, ntrials: int = 20, seed: int | None = None) -> dict[str, Any]:
        """Simulate people who choose within pairs of four options that are good or bad for themselves and another person.

        Option A is good for both, B for oneself, C for the other, D for no one. A good one gives +1, 0 or -1 with
        probability .75, .15 and .10 (of 20 trials exactly 15, 3 and 2), a bad one the opposite.

        Parameters
        ----------
        params
            Natural parameters, (S, P).
        nblocks, ntrials
            Blocks, each of which starts afresh with a pair of its own (a multiple of the six pairs), and trials a block.
        seed
            Whole number; without it NumPy's global generator decides.

        Returns
        -------
        dict
            ``params`` (S, P); ``choices`` "A" to "D", ``outcomes_self, outcomes_other``, ``choices_A``, ``nll`` (S, B, T);
            ``option_pairs``, letters (S, B, T, 2); ``EV`` (S, B, T+1, 4); ``ch_prob`` (S, B, T, 4), 0 of what is not shown;
            ``pe_self, pe_other`` (S, B, T), and of these what is not negative, ``pe_self_pos``, and negative,
            ``pe_self_neg``, with 0 elsewhere.
        """
        if whole("nblocks", nblocks) % len(PAIRS):
            raise AssertionError(f"nblocks={nblocks} must be a multiple of the {len(PAIRS)} pairs")
        seed, people = seed_of(seed), within(factory(), params)
        size = (len(people), int(nblocks), whole("ntrials", ntrials))
        pairs, payoffs = _paired_design(np.random.default_rng(seed), size)
        shown = {name: pairs[..., side] for side, name in enumerate(("option_left", "option_right"))}
        simulated, values = played(factory(), people, nblocks, ntrials, seed, Design(shown=shown, payoffs=payoffs))
        chosen = np.take_along_axis(pairs, by_person(simulated, "choice")[..., None], axis=-1)[..., 0]
        names = np.array(list("ABCD"), object)
        return {
            "params": np.array(params, float),
            "choices": names[chosen],
            "outcomes_self": by_person(simulated, "outcome_self").astype(int),
            "outcomes_other": by_person(simulated, "outcome_other").astype(int),
            "option_pairs": names[pairs],
            **stacked_reports([_paired_report(*one) for one in zip(values, chosen, pairs, strict=True)]),
            "nll": np.stack([-v.log_lik for v in values]),
        }

    return learner(factory, desc, spec, fields, report, simulate)


def _paired_report(values: Values, chosen: np.ndarray, pairs: np.ndarray) -> dict[str, np.ndarray]:
    """Reports of every trial, with probabilities of all four options."""
    found = learned(values, chosen)
    everywhere = np.zeros((*chosen.shape, 4))
    np.put_along_axis(everywhere, pairs, found["ch_prob"], axis=-1)
    errors = {name.lower(): found.pop(name) for name in ("PE_self", "PE_other")}
    signed = {}
    for name, error in errors.items():
        signed |= {f"{name}_pos": np.where(error < 0, 0.0, error), f"{name}_neg": np.where(error >= 0, 0.0, error)}
    return {**found, "ch_prob": everywhere, **errors, **signed}


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
    """Payment of the chosen option (B, T), from the payments of both (B, T, 2); NaN where there was no choice."""
    if values.shape == codes.shape:
        return values
    if values.shape != (*codes.shape, 2):
        raise ValueError(
            f"rewards have shape {values.shape}; expected {(*codes.shape, 2)}, both options of every trial"
        )
    paid = np.take_along_axis(values, np.maximum(codes, 0)[..., None], axis=-1)[..., 0]
    return np.where(codes < 0, np.nan, paid)


def _paired_design(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Codes of the options on show (S, B, T, 2), one pair a block, and the payments of both to each recipient."""
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
