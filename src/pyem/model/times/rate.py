"""Arrival rate of accumulators whose start differs between trials, which ballistic and diffusing ones share."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from pyem.model.times.few import with_slopes
from pyem.model.times.means import End, Integrand, Lengths, Slopes, by_ends
from pyem.model.times.tails import TINY, log_phi, log_positive, mills


def _slopes(near: Array, far: Array, drift: Array) -> Slopes:
    """`log_mean_rate` with its derivatives."""

    def integrand(k: Array) -> Integrand:
        log_k, k, z = log_positive(k), jnp.maximum(k, TINY), k - drift
        return Integrand(log_k + log_phi(z), 1 / k - z, z, z**2 - 1 - 2 * z / k, z / k + 1 - z**2, z**2 - 1)

    lengths = Lengths.of(near, far, drift)
    return lengths.slopes(integrand, _slopes_of_whole(*lengths.whole()))


def _slopes_of_whole(near: Array, far: Array, drift: Array) -> Slopes:
    """The mean and its derivatives where it is a difference of integrals."""
    width, mass = far - near, Mass.between(near - drift, far - drift)
    log_mean = mass.log_rate(drift) - jnp.log(width)

    def end(k: Array) -> tuple[Array, End]:
        z = k - drift
        phi = jnp.exp(log_phi(z) - log_mean)
        return phi, End(k * phi - 1, phi * (1 - k * z), k * z * phi)

    (phi_near, first), (phi_far, last) = end(near), end(far)
    of_phi = jnp.exp(mass.log - jnp.log(width) - log_mean)
    d = of_phi - (last.excess - first.excess) / width
    bent = (first.by_drift - last.by_drift + phi_near - phi_far) / width
    return by_ends(log_mean, width, first, last, d, bent - d**2)


@with_slopes(_slopes)
def log_mean_rate(near: Array, far: Array, drift: Array) -> Array:
    """Logarithm of the mean of ``k phi(k - drift)`` over `k` from `near` to `far`, which are not below 0.

    Examples
    --------
    >>> round(float(log_mean_rate(jnp.asarray(1.0), jnp.asarray(3.0), jnp.asarray(1.0))), 6)
    -0.888917
    """
    lengths = Lengths.of(near, far, drift)
    start, stop, pace = lengths.whole()
    whole = Mass.between(start - pace, stop - pace).log_rate(pace) - jnp.log(stop - start)
    return lengths.mean(lambda k: log_positive(k) + log_phi(k - drift), whole)


class Mass(NamedTuple):
    """Normal probability between two numbers, in a unit that neither overflows nor vanishes.

    It is the density at the end that is nearer to 0, or 1 where 0 is inside.

    Examples
    --------
    >>> round(float(Mass.between(jnp.asarray(-1.0), jnp.asarray(1.0)).log), 4)
    -0.3817
    """

    log_unit: Array
    """Logarithm of the unit."""
    mass: Array
    """Probability, in this unit."""
    fall: Array
    """Density at the lower end less that at the upper one, in this unit."""

    @classmethod
    def between(cls, low: Array, high: Array) -> Mass:
        """Probability between `low` and `high`."""
        return cls.from_mills((low, high), (mills(jnp.abs(low)), mills(jnp.abs(high))))

    @classmethod
    def from_mills(cls, z: tuple[Array, Array], ratios: tuple[Array, Array]) -> Mass:
        """Probability between both `z`, from Mills' ratios at their sizes."""
        inside, above = (z[0] < 0) & (z[1] > 0), z[0] >= 0
        # The end that is nearer to the top of the normal density has all the weight.
        near_first = lambda pair: (jnp.where(above, *pair), jnp.where(above, *pair[::-1]))  # noqa: E731
        close, away = near_first((jnp.abs(z[0]), jnp.abs(z[1])))
        log_unit = jnp.where(inside, 0.0, log_phi(close))
        far = jnp.exp(jnp.where(inside, log_phi(away), 0.5 * (close**2 - away**2)))
        near = jnp.where(inside, jnp.exp(log_phi(close)), 1.0)
        of_near, of_far = near_first(ratios)
        of_near, of_far = near * of_near, far * of_far
        fall = jnp.where(above, near - far, far - near)
        return cls(log_unit, jnp.where(inside, 1 - of_far, of_near) - jnp.where(inside, of_near, of_far), fall)

    @property
    def log(self) -> Array:
        """Log-probability."""
        return self.log_unit + log_positive(self.mass)

    def log_rate(self, drift: Array) -> Array:
        """Logarithm of the integral of ``k phi(k - drift)``: ``drift (Phi(z2) - Phi(z1)) + phi(z1) - phi(z2)``."""
        return self.log_unit + log_positive(drift * self.mass + self.fall)
