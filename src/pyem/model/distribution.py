"""The few response distributions that most models need, light enough to load at once.

A policy may return any object with ``log_prob(value)`` and ``sample(key)``, so every NumPyro distribution works too.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import gammaln
from jax.typing import ArrayLike

from pyem.model.entries import entry
from pyem.model.log_softmax import log_softmax, log_softmax_of


class Distribution(Protocol):
    """Distribution of a response: a density that can be sampled."""

    def log_prob(self, value: Array) -> Array:
        """Log-probability, in nats."""
        ...

    def sample(self, key: Array) -> Array:
        """One random draw."""
        ...


class Categorical(NamedTuple):
    """A choice among options ``0 .. n-1`` with unnormalised log-probabilities `logits`, last axis.

    Examples
    --------
    >>> round(float(Categorical(jnp.array([0.0, 0.0])).log_prob(1)), 4)
    -0.6931
    """

    logits: Array

    @property
    def log_probs(self) -> Array:
        """Normalised log-probabilities, in nats."""
        return log_softmax(self.logits)

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-probability of option `value`, in nats."""
        value = jnp.asarray(value)
        # A column of codes with an empty cell is read as floating-point numbers.
        value = value.astype(int) if jnp.issubdtype(value.dtype, jnp.inexact) else value
        if self.logits.ndim != 1 or value.ndim:
            return self.log_probs[value]
        n_options = len(self.logits)
        log_p = log_softmax_of(self.logits, value) if n_options == 2 else entry(self.log_probs, value)
        # A value that is no option has probability 0.
        return jnp.where((value >= 0) & (value < n_options), log_p, -jnp.inf)

    def sample(self, key: Array) -> Array:
        """One random option."""
        return jax.random.categorical(key, self.logits, axis=-1)


class Normal(NamedTuple):
    """A Gaussian with mean `loc` and standard deviation `scale`.

    Examples
    --------
    >>> round(float(Normal(0.0, 1.0).log_prob(0.0)), 4)
    -0.9189
    """

    loc: ArrayLike
    scale: ArrayLike

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-density of `value`, in nats."""
        z = (jnp.asarray(value) - self.loc) / self.scale
        log_p = -0.5 * z * z - jnp.log(self.scale) - 0.5 * math.log(2 * math.pi)
        # Where the scale is 0, everything but the mean is impossible.
        return jnp.where(jnp.isinf(z), -jnp.inf, log_p)

    def sample(self, key: Array) -> Array:
        """One random draw."""
        loc = jnp.asarray(self.loc)
        return loc + jnp.asarray(self.scale) * jax.random.normal(key, loc.shape)


class Poisson(NamedTuple):
    """Counts with mean `rate`.

    Give its logarithm, too, where a model knows it: a rate too small for a number then keeps its logarithm, and none is taken.

    Examples
    --------
    >>> round(float(Poisson(2.0).log_prob(0)), 4)
    -2.0
    """

    rate: ArrayLike
    log_rate: ArrayLike | None = None

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-probability of the count `value`, in nats."""
        value = _as_float(value)
        # Zero times the logarithm of 0 is 0, and so is its derivative.
        log_rate = jnp.log(jnp.where(value == 0, 1.0, self.rate)) if self.log_rate is None else self.log_rate
        return value * log_rate - self.rate - gammaln(value + 1.0)

    def sample(self, key: Array) -> Array:
        """One random count."""
        return jax.random.poisson(key, jnp.asarray(self.rate))


