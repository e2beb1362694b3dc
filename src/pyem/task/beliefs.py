"""Tasks whose outcomes do not depend on predictions: a contingency that reverses, and a source that jumps."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Contingency:
    """An outcome of 0 or 1, whatever is predicted, whose probability changes every so many trials.

    Parameters
    ----------
    probabilities
        Probability of the outcome 1 in each phase, one after another; after the last comes the first.
    every
        Trials in a phase.
    first
        Show the outcome before the response: people respond to it.

    References
    ----------
    Iglesias, S., Mathys, C., Brodersen, K. H., Kasper, L., Piccirelli, M., den Ouden, H. E. M., & Stephan, K. E. (2013).
    Hierarchical prediction errors in midbrain and basal forebrain during sensory learning. Neuron, 80(2), 519-530.
    https://doi.org/10.1016/j.neuron.2013.09.009

    Examples
    --------
    >>> Contingency((0.9, 0.5, 0.1), every=40).every
    40
    """

    probabilities: tuple[float, ...] = (0.8, 0.2)
    every: int = 20
    first: bool = False

    def init(self, key: Array) -> Any:
        """Start with no trials so far."""
        return jnp.zeros((), jnp.int32)

    def _outcome(self, state: Any, key: Array) -> dict[str, Any]:
        p = jnp.asarray(self.probabilities)[(state // self.every) % len(self.probabilities)]
        return {"outcome": jax.random.bernoulli(key, p).astype(int)}

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show the outcome, if it comes before the response."""
        return self._outcome(state, key) if self.first else {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Show the outcome, if it comes after the response."""
        return state + 1, {} if self.first else self._outcome(state, key)


@dataclasses.dataclass(frozen=True)
class ChangePoints:
    """Numbers around a mean that jumps now and then.

    Parameters
    ----------
    hazard
        Probability that the mean is drawn anew before a trial.
    noise
        Standard deviation of the outcomes around the mean.
    low, high
        Means are drawn uniformly between these, and outcomes beyond them are these.

    References
    ----------
    Nassar, M. R., Wilson, R. C., Heasly, B., & Gold, J. I. (2010). An approximately Bayesian delta-rule model explains the
    dynamics of belief updating in a changing environment. Journal of Neuroscience, 30(37), 12366-12378.
    https://doi.org/10.1523/JNEUROSCI.0822-10.2010

    Examples
    --------
    >>> ChangePoints(noise=10.0, low=0.0, high=300.0).hazard
    0.1
    """

    hazard: float = 0.1
    noise: float = 0.1
    low: float = 0.0
    high: float = 1.0

    def _drawn(self, key: Array) -> Array:
        return jax.random.uniform(key, (), float, self.low, self.high)

    def init(self, key: Array) -> Any:
        """Draw the first mean."""
        return self._drawn(key)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing before the prediction."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return the outcome, and draw the mean of the next trial."""
        around, jump, anew = jax.random.split(key, 3)
        outcome = jnp.clip(state + self.noise * jax.random.normal(around, (), float), self.low, self.high)
        return jnp.where(jax.random.bernoulli(jump, self.hazard), self._drawn(anew), state), {"outcome": outcome}
