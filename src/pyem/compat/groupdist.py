"""The four families of group distributions, by the names of the pyEM interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyem.population.group import FAMILIES, Group
from pyem.population.population import Population


def make_group(name: str | Group = "gaussian", df: float = 8.0) -> Group:
    """The group distribution that an M-step estimates.

    Parameters
    ----------
    name
        ``"gaussian"``, ``"laplace"``, ``"student_t"`` or ``"cauchy"``.
    df
        Degrees of freedom of the Student-t.

    Raises
    ------
    ValueError
        If there is no such family.

    Examples
    --------
    >>> make_group("student_t", df=5).df
    5.0
    """
    if isinstance(name, Group):
        return name
    if name not in FAMILIES:
        raise ValueError(f"mstep={name!r} is unknown; choose one of {', '.join(FAMILIES)}")
    return Group(name, df=df)  # type: ignore[arg-type]


def group_variance(population: Population) -> np.ndarray:
    """Variance of each parameter in the group, (P,); of a Cauchy group, which has none, the squared scale."""
    squared: Any = np.diag(population.cov).copy()
    group = population.group
    if group.family == "student_t" and group.df > 2:
        return squared * group.df / (group.df - 2)
    return squared
