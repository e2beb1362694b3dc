"""Accumulators of the log-normal race."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import ndtri
from jax.typing import ArrayLike

from pyem.model.times import tails
from pyem.model.times.tails import log_ndtr, log_phi

_DEEP = 44.0


class LNR(NamedTuple):
    """Accumulators of the log-normal race, for `pyem.Race`: the time of each is log-normal.

    Attributes
    ----------
    m
        Mean of the logarithm of each accumulator's time in seconds, last axis.
    s
        Standard deviation of the logarithm.

    References
    ----------
    Rouder, J. N., Province, J. M., Morey, R. D., Gomez, P., & Heathcote, A. (2015). The lognormal race: a cognitive-process
    model of choice and latency with desirable psychometric properties. Psychometrika, 80(2), 491-513.
    https://doi.org/10.1007/s11336-013-9396-3

    Examples
    --------
    >>> racers = LNR(m=jnp.array([0.0, -0.5]), s=0.5)
    >>> [round(float(p), 4) for p in racers.cdf(0.8)]
    [0.3277, 0.7101]
    >>> [round(float(t), 4) for t in racers.icdf(0.5)]
    [1.0, 0.6065]
    """

    m: ArrayLike
    s: ArrayLike

    def log_density(self, time: ArrayLike) -> Array:
        """Log-density, in nats, of each accumulator's finishing at `time`, last axis."""
        m, s, time = self._arrays(time)
        some = s > 0
        s = jnp.where(some, s, 1.0)
        soonest = jnp.maximum(jnp.exp(m - _DEEP * s), tails.SOONEST)
        time, more = tails.led_back(time, soonest, (m - jnp.log(soonest)) / s**2 - 1)
        log_time = jnp.log(time)
        return jnp.where(some, log_phi((log_time - m) / s) - log_time - jnp.log(s) + more, -jnp.inf)

    def log_survivor(self, time: ArrayLike) -> Array:
        """Log-probability, in nats, that each accumulator has not finished by `time`, last axis."""
        m, s, time = self._arrays(time)
        some = s > 0
        s = jnp.where(some, s, 1.0)
        z = (jnp.log(jnp.where(time > tails.SOONEST, time, tails.SOONEST)) - m) / s
        return jnp.where(some, log_ndtr(-z), jnp.where(jnp.log(jnp.maximum(time, tails.SOONEST)) < m, 0.0, -jnp.inf))

    def cdf(self, time: ArrayLike) -> Array:
        """Probability that each accumulator has finished by `time`, last axis."""
        return -jnp.expm1(self.log_survivor(time))

    def icdf(self, q: ArrayLike) -> Array:
        """The time by which each accumulator has finished with probability `q`, last axis."""
        m, s, q = self._arrays(q)
        return jnp.exp(m + s * ndtri(q))

    def sample(self, key: Array) -> Array:
        """A random time of each accumulator, last axis."""
        m, s, _ = self._arrays(0.0)
        return jnp.exp(m + s * jax.random.normal(key, m.shape, m.dtype))

    def _arrays(self, time: ArrayLike) -> list[Array]:
        wide = jnp.result_type(float)
        return jnp.broadcast_arrays(*(jnp.asarray(part, wide) for part in (*self, time)))
