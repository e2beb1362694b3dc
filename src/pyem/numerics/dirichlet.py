"""Frequencies of models in a population: the Dirichlet posterior and exceedance probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np


def variational(
    table: np.ndarray, prior: Any, tol: float, max_iter: int = 10_000, share: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Dirichlet parameters and attributions that maximise the bound.

    Parameters
    ----------
    table
        Log evidences (S, M), in nats.
    prior
        Parameters of the Dirichlet prior, one number or (M,).
    share
        Family of each model, (M,), where all families are equally frequent, and only the models within them are learnt.
    """
    prior = np.broadcast_to(np.asarray(prior, float), table.shape[1:])
    alpha = prior + table.shape[0] / table.shape[1]
    attribution = np.empty_like(table)
    for _ in range(max_iter):
        attribution = softmax(table + _expected_log(alpha, share))
        new = prior + attribution.sum(0)
        change, alpha = np.abs(new - alpha).max(), new
        if change < tol:
            break
    return alpha, attribution


def free_energy(
    table: np.ndarray, prior: Any, alpha: np.ndarray, attribution: np.ndarray, share: np.ndarray | None = None
) -> float:
    """Lower bound of the log evidence of a table of log evidences (S, M), in nats; arguments as for `variational`."""
    from scipy.special import gammaln, xlogy

    expected = _expected_log(alpha, share)
    fit = (attribution * (table + expected)).sum() - xlogy(attribution, attribution).sum()
    start = np.broadcast_to(np.asarray(prior, float), alpha.shape)
    # With families of equal frequency, information within a family does not inform about the family's frequency.
    parts = [np.arange(len(alpha))] if share is None else [np.flatnonzero(share == k) for k in np.unique(share)]
    within = expected if share is None else expected + np.log(len(parts))
    log_norm = lambda a: gammaln(a.sum()) - gammaln(a).sum()  # noqa: E731
    divergence = sum(
        log_norm(alpha[part]) - log_norm(start[part]) + ((alpha - start) * within)[part].sum() for part in parts
    )
    return float(fit - divergence)


def _expected_log(alpha: np.ndarray, share: np.ndarray | None = None) -> np.ndarray:
    """Expected log frequency of each model, (M,); where families are equally frequent, of its family times within it."""
    from scipy.special import digamma

    if share is None:
        return digamma(alpha) - digamma(alpha.sum())
    _, place = np.unique(share, return_inverse=True)
    total = np.bincount(place, alpha)
    return digamma(alpha) - digamma(total)[place] - np.log(len(total))


def softmax(table: np.ndarray) -> np.ndarray:
    """Exponentials of each row as shares of their sum."""
    weight = np.exp(table - table.max(1, keepdims=True))
    return weight / weight.sum(1, keepdims=True)


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
