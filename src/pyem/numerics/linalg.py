"""Small symmetric matrices with the subject as the last axis."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

UNROLLED = 6
"""Number of parameters up to which `pivots` is used, which writes out the factorisation number by number."""
FEW = 2
"""Number of parameters up to which the steps of an elimination are written out one after another; a loop over more of them
runs as fast, and is compiled in the time of a single step."""


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
    white, pivot = _eliminated(h)
    size = jnp.abs(pivot)

    def solve(g: Array) -> Array:
        return (white * ((white * g[None]).sum(1) / size)[:, None]).sum(0)

    return solve


def inverse_and_log_det(h: Array) -> tuple[Array, Array, Array]:
    """Inverse (P, P, S), log-determinant (S,), and whether it is positive definite (S,)."""
    white, pivot = _eliminated(h)
    size = jnp.abs(pivot)
    inverse = (white[:, :, None] * (white / size[:, None])[:, None]).sum(0)
    return inverse, jnp.log(size).sum(0), pivot.min(0) > 1e-9


def _eliminated(h: Array) -> tuple[Array, Array]:
    """Inverse (P, P, S) of the unit lower factor, and pivots (P, S), of ``h = L D L'`` (P, P, S).

    They are computed for all subjects at once. LAPACK is not called: it does one subject after the other, and waits for
    threads of the pool that others who call it at the same time may hold.
    """
    n = h.shape[0]
    rows = jnp.arange(n)[:, None]

    def step(k: Array | int, left: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        h, white, pivot = left
        at = _away_from_zero(h[k, k])
        share = jnp.where(rows > k, h[:, k] / at, 0.0)[:, None]
        return h - share * h[k][None], white - share * white[k][None], jnp.where(rows == k, at, pivot)

    left = h, jnp.broadcast_to(jnp.eye(n, dtype=h.dtype)[:, :, None], h.shape), jnp.ones_like(h[0])
    if n > FEW:
        left = lax.fori_loop(0, n, step, left)
    else:
        for k in range(n):
            left = step(k, left)
    return left[1:]
