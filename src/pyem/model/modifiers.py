"""Models out of models: parameters held, tied or added."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from pyem.model.designed import arguments_of, designed
from pyem.model.distribution import Categorical, log_probs
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Real


class Design(Protocol):
    """What is not a model yet but will be one of data, as what `pyem.regress` makes."""

    def modified(self, step: str, values: Mapping[str, Any]) -> Self:
        """The same with the change of that name."""
        ...


Either = TypeVar("Either", Model, Design)


def fix(model: Either, **values: float) -> Either:
    """The same model with some parameters held at given natural values.

    Effects of a design (`pyem.regress`) are held, too: ``fix(design, **{"alpha[drug]": 0.5})``.

    Raises
    ------
    ValueError
        If there is no such free parameter, it has several values, or the value is outside its range.

    Examples
    --------
    >>> from pyem.models import get
    >>> fix(get("rw1a1b"), alpha=0.1).names
    ('beta',)
    """
    if not isinstance(model, Model):
        return model.modified("fix", values)
    if model.design is not None:
        return _redesigned(model, held=values)
    for name, value in values.items():
        if _free(model, name).size is not None:
            raise ValueError(f"{name!r} of model {model.name!r} has several values; only single ones can be fixed")
        some = _free(model, name).values
        if some is not None and value not in some:
            raise ValueError(
                f"{name}={value:g} is none of the values of {name!r} of model {model.name!r}: "
                f"{', '.join(f'{v:g}' for v in some)}"
            )
        low, high = _free(model, name).transform.bounds
        if not (np.isfinite(value) and low <= value <= high):
            raise ValueError(
                f"{name}={value} is outside the range ({low:g}, {high:g}) of model {model.name!r}; give a value inside it"
            )
    fixed = tuple((name, float(value)) for name, value in sorted(values.items()))
    label = ", ".join(f"{name}={value:g}" for name, value in fixed)
    return _derived(_without(model, values, label), "fix", fixed, fixed=model.fixed + fixed)


def tie(model: Either, **sources: str) -> Either:
    """The same model with some parameters equal to others: ``tie(model, alpha_neg="alpha_pos")``.

    So are effects of a design (`pyem.regress`), on one parameter or two:
    ``tie(design, **{"alpha_neg[drug]": "alpha_pos[drug]"})``.

    Raises
    ------
    ValueError
        If a name is no free parameter of the model, a parameter is tied to itself, or the two differ in range or size.

    Examples
    --------
    >>> from pyem.models import get
    >>> tie(get("rw2a1b"), alpha_neg="alpha_pos").names
    ('beta', 'alpha_pos')
    """
    if not isinstance(model, Model):
        return model.modified("tie", sources)
    if model.design is not None:
        return _redesigned(model, tied=sources)
    for name, source in sources.items():
        target, origin = _free(model, name), _free(model, source)
        if (target.transform, target.size) != (origin.transform, origin.size):
            raise ValueError(
                f"cannot tie {name!r} to {source!r} in model {model.name!r}: the one is {target.transform}, the other "
                f"{origin.transform}; tie parameters of the same range and size"
            )
        if source in sources:
            raise ValueError(f"cannot tie {name!r} to {source!r}, which is itself tied; tie both to a free parameter")
    tied = tuple(sorted(sources.items()))
    label = ", ".join(f"{name}={source}" for name, source in tied)
    return _derived(_without(model, sources, label), "tie", tied, tied=model.tied + tied)


def _derived(model: Model, step: str, arguments: tuple[tuple[str, Any], ...] = (), **changes: Any) -> Model:
    """`model` with `changes`, and with the function that makes them added to its recipe."""
    recipe = (*model.recipe, (step, arguments)) if model.recipe else ()
    return dataclasses.replace(model, **changes, recipe=recipe)


def _redesigned(
    model: Model, base: Model | None = None, *, held: Mapping[str, float] | None = None, tied: Any = None
) -> Model:
    """A model with a design, made again: of another model of a block, or with more effects held or tied."""
    design = model.design
    assert design is not None
    told: dict[str, Any] = dict(arguments_of(model)) | {"typical": (), "reward_range": None}
    told["held"] = tuple((dict(design.held) | {name: float(v) for name, v in (held or {}).items()}).items())
    told["tied"] = tuple((dict(design.tied) | dict(tied or {})).items())
    return designed(base or design.base, **told)


def _free(model: Model, name: str) -> Parameter:
    for parameter in model.parameters:
        if parameter.name == name:
            return parameter
    names = ", ".join(parameter.name for parameter in model.parameters)
    raise ValueError(f"model {model.name!r} has no free parameter {name!r}; it has {names}")


def _without(model: Model, names: Mapping[str, Any], label: str) -> Model:
    kept = tuple(parameter for parameter in model.parameters if parameter.name not in names)
    return dataclasses.replace(model, name=f"{model.name}[{label}]", parameters=kept)


@dataclasses.dataclass(frozen=True)
class _LapsePolicy:
    base: Callable[..., Any]

    def __call__(self, p: Record, state: Any, trial: Record) -> Categorical:
        log_p = log_probs(self.base(p, state, trial))
        offered = log_p > -jnp.inf
        guess = jnp.log(p.lapse) - jnp.log(offered.sum(-1, dtype=log_p.dtype))
        # Derivatives are those of the other branch, too, which therefore must be finite.
        mixed = jnp.logaddexp(jnp.log1p(-p.lapse) + jnp.where(offered, log_p, 0.0), guess)
        return Categorical(jnp.where(offered, mixed, -jnp.inf))


def with_lapse(model: Either) -> Either:
    """The same model, except that with probability ``lapse`` the subject picks an option at random.

    An option whose logit is minus infinity is not on offer: it is not picked at random either.

    Examples
    --------
    >>> from pyem.models import get
    >>> with_lapse(get("rw1a1b")).names
    ('beta', 'alpha', 'lapse')
    """
    if not isinstance(model, Model):
        return model.modified("with_lapse", {})
    if model.design is not None:
        return _redesigned(model, with_lapse(model.design.base))
    _require_policy(model, "with_lapse")
    lapse = Parameter("lapse", Interval(0, 1), "probability of a random response", mean=-3.0)
    return _derived(
        model,
        "with_lapse",
        name=f"{model.name}+lapse",
        parameters=(*model.parameters, lapse),
        policy=_LapsePolicy(model.policy),  # type: ignore[arg-type]
    )


@dataclasses.dataclass(frozen=True)
class _StickyInit:
    base: Callable[..., Any] | None
    options: int

    def __call__(self, p: Record) -> dict[str, Any]:
        return {"value": self.base(p) if self.base else (), "last_choice": jnp.zeros(self.options)}


@dataclasses.dataclass(frozen=True)
class _StickyPolicy:
    base: Callable[..., Any]

    def __call__(self, p: Record, state: Any, trial: Record) -> Categorical:
        return Categorical(log_probs(self.base(p, state["value"], trial)) + p.stickiness * state["last_choice"])


@dataclasses.dataclass(frozen=True)
class _StickyUpdate:
    base: Callable[..., Any] | None
    response: str

    def __call__(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
        value, latents = self.base(p, state["value"], trial) if self.base else (state["value"], {})
        before = state["last_choice"]
        last = jax.nn.one_hot(trial[self.response], before.shape[-1], dtype=before.dtype)
        # A model may learn from a trial without a response, which leaves the last choice what it was.
        return {"value": value, "last_choice": jnp.where(trial.responded[self.response], last, before)}, latents


def with_stickiness(model: Either) -> Either:
    """The same model with ``stickiness`` nats added to the option chosen last (perseveration; below 0, alternation).

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
    if not isinstance(model, Model):
        return model.modified("with_stickiness", {})
    if model.design is not None:
        return _redesigned(model, with_stickiness(model.design.base))
    _require_policy(model, "with_stickiness")
    if model.options is None:
        raise ValueError(f"with_stickiness needs to know the number of options; make {model.name!r} with options=")
    stickiness = Parameter("stickiness", Real(), "nats added to the option chosen last")
    return _derived(
        model,
        "with_stickiness",
        name=f"{model.name}+stickiness",
        parameters=(*model.parameters, stickiness),
        init=_StickyInit(model.init, model.options),
        policy=_StickyPolicy(model.policy),  # type: ignore[arg-type]
        update=_StickyUpdate(model.update, model.responses[0]),
    )


DERIVATIONS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (designed, fix, tie, with_lapse, with_stickiness)}
"""What a recipe may name after the registered model."""


def _require_policy(model: Model, name: str) -> None:
    if model.policy is None:
        raise ValueError(f"{name} changes a policy, but model {model.name!r} is defined by log_likelihood=")
