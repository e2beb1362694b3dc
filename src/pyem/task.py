"""Tasks, for simulation: what a subject is shown on a trial, and what comes of the response."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model import Record


class Task(Protocol):
    """What a simulation needs of an experiment. Instances are frozen and hashable.

    The state is the task's own (a drifting payoff, the trial number): an array, or a tuple or dict of arrays.
    """

    def init(self, key: Array) -> Any:
        """The state before the first trial of a block."""
        ...

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """The columns that are shown before the response."""
        ...

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """The next state, and the columns of the outcome, from what was shown and the response (``trial.choice``)."""
        ...


@dataclasses.dataclass(frozen=True)
class Bandit:
    """Options that pay 1 with fixed probabilities, else 0.

    Parameters
    ----------
    probabilities
        Of a reward, for each option.
    outcome
        Name of the outcome's column.

    Examples
    --------
    >>> Bandit((0.8, 0.2)).probabilities
    (0.8, 0.2)
    """

    probabilities: tuple[float, ...] = (0.8, 0.2)
    outcome: str = "reward"

    def init(self, key: Array) -> Any:
        """Nothing changes in this task."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Nothing but the options is shown."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """A reward of 0 or 1."""
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

    def init(self, key: Array) -> Any:
        """The number of trials so far."""
        return jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Nothing but the options is shown."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """A reward of 0 or 1."""
        p = jnp.asarray(self.probabilities)
        p = jnp.where((state // self.every) % 2 == 1, p[::-1], p)[trial.choice]
        return state + 1, {self.outcome: jax.random.bernoulli(key, p).astype(float)}


@dataclasses.dataclass(frozen=True)
class DriftingBandit:
    """Options whose probabilities of a reward walk at random between two bounds (Daw et al., 2006, for binary rewards).

    Parameters
    ----------
    n_options
        How many.
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
        """Probabilities drawn uniformly between the bounds."""
        return jax.random.uniform(key, (self.n_options,), minval=self.low, maxval=self.high, dtype=float)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Nothing but the options is shown."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """A reward of 0 or 1, and the probabilities of the next trial."""
        pay, walk = jax.random.split(key)
        reward = jax.random.bernoulli(pay, state[trial.choice]).astype(float)
        moved = state + self.sd * jax.random.normal(walk, state.shape, state.dtype)
        moved = jnp.where(moved > self.high, 2 * self.high - moved, moved)
        return jnp.where(moved < self.low, 2 * self.low - moved, moved), {self.outcome: reward}


@dataclasses.dataclass(frozen=True)
class Replay:
    """The columns of a real design, trial by trial: what was shown, and what each option would have paid.

    Parameters
    ----------
    shown
        (name, one value for each trial) for each column that is shown.
    payoffs
        (name, a tuple with one value for each option, for each trial) for each outcome.

    Examples
    --------
    >>> Replay(payoffs=(("reward", ((1.0, 0.0), (0.0, 1.0))),)).payoffs[0][0]
    'reward'
    """

    shown: tuple[tuple[str, tuple[float, ...]], ...] = ()
    payoffs: tuple[tuple[str, tuple[tuple[float, ...], ...]], ...] = ()

    def init(self, key: Array) -> Any:
        """The number of trials so far."""
        return jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """The columns of this trial; a simulation longer than the design repeats it."""
        return {name: jnp.asarray(values)[state % len(values)] for name, values in self.shown}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """What the chosen option pays on this trial."""
        paid = {name: jnp.asarray(values)[state % len(values), trial.choice] for name, values in self.payoffs}
        return state + 1, paid
