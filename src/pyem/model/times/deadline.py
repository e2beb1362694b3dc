"""Responses that have to be made in time: those that are not are censored, not dropped."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from pyem.model.times.race import Race
from pyem.model.times.wiener import Wiener


class Deadline(NamedTuple):
    """A choice that is made by a deadline or not: an additional option means that there was no choice in time.

    Attributes
    ----------
    base
        The decision without a deadline.
    deadline
        Seconds since the stimulus.

    Examples
    --------
    >>> shares = jax.jit(lambda v: jnp.exp(Deadline(Wiener(v, 1.5, t=0.3), 1.0).logits))
    >>> [round(float(p), 3) for p in shares(1.0)]
    [0.145, 0.651, 0.204]
    """

    base: Wiener | Race
    deadline: float

    @property
    def n_options(self) -> int:
        """Number of options: those of the decision, and no choice in time."""
        return self.base.n_options + 1

    @property
    def logits(self) -> Array:
        """Log-probabilities of each option of the decision, and of no choice in time."""
        # A single program for all options compiles in a fraction of the time.
        by_then = jax.vmap(lambda choice: self.base.log_cdf((choice, self.deadline))[0], out_axes=-1)
        made = by_then(jnp.arange(self.base.n_options))
        return jnp.concatenate([made, self.base.log_survivor(self.deadline)[..., None]], axis=-1)

    def log_prob(self, value: tuple[ArrayLike, ArrayLike]) -> Array:
        """Log-density, in nats, of a choice and its time; without a choice in time, the log-probability of that."""
        choice, rt = value
        late = jnp.asarray(choice) == self.base.n_options
        made = self.base.log_prob((jnp.where(late, 0, choice), jnp.where(late, self.deadline, rt)))
        return jnp.where(late, self.base.log_survivor(self.deadline), made)

    def sample(self, key: Array) -> tuple[Array, Array]:
        """Draw one choice and its time, which is the deadline where there was no choice."""
        choice, rt = self.base.sample(key)
        late = rt > self.deadline
        return jnp.where(late, self.base.n_options, choice), jnp.where(late, self.deadline, rt)


class GoNoGo(NamedTuple):
    """Go (1) when the upper bound is reached by the deadline, and no-go (0) otherwise, at a time that is not observed.

    Attributes
    ----------
    base
        The decision, of which only the upper bound is a response.
    deadline
        Seconds since the stimulus.

    References
    ----------
    Gomez, P., Ratcliff, R., & Perea, M. (2007). A model of the go/no-go task. Journal of Experimental Psychology: General,
    136(3), 389-413. https://doi.org/10.1037/0096-3445.136.3.389

    Examples
    --------
    >>> shares = jax.jit(lambda v: jnp.exp(GoNoGo(Wiener(v, 1.5, t=0.3), 1.0).logits))
    >>> [round(float(p), 3) for p in shares(1.0)]
    [0.349, 0.651]
    """

    base: Wiener
    deadline: float

    @property
    def n_options(self) -> int:
        """Number of options, two: no-go and go."""
        return 2

    @property
    def logits(self) -> Array:
        """Log-probabilities of no-go and go."""
        go, held = self.base.log_cdf((1, self.deadline))
        return jnp.stack([held, go], axis=-1)

    def log_prob(self, value: tuple[ArrayLike, ArrayLike]) -> Array:
        """Log-density, in nats, of go and its time; for no-go, its log-probability, whatever the time is."""
        choice, rt = value
        go = jnp.asarray(choice) == 1
        made = self.base.log_prob((1, jnp.where(go, rt, self.deadline)))
        return jnp.where(go, made, self.base.log_cdf((1, self.deadline))[1])

    def sample(self, key: Array) -> tuple[Array, Array]:
        """Draw go or no-go, and its time, which for no-go is the deadline."""
        choice, rt = self.base.sample(key)
        go = (choice == 1) & (rt <= self.deadline)
        return go.astype(choice.dtype), jnp.where(go, rt, self.deadline)
