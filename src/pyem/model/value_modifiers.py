"""Modifiers of how values of options change: they are forgotten, or outcomes reach back to earlier choices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.errors import require_kind
from pyem.model.derivation import Either, derived, redesigned
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval

FORGETTING = Parameter(
    "forgetting",
    Interval(0, 1),
    "share of their way back that the values of options not chosen go on each trial",
    mean=-2.0,
)
ELIGIBILITY = Parameter(
    "eligibility", Interval(0, 1), "share of a choice's trace that is left one trial later", mean=-1.0
)


def with_forgetting(model: Either, values: str | None = None) -> Either:
    """Let the values of options that are not chosen go back to where they started.

    On each trial that teaches, they go the share ``forgetting`` of the way.

    Parameters
    ----------
    model
        The model, or a design of it, that keeps one value for each option.
    values
        Entry of the state with the values, if it is a dict: ``"q"``, ``"mean"``, ...; the one entry that fits, if not given.

    Raises
    ------
    ValueError
        If the model keeps no value for each option, or several entries may be meant.

    References
    ----------
    Ito, M., & Doya, K. (2009). Validation of decision-making models and analysis of decision variables in the rat basal
    ganglia. Journal of Neuroscience, 29(31), 9861-9874. https://doi.org/10.1523/JNEUROSCI.6157-08.2009

    Examples
    --------
    >>> from pyem.models import get
    >>> with_forgetting(get("rw2a1b")).names
    ('beta', 'alpha_pos', 'alpha_neg', 'forgetting')
    """
    require_kind("design", model)
    if not isinstance(model, Model):
        return model.modified("with_forgetting", {} if values is None else {"values": values})
    if model.design is not None:
        return redesigned(model, with_forgetting(model.design.base, values))
    entry = _entry(model, "with_forgetting", values)
    update = _Forget(model.update, model.init, entry, model.responses[0])
    return _modified(model, "with_forgetting", values, FORGETTING, init=model.init, update=update)


def with_eligibility(model: Either, values: str | None = None) -> Either:
    """Let outcomes change not only the chosen option but also those chosen before it.

    An option has a trace of 1 when it is chosen, of which the share ``eligibility`` is left one trial later; the step of the
    value of the option that was chosen is made by all others, too, times their trace.

    Parameters
    ----------
    model, values
        Arguments as in `with_forgetting`.

    Raises
    ------
    ValueError
        If the model keeps no value for each option, or several entries may be meant.

    References
    ----------
    Sutton, R. S., & Barto, A. G. (2018). Reinforcement Learning: An Introduction (2nd ed.), chapter 12. MIT Press.

    Examples
    --------
    >>> from pyem.models import get
    >>> with_eligibility(get("rw1a1b")).names
    ('beta', 'alpha', 'eligibility')
    """
    require_kind("design", model)
    if not isinstance(model, Model):
        return model.modified("with_eligibility", {} if values is None else {"values": values})
    if model.design is not None:
        return redesigned(model, with_eligibility(model.design.base, values))
    entry = _entry(model, "with_eligibility", values)
    parts = {
        "init": _Traced(model.init, entry),
        "policy": _Inner(model.policy),
        "update": _Reach(model.update, entry, model.responses[0]),
    }
    return _modified(model, "with_eligibility", values, ELIGIBILITY, **parts)


def _modified(model: Model, step: str, values: str | None, added: Parameter, **changes: Any) -> Model:
    if added.name in model.names:
        raise ValueError(f"model {model.name!r} has {added.name!r} already; {step} is of use once")
    arguments = () if values is None else (("values", values),)
    name = f"{model.name}+{added.name}"
    return derived(model, step, arguments, name=name, parameters=(*model.parameters, added), **changes)


def _entry(model: Model, step: str, values: str | None) -> str | None:
    """Entry of the state that has a value for each option; None for the state itself."""
    sizes = _sizes(model)
    fitting = [name for name, size in sizes.items() if size == (model.options,)]
    if values is not None and values not in fitting:
        raise ValueError(
            f"{step}: values={values!r} is no entry of the state of model {model.name!r} with one value for each option; "
            f"{'those are ' + ', '.join(map(repr, filter(None, fitting))) if any(fitting) else 'there is none'}"
        )
    if values is not None:
        return values
    if len(fitting) != 1:
        said = f"has several: say which by values= ({', '.join(map(repr, fitting))})" if fitting else "has none"
        raise ValueError(
            f"{step} needs a model that keeps one value for each of its options, and {model.name!r} {said}; of a model with "
            "cues, modify the one without them, and with_cues after that"
        )
    return fitting[0]


def _sizes(model: Model) -> dict[str | None, tuple[int, ...]]:
    """Shape of each entry of the state; None stands for a state that is one array."""
    if model.init is None or model.update is None or model.policy is None or model.options is None:
        return {}
    with jax.enable_x64(True):
        p = jax.eval_shape(model.record, jax.ShapeDtypeStruct((model.n_params,), "float64"))
        state = jax.eval_shape(model.init, p)
    entries = state if isinstance(state, dict) else {None: state}
    return {name: leaf.shape for name, leaf in entries.items() if isinstance(leaf, jax.ShapeDtypeStruct)}


def _of(state: Any, entry: str | None) -> Array:
    return state if entry is None else state[entry]


def _put(state: Any, entry: str | None, values: Array) -> Any:
    return values if entry is None else {**state, entry: values}


@dataclasses.dataclass(frozen=True)
class _Forget:
    base: Any
    start: Any
    entry: str | None
    response: str

    def __call__(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
        new, latents = self.base(p, state, trial)
        values = _of(new, self.entry)
        back = values + p.forgetting * (_of(self.start(p), self.entry) - values)
        chosen = jnp.arange(values.shape[-1]) == trial[self.response]
        return _put(new, self.entry, jnp.where(chosen, values, back)), latents


@dataclasses.dataclass(frozen=True)
class _Traced:
    base: Any
    entry: str | None

    def __call__(self, p: Record) -> dict[str, Any]:
        state = self.base(p)
        return {"state": state, "trace": jnp.zeros_like(_of(state, self.entry), dtype=jnp.result_type(float))}


@dataclasses.dataclass(frozen=True)
class _Inner:
    base: Callable[..., Any] | None

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        assert self.base is not None
        return self.base(p, state["state"], trial)


@dataclasses.dataclass(frozen=True)
class _Reach:
    base: Any
    entry: str | None
    response: str

    def __call__(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
        c = trial[self.response]
        new, latents = self.base(p, state["state"], trial)
        before, values = _of(state["state"], self.entry), _of(new, self.entry)
        chosen = jnp.arange(values.shape[-1]) == c
        trace = jnp.where(chosen, 1.0, p.eligibility * state["trace"])
        reached = jnp.where(chosen, values, values + (values[c] - before[c]) * trace)
        return {"state": _put(new, self.entry, reached), "trace": trace}, latents
