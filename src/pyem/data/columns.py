"""Columns of pandas, polars and Arrow tables, each either numbers or the distinct values of a column of text."""

from __future__ import annotations

import dataclasses
import decimal
import difflib
import numbers
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyem.data.row_names import row_names
from pyem.errors import DataError

Where = Callable[[int], str]
"""Function that names the person of a row for messages: ``"for subject 's1' (row 7)"``."""

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_NUMBERED = re.compile(r"(.*?)\W*_?\d+")
MANY_TRIALS = 10
"""Number of numbered columns of one name from which on they are taken for trials whatever they are called."""
_KINDS = numbers.Real | decimal.Decimal | np.bool_
EXACT = 2**53
"""Largest whole number up to which a float holds all whole numbers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """A column of a table: either numbers, or text as indices of its distinct values.

    Parameters
    ----------
    name
        Its name in the table.
    values
        (row,): numbers, NaN where missing; or, for text, an index into `labels`, -1 where missing.
    labels
        The distinct values of a text column in order of appearance, or in their own order if `ordered`; None for numbers.
    whole
        The numbers are whole: integers, booleans, or integers that a table keeps as floats because some are missing.
    ordered
        An ordered categorical.
    kind
        Kind of the values, for messages: ``"text"``, ``"date"``, ``"boolean"``, ...
    rows
        (row,): where the rows are in the table that was given, from 0; None if these are all of its rows.
    marked
        Number of cells that hold a marker of a missing value.
    names
        Names of the rows of the table, if it was put together from several files or rows.
    """

    name: str
    values: np.ndarray
    labels: tuple[str, ...] | None
    whole: bool = False
    ordered: bool = False
    kind: str = "text"
    rows: np.ndarray | None = None
    marked: int = 0
    names: Callable[[int], str] | None = None

    @property
    def here(self) -> np.ndarray:
        """(row,): whether there is a value."""
        return ~np.isnan(self.values) if self.labels is None else self.values >= 0

    @property
    def complete(self) -> bool:
        """Whether every row has a value."""
        if self.values.dtype.kind == "f":
            return not np.isnan(self.values).any()
        return self.labels is None or int(self.values.min(initial=0)) >= 0

    def row(self, k: int) -> str:
        """Number of a row in the given table, from 1 below the header, with its file if there are several."""
        place = int(k if self.rows is None else self.rows[k])
        return str(place + 1) if self.names is None else self.names(place)


@dataclasses.dataclass(frozen=True, eq=False)
class CodedTable:
    """A table that was read straight into columns, which has only the columns in use.

    Parameters
    ----------
    known
        Its columns by name.
    columns
        The names of all columns of the file.
    n_rows
        Number of rows.
    attrs
        Notes, as pandas tables have them.
    once
        Nobody asks for a column again: what is not needed any more leaves the memory.
    """

    known: dict[str, Column]
    columns: tuple[str, ...]
    n_rows: int
    attrs: dict[str, Any]
    once: bool = False

    def __len__(self) -> int:
        return self.n_rows

    def without(self, name: str, markers: Sequence[Any]) -> Column:
        """Return one column with cells that hold a marker turned into missing ones."""
        return _without(self.known[name], markers)


def open_table(frame: Any) -> Any:
    """Open a pandas, polars or Arrow table by way of narwhals, with columns named by text.

    Raises
    ------
    DataError
        If it is no table, has no rows, or two of its columns have the same name.
    """
    import narwhals as nw
    import pandas as pd

    if isinstance(frame, pd.DataFrame) and not all(isinstance(name, str) for name in frame.columns):
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    try:
        table = nw.from_native(frame, eager_only=True)
    except TypeError:
        hint = "; call its collect() first" if type(frame).__name__ == "LazyFrame" else ""
        hint = "; use Dataset.read for a file" if isinstance(frame, str | Path) else hint
        raise DataError(
            f"expected a pandas, polars or Arrow table, but was given {type(frame).__name__}{hint}"
        ) from None
    except nw.exceptions.DuplicateError as error:
        twice = str(error).partition(":")[2].split()
        raise DataError(f"two columns have the same name ({' '.join(twice)}); rename one") from None
    if len(table) == 0:
        raise DataError("the table has no rows; it should have a row for each trial")
    return table


def read_columns(
    frame: Any,
    names: Sequence[str],
    *,
    rows: np.ndarray | None = None,
    markers: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, Column]:
    """The named columns of a pandas, polars or Arrow table.

    Parameters
    ----------
    frame
        The table.
    names
        The columns.
    rows
        Indices of the rows that count, ascending; None for all.
    markers
        Values that mark a missing one, by column.

    Raises
    ------
    DataError
        If it is no table, has no rows, lacks a column, or a column mixes text and numbers.
    """
    if isinstance(frame, CodedTable):
        return {name: frame.without(name, (markers or {}).get(name, ())) for name in dict.fromkeys(names)}
    table = open_table(frame)
    require(table.columns, names, frame)
    names = list(dict.fromkeys(names))
    if rows is not None:
        table = table.select(names)[rows.tolist()]
    known = {name: _column(table[name], name, (markers or {}).get(name, ()), rows) for name in names}
    called = row_names(frame)
    return {name: dataclasses.replace(column, rows=rows, names=called) for name, column in known.items()}


def require(columns: Sequence[Any], names: Sequence[str], frame: Any = None) -> None:
    """Raise a DataError with suggestions unless a table has all of these columns."""
    missing = [name for name in dict.fromkeys(names) if name not in columns]
    if not missing:
        return
    known = [str(column) for column in columns]
    near = [near for name in missing for near in difflib.get_close_matches(str(name).strip(), known, 1, 0.75)]
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else "; name one of these"
    hint = wide_hint(known, missing[0]) or hint
    if set(missing) & set(getattr(getattr(frame, "index", None), "names", ())):
        hint = "; it is in the index: call reset_index() first"
    raise DataError(f"there is no column {', '.join(map(repr, missing))}; the table has {columns_told(columns)}{hint}")


def columns_told(columns: Sequence[Any]) -> str:
    """Names of a table's columns for messages; of many the first ones.

    Examples
    --------
    >>> columns_told(["id", "age"]), columns_told([f"item{k}" for k in range(90)])[-23:]
    ("'id', 'age'", "'item28', 'item29', ...")
    """
    return ", ".join(map(repr, columns)) if len(columns) <= 40 else f"{', '.join(map(repr, columns[:30]))}, ..."


def wide_hint(columns: Sequence[Any], name: str) -> str:
    """The remedy where a table has a column for each trial, of what is called `name` or of something else; else nothing.

    Examples
    --------
    >>> wide_hint(["id", "choice1", "choice2"], "choice")
    ''
    >>> wide_hint(["id", *(f"day 1_{k}" for k in range(20))], "choice")[:60]
    "; there is a column for each trial ('day 1_0', 'day 1_1', .."
    """
    numbered = [(found[1], column) for column in map(str, columns) if (found := _NUMBERED.fullmatch(column))]
    mine = [column for stem, column in numbered if stem == name]
    most = max((stem for stem, _ in numbered), key=[stem for stem, _ in numbered].count, default="")
    all_of_it = [column for stem, column in numbered if stem == most]
    many = mine if len(mine) > 2 else all_of_it if len(all_of_it) >= MANY_TRIALS else []
    if not many:
        return ""
    return (
        f"; there is a column for each trial ({many[0]!r}, {many[1]!r}, ...), but a row for each trial is expected: make the "
        "table long first, for example with pandas.wide_to_long"
    )


def _column(series: Any, name: str, markers: Sequence[Any], rows: np.ndarray | None) -> Column:
    import narwhals as nw

    keys = {key(marker) for marker in markers}
    boolean = series.dtype == nw.Boolean
    if not (series.dtype.is_numeric() or boolean):
        return _text_or_objects(series, name, keys, rows)
    integer = series.dtype.is_integer() or boolean
    kind = "boolean" if boolean else "number"
    if series.dtype.is_integer() and not series.null_count() and not keys:
        # Kept as integers: long identifiers do not fit into a float.
        return Column(name, series.to_numpy(), None, whole=True, kind=kind)
    values = series.cast(nw.Float64).to_numpy().astype(float)
    marked = np.isin(values, [each for each in keys if not isinstance(each, str)]) if keys else None
    if marked is not None:
        values = np.where(marked, np.nan, values)
    whole = integer or whole_with_gaps(values)
    return Column(name, values, None, whole=whole, kind=kind, marked=0 if marked is None else int(marked.sum()))


def _without(column: Column, markers: Sequence[Any]) -> Column:
    """Turn the cells of a column that hold a marker into missing ones."""
    keys = {key(marker) for marker in markers}
    if not keys:
        return column
    if column.labels is None:
        values = column.values.astype(float)
        marked = np.isin(values, [each for each in keys if not isinstance(each, str)])
        values = np.where(marked, np.nan, values)
        whole = column.whole or whole_with_gaps(values)
        return dataclasses.replace(column, values=values, whole=whole, marked=int(marked.sum()))
    marks = [key(label) in keys for label in column.labels]
    marked = int(np.array([*marks, False])[column.values].sum())
    places = np.where(marks, -1, np.cumsum(np.logical_not(marks)) - 1)
    labels = tuple(label for label, mark in zip(column.labels, marks, strict=True) if not mark)
    index = np.append(places, -1).astype(column.values.dtype)[column.values]
    return dataclasses.replace(column, values=index, labels=labels, marked=marked)


def all_whole(values: np.ndarray) -> bool:
    """Whether all values are finite whole numbers."""
    whole = lambda some: bool(np.isfinite(some).all() and (some % 1 == 0).all())  # noqa: E731
    # The first values identify most columns that are not whole.
    return whole(values[:1000]) and whole(values)


def whole_with_gaps(values: np.ndarray) -> bool:
    """Whether some values are missing (NaN), and all others whole: integers that a table stores as floats."""
    gone = np.isnan(values)
    if not gone.any():
        return False
    return all_whole(values[:1000][~gone[:1000]]) and all_whole(values[~gone])


def _text_or_objects(series: Any, name: str, keys: set[Any], rows: np.ndarray | None) -> Column:
    """Read a column of text, categories, dates or Python objects, by its few distinct values."""
    import pandas as pd

    native = series.to_native()
    try:
        index, distinct = pd.factorize(native if isinstance(native, pd.Series) else native.to_pandas())
    except TypeError:
        raise DataError(f"column {name!r} has values of type {series.dtype}; numbers or text are expected") from None
    values = list(distinct)
    marker = np.array([*(key(value) in keys for value in values), False], bool)
    marked = int(marker[index].sum()) if marker.any() else 0
    index = np.where(marker[index], -1, index) if marked else index
    kept = [k for k in range(len(values)) if not marker[k]]
    text = [k for k in kept if isinstance(values[k], str)]
    number = [k for k in kept if isinstance(values[k], _KINDS)]
    if text and number:
        first = sorted(int(np.argmax(np.isin(index, kind))) for kind in (text, number))
        row = Column(name, index, (), rows=rows).row
        both = " and ".join(f"{values[index[k]]!r} in row {row(k)}" for k in first)
        raise DataError(f"column {name!r} mixes text and numbers: {both}; make them all of one kind")
    if kept and len(number) == len(kept):
        return _of_numbers(name, [values[k] if k in set(number) else None for k in range(len(values))], index, marked)
    labels = [str(value) for value in values]
    ordered = bool(getattr(distinct, "ordered", False))
    # The categories say in which order the values come, and which may come. Otherwise a blank cell is a missing value.
    found = [str(value) for value in distinct.categories] if ordered else [labels[k] for k in kept if labels[k].strip()]  # type: ignore[union-attr]
    found = [label for label in found if key(label) not in keys]
    place = {label: k for k, label in enumerate(found)}
    places = np.array([*(place.get(label, -1) for label in labels), -1])
    kind = "text" if not kept or len(text) == len(kept) else str(type(values[kept[0]]).__name__)
    return Column(name, places[index], tuple(found), ordered=ordered, kind=kind, marked=marked)


def _of_numbers(name: str, values: list[Any], index: np.ndarray, marked: int) -> Column:
    """Make a column of Python's numbers, of which whole ones may be too long for a float."""
    here = [value for value in values if value is not None]
    if all(isinstance(value, numbers.Integral) for value in here) and max(abs(int(value)) for value in here) >= EXACT:
        known = {value: k for k, value in enumerate(dict.fromkeys(here))}
        places = np.array([*(-1 if value is None else known[value] for value in values), -1])
        return Column(name, places[index], tuple(map(str, known)), kind="number", marked=marked)
    known = np.array([np.nan if value is None else parsed(value) for value in values])
    kind = "boolean" if all(isinstance(value, bool | np.bool_) for value in here) else "number"
    whole = all_whole(known[~np.isnan(known)])
    return Column(name, np.append(known, np.nan)[index], None, whole=whole, kind=kind, marked=marked)


# -- single values ------------------------------------------------------------------------------------------------------


def parse(labels: Sequence[Any]) -> np.ndarray:
    """Convert text, or labels of any kind, to numbers; NaN where they are none.

    Examples
    --------
    >>> parse(["1", " 2.5", "left"]).tolist()
    [1.0, 2.5, nan]
    """
    return np.array([parsed(label) for label in labels], float)


def parsed(label: Any) -> float:
    """Convert one label to a number; NaN if it is none."""
    if isinstance(label, str):
        return float(label.strip(" \t\u00a0")) if _NUMBER.fullmatch(label.strip(" \t\u00a0")) else np.nan
    try:
        return float(label) if isinstance(label, _KINDS) else np.nan
    except OverflowError:
        return -np.inf if label < type(label)(0) else np.inf  # type: ignore[operator]


def key(label: Any) -> Any:
    """Key that is the same for labels which count as the same: 1, 1.0 and "1".

    Examples
    --------
    >>> key("1") == key(1.0), key("no response") == key("no response ")
    (True, True)
    """
    value = parsed(label)
    return str(label).strip() if np.isnan(value) else value
