"""Two options with feedback about both."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class FullFeedback:
    """Two options that pay 1 with fixed probabilities, else 0, with feedback about the option not taken too.

    Parameters
    ----------
    probabilities
        Probability of a reward, for each option; outcomes of the two are independent.

    References
    ----------
    Palminteri, S., Khamassi, M., Joffily, M., & Coricelli, G. (2015). Contextual modulation of value signals in reward and
    punishment learning. Nature Communications, 6, 8096. https://doi.org/10.1038/ncomms9096

    Examples
    --------
    >>> FullFeedback().probabilities
    (0.75, 0.25)
    """

    probabilities: tuple[float, float] = (0.75, 0.25)

    n_options = 2

    def init(self, key: Array) -> Any:
        """Return an empty state: nothing changes in this task."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing but the options."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw the outcomes of the option taken and of the other."""
        both = jax.random.bernoulli(key, jnp.asarray(self.probabilities), (2,)).astype(float)
        return state, {"reward": both[trial.choice], "outcome_unchosen": both[1 - trial.choice]}
