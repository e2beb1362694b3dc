"""Options that pay with probabilities that are fixed, reverse or drift."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Bandit:
    """Options that pay 1 with fixed probabilities, else 0.

    Parameters
    ----------
    probabilities
        Probability of a reward, for each option.
    outcome
        Name of the outcome's column.

    Examples
    --------
    >>> Bandit((0.8, 0.2)).probabilities
    (0.8, 0.2)
    """

    probabilities: tuple[float, ...] = (0.8, 0.2)
    outcome: str = "reward"

    @property
    def n_options(self) -> int:
        """Number of options."""
        return len(self.probabilities)

    def init(self, key: Array) -> Any:
        """Return an empty state: nothing changes in this task."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing but the options."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw a reward of 0 or 1."""
        p = jnp.asarray(self.probabilities)[trial.choice]
        return state, {self.outcome: jax.random.bernoulli(key, p).astype(float)}


@dataclasses.dataclass(frozen=True)
class Reversal:
    """A bandit whose probabilities are reversed every `every` trials.

    Examples
    --------
    >>> Reversal((0.8, 0.2), every=20).every
    20
    """

    probabilities: tuple[float, ...] = (0.8, 0.2)
    every: int = 20
    outcome: str = "reward"

    @property
    def n_options(self) -> int:
        """Number of options."""
        return len(self.probabilities)

    def init(self, key: Array) -> Any:
        """Start with no trials so far."""
        return jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing but the options."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw a reward of 0 or 1."""
        p = jnp.asarray(self.probabilities)
        p = jnp.where((state // self.every) % 2 == 1, p[::-1], p)[trial.choice]
        return state + 1, {self.outcome: jax.random.bernoulli(key, p).astype(float)}


@dataclasses.dataclass(frozen=True)
class DriftingBandit:
    """Options whose probabilities of a reward walk at random between two bounds (Daw et al., 2006, for binary rewards).

    Parameters
    ----------
    n_options
        Number of options.
    sd
        Standard deviation of a step.
    low, high
        Reflecting bounds.

    References
    ----------
    Daw, N. D., et al. (2006). Cortical substrates for exploratory decisions in humans. Nature, 441, 876-879.
    https://doi.org/10.1038/nature04766

    Examples
    --------
    >>> DriftingBandit(4).n_options
    4
    """

    n_options: int = 2
    sd: float = 0.025
    low: float = 0.25
    high: float = 0.75
    outcome: str = "reward"

    def init(self, key: Array) -> Any:
        """Draw probabilities uniformly between the bounds."""
        return jax.random.uniform(key, (self.n_options,), minval=self.low, maxval=self.high, dtype=float)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing but the options."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw a reward of 0 or 1, and the probabilities of the next trial."""
        pay, walk = jax.random.split(key)
        reward = jax.random.bernoulli(pay, state[trial.choice]).astype(float)
        return drifted(state, walk, self.sd, self.low, self.high), {self.outcome: reward}


def drifted(state: Array, key: Array, sd: float, low: float, high: float) -> Array:
    """Take one Gaussian step of a random walk, reflected at the bounds `low` and `high` however long it is."""
    moved = state + sd * jax.random.normal(key, state.shape, state.dtype)
    width = high - low
    beyond = (moved - low) % (2 * width)
    return low + width - jnp.abs(beyond - width)
