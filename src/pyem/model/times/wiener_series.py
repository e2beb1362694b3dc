"""First passage of a Wiener process with drift between two bounds: density, distribution and probability of each bound.

All functions are of the lower bound, at 0: the process starts at the share `w` of the separation `a`, with drift `v` away from
it. For the upper bound, take ``-v`` and ``1 - w``. Times are without non-decision time, in seconds; the standard deviation of
the noise is 1 a second.

The density without drift, for a separation of 1, is that of `pyem.model.times.wiener_standard`. The distribution, too, has two
series, which meet at the same standardised time, ``time / a**2``.

References
----------
Blurton, S. P., Kesselmeier, M., & Gondan, M. (2012). Fast and accurate calculations for cumulative first-passage time
distributions in Wiener diffusion models. Journal of Mathematical Psychology, 56(6), 470-475.
https://doi.org/10.1016/j.jmp.2012.09.002
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import log_ndtr
from jax.typing import ArrayLike

from pyem.model.times.few import by_inputs
from pyem.model.times.wiener_standard import MEET, log_standard_density

EARLIEST = 1 / 2000
"""Time, as a share of ``(a w)**2``, below which the log-density (less than -980 nats) is continued as a parabola."""
TINY = 1e-300
HALF_DIGIT = 2.0**-53
"""Least difference from 1 that a probability can have."""
_LOG_2PI = math.log(2 * math.pi)


# -- density ----------------------------------------------------------------------------------------------------------------


def log_density(time: ArrayLike, v: ArrayLike, a: ArrayLike, w: ArrayLike, sv: ArrayLike | None = None) -> Array:
    """Log-density, in nats, of reaching the lower bound at `time`.

    Parameters
    ----------
    time
        Seconds since the start. Where no response can be so fast, and at times below 0, the log-density is no infinity, but
        goes on as a parabola from -980 nats downwards, whose slope leads back to what is possible.
    v, a, w
        Drift, separation of the bounds, and the share of it between the lower bound and the start.
    sv
        Standard deviation of the drift between trials, exactly integrated.

    Examples
    --------
    >>> round(float(log_density(0.5, v=0.0, a=1.0, w=0.5)), 4)
    -1.3227
    """
    time, a, w = (jnp.asarray(value, jnp.result_type(float)) for value in (time, a, w))
    # If the bounds coincide, or the start is on a bound, there is nothing to decide.
    between = (a > 0) & (w > 0) & (w < 1)
    a, w = jnp.where(between, a, 1.0), jnp.where(between, w, 0.5)
    unit = (a * w) ** 2
    share = time / unit
    possible = share > EARLIEST
    # At impossible times drift does not matter, and its variance must not lead to the root of a negative number.
    within = jnp.where(possible, time, EARLIEST * unit)
    small = jnp.where(possible, share, EARLIEST) * w**2
    log_f = jnp.where(possible, log_standard_density(small, w), below_earliest(share) - 0.5 * _LOG_2PI - 2 * jnp.log(w))
    return jnp.where(between, log_f - 2 * jnp.log(a) + _log_tilt(within, v, a, w, sv), -jnp.inf)


def _log_tilt(time: Array, v: ArrayLike, a: Array, w: Array, sv: ArrayLike | None) -> Array:
    """Change of the log-density by drift (Girsanov), averaged over the drift's distribution between trials."""
    v = jnp.asarray(v)
    if sv is None:
        return -v * a * w - 0.5 * v**2 * time
    spread = 1.0 + jnp.asarray(sv) ** 2 * time
    return (0.5 * (jnp.asarray(sv) * a * w) ** 2 - v * a * w - 0.5 * v**2 * time) / spread - 0.5 * jnp.log(spread)


def below_earliest(share: Array) -> Array:
    """Continue ``-1 / (2 share) - 1.5 log(share)`` below the earliest time by its tangent parabola."""
    # Larger values are not selected, and must not overflow.
    gap = jnp.where(share > EARLIEST, EARLIEST, share) / EARLIEST - 1.0
    start = -0.5 / EARLIEST - 1.5 * math.log(EARLIEST)
    return start + (0.5 / EARLIEST - 1.5) * gap - (0.5 / EARLIEST - 0.75) * gap**2


