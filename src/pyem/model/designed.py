"""Models whose parameters are the effects of a design."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pyem.model.design import BlockDesign, Slope
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.transform import Ordered, Real

FAR = 700.0
"""Absolute unconstrained value above which a parameter counts as at an end of its range."""


class Effect(NamedTuple):
    """A coefficient that everybody has.

    Attributes
    ----------
    name
        ``"alpha"`` for an intercept, ``"alpha[drug]"`` for others.
    parameter
        Name of the value that it is an effect on.
    label
        Name of the effect; empty for an intercept.
    level
        ``"constant"``, ``"block"`` or ``"trial"``.
    column
        Field of the data with what it is multiplied by; empty for an intercept.
    natural
        Whether it is a value of the parameter itself, as the mean of a cell is, and not a difference.
    sd
        Sd of a typical population, on the unconstrained scale.
    """

    name: str
    parameter: str
    label: str
    level: Literal["constant", "block", "trial"]
    column: str
    natural: bool
    sd: float


def designed(
    model: Model,
    *,
    formulas: Sequence[Sequence[str]],
    effects: Sequence[Sequence[Any]],
    levels: Sequence[Any] = (),
    inputs: Sequence[str] = (),
    reward_range: Any = None,
    typical: Sequence[tuple[float, float]] = (),
    longest_outlier: Any = None,
    held: Sequence[tuple[str, float]] = (),
    tied: Sequence[tuple[str, str]] = (),
) -> Model:
    """Make the model whose parameters are the effects of a design, and those of `model` that have no formula.

    Parameters
    ----------
    model
        The model of one block.
    formulas
        Name and right side of each formula, as they were written.
    effects
        The estimated effects of each formula, as `Effect`.
    levels
        Names of columns that are factors, each with its levels.
    inputs
        Further columns that a trial needs in order to count.
    reward_range, typical, longest_outlier
        Values taken from data by a fit: the range of outcomes, mean and sd of a typical population of each parameter, and how
        late outliers come.
    held, tied
        Values of the design that are not estimated: ``(name, natural value)``, and ``(name, name of the one that it equals)``.

    Raises
    ------
    ValueError
        If a model without trials has effects by trial, a parameter cannot have any, or what is held or tied is not there.
    """
    found = tuple(Effect(*effect) for effect in effects)
    model = _on_scale(model, reward_range, typical, longest_outlier)
    of_trial = [effect for effect in found if effect.level == "trial"]
    if of_trial and model.log_likelihood is not None:
        raise ValueError(
            f"model {model.name!r} is a function of a whole block, so that {of_trial[0].parameter!r} cannot differ from trial "
            f"to trial ({of_trial[0].label}); use a column that is constant in each block"
        )
    inner = _inner(model, found, of_trial, inputs)
    parameters, terms = _parameters(model, inner, found)
    columns = tuple(dict.fromkeys(effect.column for effect in found if effect.level == "block"))
    placed = [(row, source, columns.index(column) if column else -1) for row, source, column in terms]
    parameters, places, constants = _settled(model, parameters, placed, dict(held), dict(tied))
    fixed, same = tuple(dict(held).items()), tuple(dict(tied).items())
    kept = tuple(map(tuple, formulas)), tuple((name, tuple(known)) for name, known in levels)
    design = BlockDesign(inner, places, columns, model, found, *kept, tuple(inputs), fixed, same, constants)
    name = design_name(model.name, kept[0], fixed, same)
    made = dataclasses.replace(inner, name=name, parameters=parameters, tied=(), design=design)
    return dataclasses.replace(made, recipe=(*model.recipe, ("designed", arguments_of(made))) if model.recipe else ())


def design_name(name: str, formulas: Sequence[Any], held: Sequence[Any] = (), tied: Sequence[Any] = ()) -> str:
    """The name of a model with formulas.

    Examples
    --------
    >>> design_name("rw1a1b", [("alpha", "drug")], [("alpha[drug]", 0.5)])
    'rw1a1b(alpha ~ drug)[alpha[drug]=0.5]'
    """
    text = "; ".join(f"{parameter} ~ {right}" for parameter, right in formulas)
    more = ", ".join([*(f"{one}={value:g}" for one, value in held), *(f"{one}={source}" for one, source in tied)])
    return f"{name}({text})" + (f"[{more}]" if more else "")


def _settled(
    model: Model,
    parameters: tuple[Parameter, ...],
    terms: list[tuple[int, int, int]],
    held: dict[str, float],
    tied: dict[str, str],
) -> tuple[tuple[Parameter, ...], tuple[tuple[int, int, int], ...], tuple[tuple[str, int, int, float], ...]]:
    """Parameters, terms and constants (see `BlockDesign`) without those that are held or equal to others."""
    owner = [parameter for parameter in parameters for _ in parameter.names]
    names = [name for parameter in parameters for name in parameter.names]
    _require_known(model, names, owner, held, tied)
    kept = [name for name in names if name not in held and name not in tied]
    left = tuple(parameter for parameter in parameters if parameter.name not in held and parameter.name not in tied)
    places, constants = [], []
    for row, source, column in terms:
        name = names[source]
        if name in held:
            constants.append((name, row, column, _unconstrained(owner[source], held[name])))
        else:
            places.append((row, kept.index(tied.get(name, name)), column))
    return left, tuple(places), tuple(constants)


def _require_known(
    model: Model, names: list[str], owner: list[Parameter], held: dict[str, float], tied: dict[str, str]
) -> None:
    of_name = dict(zip(names, owner, strict=True))
    for name in (*held, *tied, *tied.values()):
        if name not in of_name or of_name[name].size is not None:
            raise ValueError(
                f"the design of model {model.name!r} has no single value {name!r} that is free; it has {', '.join(names)}"
            )
    for name, value in held.items():
        low, high = of_name[name].transform.bounds
        if not low <= value <= high:
            raise ValueError(
                f"{name}={value} is outside the range ({low:g}, {high:g}) of the design; give a value inside"
            )
    for name, source in tied.items():
        if source in tied or source in held or of_name[name].transform != of_name[source].transform:
            raise ValueError(
                f"cannot tie {name!r} to {source!r}: tie what is of the same range, and to what is free and not tied itself"
            )


def _unconstrained(parameter: Parameter, value: float) -> float:
    """Unconstrained value of a natural one; an end of the range becomes so large a number that it makes no difference."""
    import jax
    import numpy as np

    with jax.enable_x64(True), np.errstate(all="ignore"):
        return float(np.clip(np.asarray(parameter.transform.inv(np.asarray(value, float))), -FAR, FAR))


def _on_scale(model: Model, reward_range: Any, typical: Sequence[tuple[float, float]], longest: Any) -> Model:
    """Put a model on the scale that a fit has taken from its data."""
    parameters = model.parameters
    if typical:
        pairs = zip(parameters, typical, strict=True)
        parameters = tuple(dataclasses.replace(one, mean=mean, sd=sd) for one, (mean, sd) in pairs)
    span = model.reward_range if reward_range is None else reward_range
    last = model.longest_outlier if longest is None else longest
    return dataclasses.replace(model, parameters=parameters, reward_range=span, longest_outlier=last)


def arguments_of(model: Model) -> tuple[tuple[str, Any], ...]:
    """Arguments of `designed`, by name, except the model of a block."""
    design = model.design
    assert design is not None
    base, effects = design.base, tuple(tuple(effect) for effect in design.effects)
    typical = tuple((one.mean, one.sd) for one in base.parameters) if base.autoscale is not None else ()
    told = {"formulas": design.formulas, "effects": effects, "levels": design.levels, "inputs": design.inputs}
    # Files of designs without these options do not mention them.
    more = ("longest_outlier", base.longest_outlier), ("held", design.held), ("tied", design.tied)
    told |= {name: value for name, value in more if value}
    return tuple((told | {"reward_range": base.reward_range, "typical": typical}).items())


def _inner(model: Model, effects: tuple[Effect, ...], of_trial: list[Effect], inputs: Sequence[str]) -> Model:
    """Model of a block, in which what differs from trial to trial has its own parameters."""
    moving = [one.name for one in model.parameters if one.per_block and {*one.names} & {e.parameter for e in of_trial}]
    if moving:
        raise ValueError(
            f"model {model.name!r} solves for {moving[0]!r} once a block, but its formula has a column that differs between "
            "the trials of a block; give a block to each condition (block= a column of conditions), or leave the formula out"
        )
    extra = tuple(Parameter(effect.name, Real()) for effect in of_trial)
    names = [*model.names, *(effect.name for effect in of_trial)]
    slopes = []
    for parameter in model.parameters:
        for k, name in enumerate(parameter.names):
            mine = [effect for effect in of_trial if effect.parameter == name]
            if mine:
                rows = (names.index(name), *(names.index(effect.name) for effect in mine))
                columns = ("", *(effect.column for effect in mine))
                element = None if parameter.size is None else k
                slopes.append(Slope(parameter.name, element, parameter.transform, rows, columns))
    columns = dict.fromkeys((*model.inputs, *(effect.column for effect in of_trial), *inputs))
    return dataclasses.replace(
        model,
        parameters=(*model.parameters, *extra),
        inputs=tuple(columns),
        slopes=tuple(slopes),
        share=False,
        autoscale=None,
        recipe=(),
    )


def _parameters(
    model: Model, inner: Model, effects: tuple[Effect, ...]
) -> tuple[tuple[Parameter, ...], list[tuple[int, int, str]]]:
    """Estimated parameters, and for each value the parameter of a block that it is added to, and the column."""
    parameters: list[Parameter] = []
    terms: list[tuple[int, int, str]] = []
    row = source = 0
    with_formula = {effect.parameter for effect in effects}
    for parameter in model.parameters:
        if not with_formula.intersection(parameter.names):
            parameters.append(parameter)
            terms += [(row + k, source + k, "") for k in range(len(parameter.names))]
            row, source = row + len(parameter.names), source + len(parameter.names)
            continue
        _require_single(model, parameter)
        for name in parameter.names:
            mine = [effect for effect in effects if effect.parameter == name]
            for new, target, column in _of_value(inner, parameter, name, row, mine):
                parameters.append(new)
                terms.append((target, source, column))
                source += 1
            row += 1
    return tuple(parameters), terms


def _require_single(model: Model, parameter: Parameter) -> None:
    if isinstance(parameter.transform, Ordered):
        raise ValueError(
            f"the values of {parameter.name!r} of model {model.name!r} are ordered, so that they cannot have formulas"
        )


def _of_value(
    inner: Model, parameter: Parameter, name: str, row: int, effects: list[Effect]
) -> list[tuple[Parameter, int, str]]:
    """New parameters for one value, with their target and column."""
    if not effects:
        return [(Parameter(name, parameter.transform, parameter.doc, parameter.mean, parameter.sd), row, "")]
    out = []
    for effect in effects:
        transform = parameter.transform if effect.natural else Real()
        mean = parameter.mean if effect.natural else 0.0
        doc = f"{name}, {effect.label or 'where all columns are 0'}" if effect.natural else f"{effect.label}, on {name}"
        new = Parameter(effect.name, transform, doc, mean, effect.sd)
        trial = effect.level == "trial"
        out.append((new, inner.names.index(effect.name) if trial else row, "" if trial else effect.column))
    return out
