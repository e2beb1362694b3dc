"""Ragged groups of people as plain lists of trials, and the same as a `Dataset`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence, Set
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pyem import Dataset, Model
from tests.oracle.case import Case, Trial

People = list[list[list[Trial]]]
"""For each person, blocks of trials."""

BLOCKS = (2, 1, 3, 2, 2)
"""Blocks of each person. Data of 5 people with 9 or 10 lanes and 11 or 12 trials share a compilation, which is what takes the
time here: the tests keep to this shape."""
LONGEST = 12
COLUMNS = {"subject": "subject", "block": "block", "trial": "trial"}


IN_FULL = {
    *("rw1a1b", "rlwm", "two_step", "bayes", "aif_bandit"),
    *("hgf", "dd_hyperbolic", "glm", "logit", "poisson"),
}
"""Models of every kind of state and response, of which everything is tested in the quick tests. Of all others these test the
likelihood against the oracle and missing values, and of those that are no `VARIANTS` of another the simulation and derivatives;
what layout and masks do with a model, and the statistical tests of its simulation, are then slow tests: they are properties of
the engine before they are the model's."""


def full(names: Sequence[str], quick: Set[str] = IN_FULL) -> list[Any]:
    """Names for tests of everything: these are slow except for the models in full, or the `quick` ones."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


COSTLY = {"lba", "rdm", "ddm_gonogo", "meta_d"}
"""Models whose likelihood takes long to compile: more than its value is tested by slow tests."""
VARIANTS = {
    *("rw2a1b", "rw3a1b", "fictive_mirrored", "ck", "pearce_hall", "kalman", "kalman_bonus", "ucb", "pvl_delta"),
    *("reward_punishment", "reward_punishment_lapse", "two_step_sarsa", "two_step_separate", "two_step_model_based"),
    *("go_nogo_rw", "go_nogo_bias", "go_nogo_pavlovian", "ddm_stimulus", "ultimatum_delta", "aif_reversal"),
    *("dd_exponential", "dd_quasi_hyperbolic", "dd_myerson_green", "dd_constant_sensitivity", "pd_hyperbolic"),
    *("sd_hyperbolic", "sd_parabolic", "sd_linear", "prospect_linear", "prospect_no_loss_aversion", "mean_variance"),
    *("effort_parabolic", "effort_linear", "effort_hyperbolic", "glm_decay", "logit_decay", "ordinal_probit"),
    *("sdt", "sdt_rating", "two_afc", "psychometric", "psychometric_normal", "thompson", "volatile_kalman_continuous"),
    *("ambiguity", "crra", "confirmation_bias", "bart", "ultimatum_fehr_schmidt"),
}
"""Models that are another of their file with other options, or another formula in its place, the other of which is tested by
the quick tests: their likelihoods are compared with the oracle's there, their derivatives and simulations by slow tests."""


def usual(names: Sequence[str]) -> list[Any]:
    """Names for tests of all models: these are slow for the costly ones and for the variants of others."""
    slow = COSTLY | VARIANTS
    return [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in names]


def draw_people(case: Case, seed: int, **settings: Any) -> People:
    """Five people with 1 to 3 blocks of 4 to 12 trials, with nothing missing."""
    rng = np.random.default_rng(seed)
    people = []
    for n_blocks in BLOCKS:
        # One of them has the longest block, so that the shape does not depend on chance.
        lengths = [LONGEST if not people and block == 0 else int(rng.integers(4, LONGEST)) for block in range(n_blocks)]
        people.append([_block(case.draw(rng, n, **settings), n) for n in lengths])
    return people


def _block(columns: dict[str, np.ndarray], n: int) -> list[Trial]:
    return [{name: plain(values[t]) for name, values in columns.items()} for t in range(n)]


def plain(value: np.ndarray) -> Any:
    """A vector as it is, a single number as one of Python."""
    return value if np.ndim(value) else value.item()


def with_missing(people: People, columns: Sequence[str], seed: int, share: float = 0.3) -> People:
    """The same with some values of `columns` missing, never on a person's first trial."""
    rng = np.random.default_rng(seed)
    people = copy.deepcopy(people)
    for person in people:
        for b, block in enumerate(person):
            for t, trial in enumerate(block):
                for name in columns:
                    if rng.random() < share and (b, t) != (0, 0):
                        trial[name] = None
    return people


def to_dataset(people: People, model: Model, labels: Sequence[Any] | None = None) -> Dataset:
    """A `Dataset` by way of a long table."""
    sizes = {name: np.size(value) for name, value in people[0][0][0].items() if np.ndim(value)}
    rows = []
    for s, person in enumerate(people):
        for b, block in enumerate(person):
            for t, trial in enumerate(block):
                row = {"subject": labels[s] if labels else s, "block": b, "trial": t}
                for name, value in trial.items():
                    if name not in sizes:
                        row[name] = np.nan if value is None else value
                    else:
                        cells = np.full(sizes[name], np.nan) if value is None else value
                        row |= {f"{name}{k}": cell for k, cell in enumerate(cells)}
                rows.append(row)
    return from_table(pd.DataFrame(rows), model, sizes)


def from_table(frame: pd.DataFrame, model: Model, sizes: dict[str, int]) -> Dataset:
    """A `Dataset` from a long table in which vectors have numbered columns."""
    return Dataset.from_frame(
        frame,
        **COLUMNS,
        columns={c: [f"{c}{k}" for k in range(sizes[c])] if c in sizes else c for c in model.columns},
        codes={name: range(n) for name, n in model.coded},
    )


def draw_x(model: Model, n: int, seed: int, spread: float = 1.5) -> np.ndarray:
    """Unconstrained parameters (n, P) around the typical ones."""
    mean, sd = model.typical
    return mean + spread * sd * np.random.default_rng(seed).normal(size=(n, model.n_params))


def named(model: Model, x: np.ndarray) -> dict[str, Any]:
    """Natural parameters of one person by name, for an oracle."""
    values, out, start = model.natural(x), {}, 0
    for parameter in model.parameters:
        stop = start + len(parameter.names)
        out[parameter.name] = float(values[start]) if parameter.size is None else values[start:stop]
        start = stop
    return out


def oracle(case: Case, model: Model, people: People, x: np.ndarray, **settings: Any) -> list[list[list[float]]]:
    """Log-probability of every trial of every block of every person."""
    return [
        [case.log_lik(named(model, x_one), block, **settings) for block in person]
        for x_one, person in zip(x, people, strict=True)
    ]


def totals(log_probs: list[list[list[float]]]) -> np.ndarray:
    """Log-likelihood of every person."""
    return np.array([sum(map(sum, person)) for person in log_probs])


def by_fives(function: Callable[..., Any], model: Model, data: Dataset, x: np.ndarray) -> list[Any]:
    """``function(model, data, x)`` of five people at a time, in the shape that is compiled already."""
    groups = [np.arange(start, start + 5) for start in range(0, data.n_subjects, 5)]
    return [function(model, data.select(group), x[group]) for group in groups]
