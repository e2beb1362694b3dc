"""Two responses of one trial with one distribution, such as a choice and its response time."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import option_count
from pyem.model.log_softmax import log_softmax


class JointDistribution(Protocol):
    """Joint distribution of two responses, as in ``responses=(("choice", "rt"),)``.

    Of a pair the first response is one of several options, and the second any number.
    """

    @property
    def logits(self) -> Array:
        """Log-probabilities of the options, last axis, whatever the second response is."""
        ...

    def log_prob(self, value: tuple[Any, Any]) -> Array:
        """Log-density of both responses, in nats."""
        ...

    def sample(self, key: Array) -> tuple[Array, Array]:
        """Draw both responses together."""
        ...


class First(NamedTuple):
    """The first response of a pair, whatever the second one is."""

    joint: Any

    @property
    def n_options(self) -> int | None:
        """Number of options."""
        return option_count(self.joint)

    @property
    def logits(self) -> Array:
        """Log-probabilities of the options, last axis."""
        return self.joint.logits

    def log_prob(self, value: Any) -> Array:
        """Log-probability of option `value`, in nats."""
        return log_softmax(self.logits)[jnp.asarray(value).astype(int)]

    def sample(self, key: Array) -> Array:
        """First of the pair that is drawn with `key`."""
        return self.joint.sample(key)[0]


class Second(NamedTuple):
    """The second response of a pair, given the first."""

    joint: Any
    first: Any

    def log_prob(self, value: Any) -> Array:
        """Log-density of `value`, in nats."""
        return self.both(value) - First(self.joint).log_prob(self.first)

    def both(self, value: Any) -> Array:
        """Log-density of `value` together with the first response."""
        return self.joint.log_prob((self.first, value))

    def sample(self, key: Array) -> Array:
        """Second of the pair that is drawn with `key`, whose first is what `First` draws with the same key."""
        return self.joint.sample(key)[1]


def keys_of(responses: tuple[str, ...], joint: tuple[tuple[str, str], ...], key: Array) -> dict[str, Array]:
    """A key for each response; those of a pair have the same one, so that they are drawn together."""
    keys = dict(zip(responses, jax.random.split(key, len(responses)), strict=True))
    return keys | {second: keys[first] for first, second in joint}
