"""Arrival rate of accumulators whose start differs between trials, which ballistic and diffusing ones share."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array, lax

from pyem.model.times.few import with_slopes
from pyem.model.times.means import End, Integrand, Lengths, Slopes, by_ends
from pyem.model.times.tails import TINY, log_phi, log_positive, mills


def _slopes(near: Array, far: Array, drift: Array) -> Slopes:
    """Derivatives of `log_mean_rate`."""

    def integrand(k: Array) -> Integrand:
        k, z = jnp.maximum(k, TINY), k - drift
        return Integrand(log_positive(k) + log_phi(z), 1 / k - z, z, z**2 - 1 - 2 * z / k, z / k + 1 - z**2, z**2 - 1)

    lengths = Lengths.of(near, far, drift)
    return lengths.slopes(integrand, _slopes_of_whole(*lengths.whole()))


def _slopes_of_whole(near: Array, far: Array, drift: Array) -> Slopes:
    """The derivatives where the mean is a difference of integrals."""
    width = far - near
    log_mean = _log_rate(near, far, drift) - jnp.log(width)

    def end(k: Array) -> tuple[Array, End]:
        z = k - drift
        phi = jnp.exp(log_phi(z) - log_mean)
        return phi, End(k * phi - 1, phi * (1 - k * z), k * z * phi)

    (phi_near, first), (phi_far, last) = end(near), end(far)
    of_phi = jnp.exp(log_between(near - drift, far - drift) - jnp.log(width) - log_mean)
    d = of_phi - (last.excess - first.excess) / width
    bent = (first.by_drift - last.by_drift + phi_near - phi_far) / width
    return by_ends(width, first, last, d, bent - d**2)


@with_slopes(_slopes)
def log_mean_rate(near: Array, far: Array, drift: Array) -> Array:
    """Logarithm of the mean of ``k phi(k - drift)`` over `k` from `near` to `far`, which are not below 0.

    Examples
    --------
    >>> round(float(log_mean_rate(jnp.asarray(1.0), jnp.asarray(3.0), jnp.asarray(1.0))), 6)
    -0.888917
    """
    lengths = Lengths.of(near, far, drift)
    start, stop, pace = lengths.whole()
    whole = _log_rate(start, stop, pace) - jnp.log(stop - start)
    return lengths.mean(lambda k: log_positive(k) + log_phi(k - drift), whole)


def _log_rate(near: Array, far: Array, drift: Array) -> Array:
    """Logarithm of the integral of ``k phi(k - drift)``: ``drift (Phi(z2) - Phi(z1)) + phi(z1) - phi(z2)``."""
    low, high = near - drift, far - drift
    inside, above, close, away = _by_size(low, high)
    less = jnp.exp(0.5 * (close**2 - away**2))
    tail = drift * (mills(close) - less * mills(away)) + jnp.where(above, 1.0 - less, less - 1.0)
    outside = log_phi(close) + log_positive(tail)
    within = drift * _between(low, high) + jnp.exp(log_phi(low)) - jnp.exp(log_phi(high))
    return jnp.where(inside, log_positive(within), outside)


def log_between(low: Array, high: Array) -> Array:
    """Log-probability that a standard normal number lies between two others.

    Examples
    --------
    >>> round(float(log_between(jnp.asarray(-1.0), jnp.asarray(1.0))), 4)
    -0.3817
    """
    inside, _, close, away = _by_size(low, high)
    less = jnp.exp(0.5 * (close**2 - away**2))
    outside = log_phi(close) + log_positive(mills(close) - less * mills(away))
    return jnp.where(inside, log_positive(_between(low, high)), outside)


def _by_size(low: Array, high: Array) -> tuple[Array, Array, Array, Array]:
    """Whether 0 is inside and whether it is below; where it is outside, the end that is nearer to it and the other, by size."""
    inside, above = (low < 0) & (high > 0), low >= 0
    # The end that is nearer to the top of the normal density has all the weight.
    close, away = jnp.where(above, low, -high), jnp.where(above, high, -low)
    return inside, above, jnp.where(inside, 0.0, close), jnp.where(inside, 1.0, away)


def _between(low: Array, high: Array) -> Array:
    return 0.5 * (lax.erfc(-high * math.sqrt(0.5)) - lax.erfc(-low * math.sqrt(0.5)))
