"""Simulated people in the design of a data set: its people, blocks, trials, stimuli, payoffs and gaps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik
from pyem.engine.validate import validate
from pyem.errors import DataError
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.simulation.predictive import payoffs_of, play_draws


def played(
    model: Model,
    design: Dataset,
    x: np.ndarray,
    *,
    key: Array,
    task: Any,
    own: bool,
    payoffs: Mapping[str, str] | None,
    missed: float,
) -> dict[str, Any]:
    """The parts of a `Simulation` of people with unconstrained parameters (S, P) on the trials of `design`."""
    whole = _completed(model, design, missed, key)
    world, note = (None, None) if payoffs or not model.outcomes else _task(model, design, task, own)
    paid = payoffs_of(model, design, payoffs or None)
    with jax.enable_x64(True):
        trials = jax.tree.map(jnp.asarray, whole.trials(model))
        lanes = jnp.asarray(x[None, design.lane_subject].swapaxes(1, 2))
        keys = jax.random.split(jax.random.fold_in(key, 2), 1)
        responses, outcomes = play_draws(model, world, False, trials, paid, lanes, keys)
    drawn = {name: np.asarray(values)[0] for name, values in {**responses, **outcomes}.items()}
    made = dataclasses.replace(
        whole, fields={**whole.fields, **drawn}, notes=(*design.notes, *([note] if note is not None else []))
    )
    validate(model, made)
    parts = {field.name: getattr(made, field.name) for field in dataclasses.fields(Dataset)}
    return parts | {"truth": x, "model": model, "log_lik": log_lik(model, made, x)}


def _completed(model: Model, design: Dataset, missed: float, key: Array) -> Dataset:
    """Give the design columns for responses and outcomes, if it has none, and make some more responses missing."""
    absent = [name for name in model.inputs if name not in design.fields]
    if absent:
        raise DataError(
            f"model {model.name!r} is shown {absent[0]!r} before it responds, but the design has only "
            f"{', '.join(map(repr, design.fields))}; map a column of the table to it"
        )
    fields = {name: design.fields[name] for name in design.fields}
    present = {name: design.present[name] for name in design.present}
    coded = dict(model.coded)
    for name in (*model.responses, *model.shown_between, *model.outcomes):
        fields.setdefault(name, np.zeros(design.valid.shape, np.int32 if name in coded else float))
        present.setdefault(name, design.valid)
    if missed:
        rng = np.random.default_rng(np.asarray(jax.random.key_data(jax.random.fold_in(key, 3))).ravel())
        made = rng.random(design.valid.shape) >= missed
        free = made if design.counted is None else made | ~design.counted
        present |= {name: present[name] & free for name in model.responses}
    return dataclasses.replace(_plain(design), fields=fields, present=present)


def _plain(design: Dataset) -> Dataset:
    return Dataset(**{field.name: getattr(design, field.name) for field in dataclasses.fields(Dataset)})


def payoff_fields(model: Model, design: Dataset) -> dict[str, str]:
    """Fields of the design that, by their names, say what every option would have paid."""
    names = {name: f"{name}_payoffs" for name in model.outcomes}
    if len(model.outcomes) == 1 and "payoffs" in design.fields:
        return {model.outcomes[0]: "payoffs"}
    return names if names and all(name in design.fields for name in names.values()) else {}


@dataclasses.dataclass(frozen=True)
class _Outcomes:
    """A task that gives outcomes only; the design says what is shown."""

    task: Any
    given: tuple[str, ...]

    def init(self, key: Any) -> Any:
        return self.task.init(key)

    def present(self, state: Any, key: Any) -> dict[str, Any]:
        return {name: value for name, value in self.task.present(state, key).items() if name not in self.given}

    def between(self, state: Any, response: str, trial: Record, key: Any) -> dict[str, Any]:
        return self.task.between(state, response, trial, key) if hasattr(self.task, "between") else {}

    def respond(self, state: Any, trial: Record, key: Any) -> tuple[Any, dict[str, Any]]:
        return self.task.respond(state, trial, key)


def _task(model: Model, design: Dataset, task: Any, own: bool) -> tuple[Any, str | None]:
    needs = " and ".join(map(repr, model.outcomes))
    if task is None:
        raise ValueError(
            f"nothing says what {needs} of model {model.name!r} would be after other choices; map what every option would "
            "have paid to the field 'payoffs' of the design, name its field with payoffs=, or give a task"
        )
    drawn = (*model.responses, *model.shown_between, *model.outcomes)
    given = tuple(name for name in design.fields if name not in drawn)
    note = f"{needs} were simulated by the task of the model, {type(task).__name__}: the design has no payoffs"
    return _Outcomes(task, given), note if own else None
