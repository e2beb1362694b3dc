"""The outcomes of a task in other units: points or money in place of 0 and 1."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record
from pyem.task.around import Around


@dataclasses.dataclass(frozen=True)
class Rescaled(Around):
    """A task that pays `low` where another pays 0, and `high` where that pays 1.

    Parameters
    ----------
    task
        The other task.
    low, high
        Payments for 0 and for 1, in the units of the experiment.

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

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Let the task respond, with outcomes in these units."""
        state, paid = super().respond(state, trial, key)
        return state, {name: self.low + (self.high - self.low) * jnp.asarray(value) for name, value in paid.items()}
