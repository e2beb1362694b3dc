"""Frequencies of models in a population: the Dirichlet posterior and exceedance probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np


def variational(table: np.ndarray, prior: float, tol: float, max_iter: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """Dirichlet parameters and attributions that maximise the bound."""
    alpha = np.full(table.shape[1], prior + table.shape[0] / table.shape[1])
    for _ in range(max_iter):
        attribution = _softmax(table + _expected_log(alpha))
        new = prior + attribution.sum(0)
        change, alpha = np.abs(new - alpha).max(), new
        if change < tol:
            break
    return alpha, attribution


def free_energy(table: np.ndarray, prior: float, alpha: np.ndarray, attribution: np.ndarray) -> float:
    """Lower bound of the log evidence of a table of log evidences (S, M), in nats."""
    from scipy.special import gammaln, xlogy

    expected = _expected_log(alpha)
    fit = (attribution * (table + expected)).sum() - xlogy(attribution, attribution).sum()
    log_norm = lambda a: gammaln(a.sum()) - gammaln(a).sum()  # noqa: E731
    start = np.full(len(alpha), prior)
    return float(fit + log_norm(start) + ((start - alpha) * expected).sum() - log_norm(alpha))


def _expected_log(alpha: np.ndarray) -> np.ndarray:
    from scipy.special import digamma

    return digamma(alpha) - digamma(alpha.sum())


def _softmax(table: np.ndarray) -> np.ndarray:
    weight = np.exp(table - table.max(1, keepdims=True))
    return weight / weight.sum(1, keepdims=True)


def log_mean_exp(table: np.ndarray) -> np.ndarray:
    """Logarithm of the mean of the exponentials of each row."""
    top = table.max(1)
    return top + np.log(np.exp(table - top[:, None]).mean(1))


def exceedance(alpha: Any) -> np.ndarray:
    """Probability that each of a Dirichlet's frequencies is the largest, (M,), by quadrature.

    A Dirichlet draw is a set of independent gamma draws over their sum, so that the largest is that of the gammas:
    ``∫ pdf_k(t) Π_j cdf_j(t) dt``, which the trapezoid rule integrates over log t to rounding.

    Examples
    --------
    >>> exceedance([3.0, 1.0]).round(6).tolist()
    [0.875, 0.125]
    """
    from scipy.special import gammainc, gammainccinv, gammaincinv, gammaln

    alpha = np.asarray(alpha, float)
    out = np.empty(len(alpha))
    for k, a in enumerate(alpha):
        low, high = np.log(np.maximum([gammaincinv(a, 1e-18), gammainccinv(a, 1e-18)], 1e-300))
        t = np.linspace(low, high, 4001)
        others = gammainc(np.delete(alpha, k)[:, None], np.exp(t)).prod(0)
        out[k] = (np.exp(a * t - np.exp(t) - gammaln(a)) * others).sum() * (t[1] - t[0])
    return out / out.sum()
