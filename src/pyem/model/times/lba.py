"""Accumulators of the linear ballistic accumulator: straight lines whose slopes differ between trials."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import ndtr, ndtri
from jax.typing import ArrayLike

from pyem.model.times import tails
from pyem.model.times.few import by_inputs
from pyem.model.times.tails import is_short, log_phi, log_positive, mills

_DEEP = 44.0


class LBA(NamedTuple):
    """Linear ballistic accumulators, for `pyem.Race`: straight lines with random slopes towards one threshold each.

    Attributes
    ----------
    v
        Mean of the slope (drift) of each accumulator, last axis.
    B
        Distance of the threshold from the highest start.
    A
        Width of the uniform start between trials, which is from 0 to `A`; the threshold is at ``A + B``.
    s
        Standard deviation of the slope between trials.

    Notes
    -----
    Slopes are above 0, with a truncated normal distribution, so that every accumulator reaches its threshold at some time. With
    the normal distribution of the original paper there would be trials without a response. Where all means are some standard
    deviations above 0, the two are the same.

    References
    ----------
    Brown, S. D., & Heathcote, A. (2008). The simplest complete model of choice response time: linear ballistic accumulation.
    Cognitive Psychology, 57(3), 153-178. https://doi.org/10.1016/j.cogpsych.2007.12.002

    Examples
    --------
    >>> racers = LBA(v=jnp.array([1.0, 2.0]), B=0.6, A=0.5)
    >>> [round(float(p), 4) for p in racers.cdf(0.5)]
    [0.2981, 0.6276]
    """

    v: ArrayLike
    B: ArrayLike
    A: ArrayLike = 0.0
    s: ArrayLike = 1.0

    def log_density(self, time: ArrayLike) -> Array:
        """Log-density, in nats, of each accumulator's reaching its threshold at `time`, last axis."""
        v, near, width, s, time = self._arrays(time)
        some = near + width > 0
        y = v / s
        soonest = _soonest(near, s, y)
        at = near / (s * soonest)
        time, more = tails.led_back(time, soonest, at * (at - y))
        low = jnp.where(some, near, 1.0) / (s * time)
        log_f = tails.log_mean_rate(low, low + width / (s * time), y) - jnp.log(time) - _log_share(y) + more
        return jnp.where(some, log_f, -jnp.inf)

    def log_survivor(self, time: ArrayLike) -> Array:
        """Log-probability, in nats, that each accumulator has not reached its threshold by `time`, last axis."""
        v, near, width, s, time = self._arrays(time)
        some = near + width > 0
        y = v / s
        started = time > _soonest(near, s, y)
        reach = s * jnp.where(started, time, 1.0)
        low = jnp.where(some, near, 1.0) / reach
        log_s = jnp.where(started, _log_mean_left(low, low + width / reach, y), 0.0)
        return jnp.where(some, log_s, -jnp.inf)

    def cdf(self, time: ArrayLike) -> Array:
        """Probability that each accumulator has reached its threshold by `time`, last axis."""
        return -jnp.expm1(self.log_survivor(time))

    def sample(self, key: Array) -> Array:
        """A random time of each accumulator, last axis: exact."""
        of_start, of_drift = jax.random.split(key)
        v, near, width, s, _ = self._arrays(0.0)
        # The slope that is exceeded with a uniform probability, of those above 0.
        share = jax.random.uniform(of_drift, v.shape, v.dtype, minval=jnp.finfo(v.dtype).tiny)
        drift = v - s * ndtri(share * ndtr(v / s))
        return (near + width * jax.random.uniform(of_start, v.shape, v.dtype)) / drift

    def _arrays(self, time: ArrayLike) -> list[Array]:
        wide = jnp.result_type(float)
        return jnp.broadcast_arrays(*(jnp.asarray(part, wide) for part in (*self, time)))


def _soonest(near: Array, s: Array, y: Array) -> Array:
    return jnp.maximum(near / (s * (_DEEP + jnp.maximum(y, 0.0))), tails.SOONEST)


