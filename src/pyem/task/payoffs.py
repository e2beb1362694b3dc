"""Payoffs that are amounts: normal around means that drift or last for a block."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class DriftingPayoffs:
    """Options that pay between 0 and 1, normal around means that walk at random and are drawn back to a centre.

    For points from 0 to 100 as in the paper, see `Rescaled`.

    Parameters
    ----------
    n_options
        Number of options.
    decay
        Share of their distance from the centre that means keep on each trial.
    centre
        Value to which the means are drawn.
    sd
        Sd of a step of the means.
    noise
        Sd of payoffs around their mean.

    References
    ----------
    Daw, N. D., O'Doherty, J. P., Dayan, P., Seymour, B., & Dolan, R. J. (2006). Cortical substrates for exploratory decisions
    in humans. Nature, 441, 876-879. https://doi.org/10.1038/nature04766

    Examples
    --------
    >>> DriftingPayoffs().decay
    0.9836
    """

    n_options: int = 4
    decay: float = 0.9836
    centre: float = 0.5
    sd: float = 0.028
    noise: float = 0.04

    def init(self, key: Array) -> Any:
        """Draw means from the random walk's stationary distribution."""
        spread = self.sd / (1 - self.decay**2) ** 0.5
        return self.centre + spread * jax.random.normal(key, (self.n_options,), float)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing but the options."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw a payoff, and the means of the next trial."""
        pay, walk = jax.random.split(key)
        reward = jnp.clip(state[trial.choice] + self.noise * jax.random.normal(pay, (), float), 0.0, 1.0)
        steps = self.sd * jax.random.normal(walk, state.shape, state.dtype)
        return self.centre + self.decay * (state - self.centre) + steps, {"reward": reward}


@dataclasses.dataclass(frozen=True)
class GaussianBandit:
    """Options that pay normal amounts around means that are drawn for each block, cut at 0 and 1.

    Parameters
    ----------
    n_options
        Number of options.
    mean, sd
        Mean and sd of the means.
    noise
        Sd of payoffs around their mean. For points, as from -25 to 25 in the paper, see `Rescaled`.
    known
        Code of an option that always pays `mean`; None if there is none.

    References
    ----------
    Gershman, S. J. (2018). Deconstructing the human algorithms for exploration. Cognition, 173, 34-42.
    https://doi.org/10.1016/j.cognition.2017.12.014

    Examples
    --------
    >>> GaussianBandit(known=0).known
    0
    """

    n_options: int = 2
    mean: float = 0.5
    sd: float = 0.2
    noise: float = 0.0632
    known: int | None = None

    def init(self, key: Array) -> Any:
        """Draw the means of the options."""
        drawn = self.mean + self.sd * jax.random.normal(key, (self.n_options,), float)
        return drawn if self.known is None else drawn.at[self.known].set(self.mean)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing but the options."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw an amount."""
        noise = self.noise if self.known is None else jnp.where(trial.choice == self.known, 0.0, self.noise)
        paid = state[trial.choice] + noise * jax.random.normal(key, (), float)
        return state, {"reward": jnp.clip(paid, 0.0, 1.0)}
