"""Log-probability that a linear accumulator has not arrived yet, where slope and start differ between trials."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from pyem.model.times import tails
from pyem.model.times.few import with_slopes
from pyem.model.times.means import End, Integrand, Lengths, Slopes, by_ends, chosen, nodes
from pyem.model.times.rate import Mass
from pyem.model.times.tails import log_ndtr, log_phi, log_positive, mills

# -- derivatives ---------------------------------------------------------------------------------------------------------


def _slopes(low: Array, high: Array, y: Array) -> Slopes:
    """`log_mean_left` with its derivatives."""
    late, share = _is_late(high, y), log_ndtr(y)
    lengths = Lengths.of(low, high, y, late)
    # The derivative of the logarithm of the share of slopes above 0.
    pull = jnp.exp(log_phi(y) - share)
    others = lengths.slopes(lambda k: _integrand(k, y, share, pull), _slopes_of_wide(*lengths.ends(), y, share, pull))
    return chosen(late, _slopes_of_late(*_in_late(late, low, high, y), share, pull), others)


def _integrand(k: Array, y: Array, share: Array, pull: Array) -> Integrand:
    """Share of slopes that do not reach one distance; its derivatives are made of the densities at its ends."""
    log, end, start = _left(k, y, share, pull)
    z, less = k - y, start - end
    by_y_y = pull * (y + 2 * pull) - y * start - z * end - 2 * pull * less
    return Integrand(log, end, less - pull, -z * end, end * (z - pull), by_y_y)


def _slopes_of_late(low: Array, high: Array, y: Array, share: Array, pull: Array) -> Slopes:
    """`_log_late`, less the logarithm of the share, with its derivatives, which are sums of positive terms too."""
    u, weight = nodes(jnp.ndim(low))
    total = lambda values: (weight * values).sum(0)  # noqa: E731
    start, k, left = low * u, low + (high - low) * u, 1 - u
    before, inside = _before_and_inside(low, high, y)
    whole = jnp.maximum(total(before + inside), tails.TINY)
    at, bent = _over(k, y) / whole, (y - k) * _over(k, y) / whole
    n, f, d = total(left * at), total(u * at), total(start * before + k * inside) / whole
    second = total(start**2 * before + k**2 * inside) / whole
    return Slopes(
        jnp.log(whole) + log_phi(y) - share,
        n,
        f,
        d - y - pull,
        total(left**2 * bent) - n**2,
        total(left * u * bent) - n * f,
        total(left * k * at) - n * d,
        total(u**2 * bent) - f**2,
        total(u * k * at) - f * d,
        second - d**2 - 1 + pull * (y + pull),
    )


def _slopes_of_wide(low: Array, high: Array, y: Array, share: Array, pull: Array) -> Slopes:
    """The mean where it is a difference of integrals, and its derivatives, both less the logarithm of the share."""
    interval = _Interval.of(low, high, y, share)
    log_mean, width = interval.log_mean, high - low
    start = jnp.exp(log_phi(y) - share - log_mean)
    less = start - jnp.exp(interval.mass.log - jnp.log(width) - share - log_mean)

    def end(place: _Place) -> tuple[Array, End]:
        here = jnp.exp(log_phi(place.z) - share - log_mean)
        excess = interval.excess(place, here, log_mean)
        return here, End(excess, here, start - here - (1 + excess) * pull)

    (density_low, near), (density_high, far) = end(interval.low), end(interval.high)
    bent = (density_high - density_low) / width - y * start + pull * (y + pull)
    return by_ends(log_mean, width, near, far, less - pull, bent - less**2)


# -- the mean ------------------------------------------------------------------------------------------------------------


def _is_late(high: Array, y: Array) -> Array:
    """Whether so little is left that its parts have to be summed up."""
    return high * jnp.maximum(jnp.abs(y), 2.0) < 1.0


def _in_late(late: Array, low: Array, high: Array, y: Array) -> tuple[Array, Array, Array]:
    """The interval and the mean slope, with others in place of those where more is left."""
    return jnp.where(late, low, 0.1), jnp.where(late, high, 0.2), jnp.where(late, y, 0.0)


@with_slopes(_slopes)
def log_mean_left(low: Array, high: Array, y: Array) -> Array:
    """Log-probability that a slope does not reach a distance, uniform from `low` to `high`; `y` is the mean slope.

    Examples
    --------
    >>> round(float(log_mean_left(jnp.asarray(1.0), jnp.asarray(2.0), jnp.asarray(0.5))), 4)
    -0.2793
    """
    late, share = _is_late(high, y), log_ndtr(y)
    lengths = Lengths.of(low, high, y, late)
    pull = jnp.exp(log_phi(y) - share)
    start, stop = lengths.ends()
    others = lengths.mean(lambda k: _left(k, y, share, pull).log, _Interval.of(start, stop, y, share).log_mean)
    return jnp.where(late, _log_late(*_in_late(late, low, high, y)) - share, others)


def _over(k: Array, y: Array) -> Array:
    """Density of slopes at `k` divided by that at 0, as both may be very small."""
    return jnp.exp(k * (y - 0.5 * k))


def _log_late(low: Array, high: Array, y: Array) -> Array:
    """Log-probability where little is left: the integral over slopes too small for the distance, a sum of positive terms."""
    weight = nodes(jnp.ndim(low))[1]
    return log_positive((weight * sum(_before_and_inside(low, high, y))).sum(0)) + log_phi(y)


def _before_and_inside(low: Array, high: Array, y: Array) -> tuple[Array, Array]:
    """Slopes that are too small for any distance, and those for some of the interval, at nodes, over the density at 0."""
    u, gap = nodes(jnp.ndim(low))[0], high - low
    return low * _over(low * u, y), gap * (1 - u) * _over(low + gap * u, y)


class _Left(NamedTuple):
    """Share of slopes, among those above 0, that do not reach a distance, and the densities at its ends."""

    log: Array
    """Logarithm of the share."""
    end: Array
    """Density of slopes at the distance, over the share."""
    start: Array
    """Density of slopes at 0, over the share."""


def _left(k: Array, y: Array, share: Array, pull: Array) -> _Left:
    """Share of slopes that do not reach the distance `k`; `pull` is the density at 0 of the slopes above 0."""
    z = k - y
    behind = z < 0
    # There are many distances, but one mean slope, which is above 0 where a distance is behind it.
    size, fast = jnp.abs(z), jnp.maximum(y, 0.0)
    tail = mills(size)
    # The density at 0 over that at the distance where it is behind, and elsewhere the density at the distance: exponentials
    # are what takes the time. Neither overflows, as infinities have no derivatives in reverse mode.
    scaled = jnp.exp(jnp.where(behind, 0.5 * (z**2 - fast**2), log_phi(size) - share))
    left = jnp.maximum(tail - scaled * mills(fast), tails.TINY)
    gone = jnp.where(behind, 0.0, jnp.minimum(scaled * tail, 1 - tails.HALF_DIGIT))
    log = jnp.where(behind, log_phi(size) + jnp.log(left) - share, jnp.log1p(-gone))
    end = jnp.where(behind, 1 / left, scaled / (1 - gone))
    return _Left(log, end, jnp.where(behind, scaled * end, pull / (1 - gone)))


class _Place(NamedTuple):
    """One end of an interval of distances, less the mean slope, with Mills' ratio at its size."""

    z: Array
    ratio: Array

    @classmethod
    def at(cls, z: Array) -> _Place:
        """The end at `z`."""
        return cls(z, mills(jnp.abs(z)))

    @property
    def part(self) -> Array:
        """Integral of the normal tail beyond the size, over the density there."""
        return 1 - jnp.abs(self.z) * self.ratio


