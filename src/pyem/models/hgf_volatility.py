"""Parts that the levels of a hierarchical Gaussian filter share: beliefs that spread, and beliefs about how much.

Beliefs are Gaussian, with mean ``mu`` and variance ``sa``; a hat is for predictions, before the input of the trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from pyem.model.parameter import Parameter

LIMIT = 50.0
"""Largest log-variance: a belief that spreads faster has diverged."""
SMALLEST = 1e-12
"""Least posterior precision for which an update has a value."""

Update = Literal["classic", "ehgf"]
"""``"classic"``: the quadratic approximation at the predicted volatility, whose precision may be negative (Mathys et al.,
2011). ``"ehgf"``: the mean first, with the predicted precision; then the precision at the new mean, where it cannot fall."""


class Spread(NamedTuple):
    """Spread of a belief of variance `before` from one trial to the next."""

    before: Array
    log_volatility: Array
    """Logarithm of the variance that is added."""

    @property
    def volatility(self) -> Array:
        """Variance v that is added."""
        return jnp.exp(jnp.minimum(self.log_volatility, LIMIT))

    @property
    def variance(self) -> Array:
        """Variance of the prediction."""
        return self.before + self.volatility

    @property
    def weight(self) -> Array:
        """Share of the volatility in the variance of the prediction, w."""
        return self.volatility / self.variance

    @property
    def possible(self) -> Array:
        """Whether the update has a value, or else diverges."""
        return self.log_volatility <= LIMIT


class Above(NamedTuple):
    """The belief about volatility after a trial."""

    mu: Array
    sa: Array
    error: Array
    """Volatility prediction error: how much more than predicted the belief below moved, as a share."""
    possible: Array
    """Whether the update has a value, or else diverges."""


def learn_volatility(
    update: Update, below: Spread, moved: Array, mu: Array, variance: Array, kappa: ArrayLike, omega: ArrayLike
) -> Above:
    """Update the belief about how volatile the level below is.

    Parameters
    ----------
    update
        Name of the approximation.
    below
        The prediction of the level below.
    moved
        Its variance after the trial plus the square of the step of its mean.
    mu, variance
        The prediction of this level.
    kappa, omega
        The log volatility of the level below is ``kappa * mu + omega``.
    """
    error = moved / below.variance - 1
    if update == "ehgf":
        new = mu + 0.5 * kappa * below.weight * error * variance
        there = below._replace(log_volatility=kappa * new + omega)
        gained = jnp.maximum(_curvature(there, kappa, moved / there.variance - 1), 0.0)
        return Above(new, 1 / (1 / variance + gained), error, below.possible)
    precision = 1 / variance + _curvature(below, kappa, error)
    positive = precision > SMALLEST
    # The divisor must be safe also in the branch that is not taken, so that derivatives are finite.
    sa = 1 / jnp.where(positive, precision, 1.0)
    return Above(mu + 0.5 * kappa * below.weight * error * sa, sa, error, below.possible & positive)


def _curvature(below: Spread, kappa: ArrayLike, error: Array) -> Array:
    """The precision that a trial adds to the belief about volatility; it may be negative."""
    w = below.weight
    return 0.5 * jnp.square(kappa) * w * (w + (2 * w - 1) * error)


def unless_diverged(state: dict[str, Array], new: dict[str, Array], possible: Array) -> tuple[dict[str, Array], Array]:
    """State after a trial, and whether the update has diverged by then: a diverged state keeps its last values."""
    finite = jnp.isfinite(sum(new.values()))  # type: ignore[arg-type]
    diverged = (state["diverged"] > 0) | ~(possible & finite)
    kept = {name: jnp.where(diverged, state[name], value) for name, value in new.items()}
    return kept | {"diverged": diverged.astype(state["diverged"].dtype)}, diverged


def require_update(update: str) -> None:
    """Raise unless `update` is a known one."""
    if update not in get_args(Update):
        raise ValueError(f"update={update!r}; choose 'classic' or 'ehgf'")


def free_and_held(
    parameters: Mapping[str, Parameter], given: Mapping[str, float | None]
) -> tuple[tuple[Parameter, ...], tuple[tuple[str, float], ...]]:
    """Parameters that are given no value, and the other parameters with their values.

    Raises
    ------
    ValueError
        If a value is outside the range of its parameter.
    """
    for name, value in given.items():
        low, high = parameters[name].transform.bounds
        if value is not None and not low < value < high:
            raise ValueError(
                f"{name}={value:g} is outside the range ({low:g}, {high:g}); None makes it a free parameter"
            )
    free = tuple(parameters[name] for name, value in given.items() if value is None)
    return free, tuple((name, float(value)) for name, value in given.items() if value is not None)
