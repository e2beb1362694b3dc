"""Masks of the trials that a model's likelihood and learning use, and the columns that its functions get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.model.design import CONDITIONS
from pyem.model.model import Model
from pyem.model.record import Record

if TYPE_CHECKING:
    from pyem.data.dataset import Dataset

Masks = tuple[dict[str, np.ndarray], np.ndarray]


def masks(data: Dataset, model: Model) -> Masks:
    """Trials that are used in the likelihood of each response of `model`, and trials from which it learns; (trial, lane)."""
    responded, learn = responses(data, model)
    if data.counted is None:
        return responded, learn
    return {name: mask & data.counted for name, mask in responded.items()}, learn


def responses(data: Dataset, model: Model) -> Masks:
    """Masks as in `masks`, with the trials that are left out because the response was forced."""
    shown = known(data, model, model.inputs)
    responded = {name: shown & data.present[name] for name in model.responses}
    for name, columns in model.between:
        # An optional response is missing if what is shown just before it is; the trial may still be learned from.
        needed = np.logical_and.reduce([data.valid, *(data.present[column] for column in columns)])
        responded[name] &= needed if name in model.optional else known(data, model, columns)
    for first, second in model.joint:
        responded[second] = responded[second] & responded[first]
    learn = met(data, model)
    if model.updates != "always":
        learn &= known(data, model, model.outcomes)
    for name, lags in model.lagged:
        for lag in range(1, lags + 1):
            for mask in responded.values():
                mask[lag:] &= data.present[name][:-lag]
    if model.log_likelihood is not None:
        # The function of a whole block gets one mask for each trial: all of its responses are used or none.
        every = np.logical_and.reduce(list(responded.values()))
        responded = {name: every for name in responded}
    return responded, learn


def met(data: Dataset, model: Model) -> np.ndarray:
    """Trials from which `model` would learn if all of their outcomes were known, (trial, lane)."""
    if model.updates == "always":
        return data.valid.copy() if data.teaches is None else data.valid & data.teaches
    # Learning needs all responses of a trial: with one missing, a model would learn about a made-up one.
    done = model.responses if model.updates == "responded" else ()
    could = known(data, model, (*model.inputs, *model.shown_between, *done))
    return could if data.teaches is None else could & data.teaches


def known(data: Dataset, model: Model, names: tuple[str, ...]) -> np.ndarray:
    """(trial, lane): whether none of these columns is missing, except those that may be."""
    needed = [data.present[name] for name in names if name not in model.optional]
    return np.logical_and.reduce([data.valid, *needed])


def trials(data: Dataset, model: Model) -> Record:
    """The columns and masks of `model`, ready for `rollout`: (trial, ..., lane)."""
    responded, learn = responses(data, model)
    coded = dict(model.coded)
    # A column with empty cells is read as floating-point numbers, but codes are indices.
    fields: dict[str, Any] = {
        name: data.fields[name].astype(np.int32, copy=False) if name in coded else in_full(data.fields[name])
        for name in model.columns
    }
    if model.optional:
        fields["seen"] = {name: data.present[name] & data.valid for name in model.optional}
    if any((responded[first] & ~responded[second]).any() for first, second in model.joint):
        # Without the field, nothing is computed for one response of a pair alone.
        fields["partial"] = np.logical_or.reduce([responded[a] & ~responded[b] for a, b in model.joint])
    if data.counted is not None:
        # A forced choice was made, and is learned from as any other.
        fields["counted"] = data.counted
    if model.design is not None:
        fields[CONDITIONS] = _conditions(data, model.design.columns)
    return Record(**fields, responded=responded, learn=learn)


def _conditions(data: Dataset, columns: tuple[str, ...]) -> np.ndarray:
    """Columns that are constant in each block, (1, column, lane)."""
    if not columns:
        return np.zeros((1, 1, data.n_lanes))
    return np.stack([data.fields[name][0] for name in columns]).astype(float)[None]


def in_full(values: np.ndarray) -> np.ndarray:
    """Convert numbers to 64 bits: with fewer, JAX computes functions such as ``gammaln`` in single precision.

    Whole ones stay whole, because a model may use them as indices.
    """
    return values.astype(np.int64 if values.dtype.kind in "iub" else np.float64, copy=False)
