"""Conversion of arrays to lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyem.data.coding import OPTION, is_coded
from pyem.data.columns import key
from pyem.data.counted import mask_of_arrays
from pyem.data.fields import check_names, mapping
from pyem.data.markers import advice, listed, looks_like_marker
from pyem.data.ragged_lists import Given, given
from pyem.errors import DataError


def lanes_from_arrays(
    fields: Mapping[str, Any],
    subjects: Sequence[Any] | None,
    covariates: Mapping[str, Any],
    codes: Mapping[str, Sequence[Any]],
    missing: Mapping[str, Any] | None = None,
    count: Any = None,
    teach: Any = None,
    *,
    from_one: bool = False,
) -> dict[str, Any]:
    """The parts of a `Dataset`, from arrays (subject, block, trial, ...). See `Dataset.from_arrays`.

    With `from_one`, codes 1, 2, ... of which none is 0 become 0, 1, ..., as those of files do.
    """
    check_names(list(fields), list(codes), list(covariates))
    markers = listed(missing, list(fields))
    arrays = {name: _without(given(name, value), markers.get(name, [])) for name, value in fields.items()}
    n_subjects, n_blocks, n_trials = _common_shape(arrays)
    real = next(iter(arrays.values())).real.reshape(-1, n_trials)
    lanes = np.flatnonzero(real.any(1))
    done, present, notes = {}, {}, []
    inferred = (
        _counted_from_one({name: array for name, array in arrays.items() if name not in codes}) if from_one else {}
    )
    for name, array in arrays.items():
        if name in inferred:
            array = array._replace(values=array.values - 1)
            notes.append(
                f"{name}: {mapping(inferred[name])}; if 0 is an option, too, which nobody chose, pass codes={{{name!r}: "
                f"{[0, *inferred[name]]}}}"
            )
        if name in codes:
            array, told = _as_codes(name, array, list(codes[name]))
            notes += told
        values = array.values.reshape(-1, *array.values.shape[2:])[lanes]
        gone = array.missing.reshape(-1, *array.values.shape[2:])[lanes]
        values, here = _clean(name, values, gone, coded=is_coded(name) or name in codes)
        done[name], present[name] = np.moveaxis(values, 0, -1), (here & real[lanes]).T
    return {
        "fields": done,
        "present": present,
        "valid": real[lanes].T.copy(),
        "lane_subject": np.repeat(np.arange(n_subjects), n_blocks)[lanes],
        "lane_block": np.tile(np.arange(n_blocks), n_subjects)[lanes],
        "subjects": _subject_labels(subjects, n_subjects),
        "covariates": {name: _one_each(name, value, n_subjects) for name, value in covariates.items()},
        "codes": {name: tuple(value) for name, value in {**codes, **inferred}.items()},
        "counted": mask_of_arrays(count, (n_subjects, n_blocks, n_trials), "count"),
        "teaches": mask_of_arrays(teach, (n_subjects, n_blocks, n_trials), "teach"),
        "notes": tuple(notes),
    }


def _counted_from_one(arrays: Mapping[str, Given]) -> dict[str, list[int]]:
    """Labels of fields whose codes count from 1; options that are shown in several places have the same codes."""
    largest, out = {}, {}
    for name in filter(is_coded, arrays):
        values = arrays[name].values[~arrays[name].missing]
        if values.dtype.kind not in "fiu" or not len(values := values[values >= 0]) or (values % 1 != 0).any():
            continue
        kind = OPTION if name.startswith(OPTION) else name
        low, high = largest.get(kind, (np.inf, 0))
        largest[kind] = min(low, values.min()), max(high, int(values.max()))
    for name in filter(is_coded, arrays):
        low, high = largest.get(OPTION if name.startswith(OPTION) else name, (0, 0))
        if low == 1 and high > 1:
            out[name] = list(range(1, high + 1))
    return out


def _without(array: Given, markers: Sequence[Any]) -> Given:
    """Remove the values that mark a missing one."""
    if not markers:
        return array
    keys = {key(marker) for marker in markers}
    marked = [key(value) in keys for value in array.values.ravel()]
    gone = array.missing | np.array(marked, bool).reshape(array.values.shape)
    return _numeric(array._replace(missing=gone))


def _numeric(array: Given) -> Given:
    """Convert an array to numbers if its words only marked missing values."""
    if array.values.dtype != object:
        return array
    here = array.values[~array.missing]
    if not all(isinstance(value, bool | int | float | np.number | np.bool_) for value in here):
        return array
    return array._replace(values=np.where(array.missing, np.nan, array.values).astype(float))


def _as_codes(name: str, array: Given, labels: list[Any]) -> tuple[Given, list[str]]:
    """Convert labels to codes, with a note; values that are codes 0, 1, ... already stay as they are."""
    place = {key(label): code for code, label in enumerate(labels)}
    if len(place) < len(labels):
        raise DataError(f"codes of {name!r} are {labels}; each label should be there once")
    here = ~array.missing
    if array.values.dtype.kind != "O":
        # A code below 0 was always a missing one, unless it is a label.
        here &= (array.values >= 0) | np.isin(array.values, [label for label in place if not isinstance(label, str)])
    distinct = list(
        dict.fromkeys(value.item() if isinstance(value, np.generic) else value for value in array.values[here])
    )
    as_label = all(key(value) in place for value in distinct)
    as_code = all(not isinstance(value, str) and value in range(len(labels)) for value in distinct)
    if as_label and as_code and any(place[key(value)] != value for value in distinct):
        raise DataError(
            f"field {name!r} has {', '.join(map(repr, distinct[:6]))}, which may be the labels {labels} or the codes 0 to "
            f"{len(labels) - 1}; give labels that are text, or values of which one is a label or a code only"
        )
    if as_label:
        coded = np.array([place.get(key(value), -1) for value in array.values.ravel()]).reshape(array.values.shape)
        changed = any(place[key(value)] != value for value in distinct)
        return array._replace(values=coded, missing=~here), [f"{name}: {mapping(labels)}"] if changed else []
    if as_code:
        return array, []
    value = next(value for value in distinct if key(value) not in place)
    hint = f"; if it marks a missing value, pass missing={{{name!r}: [{value!r}]}}" if looks_like_marker(value) else ""
    raise DataError(
        f"field {name!r} has {value!r}, which is neither among the labels {labels} nor a code from 0 to {len(labels) - 1}; "
        f"correct it, or add its label to codes{hint}"
    )


def _common_shape(arrays: Mapping[str, Given]) -> tuple[int, int, int]:
    shapes = {name: array.values.shape[:3] for name, array in arrays.items()}
    even = all(array.real.all() for array in arrays.values())
    if any(len(shape) != 3 for shape in shapes.values()) or (even and len(set(shapes.values())) != 1):
        raise DataError(
            f"expected arrays of one shape (subject, block, trial), but was given {shapes}; a single sequence of trials is "
            "array[None, None]"
        )
    _same_lengths(arrays)
    shape = next(iter(shapes.values()))
    if 0 in shape:
        raise DataError(f"there is no trial in arrays of shape {shape}; give at least one")
    return shape  # type: ignore[return-value]


def _same_lengths(arrays: Mapping[str, Given]) -> None:
    """Raise a DataError unless each person and block has as many trials in every field."""
    first, *others = arrays
    lengths = {name: [array.real[s].sum(-1) for s in range(len(array.real))] for name, array in arrays.items()}
    for name in others:
        if len(lengths[name]) != len(lengths[first]):
            raise DataError(
                f"fields {first!r} and {name!r} have {len(lengths[first])} and {len(lengths[name])} people; each needs all"
            )
        for s, (one, other) in enumerate(zip(lengths[first], lengths[name], strict=True)):
            blocks = max(len(one), len(other))
            counts = np.array([np.pad(each, (0, blocks - len(each))) for each in (one, other)])
            unlike = np.flatnonzero(counts[0] != counts[1])
            if len(unlike):
                raise DataError(
                    f"fields {first!r} and {name!r} have {counts[0, unlike[0]]} and {counts[1, unlike[0]]} trials in block "
                    f"{unlike[0]} of subject {s} (counted from 0); each trial needs a value in both, None where missing"
                )
    empty = [s for s, counts in enumerate(lengths[first]) if not counts.any()]
    if empty and arrays[first].real.size:
        raise DataError(f"subject {empty[0]} (counted from 0) has no trial; leave this person out")


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


def _clean(name: str, array: np.ndarray, gone: np.ndarray, *, coded: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values (lane, trial, ...), with valid ones in place of missing ones, and where they were present (lane, trial)."""
    if array.dtype.kind not in "fiub":
        word = next(value for value in array[~gone].ravel() if isinstance(value, str) or not np.isreal(value))
        hint = f"; if it marks a missing value, pass {advice(name, [word])}" if looks_like_marker(word) else ""
        remedy = f"pass codes={{{name!r}: [<labels in order>]}}" if coded else "recode it"
        raise DataError(f"field {name!r} has {word!r}, but numbers are expected; {remedy}{hint}")
    missing = gone
    if array.dtype.kind == "f" and np.isinf(array[~gone]).any():
        raise DataError(f"field {name!r} has an infinite value; replace it, or set it to NaN if it is missing")
    if coded and array.dtype.kind in "if":
        missing = missing | (np.where(gone, 0, array) < 0)
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