# -- probability of a bound ---------------------------------------------------------------------------------------------------


def log_reached(v: ArrayLike, a: ArrayLike, w: ArrayLike) -> Array:
    """Log-probability that the lower bound is reached first.

    Examples
    --------
    >>> round(float(jnp.exp(log_reached(v=0.0, a=2.0, w=0.25))), 4)
    0.75
    """
    h, w = jnp.asarray(v) * a, jnp.asarray(w)
    return jnp.log1p(-w) - h * w + _log_sinhc(h * (1 - w)) - _log_sinhc(h)


_SINHC = (1 / 6, -1 / 180, 1 / 2835, -1 / 37800, 1 / 467775, -691 / 3831077250)


def _log_sinhc(h: Array) -> Array:
    """Logarithm of ``sinh(h) / h``, which is 0 at 0."""
    near = jnp.abs(h) < 0.25
    small, size = jnp.where(near, h, 0.0) ** 2, jnp.where(near, 1.0, jnp.abs(h))
    series = jnp.zeros_like(small)
    for coefficient in reversed(_SINHC):
        series = (series + coefficient) * small
    return jnp.where(near, series, size + jnp.log1p(-jnp.exp(-2 * size)) - jnp.log(2 * size))


# -- distribution -------------------------------------------------------------------------------------------------------------


def reached_by(time: ArrayLike, v: ArrayLike, a: ArrayLike, w: ArrayLike) -> Array:
    """Probability that the lower bound is reached first, and by `time`; 0 at times below 0.

    Examples
    --------
    >>> round(float(reached_by(100.0, v=0.0, a=2.0, w=0.25)), 4)
    0.75
    """
    time, v, a, w = (jnp.asarray(value, jnp.result_type(float)) for value in (time, v, a, w))
    s = time / a**2
    possible = s > EARLIEST * w**2
    s = jnp.where(possible, s, MEET)
    early = s < MEET
    sooner = _images_by(jnp.where(early, s, MEET), v * a, w)
    later = jnp.exp(log_reached(v, a, w)) - jnp.exp(_log_not_yet(jnp.where(early, MEET, s), v * a, w))
    return jnp.where(possible, jnp.where(early, sooner, later), 0.0)


def log_reached_by(time: ArrayLike, v: ArrayLike, a: ArrayLike, w: ArrayLike) -> tuple[Array, Array]:
    """Log-probabilities that the lower bound is reached first and by `time`, and that it is not.

    Examples
    --------
    >>> [round(float(p), 4) for p in log_reached_by(1.0, v=0.0, a=1.0, w=0.5)]
    [-0.7023, -0.684]
    """
    time, v, a, w = (jnp.asarray(value, jnp.result_type(float)) for value in (time, v, a, w))
    # Bounds that coincide tell nothing; on a bound the decision is made.
    on, off, one = w <= 0, w >= 1, a <= 0
    a, w = jnp.where(one, 1.0, a), jnp.where(on | off, 0.5, w)
    s = time / a**2
    possible = s > EARLIEST * w**2
    s = jnp.where(possible, s, MEET)
    by, not_by = _log_by(s, v * a, w), _log_not_by(s, v * a, w)
    by, not_by = jnp.where(possible, by, math.log(TINY)), jnp.where(possible, not_by, 0.0)
    by, not_by = jnp.where(off, -jnp.inf, jnp.where(on, 0.0, by)), jnp.where(on, -jnp.inf, jnp.where(off, 0.0, not_by))
    return jnp.where(one, -jnp.inf, by), jnp.where(one, -jnp.inf, not_by)


