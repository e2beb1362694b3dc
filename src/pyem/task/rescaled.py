"""The outcomes of a task in other units: points or money in place of 0 and 1."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Rescaled:
    """A task that pays `low` where another pays 0, and `high` where that pays 1.

    Parameters
    ----------
    task
        The other task.
    low, high
        What it pays, in the units of the experiment.

    Examples
    --------
    >>> import pyem
    >>> points = Rescaled(pyem.task.Bandit((0.8, 0.2)), 0, 100)
    >>> data = pyem.simulate(pyem.models.get("rw1a1b", reward_range=(0, 100)), subjects=2, task=points, key=1)
    >>> sorted(set(data.fields["reward"].ravel().tolist()))
    [0.0, 100.0]
    """

    task: Any
    low: float
    high: float

    @property
    def n_options(self) -> int | None:
        """Number of options, where the task has them."""
        return getattr(self.task, "n_options", None)

    def init(self, key: Array) -> Any:
        """The state of the other task."""
        return self.task.init(key)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """What the other task shows."""
        return self.task.present(state, key)

    def between(self, state: Any, response: str, trial: Record, key: Array) -> dict[str, Any]:
        """What the other task shows between responses, if it has any such thing."""
        return self.task.between(state, response, trial, key) if hasattr(self.task, "between") else {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """What it pays, in these units."""
        state, paid = self.task.respond(state, trial, key)
        return state, {name: self.low + (self.high - self.low) * jnp.asarray(value) for name, value in paid.items()}
