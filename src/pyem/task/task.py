"""The contract of a task: an experiment as a simulation needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax
from jax import Array

from pyem.errors import told_briefly
from pyem.model.model import Model
from pyem.model.record import Record


class Task(Protocol):
    """An experiment as a simulation needs it. Instances are frozen and hashable.

    The state is the task's own (a drifting payoff, the trial number): an array, or a tuple or dict of arrays.

    A task for models with several responses in one trial may have another method, ``between(state, response, trial, key)``: the
    columns that are shown just before `response`, from what was shown and done earlier in the trial (see ``Model.between``).
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


def require_task(task: Any) -> None:
    """Raise unless this is a task: an object with the methods of `Task`, or a table of what it shows and pays."""
    whole = all(callable(getattr(task, name, None)) for name in ("init", "present", "respond"))
    if isinstance(task, type):
        raise TypeError(
            f"a task is expected, but the class {task.__name__} was given; give an instance, {task.__name__}(...)"
        )
    if not whole and not hasattr(task, "payoffs"):
        remedy = "pyem.task has tasks, such as pyem.task.Bandit((0.7, 0.3))"
        raise TypeError(f"a task is expected, but {told_briefly(task)} was given; {remedy}")


def show_between(model: Model, task: Any, state: Any, key: Array) -> Callable[[str, Record], dict[str, Any]]:
    """Return ``show(response, trial)``, which gives the columns shown just before a later response of the trial."""
    before = dict(model.between)

    def show(response: str, trial: Record) -> dict[str, Any]:
        own = jax.random.fold_in(key, model.responses.index(response))
        shown = task.between(state, response, trial, own) if hasattr(task, "between") else {}
        missing = [name for name in before[response] if name not in trial and name not in shown]
        if missing:
            raise ValueError(
                f"model {model.name!r} is shown {', '.join(map(repr, missing))} before {response!r}, but the task "
                f"{type(task).__name__} does not show it; give the task a method between(state, response, trial, key)"
            )
        return shown

    return show
