"""Modifiers of responses: lapses, perseveration, a bias for a side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import Array

from pyem.errors import require_kind
from pyem.model.decision import longest_outlier
from pyem.model.derivation import Either, derived, redesigned
from pyem.model.distribution import Categorical, log_probs
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.times.outliers import mixed
from pyem.model.transform import Interval, Real


def with_lapse(model: Either, response: str | None = None) -> Either:
    """Add lapses: with probability ``lapse`` the subject picks an option at random.

    An option whose logit is minus infinity is not on offer: it is not picked at random either. Of a choice with a response time
    the time is then any up to the latest response of the data or the model's deadline, as for `p_outlier` of `pyem.models.get`.

    Parameters
    ----------
    model
        The model, or a design of it.
    response
        Response that lapses, in a model with several in one trial; the parameter is then named after it, so that each may have
        its own.

    Raises
    ------
    ValueError
        If the model has several responses and none is named, or has none of that name.

    Examples
    --------
    >>> from pyem.models import get
    >>> with_lapse(get("rw1a1b")).names
    ('beta', 'alpha', 'lapse')
    >>> with_lapse(get("two_step"), response="choice2").names[-1]
    'lapse_choice2'
    """
    require_kind("design", model)
    if not isinstance(model, Model):
        return model.modified("with_lapse", _told(response))
    if model.design is not None:
        return redesigned(model, with_lapse(model.design.base, response))
    name = _response(model, "with_lapse", response)
    lapse = Parameter(_named(model, "lapse", name), Interval(0, 1), "probability of a random response", mean=-3.0)
    if model.joint:
        lapsing = _Contaminated(model.policy, lapse.name, name)
        return _modified(model, "with_lapse", response, lapse, policy=lapsing, longest_outlier=longest_outlier(model))
    return _modified(model, "with_lapse", response, lapse, policy=_Policy(model.policy, _Lapse(lapse.name), name))


def with_stickiness(model: Either, response: str | None = None) -> Either:
    """Add ``stickiness`` nats to the option chosen last: perseveration; below 0, alternation.

    Parameters
    ----------
    model
        The model, or a design of it.
    response
        Response that perseverates, in a model with several in one trial; the parameter is then named after it.

    Raises
    ------
    ValueError
        If the model has several responses and none is named, has none of that name, or does not say how many options it has.

    References
    ----------
    Lau, B., & Glimcher, P. W. (2005). Dynamic response-by-response models of matching behavior in rhesus monkeys.
    Journal of the Experimental Analysis of Behavior, 84(3), 555-579. https://doi.org/10.1901/jeab.2005.110-04

    Examples
    --------
    >>> from pyem.models import get
    >>> with_stickiness(get("rw1a1b")).names
    ('beta', 'alpha', 'stickiness')
    """
    require_kind("design", model)
    if not isinstance(model, Model):
        return model.modified("with_stickiness", _told(response))
    if model.design is not None:
        return redesigned(model, with_stickiness(model.design.base, response))
    name = _response(model, "with_stickiness", response)
    _require_logits(model, "with_stickiness")
    options = _options(model, "with_stickiness", name)
    added = Parameter(_named(model, "stickiness", name), Real(), "nats added to the option chosen last")
    return _modified(
        model,
        "with_stickiness",
        response,
        added,
        init=_StickyInit(model.init, options),
        policy=_StickyPolicy(model.policy, added.name, name),
        update=_StickyUpdate(model.update, name),
    )


def with_side_bias(model: Either, response: str | None = None) -> Either:
    """Add ``side_bias`` nats to the second of two options, code 1; below 0, the first is preferred.

    Parameters
    ----------
    model
        The model, or a design of it.
    response
        Response that is biased, in a model with several in one trial; the parameter is then named after it.

    Raises
    ------
    ValueError
        If the model has several responses and none is named, has none of that name, or has not two options.

    Examples
    --------
    >>> from pyem.models import get
    >>> with_side_bias(get("rw1a1b")).names
    ('beta', 'alpha', 'side_bias')
    """
    require_kind("design", model)
    if not isinstance(model, Model):
        return model.modified("with_side_bias", _told(response))
    if model.design is not None:
        return redesigned(model, with_side_bias(model.design.base, response))
    name = _response(model, "with_side_bias", response)
    _require_logits(model, "with_side_bias")
    if (options := _options(model, "with_side_bias", name)) != 2:
        raise ValueError(f"with_side_bias needs two options, but {name!r} of model {model.name!r} has {options}")
    bias = Parameter(_named(model, "side_bias", name), Real(), "nats added to the second option", sd=0.5)
    return _modified(model, "with_side_bias", response, bias, policy=_Policy(model.policy, _Side(bias.name), name))


# -- what is done to a distribution -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Lapse:
    parameter: str

    def __call__(self, p: Record, log_p: Array) -> Array:
        lapse, offered = p[self.parameter], log_p > -jnp.inf
        guess = jnp.log(lapse) - jnp.log(offered.sum(-1, dtype=log_p.dtype))
        # Derivatives of the branch that is not taken enter as well, and therefore must be finite.
        mixed = jnp.logaddexp(jnp.log1p(-lapse) + jnp.where(offered, log_p, 0.0), guess)
        return jnp.where(offered, mixed, -jnp.inf)


@dataclasses.dataclass(frozen=True)
class _Contaminated:
    base: Callable[..., Any] | None
    parameter: str
    response: str

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        plans = self.base(p, state, trial)  # type: ignore[misc]
        lapsing = lambda dist: mixed(dist, p[self.parameter], p.longest_outlier)  # noqa: E731
        return plans | {self.response: lapsing(plans[self.response])} if isinstance(plans, dict) else lapsing(plans)


@dataclasses.dataclass(frozen=True)
class _Side:
    parameter: str

    def __call__(self, p: Record, log_p: Array) -> Array:
        return log_p + jnp.array([0.0, 1.0]) * p[self.parameter]


def _changed(plans: Any, name: str, change: Callable[[Array], Array]) -> Any:
    """Apply `change` to the log-probabilities of one response in the result of a policy."""
    return plans | {name: _change_of(plans[name], change)} if isinstance(plans, dict) else _change_of(plans, change)


def _change_of(plan: Any, change: Callable[[Array], Array]) -> Any:
    """Return the changed distribution, or a function of the trial that gives it later."""
    told = cast(Any, plan)
    if callable(plan) and not hasattr(plan, "log_prob"):
        return lambda trial: Categorical(change(log_probs(told(trial))))
    return Categorical(change(log_probs(told)))


@dataclasses.dataclass(frozen=True)
class _Policy:
    base: Callable[..., Any] | None
    change: Callable[[Record, Array], Array]
    response: str

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        return _changed(self.base(p, state, trial), self.response, lambda log_p: self.change(p, log_p))  # type: ignore[misc]


@dataclasses.dataclass(frozen=True)
class _StickyInit:
    base: Callable[..., Any] | None
    options: int

    def __call__(self, p: Record) -> dict[str, Any]:
        return {"value": self.base(p) if self.base else (), "last_choice": jnp.zeros(self.options)}


@dataclasses.dataclass(frozen=True)
class _StickyPolicy:
    base: Callable[..., Any] | None
    parameter: str
    response: str

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        plans = self.base(p, state["value"], trial)  # type: ignore[misc]
        return _changed(plans, self.response, lambda log_p: log_p + p[self.parameter] * state["last_choice"])


@dataclasses.dataclass(frozen=True)
class _StickyUpdate:
    base: Callable[..., Any] | None
    response: str

    def __call__(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
        value, latents = self.base(p, state["value"], trial) if self.base else (state["value"], {})
        before = state["last_choice"]
        last = jax.nn.one_hot(trial[self.response], before.shape[-1], dtype=before.dtype)
        # A model may learn from a trial without a response, after which the last choice is still the one before.
        return {"value": value, "last_choice": jnp.where(trial.responded[self.response], last, before)}, latents


# -- which response -----------------------------------------------------------------------------------------------------


def _told(response: str | None) -> dict[str, Any]:
    return {} if response is None else {"response": response}


def _modified(model: Model, step: str, response: str | None, added: Parameter, **changes: Any) -> Model:
    name = f"{model.name}+{added.name}"
    arguments = tuple(_told(response).items())
    return derived(model, step, arguments, name=name, parameters=(*model.parameters, added), **changes)


def _named(model: Model, parameter: str, response: str) -> str:
    return parameter if len(model.responses) - len(model.joint) == 1 else f"{parameter}_{response}"


def _response(model: Model, step: str, response: str | None) -> str:
    if model.policy is None:
        raise ValueError(f"{step} changes a policy, but model {model.name!r} is defined by log_likelihood=")
    has = ", ".join(map(repr, model.responses))
    if response is None and len(model.responses) - len(model.joint) > 1:
        raise ValueError(
            f"model {model.name!r} has the responses {has}; say which one is meant, as in {step}(model, "
            f"response={next(iter(model.responses))!r})"
        )
    if response is not None and response not in model.responses:
        raise ValueError(f"model {model.name!r} has no response {response!r}; it has {has}")
    return next(iter(model.responses)) if response is None else response


def _require_logits(model: Model, step: str) -> None:
    if model.joint:
        raise ValueError(
            f"{step} changes the logits of a choice, but {model.name!r} explains {' and '.join(model.joint[0])} together; "
            f"change a learning model and give it a rule of decision afterwards: with_decision({step}(...))"
        )


def _options(model: Model, step: str, response: str) -> int:
    options = dict(model.coded).get(response)
    if options is None:
        raise ValueError(f"{step} needs to know the number of options; make {model.name!r} with options=")
    return options
