"""The go/no-go task in which the required action and the valence of outcomes are crossed."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class GoNoGo:
    """Four cues: go to win (0), go to avoid losing (1), no-go to win (2), no-go to avoid losing (3).

    Each comes once in every four trials, in random order.

    What is right leads to the better outcome with the probability `valid`, what is wrong with one minus that. The better
    outcome is 1 with the cues to win, else 0; the worse one 0 with the cues to win, else -1.

    Parameters
    ----------
    valid
        Probability that the right response has the better outcome.

    References
    ----------
    Guitart-Masip, M., Huys, Q. J. M., Fuentemilla, L., Dayan, P., Duzel, E., & Dolan, R. J. (2012). Go and no-go learning in
    reward and punishment: interactions between affect and effect. NeuroImage, 62(1), 154-166.
    https://doi.org/10.1016/j.neuroimage.2012.04.024

    Examples
    --------
    >>> GoNoGo().valid
    0.8
    """

    valid: float = 0.8

    n_options = 2

    def init(self, key: Array) -> Any:
        """Start with no trials so far, and draw the order of the cues."""
        return jnp.zeros((), jnp.int32), jax.random.permutation(key, 4)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Return the cue of this trial."""
        n, order = state
        return {"cue": order[n % 4]}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw an outcome of 1 or 0 for winning cues, and of 0 or -1 for losing ones."""
        n, order = state
        paid, shuffle = jax.random.split(key)
        right = (trial.choice == 1) == (trial.cue < 2)
        better = jax.random.bernoulli(paid, jnp.where(right, self.valid, 1 - self.valid))
        order = jnp.where(n % 4 == 3, jax.random.permutation(shuffle, 4), order)
        return (n + 1, order), {"outcome": better.astype(float) - (trial.cue % 2)}
