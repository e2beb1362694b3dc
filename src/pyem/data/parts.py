"""Parts of a data set: some of its people, some of its lanes; and a digest of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.lengths import lane_lengths, ranges
from pyem.data.ragged import RaggedFields, sliced, some
from pyem.errors import DataError
from pyem.model.model import Model

if TYPE_CHECKING:
    from pyem.data.dataset import Dataset


def fingerprint(data: Dataset, responded: Mapping[str, np.ndarray], responses: Sequence[str]) -> str:
    """Digest of everybody's responses. See `pyem.Dataset.fingerprint`."""
    digest = hashlib.sha256()
    digest.update("\x1f".join(map(str, data.subjects)).encode())
    digest.update(data.lane_subject.astype("<i8").tobytes())
    for name in sorted(responses):
        mask = responded[name]
        values = np.moveaxis(data.fields[name], -1, 1)[mask].astype("<f8")
        digest.update(name.encode() + mask.tobytes() + values.tobytes())
    return digest.hexdigest()


def people_of(data: Dataset, subjects: Sequence[Any] | np.ndarray) -> dict[str, Any]:
    """Attributes that differ in the data of some of the subjects. See `pyem.Dataset.select`."""
    order = chosen(data.n_subjects, subjects)
    starts = np.searchsorted(data.lane_subject, order)
    counts = np.searchsorted(data.lane_subject, order, side="right") - starts
    lanes = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return {
        "fields": sliced(data.fields, lanes, len(data.valid)),
        "present": sliced(data.present, lanes, len(data.valid)),
        "valid": data.valid[:, lanes],
        "lane_subject": np.repeat(np.arange(len(order)), counts),
        "lane_block": data.lane_block[lanes],
        "subjects": data.subjects[order],
        "covariates": {name: value[order] for name, value in data.covariates.items()},
        "trial": None if data.trial is None else data.trial[:, lanes],
        "counted": None if data.counted is None else data.counted[:, lanes],
        "teaches": None if data.teaches is None else data.teaches[:, lanes],
    }


def lanes_of(data: Dataset, lanes: np.ndarray, n_trials: int) -> dict[str, Any]:
    """The parts of the data of some lanes. See `pyem.Dataset.cut`."""
    subjects, owner = np.unique(data.lane_subject[lanes], return_inverse=True)
    return {
        "fields": sliced(data.fields, lanes, n_trials),
        "present": sliced(data.present, lanes, n_trials),
        "valid": some(data.valid, lanes, n_trials),
        "lane_subject": owner,
        "lane_block": data.lane_block[lanes],
        "subjects": data.subjects[subjects],
        "covariates": {name: value[subjects] for name, value in data.covariates.items()},
        "codes": data.codes,
        "trial": None if data.trial is None else some(data.trial, lanes, n_trials),
        "counted": None if data.counted is None else some(data.counted, lanes, n_trials),
        "teaches": None if data.teaches is None else some(data.teaches, lanes, n_trials),
    }


def by_length(data: Dataset) -> list[tuple[np.ndarray, Dataset]]:
    """The data in pieces with little padding, each with its lanes. See `pyem.Dataset.pieces`."""
    if not isinstance(data.fields, RaggedFields):
        return [(np.arange(data.n_lanes), data)]
    lengths = lane_lengths(data.valid)
    of_lane = np.searchsorted(ranges(lengths), lengths)
    parts = [np.flatnonzero(of_lane == k) for k in np.unique(of_lane)]
    return [(lanes, data.cut(lanes, max(1, int(lengths[lanes].max())))) for lanes in parts]


def responses_of(data: Dataset, model: Model) -> np.ndarray:
    """Number of trials of each subject in the likelihood, (S,). See `pyem.Dataset.n_responses`."""
    counts = np.zeros(data.n_lanes, int)
    for lanes, part in data.pieces():
        responded, _ = part.masks(model)
        counts[lanes] = np.any(list(responded.values()), axis=0).sum(0)
    return np.bincount(data.lane_subject, counts, data.n_subjects).astype(int)


def chosen(n_subjects: int, subjects: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Indices of subjects, from indices or a mask.

    Raises
    ------
    DataError
        If there is no such subject, or none is selected.
    """
    order = np.asarray(subjects)
    if order.dtype == bool and order.shape == (n_subjects,):
        order = np.flatnonzero(order)
    if order.ndim != 1 or not len(order):
        raise DataError(f"expected the indices of some subjects, but was given {subjects!r}")
    if order.dtype.kind not in "iu" or order.min() < -n_subjects or order.max() >= n_subjects:
        raise DataError(
            f"expected indices of subjects from 0 to {n_subjects - 1}, but was given {order.tolist()[:10]}; the "
            "labels are in .subjects"
        )
    return order % n_subjects
