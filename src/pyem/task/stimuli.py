"""Learning by trial and error which action is right for each stimulus of a set."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class StimulusSets:
    """A set of 2 to `stimuli` stimuli in each block, each of which has one right action; feedback is always true.

    Parameters
    ----------
    stimuli
        Size of the largest set; sizes and right actions are drawn for each block. On a trial each stimulus is as likely.
    actions
        Number of actions.

    References
    ----------
    Collins, A. G. E., & Frank, M. J. (2012). How much of reinforcement learning is working memory, not reinforcement
    learning? European Journal of Neuroscience, 35(7), 1024-1035. https://doi.org/10.1111/j.1460-9568.2011.07980.x

    Examples
    --------
    >>> StimulusSets().n_options
    3
    """

    stimuli: int = 6
    actions: int = 3

    @property
    def n_options(self) -> int:
        """Number of actions."""
        return self.actions

    def init(self, key: Array) -> Any:
        """Draw the size of the set, and the right action for each stimulus."""
        size, right = jax.random.split(key)
        actions = jax.random.randint(right, (self.stimuli,), 0, self.actions)
        return jax.random.randint(size, (), 2, self.stimuli + 1), actions

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw one of the stimuli."""
        size, _ = state
        return {"stimulus": jax.random.randint(key, (), 0, size), "set_size": size}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return whether the action was right: 1 or 0."""
        return state, {"correct": (trial.choice == state[1][trial.stimulus]).astype(float)}
