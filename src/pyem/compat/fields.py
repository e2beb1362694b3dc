"""Conversion of people's data in the pyEM form to columns of a model, and of a model's values back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyem.data.arrays import lanes_from_arrays
from pyem.data.dataset import Dataset
from pyem.engine.evaluate import trial_values
from pyem.model.model import Model

Fields = dict[str, np.ndarray]
"""One subject's columns of the model, (block, trial, ...); NaN, or a code below 0, where missing."""


# -- data ---------------------------------------------------------------------------------------------------------------


def _as_coded(fields: Mapping[str, np.ndarray]) -> Dataset:
    """Data whose codes count from 0, whether or not somebody chose it."""
    return Dataset(**lanes_from_arrays(fields, None, {}, {}))


def dataset_of(subjects: Sequence[Fields]) -> Dataset:
    """Make the data of a group from each subject's columns (block, trial, ...), which may differ in size."""
    names = list(subjects[0])
    shapes = [next(iter(fields.values())).shape[:2] for fields in subjects]
    for s, (fields, shape) in enumerate(zip(subjects, shapes, strict=True)):
        found = {name: array.shape for name, array in fields.items()}
        if any(array.shape[:2] != shape for array in fields.values()):
            raise ValueError(f"subject {s} has fields of different shapes {found}; expected the same (blocks, trials)")
        if 0 in shape:
            raise ValueError(f"subject {s} has no trials: shapes {found}")
    if len(set(shapes)) == 1:
        return _as_coded({name: np.stack([fields[name] for fields in subjects]) for name in names})
    most = tuple(np.max(shapes, axis=0))
    padded = {name: np.stack([_padded(fields[name], most) for fields in subjects]) for name in names}
    data = _as_coded(padded)
    blocks, trials = np.array(shapes).T
    real = data.lane_block < blocks[data.lane_subject]
    valid = np.arange(most[1])[:, None] < trials[data.lane_subject]
    return dataclasses.replace(
        data,
        fields={name: array[..., real] for name, array in data.fields.items()},
        present={name: (here & valid)[:, real] for name, here in data.present.items()},
        valid=valid[:, real],
        lane_subject=data.lane_subject[real],
        lane_block=data.lane_block[real],
    )


def _padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    extra = [(0, a - b) for a, b in zip(shape, array.shape, strict=False)]
    return np.pad(array, extra + [(0, 0)] * (array.ndim - 2), mode="edge")


def letters(name: str, values: Any, options: str) -> np.ndarray:
    """Codes (block, trial) of letters or of indices; -1 where missing (None, NaN or an empty text).

    Examples
    --------
    >>> letters("choices", [["A", "B", None]], "AB")
    array([[ 0,  1, -1]])
    """
    array = np.atleast_2d(_rectangle(name, values))
    if array.dtype.kind in "iufb":
        codes = np.where(np.isnan(array.astype(float)), -1, array).astype(int)
        bad = array[(codes >= len(options)) | ((codes != array) & (codes >= 0))]
    else:
        array = array.astype(object)
        try:
            codes = _coded(array, options)
        except TypeError:
            # The NA of pandas equals nothing, and says so by an error.
            array[_missing(array)] = None
            codes = _coded(array, options)
        bad = [value for value in array[codes < 0] if not (value is None or value == "" or value != value)]
    if len(bad):
        raise ValueError(f"{name} has {bad[0]!r}; expected {', '.join(map(repr, options))}, or None where missing")
    return codes


def _coded(array: np.ndarray, options: str) -> np.ndarray:
    codes = np.full(array.shape, -1)
    for code, letter in enumerate(options):
        codes[(array == letter) | (array == code)] = code
    return codes


def numbers(name: str, values: Any) -> np.ndarray:
    """Values as floats (block, trial, ...), NaN where missing; one block may be given as (trial,).

    Examples
    --------
    >>> numbers("rewards", [1, None, 0])
    array([[ 1., nan,  0.]])
    """
    array = _rectangle(name, values)
    if array.dtype.kind == "O":
        array = np.where(_missing(array), np.nan, array)
    return np.atleast_2d(array.astype(float))


