"""Selection of rows while files are read piece by piece."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pyem.data.coded import FALSE, TRUE, as_values
from pyem.data.conditions import fulfilled
from pyem.data.sources import Source
from pyem.data.streaming import missing_in
from pyem.errors import DataError, counted, list_of


@dataclasses.dataclass
class Chosen:
    """A `Source` without the rows that do not fulfil a condition or belong to excluded people.

    Parameters
    ----------
    source
        All rows.
    subject
        Its column of people.
    used
        The columns that are passed on; a condition may be on others.
    where
        The condition; see `pyem.data.conditions.fulfilled`.
    exclude
        Labels of people who are left out, who have to be there.
    dropped
        Labels of others who are left out, without a note here.
    """

    source: Source
    subject: str
    used: Sequence[str]
    where: str | None = None
    exclude: Sequence[Any] = ()
    dropped: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._begin()

    @property
    def _all(self) -> bool:
        """Whether all rows are used."""
        return self.where is None and not self.exclude and not self.dropped

    def _begin(self) -> None:
        self._rows = self._by_where = self._by_name = 0
        self._people: tuple[set[str], set[str], set[str]] = (set(), set(), set())
        """Labels of everybody, of those who have rows that fulfil the condition, and of those who are kept in the end."""

    @property
    def files(self) -> Any:
        """Paths of the files."""
        return self.source.files

    @property
    def current(self) -> int:
        """Number of the file that the last piece was from."""
        return self.source.current

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each column that is passed on."""
        return {name: self.source.kinds[name] for name in self.used}

    def pieces(self) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Numbers of rows, from 0, and Arrow arrays by name, piece by piece."""
        if self._all:
            yield from self.source.pieces()
            return
        import pyarrow as pa

        self._begin()
        out = {*map(str, self.exclude), *self.dropped}
        for rows, piece in self.source.pieces():
            distinct, index = people_of(piece[self.subject])
            there = np.ones(len(rows), bool) if self.where is None else self._fulfilled(piece)
            left = there & np.array([*(label not in out for label in distinct), True])[index]
            self._count(distinct, index, there, left)
            keep = pa.array(left)
            yield rows[left], {name: piece[name].filter(keep) for name in self.used}

    def _fulfilled(self, piece: Mapping[str, Any]) -> np.ndarray:
        import narwhals as nw
        import pandas as pd

        known = {name: plain_values(array, self.source.kinds[name]) for name, array in piece.items()}
        return fulfilled(nw.from_native(pd.DataFrame(known)), str(self.where))

    def _count(self, distinct: Sequence[Any], index: np.ndarray, there: np.ndarray, left: np.ndarray) -> None:
        self._rows += len(index)
        self._by_where += int((~there).sum())
        self._by_name += int((there & ~left).sum())
        for seen, some in zip(self._people, (index, index[there], index[left]), strict=True):
            seen.update([distinct[k] for k in np.unique(some).tolist() if k >= 0])

    def notes(self) -> list[str]:
        """Notes on what was left out.

        Raises
        ------
        DataError
            If a name is not there, or nothing is left.
        """
        if self._all:
            return []
        everybody, by_where, left = self._people
        unknown = [label for label in self.exclude if str(label) not in everybody]
        if unknown:
            raise DataError(
                f"exclude= names {unknown[0]!r}, who is not in the table; its people are {list_of(sorted(everybody))}"
            )
        told = []
        if self.where is not None:
            told.append(f"where {self.where}: {self._out(self._by_where, everybody - by_where, everybody)}")
        if self.exclude:
            names = list_of([str(label) for label in self.exclude])
            told.append(f"excluded {names}: {self._out(self._by_name, by_where - left, everybody)}")
        if not left:
            raise DataError(f"no row of the table is left ({'; '.join(told)}); say otherwise which rows count")
        return told

    def _out(self, rows: int, people: set[str], everybody: set[str]) -> str:
        lost = f"{len(people)} of {counted(len(everybody), 'person', 'people')}"
        return f"{rows} of {self._rows} rows are left out, and with them {lost}"


def people_of(array: Any) -> tuple[list[str], np.ndarray]:
    """The distinct labels of an Arrow array of people as text, and the index of each row's; -1 where there is none."""
    import pyarrow as pa

    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    index = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return [str(label) for label in coded.dictionary.to_pylist()], index


def plain_values(array: Any, kind: str) -> np.ndarray:
    """An Arrow array of one of the kinds of `pyem.data.streaming.kinds_of` as numbers, or as text with None where missing.

    Examples
    --------
    >>> import pyarrow as pa
    >>> plain_values(pa.array(["a", "NA"]).dictionary_encode(), "text").tolist()
    ['a', None]
    >>> plain_values(pa.array([1, None]), "whole").tolist()
    [1.0, nan]
    """
    if kind in ("whole", "number", "flag"):
        return as_values(array, whole=kind != "number").astype(float, copy=False)
    gone = missing_in(kind)
    labels = [None if label in gone else label for label in array.dictionary.to_pylist()]
    index = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    if kind == "truth":
        if not {label for label in labels if label is not None} <= {*TRUE, *FALSE}:
            raise DataError("a column of truth values has others, too; write True or False in all rows")
        return np.array([*(np.nan if label is None else float(label in TRUE) for label in labels), np.nan])[index]
    return np.array([*labels, None], object)[index]