class NegativeBinomial(NamedTuple):
    """Counts with more variance than `Poisson`: the mean is `exp(log_mean)`, the variance mean + mean^2 / `exp(log_size)`.

    Give the logarithms, as a small mean or a large size has them without rounding; with a size without end it is `Poisson`.

    Examples
    --------
    >>> round(float(NegativeBinomial(0.0, 0.0).log_prob(0)), 4)
    -0.6931
    """

    log_mean: ArrayLike
    log_size: ArrayLike

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-probability of the count `value`, in nats; minus infinity for values that are no count."""
        value = _as_float(value)
        # If the size or the mean is 0, all counts are 0.
        some = (_as_float(self.log_size) > -jnp.inf) & (_as_float(self.log_mean) > -jnp.inf)
        possible = _is_count(value) & (some | (value == 0))
        value = jnp.where(possible & some, value, 0.0)
        log_size, log_mean = jnp.where(some, self.log_size, 0.0), jnp.where(some, self.log_mean, 0.0)
        # The size times log(1 + mean / size), which tends to the mean as the size grows.
        more = jax.nn.softplus(log_mean - log_size)
        ways = _log_rising(log_size, value) - gammaln(value + 1.0)
        log_p = ways + value * (log_mean - more) - jnp.exp(log_size) * more
        return jnp.where(possible, jnp.where(some, log_p, 0.0), -jnp.inf)

    def sample(self, key: Array) -> Array:
        """One random count: of a Poisson distribution whose rate is gamma distributed."""
        first, second = jax.random.split(key)
        log_size = _as_float(self.log_size)
        # The logarithm of a gamma variate with a small shape is finite even where the variate is 0.
        log_rate = jax.random.loggamma(first, jnp.exp(log_size)) - log_size + self.log_mean
        return jax.random.poisson(second, jnp.exp(log_rate))


def _log_rising(log_size: Array, count: Array) -> Array:
    """``log(gamma(size + count) / gamma(size) / size**count)``, without the rounding of the difference of large numbers."""
    size = jnp.exp(log_size)
    large = size > 1e5 * (1.0 + count)
    some = jnp.where(large, 1.0, size)
    # The recursion moves the argument by one, as derivatives of the logarithm of gamma(size) diverge at 0.
    first = jnp.where(count > 0, log_size - jnp.log(jnp.where(large, 1.0, size) + count), 0.0)
    whole = gammaln(some + count + 1.0) - gammaln(some + 1.0) + first - count * jnp.log(some)
    return jnp.where(large, 0.5 * count * (count - 1.0) / jnp.where(large, size, 1.0), whole)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Yes (1) or no (0); give the log-odds of yes, `logits`, or its probability, `probs`.

    Derivatives are exact everywhere, at even odds and at the ends of the range, too.

    Examples
    --------
    >>> round(float(Bernoulli(logits=0.0).log_prob(1)), 4)
    -0.6931
    >>> round(float(Bernoulli(probs=0.9).log_prob(1)), 4)
    -0.1054
    """

    _: dataclasses.KW_ONLY
    logits: ArrayLike | None = None
    probs: ArrayLike | None = None

    def __post_init__(self) -> None:
        _one_of("Bernoulli", self.logits, self.probs)

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-probability of `value`, in nats; minus infinity for values other than 0 and 1."""
        value = _as_float(value)
        log_p = _log_odds(self.logits, self.probs, value, 1.0 - value)
        return jnp.where((value == 0) | (value == 1), log_p, -jnp.inf)

    def sample(self, key: Array) -> Array:
        """One random 0 or 1."""
        return jax.random.bernoulli(key, _probability(self.logits, self.probs)).astype(int)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Binomial:
    """Number of successes in `total_count` trials; give the log-odds of a success, `logits`, or its probability, `probs`.

    `total_count` may be a column of the data. Derivatives are exact everywhere, at even odds and at the ends of the range,
    too.

    Examples
    --------
    >>> round(float(Binomial(10, logits=0.0).log_prob(5)), 3)
    -1.402
    >>> round(float(Binomial(10, probs=0.5).log_prob(0)), 3)
    -6.931
    """

    total_count: ArrayLike
    _: dataclasses.KW_ONLY
    logits: ArrayLike | None = None
    probs: ArrayLike | None = None

    def __post_init__(self) -> None:
        _one_of("Binomial", self.logits, self.probs)

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-probability of `value` successes, in nats; minus infinity for values that are no count up to `total_count`."""
        value, n = _as_float(value), _as_float(self.total_count)
        possible = _is_count(value) & (value <= n)
        yes = jnp.where(possible, value, 0.0)
        no = jnp.where(possible, n - value, 0.0)
        ways = gammaln(yes + no + 1.0) - gammaln(yes + 1.0) - gammaln(no + 1.0)
        return jnp.where(possible, ways + _log_odds(self.logits, self.probs, yes, no), -jnp.inf)

    def sample(self, key: Array) -> Array:
        """One random number of successes."""
        p, n = _probability(self.logits, self.probs), _as_float(self.total_count)
        return jax.random.binomial(key, n, p, dtype=jnp.result_type(float)).astype(int)