class _Interval(NamedTuple):
    """An interval of distances, with what the mean over it is made of.

    Where it is far behind the mean slope (`late`), little is left: integrals are those from the far side, over the normal
    density at the end. Elsewhere they are those from the near side.
    """

    low: _Place
    high: _Place
    y: Array
    share: Array
    """Logarithm of the share of slopes above 0."""
    fast: Array
    """Mills' ratio at the mean slope, where the interval is late."""

    @classmethod
    def of(cls, low: Array, high: Array, y: Array, share: Array) -> _Interval:
        """The interval from `low` to `high`."""
        return cls(_Place.at(low - y), _Place.at(high - y), y, share, mills(jnp.where(high - y < -1.0, y, 3.0)))

    @property
    def late(self) -> Array:
        """Whether all of it is far behind the mean slope."""
        return self.high.z < -1.0

    @property
    def mass(self) -> Mass:
        """Normal probability of slopes in the interval."""
        return Mass.from_mills((self.low.z, self.high.z), (self.low.ratio, self.high.ratio))

    @property
    def log_mean(self) -> Array:
        """Logarithm of the mean share, among all slopes above 0, that do not reach the distance."""
        width, stop = self.high.z - self.low.z, self.high.z
        gone = jnp.where(self.late, 0.0, (self._beyond(self.low) - self._beyond(self.high)) / width)
        soon = jnp.log1p(-jnp.clip(gone, 0.0, 1 - tails.HALF_DIGIT))
        left = (
            self.high.part - self._over(stop, self.low.z) * self.low.part - width * self._over(stop, self.y) * self.fast
        )
        return jnp.where(self.late, log_phi(stop) + log_positive(left / width) - self.share, soon)

    def excess(self, place: _Place, here: Array, log_mean: Array) -> Array:
        """The share that does not reach one end, over the mean, less 1; the density there is `here` times the mean."""
        left = here * (place.ratio - self._over(place.z, self.y) * self.fast) - 1
        tail = jnp.exp(log_phi(place.z) - self.share) * place.ratio
        gone = jnp.where(place.z < 0, self._all(place) - tail, tail)
        return jnp.where(self.late, left, (-jnp.expm1(log_mean) - gone) * jnp.exp(-log_mean))

    def _beyond(self, place: _Place) -> Array:
        """Integral of the normal tail beyond one end, over slopes above 0."""
        return jnp.exp(log_phi(place.z) - self.share) * place.part + jnp.maximum(-place.z, 0.0) * self._all(place)

    def _all(self, place: _Place) -> Array:
        """All slopes, in units of those above 0, where the end is below the mean slope."""
        return jnp.exp(-jnp.where(place.z < 0, self.share, 0.0))

    def _over(self, at: Array, other: Array) -> Array:
        """Density at `other` over that `at` some distance, where the interval is late."""
        return jnp.exp(jnp.where(self.late, 0.5 * (at**2 - other**2), 0.0))
