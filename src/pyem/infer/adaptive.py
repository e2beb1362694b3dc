"""Adaptive importance sampling: draws of a few parameters whose density is cheap to evaluate, many at a time."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pyem.engine.nodes import log_sum
from pyem.infer.group_posterior import Density
from pyem.numerics.lattice import normal_and_t, quasi_random
from pyem.numerics.pareto import pareto_smoothed
from pyem.numerics.student_t import log_t

DF = 6.0
"""Degrees of freedom of the proposals."""
WIDER = 1.1
"""Covariance of a proposal, as a multiple of the covariance of the draws so far."""
SIZES = (256, 256, 1024)
"""Number of draws in each of the first rounds."""
MORE = 1024
"""Number of draws in each further round."""
ROUNDS = 7
"""Largest number of rounds."""
ENOUGH = 500
"""Number of effective draws at which the rounds stop."""


class Weighted(NamedTuple):
    """Weighted draws."""

    v: np.ndarray
    """Coordinates of the draws, (D, G)."""
    weight: np.ndarray
    """Smoothed importance weights (D,), which add to 1."""
    pareto_k: float
    """Pareto k of the weights; above 0.7 the proposal does not cover the density."""
    effective: float
    """Number of independent draws that they are worth."""
    log_total: float
    """Log of the integral of the density."""
    error: float
    """Monte-Carlo standard error of `log_total`."""


def adaptive_importance(
    density: Density, mean: np.ndarray, cov: np.ndarray, *, seed: int, enough: float = ENOUGH
) -> Weighted:
    """Draws from a density by importance, from Student-t distributions that learn its mean and covariance.

    Draws of all rounds are weighted as if they came from the mixture of all proposals.

    References
    ----------
    Cornuet, J.-M., Marin, J.-M., Mira, A., & Robert, C. P. (2012). Adaptive multiple importance sampling. Scandinavian
    Journal of Statistics, 39(4), 798-812. https://doi.org/10.1111/j.1467-9469.2011.00756.x
    """
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    v, values = np.empty((0, len(mean))), np.empty(0)
    sizes: list[int] = []
    for r in range(ROUNDS):
        sizes.append(SIZES[r] if r < len(SIZES) else MORE)
        parts.append((mean, np.linalg.cholesky(WIDER * cov + 1e-8 * np.eye(len(mean)))))
        new = _draws(*parts[-1], sizes[-1], seed + r)
        v, values = np.concatenate([v, new]), np.concatenate([values, density(new)])
        found = _weighted(v, values, parts, sizes)
        if r + 1 >= len(SIZES) and found.effective >= enough and found.pareto_k < 0.7:
            break
        mean = found.weight @ v
        cov = ((v - mean).T * found.weight) @ (v - mean)
    return found


def _draws(mean: np.ndarray, chol: np.ndarray, n: int, seed: int) -> np.ndarray:
    return mean + normal_and_t(quasi_random(n, len(mean) + 1, seed), DF)[1] @ chol.T


def _weighted(
    v: np.ndarray, values: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]], sizes: list[int]
) -> Weighted:
    n = len(v)
    each = [_log_density(v, *part) + math.log(size / n) for part, size in zip(parts, sizes, strict=True)]
    ratio = values - log_sum(np.stack(each, axis=-1))
    ratio = np.where(np.isnan(ratio), -np.inf, ratio)
    smooth, k = pareto_smoothed(ratio[:, None])
    weight = np.exp(smooth[:, 0])
    log_total = float(log_sum(ratio) - math.log(n))
    raw = np.exp(ratio - ratio.max())
    error = math.sqrt(max((raw**2).sum() / raw.sum() ** 2 - 1 / n, 0.0))
    return Weighted(v, weight / weight.sum(), float(k[0]), float(1 / (weight**2).sum()), log_total, error)


def _log_density(v: np.ndarray, mean: np.ndarray, chol: np.ndarray) -> np.ndarray:
    z = np.linalg.solve(chol, (v - mean).T)
    return log_t((z**2).sum(0), DF, len(mean)) - np.log(np.diag(chol)).sum()
