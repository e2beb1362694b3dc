"""The few response distributions that most models need, light enough to load at once.

A policy may return any object with ``log_prob(value)`` and ``sample(key)``, so every NumPyro distribution works too.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array
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
        return self.log_probs[jnp.asarray(value)]

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
        return -0.5 * z * z - jnp.log(self.scale) - 0.5 * math.log(2 * math.pi)

    def sample(self, key: Array) -> Array:
        """One random draw."""
        loc = jnp.asarray(self.loc)
        return loc + jnp.asarray(self.scale) * jax.random.normal(key, loc.shape)


class Poisson(NamedTuple):
    """Counts with mean `rate`.

    Examples
    --------
    >>> round(float(Poisson(2.0).log_prob(0)), 4)
    -2.0
    """

    rate: ArrayLike

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-probability of the count `value`, in nats."""
        value = jnp.asarray(value)
        return value * jnp.log(self.rate) - self.rate - jax.scipy.special.gammaln(value + 1.0)

    def sample(self, key: Array) -> Array:
        """One random count."""
        return jax.random.poisson(key, jnp.asarray(self.rate))


def log_probs(distribution: Distribution) -> Array:
    """Log-probabilities of all options of a categorical distribution, ours or NumPyro's.

    Raises
    ------
    TypeError
        If the distribution has no ``logits``.
    """
    logits = getattr(distribution, "logits", None)
    if logits is None:
        raise TypeError(f"expected a categorical distribution with logits, but the policy returned {distribution!r}")
    return jax.nn.log_softmax(logits, axis=-1)
