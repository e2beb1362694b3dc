"""Log-probability that a noisy accumulator has not arrived yet, where the start differs between trials.

It is a mean, over distances `k`, of the normal probability of not being beyond `k`, less that of paths that were beyond and
came back: ``phi(k - drift) mills(k + drift)``. The mean has a closed form, as have its derivatives, with Mills' ratio as
the only special function: those by the drift are means of the second part times the distance, and its square.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from pyem.model.times import tails
from pyem.model.times.few import with_slopes
from pyem.model.times.means import End, Integrand, Lengths, Slopes, by_ends
from pyem.model.times.tails import log_phi, log_positive, mills

_SLOW, _TERMS = 0.05, 8
"""Step below which a difference quotient is a Taylor series, and number of its terms."""


def _slopes(low: Array, high: Array, drift: Array) -> Slopes:
    """`log_mean_left` with its derivatives."""
    lengths = Lengths.of(low, high, drift)
    return lengths.slopes(lambda k: _integrand(k, drift), _slopes_of_wide(*lengths.whole()))


def _integrand(k: Array, drift: Array) -> Integrand:
    """Probability of not having passed one distance, made of the density at its end and of the reflected part."""
    log, ahead = _left(k, drift)
    end = jnp.exp(log_phi(k - drift) - log)
    back = end * ahead
    by_k, by_k_k = 2 * (end - drift * back), 2 * end * (2 * drift - k) - 4 * drift**2 * back
    by_k_drift = 2 * k * end - 2 * back * (1 + 2 * k * drift)
    return Integrand(log, by_k, -2 * k * back, by_k_k, by_k_drift, 2 * k * (end - 2 * k * back))


def _slopes_of_wide(low: Array, high: Array, drift: Array) -> Slopes:
    """The mean where it is a difference of integrals, and its derivatives."""
    interval = _Interval.of(low, high, drift)
    log_mean = interval.log_mean
    # All, over the mean, and the share that has arrived; what is late does not use them.
    early_mean = jnp.where(interval.late, 0.0, log_mean)
    unit, gone = jnp.exp(-early_mean), -jnp.expm1(early_mean) * jnp.exp(-early_mean)

    def end(place: _Place) -> tuple[End, Array, Array]:
        here = jnp.exp(log_phi(place.z) - log_mean)
        back, tail = here * place.ahead, place.tail(here, unit)
        excess = jnp.where(place.late, here * place.size - back - 1, gone - tail - back)
        return End(excess, 2 * (here - drift * back), -2 * place.k * back), *place.moments(here, tail)

    (near, once, twice), (far, once_far, twice_far) = map(end, (interval.low, interval.high))
    early, early_bent = (-2 * part / interval.width for part in (once_far - once, twice_far - twice))
    late, late_bent = interval.slopes_late()
    slope = jnp.where(interval.late, late, early)
    return by_ends(
        log_mean, interval.width, near, far, slope, jnp.where(interval.late, late_bent, early_bent - early**2)
    )


@with_slopes(_slopes)
def log_mean_left(low: Array, high: Array, drift: Array) -> Array:
    """Log-probability of not having reached a threshold at a distance that is uniform from `low` to `high`.

    Examples
    --------
    >>> round(float(log_mean_left(jnp.asarray(1.0), jnp.asarray(2.0), jnp.asarray(0.5))), 4)
    -0.3209
    """
    lengths = Lengths.of(low, high, drift)
    start, stop, pace = lengths.whole()
    return lengths.mean(lambda k: _left(k, drift)[0], _Interval.of(start, stop, pace).log_mean)


def _left(k: Array, drift: Array) -> tuple[Array, Array]:
    """Log-probability of not having reached a threshold at the standardised distance `k`, and Mills' ratio ahead of it."""
    z = k - drift
    tail, ahead = mills(jnp.abs(z)), mills(k + drift)
    log_top = log_phi(z)
    gone = jnp.minimum(jnp.exp(log_top) * (tail + ahead), 1 - tails.HALF_DIGIT)
    return jnp.where(z < 0, log_top + log_positive(tail - ahead), jnp.log1p(-gone)), ahead


