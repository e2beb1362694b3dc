"""Comparison of estimated with true parameters."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class RecoveryResult:
    """True against estimated parameters.

    Parameters
    ----------
    corr
        Pearson correlation of each parameter, (P,); NaN where one of the two does not vary.
    rmse
        Root mean squared error of each parameter, (P,).
    est_params
        The estimates, (S, P).
    """

    corr: np.ndarray
    rmse: np.ndarray
    est_params: np.ndarray


def parameter_recovery(true_params: Any, est_params: Any) -> RecoveryResult:
    """Compare true with estimated parameters, (S, P) each.

    Raises
    ------
    ValueError
        If their shapes differ.

    Examples
    --------
    >>> recovery = parameter_recovery([[1.0], [2.0], [3.0]], [[1.5], [2.5], [3.5]])
    >>> recovery.corr.round(3), recovery.rmse
    (array([1.]), array([0.5]))
    """
    true, estimated = (_table(values) for values in (true_params, est_params))
    if true.shape != estimated.shape:
        raise ValueError(f"true_params has shape {true.shape}, but est_params {estimated.shape}; expected the same")
    a, b = true - true.mean(0), estimated - estimated.mean(0)
    scale = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    corr = np.divide((a * b).sum(0), scale, out=np.full(len(scale), np.nan), where=scale > 0)
    return RecoveryResult(corr, np.sqrt(((true - estimated) ** 2).mean(0)), estimated)


def _table(values: Any) -> np.ndarray:
    array = np.asarray(values, float)
    return array[:, None] if array.ndim == 1 else array
