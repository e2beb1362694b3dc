"""Counts: how many of a number of attempts, and how often in a time without limit."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Binomial, NegativeBinomial
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.models.judgement import MeanCount, OnLink, judged, linear_of, shown
from pyem.models.linear import Scale, frozen, is_auto, weight_parameters

Weights = tuple[str, ...] | int | None

P = Parameter("p", Interval(0, 1), "probability of a success", sd=1.0)
MU = Parameter("mu", Positive(), "mean count", mean=1.0, sd=0.7)
SIZE = Parameter("size", Positive(), "size: the variance is mu + mu^2 / size", mean=1.0, sd=0.7)

_COX = "https://doi.org/10.1111/j.2517-6161.1958.tb00292.x"
_HILBE = "https://doi.org/10.1017/CBO9780511973420"


@dataclasses.dataclass(frozen=True)
class _Successes:
    weights: Weights

    def __call__(self, p: Record, trial: Record) -> Binomial:
        if self.weights is None:
            return Binomial(trial.n, probs=p.p)
        return Binomial(trial.n, logits=linear_of(p, trial, self.weights))

    def latents(self, p: Record, trial: Record) -> dict[str, Array]:
        chance = p.p if self.weights is None else jax.nn.sigmoid(linear_of(p, trial, self.weights))
        return {"predicted": trial.n * chance}


@dataclasses.dataclass(frozen=True)
class _Counts:
    weights: Weights

    def log_mean(self, p: Record, trial: Record) -> Array:
        return jnp.log(p.mu) if self.weights is None else linear_of(p, trial, self.weights)

    def __call__(self, p: Record, trial: Record) -> NegativeBinomial:
        return NegativeBinomial(self.log_mean(p, trial), jnp.log(p.size))

    def latents(self, p: Record, trial: Record) -> dict[str, Array]:
        return {"predicted": jnp.exp(self.log_mean(p, trial))}


@functools.lru_cache
def _binomial(predictors: int | tuple[str, ...], scale: Scale) -> Model:
    doc, task_n = "how many of n attempts succeed", (8.0, 12.0, 20.0)
    auto = is_auto(scale)
    if predictors == 0:
        parts: dict[str, Any] = {
            "parameters": (P,),
            "rule": _Successes(None),
            "inputs": ("n",),
            "task": shown(0, n=task_n),
        }
    else:
        weights, parameters = weight_parameters(predictors, 1.0)
        names = parameters[0].names if isinstance(weights, int) else weights
        parts = {
            "parameters": parameters,
            "rule": _Successes(weights),
            "inputs": ("predictors", "n"),
            "task": shown(len(names), n=task_n),
            "autoscale": OnLink(names) if auto else None,
        }
    return judged("binomial", responses=("k",), doc=doc, reference=_COX, **parts)


def binomial(predictors: int | Sequence[str] = 0, scale: Scale = "auto") -> Model:
    """Counts ``k`` of ``n`` attempts that succeed, with the probability ``p``; or with logistic regression weights.

    A row of the table may be a block, a session or a questionnaire: 17 of 20 right. ``n`` may differ from row to row.

    Parameters
    ----------
    predictors
        0 for one probability a person, ``p``. Else the number of columns of the field ``predictors``, whose weights are ``b0``,
        ``b1``, ..., or their names; the logit of the probability is the sum of the columns times the weights.
    scale
        See `pyem.models.regression.glm`.

    References
    ----------
    Cox, D. R. (1958). The regression analysis of binary sequences. Journal of the Royal Statistical Society B, 20(2),
    215-242. https://doi.org/10.1111/j.2517-6161.1958.tb00292.x

    Examples
    --------
    >>> binomial().columns, binomial(["intercept", "age"]).names
    (('n', 'k'), ('intercept', 'age'))
    """
    return _binomial(frozen(predictors), scale)


@functools.lru_cache
def _negative_binomial(predictors: int | tuple[str, ...], scale: Scale) -> Model:
    auto = is_auto(scale)
    if predictors == 0:
        parts: dict[str, Any] = {"parameters": (MU, SIZE), "rule": _Counts(None), "task": shown(0)}
        parts["autoscale"] = MeanCount("mu") if auto else None
    else:
        weights, parameters = weight_parameters(predictors, 0.3)
        names = parameters[0].names if isinstance(weights, int) else weights
        parts = {"parameters": (*parameters, SIZE), "rule": _Counts(weights), "inputs": ("predictors",)}
        parts |= {"task": shown(len(names)), "autoscale": OnLink(names, counts=True) if auto else None}
    return judged(
        "negative_binomial", responses=("y",), doc="counts that vary more than Poisson's", reference=_HILBE, **parts
    )


def negative_binomial(predictors: int | Sequence[str] = 0, scale: Scale = "auto") -> Model:
    """Counts ``y`` with the mean ``mu`` that vary more than Poisson ones: their variance is mu + mu^2 / size.

    Parameters
    ----------
    predictors
        0 for one mean a person, ``mu``. Else the number of columns of the field ``predictors``, or their names; the logarithm
        of the mean is the sum of the columns times the weights.
    scale
        See `pyem.models.regression.glm`.

    References
    ----------
    Hilbe, J. M. (2011). Negative Binomial Regression (2nd ed.). Cambridge University Press.
    https://doi.org/10.1017/CBO9780511973420

    Examples
    --------
    >>> negative_binomial().names, negative_binomial(2).names
    (('mu', 'size'), ('b0', 'b1', 'size'))
    """
    return _negative_binomial(frozen(predictors), scale)


MODELS: dict[str, Callable[..., Model]] = {"binomial": binomial, "negative_binomial": negative_binomial}
