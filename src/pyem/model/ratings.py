"""Distributions of judgements: shares and slider positions between 0 and 1, and ordered categories."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import gammaln
from jax.typing import ArrayLike

from pyem.model.times.few import Derived, with_slopes
from pyem.model.times.tails import log_ndtr, log_ndtr_and_slope, log_phi

Link = Literal["logit", "probit"]
"""Noise of a judgement: logistic for ``"logit"``, standard normal for ``"probit"``."""
SMALL = 1e-100
"""Distance given to thresholds that rounding has put together; its inverse is finite squared and by small scales, too."""
FAR = 100.0
"""Distance beyond which normal noise is negligible."""


class Beta(NamedTuple):
    """Shares strictly between 0 and 1, with log-odds of the mean `logits` and the precision `exp(log_precision)`.

    The variance is mean (1 - mean) / (1 + precision).

    References
    ----------
    Ferrari, S., & Cribari-Neto, F. (2004). Beta regression for modelling rates and proportions. Journal of Applied Statistics,
    31(7), 799-815. https://doi.org/10.1080/0266476042000214501

    Examples
    --------
    >>> round(float(Beta(0.0, jnp.log(2.0)).log_prob(0.3)), 4)
    0.0
    """

    logits: ArrayLike
    log_precision: ArrayLike

    @property
    def _log_shapes(self) -> tuple[Array, Array]:
        logits = jnp.asarray(self.logits, jnp.result_type(float))
        return jax.nn.log_sigmoid(logits) + self.log_precision, jax.nn.log_sigmoid(-logits) + self.log_precision

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-density of `value`, in nats; minus infinity outside of 0 to 1."""
        value = jnp.asarray(value, jnp.result_type(float))
        possible = (value > 0) & (value < 1)
        value = jnp.where(possible, value, 0.5)
        log_a, log_b = self._log_shapes
        a, b = jnp.exp(log_a), jnp.exp(log_b)
        # The recursion moves each argument by one, as derivatives of the logarithm of gamma(a) diverge at 0.
        log_beta = gammaln(a + 1) + gammaln(b + 1) - gammaln(a + b + 1) - jax.nn.log_sigmoid(self.logits) - log_b
        log_p = (a - 1) * jnp.log(value) + (b - 1) * jnp.log1p(-value) - log_beta
        return jnp.where(possible, log_p, -jnp.inf)

    def sample(self, key: Array) -> Array:
        """One random share."""
        log_a, log_b = self._log_shapes
        drawn = jax.random.beta(key, jnp.exp(log_a), jnp.exp(log_b))
        small = jnp.finfo(drawn.dtype).eps
        return jnp.clip(drawn, small, 1 - small)


class Ordinal(NamedTuple):
    """Ordered categories 0, 1, ... K - 1: `location` plus noise lies between two of the K - 1 increasing `thresholds`.

    P(at most k) = F(thresholds[k] - location), with the logistic (``link="logit"``) or the normal (``"probit"``) function F.

    References
    ----------
    McCullagh, P. (1980). Regression models for ordinal data. Journal of the Royal Statistical Society B, 42(2), 109-142.
    https://doi.org/10.1111/j.2517-6161.1980.tb01109.x

    Examples
    --------
    >>> [round(float(p), 3) for p in jnp.exp(Ordinal(0.0, jnp.array([-1.0, 1.0]), "probit").logits)]
    [0.159, 0.683, 0.159]
    """

    location: ArrayLike
    thresholds: Array
    link: Link = "logit"

    @property
    def n_options(self) -> int:
        """Number of categories."""
        return jnp.shape(self.thresholds)[-1] + 1

    @property
    def logits(self) -> Array:
        """Log-probabilities of all categories, last axis, in nats."""
        return log_between(self.thresholds - jnp.asarray(self.location)[..., None], self.link)

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-probability of the category `value`, in nats."""
        return jnp.take(self.logits, jnp.asarray(value).astype(int), axis=-1)

    def sample(self, key: Array) -> Array:
        """One random category."""
        return jax.random.categorical(key, self.logits, axis=-1)


class Steps(NamedTuple):
    """Ordered categories 0, 1, ... K - 1 of standard normal noise above a `border`; the inner ones have the widths `steps`.

    There are K - 1 widths; the last category has no end. A category without width is impossible.

    References
    ----------
    Maniscalco, B., & Lau, H. (2012). A signal detection theoretic approach for estimating metacognitive sensitivity from
    confidence ratings. Consciousness and Cognition, 21(1), 422-430. https://doi.org/10.1016/j.concog.2011.09.021

    Examples
    --------
    >>> [round(float(p), 3) for p in jnp.exp(Steps(jnp.asarray(0.0), jnp.array([1.0])).logits)]
    [0.683, 0.317]
    """

    border: Array
    steps: Array

    @property
    def n_options(self) -> int:
        """Number of categories."""
        return self.steps.shape[-1] + 1

    @property
    def logits(self) -> Array:
        """Log-probabilities of all categories, last axis, in nats."""
        levels = jnp.arange(self.steps.shape[-1] + 1)
        return jax.vmap(self.log_prob)(levels)

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-probability, in nats, of the category `value` alone, as each category takes as long to compute."""
        levels = jnp.arange(self.steps.shape[-1])
        low = self.border + jnp.where(levels < value, self.steps, 0.0).sum(-1)
        width = jnp.where(levels == value, self.steps, 0.0).sum(-1)
        last = value == self.steps.shape[-1]
        high = jnp.where(last, jnp.maximum(low, 0.0) + FAR, low + width)
        inside = _normal_inside(low, high) - log_ndtr(-self.border)
        return jnp.where(last | (width > 0), inside, -jnp.inf)

    def sample(self, key: Array) -> Array:
        """One random category."""
        return jax.random.categorical(key, self.logits, axis=-1)


