"""Log-probability that a noisy accumulator has not arrived yet, where the start differs between trials."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from pyem.model.times import tails
from pyem.model.times.few import with_slopes
from pyem.model.times.means import End, Integrand, Lengths, Slopes, by_ends
from pyem.model.times.tails import log_phi, log_positive, mills

_SLOW, _TERMS = 0.05, 8
"""Step below which a difference quotient is a Taylor series, and number of its terms."""


# -- derivatives ---------------------------------------------------------------------------------------------------------


def _slopes(low: Array, high: Array, drift: Array) -> Slopes:
    """Derivatives of `log_mean_left`."""
    lengths = Lengths.of(low, high, drift)
    return lengths.slopes(lambda k: _integrand(k, drift), _slopes_of_wide(*lengths.whole()))


def _integrand(k: Array, drift: Array) -> Integrand:
    """Probability of not having passed one distance, made of the density at its end and of the reflected part."""
    log = _log_left(k, drift)
    end = jnp.exp(log_phi(k - drift) - log)
    back = end * mills(k + drift)
    by_k, by_k_k = 2 * (end - drift * back), 2 * end * (2 * drift - k) - 4 * drift**2 * back
    by_k_drift = 2 * k * end - 2 * back * (1 + 2 * k * drift)
    return Integrand(log, by_k, -2 * k * back, by_k_k, by_k_drift, 2 * k * (end - 2 * k * back))


def _slopes_of_wide(low: Array, high: Array, drift: Array) -> Slopes:
    """Derivatives of `_log_wide`.

    Those by the drift are integrals of the reflected part times the distance, and its square. Where little is left such
    integrals lose digits, and they are derived line by line.
    """
    late, width = high - drift < -1.0, high - low
    log_mean = _log_wide(low, high, drift)
    gone, share = -jnp.expm1(log_mean), jnp.exp(-jnp.where(late, 0.0, log_mean))

    def end(k: Array) -> tuple[Array, Array, End]:
        z = k - drift
        here, ahead = jnp.exp(log_phi(z) - log_mean), mills(k + drift)
        tail = 0.5 * lax.erfc(z * math.sqrt(0.5)) * share
        left = here * (mills(jnp.where(late, -z, 1.0)) - ahead) - 1
        excess = jnp.where(late, left, gone * share - tail - here * ahead)
        d, e, f = _quotients(z, tail, here, here * ahead, 2 * drift)
        once, twice = k * d - e, 2 * (k**2 * d - 2 * k * e + 2 * f) + drift * tail + here
        return once, twice, End(excess, 2 * here * (1 - drift * ahead), -2 * k * here * ahead)

    # Both ends in one pass, which halves what is compiled.
    once, twice, ends = end(jnp.stack([low, high]))
    early = -2 * (once[1] - once[0]) / width
    early_bent = -2 * (twice[1] - twice[0]) / width - early**2
    near, far = (End(*(part[k] for part in ends)) for k in (0, 1))
    of_late, of_late_bent = _slopes_of_late(*_where_late(late, low, high, drift))
    return by_ends(width, near, far, jnp.where(late, of_late, early), jnp.where(late, of_late_bent, early_bent))


def _slopes_of_late(low: Array, high: Array, pace: Array) -> tuple[Array, Array]:
    """First and second derivative of `_log_late` by the drift, line by line."""
    along = lambda of: lambda d: jax.jvp(of, (d,), (jnp.ones_like(d),))  # noqa: E731
    (_, by_drift), (_, bent) = along(along(lambda d: _log_late(low, high, d)))(pace)
    return by_drift, bent


# -- the mean ------------------------------------------------------------------------------------------------------------


@with_slopes(_slopes)
def log_mean_left(low: Array, high: Array, drift: Array) -> Array:
    """Log-probability of not having reached a threshold at a distance that is uniform from `low` to `high`.

    Examples
    --------
    >>> round(float(log_mean_left(jnp.asarray(1.0), jnp.asarray(2.0), jnp.asarray(0.5))), 4)
    -0.3209
    """
    lengths = Lengths.of(low, high, drift)
    return lengths.mean(lambda k: _log_left(k, drift), _log_wide(*lengths.whole()))


def _log_left(k: Array, drift: Array) -> Array:
    """Log-probability of not having reached a threshold at the standardised distance `k`."""
    behind = k < drift
    size = jnp.abs(k - drift)
    tail, ahead = mills(size), mills(k + drift)
    left = log_phi(size) + log_positive(tail - ahead)
    gone = jnp.exp(log_phi(size)) * (tail + ahead)
    return jnp.where(behind, left, jnp.log1p(-jnp.minimum(gone, 1 - tails.HALF_DIGIT)))


def _log_wide(near: Array, far: Array, drift: Array) -> Array:
    """Logarithm of the mean over distances from `near` to `far`, as the difference of integrals at the two."""
    late = far - drift < -1.0
    width = far - near
    of_near, of_far = _early(jnp.where(late, drift, jnp.stack([near, far])), drift)
    gone = (of_near - of_far) / width
    early = jnp.log1p(-jnp.clip(gone, 0.0, 1 - tails.HALF_DIGIT))
    return jnp.where(late, _log_late(*_where_late(late, near, far, drift)), early)


def _where_late(late: Array, near: Array, far: Array, drift: Array) -> tuple[Array, Array, Array]:
    """The interval and the drift, with others in place of those where more is left."""
    return jnp.where(late, near, 0.0), jnp.where(late, far, 1.0), jnp.where(late, drift, 3.0)


def _log_late(low: Array, high: Array, pace: Array) -> Array:
    """The logarithm of the mean where little is left: all distances are far behind."""
    less = jnp.exp(0.5 * ((pace - high) ** 2 - (pace - low) ** 2))
    of_low, of_high = _late(jnp.stack([low, high]), pace)
    return log_phi(pace - high) + log_positive((of_high - less * of_low) / (high - low))


def _late(k: Array, drift: Array) -> Array:
    """The integral of the survivor up to `k`, over the normal density at ``drift - k``, where that is above 1."""
    m, twice = drift - k, 2 * drift
    behind = mills(m)
    return (1 - m * behind) - (mills(drift + k) + behind) / twice


def _early(k: Array, drift: Array) -> Array:
    """Integral of the probability of having reached a threshold farther than `k`."""
    z = k - drift
    tail, top = 0.5 * lax.erfc(z * math.sqrt(0.5)), jnp.exp(log_phi(z))
    return top - z * tail - _quotients(z, tail, top, top * mills(k + drift), 2 * drift)[0]


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
