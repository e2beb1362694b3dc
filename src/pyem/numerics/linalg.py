"""Small symmetric matrices with the subject as the last axis."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

UNROLLED = 6
"""Number of parameters up to which the factorisation is written out number by number; beyond it, column by column.

Both run over all subjects at once. LAPACK is not called: it does one subject after the other, and waits for threads of the
pool that others who call it at the same time may hold.
"""


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
    """Replace rows and columns of `h` (P, P, S) for parameters that are `held` (P, S) by those of the unit matrix."""
    eye = jnp.eye(h.shape[0], dtype=h.dtype)[:, :, None]
    return jnp.where(held[:, None] | held[None], eye, h)


def _away_from_zero(d: Array) -> Array:
    return jnp.where(jnp.abs(d) < 1e-10, 1e-10, d)


def positive_solver(h: Array) -> Callable[[Array], Array]:
    """Return a function ``g -> h^-1 g`` (P, S) with negative curvature turned positive, so that it always ascends along `g`."""
    if h.shape[0] > UNROLLED:
        lower, pivot = _by_columns(h)
        return lambda g: _substitute_columns(lower, jnp.abs(pivot), g)
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
    eye = jnp.eye(h.shape[0], dtype=h.dtype)[:, :, None] * jnp.ones_like(h[0])
    if h.shape[0] > UNROLLED:
        lower, pivot = _by_columns(h)
        size = jnp.abs(pivot)
        return _substitute_columns(lower, size, eye), jnp.log(size).sum(0), pivot.min(0) > 1e-9
    low, diag = pivots(h)
    positive = jnp.stack(diag).min(0) > 1e-9
    kept = [jnp.abs(d) for d in diag]
    inverse = jnp.stack([_substitute(low, kept, eye[:, k]) for k in range(h.shape[0])], axis=1)
    return inverse, sum(jnp.log(d) for d in kept), positive  # type: ignore[return-value]


def _by_columns(h: Array) -> tuple[Array, Array]:
    """Unit lower factor (P, P, S) and pivots (P, S) of ``h = L D L'``."""
    rows = jnp.arange(h.shape[0])[:, None]
    columns, diag = [], []
    for k in range(h.shape[0]):
        diag.append(_away_from_zero(h[k, k]))
        columns.append(jnp.where(rows > k, h[:, k] / diag[k], jnp.where(rows == k, 1.0, 0.0)))
        h = h - columns[k][:, None] * columns[k][None] * diag[k]
    return jnp.stack(columns, axis=1), jnp.stack(diag)


def _substitute_columns(lower: Array, diag: Array, g: Array) -> Array:
    """Solve ``(L D L')^-1 g`` for g (P, S) or (P, Q, S)."""
    n = len(diag)
    rows = jnp.arange(n).reshape(n, *[1] * (g.ndim - 1))
    between = (slice(None), *[None] * (g.ndim - 2))
    for k in range(n):
        g = g - jnp.where(rows > k, lower[:, k][between] * g[k], 0.0)
    g = g / diag[between]
    for k in reversed(range(n)):
        g = g - jnp.where(rows < k, lower[k][between] * g[k], 0.0)
    return g
