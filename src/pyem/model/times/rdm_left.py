"""Log-probability that a noisy accumulator has not arrived yet, where the start differs between trials."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from pyem.model.times import tails
from pyem.model.times.few import with_slopes
from pyem.model.times.means import End, Integrand, Slopes, by_ends, by_nodes, chosen, is_short, mean_over
from pyem.model.times.tails import log_phi, log_positive, mills

_SLOW = 0.02


# -- derivatives ---------------------------------------------------------------------------------------------------------


def _slopes(low: Array, high: Array, drift: Array) -> Slopes:
    """Derivatives of `log_mean_left`."""
    short = is_short(low, high, drift)
    few = by_nodes(low, jnp.where(short, high, low), lambda k: _integrand(k, drift))
    return chosen(short, few, _slopes_of_wide(*_where_wide(short, low, high, drift)))


def _integrand(k: Array, drift: Array) -> Integrand:
    """Probability of not having passed one distance, made of the density at its end and of the reflected part."""
    log = _log_left(k, drift)
    end = jnp.exp(log_phi(k - drift) - log)
    back = end * mills(k + drift)
    by_k, by_k_k = 2 * (end - drift * back), 2 * end * (2 * drift - k) - 4 * drift**2 * back
    by_k_drift = 2 * k * end - 2 * back * (1 + 2 * k * drift)
    return Integrand(log, by_k, -2 * k * back, by_k_k, by_k_drift, 2 * k * (end - 2 * k * back))


def _slopes_of_wide(low: Array, high: Array, drift: Array) -> Slopes:
    """Derivatives of `_log_wide`, those by the drift alone line by line."""
    late = high - drift < -1.0
    along = lambda of: lambda d: jax.jvp(of, (d,), (jnp.ones_like(d),))  # noqa: E731
    (log_mean, by_drift), (_, bent) = along(along(lambda d: _log_wide(low, high, d)))(drift)
    gone = -jnp.expm1(log_mean)

    def end(k: Array) -> End:
        z = k - drift
        here, ahead = jnp.exp(log_phi(z) - log_mean), mills(k + drift)
        left = here * (mills(jnp.where(late, -z, 1.0)) - ahead) - 1
        passed = 0.5 * lax.erfc(z * math.sqrt(0.5)) * jnp.exp(-log_mean) + here * ahead
        excess = jnp.where(late, left, gone * jnp.exp(-log_mean) - passed)
        return End(excess, 2 * here * (1 - drift * ahead), -2 * k * here * ahead)

    return by_ends(high - low, end(low), end(high), by_drift, bent)


# -- the mean ------------------------------------------------------------------------------------------------------------


def _where_wide(short: Array, low: Array, high: Array, drift: Array) -> tuple[Array, Array, Array]:
    """The interval and the drift, with others in place of intervals that are short."""
    return jnp.where(short, 1.0, low), jnp.where(short, 3.0, high), jnp.where(short, 1.0, drift)


@with_slopes(_slopes)
def log_mean_left(low: Array, high: Array, drift: Array) -> Array:
    """Log-probability of not having reached a threshold at a distance that is uniform from `low` to `high`.

    Examples
    --------
    >>> round(float(log_mean_left(jnp.asarray(1.0), jnp.asarray(2.0), jnp.asarray(0.5))), 4)
    -0.3209
    """
    short = is_short(low, high, drift)
    few = mean_over(low, jnp.where(short, high, low), lambda k: _log_left(k, drift))
    return jnp.where(short, few, _log_wide(*_where_wide(short, low, high, drift)))


def _log_left(k: Array, drift: Array) -> Array:
    """Log-probability of not having reached a threshold at the standardised distance `k`."""
    behind = k < drift
    size = jnp.abs(k - drift)
    tail, ahead = mills(size), mills(k + drift)
    left = log_phi(size) + log_positive(tail - ahead)
    gone = jnp.exp(log_phi(size)) * (tail + ahead)
    return jnp.where(behind, left, jnp.log1p(-jnp.minimum(gone, 1 - tails.HALF_DIGIT)))


def _log_wide(near: Array, far: Array, drift: Array) -> Array:
    """Logarithm of the mean over distances from `near` to `far`, as the difference of integrals at the two."""
    late = far - drift < -1.0
    width = far - near
    gone = (_early(jnp.where(late, drift, near), drift) - _early(jnp.where(late, drift, far), drift)) / width
    early = jnp.log1p(-jnp.clip(gone, 0.0, 1 - tails.HALF_DIGIT))
    pace = jnp.where(late, drift, 3.0)
    low, high = jnp.where(late, near, 0.0), jnp.where(late, far, 1.0)
    less = jnp.exp(0.5 * ((pace - high) ** 2 - (pace - low) ** 2))
    left = log_phi(pace - high) + log_positive((_late(high, pace) - less * _late(low, pace)) / (high - low))
    return jnp.where(late, left, early)


def _late(k: Array, drift: Array) -> Array:
    """The integral of the survivor up to `k`, over the normal density at ``drift - k``, where that is above 1."""
    m, twice = drift - k, 2 * drift
    behind = mills(m)
    return (1 - m * behind) - (mills(drift + k) + behind) / twice


def _early(k: Array, drift: Array) -> Array:
    """Integral of the probability of having reached a threshold farther than `k`."""
    z, twice = k - drift, 2 * drift
    tail, top = 0.5 * lax.erfc(z * math.sqrt(0.5)), jnp.exp(log_phi(z))
    slow = twice < _SLOW
    gap = (top * mills(k + drift) - tail) / jnp.where(slow, 1.0, twice)
    return top - z * tail - jnp.where(slow, _slope(z, tail, top, jnp.where(slow, twice, 0.0)), gap)


def _slope(z: Array, tail: Array, top: Array, step: Array) -> Array:
    """Difference quotient of Mills' ratio times the density at `z`, for a small step, by its Taylor series."""
    before, now, total, factor = tail, z * tail - top, jnp.zeros_like(z), jnp.ones_like(z)
    for n in range(1, 7):
        total = total + factor * now
        before, now, factor = now, n * before + z * now, factor * step / (n + 1)
    return total
