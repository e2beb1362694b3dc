"""The pyEM functions of the models of learning for oneself: letters for options, and reports of each trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyem.compat.adapt import Bundle, bundle
from pyem.compat.fields import (
    Fields,
    Values,
    by_person,
    inside,
    letters,
    numbers,
    people_of,
    refuse,
    seed_of,
    subject_values,
    whole,
)
from pyem.model.model import Model
from pyem.simulation.play import Simulation
from pyem.simulation.play import simulate as simulate_task
from pyem.task.designs import Design

LEAST_BETA = 1e-5
"""Smallest inverse temperature of simulated people."""


def two_options(factory: Callable[..., Model], desc: str, spec: dict[str, Any]) -> Bundle:
    """The functions of a model of choices between A and B that learns from one reward."""

    def fields(choices: Any, rewards: Any) -> Fields:
        return {"choice": letters("choices", choices, "AB"), "reward": numbers("rewards", rewards)}

    def report(values: Values, choices: Any, rewards: Any) -> dict[str, Any]:
        return {"choices": choices, "rewards": rewards, **learned(values, letters("choices", choices, "AB"))}

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
            Payments of A and B on every trial, (B, T, 2); else A pays 1 with probability .8 and B with .2.
        seed
            Whole number; without it NumPy's global generator decides.

        Returns
        -------
        dict
            ``params`` (S, P); ``choices`` "A" or "B", ``rewards``, ``choices_A``, ``PE``, ``nll`` (S, B, T); ``EV``
            (S, B, T+1, 2); ``ch_prob`` (S, B, T, 2).
        """
        given = None if outcomes is None else outcomes_given(outcomes, (nblocks, ntrials, 2))
        task = None if given is None else Design(payoffs={"reward": given[None]})
        people, values = played(factory(), within(factory(), params), nblocks, ntrials, seed, task)
        choices = by_person(people, "choice")
        return {
            "params": np.array(params, float),
            "choices": np.array(list("AB"), object)[choices],
            "rewards": by_person(people, "reward"),
            **stacked_reports([learned(v, c) for v, c in zip(values, choices, strict=True)]),
            "nll": np.stack([-v.log_lik for v in values]),
        }

    return learner(factory, desc, spec, fields, report, simulate)


def learner(factory: Callable[..., Model], desc: str, spec: Any, fields: Any, report: Any, simulate: Any) -> Bundle:
    """The functions of a learning model without options."""
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


def within(model: Model, params: Any) -> np.ndarray:
    """Parameters (S, P) of simulated people.

    Raises
    ------
    ValueError
        If a value is outside its range.
    """
    values = people_of(params, model.names)
    for k, parameter in enumerate(model.parameters):
        low, high = parameter.transform.bounds
        low = LEAST_BETA if parameter.name == "beta" else low
        bad = ~((values[:, k] >= low) & (values[:, k] <= high))
        words = f"{parameter.name.capitalize()} values out of bounds [{low:g}, {high:g}]"
        refuse(bad, values[:, k], parameter.name, words)
    return values


def learned(values: Values, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Reports of every trial: values, probabilities, choices of A, prediction errors."""
    assert values.log_probs is not None
    errors = {name.replace("prediction_error", "PE"): error for name, error in values.latents.items()}
    choices_a = np.where(chosen < 0, np.nan, chosen == 0)
    return {"EV": values.state, "ch_prob": np.exp(values.log_probs), "choices_A": choices_a, **errors}


def stacked_reports(each: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Stack the reports of all subjects, with the subject as the first axis."""
    return {name: np.stack([one[name] for one in each]) for name in each[0]}


def played(
    model: Model, params: Any, nblocks: int, ntrials: int, seed: int | None, task: Any = None
) -> tuple[Simulation, Sequence[Values]]:
    """Simulate people, and compute the model's values for each of them."""
    blocks, trials = whole("nblocks", nblocks), whole("ntrials", ntrials)
    people = simulate_task(model, inside(model, params), key=seed_of(seed), blocks=blocks, trials=trials, task=task)
    return people, subject_values(model, people, people.truth)


def outcomes_given(outcomes: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Check that outcomes have this shape.

    Raises
    ------
    ValueError
        If they have another one.
    """
    values = np.asarray(outcomes, float)
    if values.shape != shape:
        raise ValueError(
            f"outcomes has shape {values.shape}, but nblocks={shape[0]} and ntrials={shape[1]} ask for {shape}; make them agree"
        )
    return values
