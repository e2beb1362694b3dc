"""Ratings: on a scale without steps, and in ordered categories."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.ratings import Beta, Link, Ordinal
from pyem.model.record import Record
from pyem.model.transform import Interval, Ordered, Positive
from pyem.models.counts import Weights
from pyem.models.judgement import OnLink, judged, linear_of, log_odds, shown
from pyem.models.linear import Scale, frozen, is_auto, weight_parameters

MU = Parameter("mu", Interval(0, 1), "mean rating", sd=0.7)
PHI = Parameter("phi", Positive(), "precision: the variance is mu (1 - mu) / (1 + phi)", mean=2.0, sd=0.7)

_FERRARI = "https://doi.org/10.1080/0266476042000214501"
_MCCULLAGH = "https://doi.org/10.1111/j.2517-6161.1980.tb01109.x"


@dataclasses.dataclass(frozen=True)
class _Share:
    weights: Weights

    def logits(self, p: Record, trial: Record) -> Array:
        return log_odds(p.mu) if self.weights is None else linear_of(p, trial, self.weights)

    def __call__(self, p: Record, trial: Record) -> Beta:
        return Beta(self.logits(p, trial), jnp.log(p.phi))

    def latents(self, p: Record, trial: Record) -> dict[str, Array]:
        return {"predicted": jax.nn.sigmoid(self.logits(p, trial))}


@functools.lru_cache
def _beta_rating(predictors: int | tuple[str, ...], scale: Scale) -> Model:
    auto = is_auto(scale)
    if predictors == 0:
        parts: dict[str, Any] = {"parameters": (MU, PHI), "rule": _Share(None), "task": shown(0)}
    else:
        weights, parameters = weight_parameters(predictors, 1.0)
        names = parameters[0].names if isinstance(weights, int) else weights
        parts = {"parameters": (*parameters, PHI), "rule": _Share(weights), "inputs": ("predictors",)}
        parts |= {"task": shown(len(names)), "autoscale": OnLink(names) if auto else None}
    return judged("beta_rating", responses=("rating",), doc="ratings between two ends", reference=_FERRARI, **parts)


def beta_rating(predictors: int | Sequence[str] = 0, scale: Scale = "auto") -> Model:
    """Ratings on a scale without steps, as shares of its length between 0 and 1, with a beta distribution.

    Divide a slider's positions by its length. The ends themselves have no likelihood; where ratings reach them, take
    ``(rating * (N - 1) + 0.5) / N`` with N the number of ratings in place of the rating (Smithson & Verkuilen, 2006).

    Parameters
    ----------
    predictors
        0 for one mean a person, ``mu``. Else the number of columns of the field ``predictors``, or their names; the logit of
        the mean is the sum of the columns times the weights.
    scale
        See `pyem.models.regression.glm`.

    References
    ----------
    Ferrari, S., & Cribari-Neto, F. (2004). Beta regression for modelling rates and proportions. Journal of Applied Statistics,
    31(7), 799-815. https://doi.org/10.1080/0266476042000214501

    Smithson, M., & Verkuilen, J. (2006). A better lemon squeezer? Maximum-likelihood regression with beta-distributed dependent
    variables. Psychological Methods, 11(1), 54-71. https://doi.org/10.1037/1082-989X.11.1.54

    Examples
    --------
    >>> beta_rating().names, beta_rating(2).names
    (('mu', 'phi'), ('b0', 'b1', 'phi'))
    """
    return _beta_rating(frozen(predictors), scale)


# -- ordered categories ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Category:
    weights: Weights
    link: Link

    def location(self, p: Record, trial: Record) -> Array:
        return jnp.zeros(()) if self.weights is None else linear_of(p, trial, self.weights)

    def __call__(self, p: Record, trial: Record) -> Ordinal:
        return Ordinal(self.location(p, trial), p.threshold, self.link)

    def latents(self, p: Record, trial: Record) -> dict[str, Array]:
        chances = jnp.exp(self(p, trial).logits)
        return {"predicted": (chances * jnp.arange(chances.shape[-1])).sum(-1)}


def spread_thresholds(levels: int, doc: str, spread: float, name: str = "threshold") -> Parameter:
    """Ordered thresholds between `levels` categories, typically evenly spaced from -`spread` to `spread`."""
    gap = 2 * spread / max(levels - 2, 1)
    mean = (-spread if levels > 2 else 0.0, *[math.log(gap)] * (levels - 2))
    return Parameter(name, Ordered(), doc, mean=mean, sd=(0.7, *[0.4] * (levels - 2)), size=levels - 1)


@functools.lru_cache
def _ordinal(levels: int, predictors: int | tuple[str, ...], link: Link, scale: Scale) -> Model:
    if levels < 2:
        raise ValueError(f"levels={levels}; there are at least 2 ordered categories")
    auto, thresholds = (
        is_auto(scale),
        spread_thresholds(levels, "boundaries between categories", 2.0 if link == "logit" else 1.2),
    )
    if predictors == 0:
        parts: dict[str, Any] = {"parameters": (thresholds,), "rule": _Category(None, link), "task": shown(0)}
    else:
        weights, parameters = weight_parameters(predictors, 1.0)
        names = parameters[0].names if isinstance(weights, int) else weights
        parts = {"parameters": (*parameters, thresholds), "rule": _Category(weights, link), "inputs": ("predictors",)}
        parts |= {"task": shown(len(names)), "autoscale": OnLink(names, thresholds="threshold") if auto else None}
    doc = f"ordered categories, cumulative {link}"
    return judged(
        f"ordinal_{link}", responses=("rating_level",), options=levels, doc=doc, reference=_MCCULLAGH, **parts
    )


def ordinal(levels: int = 5, predictors: int | Sequence[str] = 0, link: Link = "logit", scale: Scale = "auto") -> Model:
    """Ratings in ordered categories, ``rating_level``: what is felt, plus noise, falls between two thresholds.

    Parameters
    ----------
    levels
        Number of categories, codes 0, 1, ... from the lowest to the highest.
    predictors
        0 for thresholds only. Else the number of columns of the field ``predictors``, or their names. A column of ones has no
        place among them, because thresholds take that of the intercept.
    link
        ``"logit"`` for logistic noise (proportional odds), ``"probit"`` for normal noise.
    scale
        See `pyem.models.regression.glm`.

    References
    ----------
    McCullagh, P. (1980). Regression models for ordinal data. Journal of the Royal Statistical Society B, 42(2), 109-142.
    https://doi.org/10.1111/j.2517-6161.1980.tb01109.x

    Examples
    --------
    >>> ordinal(3, ["age"]).names
    ('age', 'threshold0', 'threshold1')
    """
    return _ordinal(levels, frozen(predictors), link, scale)


MODELS: dict[str, Callable[..., Model]] = {
    "beta_rating": beta_rating,
    "ordinal_logit": functools.partial(ordinal, link="logit"),
    "ordinal_probit": functools.partial(ordinal, link="probit"),
}
