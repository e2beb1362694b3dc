"""Generalised linear models of responses: columns of a design matrix, without a formula.

Map the columns of a table to one field: ``columns={"y": "score", "predictors": ["intercept", "x1", "x2"]}``. A column of ones
is the intercept; nothing is added, centred or scaled.

Fits take typical populations, which are where they start and their priors where they need some, from the scale of the data
(``scale="auto"``, see `pyem.models.weakly_informative`), so that units do not matter. With ``scale="none"`` they are standard
normal on the unconstrained scale.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical, Normal, Poisson
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.models.linear import Linear, Scale, frozen, is_auto, weight_parameters
from pyem.models.weakly_informative import WeaklyInformative
from pyem.task.regressors import Regressors

Family = Literal["gaussian", "binomial", "poisson"]

SIGMA = Parameter("sigma", Positive(), "standard deviation of the residuals, in units of y")
GAMMA = Parameter("gamma", Interval(0, 1), "what is left of a trial's predictors one trial later")
PHI = Parameter("phi", Interval(-1, 1), "how much of the last trial's y carries over")


@dataclasses.dataclass(frozen=True)
class _Decaying(Linear):
    """Linear predictor of predictors that linger: ``sum_j gamma**j X[t - j]``. The state has the last trials' rows."""

    def __call__(self, p: Record, state: Any, trial: Record) -> Array:
        past = (p.gamma ** (lag + 1) * self.weigh(p, row) for lag, row in enumerate(state["past"]))
        return sum(past, self.weigh(p, trial.predictors))


@dataclasses.dataclass(frozen=True)
class _Autoregressive(Linear):
    """Linear predictor plus a share of the last y, which is the state."""

    def __call__(self, p: Record, state: Any, trial: Record) -> Array:
        return super().__call__(p, state, trial) + p.phi * state["last_y"]


def _gaussian(eta: Array, p: Record) -> Normal:
    return Normal(eta, p.sigma)


def _bernoulli(eta: Array, p: Record) -> Categorical:
    return Categorical(jnp.stack([jnp.zeros_like(eta), eta]))


def _poisson(eta: Array, p: Record) -> Poisson:
    return Poisson(jnp.exp(eta), eta)


_RESPONSE: dict[str, Callable[[Array, Record], Any]] = {
    "gaussian": _gaussian,
    "binomial": _bernoulli,
    "poisson": _poisson,
}
_MEAN: dict[str, Callable[[Array], Array]] = {
    "gaussian": lambda eta: eta,
    "binomial": jax.nn.sigmoid,
    "poisson": jnp.exp,
}


@dataclasses.dataclass(frozen=True)
class _Policy:
    family: Family
    linear: Linear

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        return _RESPONSE[self.family](self.linear(p, state, trial), p)


def _nothing(p: Record) -> tuple[()]:
    return ()


@dataclasses.dataclass(frozen=True)
class _NoRows:
    lags: int
    size: int

    def __call__(self, p: Record) -> dict[str, Array]:
        return {"past": jnp.zeros((self.lags, self.size))}


def _no_y(p: Record) -> dict[str, Array]:
    return {"last_y": jnp.zeros(())}


def _stay(state: Any, trial: Record) -> Any:
    return state


def _shift(state: dict[str, Array], trial: Record) -> dict[str, Array]:
    past = state["past"]
    return {"past": jnp.concatenate([jnp.atleast_1d(trial.predictors)[None].astype(past.dtype), past[:-1]])}


def _last_y(state: dict[str, Array], trial: Record) -> dict[str, Array]:
    return {"last_y": jnp.asarray(trial.y, state["last_y"].dtype)}


@dataclasses.dataclass(frozen=True)
class _Update:
    """Update of the state; the latent is the expected response."""

    family: Family
    linear: Linear
    move: Callable[[Any, Record], Any]

    def __call__(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Array]]:
        return self.move(state, trial), {"predicted": _MEAN[self.family](self.linear(p, state, trial))}


