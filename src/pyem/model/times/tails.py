"""Tails of the normal distribution without loss of digits, for racing accumulators."""

from __future__ import annotations

import functools
import math

import jax.numpy as jnp
from jax import Array
from numpy.polynomial import chebyshev
from scipy.special import erfcx

from pyem.model.times.few import Derived, with_slopes

LOG_ROOT = 0.5 * math.log(2 * math.pi)
SOONEST = 1e-9
"""Shortest decision time, in seconds."""
HALF_DIGIT = 2.0**-53
TINY = 1e-100
"""Least value that is scaled; below it, up to third derivatives of a logarithm would overflow in reverse mode."""
_MIDDLE, _DEGREE, _PLACES = 3.0, 24, 400


def mills(m: Array) -> Array:
    """The tail of the normal distribution beyond `m`, which is not below 0, over its density there.

    To 2e-15 of its size at any distance. It is many times less to compute, and to compile, than the tail and the density.

    Examples
    --------
    >>> round(float(mills(jnp.asarray(0.0))), 6)
    1.253314
    """
    share = 1 / (m + _MIDDLE)
    place = 1 - 2 * _MIDDLE * share
    return functools.reduce(lambda total, coefficient: total * place + coefficient, _coefficients()) * share


@functools.cache
def _coefficients() -> list[float]:
    """Coefficients of ``(m + 3) mills(m)`` as a polynomial of ``(m - 3) / (m + 3)``, from the highest power down.

    It is the Chebyshev series up to this power. Values at many places average out the rounding of each.
    """
    place = chebyshev.chebpts1(_PLACES)
    m = _MIDDLE * (1 + place) / (1 - place)
    scaled = (m + _MIDDLE) * math.sqrt(math.pi / 2) * erfcx(m * math.sqrt(0.5))
    return chebyshev.cheb2poly(chebyshev.chebfit(place, scaled, _DEGREE))[::-1].tolist()


def _slopes_of_log_mills(m: Array) -> Derived:
    """`log_mills` with its derivatives, from those of the polynomial: ``m mills(m) - 1`` would lose its digits far out."""
    share = 1 / (m + _MIDDLE)
    place, scale = 1 - 2 * _MIDDLE * share, 2 * _MIDDLE * share
    value, once, twice = (jnp.zeros_like(m) for _ in range(3))
    for coefficient in _coefficients():
        # Horner's scheme for the polynomial, its derivative, and half of the second one.
        twice, once, value = twice * place + once, once * place + value, value * place + coefficient
    slope = share * (scale * once / value - 1)
    bent = share**2 * (2 - (4 * scale * once - 2 * scale**2 * twice) / value)
    return Derived(jnp.log(value * share), (slope,), ((bent - slope**2,),))


@with_slopes(_slopes_of_log_mills)
def log_mills(m: Array) -> Array:
    """Logarithm of `mills`.

    Examples
    --------
    >>> round(float(log_mills(jnp.asarray(100.0))), 3)
    -4.605
    """
    return jnp.log(mills(m))


def log_phi(z: Array) -> Array:
    """Log-density of the standard normal distribution."""
    return -0.5 * z**2 - LOG_ROOT


def log_ndtr_and_slope(z: Array) -> tuple[Array, Array]:
    """`log_ndtr` and its first derivative, which share what they are made of.

    Examples
    --------
    >>> [round(float(part), 4) for part in log_ndtr_and_slope(jnp.asarray(0.0))]
    [-0.6931, 0.7979]
    """
    below, ratio, top = z < 0, mills(jnp.abs(z)), jnp.exp(log_phi(z))
    beyond = jnp.where(below, 0.0, top * ratio)
    return jnp.where(below, log_phi(z) + jnp.log(ratio), jnp.log1p(-beyond)), jnp.where(
        below, 1 / ratio, top / (1 - beyond)
    )


def _slopes_of_log_ndtr(z: Array) -> Derived:
    log, slope = log_ndtr_and_slope(z)
    return Derived(log, (slope,), ((-slope * (z + slope),),))


@with_slopes(_slopes_of_log_ndtr)
def log_ndtr(z: Array) -> Array:
    """Log-probability, in nats, that a standard normal number is below `z`.

    Examples
    --------
    >>> round(float(log_ndtr(jnp.asarray(-40.0))), 2)
    -804.61
    """
    return log_ndtr_and_slope(z)[0]


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
