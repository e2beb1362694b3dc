"""Columns that are read piece by piece into compact arrays: indices of distinct values, and the smallest whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pyem.data.columns import CodedTable, Column, whole_with_gaps
from pyem.data.ragged import narrow
from pyem.data.row_names import NOTES

TRUE, FALSE = ("True", "TRUE", "true"), ("False", "FALSE", "false")
"""Spellings of truth values that pandas recognises in text files."""
AT_ONCE = 1 << 15
"""Number of rows that are looked up at once, which fit into the cache."""


class Unknown(Exception):
    """Raised for a file, or a request about it, that has to be read in the general way."""


class Growing:
    """An array that grows piece by piece, of the widest type of all pieces.

    Examples
    --------
    >>> growing = Growing()
    >>> growing.add(np.array([1, 2], np.int8))
    >>> growing.add(np.array([0.5]))
    >>> growing.array().tolist()
    [1.0, 2.0, 0.5]
    """

    def __init__(self) -> None:
        # Memory beyond the last piece is not taken before it is written to.
        self._array, self._n = np.empty(0, np.int8), 0
        self.expected = 0
        """Roughly expected length: the array is made that large, and need not be copied as it grows."""

    def add(self, piece: np.ndarray) -> None:
        """Append a piece."""
        n = self._n + len(piece)
        kind = np.promote_types(self._array.dtype, piece.dtype) if self._n else piece.dtype
        if n > len(self._array) or kind != self._array.dtype:
            room = len(self._array) if n <= len(self._array) else max(n, 2 * len(self._array), self.expected)
            larger = np.empty(room, kind)
            larger[: self._n] = self._array[: self._n]
            self._array = larger
        self._array[self._n : n] = piece
        self._n = n

    def array(self) -> np.ndarray:
        """The whole array."""
        return self._array[: self._n]


class Texts:
    """A column of text that grows piece by piece: each text is kept once.

    Examples
    --------
    >>> import pyarrow as pa
    >>> texts = Texts()
    >>> texts.add(pa.array(["left", None, "right", "left"]).dictionary_encode())
    >>> texts.column("choice").values.tolist()
    [0, -1, 1, 0]
    """

    def __init__(self, missing: Sequence[str] = ()) -> None:
        self._missing = frozenset(missing)
        self._known: dict[str, int] = {}
        self._codes = Growing()

    def expect(self, rows: int) -> None:
        """Expect a number of rows in all, roughly."""
        self._codes.expected = rows

    def add(self, piece: Any) -> None:
        """Append an Arrow dictionary array."""
        self._codes.add(self.coded(piece))

    def coded(self, piece: Any) -> np.ndarray:
        """The codes of an Arrow dictionary array, -1 where missing; new texts get new codes."""
        labels = piece.dictionary.to_pylist()
        index = piece.indices.fill_null(len(labels)) if piece.null_count else piece.indices
        index = index.to_numpy(zero_copy_only=False)
        if not all(label in self._known or label in self._missing for label in labels):
            self._meet(labels, index)
        # A label in the dictionary that no row has is not registered.
        places = [self._known.get(label, -1) for label in labels]
        return np.array([*places, -1], smallest(len(self._known))).take(index)

    def _meet(self, labels: list[str], index: np.ndarray) -> None:
        """Give new texts codes in the order in which they come in the rows, not in that of the dictionary."""
        first = np.full(len(labels) + 1, len(index))
        # Labels often stay the same for many rows.
        heads = np.append(0, np.flatnonzero(index[1:] != index[:-1]) + 1)[::-1] if len(index) else np.zeros(0, int)
        first[index[heads]] = heads
        for k in np.argsort(first[:-1], kind="stable").tolist():
            if first[k] < len(index) and labels[k] not in self._missing:
                self._known.setdefault(labels[k], len(self._known))

    def take(self, labels: Sequence[str]) -> None:
        """Append each of these texts once."""
        self._codes.add(np.array([self._known.setdefault(label, len(self._known)) for label in labels], int))

    @property
    def labels(self) -> list[str]:
        """The distinct texts in order of appearance."""
        return list(self._known)

    def column(self, name: str) -> Column:
        """The whole column; blank cells are missing."""
        index, labels = self._codes.array(), self.labels
        blank = [not label.strip() for label in labels]
        if any(blank):
            kept = np.cumsum(np.logical_not(blank)) - 1
            index = looked_up(np.array([*np.where(blank, -1, kept), -1], smallest(len(labels))), index)
            labels = [label for label, gone in zip(labels, blank, strict=True) if not gone]
        return Column(name, index, tuple(labels))


class Truths(Texts):
    """A column of truth values as text files spell them."""

    def column(self, name: str) -> Column:
        """The whole column, as numbers 0 and 1."""
        if not set(self.labels) <= {*TRUE, *FALSE}:
            raise Unknown(f"column {name!r} has other values than truth values")
        worth = np.array([*(float(label in TRUE) for label in self.labels), np.nan])
        return Column(name, looked_up(worth, self._codes.array()), None, whole=True, kind="boolean")


class Numbers:
    """A column of numbers that grows piece by piece.

    Examples
    --------
    >>> import pyarrow as pa
    >>> numbers = Numbers(whole=True)
    >>> numbers.add(pa.array([1, 2, 300]))
    >>> numbers.column("trial").values.dtype
    dtype('int16')
    """

    def __init__(self, *, whole: bool, kind: str = "number") -> None:
        self._whole, self._kind = whole, kind
        self._values = Growing()

    def expect(self, rows: int) -> None:
        """Expect a number of rows in all, roughly."""
        self._values.expected = rows

    def add(self, piece: Any) -> None:
        """Append an Arrow array of numbers or truth values."""
        self._values.add(as_values(piece, whole=self._whole))

    def column(self, name: str) -> Column:
        """The whole column; whole numbers in the smallest type that holds them."""
        values = self._values.array()
        if values.dtype.kind == "i":
            return Column(name, values, None, whole=True, kind=self._kind)
        return Column(name, values, None, whole=self._whole or whole_with_gaps(values), kind=self._kind)


def as_values(piece: Any, *, whole: bool) -> np.ndarray:
    """Convert an Arrow array to the smallest whole numbers if it is complete and whole; else to float64, NaN where missing."""
    import pyarrow as pa

    if whole and not piece.null_count:
        values = piece.to_numpy(zero_copy_only=False)
        # Truth values, and whole numbers without a sign, which are of 32 bits at most.
        return narrow(values.astype({"b": np.int8, "u": np.int64}.get(values.dtype.kind, values.dtype), copy=False))
    values = piece.cast(pa.int8()) if pa.types.is_boolean(piece.type) else piece.cast(pa.float64(), safe=False)
    return values.to_numpy(zero_copy_only=False).astype(float, copy=False)


def looked_up(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """``values[index]``, made in pieces: NumPy makes 64-bit integers of all indices first.

    Examples
    --------
    >>> looked_up(np.array([0.5, 2.0, np.nan]), np.array([1, 0, -1], np.int8)).tolist()
    [2.0, 0.5, nan]
    """
    out = np.empty(len(index), values.dtype)
    for start in range(0, len(index), AT_ONCE):
        out[start : start + AT_ONCE] = values.take(index[start : start + AT_ONCE])
    return out


def smallest(n: int) -> np.dtype:
    """Smallest type of whole numbers that holds -1, 0, ..., n - 1.

    Examples
    --------
    >>> smallest(2), smallest(129)
    (dtype('int8'), dtype('int16'))
    """
    return np.min_scalar_type(-max(1, n))


def coded_table(columns: dict[str, Texts | Numbers], header: Sequence[str], notes: Iterable[str] = ()) -> CodedTable:
    """Make a table of the columns that were read, which are taken out of `columns`."""
    made = {name: columns.pop(name).column(name) for name in list(columns)}
    n_rows = len(next(iter(made.values())).values)
    return CodedTable(made, tuple(header), n_rows, {NOTES: list(notes)}, once=True)
