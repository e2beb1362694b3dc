"""The pyEM functions of the reinforcement-learning models: letters for options, and what is reported of each trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyem.core.adapt import Fields, FitFunction, SimFunction, Values, bundle, letters, numbers, seed_of, subject_values
from pyem.core.modelspec import ModelSpec
from pyem.model import Model
from pyem.simulation import Simulation
from pyem.simulation import simulate as simulate_task

Bundle = tuple[SimFunction, FitFunction, ModelSpec]


def two_options(factory: Callable[..., Model], desc: str, spec: dict[str, Any]) -> Bundle:
    """``_sim, _fit, _model`` of a model of choices between A and B that learns from one reward."""

    def fields(choices: Any, rewards: Any) -> Fields:
        return {"choice": letters("choices", choices, "AB"), "reward": numbers(rewards)}

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
        people, values = played(factory(), params, nblocks, ntrials, seed)
        choices, rewards = by_person(people, "choice"), by_person(people, "reward")
        shown = [_learning(v, c) for v, c in zip(values, choices, strict=True)]
        return {
            "params": np.asarray(params, float),
            "choices": np.array(list("AB"), object)[choices],
            "rewards": rewards,
            **{name: np.stack([one[name] for one in shown]) for name in shown[0]},
            "nll": np.array([v.nll for v in values]),
        }

    return bundle(
        factory().name,
        module=factory.__module__,
        desc=desc,
        spec=spec,
        fields=fields,
        model=lambda subjects, n_params: factory(),
        report=report,
        simulate=simulate,
    )


def _learning(values: Values, choices: np.ndarray) -> dict[str, np.ndarray]:
    assert values.log_probs is not None
    return {
        "EV": values.state,
        "ch_prob": np.exp(values.log_probs),
        "choices_A": (choices == 0).astype(float),
        "PE": values.latents["prediction_error"],
    }


def played(
    model: Model, params: Any, nblocks: int, ntrials: int, seed: int | None, task: Any = None
) -> tuple[Simulation, Sequence[Values]]:
    """Simulated people, and what the model gives for each of them."""
    people = simulate_task(model, params, key=seed_of(seed), blocks=nblocks, trials=ntrials, task=task)
    return people, subject_values(model, people, people.truth)


def by_person(people: Simulation, name: str) -> np.ndarray:
    """A column of a simulation, (S, B, T, ...)."""
    lanes = np.moveaxis(people.fields[name], -1, 0)
    return lanes.reshape(people.n_subjects, -1, *lanes.shape[1:])
