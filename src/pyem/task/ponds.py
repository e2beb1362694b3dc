"""Hidden sources of observations, for belief updating."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Ponds:
    """One of several ponds is hidden in each block, and its fish are shown one by one.

    Parameters
    ----------
    n_ponds
        Number of ponds, and of colours of fish.
    own
        Probability that a fish has its pond's own colour; the other colours share the rest.

    Examples
    --------
    >>> Ponds().own
    0.8
    """

    n_ponds: int = 3
    own: float = 0.8

    def init(self, key: Array) -> Any:
        """Draw the hidden pond."""
        return jax.random.randint(key, (), 0, self.n_ponds)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw the colour of a fish, and return the pond that it comes from."""
        chance = jnp.where(jnp.arange(self.n_ponds) == state, self.own, (1 - self.own) / (self.n_ponds - 1))
        return {"observation": jax.random.categorical(key, jnp.log(chance)), "pond": state}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return no feedback."""
        return state, {}
