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


class Distribution(Protocol):
    """What a policy returns: a density that can be sampled."""

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
        return jax.nn.log_softmax(self.logits, axis=-1)

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-probability of option `value`, in nats."""
        value = jnp.asarray(value)
        # A column of codes with an empty cell is read as floating-point numbers.
        return self.log_probs[value.astype(int) if jnp.issubdtype(value.dtype, jnp.inexact) else value]

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
        # Nothing times the logarithm of 0 is nothing, and so is its derivative.
        log_rate = jnp.log(jnp.where(value == 0, 1.0, self.rate)) if self.log_rate is None else self.log_rate
        return value * log_rate - self.rate - gammaln(value + 1.0)

    def sample(self, key: Array) -> Array:
        """One random count."""
        return jax.random.poisson(key, jnp.asarray(self.rate))


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
        """Log-probability of `value`, in nats; minus infinity for what is neither 0 nor 1."""
        value = _as_float(value)
        log_p = _log_odds(self.logits, self.probs, value, 1.0 - value)
        return jnp.where((value == 0) | (value == 1), log_p, -jnp.inf)

    def sample(self, key: Array) -> Array:
        """One random 0 or 1."""
        return jax.random.bernoulli(key, _probability(self.logits, self.probs)).astype(int)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Binomial:
    """How many of `total_count` trials are a success; give the log-odds of one, `logits`, or its probability, `probs`.

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
        """Log-probability of `value` successes, in nats; minus infinity for what is no count up to `total_count`."""
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


def _as_float(value: ArrayLike) -> Array:
    # Of whole numbers of 32 bits the functions of `jax.scipy.special` have single precision.
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
    """``yes * log p + no * log(1 - p)``, where nothing of something impossible is nothing; its derivatives are exact."""
    one, other = yes > 0, no > 0
    if probs is None:
        # An infinite logit is kept out of the term that does not count.
        up, down = jnp.where(one, logits, 0.0), jnp.where(other, logits, 0.0)
        return -yes * jax.nn.softplus(-up) - no * jax.nn.softplus(down)
    up, down = jnp.where(one, probs, 1.0), jnp.where(other, probs, 0.0)
    return yes * jnp.log(up) + no * jnp.log1p(-down)


def option_logits(distribution: Any) -> Array | None:
    """Logits of all options, last axis, of a choice among options, ours or NumPyro's; None for other distributions."""
    counts = isinstance(distribution, Bernoulli) or getattr(distribution, "total_count", None) is not None
    logits = None if counts else getattr(distribution, "logits", None)
    return logits if logits is not None and jnp.ndim(logits) else None


def log_probs(distribution: Distribution) -> Array:
    """Log-probabilities of all options of a categorical distribution, ours or NumPyro's.

    Raises
    ------
    TypeError
        If the distribution is not one of a choice among options.
    """
    logits = option_logits(distribution)
    if logits is None:
        raise TypeError(f"expected a categorical distribution with logits, but the policy returned {distribution!r}")
    return jax.nn.log_softmax(logits, axis=-1)
