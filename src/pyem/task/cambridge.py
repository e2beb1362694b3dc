"""The Cambridge gambling task: boxes of two colours, and bets that are offered one after another."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record

BOXES = 10
"""Number of boxes of both colours together."""
BETS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Shares of one's points that may be bet."""


@dataclasses.dataclass(frozen=True)
class CambridgeGambling:
    """Ten boxes, one to nine of them red, one of which hides a token; one bets points on its colour, and wins or loses them.

    All boxes are alike likely to hide it. In a block the bets are offered either from the smallest to the largest
    (``ascending`` is 1) or the other way around (0), which is drawn for each block. A block that would end, as there is no
    more than a point left, begins anew.

    Parameters
    ----------
    points
        Number of points at the beginning of a block.

    References
    ----------
    Rogers, R. D., et al. (1999). Dissociable deficits in the decision-making cognition of chronic amphetamine abusers, opiate
    abusers, patients with focal damage to prefrontal cortex, and tryptophan-depleted normal volunteers.
    Neuropsychopharmacology, 20(4), 322-339. https://doi.org/10.1016/S0893-133X(98)00091-8

    Examples
    --------
    >>> CambridgeGambling().points
    100.0
    """

    points: float = 100.0

    n_options = 2

    def init(self, key: Array) -> Any:
        """Return the points to begin with, and draw the order of the bets."""
        return jnp.asarray(self.points, float), jax.random.bernoulli(key).astype(jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw the boxes of one trial."""
        points, ascending = state
        boxes = jax.random.randint(key, (), 1, BOXES)
        return {"red_boxes": boxes.astype(float), "points": points, "ascending": ascending}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return the points after the bet was won or lost."""
        points, ascending = state
        won = jax.random.bernoulli(key, trial.red_boxes / BOXES) == (trial.choice == 1)
        staked = jnp.round(points * jnp.asarray(BETS)[trial.bet])
        points = jnp.where(won, points + staked, points - staked)
        return (jnp.where(points > 1, points, self.points), ascending), {}
