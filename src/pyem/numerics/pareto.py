"""Pareto smoothing of importance weights."""

from __future__ import annotations

import numpy as np

GOOD = 0.7
"""Pareto k up to which importance weights are usually trusted."""
ROUNDING = 1e-10
"""Difference of log ratios, relative to their size or to 1, up to which they count as equal."""


def pareto_smoothed(log_ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed, normalised log importance weights (draw, n) from log ratios (draw, n), and Pareto k (n,).

    The largest weights are replaced by quantiles of a generalised Pareto distribution fitted to them.

    References
    ----------
    Vehtari, A., Simpson, D., Gelman, A., Yao, Y., & Gabry, J. (2024). Pareto smoothed importance sampling. Journal of Machine
    Learning Research, 25(72), 1-58.

    Examples
    --------
    >>> weights, k = pareto_smoothed(np.random.default_rng(0).normal(size=(1000, 3)))
    >>> bool((k < 0.7).all())
    True
    """
    from scipy.special import logsumexp

    draws = len(log_ratio)
    out = log_ratio - log_ratio.max(0)
    n_tail = int(np.ceil(min(0.2 * draws, 3 * np.sqrt(draws))))
    if n_tail < 5:
        return out - logsumexp(out, axis=0), np.full(out.shape[1], np.inf)
    order = np.argsort(out, axis=0)
    tail = order[-n_tail:]
    cutoff = np.maximum(np.take_along_axis(out, order[-n_tail - 1][None], 0)[0], np.log(np.finfo(float).tiny))
    largest = np.take_along_axis(out, tail, 0)
    excess = np.exp(largest) - np.exp(cutoff)
    # Draws without any weight do not show whether those with weight differ.
    weighty = np.isfinite(log_ratio)
    size = np.where(weighty, np.abs(log_ratio), 0.0).max(0)
    spread = -np.where(weighty, out, 0.0).min(0) > ROUNDING * np.maximum(size, 1.0)
    some = (excess[-1] > 0) & spread
    k, sigma = generalized_pareto(np.where(some, excess, 1.0 + np.arange(n_tail)[:, None]))
    at = (np.arange(n_tail)[:, None] + 0.5) / n_tail
    with np.errstate(over="ignore", invalid="ignore"):
        quantile = np.where(np.abs(k) < 1e-12, -sigma * np.log1p(-at), sigma * np.expm1(-k * np.log1p(-at)) / k)
        smooth = np.minimum(np.log(quantile + np.exp(cutoff)), 0.0)
    usable = some & np.isfinite(k) & np.isfinite(smooth).all(0)
    np.put_along_axis(out, tail, np.where(usable, smooth, largest), 0)
    # All weights are equal, so there is nothing to smooth.
    k = np.where(some, k, -np.inf)
    return out - logsumexp(out, axis=0), k


def generalized_pareto(excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and scale (n,) of generalised Pareto distributions from sorted excesses (draw, n).

    The empirical Bayes estimate of Zhang & Stephens, with the shape drawn a little towards 0.5 for few draws.

    References
    ----------
    Zhang, J., & Stephens, M. A. (2009). A new and efficient estimation method for the generalized Pareto distribution.
    Technometrics, 51(3), 316-325. https://doi.org/10.1198/tech.2009.08017
    """
    n = len(excess)
    n_grid = 30 + int(np.sqrt(n))
    quarter = excess[int(n / 4 + 0.5) - 1]
    # Draws equal to the cutoff exceed it by 0: the smallest that exceeds it then stands for the quartile.
    quarter = np.where(quarter > 0, quarter, np.where(excess > 0, excess, np.inf).min(0))
    with np.errstate(over="ignore"):
        grid = (1 - np.sqrt(n_grid / (np.arange(1, n_grid + 1) - 0.5)))[:, None] / (3 * quarter)
    theta = grid + 1 / excess[-1]
    shape = np.empty_like(theta)
    for i, row in enumerate(theta):
        shape[i] = np.log1p(-row * excess).mean(0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        profile = n * (np.log(-theta / shape) - shape - 1)
        weight = 1 / np.exp(profile[None] - profile[:, None]).sum(1)
        keep = weight >= 10 * np.finfo(float).eps
        weight = np.where(keep, weight, 0.0)
        best = (theta * weight).sum(0) / weight.sum(0)
        k = np.log1p(-best * excess).mean(0)
        sigma = -k / best
    return (n * k + 5) / (n + 10), sigma
