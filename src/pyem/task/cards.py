"""Sorting cards by a rule that changes without announcement."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class CardSorting:
    """Each card matches one of four piles in its colour, one in its form and one in its number; one of these is the rule.

    Parameters
    ----------
    run
        Number of right answers in a row after which the rule changes, to the next of colour, form and number.

    References
    ----------
    Heaton, R. K., Chelune, G. J., Talley, J. L., Kay, G. G., & Curtiss, G. (1993). Wisconsin Card Sorting Test Manual.
    Psychological Assessment Resources.

    Examples
    --------
    >>> CardSorting().n_options
    4
    """

    run: int = 10

    @property
    def n_options(self) -> int:
        """Number of piles."""
        return 4

    def init(self, key: Array) -> Any:
        """Start with the first rule, colour, and with no right answers in a row."""
        return jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw the piles that the card matches in colour, form and number: three different ones."""
        piles = jax.random.permutation(key, 4)
        return {"match_colour": piles[0], "match_form": piles[1], "match_number": piles[2]}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return whether the pile was right: 1 or 0."""
        rule, row = state
        piles = jnp.stack([trial.match_colour, trial.match_form, trial.match_number])
        right = trial.choice == piles[rule]
        row = jnp.where(right, row + 1, 0)
        done = row >= self.run
        return (jnp.where(done, (rule + 1) % 3, rule), jnp.where(done, 0, row)), {"correct": right.astype(float)}
