"""Draws of people from points that were weighted, and draws with given moments."""

from __future__ import annotations

import numpy as np


def drawn_points(weight: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` indices of points (S, n), drawn by weights (S, K) as evenly as can be, in random order."""
    below = np.cumsum(weight, axis=1)
    below /= below[:, -1:]
    even = rng.permuted(np.tile(np.arange(n), (len(weight), 1)), axis=1)
    u = (even + rng.uniform(size=even.shape)) / n
    index = np.stack([np.searchsorted(row, at) for row, at in zip(below, u, strict=True)])
    return np.minimum(index, weight.shape[1] - 1)


def with_moments(x: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Draws (D, S, P), moved and stretched a little so that they have given means (S, P) and covariances (S, P, P)."""
    gap = x - x.mean(0)
    own = np.einsum("dsp,dsq->spq", gap, gap) / len(x)
    jitter = 1e-12 * np.einsum("spp->s", own)[:, None, None] * np.eye(x.shape[2]) + 1e-300
    good = np.linalg.eigvalsh(own).min(1) > 1e-10 * np.einsum("spp->s", own)
    safe = np.where(good[:, None, None], own, cov)
    change = np.linalg.cholesky(cov + jitter) @ np.linalg.inv(np.linalg.cholesky(safe + jitter))
    return np.where(good[:, None], mean + np.einsum("spq,dsq->dsp", change, gap), x)
