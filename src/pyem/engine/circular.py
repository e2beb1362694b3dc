"""Formulas in which a response would depend on itself, or on what is known only after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.data.dataset import Dataset
from pyem.errors import DataError
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import initial_state, policies


def require_earlier(model: Model, parameter: str, columns: Sequence[str], data: Dataset) -> None:
    """Raise if `parameter` acts on a response that is not earlier than one of the `columns` of its formula.

    A learning rate may depend on the response of the same trial, as it acts on what is learned from it; an inverse temperature
    may not.

    Raises
    ------
    DataError
        That names the column, and what to write in its place.
    """
    places = _places(model)
    late = [name for name in columns if name in places]
    if not late or model.policy is None:
        return
    acted = [places[name] for name in _acted_on(model, parameter, data)]
    for name in late:
        if any(place <= places[name] for place in acted):
            what = "explains on the same trial" if name in model.responses else "knows only after the response"
            raise DataError(
                f"the formula of {parameter} names {name!r}, which model {model.name!r} {what}, while {parameter} acts on that "
                f"response: it would depend on itself. Make a column of the trial before in the table, "
                f"frame.groupby(['subject', 'block'])[{name!r}].shift(), and name that, with missing='skip' for first trials"
            )


def _places(model: Model) -> dict[str, float]:
    """Places of responses and outcomes in the course of a trial."""
    places: dict[str, float] = {name: float(k) for k, name in enumerate(model.responses)}
    places |= {second: places[first] for first, second in model.joint}
    shown = {column: places[name] - 0.5 for name, columns in model.between for column in columns}
    return places | {name: float(len(places)) for name in model.outcomes} | shown


def _acted_on(model: Model, parameter: str, data: Dataset) -> list[str]:
    """Responses whose distributions `parameter` enters directly, and not by what was learned."""
    base = parameter.partition("[")[0]
    firsts = {second: first for first, second in model.joint}

    def log_probs(value: Array, rest: Record, trial: Record) -> dict[str, Array]:
        same = [name for name, source in model.tied if source == base]
        p = rest.with_values(**dict.fromkeys([base, *same], value))
        found = {}
        for name, dist in policies(model, p, initial_state(model, rest, trial), trial).items():
            dist = dist._replace(first=trial[firsts[name]]) if name in firsts else dist
            found[name] = dist.log_prob(trial[name])
        return found

    with jax.enable_x64(True):
        trial = jax.tree.map(lambda a: jnp.asarray(a[0, ..., 0]), data.trials(model))
        rest = model.record(jnp.asarray(model.typical[0]))
        closed, shapes = jax.make_jaxpr(log_probs, return_shape=True)(rest[base], rest, trial)
    reached = {closed.jaxpr.invars[0]}
    for equation in closed.jaxpr.eqns:
        if any(variable in reached for variable in equation.invars if not _is_literal(variable)):
            reached.update(equation.outvars)
    # The leaves of a dict come in the order of its keys.
    ends = zip(sorted(shapes), closed.jaxpr.outvars, strict=True)
    return [name for name, end in ends if not _is_literal(end) and end in reached]


def _is_literal(variable: Any) -> bool:
    return hasattr(variable, "val")
