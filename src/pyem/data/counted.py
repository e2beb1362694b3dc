"""Trials that are used in the likelihood or for learning, where the table says so: forced choices, transfer phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyem.data.columns import Column, Where, parse
from pyem.errors import DataError, list_of

Says = str | Mapping[str, Any] | None
"""A column of 0 and 1, or a column with its values that mean yes: ``"free"`` or ``{"phase": ["main", "test"]}``."""
_MASKS = {"count": "counted", "teach": "teaches"}
WORDS = {"true": True, "yes": True, "false": False, "no": False}


def column_of(says: Says, argument: str) -> str | None:
    """The column that `says` names.

    Raises
    ------
    DataError
        If it is neither a column nor a column with its values.

    Examples
    --------
    >>> column_of("free", "count"), column_of({"phase": ["main"]}, "count")
    ('free', 'phase')
    """
    if says is None or isinstance(says, str):
        return says
    if not isinstance(says, Mapping) or len(says) != 1:
        raise DataError(
            f"{argument}={says!r}; expected a column of 0 and 1, as in {argument}='free', or one column with the values "
            f"that mean yes, as in {argument}={{'phase': ['main']}}"
        )
    return next(iter(says))


def yes_or_no(column: Column, says: Says, argument: str, where: Where) -> np.ndarray:
    """(row,): whether each trial is used in the likelihood, or for learning.

    Parameters
    ----------
    column
        The column that `says` names.
    says
        Column, or column and values, as the user gave it.
    argument
        ``"count"`` or ``"teach"``, for messages.
    where
        Says whose row it is.

    Raises
    ------
    DataError
        If a cell is empty, or says neither yes nor no.
    """
    gone = np.flatnonzero(~column.here)
    if len(gone):
        raise DataError(
            f"column {column.name!r} has no value {where(int(gone[0]))} ({len(gone)} such rows in all), so it does not say "
            f"whether the trial is to {argument}; fill it in"
        )
    labels, index = _distinct(column)
    if isinstance(says, Mapping):
        return _listed(labels, next(iter(says.values())), column.name, argument)[index]
    read = [_word(label) for label in labels]
    unknown = [k for k, value in enumerate(read) if value is None]
    if unknown:
        row = int(np.argmax(np.isin(index, unknown)))
        raise DataError(
            f"column {column.name!r} has {labels[index[row]]!r} {where(row)}, where 1 (yes) or 0 (no) is expected; say which "
            f"values mean yes, as in {argument}={{{column.name!r}: [{labels[index[row]]!r}]}}"
        )
    return np.array(read, bool)[index]


def _distinct(column: Column) -> tuple[list[Any], np.ndarray]:
    if column.labels is not None:
        return list(column.labels), column.values
    values, index = np.unique(column.values, return_inverse=True)
    return [int(value) if float(value).is_integer() else float(value) for value in values], index


def _word(label: Any) -> bool | None:
    number = parse([label])[0]
    if number in (0, 1):
        return bool(number)
    return WORDS.get(str(label).strip().lower())


def _listed(labels: list[Any], wanted: Any, name: str, argument: str) -> np.ndarray:
    given = [wanted] if isinstance(wanted, str) or not isinstance(wanted, Sequence | np.ndarray) else list(wanted)
    same = lambda one, other: str(one) == str(other) or parse([one])[0] == parse([other])[0]  # noqa: E731
    absent = [value for value in given if not any(same(value, label) for label in labels)]
    if absent:
        raise DataError(
            f"{argument}= names {absent[0]!r} of column {name!r}, which has {list_of(labels)}; correct the value"
        )
    return np.array([any(same(value, label) for value in given) for label in labels])


def counting_columns(**says: Says) -> list[str]:
    """Columns that say which trials are used in the likelihood or for learning."""
    columns = [column_of(said, argument) for argument, said in says.items()]
    return [column for column in columns if column is not None]


def counting(
    table: Mapping[str, Column], says: Mapping[str, Says], where: Where, notes: list[str]
) -> dict[str, np.ndarray]:
    """Masks ``counted`` and ``teaches`` (row,), if the table has them; `notes` get the number of trials left out."""
    masks = {}
    for argument, said in says.items():
        if (column := column_of(said, argument)) is None:
            continue
        mask = masks[_MASKS[argument]] = yes_or_no(table[column], said, argument, where)
        out = f"{(~mask).sum()} of {len(mask)} trials"
        what = (
            f"{out} are left out of the likelihood; models learn from them"
            if argument == "count"
            else f"models learn nothing from {out}"
        )
        notes.append(f"{argument} (column {column!r}): {what}")
    return masks


def mask_of_arrays(values: Any, shape: tuple[int, int, int], argument: str) -> np.ndarray | None:
    """A mask (trial, lane) from an array (subject, block, trial) of 0 and 1.

    Raises
    ------
    DataError
        If the shape is not that of the data, or a value is neither 0 nor 1.
    """
    if values is None:
        return None
    array = np.asarray(values)
    if array.shape != shape or not np.isin(array, (0, 1)).all():
        raise DataError(
            f"{argument}= has shape {array.shape}; expected an array of 0 and 1 of the shape {shape} (subject, block, trial)"
        )
    return array.astype(bool).reshape(-1, shape[2]).T
