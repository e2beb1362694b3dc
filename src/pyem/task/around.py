"""Tasks that leave most of what they do to another one."""

from __future__ import annotations

from typing import Any

from jax import Array

from pyem.model.record import Record


class Around:
    """A task that behaves like another `task`, except for the methods that a subclass replaces."""

    task: Any

    @property
    def n_options(self) -> int | None:
        """Number of options, if the other task has options."""
        return getattr(self.task, "n_options", None)

    def init(self, key: Array) -> Any:
        """The state of the other task."""
        return self.task.init(key)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Return the columns that the other task shows."""
        return self.task.present(state, key)

    def between(self, state: Any, response: str, trial: Record, key: Array) -> dict[str, Any]:
        """Return what the other task shows between responses, if anything."""
        return self.task.between(state, response, trial, key) if hasattr(self.task, "between") else {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Let the other task respond."""
        return self.task.respond(state, trial, key)
