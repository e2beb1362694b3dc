"""Checks that a model's functions do not use the data as indices beyond the ends of their arrays."""

from __future__ import annotations

import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.data.lengths import bucket
from pyem.engine.evaluate import trial_values
from pyem.engine.indices import Access, watched
from pyem.errors import DataError, ModelError, shown
from pyem.model.distribution import option_logits
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import initial_state, policies
from pyem.numerics.jit import compiled

MOST = 50_000
"""Number of trials that `check` tests at most; of more, those with different values."""
_ACCESSES: dict[Any, list[Access]] = {}
"""Accesses seen when a function was traced, by `_key`."""
_smallest: weakref.WeakKeyDictionary[Model, int | None] = weakref.WeakKeyDictionary()
"""Length of the shortest axis of a model's state and parameters; None if all are single numbers."""


def require_ends(model: Model, data: Dataset) -> None:
    """Raise if an undeclared column of whole numbers is used as an index beyond an end. Cheap enough for every fit.

    Each combination of such values is looked at once, in the state before the first trial, and only if one of them could be
    beyond the end of the state or of a parameter.
    """
    # The checked model is that of a block; conditions of a design are not among the columns of its trials.
    model = model if model.design is None else model.design.inner
    names = _suspicious(model, data)
    if not names:
        return
    lane, row = _distinct(model, data)
    with jax.enable_x64(True):
        p = _typical(model)
        states = jax.tree.map(lambda a: np.repeat(np.asarray(a)[None], len(row), axis=0), initial_state(model, p))
    _look_at(model, data, lane, row, states)


def look_at_all(model: Model, data: Dataset) -> None:
    """Raise if any function of a model uses an index beyond an end, on any trial in turn, at typical parameters.

    Raises
    ------
    DataError, ModelError
        What reads or writes where, with which index, on which trial.
    """
    model = model if model.design is None else model.design.inner
    if model.log_likelihood is not None:
        return _look_at_blocks(model, data)
    x = np.tile(model.typical[0], (data.n_subjects, 1))
    lane, row = np.nonzero(data.valid.T)
    if len(row) > MOST:
        lane, row = _distinct(model, data)
    states = jax.tree.map(lambda a: np.moveaxis(a, -1, 1)[row, lane], trial_values(model, data, x)["state"])
    _look_at(model, data, lane, row, states)
    return None


def _typical(model: Model) -> Record:
    return model.record(jnp.asarray(model.typical[0]))


# -- which columns and trials ---------------------------------------------------------------------------------------------


def _suspicious(model: Model, data: Dataset) -> list[str]:
    if model.policy is None:
        return []
    if model not in _smallest:
        with jax.enable_x64(True):
            p = jax.eval_shape(lambda: _typical(model))
            arrays = jax.tree.leaves((p, jax.eval_shape(lambda p: initial_state(model, p), p)))
        _smallest[model] = min((size for array in arrays for size in array.shape), default=None)
    size = _smallest[model]
    return [] if size is None else [name for name in _whole(model, data) if _beyond(data, name, size)]


def _whole(model: Model, data: Dataset) -> list[str]:
    """Columns of whole numbers that are not declared as codes."""
    declared = dict(model.coded)
    return [name for name in model.columns if name not in declared and data.fields[name].dtype.kind in "iu"]


def _beyond(data: Dataset, name: str, size: int) -> bool:
    values = np.moveaxis(data.fields[name], -1, 1)[data.present[name]]
    return bool(values.size) and (values.min() < 0 or values.max() >= size)