class Unless(NamedTuple):
    """Another distribution, unless every response was made impossible.

    Examples
    --------
    >>> float(Unless(True, Normal(0.0, 1.0)).log_prob(0.0))
    -inf
    """

    impossible: ArrayLike
    dist: Any

    @property
    def logits(self) -> Array | None:
        """Logits of the options, if the response is a choice."""
        return option_logits(self.dist)

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-probability of `value`, in nats; minus infinity where nothing is possible."""
        return jnp.where(self.impossible, -jnp.inf, self.dist.log_prob(value))

    def sample(self, key: Array) -> Array:
        """One random draw of the other distribution."""
        return self.dist.sample(key)


def _as_float(value: ArrayLike) -> Array:
    # For 32-bit integers the functions of `jax.scipy.special` use single precision.
    return jnp.asarray(value, jnp.result_type(float))


def _is_count(value: Array) -> Array:
    return (value >= 0) & (value == jnp.floor(value))


def _one_of(name: str, logits: Any, probs: Any) -> None:
    if (logits is None) == (probs is None):
        given = "neither" if logits is None else "both"
        raise ValueError(f"{name} needs either logits= (log-odds) or probs=, but was given {given}")


def _probability(logits: Any, probs: Any) -> Array:
    return jax.nn.sigmoid(jnp.asarray(logits)) if probs is None else jnp.asarray(probs)


def _log_odds(logits: Any, probs: Any, yes: Array, no: Array) -> Array:
    """Value of ``yes * log p + no * log(1 - p)``, where 0 times minus infinity is 0; its derivatives are exact."""
    one, other = yes > 0, no > 0
    if probs is None:
        # An infinite logit is kept out of the term that is not used.
        up, down = jnp.where(one, logits, 0.0), jnp.where(other, logits, 0.0)
        return -yes * jax.nn.softplus(-up) - no * jax.nn.softplus(down)
    up, down = jnp.where(one, probs, 1.0), jnp.where(other, probs, 0.0)
    return yes * jnp.log(up) + no * jnp.log1p(-down)


def option_logits(distribution: Any) -> Array | None:
    """Logits of all options, last axis, of a choice among options, ours or NumPyro's; None for other distributions."""
    counts = isinstance(distribution, Bernoulli) or getattr(distribution, "total_count", None) is not None
    logits = None if counts else getattr(distribution, "logits", None)
    return logits if logits is not None and jnp.ndim(logits) else None


def option_count(distribution: Any) -> int | None:
    """Number of options of a choice; None for other distributions.

    A distribution that has ``n_options`` is not asked for its logits, which of response times take long to trace.
    """
    n_options = getattr(distribution, "n_options", None)
    if n_options is not None:
        return n_options
    logits = option_logits(distribution)
    return None if logits is None else jnp.shape(logits)[-1]


def log_probs(distribution: Distribution) -> Array:
    """Log-probabilities of all options of a categorical distribution, ours or NumPyro's.

    Raises
    ------
    TypeError
        If the distribution is not one of a choice among options.
    """
    logits = option_logits(distribution)
    if logits is None:
        raise TypeError(
            f"expected a categorical distribution with logits, but the policy returned {type(distribution).__name__}; what is "
            "done to choices, such as a lapse, is for a response that is one of several options"
        )
    return log_softmax(logits)
