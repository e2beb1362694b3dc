"""Modifiers of models: parameters held or tied, and the registry of all modifiers that a recipe may name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyem.errors import require_kind
from pyem.model.cues import with_cues
from pyem.model.decision import with_decision
from pyem.model.derivation import Either, derived, free_parameter, redesigned
from pyem.model.designed import designed
from pyem.model.model import Model
from pyem.model.ranges import with_range
from pyem.model.response_modifiers import with_lapse, with_side_bias, with_stickiness
from pyem.model.value_modifiers import with_eligibility, with_forgetting


def fix(model: Either, **values: float) -> Either:
    """Hold some parameters of a model at given natural values.

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
    require_kind("design", model)
    if not isinstance(model, Model):
        return model.modified("fix", values)
    if model.design is not None:
        return redesigned(model, held=values)
    for name, value in values.items():
        if free_parameter(model, name).size is not None:
            raise ValueError(f"{name!r} of model {model.name!r} has several values; only single ones can be fixed")
        some = free_parameter(model, name).values
        if some is not None and value not in some:
            raise ValueError(
                f"{name}={value:g} is none of the values of {name!r} of model {model.name!r}: "
                f"{', '.join(f'{v:g}' for v in some)}"
            )
        low, high = free_parameter(model, name).transform.bounds
        if not (np.isfinite(value) and low <= value <= high):
            raise ValueError(
                f"{name}={value} is outside the range ({low:g}, {high:g}) of model {model.name!r}; give a value inside it"
            )
    fixed = tuple((name, float(value)) for name, value in sorted(values.items()))
    label = ", ".join(f"{name}={value:g}" for name, value in fixed)
    return derived(_without(model, values, label), "fix", fixed, fixed=model.fixed + fixed)


def tie(model: Either, **sources: str) -> Either:
    """Set some parameters of a model equal to others: ``tie(model, alpha_neg="alpha_pos")``.

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
    require_kind("design", model)
    if not isinstance(model, Model):
        return model.modified("tie", sources)
    if model.design is not None:
        return redesigned(model, tied=sources)
    for name, source in sources.items():
        target, origin = free_parameter(model, name), free_parameter(model, source)
        if (target.transform, target.size) != (origin.transform, origin.size):
            raise ValueError(
                f"cannot tie {name!r} to {source!r} in model {model.name!r}: the one is {target.transform}, the other "
                f"{origin.transform}; tie parameters of the same range and size"
            )
        if source in sources:
            raise ValueError(f"cannot tie {name!r} to {source!r}, which is itself tied; tie both to a free parameter")
    tied = tuple(sorted(sources.items()))
    label = ", ".join(f"{name}={source}" for name, source in tied)
    return derived(_without(model, sources, label), "tie", tied, tied=model.tied + tied)


def _without(model: Model, names: Mapping[str, Any], label: str) -> Model:
    kept = tuple(parameter for parameter in model.parameters if parameter.name not in names)
    return dataclasses.replace(model, name=f"{model.name}[{label}]", parameters=kept)


DERIVATIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        *(designed, fix, tie, with_cues, with_decision, with_eligibility, with_forgetting),
        *(with_lapse, with_range, with_side_bias, with_stickiness),
    )
}
"""Functions that a recipe may name after the registered model."""
