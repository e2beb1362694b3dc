"""Choices between offers that are described on each trial."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Offers:
    """Offers with amounts, delays, probabilities or efforts drawn anew on each trial. For given offers, see `Replay`.

    Parameters
    ----------
    levels
        (name, values) of each column that is shown: one of the values is drawn on each trial, all alike and independently.

    Examples
    --------
    >>> Offers((("amount_later", (20.0, 40.0)), ("delay_later", (7.0, 30.0)))).levels[1]
    ('delay_later', (7.0, 30.0))
    """

    levels: tuple[tuple[str, tuple[float, ...]], ...]

    def init(self, key: Array) -> Any:
        """Return an empty state: trials are independent."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw the offers of one trial."""
        keys = jax.random.split(key, len(self.levels))
        return {
            name: jax.random.choice(one, jnp.asarray(values))
            for one, (name, values) in zip(keys, self.levels, strict=True)
        }

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return no outcome."""
        return state, {}
