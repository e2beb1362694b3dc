"""Decisions without consequences."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Decisions:
    """Decisions about stimuli, one a trial, drawn at random.

    Parameters
    ----------
    stimuli
        Number of stimuli, shown in the column ``stimulus``; 0: nothing is shown that a model could tell apart.
    n_options
        Number of responses.

    Examples
    --------
    >>> Decisions(stimuli=2).n_options
    2
    """

    stimuli: int = 0
    n_options: int = 2

    def init(self, key: Array) -> Any:
        """Return an empty state: nothing changes in this task."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw the code of a stimulus."""
        return {"stimulus": jax.random.randint(key, (), 0, self.stimuli)} if self.stimuli else {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return no outcome."""
        return state, {}
