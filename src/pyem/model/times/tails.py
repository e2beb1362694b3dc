"""Tails of the normal distribution without loss of digits, for racing accumulators."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array, lax

LOG_ROOT = 0.5 * math.log(2 * math.pi)
SOONEST = 1e-9
"""Shortest decision time, in seconds."""
HALF_DIGIT = 2.0**-53
TINY = 1e-100
"""Least value that is scaled; below it, up to third derivatives of a logarithm would overflow in reverse mode."""
_FAR, _FAR_SINGLE = 20.0, 8.0
_SERIES = (-1.0, 3.0, -15.0, 105.0, -945.0, 10395.0, -135135.0, 2027025.0)


def mills(m: Array) -> Array:
    """The tail of the normal distribution beyond `m` over its density there, for `m` from -5 upwards.

    Examples
    --------
    >>> round(float(mills(jnp.asarray(0.0))), 6)
    1.253314
    """
    begin = _FAR if m.dtype == jnp.float64 else _FAR_SINGLE
    far = m > begin
    near = jnp.where(far, 0.0, m)
    direct = math.sqrt(math.pi / 2) * lax.erfc(near * math.sqrt(0.5)) * jnp.exp(0.5 * near**2)
    square = jnp.where(far, m, begin) ** -2
    series = jnp.zeros_like(square)
    for coefficient in reversed(_SERIES):
        series = (series + coefficient) * square
    return jnp.where(far, (1.0 + series) * jnp.sqrt(square), direct)


def log_phi(z: Array) -> Array:
    """Log-density of the standard normal distribution."""
    return -0.5 * z**2 - LOG_ROOT


def log_positive(value: Array) -> Array:
    """Logarithm of numbers that are positive except for rounding."""
    some = value > TINY
    return jnp.where(some, jnp.log(jnp.where(some, value, 1.0)), math.log(TINY))


def led_back(time: Array, soonest: Array, steep: Array) -> tuple[Array, Array]:
    """Replace impossible times by possible ones, and return the parabola that is added to the log-density for them.

    Parameters
    ----------
    time
        Seconds since the start of the decision, maybe below 0.
    soonest
        Earlier times are impossible for a computer: the log-density is below -900 nats or so.
    steep
        Derivative of the log-density by the logarithm of time there.
    """
    gap = jnp.minimum(time / soonest, 1.0) - 1.0
    return jnp.maximum(time, soonest), jnp.maximum(steep, 1.0) * (gap - gap**2)
