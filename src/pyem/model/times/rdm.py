"""Accumulators of the racing diffusion model: each a noisy process with one threshold."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from pyem.model.times import tails
from pyem.model.times.few import by_inputs
from pyem.model.times.shifted_wald import first_passage
from pyem.model.times.tails import is_short, log_phi, log_positive, mills

_SLOW = 0.02
_DEEP = 45.0


class RDM(NamedTuple):
    """Accumulators of the racing diffusion model, for `pyem.Race`: noisy processes with drifts `v` towards one threshold each.

    The standard deviation of the noise is 1 a second. Start-point variability is integrated exactly.

    Attributes
    ----------
    v
        Drift of each accumulator, last axis; not below 0.
    B
        Distance of the threshold from the highest start.
    A
        Width of the uniform start between trials, which is from 0 to `A`; the threshold is at ``A + B``. By default there is
        none.

    References
    ----------
    Tillman, G., Van Zandt, T., & Logan, G. D. (2020). Sequential sampling models without random between-trial variability: the
    racing diffusion model of speeded decision making. Psychonomic Bulletin & Review, 27(5), 911-936.
    https://doi.org/10.3758/s13423-020-01719-6

    Logan, G. D., Van Zandt, T., Verbruggen, F., & Wagenmakers, E.-J. (2014). On the ability to inhibit thought and action:
    general and special theories of an act of control. Psychological Review, 121(1), 66-95. https://doi.org/10.1037/a0035230

    Examples
    --------
    >>> racers = RDM(v=jnp.array([1.0, 2.0]), B=1.0, A=0.5)
    >>> [round(float(p), 4) for p in racers.cdf(0.5)]
    [0.2322, 0.4719]
    """

    v: ArrayLike
    B: ArrayLike
    A: ArrayLike = 0.0

    def log_density(self, time: ArrayLike) -> Array:
        """Log-density, in nats, of each accumulator's reaching its threshold at `time`, last axis."""
        v, near, width, time = self._arrays(time)
        some = near + width > 0
        soonest = jnp.maximum((near / _DEEP) ** 2, tails.SOONEST)
        time, more = tails.led_back(time, soonest, 0.5 * near**2 / soonest)
        root = jnp.sqrt(time)
        low = jnp.where(some, near, 1.0) / root
        log_f = tails.log_mean_rate(low, low + width / root, v * root) - jnp.log(time) + more
        return jnp.where(some, log_f, -jnp.inf)

    def log_survivor(self, time: ArrayLike) -> Array:
        """Log-probability, in nats, that each accumulator has not reached its threshold by `time`, last axis."""
        v, near, width, time = self._arrays(time)
        some = near + width > 0
        soonest = jnp.maximum((near / _DEEP) ** 2, tails.SOONEST)
        started = time > soonest
        root = jnp.sqrt(jnp.where(started, time, 1.0))
        low, drift = jnp.where(some, near, 1.0) / root, v * root
        log_s = jnp.where(started, _log_mean_left(low, low + width / root, drift), 0.0)
        return jnp.where(some, log_s, -jnp.inf)

    def cdf(self, time: ArrayLike) -> Array:
        """Probability that each accumulator has reached its threshold by `time`, last axis."""
        return -jnp.expm1(self.log_survivor(time))

    def sample(self, key: Array) -> Array:
        """A random time of each accumulator, last axis: exact."""
        of_start, of_time = jax.random.split(key)
        v, near, width, _ = self._arrays(0.0)
        return first_passage(of_time, v, near + width * jax.random.uniform(of_start, v.shape, v.dtype))

    def _arrays(self, time: ArrayLike) -> list[Array]:
        wide = jnp.result_type(float)
        return jnp.broadcast_arrays(*(jnp.asarray(part, wide) for part in (*self, time)))


@by_inputs
def _log_mean_left(low: Array, high: Array, drift: Array) -> Array:
    """Log-probability of not having reached a threshold at a distance that is uniform from `low` to `high`."""
    short = is_short(low, high, drift)
    few = tails.mean_over(low, jnp.where(short, high, low), lambda k: _log_left(k, drift))
    whole = _log_wide(jnp.where(short, 1.0, low), jnp.where(short, 3.0, high), jnp.where(short, 1.0, drift))
    return jnp.where(short, few, whole)


def _log_left(k: Array, drift: Array) -> Array:
    """Log-probability of not having reached a threshold at the standardised distance `k`."""
    behind = k < drift
    late, early = jnp.where(behind, drift - k, 0.0), jnp.where(behind, 0.0, k - drift)
    ahead = mills(k + drift)
    left = log_phi(late) + log_positive(mills(late) - ahead)
    gone = jnp.exp(log_phi(early)) * (mills(early) + ahead)
    return jnp.where(behind, left, jnp.log1p(-jnp.minimum(gone, 1 - tails.HALF_DIGIT)))


def _log_wide(near: Array, far: Array, drift: Array) -> Array:
    """The same for distances from `near` to `far`, as the difference of integrals at the two."""
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
    """The integral of what has reached a threshold farther than `k`."""
    z, twice = k - drift, 2 * drift
    tail, top = 0.5 * lax.erfc(z * math.sqrt(0.5)), jnp.exp(log_phi(z))
    slow = twice < _SLOW
    gap = (top * mills(k + drift) - tail) / jnp.where(slow, 1.0, twice)
    return top - z * tail - jnp.where(slow, _slope(z, tail, top, jnp.where(slow, twice, 0.0)), gap)


def _slope(z: Array, tail: Array, top: Array, step: Array) -> Array:
    """The difference quotient of Mills' ratio, times the density at `z`, for a small step: its Taylor series."""
    before, now, total, factor = tail, z * tail - top, jnp.zeros_like(z), jnp.ones_like(z)
    for n in range(1, 7):
        total = total + factor * now
        before, now, factor = now, n * before + z * now, factor * step / (n + 1)
    return total
