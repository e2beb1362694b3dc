"""Accumulators of the linear ballistic accumulator: straight lines whose slopes differ between trials."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import ndtr, ndtri
from jax.typing import ArrayLike

from pyem.model.times import tails
from pyem.model.times.lba_left import log_mean_left
from pyem.model.times.rate import log_mean_rate
from pyem.model.times.tails import log_ndtr

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
        log_f = log_mean_rate(low, low + width / (s * time), y) - jnp.log(time) - log_ndtr(y) + more
        return jnp.where(some, log_f, -jnp.inf)

    def log_survivor(self, time: ArrayLike) -> Array:
        """Log-probability, in nats, that each accumulator has not reached its threshold by `time`, last axis."""
        v, near, width, s, time = self._arrays(time)
        some = near + width > 0
        y = v / s
        started = time > _soonest(near, s, y)
        reach = s * jnp.where(started, time, 1.0)
        low = jnp.where(some, near, 1.0) / reach
        log_s = jnp.where(started, log_mean_left(low, low + width / reach, y), 0.0)
        return jnp.where(some, log_s, -jnp.inf)

    def cdf(self, time: ArrayLike) -> Array:
        """Probability that each accumulator has reached its threshold by `time`, last axis."""
        return -jnp.expm1(self.log_survivor(time))

    def sample(self, key: Array) -> Array:
        """A random time of each accumulator, last axis: exact."""
        of_start, of_drift = jax.random.split(key)
        v, near, width, s, _ = self._arrays(0.0)
        # Draw the slope by the probability of exceeding it, among the slopes above 0.
        share = jax.random.uniform(of_drift, v.shape, v.dtype, minval=jnp.finfo(v.dtype).tiny)
        drift = v - s * ndtri(share * ndtr(v / s))
        return (near + width * jax.random.uniform(of_start, v.shape, v.dtype)) / drift

    def _arrays(self, time: ArrayLike) -> list[Array]:
        wide = jnp.result_type(float)
        return jnp.broadcast_arrays(*(jnp.asarray(part, wide) for part in (*self, time)))


def _soonest(near: Array, s: Array, y: Array) -> Array:
    return jnp.maximum(near / (s * (_DEEP + jnp.maximum(y, 0.0))), tails.SOONEST)
