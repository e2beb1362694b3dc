"""From arrays to lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyem.data.columns import is_coded
from pyem.data.counted import mask_of_arrays
from pyem.data.fields import check_names
from pyem.errors import DataError


def lanes_from_arrays(
    fields: Mapping[str, Any],
    subjects: Sequence[Any] | None,
    covariates: Mapping[str, Any],
    codes: Mapping[str, Sequence[Any]],
    count: Any = None,
    teach: Any = None,
) -> dict[str, Any]:
    """The parts of a `Dataset`, from arrays (subject, block, trial, ...). See `Dataset.from_arrays`."""
    check_names(list(fields), list(codes), list(covariates))
    arrays = {name: np.asarray(value) for name, value in fields.items()}
    n_subjects, n_blocks, n_trials = _common_shape(arrays)
    done, present = {}, {}
    for name, array in arrays.items():
        lanes = array.reshape(-1, *array.shape[2:])
        values, here = _clean(name, lanes, coded=is_coded(name) or name in codes)
        done[name], present[name] = np.moveaxis(values, 0, -1), here.T
    return {
        "fields": done,
        "present": present,
        "valid": np.ones((n_trials, n_subjects * n_blocks), bool),
        "lane_subject": np.repeat(np.arange(n_subjects), n_blocks),
        "lane_block": np.tile(np.arange(n_blocks), n_subjects),
        "subjects": _subject_labels(subjects, n_subjects),
        "covariates": {name: _one_each(name, value, n_subjects) for name, value in covariates.items()},
        "codes": {name: tuple(value) for name, value in codes.items()},
        "counted": mask_of_arrays(count, (n_subjects, n_blocks, n_trials), "count"),
        "teaches": mask_of_arrays(teach, (n_subjects, n_blocks, n_trials), "teach"),
    }


def _common_shape(arrays: Mapping[str, np.ndarray]) -> tuple[int, int, int]:
    shapes = {name: array.shape[:3] for name, array in arrays.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 3 for shape in shapes.values()):
        raise DataError(
            f"expected arrays of one shape (subject, block, trial), but was given {shapes}; a single sequence of trials is "
            "array[None, None]"
        )
    shape = next(iter(shapes.values()))
    if 0 in shape:
        raise DataError(f"there is no trial in arrays of shape {shape}; give at least one")
    return shape  # type: ignore[return-value]


def _subject_labels(subjects: Sequence[Any] | None, n_subjects: int) -> np.ndarray:
    labels = np.arange(n_subjects) if subjects is None else np.asarray(subjects)
    if labels.dtype.kind == "U":
        labels = labels.astype(object)
    if labels.shape != (n_subjects,):
        raise DataError(f"{labels.size} subject labels were given for {n_subjects} subjects; give one for each")
    if len(set(labels.tolist())) < n_subjects:
        twice = next(label for label in labels.tolist() if labels.tolist().count(label) > 1)
        raise DataError(f"the subject label {twice!r} is there twice; give each subject its own")
    return labels


def _one_each(name: str, values: Any, n_subjects: int) -> np.ndarray:
    out = np.asarray(values, float)
    if out.shape != (n_subjects,) or not np.isfinite(out).all():
        raise DataError(
            f"covariate {name!r} has shape {out.shape}{'' if np.isfinite(out).all() else ' and values that are not finite'}; "
            f"expected a finite number for each of {n_subjects} subjects"
        )
    return out


def _clean(name: str, array: np.ndarray, *, coded: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values (lane, trial, ...) with valid ones in place of those missing, and where they were present (lane, trial)."""
    if array.dtype.kind not in "fiub":
        raise DataError(f"field {name!r} has values of type {array.dtype}, but numbers are expected; recode it")
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise DataError(f"field {name!r} has an infinite value; replace it, or set it to NaN if it is missing")
    if coded and array.dtype.kind in "if":
        missing = missing | (array < 0)
    fraction = array[np.logical_not(missing) & (array % 1 != 0)] if array.dtype.kind == "f" else []
    if coded and len(fraction):
        raise DataError(f"field {name!r} has {fraction[0]:g}, but codes are whole numbers; recode it as 0, 1, ...")
    present = np.logical_not(missing.any(axis=tuple(range(2, array.ndim))))
    # Missing values are filled with the first that was seen, so that every function of them is finite.
    filled = array.copy()
    filled[~present] = array[present][0] if present.any() else 0
    # Floats with missing values that are whole otherwise were integers before some went missing.
    whole = array.dtype.kind in "iub" or (missing.any() and not len(fraction))
    small = np.abs(filled.astype(float)).max() < 2**31
    return filled.astype(np.int32 if coded or (whole and small) else np.float64), present
