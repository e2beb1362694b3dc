"""Avoiding a shock that follows one of two options."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Shocks:
    """Shocks of announced sizes that follow one of two options, with odds that are stable at first and then reverse.

    Parameters
    ----------
    probability
        Probability of a shock after option 0 in the stable phase, and of the likelier one later on.
    stable
        Trials of the stable phase.
    every
        Trials between reversals after that; the likelier option has the probability .8 then.

    References
    ----------
    Browning, M., Behrens, T. E., Jocham, G., O'Reilly, J. X., & Bishop, S. J. (2015). Anxious individuals have difficulty
    learning the causal statistics of aversive environments. Nature Neuroscience, 18(4), 590-596.
    https://doi.org/10.1038/nn.3961

    Examples
    --------
    >>> Shocks().stable
    90
    """

    probability: float = 0.75
    stable: int = 90
    every: int = 20

    def init(self, key: Array) -> Any:
        """Start with no trials so far."""
        return jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw the size of the shock after each option, from 1 to 99."""
        sizes = jax.random.randint(key, (2,), 1, 100).astype(float)
        return {"magnitude0": sizes[0], "magnitude1": sizes[1]}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw the option that the shock follows, whatever was chosen."""
        later = (state - self.stable) // self.every
        chance = jnp.where(later % 2 == 0, 0.2, 0.8)
        chance = jnp.where(state < self.stable, self.probability, chance)
        return state + 1, {"shocked": 1.0 - jax.random.bernoulli(key, chance)}
