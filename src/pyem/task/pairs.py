"""Pairs of stimuli that are learned one by one, and compared across pairs afterwards."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.record import Record

CHANCES = (0.8, 0.2, 0.7, 0.3, 0.6, 0.4)
ALL = tuple((one, other) for one in range(6) for other in range(one + 1, 6))


@dataclasses.dataclass(frozen=True)
class ProbabilisticSelection:
    """Stimuli A to F (0 to 5) in the pairs AB, CD and EF, rewarded with probability .8 and .2, .7 and .3, .6 and .4.

    On each trial one of the two is right, and the other wrong: ``reward`` is 1 or 0. Sides are drawn at random.

    Parameters
    ----------
    training
        Number of trials of training in a block, after which all 15 pairs may come (``phase`` 1). What would have been right is
        drawn there, too, but people are not shown it. None: training all along, and no column ``phase``.

    References
    ----------
    Frank, M. J., Moustafa, A. A., Haughey, H. M., Curran, T., & Hutchison, K. E. (2007). Genetic triple dissociation reveals
    multiple roles for dopamine in reinforcement learning. PNAS, 104(41), 16311-16316. https://doi.org/10.1073/pnas.0706111104

    Examples
    --------
    >>> ProbabilisticSelection(training=360).training
    360
    """

    training: int | None = None

    n_options = 2

    def init(self, key: Array) -> Any:
        """Start with no trials so far."""
        return jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw a pair of stimuli, and their sides."""
        which, side = jax.random.split(key)
        pairs = jnp.asarray(np.array(ALL))
        learned = jnp.array([0, 9, 14])  # AB, CD and EF among all pairs
        later = False if self.training is None else state >= self.training
        n = jax.random.randint(which, (), 0, 15)
        pair = pairs[jnp.where(later, n, learned[n % 3])]
        pair = jnp.where(jax.random.bernoulli(side), pair[::-1], pair)
        shown = {"option_left": pair[0], "option_right": pair[1]}
        return shown if self.training is None else shown | {"phase": jnp.asarray(later, float)}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw whether the choice was right."""
        chances = jnp.asarray(CHANCES)[jnp.stack([trial.option_left, trial.option_right])]
        left = jax.random.bernoulli(key, chances[0] / chances.sum())
        return state + 1, {"reward": (left == (trial.choice == 0)).astype(float)}
