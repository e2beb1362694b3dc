"""Groups at the edge of what they may be: standard deviations of 0 and correlations of 1, and what is numerically well there."""

from __future__ import annotations

import math

import numpy as np

from pyem.population.posterior import Laplace


def determined(cov: np.ndarray, chol: np.ndarray, least: np.ndarray) -> np.ndarray:
    """(P,): parameters that vary, but that those before them in the Cholesky factor determine.

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


def log_evidence_of(laplace: Laplace, log_prior: np.ndarray, chol: np.ndarray) -> np.ndarray:
    """(S,): log evidence under a Gaussian group with the Cholesky factor (P, P), as exact where that group is narrow.

    The determinant of the posterior's curvature is that of the group's precision, times that of how much the data add to it:
    in their sum, what the data say is lost to rounding next to the precision of a narrow group.
    """
    plain = laplace.log_evidence(log_prior)
    if laplace.derivatives is None:
        return plain
    hess = np.where(np.isfinite(laplace.derivatives[1]), laplace.derivatives[1], 0.0)
    added = np.linalg.eigvalsh(np.eye(len(chol)) - chol.T @ hess @ chol)
    regular = laplace.usable & (added > 0).all(1)
    log_det = np.log(np.where(regular[:, None], added, 1.0)).sum(1) - 2 * np.log(np.diag(chol)).sum()
    exact = laplace.log_lik + log_prior + 0.5 * len(chol) * math.log(2 * math.pi) - 0.5 * log_det
    return np.where(regular, exact, plain)
