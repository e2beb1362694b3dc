"""Log-probability that a linear accumulator has not arrived yet, where slope and start differ between trials."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from pyem.model.times import tails
from pyem.model.times.few import with_slopes
from pyem.model.times.means import End, Integrand, Lengths, Slopes, by_ends, chosen, nodes
from pyem.model.times.rate import log_between
from pyem.model.times.tails import log_phi, log_positive, mills


class _OfShare(NamedTuple):
    """First and second derivative of `log_share`."""

    first: tuple[Array, ...]
    second: tuple[tuple[Array, ...], ...]


def _slopes_of_share(y: Array) -> _OfShare:
    pull = jnp.exp(log_phi(y) - log_share(y))
    return _OfShare((pull,), ((-pull * (y + pull),),))


@with_slopes(_slopes_of_share)
def log_share(y: Array) -> Array:
    """Logarithm of the share of slopes above 0."""
    below = y < 0
    down, up = jnp.where(below, -y, 0.0), jnp.where(below, 0.0, y)
    return jnp.where(below, log_phi(down) + jnp.log(mills(down)), jnp.log1p(-_tail(up)))


def _tail(m: Array) -> Array:
    return jnp.exp(log_phi(m)) * mills(m)


# -- derivatives ---------------------------------------------------------------------------------------------------------


def _slopes(low: Array, high: Array, y: Array) -> Slopes:
    """Derivatives of `log_mean_left`."""
    late, share = _is_late(high, y), log_share(y)
    lengths = Lengths.of(low, high, y, late)
    # The derivative of the logarithm of the share of slopes above 0.
    pull = jnp.exp(log_phi(y) - share)
    others = lengths.slopes(lambda k: _integrand(k, y, share, pull), _slopes_of_wide(*lengths.ends(), y, share, pull))
    return chosen(late, _slopes_of_late(*_in_late(late, low, high, y), pull), others)


def _integrand(k: Array, y: Array, share: Array, pull: Array) -> Integrand:
    """Share of slopes that do not reach one distance; its derivatives are made of the densities at its ends."""
    log, end, start = _left(k, y, share, pull)
    z, less = k - y, start - end
    by_y_y = pull * (y + 2 * pull) - y * start - z * end - 2 * pull * less
    return Integrand(log, end, less - pull, -z * end, end * (z - pull), by_y_y)


def _slopes_of_late(low: Array, high: Array, y: Array, pull: Array) -> Slopes:
    """Derivatives of `_log_late`, less the logarithm of the share, which are sums of positive terms too."""
    u, weight = nodes(jnp.ndim(low))
    total = lambda values: (weight * values).sum(0)  # noqa: E731
    start, k, left = low * u, low + (high - low) * u, 1 - u
    before, inside = low * _over(start, y), (high - low) * left * _over(k, y)
    whole = jnp.maximum(total(before + inside), tails.TINY)
    at, bent = _over(k, y) / whole, (y - k) * _over(k, y) / whole
    n, f, d = total(left * at), total(u * at), total(start * before + k * inside) / whole
    second = total(start**2 * before + k**2 * inside) / whole
    return Slopes(
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
    """Derivatives of `_log_wide`."""
    width, late = high - low, high - y < -1.0
    log_mean = _log_wide(low, high, y, share)
    gone = -jnp.expm1(log_mean)
    start = jnp.exp(log_phi(y) - share - log_mean)
    passing = jnp.exp(log_between(low - y, high - y) - jnp.log(width) - share - log_mean)
    less = start - passing

    def end(k: Array) -> tuple[Array, End]:
        z = k - y
        here = jnp.exp(log_phi(z) - share - log_mean)
        # What `_log_wide` computes, too, is written as there, so that the compiler computes it once.
        fast, behind = jnp.where(late, y, 3.0), jnp.exp(jnp.where(late, 0.5 * (z**2 - y**2), 0.0))
        left = here * (mills(jnp.abs(z)) - behind * mills(fast)) - 1
        excess = jnp.where(late, left, (gone - _gone(z, share)) * jnp.exp(-log_mean))
        return here, End(excess, here, start - here - (1 + excess) * pull)

    (density_low, near), (density_high, far) = end(low), end(high)
    bent = (density_high - density_low) / width - y * start + pull * (y + pull)
    return by_ends(width, near, far, less - pull, bent - less**2)


def _gone(z: Array, share: Array) -> Array:
    """Share of slopes that exceed the mean slope by `z`, among those above 0."""
    ahead = z < 0
    tail = jnp.exp(log_phi(z) - share) * mills(jnp.abs(z))
    return jnp.where(ahead, jnp.exp(-jnp.where(ahead, share, 0.0)) - tail, tail)


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
    late, share = _is_late(high, y), log_share(y)
    lengths = Lengths.of(low, high, y, late)
    pull = jnp.exp(log_phi(y) - share)
    others = lengths.mean(lambda k: _left(k, y, share, pull).log, _log_wide(*lengths.ends(), y, share))
    return jnp.where(late, _log_late(*_in_late(late, low, high, y)) - share, others)


def _over(k: Array, y: Array) -> Array:
    """Density of slopes at `k` divided by that at 0, as both may be very small."""
    return jnp.exp(k * (y - 0.5 * k))


def _log_late(low: Array, high: Array, y: Array) -> Array:
    """Log-probability where little is left: the integral over slopes too small for the distance, a sum of positive terms."""
    gap = high - low
    u, weight = nodes(jnp.ndim(low))
    total = (weight * (low * _over(low * u, y) + gap * (1 - u) * _over(low + gap * u, y))).sum(0)
    return log_positive(total) + log_phi(y)


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


def _log_wide(low: Array, high: Array, y: Array, share: Array) -> Array:
    """Logarithm of the mean over distances from `low` to `high`, as the difference of integrals at the two."""
    start, stop = low - y, high - y
    late = stop < -1.0
    first, last = (1 - jnp.abs(z) * mills(jnp.abs(z)) for z in (start, stop))
    gone = jnp.where(late, 0.0, (_beyond(start, first, share) - _beyond(stop, last, share)) / (high - low))
    soon = jnp.log1p(-jnp.clip(gone, 0.0, 1 - tails.HALF_DIGIT))
    fast = jnp.where(late, y, 3.0)
    over = lambda z: jnp.exp(jnp.where(late, 0.5 * (stop**2 - z**2), 0.0))  # noqa: E731
    left = last - over(start) * first - (high - low) * over(y) * mills(fast)
    return jnp.where(late, log_phi(stop) + log_positive(left / (high - low)) - share, soon)


def _beyond(z: Array, part: Array, share: Array) -> Array:
    """Integral of the normal tail beyond `z`, over slopes above 0; `part` is the tail beyond its size over the density."""
    return jnp.exp(log_phi(z) - share) * part + jnp.maximum(-z, 0.0) * jnp.exp(-share)
