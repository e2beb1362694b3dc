"""Diagnostics of draws from several chains: Rhat and effective sample sizes.

References
----------
Vehtari, A., Gelman, A., Simpson, D., Carpenter, B., & Bürkner, P.-C. (2021). Rank-normalization, folding, and localization: An
improved Rhat for assessing convergence of MCMC. Bayesian Analysis, 16(2), 667-718. https://doi.org/10.1214/20-BA1221
"""

from __future__ import annotations

import numpy as np

CHUNK = 2**22
"""Number of values that are computed together."""


def rhat(draws: np.ndarray) -> np.ndarray:
    """Rank-normalised split Rhat of draws (chain, draw, ...): 1 if all chains have the same distribution.

    NaN where all draws are the same, or there are fewer than 4 in a chain.

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=(4, 500))
    >>> bool(rhat(draws) < 1.01)
    True
    """
    return _in_chunks(_rhat, draws)


def ess(draws: np.ndarray, kind: str = "bulk") -> np.ndarray:
    """Effective sample size of draws (chain, draw, ...): the number of independent draws with the same precision.

    Parameters
    ----------
    draws
        Draws from several chains.
    kind
        ``"bulk"``: for the middle of the distribution (rank-normalised); ``"tail"``: for the 5 % and 95 % quantiles;
        ``"mean"``: for the mean.

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=(4, 500))
    >>> bool(1500 < ess(draws) < 2500)
    True
    """
    kinds = {"bulk": _ess_bulk, "tail": _ess_tail, "mean": lambda d: _ess(_split(d))}
    if kind not in kinds:
        raise ValueError(f"kind={kind!r}; choose one of {', '.join(kinds)}")
    return _in_chunks(kinds[kind], draws)


def bfmi(energy: np.ndarray) -> np.ndarray:
    """Energy Bayesian fraction of missing information of each chain from energies (chain, draw); below 0.3 is poor.

    References
    ----------
    Betancourt, M. (2016). Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo.
    https://doi.org/10.48550/arXiv.1604.00695

    Examples
    --------
    >>> bool(bfmi(np.random.default_rng(0).normal(size=(1, 500)))[0] > 1.5)
    True
    """
    return (np.diff(energy, axis=1) ** 2).mean(1) / energy.var(1, ddof=1)


def _in_chunks(function, draws: np.ndarray) -> np.ndarray:
    draws = np.asarray(draws, float)
    if draws.ndim < 2:
        raise ValueError(f"draws has shape {draws.shape}; expected (chain, draw, ...)")
    flat = draws.reshape(*draws.shape[:2], -1)
    if flat.shape[1] < 4:
        return np.full(draws.shape[2:], np.nan)
    size = max(1, CHUNK // (flat.shape[0] * flat.shape[1]))
    parts = [function(flat[:, :, k : k + size]) for k in range(0, flat.shape[2], size)]
    return np.concatenate(parts).reshape(draws.shape[2:])


def _split(draws: np.ndarray) -> np.ndarray:
    """Split every chain into two: (2 chain, draw // 2, value)."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _normalized(draws: np.ndarray) -> np.ndarray:
    """Normal scores of the ranks over all chains."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    flat = draws.reshape(-1, draws.shape[2])
    ranks = rankdata(flat, axis=0, method="average")
    return ndtri((ranks - 0.375) / (len(flat) + 0.25)).reshape(draws.shape)


def _plain_rhat(chains: np.ndarray) -> np.ndarray:
    n = chains.shape[1]
    between, within = n * chains.mean(1).var(0, ddof=1), chains.var(1, ddof=1).mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt((between / within + n - 1) / n)


def _rhat(draws: np.ndarray) -> np.ndarray:
    chains = _split(draws)
    folded = np.abs(chains - np.median(chains, axis=(0, 1)))
    return np.maximum(_plain_rhat(_normalized(chains)), _plain_rhat(_normalized(folded)))


def _ess_bulk(draws: np.ndarray) -> np.ndarray:
    return _ess(_normalized(_split(draws)))


def _ess_tail(draws: np.ndarray) -> np.ndarray:
    chains = _split(draws)
    ends = np.quantile(draws.reshape(-1, draws.shape[2]), [0.05, 0.95], axis=0)
    return np.minimum(*(_ess((chains <= end).astype(float)) for end in ends))


def _ess(chains: np.ndarray) -> np.ndarray:
    """Effective sample size by Geyer's initial monotone sequence on the autocorrelations of all chains together."""
    m, n, k = chains.shape
    centred = chains - chains.mean(1, keepdims=True)
    length = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(centred, length, axis=1)) ** 2
    covariance = np.fft.irfft(power, length, axis=1)[:, :n].mean(0) / n
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (chains.mean(1).var(0, ddof=1) if m > 1 else 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    # Sums of neighbours are positive and decreasing for a reversible chain: stop at the first that is not.
    rho = rho[: n - 2 + n % 2]
    pairs = rho.reshape(-1, 2, k).sum(1)
    positive = np.logical_and.accumulate(pairs > 0, axis=0)
    last = positive.sum(0)
    monotone = np.where(positive, np.minimum.accumulate(np.where(positive, pairs, np.inf), axis=0), 0.0)
    # Of the pair that ends the sequence, the first half still counts if it is positive.
    edge = rho[np.minimum(2 * last, len(rho) - 1), np.arange(k)]
    tau = -1 + 2 * monotone.sum(0) + np.maximum(edge, 0.0)
    tau = np.maximum(tau, 1 / np.log10(m * n))
    constant = np.ptp(chains.reshape(-1, k), axis=0) == 0
    return np.where(constant, m * n, m * n / tau)
