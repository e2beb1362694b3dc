"""Options that win and lose on the same trial, with probabilities that drift apart from one another."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax import Array

from pyem.model.record import Record
from pyem.task.bandits import drifted


@dataclasses.dataclass(frozen=True)
class WinsAndLosses:
    """Options that win 1 or nothing (``gain``) and lose 1 or nothing (``loss``, 0 or -1); the chances of both walk at random.

    Parameters
    ----------
    n_options
        Number of options.
    sd
        Standard deviation of a step of the chances.
    low, high
        Reflecting bounds of these.

    References
    ----------
    Seymour, B., Daw, N. D., Roiser, J. P., Dayan, P., & Dolan, R. (2012). Serotonin selectively modulates reward value in human
    decision-making. Journal of Neuroscience, 32(17), 5833-5842. https://doi.org/10.1523/JNEUROSCI.0053-12.2012

    Examples
    --------
    >>> WinsAndLosses().n_options
    4
    """

    n_options: int = 4
    sd: float = 0.05
    low: float = 0.05
    high: float = 0.95

    def init(self, key: Array) -> Any:
        """Draw the probabilities of a win and of a loss (kind, option) uniformly between the bounds."""
        return jax.random.uniform(key, (2, self.n_options), minval=self.low, maxval=self.high, dtype=float)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing but the options."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw whether something is won and something is lost, and the probabilities of the next trial."""
        pay, walk = jax.random.split(key)
        won, lost = jax.random.bernoulli(pay, state[:, trial.choice]).astype(float)
        return drifted(state, walk, self.sd, self.low, self.high), {"gain": won, "loss": 0.0 - lost}
