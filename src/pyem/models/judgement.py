"""Parts that models of judgements share: a response to what is shown, without learning."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.models.linear import Linear
from pyem.models.weakly_informative import WeaklyInformative
from pyem.task.offers import Offers
from pyem.task.regressors import Regressors
from pyem.task.together import Together


class Rule(Protocol):
    """Rule that gives the response to what is shown. Instances are frozen and hashable."""

    def __call__(self, p: Record, trial: Record) -> Any:
        """Return the distribution of the response, or a dict of distributions."""
        ...

    def latents(self, p: Record, trial: Record) -> dict[str, Array]:
        """Return the latents."""
        ...


@dataclasses.dataclass(frozen=True)
class _Policy:
    rule: Rule

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        return self.rule(p, trial)


@dataclasses.dataclass(frozen=True)
class _Latents:
    rule: Rule

    def __call__(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Array]]:
        return state, self.rule.latents(p, trial)


def _nothing(p: Record) -> tuple[()]:
    return ()


def judged(name: str, parameters: tuple[Parameter, ...], rule: Rule, **more: Any) -> Model:
    """Make a model of responses to what is shown, by a rule; `more` are other arguments of `pyem.Model`."""
    return Model(name, parameters, _Policy(rule), init=_nothing, update=_Latents(rule), updates="shown", **more)


@dataclasses.dataclass(frozen=True)
class OnLink:
    """Typical weights from the scale of the predictors, the first inputs, on that of the link; see `WeaklyInformative`.

    Parameters
    ----------
    weights
        Their names.
    counts
        Whether the intercept is typically the logarithm of the mean count.
    thresholds
        The parameter that takes the place of the intercept, where there is one.
    """

    weights: tuple[str, ...]
    counts: bool = False
    thresholds: str | None = None

    def __call__(self, model: Model, x: np.ndarray, y: np.ndarray) -> Model:
        """Return `model` with the typical population from the pooled inputs (N, K) and responses (N,)."""
        x = x[:, : len(self.weights)]
        if self.thresholds is None:
            return WeaklyInformative(self.weights, "poisson" if self.counts else "binomial")(model, x, y)
        # The threshold is treated as an intercept: a column of ones stands for it.
        constant = np.ones((len(x), 1))
        whole = WeaklyInformative((self.thresholds, *self.weights), "binomial")
        scaled = whole(_with_intercept(model, self.thresholds), np.concatenate([constant, x], axis=1), y)
        (wide,) = (one.sd for one in scaled.parameters if one.name == self.thresholds)
        return dataclasses.replace(
            model, parameters=tuple(map(_widened(self.thresholds, wide), scaled.parameters, model.parameters))
        )


def _with_intercept(model: Model, name: str) -> Model:
    """Put the vector of thresholds of `model` in the place of one intercept."""
    parameters = (dataclasses.replace(one, size=None) if one.name == name else one for one in model.parameters)
    return dataclasses.replace(model, parameters=tuple(parameters))


def _widened(name: str, sd: Any) -> Any:
    """Make a function of scaled and given parameters that lets the first threshold vary as an intercept would."""

    def chosen(scaled: Parameter, given: Parameter) -> Parameter:
        if given.name != name:
            return scaled
        assert isinstance(given.sd, tuple)
        return dataclasses.replace(given, sd=(max(float(sd), given.sd[0]), *given.sd[1:]))

    return chosen


@dataclasses.dataclass(frozen=True)
class MeanCount:
    """Typical mean count, from the counts of all people."""

    name: str

    def __call__(self, model: Model, x: np.ndarray, y: np.ndarray) -> Model:
        """Return `model` with the typical mean of the pooled counts (N,)."""
        middle = float(np.log(max(y.mean(), 0.5 / len(y)))) if len(y) else 0.0
        moved = (dataclasses.replace(one, mean=middle) if one.name == self.name else one for one in model.parameters)
        return dataclasses.replace(model, parameters=tuple(moved))


def linear_of(p: Record, trial: Record, weights: tuple[str, ...] | int) -> Array:
    """Linear predictor of a trial."""
    return Linear(weights)(p, None, trial)


def shown(predictors: int, **levels: tuple[float, ...]) -> Any:
    """Task that shows random predictors, and columns with given values drawn at random."""
    drawn = Offers(tuple(levels.items()))
    if not predictors:
        return drawn
    return Together(Regressors(predictors), drawn) if levels else Regressors(predictors)


def log_odds(probability: Array) -> Array:
    """Log-odds of a probability, the ends included."""
    return jnp.log(probability) - jnp.log1p(-probability)
