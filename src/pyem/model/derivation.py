"""Helpers of functions that make models out of models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, Self, TypeVar

from pyem.model.designed import arguments_of, designed
from pyem.model.model import Model
from pyem.model.parameter import Parameter


class Design(Protocol):
    """A design that makes a model once it has data, such as one made by `pyem.regress`."""

    def modified(self, step: str, values: Mapping[str, Any]) -> Self:
        """Return the design with the named change."""
        ...


Either = TypeVar("Either", Model, Design)


def derived(model: Model, step: str, arguments: tuple[tuple[str, Any], ...] = (), **changes: Any) -> Model:
    """`model` with `changes`, and with the function that makes them added to its recipe."""
    recipe = (*model.recipe, (step, arguments)) if model.recipe else ()
    return dataclasses.replace(model, **changes, recipe=recipe)


def redesigned(
    model: Model, base: Model | None = None, *, held: Mapping[str, float] | None = None, tied: Any = None
) -> Model:
    """Make a model with a design again: with another model of a block, or with more effects held or tied."""
    design = model.design
    assert design is not None
    told: dict[str, Any] = dict(arguments_of(model)) | {"typical": (), "reward_range": None, "longest_outlier": None}
    told["held"] = tuple((dict(design.held) | {name: float(v) for name, v in (held or {}).items()}).items())
    told["tied"] = tuple((dict(design.tied) | dict(tied or {})).items())
    return designed(base or design.base, **told)


def free_parameter(model: Model, name: str) -> Parameter:
    """The free parameter of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    for parameter in model.parameters:
        if parameter.name == name:
            return parameter
    names = ", ".join(parameter.name for parameter in model.parameters)
    raise ValueError(f"model {model.name!r} has no free parameter {name!r}; it has {names}")
