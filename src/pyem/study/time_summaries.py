"""Summaries of choices and response times: quantiles, distributions, accuracy and differences, person by person."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from pyem.data.dataset import Dataset
from pyem.model.model import Model

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
BINS = 5
"""Number of bins of conditional accuracy: fifths of each person's response times."""
TIMES = 40
"""Number of points of a distribution function."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """The trials of one person in one condition: their positions, and the indices of person and condition."""

    person: int
    condition: int
    rows: np.ndarray
    lanes: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Sorting:
    """The trials used, their conditions, and the right response in each.

    Parameters
    ----------
    conditions
        Labels; a single empty one where there are none.
    cells
        A person's trials in a condition, for all that have some.
    right
        The code of the right response in each trial, (trial, lane).
    names
        Names of a right and of another response.
    """

    conditions: tuple[str, ...]
    cells: tuple[Cell, ...]
    right: np.ndarray
    names: tuple[str, str]


def sorted_trials(model: Model, data: Dataset, by: str | None, correct: str | None) -> Sorting:
    """Sort the trials of a data set by person and condition.

    Raises
    ------
    ValueError
        If the model has no choices with response times, or a column is not among the data's.
    """
    if not model.joint:
        raise ValueError(
            f"model {model.name!r} has no choices with response times; its responses are {', '.join(model.responses)}"
        )
    choice, rt = model.joint[0]
    correct = "stimulus" if correct is None and "stimulus" in model.inputs else correct
    right, names = _right(data, choice, correct)
    label, labels = _conditions(data, by)
    responded = data.masks(model)[0]
    here = responded[choice] & data.present[rt] & data.valid
    if correct is not None:
        here = here & data.present[correct]
    cells = []
    for person in range(data.n_subjects):
        mine = here & (data.lane_subject == person)
        for k in range(len(labels)):
            rows, lanes = np.nonzero(mine & (label == k))
            if len(rows):
                cells.append(Cell(person, k, rows, lanes))
    return Sorting(labels, tuple(cells), right, names)


def _right(data: Dataset, choice: str, correct: str | None) -> tuple[np.ndarray, tuple[str, str]]:
    if correct is not None:
        return _field(data, correct, "correct"), ("correct", "error")
    labels = [str(label) for label in data.codes.get(choice, (0, 1))]
    other = labels[0] if len(labels) == 2 else "another"
    return np.ones(data.valid.shape, int), (f"{choice} {labels[1]}", f"{choice} {other}")


def _conditions(data: Dataset, by: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if by is None:
        return np.zeros(data.valid.shape, int), ("",)
    values = _field(data, by, "by")
    seen = values[data.valid & data.present.get(by, data.valid)]
    if seen.dtype.kind == "f" and len(np.unique(seen)) > 12:
        raise ValueError(f"by={by!r} has {len(np.unique(seen))} different values; give a column of a few conditions")
    known = data.codes.get(by)
    levels = np.unique(seen) if known is None else np.arange(len(known))
    out = np.full(values.shape, -1)
    for k, level in enumerate(levels):
        out[(values == level) & data.present.get(by, data.valid)] = k
    return out, tuple(f"{level:g}" if known is None else str(known[int(level)]) for level in levels)


def _field(data: Dataset, name: str, argument: str) -> np.ndarray:
    if name not in data.fields or data.fields[name].ndim != 2:
        raise ValueError(
            f"{argument}={name!r} is no column of the data with one value a trial; they have "
            f"{', '.join(key for key, values in data.fields.items() if values.ndim == 2)}. Name others in "
            "columns= of Dataset.read"
        )
    return data.fields[name]


def summaries(sorting: Sorting, choice: np.ndarray, rt: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
    """Means over people of all summaries, for several data sets of the same trials, (draw, trial, lane).

    Returns
    -------
    dict
        ``share`` (draw, condition, response), ``quantile`` (draw, condition, response, quantile), ``distribution`` (draw,
        condition, response, time), ``when`` and ``accuracy`` (draw, condition, bin), ``shift`` and ``middle`` (draw, condition
        - 1, quantile). A response is 0 where it is right; NaN is what nobody has.
    """
    draws, n = len(choice), len(sorting.conditions)
    people = max((cell.person for cell in sorting.cells), default=-1) + 1
    shape = {"share": (2,), "quantile": (2, len(QUANTILES)), "distribution": (2, len(times)), "when": (BINS,)}
    shape |= {"accuracy": (BINS,)}
    out = {name: np.full((people, draws, n, *each), np.nan) for name, each in shape.items()}
    for cell in sorting.cells:
        c, t = (values[:, cell.rows, cell.lanes] for values in (choice, rt))
        right = c == sorting.right[cell.rows, cell.lanes]
        for name, value in _of_cell(right, t, times).items():
            out[name][cell.person, :, cell.condition] = value
    found = {name: _mean(values) for name, values in out.items()}
    # Each person's difference between conditions, of right responses.
    first, rest = out["quantile"][:, :, :1, 0], out["quantile"][:, :, 1:, 0]
    return found | {"shift": _mean(rest - first), "middle": _mean((rest + first) / 2)}


def _of_cell(right: np.ndarray, rt: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
    """Summaries of one person in one condition, (draw, trial)."""
    classes = [np.sort(np.where(here, rt, np.nan), axis=1) for here in (right, ~right)]
    parts = np.array_split(np.arange(rt.shape[1]), BINS)
    order = np.argsort(rt, axis=1)
    sorted_rt, sorted_right = (np.take_along_axis(values, order, axis=1) for values in (rt, right))
    enough = rt.shape[1] >= BINS
    return {
        "share": np.stack([right.mean(1), 1 - right.mean(1)], axis=1),
        "quantile": np.stack([_quantiles(values) for values in classes], axis=1),
        "distribution": np.stack([(values[:, None] <= times[:, None]).mean(2) for values in classes], axis=1),
        "when": np.stack(
            [sorted_rt[:, part].mean(1) if enough else np.full(len(rt), np.nan) for part in parts], axis=1
        ),
        "accuracy": np.stack(
            [sorted_right[:, part].mean(1) if enough else np.full(len(rt), np.nan) for part in parts], axis=1
        ),
    }


def _quantiles(ordered: np.ndarray) -> np.ndarray:
    """Quantiles of each row, whose missing values come last; NaN where fewer than five are known."""
    n = np.isfinite(ordered).sum(1, keepdims=True)
    at = np.maximum(n - 1, 0) * np.array(QUANTILES)
    low = np.floor(at).astype(int)
    below, above = (np.take_along_axis(ordered, np.minimum(k, np.maximum(n - 1, 0)), axis=1) for k in (low, low + 1))
    return np.where(n >= 5, below + (at - low) * (above - below), math.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over people, the first axis, of those who have a value."""
    known = np.isfinite(values)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(0) / np.maximum(count, 1), np.nan)
