"""Accumulators of the racing diffusion model: each a noisy process with one threshold."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from pyem.model.times import tails
from pyem.model.times.rate import log_mean_rate
from pyem.model.times.rdm_left import log_mean_left
from pyem.model.times.shifted_wald import first_passage

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
        log_f = log_mean_rate(low, low + width / root, v * root) - jnp.log(time) + more
        return jnp.where(some, log_f, -jnp.inf)

    def log_survivor(self, time: ArrayLike) -> Array:
        """Log-probability, in nats, that each accumulator has not reached its threshold by `time`, last axis."""
        v, near, width, time = self._arrays(time)
        some = near + width > 0
        soonest = jnp.maximum((near / _DEEP) ** 2, tails.SOONEST)
        started = time > soonest
        root = jnp.sqrt(jnp.where(started, time, 1.0))
        low, drift = jnp.where(some, near, 1.0) / root, v * root
        log_s = jnp.where(started, log_mean_left(low, low + width / root, drift), 0.0)
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
