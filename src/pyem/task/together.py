"""Two tasks that are shown on every trial."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Together:
    """A task with another one beside it, whose columns are shown together or just before a later response.

    Parameters
    ----------
    first, second
        Tasks. Choices are those of the first.
    later
        Responses before which the second one is shown; at the beginning of the trial if there are none.

    Examples
    --------
    >>> from pyem.task import Offers, Regressors
    >>> Together(Regressors(2), Offers((("n", (10.0, 20.0)),))).first
    Regressors(n_predictors=2)
    """

    first: Any
    second: Any
    later: tuple[str, ...] = ()

    @property
    def n_options(self) -> int:
        """Number of options of the first, if it has options."""
        return self.first.n_options

    def init(self, key: Array) -> Any:
        """Return the states of both tasks."""
        one, other = jax.random.split(key)
        return self.first.init(one), self.second.init(other)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Return the columns that both tasks show."""
        one, other = jax.random.split(key)
        shown = self.first.present(state[0], one)
        return shown if self.later else shown | self.second.present(state[1], other)

    def between(self, state: Any, response: str, trial: Record, key: Array) -> dict[str, Any]:
        """Return the columns shown just before a response."""
        if response in self.later:
            return self.second.present(state[1], key)
        return self.first.between(state[0], response, trial, key) if hasattr(self.first, "between") else {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return the outcomes of both tasks."""
        one, other = jax.random.split(key)
        first, paid = self.first.respond(state[0], trial, one)
        second, more = self.second.respond(state[1], trial, other)
        return (first, second), paid | more
