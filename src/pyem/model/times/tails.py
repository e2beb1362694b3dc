"""Normal tails, and means of them over an interval, with all their digits: what racing accumulators are made of.

Accumulators start at a distance from their threshold that is uniform on an interval. On the scale of the noise it is `k`, from
`near` to `far`, and evidence moves it by `drift`; densities and survivors are means over `k` of functions of ``k - drift``.
Where the interval is short the means are sums over nodes, as differences of integrals would lose their digits; elsewhere they
are those differences, scaled so that nothing underflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.model.times.few import by_inputs

LOG_ROOT = 0.5 * math.log(2 * math.pi)
SOONEST = 1e-9
"""Seconds; nothing is decided sooner."""
HALF_DIGIT = 2.0**-53
TINY = 1e-100
"""Of what is scaled; below, the derivatives of a logarithm, up to the third one, would overflow in reverse mode."""
_FAR, _FAR_SINGLE = 20.0, 8.0
_SHORT = 1.0
_SERIES = (-1.0, 3.0, -15.0, 105.0, -945.0, 10395.0, -135135.0, 2027025.0)
NODES = 5
"""Of the mean over a short interval."""


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
    """Logarithm of what is positive but for rounding."""
    some = value > TINY
    return jnp.where(some, jnp.log(jnp.where(some, value, 1.0)), math.log(TINY))


def is_short(near: Array, far: Array, drift: Array) -> Array:
    """Whether a mean over the interval is one of a smooth function, which few nodes are enough for."""
    size = jnp.maximum(jnp.abs(near - drift), jnp.abs(far - drift))
    return (far - near) * jnp.maximum(size, 2.0) < _SHORT


def mean_over(near: Array, far: Array, log_of: Callable[[Array], Array]) -> Array:
    """Logarithm of the mean of ``exp(log_of(k))`` over the interval, by nodes."""
    share, weight = nodes(jnp.ndim(near))
    return jax.nn.logsumexp(log_of(near + (far - near) * share) + jnp.log(weight), axis=0)


def nodes(ndim: int) -> tuple[Array, Array]:
    """Nodes between 0 and 1 and their weights, as a new first axis before `ndim` others."""
    x, weight = np.polynomial.legendre.leggauss(NODES)
    shape = (-1, *[1] * ndim)
    return jnp.asarray((x + 1) / 2).reshape(shape), jnp.asarray(weight / 2).reshape(shape)


@by_inputs
def log_mean_rate(near: Array, far: Array, drift: Array) -> Array:
    """Logarithm of the mean of ``k phi(k - drift)`` over `k` from `near` to `far`, which are not below 0.

    Examples
    --------
    >>> round(float(log_mean_rate(jnp.asarray(1.0), jnp.asarray(3.0), jnp.asarray(1.0))), 6)
    -0.888917
    """
    short = is_short(near, far, drift)
    few = mean_over(near, jnp.where(short, far, near), lambda k: log_positive(k) + log_phi(k - drift))
    start, stop = jnp.where(short, 0.0, near), jnp.where(short, 3.0, far)
    whole = _log_rate(start, stop, jnp.where(short, 1.0, drift)) - jnp.log(stop - start)
    return jnp.where(short, few, whole)


def _log_rate(near: Array, far: Array, drift: Array) -> Array:
    """Logarithm of the integral of ``k phi(k - drift)``: ``drift (Phi(z2) - Phi(z1)) + phi(z1) - phi(z2)``."""
    low, high = near - drift, far - drift
    inside = (low < 0) & (high > 0)
    above = low >= 0
    # The end that is nearer to the top of the normal density has all the weight.
    close, away = jnp.where(above, low, -high), jnp.where(above, high, -low)
    close, away = jnp.where(inside, 0.0, close), jnp.where(inside, 1.0, away)
    less = jnp.exp(0.5 * (close**2 - away**2))
    tail = drift * (mills(close) - less * mills(away)) + jnp.where(above, 1.0 - less, less - 1.0)
    outside = log_phi(close) + log_positive(tail)
    between = 0.5 * (lax.erfc(-high * math.sqrt(0.5)) - lax.erfc(-low * math.sqrt(0.5)))
    within = drift * between + jnp.exp(log_phi(low)) - jnp.exp(log_phi(high))
    return jnp.where(inside, log_positive(within), outside)


def led_back(time: Array, soonest: Array, steep: Array) -> tuple[Array, Array]:
    """A time that is possible, and what is added to the log-density for one that is not: a parabola that leads back.

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