@functools.lru_cache
def _regression(
    name: str,
    family: Family,
    predictors: int | tuple[str, ...],
    linear: type[Linear],
    lags: int,
    scale: Scale,
    doc: str,
    reference: str,
) -> Model:
    weights, parameters = weight_parameters(predictors, 0.3 if family == "poisson" else 1.0)
    named = parameters[0].names if isinstance(weights, int) else weights
    size = len(named)
    eta = linear(weights)
    init, move, lagged, extra = {
        Linear: (_nothing, _stay, (), ()),
        _Decaying: (_NoRows(lags, size), _shift, (("predictors", lags),), (GAMMA,)),
        _Autoregressive: (_no_y, _last_y, (("y", 1),), (PHI,)),
    }[linear]
    return Model(
        name,
        (*parameters, *extra, *((SIGMA,) if family == "gaussian" else ())),
        _Policy(family, eta),
        init=init,
        update=_Update(family, eta, move),
        options=2 if family == "binomial" else None,
        responses=("y",),
        inputs=("predictors",),
        updates="always" if lagged else "shown",
        lagged=lagged,
        autoscale=WeaklyInformative(named, family, carries_over=lags > 0) if is_auto(scale) else None,
        task=Regressors(size),
        doc=doc,
        reference=reference,
    )


def _name(family: str) -> str:
    names = {"gaussian": "glm", "binomial": "logit", "poisson": "poisson"}
    if family not in names:
        raise ValueError(f"family={family!r}; choose one of {', '.join(names)}")
    return names[family]


_NELDER = "https://doi.org/10.2307/2344614"
_RUTLEDGE = "https://doi.org/10.1073/pnas.1407535111"
_HAMILTON = "https://doi.org/10.1515/9780691218632"
_COX = "https://doi.org/10.1111/j.2517-6161.1958.tb00292.x"
_LAU = "https://doi.org/10.1901/jeab.2005.110-04"


def glm(predictors: int | Sequence[str] = 3, family: Family = "gaussian", scale: Scale = "auto") -> Model:
    """A generalised linear model of the column ``y``: normal, yes or no, or counts.

    Parameters
    ----------
    predictors
        Number of columns of the field ``predictors``; their weights are ``b0``, ``b1``, ... Or their names, which become
        those of the weights.
    family
        ``"gaussian"``, with the identity link and the residual standard deviation ``sigma`` as a parameter; ``"binomial"``
        for y of 0 and 1, with the logit link; ``"poisson"`` for counts, with the log link.
    scale
        ``"auto"``: fits take the typical population from the scale of y and of each predictor, so that estimates are the same
        in seconds and in milliseconds; ``"none"``: it is as `Model.typical` of this model says.

    References
    ----------
    Nelder, J. A., & Wedderburn, R. W. M. (1972). Generalized linear models. Journal of the Royal Statistical Society A,
    135(3), 370-384. https://doi.org/10.2307/2344614

    Examples
    --------
    >>> glm(2).names
    ('b0', 'b1', 'sigma')
    >>> glm(["intercept", "age"], family="poisson").names
    ('intercept', 'age')
    """
    doc = {
        "gaussian": "linear regression",
        "binomial": "logistic regression",
        "poisson": "Poisson regression of counts",
    }
    reference = _COX if family == "binomial" else _NELDER
    return _regression(_name(family), family, frozen(predictors), Linear, 0, scale, doc[family], reference)


def logit(predictors: int | Sequence[str] = 3, scale: Scale = "auto") -> Model:
    """Logistic regression of the column ``y`` of 0 and 1: `glm` with the binomial family.

    References
    ----------
    Cox, D. R. (1958). The regression analysis of binary sequences. Journal of the Royal Statistical Society B, 20(2),
    215-242. https://doi.org/10.1111/j.2517-6161.1958.tb00292.x

    Examples
    --------
    >>> logit(2).names
    ('b0', 'b1')
    """
    return glm(predictors, "binomial", scale)