def _distinct(model: Model, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Lane and row of one trial with each combination of whole numbers and masks."""
    lane, row = np.nonzero(data.valid.T)
    responded, learn = data.masks(model)
    columns = [np.any(list(responded.values()), axis=0), learn]
    kinds = [name for name in model.columns if data.fields[name].dtype.kind in "iu"]
    values = [np.moveaxis(data.fields[name], -1, 1)[row, lane].reshape(len(row), -1) for name in kinds]
    table = np.concatenate([*(mask[row, lane][:, None].astype(int) for mask in columns), *values], axis=1)
    _, first = np.unique(table, axis=0, return_index=True)
    return lane[first], row[first]


# -- looking --------------------------------------------------------------------------------------------------------------


def _key(model: Model, which: str) -> Any:
    """Key that is equal for models which differ only in fixed parameters that are being traced."""
    return which, model.init, model.policy, model.update, model.log_likelihood, model.parameters, model.options


def _outcome(model: Model, which: str, state: Any, trial: Record) -> Any:
    p = _typical(model)
    if which == "init":
        return model.init(p)  # type: ignore[misc]
    if which == "update":
        return model.update(p, state, trial)  # type: ignore[misc]
    dists = policies(model, p, state, trial)
    logits = {name: option_logits(dist) for name, dist in dists.items()}
    return {n: dists[n].log_prob(trial[n]) if value is None else value for n, value in logits.items()}


@compiled(0, 1, quick=True)
def _watched_trials(model: Model, which: str, states: Any, trials: Record) -> tuple[Array, list[tuple[Array, Array]]]:
    def one(state: Any, trial: Record) -> tuple[Array, list[tuple[Array, Array]]]:
        function = lambda state, trial: _outcome(model, which, state, trial)  # noqa: E731
        hurt, flags, _ACCESSES[_key(model, which)] = watched(function, state, trial)
        return hurt, flags

    return jax.vmap(one)(states, trials)


def _look_at(model: Model, data: Dataset, lane: np.ndarray, row: np.ndarray, states: Any) -> None:
    trials = jax.tree.map(lambda a: np.moveaxis(a, -1, 1)[row, lane], data.trials(model))
    responded, learn = data.masks(model)
    counts = np.any(list(responded.values()), axis=0)
    # Similar numbers of trials share a compilation.
    places = np.minimum(np.arange(bucket(len(row))), len(row) - 1)
    states, trials = jax.tree.map(lambda a: np.asarray(a)[places], (states, trials))
    looks = {"policy": counts, "update": learn, "init": np.ones_like(learn)}
    for which, mask in looks.items():
        if (which == "update" and model.update is None) or (which == "init" and model.init is None):
            continue
        with jax.enable_x64(True):
            hurt, flags = jax.tree.map(np.asarray, _watched_trials(model, which, states, trials))
        wrong = np.flatnonzero(hurt[: len(row)] & mask[row, lane])
        if len(wrong):
            _tell(model, data, which, flags, int(wrong[0]), lane, row)


def _tell(model: Model, data: Dataset, which: str, flags: Any, first: int, lane: np.ndarray, row: np.ndarray) -> None:
    (access, index) = next(
        (access, int(value[first]))
        for (bad, value), access in zip(flags, _ACCESSES[_key(model, which)], strict=True)
        if bad[first]
    )
    where = (lane[first], row[first])
    column = next((n for n in model.columns if _has(data, n, where, index)), None) if which != "init" else None
    labels = {name: values[0] for name, values in data.index_columns(*(np.array([k]) for k in where)).items()}
    place = f" ({access.place})" if access.place else ""
    arguments = "(p)" if which == "init" else "(p, state, trial)"
    trial = "" if which == "init" else " for " + ", ".join(f"{name} {shown(label)}" for name, label in labels.items())
    remedy = (
        "correct the index, or put it aside with jnp.where"
        if column is None
        else f"it is the value of {column!r}: recode that column, make the array larger, or declare how many codes it has, as "
        f"in input_codes=(({column!r}, {access.size}),)"
    )
    raise (ModelError if column is None else DataError)(
        f"model {model.name!r}: {which}{arguments} {access.kind} index {index} of an axis of length {access.size}{place}{trial}"
        f", where indices go from 0 to {access.size - 1}; JAX would take another place without a word: {remedy}"
    )


def _has(data: Dataset, name: str, where: tuple[int, int], index: int) -> bool:
    values = data.fields[name][where[1], ..., where[0]]
    return data.fields[name].dtype.kind in "iu" and bool((values == index).any())


# -- models of whole blocks -------------------------------------------------------------------------------------------------


@compiled(0, quick=True)
def _watched_blocks(model: Model, trials: Record) -> tuple[Array, list[tuple[Array, Array]]]:
    def one(trials: Record) -> tuple[Array, list[tuple[Array, Array]]]:
        function = lambda trials: model.log_likelihood(_typical(model), trials)  # noqa: E731  # type: ignore[misc]
        hurt, flags, _ACCESSES[_key(model, "log_likelihood")] = watched(function, trials)
        return hurt, flags

    return jax.vmap(one, in_axes=-1)(trials)


def _look_at_blocks(model: Model, data: Dataset) -> None:
    responded, _ = data.masks(model)
    trials = data.trials(model).with_values(responded=next(iter(responded.values())))
    with jax.enable_x64(True):
        hurt, flags = jax.tree.map(np.asarray, _watched_blocks(model, trials))
    wrong = np.flatnonzero(hurt)
    if not len(wrong):
        return
    (access, index) = next(
        (access, int(value[wrong[0]]))
        for (bad, value), access in zip(flags, _ACCESSES[_key(model, "log_likelihood")], strict=True)
        if bad[wrong[0]]
    )
    subject = shown(data.subjects[data.lane_subject[wrong[0]]])
    raise ModelError(
        f"model {model.name!r}: log_likelihood(p, trials) {access.kind} index {index} of an axis of length {access.size} "
        f"({access.place or 'place unknown'}) for subject {subject}, where indices go from 0 to {access.size - 1}; JAX would "
        "take another place without a word: recode the column, or correct the index"
    )
