"""Batched Newton iteration with a bounded step, and the small linear algebra it needs, with the subject as the last axis."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.engine import Derivatives

UNROLLED = 6
"""Up to this many parameters the factorisation is written out, so that it runs over all subjects at once."""


class Status(enum.IntEnum):
    """How the search for one subject's mode ended."""

    CONVERGED = 0
    MAX_STEPS = 1
    NOT_FINITE = 2
    FLAT = 3
    AT_BOUND = 4

    @property
    def text(self) -> str:
        """A few words for tables."""
        return {
            Status.CONVERGED: "ok",
            Status.MAX_STEPS: "not converged",
            Status.NOT_FINITE: "likelihood not finite",
            Status.FLAT: "flat likelihood",
            Status.AT_BOUND: "at the boundary",
        }[self]


class Mode(NamedTuple):
    """Where the search stands, for each subject: x (P, S), likelihood derivatives there, what is left to gain (S,)."""

    x: Array
    at: Derivatives
    decrement: Array


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


def _away_from_zero(d: Array) -> Array:
    return jnp.where(jnp.abs(d) < 1e-10, 1e-10, d)


def solve_positive(h: Array, g: Array) -> Array:
    """``h^-1 g`` (P, S) with negative curvature turned positive, so that the result is always an ascent of `g`."""
    if h.shape[0] > UNROLLED:
        values, vectors = jnp.linalg.eigh(jnp.moveaxis(h, -1, 0))
        inner = jnp.einsum("spi,ps->si", vectors, g) / jnp.maximum(jnp.abs(values), 1e-10)
        return jnp.einsum("spi,si->ps", vectors, inner)
    low, diag = pivots(h)
    return _substitute(low, [jnp.abs(d) for d in diag], g)


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


def newton(
    likelihood: Callable[[Array], Derivatives],
    prior: Callable[[Array], Derivatives],
    x: Array,
    at: Derivatives,
    *,
    tol: Array | float,
    max_steps: Array | int,
    limits: np.ndarray,
) -> Mode:
    """Maximise ``likelihood + prior`` for all subjects together, from `x` where the likelihood is known to be `at`.

    Parameters
    ----------
    likelihood, prior
        Value, gradient and Hessian at (P, S).
    x, at
        Start, and the likelihood's derivatives there: a warm start costs no evaluation.
    tol
        Stop when the expected gain of another step (half the Newton decrement), in nats, is below this.
    max_steps
        At most so many evaluations.
    limits
        Largest absolute value of each parameter, (P,); one step changes it by a tenth of that at most.
    """
    bound = limits[:, None]
    # Lengths of steps are in units of the longest that is allowed.
    unit = np.where(np.isfinite(bound), bound / 10, 1e6)

    def plan(x: Array, at: Derivatives, radius: Array) -> tuple[Array, Array, Array, Array]:
        p = prior(x)
        value, g, h = at.value + p.value, at.grad + p.grad, -(at.hess + p.hess)
        step = solve_positive(h, g)
        decrement = 0.5 * (g * step).sum(0)
        step = step * jnp.minimum(1.0, radius / ((jnp.abs(step) / unit).max(0) + 1e-300))
        # Where the likelihood is not known yet, the first step stays in place and looks.
        known = value > -jnp.inf
        return value, jnp.where(known, step, 0.0), jnp.where(known, decrement, jnp.inf), g

    def going(carry: tuple) -> Array:
        n, _, _, _, _, _, decrement = carry
        return (n < max_steps) & (decrement > tol).any()

    def body(carry: tuple) -> tuple:
        n, x, at, radius, value, step, decrement = carry
        active = decrement > tol
        candidate = jnp.where(active, jnp.clip(x + step, -bound, bound), x)
        new = likelihood(candidate)
        new_value = new.value + prior(candidate).value
        better = new_value >= value - 1e-10 * (1 + jnp.abs(value))
        accept = active & better & jnp.isfinite(new_value)
        x = jnp.where(accept, candidate, x)
        at = Derivatives(*(jnp.where(accept, a, b) for a, b in zip(new, at, strict=True)))
        length = (jnp.abs(step) / unit).max(0)
        radius = jnp.where(accept, jnp.clip(2 * length, radius, 1.0), jnp.where(active, 0.25 * length, radius))
        value, step, decrement, g = plan(x, at, radius)
        # At the bound, what is left to gain lies outside.
        stuck = ((jnp.abs(x) >= bound) & (x * g > 0)).any(0)
        # No step however short is better: rounding, a kink, or a start where the likelihood is not finite.
        return n + 1, x, at, radius, value, step, jnp.where(stuck | (radius < 1e-13), 0.0, decrement)

    radius = jnp.ones(x.shape[-1], x.dtype)
    value, step, decrement, _ = plan(x, at, radius)
    carry = lax.while_loop(going, body, (0, x, at, radius, value, step, decrement))
    return Mode(carry[1], carry[2], carry[6])
