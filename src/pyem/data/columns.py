"""Columns of tables at the edge of the library, as numbers, labels or codes.

Errors say what was found, where (subject and row, counted from 1 below the header), what was expected and what to do.
"""

from __future__ import annotations

import dataclasses
import decimal
import difflib
import numbers
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyem.errors import DataError

CODED = ("choice", "action")
OPTION = "option_"
"""Fields of these names, or that begin so, are options: their values are always coded 0, 1, ..."""


Where = Callable[[int], str]
"""Says whose row it is, for messages: ``"for subject 's1' (row 7)"``."""


_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_KINDS = numbers.Real | decimal.Decimal | np.bool_
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")


def is_coded(field: str) -> bool:
    """Whether a field holds options, by its name.

    Examples
    --------
    >>> is_coded("choice"), is_coded("option_left"), is_coded("reward")
    (True, True, False)
    """
    return field in CODED or field.startswith(OPTION)


# -- columns ------------------------------------------------------------------------------------------------------------


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
    """

    name: str
    values: np.ndarray
    labels: tuple[str, ...] | None
    whole: bool = False
    ordered: bool = False

    @property
    def here(self) -> np.ndarray:
        """(row,): where there is a value."""
        return ~np.isnan(self.values) if self.labels is None else self.values >= 0


def read_columns(frame: Any, names: Sequence[str]) -> dict[str, Column]:
    """The named columns of a pandas, polars or Arrow table.

    Raises
    ------
    DataError
        If it is no table, has no rows, lacks a column, or a column mixes text and numbers.
    """
    import narwhals as nw

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
    _require(table.columns, names, frame)
    return {name: _column(table[name], name) for name in dict.fromkeys(names)}


def _require(columns: Sequence[Any], names: Sequence[str], frame: Any) -> None:
    missing = [name for name in dict.fromkeys(names) if name not in columns]
    if not missing:
        return
    known = [str(column) for column in columns]
    near = [near for name in missing for near in difflib.get_close_matches(str(name).strip(), known, 1, 0.75)]
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else "; name one of these"
    if set(missing) & set(getattr(getattr(frame, "index", None), "names", ())):
        hint = "; it is in the index: call reset_index() first"
    raise DataError(
        f"there is no column {', '.join(map(repr, missing))}; the table has {', '.join(map(repr, columns))}{hint}"
    )


def _column(series: Any, name: str) -> Column:
    import narwhals as nw

    if not (series.dtype.is_numeric() or series.dtype == nw.Boolean):
        return _text_or_objects(series, name)
    integer = series.dtype.is_integer() or series.dtype == nw.Boolean
    if series.dtype.is_integer() and not series.null_count():
        # Kept as integers: long identifiers do not fit into a float.
        return Column(name, series.to_numpy(), None, whole=True)
    values = series.cast(nw.Float64).to_numpy().astype(float)
    gone = np.isnan(values)
    return Column(name, values, None, whole=integer or bool(gone.any() and _all_whole(values[~gone])))


def _all_whole(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values % 1 == 0).all())


def _text_or_objects(series: Any, name: str) -> Column:
    """A column of text, categories, dates or Python objects, by its few distinct values."""
    import pandas as pd

    native = series.to_native()
    try:
        index, distinct = pd.factorize(native if isinstance(native, pd.Series) else native.to_pandas())
    except TypeError:
        raise DataError(f"column {name!r} has values of type {series.dtype}; numbers or text are expected") from None
    values = list(distinct)
    text = [isinstance(value, str) for value in values]
    number = [isinstance(value, _KINDS) for value in values]
    if any(text) and any(number):
        rows = sorted(int(np.argmax(index == kind.index(True))) for kind in (text, number))
        both = " and ".join(f"{values[index[row]]!r} in row {row + 1}" for row in rows)
        raise DataError(f"column {name!r} mixes text and numbers: {both}; make them all of one kind")
    if values and all(number):
        known = np.array([float(value) for value in values])
        return Column(name, np.append(known, np.nan)[index], None, whole=_all_whole(known))
    labels = [str(value) for value in values]
    ordered = bool(getattr(distinct, "ordered", False))
    # The categories say in which order the values come, and which may come. Otherwise a blank cell is a missing value.
    kept = [str(value) for value in distinct.categories] if ordered else [label for label in labels if label.strip()]  # type: ignore[union-attr]
    place = {label: k for k, label in enumerate(kept)}
    places = np.array([*(place.get(label, -1) for label in labels), -1])
    return Column(name, places[index], tuple(kept), ordered=ordered)


# -- what a column is used as -------------------------------------------------------------------------------------------


def as_numbers(column: Column, where: Where) -> tuple[np.ndarray, bool]:
    """Values as float64, NaN where missing, and whether they are whole numbers in the table.

    Raises
    ------
    DataError
        If a value is infinite, or text that is no number.
    """
    if column.labels is None:
        values, whole = column.values.astype(float, copy=False), column.whole
    else:
        parsed = parse(column.labels)
        text = np.flatnonzero(np.isnan(parsed))
        if len(text):
            row = int(np.argmax(np.isin(column.values, text)))
            value = column.labels[column.values[row]]
            comma = "; write decimals with a point" if _DECIMAL_COMMA.fullmatch(value) else ""
            raise DataError(
                f"column {column.name!r} has the text {value!r} {where(row)}, where numbers are expected{comma}; "
                "correct it, or leave the cell empty if the value is missing"
            )
        values, whole = np.append(parsed, np.nan)[column.values], _all_whole(parsed)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise DataError(
            f"column {column.name!r} has an infinite value {where(int(infinite[0]))}, where finite numbers are expected; "
            "correct it, or leave the cell empty if the value is missing"
        )
    return values, whole


def parse(labels: Sequence[Any]) -> np.ndarray:
    """Text, or labels of any kind, as numbers; NaN where they are none.

    Examples
    --------
    >>> parse(["1", " 2.5", "left"]).tolist()
    [1.0, 2.5, nan]
    """
    return np.array([_parsed(label) for label in labels], float)


def _parsed(label: Any) -> float:
    if isinstance(label, str):
        return float(label) if _NUMBER.fullmatch(label) else np.nan
    return float(label) if isinstance(label, _KINDS) else np.nan


def as_labels(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """Distinct labels in order of appearance (or of an ordered categorical), and the index of each row's.

    Raises
    ------
    DataError
        If a value is missing.
    """
    import pandas as pd

    missing = np.flatnonzero(~column.here)
    if len(missing):
        raise DataError(
            f"column {column.name!r} has no value in row {missing[0] + 1} ({len(missing)} such rows in all); every row "
            "needs one, fill it in"
        )
    if column.labels is not None:
        # A categorical may have categories that do not occur.
        used, index = np.unique(column.values, return_inverse=True)
        return np.array(column.labels, object)[used], index
    index, found = pd.factorize(column.values)
    distinct = np.asarray(found)
    return distinct.astype(int) if _all_whole(distinct) and column.values.dtype.kind == "f" else distinct, index


def as_codes(
    columns: Sequence[Column], field: str, given: Sequence[Any] | None, where: Where
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Codes (row, column) from 0, -1 where missing, and the label of each code.

    Parameters
    ----------
    columns
        Several columns share their codes.
    field
        What they are to the model, for messages.
    given
        The labels in order; inferred if None.
    where
        Says whose row it is.

    Raises
    ------
    DataError
        If a value has no place among the given labels, or codes cannot be inferred.
    """
    parts = [_distinct(column) for column in columns]
    keys = [[_key(label) for label in labels] for labels, _ in parts]
    if given is None:
        found = _infer(columns, parts, keys, field, where)
    else:
        found = tuple(label.item() if isinstance(label, np.generic) else label for label in given)
    place = {_key(label): code for code, label in enumerate(found)}
    if len(place) < len(found):
        raise DataError(f"codes of {field!r} are {list(found)}; each label should be there once")
    out = []
    for column, (labels, index), known in zip(columns, parts, keys, strict=True):
        unknown = [k for k, key in enumerate(known) if key not in place]
        if unknown:
            row = int(np.argmax(np.isin(index, unknown)))
            raise DataError(
                f"column {column.name!r} has {labels[index[row]]!r} {where(row)}, which is not among the codes "
                f"{list(found)} of {field!r}; correct it, add it to codes, or leave the cell empty if it is missing"
            )
        out.append(np.array([*(place[key] for key in known), -1], np.int32)[index])
    return np.stack(out, axis=1), found