def _rectangle(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty((), object)
    if array.ndim == 0 or any(isinstance(value, list | tuple | np.ndarray) for value in array.flat[:1]):
        raise ValueError(f"{name} has blocks of different lengths; fill the shorter ones up with None, at their end")
    return array


def _missing(array: np.ndarray) -> np.ndarray:
    """Whether each value is None, NaN or the NA of pandas."""
    gone = [value is None or type(value).__name__ == "NAType" or value != value for value in array.flat]
    return np.array(gone, bool).reshape(array.shape)


def seed_of(seed: int | None) -> int:
    """The given seed, or one from NumPy's global generator, so that ``np.random.seed`` governs a script."""
    return int(np.random.randint(2**31 - 1)) if seed is None else int(seed)  # noqa: NPY002


def whole(name: str, value: Any) -> int:
    """Check a number of blocks or trials.

    Raises
    ------
    ValueError
        If it is not a whole number of at least 1.
    """
    if not (isinstance(value, int | float | np.number) and float(value).is_integer() and value >= 1):
        raise ValueError(f"{name}={value!r}; expected a whole number of at least 1")
    return int(value)


def people_of(params: Any, names: Sequence[str], said: str = "have shape (nsubjects, {n}): ") -> np.ndarray:
    """Parameters of simulated people as an array (S, P).

    Scripts know the errors of pyEM, whose models word the same in different ways: what they must be is `said`.

    Raises
    ------
    ValueError
        If they have another shape.
    """
    values = np.array(params, float)
    if values.ndim != 2 or values.shape[1] != len(names):
        must = said.format(n=len(names))
        raise ValueError(f"params must {must}[{', '.join(names)}], but has shape {values.shape}")
    return values


def refuse(bad: np.ndarray, column: np.ndarray, name: str, words: str) -> None:
    """Raise a ValueError that begins with `words` if any subject's value is `bad`, (S,)."""
    if bad.any():
        s = int(np.argmax(bad))
        raise ValueError(f"{words}: {name} = {column[s]:g} of subject {s}")


def inside(model: Model, params: Any) -> np.ndarray:
    """Natural parameters (S, P), with values on a bound moved slightly inside, as the unconstrained scale ends there.

    Raises
    ------
    ValueError
        If they have another shape, or a value is outside its range.
    """
    values = np.array(params, float)
    if values.ndim != 2 or values.shape[1] != model.n_params:
        raise ValueError(
            f"params has shape {values.shape}; expected (subjects, {model.n_params}): {', '.join(model.names)}"
        )
    bounds = [parameter.transform.bounds for parameter in model.parameters for _ in parameter.names]
    for k, (low, high) in enumerate(bounds):
        outside = ~((values[:, k] >= low) & (values[:, k] <= high))
        if outside.any():
            s = int(np.argmax(outside))
            raise ValueError(
                f"{model.names[k]} = {values[s, k]:g} of subject {s} is outside its range, {low:g} to {high:g}"
            )
        hair = 1e-12 * (high - low) if np.isfinite(high - low) else 1e-12
        values[values[:, k] == low, k] += hair
        values[values[:, k] == high, k] -= hair
    return values


def by_person(people: Dataset, name: str) -> np.ndarray:
    """Column of a simulation, (S, B, T, ...)."""
    lanes = np.moveaxis(people.fields[name], -1, 0)
    return lanes.reshape(people.n_subjects, -1, *lanes.shape[1:])


# -- values -------------------------------------------------------------------------------------------------------------


class Values(NamedTuple):
    """Values that a model computes for one subject."""

    params: np.ndarray
    """Natural parameters, (P,)."""
    nll: float
    """Negative log-likelihood, in nats."""
    log_lik: np.ndarray
    """Log-probability of each response, (block, trial)."""
    state: Any
    """State before each trial and after the last one, (block, trial + 1, ...)."""
    latents: dict[str, np.ndarray]
    """Latents from the update, (block, trial, ...); NaN where the model learned nothing."""
    log_probs: np.ndarray | None
    """Log-probabilities of the options, (block, trial, option), for a categorical response."""


def subject_values(model: Model, data: Dataset, x: np.ndarray) -> list[Values]:
    """Values that `model` computes for every subject at unconstrained `x` (S, P)."""
    stepwise = model.log_likelihood is None
    # One row more than there are trials shows the state after the last one.
    out = trial_values(model, _one_more(data) if stepwise else data, x)
    natural = model.natural(x)
    _, learn = data.masks(model)
    ends = np.searchsorted(data.lane_subject, np.arange(data.n_subjects + 1))
    first = {k: np.moveaxis(np.moveaxis(v, -1, 0), 1, 1) for k, v in out["latents"].items()}
    latents = {}
    for name, array in first.items():
        here = learn.T.reshape(*learn.T.shape, *[1] * (array.ndim - 2))
        latents[name] = np.where(here, array[:, : learn.shape[0]], np.nan)
    log_lik = np.moveaxis(out["log_lik"], -1, 0)
    probs = np.moveaxis(out["log_probs"][0], -1, 0) if out["log_probs"] else None

    def part(array: np.ndarray, s: int, extra: int = 0) -> np.ndarray:
        lanes = slice(ends[s], ends[s + 1])
        length = int(data.valid[:, lanes].sum(0).max())
        return array[lanes, : length + extra]

    return [
        Values(
            params=natural[s],
            nll=-float(log_lik[ends[s] : ends[s + 1]].sum()),
            log_lik=part(log_lik, s),
            state=_map(lambda a, s=s: part(np.moveaxis(a, -1, 0), s, 1), out["state"]),
            latents={name: part(array, s) for name, array in latents.items()},
            log_probs=None if probs is None else part(probs, s),
        )
        for s in range(data.n_subjects)
    ]


def _map(function: Callable[[np.ndarray], Any], tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _map(function, part) for name, part in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(_map(function, part) for part in tree)
    return function(np.asarray(tree))


def _one_more(data: Dataset) -> Dataset:
    def longer(array: np.ndarray, fill: Any = None) -> np.ndarray:
        last = array[-1:] if fill is None else np.full_like(array[-1:], fill)
        return np.concatenate([array, last])

    return dataclasses.replace(
        _plain(data),
        fields={name: longer(array) for name, array in data.fields.items()},
        present={name: longer(here, False) for name, here in data.present.items()},
        valid=longer(data.valid, False),
        trial=None,
    )


def _plain(data: Dataset) -> Dataset:
    """Return the data without what a subclass adds, such as the truth of a simulation."""
    return Dataset(**{field.name: getattr(data, field.name) for field in dataclasses.fields(Dataset)})
