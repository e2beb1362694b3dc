"""Intervals of positive quantities that have no upper limit, as where data say nothing on how much people differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyem.model.parameter import Parameter
from pyem.model.transform import Positive

FACTOR = 1000.0
"""Ratio of an end to the estimate above which the interval has none there: data that allow it inform nothing."""


def open_ended(estimate: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Ends of intervals that are symmetric for the logarithm: from 0 to infinity where they are wider than data can inform.

    Both ends are as far away, so that a far one says the same of the other. A missing end stays missing.

    Examples
    --------
    >>> low, high = open_ended(2.0, np.array([0.5, 2e-33]), np.array([8.0, 2e33]))
    >>> low.tolist(), high.tolist()
    ([0.5, 0.0], [8.0, inf])
    """
    with np.errstate(invalid="ignore", over="ignore"):
        wide = np.asarray(high) > FACTOR * np.asarray(estimate)
    low, high = np.where(wide, 0.0, low), np.where(wide, np.inf, high)
    return low[()], high[()]


def positive(parameters: Sequence[Parameter]) -> np.ndarray:
    """(P,): whether each value is above 0 and has no upper bound."""
    return np.array([isinstance(one.transform, Positive) for one in parameters for _ in one.names])


def natural_ends(
    parameters: Sequence[Parameter], estimate: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of natural values (..., P), which have no upper limit where parameters have none and data do not tell."""
    here, (near, far) = positive(parameters), open_ended(estimate, low, high)
    return np.where(here, near, low), np.where(here, far, high)
