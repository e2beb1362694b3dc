"""Means over an interval with their derivatives up to the second order, for starts that differ between trials.

Accumulators start at a distance from their threshold that is uniform on an interval. On the scale of the noise it is `k`, from
`near` to `far`, and evidence moves it by `drift`; densities and survivors are means over `k` of functions of `k` and `drift`.
Where the interval is short the means are sums over nodes, as differences of integrals would lose their digits; elsewhere they
are those differences, scaled so that nothing underflows.

The derivatives of a mean by the ends of the interval are made of the integrand at the ends: they need no second pass through
all that the mean is made of. They are relative to the mean, so that nothing underflows there either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

NODES = 5
"""Number of nodes of the mean over a short interval."""
_SHORT = 1.0


def mean_over(near: Array, far: Array, log_of: Callable[[Array], Array]) -> Array:
    """Logarithm of the mean of ``exp(log_of(k))`` over a short interval, by nodes."""
    share, weight = nodes(jnp.ndim(near))
    log = log_of(near + (far - near) * share)
    return _log_total(weight * _relative(log), log)


def _relative(log: Array) -> Array:
    """Exponentials at the nodes over the one in the middle: over a short interval they do not overflow."""
    return jnp.exp(log - log[NODES // 2])


def _log_total(parts: Array, log: Array) -> Array:
    return jnp.log(parts.sum(0)) + log[NODES // 2]


def nodes(ndim: int, n: int = NODES) -> tuple[Array, Array]:
    """Nodes between 0 and 1 and their weights, `n` of them, as a new first axis before `ndim` others."""
    x, weight = np.polynomial.legendre.leggauss(n)
    shape = (-1, *[1] * ndim)
    return jnp.asarray((x + 1) / 2).reshape(shape), jnp.asarray(weight / 2).reshape(shape)


class Slopes(NamedTuple):
    """A function of the near end, the far end, and the drift, with its first and second derivatives."""

    value: Array
    near: Array
    far: Array
    drift: Array
    near_near: Array
    near_far: Array
    near_drift: Array
    far_far: Array
    far_drift: Array
    drift_drift: Array

    @property
    def first(self) -> tuple[Array, ...]:
        """The gradient."""
        return self[1:4]

    @property
    def second(self) -> tuple[tuple[Array, ...], ...]:
        """The Hessian, row by row."""
        _, _, _, _, nn, nf, nd, ff, fd, dd = self
        return (nn, nf, nd), (nf, ff, fd), (nd, fd, dd)


class Integrand(NamedTuple):
    """A function ``g(k, drift)`` at some distances `k`, and its derivatives over it."""

    log: Array
    by_k: Array
    by_drift: Array
    by_k_k: Array
    by_k_drift: Array
    by_drift_drift: Array


class End(NamedTuple):
    """An integrand and its derivatives at one end of an interval, divided by the mean."""

    excess: Array
    """The integrand over the mean, less 1, without the digits that the difference loses where the two hardly differ."""
    by_k: Array
    by_drift: Array


def by_nodes(near: Array, far: Array, integrand: Callable[[Array], Integrand]) -> Slopes:
    """The result of `mean_over` and its derivatives."""
    share, weight = nodes(jnp.ndim(near))
    at = integrand(near + (far - near) * share)
    parts = weight * _relative(at.log)
    p = parts / parts.sum(0)
    mean = lambda values: (p * values).sum(0)  # noqa: E731
    low, high = 1 - share, share
    n, f, d = mean(at.by_k * low), mean(at.by_k * high), mean(at.by_drift)
    return Slopes(
        _log_total(parts, at.log),
        n,
        f,
        d,
        mean(at.by_k_k * low**2) - n**2,
        mean(at.by_k_k * low * high) - n * f,
        mean(at.by_k_drift * low) - n * d,
        mean(at.by_k_k * high**2) - f**2,
        mean(at.by_k_drift * high) - f * d,
        mean(at.by_drift_drift) - d**2,
    )


def by_ends(log_mean: Array, width: Array, near: End, far: End, by_drift: Array, by_drift_drift: Array) -> Slopes:
    """Logarithm of a mean over an interval with derivatives, from its ends and from its own derivatives by the drift."""
    n, f, d = -near.excess / width, far.excess / width, by_drift
    return Slopes(
        log_mean,
        n,
        f,
        d,
        (2 * n - near.by_k) / width - n**2,
        (f - n) / width - n * f,
        (d + near.excess * d - near.by_drift) / width,
        (far.by_k - 2 * f) / width - f**2,
        (far.by_drift - d - far.excess * d) / width,
        by_drift_drift,
    )


def chosen(where: Array, one: Slopes, other: Slopes) -> Slopes:
    """Choose `one` where the condition holds, and `other` elsewhere."""
    return Slopes(*(jnp.where(where, a, b) for a, b in zip(one, other, strict=True)))


class Lengths(NamedTuple):
    """Intervals that are short, of which few nodes give the mean, and long ones, of which it is a difference of integrals.

    Either way is computed for all, with other intervals in place of those that it is not for.
    """

    near: Array
    far: Array
    drift: Array
    short: Array
    long: Array

    @classmethod
    def of(cls, near: Array, far: Array, drift: Array, aside: Array | bool = False) -> Lengths:
        """Tell intervals apart; those `aside` are neither."""
        size = jnp.maximum(jnp.abs(near - drift), jnp.abs(far - drift))
        short = jnp.logical_not(aside) & ((far - near) * jnp.maximum(size, 2.0) < _SHORT)
        return cls(near, far, drift, short, jnp.logical_not(short | aside))

    def ends(self) -> tuple[Array, Array]:
        """Ends of the long intervals."""
        return jnp.where(self.long, self.near, 1.0), jnp.where(self.long, self.far, 3.0)

    def whole(self) -> tuple[Array, Array, Array]:
        """Ends of the long intervals, and their drift."""
        return *self.ends(), jnp.where(self.long, self.drift, 1.0)

    def mean(self, log_of: Callable[[Array], Array], whole: Array) -> Array:
        """Logarithm of the mean of ``exp(log_of(k))`` over short intervals, and `whole` for long ones."""
        few = mean_over(self.near, jnp.where(self.short, self.far, self.near), log_of)
        return jnp.where(self.short, few, whole)

    def slopes(self, integrand: Callable[[Array], Integrand], whole: Slopes) -> Slopes:
        """The result of `mean` and its derivatives, for long intervals those given."""
        few = by_nodes(self.near, jnp.where(self.short, self.far, self.near), integrand)
        return chosen(self.short, few, whole)
