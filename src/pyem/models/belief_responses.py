"""Responses that follow from beliefs about a binary outcome: predictions, response times, or the outcomes themselves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from pyem.model.distribution import Categorical, Normal
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Positive, Real
from pyem.task.beliefs import Contingency
from pyem.task.offers import Offers

BinaryResponse = Literal["unit_square", "softmax", "unit_square_rt", "log_rt", "bayes_optimal"]
"""Response that is explained: predictions by the unit-square sigmoid or a softmax, with response times or without; the
response times to the outcomes; or the outcomes themselves, as predicted by somebody who believes what the model says."""

ZETA = Parameter(
    "zeta", Positive(), "inverse noise of predictions: 1 matches the belief, more exaggerates it", mean=1.6, sd=0.5
)
BETA = Parameter("beta", Positive(), "inverse temperature, per unit of probability", mean=1.6)
B0 = Parameter("b0", Real(), "log response time (log seconds) where all else is 0", mean=-0.7, sd=0.3)
B1 = Parameter("b1", Real(), "log response time per nat of surprise", sd=0.1)
B2 = Parameter("b2", Real(), "log response time per unit of the variance of the outcome", sd=0.3)
B3 = Parameter(
    "b3", Real(), "log response time per unit of the variance of the belief, as that of a probability", sd=0.3
)
B4 = Parameter("b4", Real(), "log response time per unit of phasic volatility, as that of a probability", sd=0.1)
SIGMA = Parameter("sigma", Positive(), "sd of log response times", mean=-1.2, sd=0.3)


class Prediction(NamedTuple):
    """The belief before an outcome."""

    log_p: Array
    """Log-probabilities of the outcomes 0 and 1, (2,)."""
    variance: ArrayLike = 0.0
    """Variance of the belief on the scale of probability (inferential variance, estimation uncertainty)."""
    volatility: ArrayLike = 0.0
    """Expected change of the probability because the world has become volatile (phasic volatility)."""

    def surprise(self, outcome: Array) -> Array:
        """Surprise at an outcome, in nats."""
        return -jnp.where(outcome == 1, self.log_p[1], self.log_p[0])


class LogNormal(NamedTuple):
    """A number whose logarithm is Gaussian, with mean `loc` and standard deviation `scale`."""

    loc: ArrayLike
    scale: ArrayLike

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-density of `value`, in nats; minus infinity for values that are not above 0."""
        value = jnp.asarray(value)
        log = jnp.log(jnp.where(value > 0, value, 1.0))
        return jnp.where(value > 0, Normal(self.loc, self.scale).log_prob(log) - log, -jnp.inf)

    def sample(self, key: Array) -> Array:
        """One random draw."""
        return jnp.exp(Normal(self.loc, self.scale).sample(key))


@dataclasses.dataclass(frozen=True)
class BinaryPolicy:
    """Policy of responses to the prediction ``predict(p, state)``."""

    predict: Callable[[Record, Any], Prediction]
    response: BinaryResponse

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        """The distribution of the response, or of both."""
        said = self.predict(p, state)
        if self.response == "bayes_optimal":
            return Categorical(said.log_p)
        if self.response == "log_rt":
            return _response_time(p, said, said.surprise(trial.outcome))
        if self.response == "softmax":
            return Categorical(p.beta * jnp.exp(said.log_p))
        choice = Categorical(p.zeta * said.log_p)
        if self.response == "unit_square":
            return choice
        return {"choice": choice, "rt": _response_time(p, said, state["surprise"])}


def _response_time(p: Record, said: Prediction, surprise: Array) -> LogNormal:
    mean = p.b0 + p.b1 * surprise + p.b2 * jnp.exp(said.log_p.sum(-1)) + p.b3 * said.variance + p.b4 * said.volatility
    return LogNormal(mean, p.sigma)


def response_parameters(
    response: BinaryResponse, regressors: tuple[Parameter, ...]
) -> tuple[tuple[Parameter, ...], tuple[tuple[str, float], ...]]:
    """Parameters of a response model, and those of its parameters that are held at 0.

    Parameters
    ----------
    response
        Name of the response model.
    regressors
        Weights of what response times may depend on, beside surprise and the variance of the outcome.

    Raises
    ------
    ValueError
        If there is no such response model.
    """
    if response not in get_args(BinaryResponse):
        raise ValueError(f"response={response!r}; choose one of {', '.join(map(repr, get_args(BinaryResponse)))}")
    times = (B0, B1, B2, *regressors, SIGMA)
    free = {
        "unit_square": (ZETA,),
        "softmax": (BETA,),
        "unit_square_rt": (ZETA, *times),
        "log_rt": times,
        "bayes_optimal": (),
    }[response]
    held = tuple((one.name, 0.0) for one in (B3, B4) if one not in regressors) if SIGMA in free else ()
    return free, held


def response_columns(response: BinaryResponse) -> dict[str, Any]:
    """Arguments of a model with this response about its columns, and a task with these columns."""
    coded = (("outcome", 2),)
    if response == "bayes_optimal":
        return {"responses": ("outcome",), "options": 2, "task": Offers(())}
    if response == "log_rt":
        shown = {"inputs": ("outcome",), "input_codes": coded, "updates": "shown"}
        return {"responses": ("rt",), "task": Contingency(first=True)} | shown
    made = ("choice", "rt") if response == "unit_square_rt" else ("choice",)
    learned = {"outcomes": ("outcome",), "input_codes": coded, "updates": "shown"}
    return {"responses": made, "options": 2, "task": Contingency()} | learned


def log_odds_probabilities(log_odds: Array) -> Array:
    """Log-probabilities of no and yes, (2,)."""
    return jax.nn.log_sigmoid(jnp.stack([-log_odds, log_odds]))


def flat_start() -> float:
    """Surprise before any outcome, which is that of a coin."""
    return math.log(2)
