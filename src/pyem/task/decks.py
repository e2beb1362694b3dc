"""The four decks of the Iowa gambling task."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record

GAINS = (1.0, 1.0, 0.5, 0.5)
LOSSES = (
    (1.5, 2.0, 2.5, 3.0, 3.5, 0.0, 0.0, 0.0, 0.0, 0.0),
    (12.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (0.25, 0.5, 0.5, 0.5, 0.75, 0.0, 0.0, 0.0, 0.0, 0.0),
    (2.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
)
"""Losses of the ten cards of each deck, in hundreds."""


@dataclasses.dataclass(frozen=True)
class Iowa:
    """Decks A to D (0 to 3) of the Iowa gambling task; every ten cards of a deck have the same losses in random order.

    A and B win 100 points with each card, C and D 50. In ten cards A loses 150 to 350 points five times, B 1250 once, C 25 to
    75 five times, and D 250 once: A and B lose in the long run.

    Parameters
    ----------
    hundred
        Value of a hundred points, in the units of the experiment.

    References
    ----------
    Bechara, A., Damasio, A. R., Damasio, H., & Anderson, S. W. (1994). Insensitivity to future consequences following damage to
    human prefrontal cortex. Cognition, 50(1-3), 7-15. https://doi.org/10.1016/0010-0277(94)90018-3

    Examples
    --------
    >>> Iowa().hundred
    100.0
    """

    hundred: float = 100.0

    n_options = 4

    def init(self, key: Array) -> Any:
        """Start with no cards taken, and draw the order of each deck's next ten."""
        return jnp.zeros(4, jnp.int32), _shuffled(key)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing but the decks."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return the gain and the loss of the card."""
        taken, cards = state
        deck = trial.choice
        loss, gain = cards[deck, taken[deck] % 10], jnp.asarray(GAINS)[deck]
        taken = taken.at[deck].add(1)
        again = (taken[deck] % 10 == 0) & (jnp.arange(4) == deck)
        cards = jnp.where(again[:, None], _shuffled(key), cards)
        return (taken, cards), {"gain": self.hundred * gain, "loss": -self.hundred * loss}


def _shuffled(key: Array) -> Array:
    return jax.random.permutation(key, jnp.asarray(LOSSES), axis=1, independent=True)
