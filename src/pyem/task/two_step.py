"""The two-step task: a first choice leads to one of two states, in which a second choice is paid."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record
from pyem.task.bandits import drifted


@dataclasses.dataclass(frozen=True)
class TwoStep:
    """Two first-stage options, two second-stage states with two options each, and rewards of 0 or 1 whose chances drift.

    Option k of the first stage (``choice1``) leads to the state k (``state2``) most of the time, else to the other one. The
    chances that the four options of the second stage (``choice2``) pay walk at random, apart from one another.

    Parameters
    ----------
    common
        Probability of the common transition.
    sd
        Standard deviation of a step of the chances of a reward.
    low, high
        Reflecting bounds of these.

    References
    ----------
    Daw, N. D., Gershman, S. J., Seymour, B., Dayan, P., & Dolan, R. J. (2011). Model-based influences on humans' choices and
    striatal prediction errors. Neuron, 69(6), 1204-1215. https://doi.org/10.1016/j.neuron.2011.02.027

    Examples
    --------
    >>> TwoStep().common
    0.7
    """

    common: float = 0.7
    sd: float = 0.025
    low: float = 0.25
    high: float = 0.75

    n_options = 2

    def init(self, key: Array) -> Any:
        """Draw the probabilities of a reward (state, option) uniformly between the bounds."""
        return jax.random.uniform(key, (2, 2), minval=self.low, maxval=self.high, dtype=float)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing but the options of the first stage."""
        return {}

    def between(self, state: Any, response: str, trial: Record, key: Array) -> dict[str, Any]:
        """Draw the state that the first choice leads to."""
        common = jax.random.bernoulli(key, self.common)
        return {"state2": jnp.where(common, trial.choice1, 1 - trial.choice1)}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw a reward of 0 or 1, and the probabilities of the next trial."""
        pay, walk = jax.random.split(key)
        reward = jax.random.bernoulli(pay, state[trial.state2, trial.choice2]).astype(float)
        return drifted(state, walk, self.sd, self.low, self.high), {"reward": reward}
