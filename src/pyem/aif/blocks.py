"""Blocks of a subject joined to one sequence, for agents that keep what they learned."""

from __future__ import annotations

import dataclasses

import numpy as np

from pyem.data.dataset import Dataset


def join_blocks(data: Dataset) -> Dataset:
    """Join each subject's blocks, in their order, to one sequence, and add the column ``start``.

    ``start`` is 1 on the first trial of what was a block, else 0. The trial's label is its place in the sequence.

    Examples
    --------
    >>> data = Dataset.from_arrays({"action": np.zeros((2, 3, 4))})
    >>> joined = join_blocks(data)
    >>> joined.n_lanes, joined.valid.shape[0], joined.fields["start"][:5, 0].tolist()
    (2, 12, [1, 0, 0, 0, 1])
    """
    lengths = data.valid.sum(0)
    # Rows of a block are at its start: padding is at the end.
    lane, row = np.nonzero(data.valid.T)
    before = np.cumsum(lengths) - lengths
    first_lane = np.searchsorted(data.lane_subject, np.arange(data.n_subjects))
    subject = data.lane_subject[lane]
    place = row + before[lane] - before[first_lane[subject]]
    total = np.bincount(data.lane_subject, lengths, data.n_subjects).astype(int)

    def joined(array: np.ndarray, fill: bool = False) -> np.ndarray:
        out = np.empty((int(total.max()), *array.shape[1:-1], data.n_subjects), array.dtype)
        out[...] = False if fill else array[:1, ..., :1]
        np.moveaxis(out, -1, 1)[place, subject] = np.moveaxis(array, -1, 1)[row, lane]
        return out

    start = np.zeros(data.valid.shape, np.int32)
    start[0] = 1
    fields = {**data.fields, "start": start}
    present = {**data.present, "start": data.valid}
    return dataclasses.replace(
        Dataset(
            fields={name: joined(array) for name, array in fields.items()},
            present={name: joined(mask, fill=True) for name, mask in present.items()},
            valid=joined(data.valid, fill=True),
            lane_subject=np.arange(data.n_subjects),
            lane_block=np.zeros(data.n_subjects, int),
            subjects=data.subjects,
            covariates=data.covariates,
            codes=data.codes,
            trial=None,
            notes=data.notes,
            counted=None if data.counted is None else joined(data.counted, fill=True),
            teaches=None if data.teaches is None else joined(data.teaches, fill=True),
        )
    )