class _Place(NamedTuple):
    """One end of an interval of distances, with what integrals up to there are made of.

    Where the whole interval is far behind the drift (`late`), little is left: integrals are those from the far side, over the
    normal density at the end, so that they keep their digits. Elsewhere they are those from the near side.
    """

    k: Array
    drift: Array
    z: Array
    late: Array
    size: Array
    """Mills' ratio at the distance from the drift, whatever its sign."""
    ahead: Array
    """Mills' ratio ahead."""

    @classmethod
    def at(cls, k: Array, drift: Array, late: Array) -> _Place:
        """The end at `k`."""
        return cls(k, drift, k - drift, late, mills(jnp.abs(k - drift)), mills(k + drift))

    @property
    def behind(self) -> Array:
        """Distance by which the drift is ahead of the end; another number where the interval is not far behind."""
        return jnp.where(self.late, -self.z, 2.0)

    @property
    def pace(self) -> Array:
        """The drift; another number where the interval is not far behind."""
        return jnp.where(self.late, self.drift, 3.0)

    @property
    def arrived(self) -> Array:
        """Integral of the probability of having reached a threshold farther than the end."""
        z, top = jnp.where(self.late, 0.0, self.z), jnp.exp(log_phi(self.z))
        tail = self.tail(top, 1.0)
        return top - z * tail - _quotients(z, tail, top, top * self.ahead, 2 * self.drift)[0]

    @property
    def left(self) -> Array:
        """Integral of the probability of not having arrived up to the end, over the density there."""
        return 1 - self.behind * self.size - (self.ahead + self.size) / (2 * self.pace)

    def slopes_of_left(self) -> tuple[Array, Array]:
        """First and second derivative of `left` by the drift."""
        m, pace, away = self.behind, self.pace, self.k + self.pace
        # Those of both ratios, and of the reflected part.
        once, onward = m * self.size - 1, away * self.ahead - 1
        twice, further = m * once + self.size, away * onward + self.ahead
        back = (onward + once) / (2 * pace) - (self.ahead + self.size) / (2 * pace**2)
        return -twice - back, -2 * once - m * twice - (further + twice) / (2 * pace) + 2 * back / pace

    def moments(self, here: Array, tail: Array) -> tuple[Array, Array]:
        """Integrals of which first and second derivatives of the mean by the drift are made, over the mean, where not late.

        Over the mean are the density at the end, `here`, and the normal probability beyond it, `tail`, too.
        """
        k, drift = self.k, self.drift
        d, e, f = _quotients(jnp.where(self.late, 0.0, self.z), tail, here, here * self.ahead, 2 * drift)
        return k * d - e, 2 * (k**2 * d - 2 * k * e + 2 * f) + drift * tail + here

    def tail(self, top: Array, unit: Array | float) -> Array:
        """Normal probability beyond the end, from the density `top` there, in a unit in which all is `unit`."""
        tail = top * self.size
        return jnp.where(self.z < 0, unit - tail, tail)


class _Interval(NamedTuple):
    """An interval of distances."""

    low: _Place
    high: _Place

    @classmethod
    def of(cls, low: Array, high: Array, drift: Array) -> _Interval:
        """The interval from `low` to `high`."""
        late = high - drift < -1.0
        return cls(_Place.at(low, drift, late), _Place.at(high, drift, late))

    @property
    def late(self) -> Array:
        """Whether all of it is far behind the drift."""
        return self.high.late

    @property
    def width(self) -> Array:
        """Its length."""
        return self.high.k - self.low.k

    @property
    def log_mean(self) -> Array:
        """Logarithm of the mean probability of not having arrived."""
        gone = (self.low.arrived - self.high.arrived) / self.width
        early = jnp.log1p(-jnp.clip(gone, 0.0, 1 - tails.HALF_DIGIT))
        late = log_phi(self.high.behind) + log_positive((self.high.left - self._less * self.low.left) / self.width)
        return jnp.where(self.late, late, early)

    def slopes_late(self) -> tuple[Array, Array]:
        """First and second derivative of `log_mean` by the drift where it is late.

        They are those of the density at the higher end plus those of the rest: taken apart, the first keep the digits that the
        rest loses.
        """
        less, width, low, high = self._less, self.width, self.low.left, self.high.left
        (first, second), (first_high, second_high) = self.low.slopes_of_left(), self.high.slopes_of_left()
        whole = jnp.maximum(high - less * low, tails.TINY)
        slope = (first_high - less * (first - width * low)) / whole
        bent = (second_high - less * (second - 2 * width * first + width**2 * low)) / whole
        return slope - self.high.behind, bent - slope**2 - 1

    @property
    def _less(self) -> Array:
        """Density at the lower end over that at the higher one, where it is late."""
        return jnp.exp(0.5 * (self.high.behind**2 - self.low.behind**2))


def _quotients(z: Array, tail: Array, top: Array, ahead: Array, step: Array) -> tuple[Array, Array, Array]:
    """Difference quotients of Mills' ratio between `z` and ``z + step``, times the density at `z`, of three orders.

    They are those of `z` taken once, twice and three times. Where `k` is ``z + step / 2`` and `D`, `E` and `F` are the
    quotients, the integral of the reflected part, times 1, `k` and the square of `k`, is `D`, ``k D - E`` and
    ``k^2 D - 2 k E + 2 F``. For small steps they are Taylor series.

    Parameters
    ----------
    z, step
        Standardised distance from the drift, and twice the drift.
    tail, top, ahead
        Mills' ratio at `z`, 1, and Mills' ratio at ``z + step``, each times the density at `z`.
    """
    slow = step < _SLOW
    size, little = jnp.where(slow, 1.0, step), jnp.where(slow, step, 0.0)
    # Derivatives of Mills' ratio, each over the factorial of its order.
    terms = [tail, z * tail - top]
    for n in range(1, _TERMS + 3):
        terms.append((terms[n - 1] + z * terms[n]) / (n + 1))
    out, last = [], ahead
    for order in (1, 2, 3):
        last = (last - terms[order - 1]) / size
        series = functools.reduce(lambda total, term: total * little + term, reversed(terms[order : order + _TERMS]))
        out.append(jnp.where(slow, series, last))
    return out[0], out[1], out[2]
