"""The time that a noisy process with drift takes to one bound: the shifted Wald, or inverse Gaussian, distribution."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import log_ndtr, ndtr
from jax.typing import ArrayLike

from pyem.model.times.wiener_series import EARLIEST, below_earliest


class ShiftedWald(NamedTuple):
    """Response times of a decision with one bound: a first passage, and the non-decision time.

    The standard deviation of the noise is 1 a second.

    Attributes
    ----------
    v
        Drift towards the bound, above 0.
    a
        Distance of the bound from the start.
    t
        Non-decision time, in seconds.

    Notes
    -----
    As for `pyem.Wiener`, an impossible time has a log-density below -980 nats that falls as a parabola.

    References
    ----------
    Anders, R., Alario, F.-X., & Van Maanen, L. (2016). The shifted Wald distribution for response time data analysis.
    Psychological Methods, 21(3), 309-327. https://doi.org/10.1037/met0000066

    Examples
    --------
    >>> dist = ShiftedWald(v=3.0, a=1.2, t=0.2)
    >>> round(float(dist.log_prob(0.6)), 4), round(float(dist.cdf(0.6)), 4)
    (0.6378, 0.599)
    """

    v: ArrayLike
    a: ArrayLike
    t: ArrayLike = 0.0

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-density of the response time `value`, in nats."""
        v, a, time = self._decision(value)
        # A bound at the start leaves nothing to decide.
        apart = a > 0
        a = jnp.where(apart, a, 1.0)
        share = time / a**2
        possible = share > EARLIEST
        safe = jnp.where(possible, share, EARLIEST)
        shape = jnp.where(possible, -0.5 / safe - 1.5 * jnp.log(safe), below_earliest(share))
        log_f = shape - 0.5 * math.log(2 * math.pi) - 2 * jnp.log(a) + v * a - 0.5 * (v * a) ** 2 * safe
        return jnp.where(apart, log_f, -jnp.inf)

    def cdf(self, value: ArrayLike) -> Array:
        """Probability of a response by `value`."""
        v, a, time = self._decision(value)
        root = jnp.sqrt(jnp.where(time > 0, time, 1.0))
        by = ndtr(v * root - a / root) + jnp.exp(2 * v * a + log_ndtr(-v * root - a / root))
        return jnp.where(time > 0, by, 0.0)

    def sample(self, key: Array) -> Array:
        """One random response time: exact, from a normal and a uniform number (Michael, Schucany & Haas, 1976)."""
        v, a, _ = self._decision(0.0)
        return jnp.asarray(self.t) + first_passage(key, v, a)

    def _decision(self, value: ArrayLike) -> tuple[Array, Array, Array]:
        """Drift, bound and decision time, as arrays of one shape."""
        wide = jnp.result_type(float)
        time = jnp.asarray(value, wide) - jnp.asarray(self.t)
        return tuple(jnp.broadcast_arrays(jnp.asarray(self.v, wide), jnp.asarray(self.a, wide), time))  # type: ignore[return-value]


def first_passage(key: Array, v: Array, a: Array) -> Array:
    """Draw a time at which a process with drift `v` reaches a bound at distance `a`; without drift, a Lévy distribution.

    Examples
    --------
    >>> first_passage(jax.random.key(1), jnp.ones(3), jnp.ones(3)).shape
    (3,)
    """
    of_normal, of_uniform = jax.random.split(key)
    square = jax.random.normal(of_normal, v.shape, v.dtype) ** 2
    share = jax.random.uniform(of_uniform, v.shape, v.dtype)
    # The roots of a quadratic equation, the smaller one written without a difference of equal numbers, and without the mean.
    half = square / 2
    pace = v * a
    small = a**2 / (pace + half + jnp.sqrt(half * (2 * pace + half)))
    first = share * (a + v * small) <= a
    return jnp.where(first, small, a**2 / jnp.where(first, 1.0, v**2 * small))