def poisson(predictors: int | Sequence[str] = 3, scale: Scale = "auto") -> Model:
    """Poisson regression of the column ``y`` of counts: `glm` with the Poisson family.

    References
    ----------
    Nelder, J. A., & Wedderburn, R. W. M. (1972). Generalized linear models. Journal of the Royal Statistical Society A,
    135(3), 370-384. https://doi.org/10.2307/2344614

    Examples
    --------
    >>> poisson(2).names
    ('b0', 'b1')
    """
    return glm(predictors, "poisson", scale)


def _lags(decay: str) -> int:
    steps = {"onestep": 1, "twostep": 2}
    if decay not in steps:
        raise ValueError(f"decay={decay!r}; choose 'onestep' or 'twostep'")
    return steps[decay]


def glm_decay(
    predictors: int | Sequence[str] = 3,
    family: Family = "gaussian",
    decay: Literal["onestep", "twostep"] = "twostep",
    scale: Scale = "auto",
) -> Model:
    """A generalised linear model of predictors that linger: ``sum_j gamma**j X[t - j]`` takes the place of ``X[t]``.

    What came before a block has no effect on it. A trial counts only where the predictors of the earlier trials that it
    needs are known too.

    Parameters
    ----------
    predictors, family, scale
        See `glm`. All columns linger, a column of ones too.
    decay
        ``"twostep"``: trials t, t - 1 and t - 2; ``"onestep"``: t and t - 1.

    References
    ----------
    Rutledge, R. B., Skandali, N., Dayan, P., & Dolan, R. J. (2014). A computational and neural model of momentary
    subjective well-being. PNAS, 111(33), 12252-12257. https://doi.org/10.1073/pnas.1407535111

    Examples
    --------
    >>> glm_decay(2).names
    ('b0', 'b1', 'gamma', 'sigma')
    """
    doc = "regression on predictors that linger"
    name, lags, reference = f"{_name(family)}_decay", _lags(decay), _LAU if family == "binomial" else _RUTLEDGE
    return _regression(name, family, frozen(predictors), _Decaying, lags, scale, doc, reference)


def logit_decay(
    predictors: int | Sequence[str] = 3, decay: Literal["onestep", "twostep"] = "twostep", scale: Scale = "auto"
) -> Model:
    """Logistic regression on predictors that linger: `glm_decay` with the binomial family.

    References
    ----------
    Lau, B., & Glimcher, P. W. (2005). Dynamic response-by-response models of matching behavior in rhesus monkeys.
    Journal of the Experimental Analysis of Behavior, 84(3), 555-579. https://doi.org/10.1901/jeab.2005.110-04

    Examples
    --------
    >>> logit_decay(2).names
    ('b0', 'b1', 'gamma')
    """
    return glm_decay(predictors, "binomial", decay, scale)


def glm_ar(predictors: int | Sequence[str] = 3, scale: Scale = "auto") -> Model:
    """Linear regression in which a part of the last trial's y carries over: mean of y is ``X[t] b + phi y[t - 1]``.

    Nothing carries over to the first trial of a block. A trial after a missing y is left out of the likelihood.

    Parameters
    ----------
    predictors, scale
        See `glm`.

    References
    ----------
    Hamilton, J. D. (1994). Time Series Analysis. Princeton University Press. https://doi.org/10.1515/9780691218632

    Examples
    --------
    >>> glm_ar(2).names
    ('b0', 'b1', 'phi', 'sigma')
    """
    doc = "linear regression with a part of the last y"
    return _regression("glm_ar", "gaussian", frozen(predictors), _Autoregressive, 1, scale, doc, _HAMILTON)


MODELS = {
    "glm": glm,
    "glm_decay": glm_decay,
    "glm_ar": glm_ar,
    "logit": logit,
    "logit_decay": logit_decay,
    "poisson": poisson,
}
