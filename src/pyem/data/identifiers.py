"""Names of people and blocks: kept as they were written, in the order in which they appear."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyem.data.coded import smallest
from pyem.data.columns import EXACT, Column, all_whole, parse
from pyem.errors import DataError


def as_labels(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """Distinct labels in order of appearance (or of an ordered categorical), and the index of each row's.

    Raises
    ------
    DataError
        If a value is missing, or is a number too long to be exact.
    """
    if not column.complete:
        missing = np.flatnonzero(~column.here)
        raise DataError(
            f"column {column.name!r} has no value in row {column.row(missing[0])} ({len(missing)} such rows in all); every "
            "row needs one, fill it in"
        )
    if column.labels is not None:
        labels = np.array(column.labels, object)
        used = occurring(column.values, len(labels))
        # A categorical may have categories that do not occur.
        return (labels, column.values) if used.all() else (labels[used], (np.cumsum(used) - 1)[column.values])
    floats = column.values.dtype.kind == "f"
    inexact = np.flatnonzero(~(np.abs(column.values) < EXACT)) if floats else []
    if len(inexact):
        raise DataError(
            f"column {column.name!r} has the number {column.values[inexact[0]]:g} in row {column.row(inexact[0])}, where a "
            "name is expected: numbers so long are not exact, and two of them may have become one; keep the column as text "
            "(dtype=str)"
        )
    index, distinct = factorized(column.values)
    whole = distinct.dtype.kind == "i" or (floats and all_whole(distinct))
    return distinct.astype(int) if whole else distinct, index


def factorized(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of each value among the distinct ones, (row,), and these in order of appearance.

    Examples
    --------
    >>> [part.tolist() for part in factorized(np.array([5, 5, 3, 5]))]
    [[0, 0, 1, 0], [5, 3]]
    """
    import pandas as pd

    if not len(values):
        return np.zeros(0, int), values
    # People and blocks stay the same for many rows; an index takes no more memory than it needs.
    starts = run_starts(values)
    index, distinct = pd.factorize(values[starts])
    index = index.astype(smallest(len(distinct)))
    lengths = np.diff(starts, append=len(values))
    return (index if len(starts) == len(values) else np.repeat(index, lengths)), np.asarray(distinct)


def run_starts(*columns: np.ndarray) -> np.ndarray:
    """First row of each run of rows with the same values in all columns, none of which is empty.

    Examples
    --------
    >>> run_starts(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])).tolist()
    [0, 2, 3]
    """
    new = columns[0][1:] != columns[0][:-1]
    for column in columns[1:]:
        new |= column[1:] != column[:-1]
    return np.append(0, np.flatnonzero(new) + 1)


def occurring(index: np.ndarray, n: int) -> np.ndarray:
    """(n,): whether each of the indices 0, ..., n - 1 occurs; those below 0 are ignored.

    Examples
    --------
    >>> occurring(np.array([2, 0, -1]), 4).tolist()
    [True, False, True, False]
    """
    used = np.zeros(n + 1, bool)
    if len(index):
        # People and blocks stay the same for many rows.
        used[index[run_starts(index)]] = True
    return used[:-1]


def natural(label: Any) -> tuple[Any, ...]:
    """Sort key by which numbers inside text are ordered by value: ``"block2"`` before ``"block10"``.

    Examples
    --------
    >>> sorted(["block10", "block2"], key=natural)
    ['block2', 'block10']
    """
    parts = re.split(r"([0-9]+)", str(label))
    # The length of a number without its zeros says how large it is, however many digits it has.
    digits = lambda part: (0, len(part.lstrip("0")), part.lstrip("0"), part)  # noqa: E731
    return tuple(digits(part) if k % 2 else (1, 0, part) for k, part in enumerate(parts))


def in_order(labels: np.ndarray) -> np.ndarray:
    """Indices that sort labels: numbers by value, also those written as text; other text by `natural`.

    Examples
    --------
    >>> in_order(np.array(["10", "-2", "9"], object)).tolist()
    [1, 2, 0]
    """
    if labels.dtype != object:
        return np.argsort(labels)
    values = parse(labels.tolist())
    if np.isnan(values).any() or (np.abs(values) >= EXACT).any():
        return np.array(sorted(range(len(labels)), key=lambda k: natural(labels[k])))
    return np.array(sorted(range(len(labels)), key=lambda k: (values[k], str(labels[k]))))


def alike_notes(labels: Sequence[Any], what: str) -> list[str]:
    """A note where labels that are kept apart differ in spaces, capitals, leading zeros or a .0 only.

    Examples
    --------
    >>> alike_notes(["P1", "P2", "P1 "], "subjects")
    ["subjects 'P1' and 'P1 ' differ in spaces, capitals, leading zeros or a .0 only, and are kept apart"]
    """
    if all(not isinstance(label, str) for label in labels):
        return []
    alike: dict[str, list[str]] = {}
    without = _plain(labels)
    if len(set(without)) == len(labels):
        return []
    for label, plain in zip(map(str, labels), without, strict=True):
        alike.setdefault(plain, []).append(label)
    groups = [group for group in alike.values() if len(group) > 1]
    if not groups:
        return []
    more = f" ({len(groups)} such cases in all)" if len(groups) > 1 else ""
    return [
        f"{what} {' and '.join(map(repr, groups[0][:4]))} differ in spaces, capitals, leading zeros or a .0 only, and are "
        f"kept apart{more}"
    ]


def _plain(labels: Sequence[Any]) -> list[str]:
    """Labels without what people overlook: spaces around and in them, capitals, zeros before numbers, and .0 after them."""
    # All at once, as there may be many; a space in them that is a new line is one like any other.
    labels = [*map(str, labels)]
    text = "\n".join(labels)
    if text.split() != labels:
        text = "\n".join(" ".join(label.split()) for label in labels)
    text = text.casefold()
    text = re.sub(r"(?<![0-9.,])0+(?=[0-9])", "", text)
    return re.sub(r"^([0-9]+)\.0+$", r"\1", text, flags=re.MULTILINE).split("\n")