def _log_share(y: Array) -> Array:
    """Logarithm of the share of slopes above 0."""
    below = y < 0
    down, up = jnp.where(below, -y, 0.0), jnp.where(below, 0.0, y)
    return jnp.where(below, log_phi(down) + jnp.log(mills(down)), jnp.log1p(-_tail(up)))


def _tail(m: Array) -> Array:
    return jnp.exp(log_phi(m)) * mills(m)


@by_inputs
def _log_mean_left(low: Array, high: Array, y: Array) -> Array:
    """Log-probability that a slope does not reach a distance, uniform from `low` to `high`; `y` is the mean slope."""
    log_share = _log_share(y)
    late = high * jnp.maximum(jnp.abs(y), 2.0) < 1.0
    short = ~late & is_short(low, high, y)
    wide = ~late & ~short
    few = tails.mean_over(low, jnp.where(short, high, low), lambda k: _log_left(k, y, log_share))
    whole = _log_wide(jnp.where(wide, low, 1.0), jnp.where(wide, high, 3.0), y, log_share)
    last = _log_late(jnp.where(late, low, 0.1), jnp.where(late, high, 0.2), y) - log_share
    return jnp.where(late, last, jnp.where(short, few, whole))


def _log_late(low: Array, high: Array, y: Array) -> Array:
    """When little is left: the integral of the slopes that are too small for the distance, all of them positive terms."""
    gap = high - low
    u, weight = tails.nodes(jnp.ndim(low))
    # The density over that at y, as both may be very small.
    over = lambda k: jnp.exp(k * (y - 0.5 * k))  # noqa: E731
    total = (weight * (low * over(low * u) + gap * (1 - u) * over(low + gap * u))).sum(0)
    return log_positive(total) + log_phi(y)


def _log_left(k: Array, y: Array, log_share: Array) -> Array:
    """Log-probability of a slope, above 0, that does not reach the distance `k`."""
    z = k - y
    behind = z < 0
    size, fast = jnp.abs(z), jnp.where(behind, y, 1.0)
    tail = mills(size)
    # Where it is not behind nothing may overflow, as infinities have no derivatives in reverse mode.
    over = jnp.exp(jnp.where(behind, 0.5 * (z**2 - fast**2), 0.0))
    left = log_phi(size) + log_positive(tail - over * mills(fast)) - log_share
    gone = jnp.where(behind, 0.0, jnp.exp(log_phi(size) + jnp.log(tail) - log_share))
    return jnp.where(behind, left, jnp.log1p(-jnp.minimum(gone, 1 - tails.HALF_DIGIT)))


def _log_wide(low: Array, high: Array, y: Array, log_share: Array) -> Array:
    """The mean over distances from `low` to `high`, as the difference of integrals at the two."""
    start, stop = low - y, high - y
    late = stop < -1.0
    first, last = (1 - jnp.abs(z) * mills(jnp.abs(z)) for z in (start, stop))
    gone = jnp.where(late, 0.0, (_beyond(start, first, log_share) - _beyond(stop, last, log_share)) / (high - low))
    soon = jnp.log1p(-jnp.clip(gone, 0.0, 1 - tails.HALF_DIGIT))
    fast = jnp.where(late, y, 3.0)
    over = lambda z: jnp.exp(jnp.where(late, 0.5 * (stop**2 - z**2), 0.0))  # noqa: E731
    left = last - over(start) * first - (high - low) * over(y) * mills(fast)
    return jnp.where(late, log_phi(stop) + log_positive(left / (high - low)) - log_share, soon)


def _beyond(z: Array, part: Array, log_share: Array) -> Array:
    """The integral of the normal tail beyond `z`, of the slopes above 0; `part` is that beyond its size, over the density."""
    return jnp.exp(log_phi(z) - log_share) * part + jnp.maximum(-z, 0.0) * jnp.exp(-log_share)