def _key(label: Any) -> Any:
    """What makes two labels the same: 1, 1.0 and "1" are."""
    value = _parsed(label)
    return str(label) if np.isnan(value) else value


def _distinct(column: Column) -> tuple[list[Any], np.ndarray]:
    import pandas as pd

    if column.labels is not None:
        return list(column.labels), column.values
    index, distinct = pd.factorize(column.values)
    known = [float(value) for value in distinct]
    return [int(value) if value.is_integer() else value for value in known], index


def _infer(
    columns: Sequence[Column],
    parts: list[tuple[list[Any], np.ndarray]],
    keys: list[list[Any]],
    field: str,
    where: Where,
) -> tuple[Any, ...]:
    """The labels in order: numbers from 0 or 1 with all between them, text sorted, categories in their own order."""
    text, number = (
        [(c, k) for c, known in enumerate(keys) for k, key in enumerate(known) if isinstance(key, str) is kind]
        for kind in (True, False)
    )
    said = lambda c, k: f"{parts[c][0][k]!r} {where(int(np.argmax(parts[c][1] == k)))}"  # noqa: E731
    names = " and ".join(repr(column.name) for column in columns)
    if text and number and not columns[0].ordered:
        raise DataError(
            f"column {names} mixes text and numbers: {said(*number[0])} and {said(*text[0])}; make them all of one kind, "
            f"leave cells empty where the value is missing, or pass codes={{{field!r}: [<labels in order>]}}"
        )
    if columns[0].ordered:
        return tuple(dict.fromkeys(label for column in columns for label in column.labels or ()))
    if text:
        return tuple(sorted({keys[c][k] for c, k in text}, key=natural))
    for c, k in number:
        if keys[c][k] % 1 != 0:
            raise DataError(f"column {names} has {said(c, k)}, but {field!r} needs whole numbers or text; recode it")
    return _whole_labels(sorted({int(keys[c][k]) for c, k in number}), names, field)


def _whole_labels(values: list[int], names: str, field: str) -> tuple[int, ...]:
    give = f"pass codes={{{field!r}: [<labels in order>]}} (--codes on the command line)"
    if values == [1]:
        raise DataError(
            f"column {names} has the one value 1, so it cannot be told whether codes start at 0 or 1; {give}, for example "
            "[0, 1]"
        )
    if values and values[0] < 0 and values != [-1, 1]:
        raise DataError(
            f"column {names} has the negative code {values[0]} among {', '.join(map(str, values[:6]))}; if it marks a "
            f"missing value, leave the cell empty; if it is an option, {give}"
        )
    if values and values[0] in (0, 1) and values[-1] < 1000:
        # Options that nobody chose keep their place.
        return tuple(range(values[0], values[-1] + 1))
    return tuple(values)


def natural(label: Any) -> tuple[Any, ...]:
    """A key that sorts numbers inside text by value: ``"block2"`` before ``"block10"``.

    Examples
    --------
    >>> sorted(["block10", "block2"], key=natural)
    ['block2', 'block10']
    """
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", str(label)))
