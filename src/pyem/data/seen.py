"""First pass through a large table: distinct values, the people, and whether their rows are in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyem.data.choosing import Chosen
from pyem.data.coded import Texts, Truths, as_values, smallest
from pyem.data.columns import Column, all_whole
from pyem.data.sources import Changed
from pyem.data.streaming import reader_of
from pyem.errors import DataError, shown

MOST = 4096
"""Largest number of distinct numbers that are kept; of more, the lowest, the highest, and one that is not whole."""


class SeenTexts:
    """Distinct texts of a column."""

    def __init__(self, kind: str) -> None:
        reader = reader_of(kind)
        assert isinstance(reader, Texts)
        self._texts, self._truth = reader, isinstance(reader, Truths)

    def add(self, piece: Any) -> np.ndarray:
        """Take note of an Arrow array, and return its codes, -1 where missing."""
        return self._texts.coded(piece)

    @property
    def labels(self) -> list[str]:
        """The distinct texts in order of appearance, blank ones included."""
        return self._texts.labels

    def column(self, name: str) -> Column:
        """Return a column with each text once."""
        texts = Truths() if self._truth else Texts()
        texts.take(self.labels)
        return texts.column(name)


class SeenNumbers:
    """Distinct numbers of a column, or, of many, the ones that matter."""

    def __init__(self, kind: str) -> None:
        self._integers, self._boolean = kind != "number", kind == "flag"
        self._known: set[float] = set()
        self._gone, self._whole = False, True

    def add(self, piece: Any) -> np.ndarray:
        """Take note of an Arrow array, and return its values."""
        values = as_values(piece, whole=self._integers)
        here = values
        if values.dtype.kind == "f":
            here = values[~np.isnan(values)]
            self._gone |= len(here) < len(values)
            self._whole &= all_whole(here)
        if not len(here):
            return values
        distinct = np.unique(here)
        if len(distinct) > MOST or len(self._known) > MOST:
            odd = distinct[distinct % 1 != 0][:1]
            distinct = np.concatenate([distinct[[0, -1]], odd])
        self._known.update(distinct.tolist())
        return values

    def column(self, name: str) -> Column:
        """Return a column with each number once."""
        values = np.array(sorted(self._known) or [np.nan], float if self._gone or not self._known else None)
        whole = self._integers or (self._gone and self._whole)
        return Column(name, values, None, whole=whole, kind="boolean" if self._boolean else "number")


@dataclasses.dataclass(frozen=True)
class Seen:
    """Findings of a first pass through a table, before it is read in parts."""

    people: np.ndarray
    """Labels of the people in order of appearance, (subject,)."""
    rows: np.ndarray
    """Number of rows of each person, (subject,)."""
    in_order: bool
    """Whether the rows of each person are together."""
    columns: Mapping[str, Column]
    """Each distinct value of the other columns once; all of one length, filled with missing ones."""
    in_several_files: int
    """Number of people with rows in more than one file."""


def look_through(source: Chosen, subject: str) -> Seen:
    """Read through all files once.

    Raises
    ------
    DataError
        If a file cannot be read piece by piece, or a row has no person.
    """
    while True:
        try:
            return _look_through(source, subject)
        except Changed:
            continue


def _look_through(source: Chosen, subject: str) -> Seen:
    kinds = source.kinds
    if kinds[subject] not in ("name", "label", "whole"):
        raise DataError(f"column {subject!r}, which says whose rows they are, is no text and has no whole numbers")
    others = {name: _seen(kind) for name, kind in kinds.items() if name != subject}
    people, places = PeopleIndex(kinds[subject]), _Places()
    counts, last, in_order, n_rows = np.zeros(0, int), 0, True, 0
    for rows, piece in source.pieces():
        who = people.add(piece[subject], rows)
        n_rows += len(who)
        counts = np.concatenate([counts, np.zeros(len(people) - len(counts), int)])
        here = np.bincount(who, minlength=len(counts))
        counts += here
        places.add(np.flatnonzero(here), source.current)
        in_order &= bool(len(who) == 0 or (who[0] >= last and (who[1:] >= who[:-1]).all()))
        last = int(who[-1]) if len(who) else last
        for name, column in others.items():
            column.add(piece[name])
    if not n_rows:
        source.notes()
        raise DataError("the files have no rows; they should have a row for each trial")
    made = {name: column.column(name) for name, column in others.items()}
    return Seen(people.labels, counts, in_order, padded(made), places.n_in_several)


def _seen(kind: str) -> SeenTexts | SeenNumbers:
    return SeenNumbers(kind) if kind in ("whole", "number", "flag") else SeenTexts(kind)


class _Places:
    """Files in which people have rows."""

    def __init__(self) -> None:
        self._file, self._several = np.zeros(0, int), np.zeros(0, bool)

    def add(self, people: np.ndarray, file: int) -> None:
        """These people, by index, have rows in this file, which is not before the last one."""
        new = max(0, int(people.max(initial=-1)) + 1 - len(self._file))
        self._file, self._several = (
            np.append(self._file, np.full(new, -1)),
            np.append(self._several, np.zeros(new, bool)),
        )
        before = self._file[people]
        self._several[people] |= (before >= 0) & (before != file)
        self._file[people] = file

    @property
    def n_in_several(self) -> int:
        """Number of people who have rows in more than one file."""
        return int(self._several.sum())


class PeopleIndex:
    """Numbers people in the order in which they appear."""

    def __init__(self, kind: str) -> None:
        self._texts = SeenTexts(kind) if kind != "whole" else None
        self._numbers: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._numbers if self._texts is None else self._texts.labels)

    def add(self, piece: Any, rows: np.ndarray) -> np.ndarray:
        """Index of the person of each row of an Arrow array; `rows` are their numbers in the files.

        Raises
        ------
        DataError
            If a row has no person.
        """
        if piece.null_count:
            raise _nobody(int(rows[np.argmax(piece.is_null().to_numpy(zero_copy_only=False))]))
        if self._texts is not None:
            who = self._texts.add(piece).astype(np.int64)
            if (who < 0).any():
                raise _nobody(int(rows[np.argmax(who < 0)]))
            return who
        distinct, index = np.unique(piece.to_numpy(zero_copy_only=False), return_inverse=True)
        first = np.full(len(distinct), len(index))
        np.minimum.at(first, index, np.arange(len(index)))
        places = np.empty(len(distinct), int)
        for k in np.argsort(first):
            places[k] = self._numbers.setdefault(int(distinct[k]), len(self._numbers))
        return places[index]

    @property
    def labels(self) -> np.ndarray:
        """Labels of the people, (subject,)."""
        if self._texts is None:
            return np.array(list(self._numbers))
        out = np.empty(len(self), object)
        out[:] = self._texts.labels
        blank = next((label for label in self._texts.labels if not label.strip()), None)
        if blank is not None:
            raise DataError(f"a person is called {shown(blank)}; rows need the person whose they are")
        return out


def _nobody(row: int) -> DataError:
    return DataError(
        f"row {row + 1} has no person; rows of a table that is read in parts need one: remove rows without it, or fill it in"
    )


def padded(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Columns of one length, with missing values at the end of shorter ones."""
    longest = max(len(column.values) for column in columns.values())
    return {name: _padded(column, longest) for name, column in columns.items()}


def _padded(column: Column, n: int) -> Column:
    missing = n - len(column.values)
    if not missing:
        return column
    if column.labels is None:
        values = np.concatenate([column.values.astype(float), np.full(missing, np.nan)])
    else:
        values = np.concatenate([column.values, np.full(missing, -1, smallest(len(column.labels)))])
    return dataclasses.replace(column, values=values)
