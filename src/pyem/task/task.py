"""What a simulation needs of an experiment."""

from __future__ import annotations

from typing import Any, Protocol

from jax import Array

from pyem.model.record import Record


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
