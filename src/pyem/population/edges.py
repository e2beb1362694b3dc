"""Exact numerics of groups at the edge of their parameters: standard deviations of 0 and correlations of 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyem.population.posterior import Laplace


def determined(cov: np.ndarray, chol: np.ndarray, least: np.ndarray) -> np.ndarray:
    """(P,): whether a parameter varies but is determined by those before it in the Cholesky factor.

    A search keeps the factor from 0 in an order of its own, in which the last entry may be smaller than in this one. As many
    entries are therefore named as there are directions in which people do not vary.

    Parameters
    ----------
    cov, chol
        Covariance (P, P) of a group, and its Cholesky factor.
    least
        (P,): what is smaller does not vary.

    Examples
    --------
    >>> cov = np.array([[1.0, 30.0], [30.0, 900.0]]) + np.diag([1e-8, 0.0])
    >>> determined(cov, np.linalg.cholesky(cov), np.array([1.5e-4, 1.5e-4])).tolist()
    [False, True]
    """
    sd, left = np.sqrt(np.diag(cov)), np.diag(chol)
    out = (left < least) & (sd >= least)
    known = out | (sd < least)
    more = int((np.linalg.eigvalsh(cov / np.outer(least, least)) < 1).sum() - known.sum())
    out[np.argsort(np.where(known, np.inf, left / sd))[: max(more, 0)]] = True
    return out


def log_det_under(chol: np.ndarray, hess: np.ndarray) -> np.ndarray:
    """(S,): log-determinant of the group's precision minus the likelihoods' Hessians (S, P, P); NaN where there is none.

    That is the determinant of the precision, times that of by how much the data raise it: in their sum, what the data say is
    lost to rounding next to the precision of a narrow group.

    Examples
    --------
    >>> log_det_under(np.diag([1e-8]), np.array([[[-1.0]]])).round(6).tolist()
    [36.841361]
    """
    with np.errstate(invalid="ignore"):
        finite: Any = np.isfinite(hess).all((1, 2))
        raised = np.linalg.eigvalsh(np.eye(len(chol)) - chol.T @ np.where(finite[:, None, None], hess, 0.0) @ chol)
        regular: Any = finite & (raised > 0).all(1)
        log_det = np.log(np.where(regular[:, None], raised, 1.0)).sum(1) - 2 * np.log(np.diag(chol)).sum()
    return np.where(regular, log_det, np.nan)


def log_evidence_of(laplace: Laplace, log_prior: np.ndarray, chol: np.ndarray) -> np.ndarray:
    """(S,): log evidence under a Gaussian group with the Cholesky factor (P, P), exact also where that group is narrow."""
    if laplace.derivatives is None:
        return laplace.log_evidence(log_prior)
    log_det = log_det_under(chol, laplace.derivatives[1])
    regular = laplace.usable & np.isfinite(log_det)
    return laplace._replace(log_det=np.where(regular, log_det, laplace.log_det)).log_evidence(log_prior)
