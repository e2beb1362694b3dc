"""Small symmetric matrices with the subject as the last axis."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

UNROLLED = 6
"""Up to this many parameters the factorisation is written out, so that it runs over all subjects at once."""


def pivots(h: Array) -> tuple[list[list[Array]], list[Array]]:
    """Unit lower factor and pivots of ``h = L D L'``, (P, P, S), by rows."""
    n = h.shape[0]
    low: list[list[Array]] = [[] for _ in range(n)]
    diag: list[Array] = []
    for i in range(n):
        for j in range(i):
            inner = sum((low[i][k] * low[j][k] * diag[k] for k in range(j)), jnp.zeros_like(h[0, 0]))
            low[i].append((h[i, j] - inner) / diag[j])
        inner = sum((low[i][k] ** 2 * diag[k] for k in range(i)), jnp.zeros_like(h[0, 0]))
        diag.append(_away_from_zero(h[i, i] - inner))
    return low, diag


def without(h: Array, held: Array) -> Array:
    """`h` (P, P, S) with the rows and columns of parameters that are `held` (P, S) as those of the unit matrix."""
    eye = jnp.eye(h.shape[0], dtype=h.dtype)[:, :, None]
    return jnp.where(held[:, None] | held[None], eye, h)


def _away_from_zero(d: Array) -> Array:
    return jnp.where(jnp.abs(d) < 1e-10, 1e-10, d)


def positive_solver(h: Array) -> Callable[[Array], Array]:
    """``g -> h^-1 g`` (P, S) with negative curvature turned positive, so that the result is always an ascent of `g`."""
    if h.shape[0] > UNROLLED:
        values, vectors = jnp.linalg.eigh(jnp.moveaxis(h, -1, 0))
        kept = jnp.maximum(jnp.abs(values), 1e-10)
        return lambda g: jnp.einsum("spi,si->ps", vectors, jnp.einsum("spi,ps->si", vectors, g) / kept)
    low, diag = pivots(h)
    sizes = [jnp.abs(d) for d in diag]
    return lambda g: _substitute(low, sizes, g)


def _substitute(low: list[list[Array]], diag: list[Array], g: Array) -> Array:
    n = len(diag)
    y: list[Array] = []
    for i in range(n):
        y.append(g[i] - sum((low[i][k] * y[k] for k in range(i)), jnp.zeros_like(g[0])))
    out: list[Array] = [y[i] / diag[i] for i in range(n)]
    for i in reversed(range(n)):
        for k in range(i):
            out[k] = out[k] - low[i][k] * out[i]
    return jnp.stack(out)


def inverse_and_log_det(h: Array) -> tuple[Array, Array, Array]:
    """Inverse (P, P, S), log-determinant (S,), and whether it is positive definite (S,)."""
    if h.shape[0] > UNROLLED:
        values, vectors = jnp.linalg.eigh(jnp.moveaxis(h, -1, 0))
        positive = values.min(-1) > 0
        kept = jnp.maximum(jnp.abs(values), 1e-10)
        inverse = jnp.einsum("spi,si,sqi->pqs", vectors, 1 / kept, vectors)
        return inverse, jnp.log(kept).sum(-1), positive
    low, diag = pivots(h)
    positive = jnp.stack(diag).min(0) > 1e-9
    kept = [jnp.abs(d) for d in diag]
    eye = jnp.eye(h.shape[0], dtype=h.dtype)[:, :, None] * jnp.ones_like(h[0])
    inverse = jnp.stack([_substitute(low, kept, eye[:, k]) for k in range(h.shape[0])], axis=1)
    return inverse, sum(jnp.log(d) for d in kept), positive  # type: ignore[return-value]
