"""Starting points of searches, and comparison of the results of several starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import list_of, require_whole
from pyem.infer.ez_starts import ez_start
from pyem.model.model import Model
from pyem.numerics.rng import generator
from pyem.population.posterior import Laplace
from pyem.results.fit import is_fit

MOST_STARTS = 10_000
SAME = 1e-3
"""Nats within which two starts are taken to have found the same maximum."""


def first_guess(model: Model, data: Dataset, start: Any) -> np.ndarray | None:
    """Unconstrained parameters (S, P) from an array of natural values, another fit, or by name; None if nothing is given.

    Raises
    ------
    ValueError
        If there is not one row for each subject and one column for each parameter, or a value is out of range.
    """
    if start is None:
        return None
    if isinstance(start, str):
        if start != "ez":
            raise ValueError(f"start={start!r}; the one that has a name is 'ez', of diffusion decision models")
        start = ez_start(model, data)
    shape = (data.n_subjects, model.n_params)
    if is_fit(start):
        if start.model.names != model.names or start.x.shape != shape:
            raise ValueError(
                f"start is a fit of {start.model.name!r} with the parameters {', '.join(start.model.names)} to "
                f"{len(start.x)} subjects, but {model.name!r} with {', '.join(model.names)} is fitted to {shape[0]}; give a "
                "fit of the same parameters and subjects, or an array of natural values"
            )
        return np.where(np.isfinite(start.x), model.from_units(start.x), model.typical[0])
    values = np.asarray(start, float)
    if values.shape != shape:
        raise ValueError(
            f"start has shape {values.shape}; natural values of {shape[0]} subjects and {shape[1]} parameters "
            f"({', '.join(model.names)}) are expected, or another fit"
        )
    return model.unconstrained(values)


def plain_start(start: Any) -> np.ndarray | str | None:
    """Convert a `start` as in `first_guess` to natural values (S, P) or a name, for the settings of a fit."""
    if start is None or isinstance(start, str):
        return start
    return start.model.natural(start.x) if is_fit(start) else np.array(start, float)


def starting_points(
    model: Model, data: Dataset, start: Any, starts: int, key: Any, middle: np.ndarray | None = None
) -> list[np.ndarray]:
    """`starts` points (S, P): what is given, or `middle` (by default the typical parameters), and random ones around that.

    Raises
    ------
    ValueError
        If `starts` is not a whole number from 1 to 10,000.
    """
    require_whole(starts=(starts, 1))
    if starts > MOST_STARTS:
        raise ValueError(f"starts={starts}; more than {MOST_STARTS} starting points find nothing new: give fewer")
    typical, sd = model.typical
    given = first_guess(model, data, start)
    shape = (data.n_subjects, model.n_params)
    first = np.broadcast_to(typical if middle is None else middle, shape).copy() if given is None else given
    rng = generator(key)
    return [first, *(first + 1.5 * sd * draw for draw in rng.normal(size=(starts - 1, *shape)))]


def spread_points(model: Model, n: int, n_subjects: int, key: Any) -> list[np.ndarray]:
    """`n` points (S, P), the same for everybody, that lie evenly in the ranges of the parameters.

    Where a range has no end, they are within some sds of a typical population.
    """
    rng = generator(key)
    shares = (rng.permuted(np.tile(np.arange(n), (model.n_params, 1)), axis=1).T + rng.random((n, model.n_params))) / n
    low, high = np.array([one.transform.bounds for one in model.parameters for _ in one.names]).T
    mean, sd = model.typical
    wide = mean + 2 * sd * rng.normal(size=shares.shape)
    closed = np.isfinite(high - low)
    low, high = np.where(closed, low, 0.0), np.where(closed, high, 1.0)
    inside = np.where(closed, low + (high - low) * np.clip(shares, 1e-6, 1 - 1e-6), model.natural(wide))
    x = np.where(closed, model.unconstrained(inside), wide)
    return list(np.repeat(x[:, None], n_subjects, axis=1))


def better(a: Laplace, b: Laplace, gain: np.ndarray) -> Laplace:
    """Choose, for each person, the second of two results where that is a `gain` (S,), in nats."""
    take = gain > 1e-9
    pick = lambda one, other: np.where(take.reshape(-1, *[1] * (one.ndim - 1)), other, one)  # noqa: E731
    return Laplace(*(pick(one, other) for one, other in zip(a, b, strict=True)))


def gain_of(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """(S,): gain from one value to another; a value of minus infinity says that there is none."""
    known = np.isfinite(before)
    return np.where(known, now - np.where(known, before, 0.0), np.where(np.isfinite(now), np.inf, 0.0))


def disagreement(values: np.ndarray, data: Dataset) -> list[str]:
    """Warn of people whose best value, out of several starts (start, S), was found from only one of them."""
    if len(values) < 2:
        return []
    values = np.where(np.isfinite(values), values, -np.inf)
    best = values.max(0)
    with np.errstate(invalid="ignore"):
        found = (values >= best - SAME).sum(0)
    alone = np.isfinite(best) & (found == 1)
    if not alone.any():
        return []
    named = list_of(data.subjects[alone].tolist())
    return [
        f"{len(values)} starts disagree for {int(alone.sum())} of {len(best)} subjects ({named}): the best maximum was found "
        "from one of them only, and there may be a better one; raise starts"
    ]