def log_between(bounds: Array, link: Link) -> Array:
    """Log-probabilities that noise falls below, between and above increasing `bounds` (..., K - 1): (..., K), in nats.

    Examples
    --------
    >>> [round(float(p), 2) for p in jnp.exp(log_between(jnp.array([0.0]), "logit"))]
    [0.5, 0.5]
    """
    below = _LOG_BELOW[link]
    low, high = bounds[..., :-1], bounds[..., 1:]
    return jnp.concatenate([below(bounds[..., :1]), _LOG_INSIDE[link](low, high), below(-bounds[..., -1:])], axis=-1)


def _logistic_inside(low: Array, high: Array) -> Array:
    return jax.nn.log_sigmoid(high) + jax.nn.log_sigmoid(-low) + _log1mexp(high - low)


def _normal_inside(low: Array, high: Array) -> Array:
    return _log_mass(0.5 * (low + high), jnp.maximum(high - low, SMALL))


def _slopes_of_mass(middle: Array, width: Array) -> Derived:
    """`_log_mass` with its derivatives: from the density for narrow intervals, elsewhere from the densities at both ends."""
    narrow = _is_narrow(middle, width)
    thin, wide = jnp.where(narrow, width, 1e-3), jnp.where(narrow, 1.0, width)
    at = jnp.where(narrow, middle, 0.0)
    whole = 1 + thin**2 * (at**2 - 1) / 24
    by_m, by_w = thin**2 * at / 12 / whole, thin * (at**2 - 1) / 12 / whole
    few = (by_m - at, by_w + 1 / thin)
    mixed = thin * at / 6 / whole - by_m * by_w
    few_bent = (thin**2 / 12 / whole - 1 - by_m**2, mixed, (at**2 - 1) / 12 / whole - 1 / thin**2 - by_w**2)
    low, high = middle - 0.5 * wide, middle + 0.5 * wide
    (log_near, here), (log_far, there) = map(log_ndtr_and_slope, _ends(middle, wide))
    # Where the ends are equal to rounding, the slope still points back.
    more = 1 / jnp.expm1(jnp.clip(log_near - log_far, 5e-4, 700.0))
    here, there = here * (1 + more), there * more
    above = middle > 0
    first, last = jnp.where(above, here, there), jnp.where(above, there, here)
    m, w = last - first, 0.5 * (first + last)
    low_m, high_m, low_w, high_w = (
        -first * (low + m),
        -last * (high + m),
        first * (0.5 * low - w),
        -last * (0.5 * high + w),
    )
    bent = (high_m - low_m, 0.5 * (low_m + high_m), 0.5 * (low_w + high_w))
    d_m, d_w = (jnp.where(narrow, a, b) for a, b in zip(few, (m, w), strict=True))
    m_m, m_w, w_w = (jnp.where(narrow, a, b) for a, b in zip(few_bent, bent, strict=True))
    value = jnp.where(narrow, _log_thin(at, thin), log_near + _log1mexp(log_near - log_far))
    return Derived(value, (d_m, d_w), ((m_m, m_w), (m_w, w_w)))


def _is_narrow(middle: Array, width: Array) -> Array:
    return width * jnp.maximum(1.0, jnp.abs(middle)) < 1e-3


def _ends(middle: Array, width: Array) -> tuple[Array, Array]:
    """Both ends mirrored to the lower tail, so that the smaller of two probabilities is not lost; the nearer one first."""
    near, far = 0.5 * width - jnp.abs(middle), -0.5 * width - jnp.abs(middle)
    # The far end of a wide interval is negligible; far away its logarithm would have no derivative.
    return near, jnp.maximum(far, jnp.minimum(near, 0.0) - 40.0)


def _log_thin(middle: Array, width: Array) -> Array:
    """Log-probability of a narrow interval: its width times the density in its middle, to third order of the width."""
    return jnp.log(width) + log_phi(middle) + jnp.log1p(width**2 * (middle**2 - 1) / 24)


@with_slopes(_slopes_of_mass)
def _log_mass(middle: Array, width: Array) -> Array:
    """Log-probability, in nats, that a standard normal number is within half a width of a middle."""
    narrow = _is_narrow(middle, width)
    near, far = map(log_ndtr, _ends(middle, jnp.where(narrow, 1.0, width)))
    thin = _log_thin(jnp.where(narrow, middle, 0.0), jnp.where(narrow, width, 1e-3))
    return jnp.where(narrow, thin, near + _log1mexp(near - far))


def _log1mexp(gap: Array) -> Array:
    """Value of ``log(1 - exp(-gap))`` for a gap above 0."""
    gap = jnp.maximum(gap, SMALL)
    near = gap < math.log(2)
    return jnp.where(
        near, jnp.log(-jnp.expm1(-jnp.where(near, gap, 1.0))), jnp.log1p(-jnp.exp(-jnp.where(near, 1.0, gap)))
    )


_LOG_BELOW = {"logit": jax.nn.log_sigmoid, "probit": log_ndtr}
_LOG_INSIDE = {"logit": _logistic_inside, "probit": _normal_inside}