@by_inputs
def _log_by(s: Array, h: Array, w: Array) -> Array:
    """The first of `log_reached_by` at the standardised time `s`, which is possible; `h` is ``v a``."""
    early, ever = s < MEET, log_reached(h, 1.0, w)
    left = jnp.clip(jnp.exp(_log_not_yet(jnp.where(early, MEET, s), h, w) - ever), 0.0, 1 - HALF_DIGIT)
    return jnp.where(early, jnp.log(_sooner(s, h, w)), ever + jnp.log1p(-left))


@by_inputs
def _log_not_by(s: Array, h: Array, w: Array) -> Array:
    """The second of `log_reached_by`."""
    early = s < MEET
    late = _log_not_yet(jnp.where(early, MEET, s), h, w)
    return jnp.where(early, jnp.log1p(-_sooner(s, h, w)), jnp.logaddexp(late, log_reached(-h, 1.0, 1 - w)))


def _sooner(s: Array, h: Array, w: Array) -> Array:
    return jnp.clip(_images_by(jnp.where(s < MEET, s, MEET), h, w), TINY, 1 - HALF_DIGIT)


def log_survivor(time: ArrayLike, v: ArrayLike, a: ArrayLike, w: ArrayLike) -> Array:
    """Log-probability that neither bound is reached by `time`; 0 at times below 0.

    Examples
    --------
    >>> round(float(log_survivor(1.0, v=0.0, a=1.0, w=0.5)), 4)
    -4.6932
    """
    time, v, a, w = (jnp.asarray(value, jnp.result_type(float)) for value in (time, v, a, w))
    return _log_survivor(time / a**2, v * a, w)


@by_inputs
def _log_survivor(s: Array, h: Array, w: Array) -> Array:
    early = s < MEET
    sooner, late = jnp.where(early, s, 0.0), jnp.where(early, MEET, s)
    gone = _of_both(lambda h, w: reached_by(sooner, h, 1.0, w), h, w).sum(0)
    left = jax.nn.logsumexp(_of_both(lambda h, w: _log_not_yet(late, h, w), h, w), axis=0)
    return jnp.where(early, jnp.log1p(-jnp.minimum(gone, 1 - HALF_DIGIT)), left)


def _of_both(function: Callable[[Array, Array], Array], h: Array, w: Array) -> Array:
    """Apply a function of drift and start for the lower and the upper bound, first axis, in one program for both."""
    seen = lambda upper: function(jnp.where(upper, -h, h), jnp.where(upper, 1 - w, w))  # noqa: E731
    return jax.vmap(seen)(jnp.array([False, True]))


def _log_not_yet(s: Array, h: Array, w: Array) -> Array:
    """Log-probability that the lower bound is reached first and later than a large standardised `s`; `h` is ``v a``."""
    first = 0.5 * (h**2 + math.pi**2)
    k = _beside((2.0, 3.0, 4.0, 5.0), s, h, w)
    longer = 0.5 * (k**2 - 1) * math.pi**2
    shape = k * jnp.sin(k * math.pi * w) / jnp.sin(math.pi * w)
    rest = (shape * jnp.exp(-longer * s) * first / (first + longer)).sum(0)
    return jnp.log(math.pi * jnp.sin(math.pi * w) / first) - h * w - first * s + jnp.log1p(rest)


def _images_by(s: Array, h: Array, w: Array) -> Array:
    """Probability that the lower bound is reached first, by a small standardised `s`, from images."""
    k = _beside((2.0, -2.0, 1.0, -1.0, 0.0) * 2, s, h, w)
    drift = h * _beside((1.0,) * 5 + (-1.0,) * 5, s, h, w)
    sign = jnp.where(k < 0, -1.0, 1.0)
    away = sign * (w + 2 * k)
    return (sign * jnp.exp(-h * w - drift * away + log_ndtr((drift * s - away) / jnp.sqrt(s)))).sum(0)


def _beside(numbers: tuple[float, ...], *others: Array) -> Array:
    """Give numbers of the terms of a series a new first axis: one program for all terms compiles in a share of the time."""
    ndim = max(jnp.ndim(other) for other in others)
    return jnp.asarray(numbers).reshape(-1, *[1] * ndim)
