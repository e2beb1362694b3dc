"""Patterns of the estimated parameters of a group: entries of its covariance, and its regression weights."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyem.population.group import Group


def covariance_pattern(group: Group, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mask (P, P) of the estimated entries of a group's covariance, and the given sds (P,); see `Population`.

    Raises
    ------
    ValueError
        If the group names a parameter that there is not.

    Examples
    --------
    >>> covariance_pattern(Group(common="t"), ["v", "t"])[1].tolist()
    [nan, 0.0]
    """
    index = {name: k for k, name in enumerate(names)}
    blocks = () if isinstance(group.covariance, str) else group.covariance
    asked = {"common": group.common, "sd": [name for name, _ in group.sd], "covariance": sum(blocks, ())}
    for word, wanted in asked.items():
        if unknown := [name for name in wanted if name not in index]:
            raise ValueError(f"{word} names {', '.join(map(repr, unknown))}, but the parameters are {', '.join(names)}")
    pattern = np.full((len(names), len(names)), group.covariance == "full") | np.eye(len(names), dtype=bool)
    for block in blocks:
        places = [index[name] for name in block]
        pattern[np.ix_(places, places)] = True
    held = np.full(len(names), np.nan)
    for name, value in (*((name, 0.0) for name in group.common), *group.sd):
        held[index[name]] = value
    estimated = np.isnan(held)
    return pattern & estimated[:, None] & estimated, held


def correlated_blocks(estimated: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Indices of the parameters in each block of correlated ones, from the mask (P, P) of estimated entries.

    Examples
    --------
    >>> correlated_blocks(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], bool))
    ((0, 2),)
    """
    blocks = {tuple(map(int, np.flatnonzero(row))) for row in estimated}
    return tuple(sorted(block for block in blocks if len(block) > 1))


def design_of(
    group: Group, names: list[str], covariates: Mapping[str, np.ndarray], n_subjects: int
) -> tuple[np.ndarray, np.ndarray]:
    """The design (S, K) of a group, a column of ones and the covariates, and the mask (K, P) of estimated weights.

    Raises
    ------
    ValueError
        If a covariate is unknown, constant or collinear with others, or shifts an unknown parameter.
    """
    columns, free = [np.ones(n_subjects)], [np.array([name not in group.without_mean for name in names])]
    for name, on in group.covariates:
        if name not in covariates:
            raise ValueError(
                f"there is no covariate {name!r} in the data (it has {', '.join(covariates) or 'none'}); "
                f"pass covariates=[{name!r}] when making the Dataset"
            )
        unknown = [parameter for parameter in on if parameter not in names]
        if unknown:
            raise ValueError(f"covariate {name!r} is to shift {unknown}, but the model has {', '.join(names)}")
        values = np.asarray(covariates[name], float)
        if np.ptp(values) == 0:
            raise ValueError(
                f"covariate {name!r} is {values[0]:g} for every subject; a constant has no effect, remove it"
            )
        columns.append(values - values.mean() if group.centred else values)
        free.append(np.array([not on or parameter in on for parameter in names]))
    design = np.stack(columns, axis=1)
    if not (group.covariates and group.centred):
        # Given values were checked where they were made.
        return design, np.stack(free)
    if n_subjects < design.shape[1] + 1:
        raise ValueError(
            f"{n_subjects} subjects are too few for the effects of {design.shape[1] - 1} covariates: at least "
            f"{design.shape[1] + 1} are needed; leave covariates out"
        )
    _, sizes, directions = np.linalg.svd(design / np.sqrt((design**2).mean(0)), full_matrices=False)
    if sizes[-1] < 1e-8 * math.sqrt(n_subjects):
        involved = [
            name for (name, _), part in zip(group.covariates, directions[-1, 1:], strict=True) if abs(part) > 1e-6
        ]
        raise ValueError(
            f"covariates {', '.join(map(repr, involved))} are collinear for these {n_subjects} subjects: one is a linear "
            "combination of the others, so that their effects cannot be told apart; remove one"
        )
    return design, np.stack(free)


@functools.lru_cache(maxsize=256)
def lower_entries(size: int, estimated: bytes) -> Any:
    """Row and column of the entries of a triangle; cached, as each iteration asks many times."""
    return np.nonzero(np.tril(np.frombuffer(estimated, bool).reshape(size, size)))
