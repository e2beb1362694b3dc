"""Arrays of people's trials made from NumPy arrays, masked arrays and nested lists, also of unequal lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyem.errors import DataError


class Given(NamedTuple):
    """Values of a field, with masks of missing and real ones."""

    values: np.ndarray
    """Values (subject, block, trial, ...), numbers or objects."""
    missing: np.ndarray
    """Whether a value is missing (masked, None or NaN), in the same shape."""
    real: np.ndarray
    """(subject, block, trial): False where a shorter block was filled up."""


def given(name: str, value: Any) -> Given:
    """Convert the values of one field (subject, block, trial, ...) from arrays or nested lists.

    Raises
    ------
    DataError
        If they have no such shape.

    Examples
    --------
    >>> given("choice", [[[0, 1]], [[1, None, 0]]]).real.sum((1, 2)).tolist()
    [2, 3]
    """
    if isinstance(value, np.ndarray):
        return _whole(name, value)
    value = [] if value is None or isinstance(value, str | Mapping) else value
    try:
        people = [[np.ma.asarray(_array(block)) for block in person] for person in value]
    except (TypeError, ValueError):
        raise DataError(
            f"field {name!r} is no array (subject, block, trial); give one, or lists of people, of blocks, of trials"
        ) from None
    shapes = {block.shape for person in people for block in person}
    if len(shapes) == 1 and len({len(person) for person in people}) == 1 and () not in shapes:
        return _whole(name, np.ma.stack([np.ma.stack(person) for person in people]))
    if len({shape[1:] for shape in shapes}) > 1 or () in shapes or not shapes:
        raise DataError(
            f"field {name!r} has no shape (subject, block, trial); a single sequence of trials is [[[0, 1, 1]]]"
        )
    return _filled_up(name, people)


def _array(block: Any) -> Any:
    if isinstance(block, np.ndarray):
        return block
    array = np.asarray(block)
    # A list of numbers and None stays one of objects; text beside numbers would turn all into text.
    return np.asarray(block, object) if array.dtype.kind in "US" else array


def _filled_up(name: str, people: Sequence[Sequence[np.ma.MaskedArray]]) -> Given:
    """Fill up people with unequal numbers of blocks or trials with missing values."""
    blocks, trials = max(map(len, people)), max(len(block) for person in people for block in person)
    rest = next(block.shape[1:] for person in people for block in person)
    values = np.ma.masked_all((len(people), blocks, trials, *rest), np.dtype(object))  # type: ignore[call-overload]
    real = np.zeros((len(people), blocks, trials), bool)
    for s, person in enumerate(people):
        for b, block in enumerate(person):
            values[s, b, : len(block)] = block
            real[s, b, : len(block)] = True
    return _whole(name, values)._replace(real=real)


def _whole(name: str, array: np.ndarray) -> Given:
    missing = np.array(np.ma.getmaskarray(array))
    values = np.array(np.ma.getdata(array))
    if values.dtype.kind in "US":
        values = values.astype(object)
    if values.dtype == object:
        gone = [value is None or type(value).__name__ == "NAType" or value != value for value in values.ravel()]
        missing |= np.array(gone, bool).reshape(values.shape)
        # Masked values and fillers do not determine the kind of the others.
        plain = [isinstance(value, bool | int | float | np.number | np.bool_) for value in values[~missing].ravel()]
        if all(plain):
            values = np.where(missing, np.nan, values).astype(float)
            if not missing.any() and np.isfinite(values).all() and (values % 1 == 0).all():
                values = values.astype(int)
    elif values.dtype.kind == "f":
        missing |= np.isnan(values)
    elif values.dtype.kind not in "iub":
        raise DataError(f"field {name!r} has values of type {values.dtype}, but numbers are expected; recode it")
    return Given(values, missing, np.ones(values.shape[:3], bool))
