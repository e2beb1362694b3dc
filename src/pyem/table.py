"""From a long table to lanes: reading, checking, coding. Errors say what was found, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np


class DataError(ValueError):
    """The data are not what was expected; the message names the column, the subject and the remedy."""


CODED = ("choice", "action")


def read_table(path: str | Path, *, separator: str | None = None) -> Any:
    """A table from a CSV, TSV or Parquet file, as pandas.

    Raises
    ------
    DataError
        If the file is missing, empty, unreadable, or of an unknown kind.
    """
    import pandas as pd

    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file {str(path)!r}; check the path")
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; give the path of a CSV, TSV or Parquet file")
    kind = path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    if kind not in ("csv", "tsv", "txt", "parquet", "pq"):
        raise DataError(f"{str(path)!r} ends in .{kind}; expected .csv, .tsv, .txt or .parquet")
    try:
        if kind in ("parquet", "pq"):
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, sep=separator or ("\t" if kind == "tsv" else ","), float_precision="round_trip")
    except pd.errors.EmptyDataError:
        raise DataError(f"{str(path)!r} is empty; it should have a header and a row for each trial") from None
    except (OSError, ValueError, UnicodeError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise DataError(f"{str(path)!r} could not be read: {first}; save it again as CSV in UTF-8") from None
    if frame.shape[0] == 0:
        raise DataError(f"{str(path)!r} has a header and no rows; it should have a row for each trial")
    if frame.shape[1] == 1 and any(mark in str(frame.columns[0]) for mark in ";\t|,"):
        header = str(frame.columns[0])
        mark = next(mark for mark in ";\t|," if mark in header)
        raise DataError(
            f"{str(path)!r} has one column named {header!r}; its delimiter seems to be {mark!r}: "
            f"pass separator={mark!r} (--separator on the command line)"
        )
    return frame


def table_columns(frame: Any) -> dict[str, nw.Series[Any]]:
    """The columns of a pandas, polars or Arrow table, by name.

    Raises
    ------
    DataError
        If it is no table, has no rows, or has two columns of the same name.
    """
    try:
        table = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise DataError(f"expected a pandas, polars or Arrow table, but was given {type(frame).__name__}") from None
    except nw.exceptions.DuplicateError as error:
        raise DataError(f"two columns have the same name; rename one ({str(error).splitlines()[0]})") from None
    if len(table) == 0:
        raise DataError("the table has no rows; it should have a row for each trial")
    return {name: table[name] for name in table.columns}


def lanes_from_frame(
    frame: Any,
    *,
    subject: str,
    columns: Mapping[str, str | Sequence[str]],
    block: list[str],
    trial: str | None,
    codes: dict[str, Sequence[Any] | None],
    covariates: list[str],
    missing_outcome: str,
) -> dict[str, Any]:
    """The parts of a `Dataset`, from a long table. See `Dataset.from_frame`."""
    if missing_outcome not in ("skip", "error"):
        raise ValueError(f"missing_outcome={missing_outcome!r}; expected 'skip' or 'error'")
    table = table_columns(frame)
    _require(table, [subject, *block, *([trial] if trial else []), *_flat(columns.values()), *covariates])
    _known_codes(codes, columns)

    subjects, who = _labels(table[subject], subject)
    names = subjects[who]
    blocks, which = _blocks(table, block, names)
    order_labels = None if trial is None else _order_labels(table[trial], trial, names)
    rows = np.arange(len(who))
    order = np.lexsort((rows if order_labels is None else order_labels, which, who))
    notes = _order_notes(who, which, order, order_labels, trial, names)
    _no_duplicates(who, which, order_labels, order, names, trial, block)

    lane_starts = np.flatnonzero(np.diff(who[order], prepend=-1) | np.diff(which[order], prepend=-1))
    lengths = np.diff(np.append(lane_starts, len(order)))
    lane = np.repeat(np.arange(len(lane_starts)), lengths)
    position = np.arange(len(order)) - np.repeat(lane_starts, lengths)
    shape = (int(lengths.max()), len(lane_starts))

    def scatter(values: np.ndarray, fill: Any = 0) -> np.ndarray:
        out = np.empty((shape[0], *values.shape[1:], shape[1]), values.dtype)
        np.moveaxis(out, -1, 1)[...] = fill
        np.moveaxis(out, -1, 1)[position, lane] = values[order]
        return out

    fields, present, labels = {}, {}, {}
    for name, source in columns.items():
        values, here, found = _field(table, name, source, codes, names)
        # Padding and missing values are filled with a value that was seen, so that every function of them is finite.
        fill = values[np.argmax(here)]
        values[~here] = fill
        fields[name], present[name] = scatter(values, fill), scatter(here)
        if found is not None:
            labels[name] = found
            notes.append(f"{name}: " + ", ".join(f"{label!r} is {code}" for code, label in enumerate(found)))
    real = np.ones(len(order), bool)
    notes += _missing_notes(columns, present, scatter(real), missing_outcome)
    first = order[lane_starts]
    _no_empty_subject(columns, present, who[first], subjects)
    return {
        "fields": fields,
        "present": present,
        "valid": scatter(real),
        "lane_subject": who[first],
        "lane_block": blocks[which[first]],
        "subjects": subjects,
        "covariates": {name: _covariate(table[name], name, who, subjects) for name in covariates},
        "codes": labels,
        "trial": None if order_labels is None else scatter(order_labels),
        "notes": tuple(notes),
    }


# -- columns ------------------------------------------------------------------------------------------------------------


def _flat(sources: Any) -> list[str]:
    return [name for source in sources for name in ([source] if isinstance(source, str) else source)]


def _require(table: Mapping[str, Any], names: Sequence[str]) -> None:
    missing = [name for name in dict.fromkeys(names) if name not in table]
    if missing:
        raise DataError(
            f"there is no column {', '.join(map(repr, missing))}; the table has {', '.join(map(repr, table))}"
        )


def _known_codes(codes: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
    unknown = [name for name in codes if name not in columns]
    if unknown:
        raise DataError(f"codes are given for {unknown}, but the mapped columns are {list(columns)}")


def as_objects(series: nw.Series[Any]) -> np.ndarray:
    """Values as Python objects, None where missing."""
    values = np.array(series.to_list(), dtype=object)
    gone = np.array([value is None or value is nw.Series or value != value for value in values], bool)
    values[gone] = None
    return values


def as_numbers(series: nw.Series[Any], name: str, names: np.ndarray) -> np.ndarray:
    """Values as float64, NaN where missing.

    Raises
    ------
    DataError
        If a value is text or infinite.
    """
    if series.dtype.is_numeric() or series.dtype == nw.Boolean:
        values = series.cast(nw.Float64).to_numpy().astype(float)
    else:
        objects = as_objects(series)
        values = np.array([_number(value) for value in objects])
        text = [k for k, value in enumerate(objects) if value is not None and values[k] != values[k]]
        if text:
            k = text[0]
            raise DataError(
                f"column {name!r} has the text {objects[k]!r} for subject {str(names[k])!r} (row {k + 1}), where numbers "
                "are expected; correct it, or leave the cell empty if the value is missing"
            )
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        k = infinite[0]
        raise DataError(
            f"column {name!r} has an infinite value for subject {str(names[k])!r} (row {k + 1}); correct it, or leave the "
            "cell empty if the value is missing"
        )
    return values


def _number(value: Any) -> float:
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError):
        return float("nan")


def _is_text(series: nw.Series[Any]) -> bool:
    return not (series.dtype.is_numeric() or series.dtype == nw.Boolean)


def as_labels(series: nw.Series[Any], name: str) -> np.ndarray:
    """Values as one kind of label: all text or all numbers.

    Raises
    ------
    DataError
        If a value is missing, or text and numbers are mixed.
    """
    if not _is_text(series):
        values = series.to_numpy()
        if values.dtype.kind == "f":
            if np.isnan(values).any():
                row = int(np.flatnonzero(np.isnan(values))[0]) + 1
                raise DataError(f"column {name!r} has no value in row {row}; every row needs one")
            if (values % 1 == 0).all():
                values = values.astype(int)
        return values
    objects = as_objects(series)
    _one_kind(objects, name)
    empty = [k for k, value in enumerate(objects) if value is None]
    if empty:
        raise DataError(f"column {name!r} has no value in row {empty[0] + 1}; every row needs one")
    return objects


def _one_kind(objects: np.ndarray, name: str) -> None:
    kinds = {isinstance(value, str): k for k, value in reversed(list(enumerate(objects))) if value is not None}
    if len(kinds) > 1:
        text, number = kinds[True], kinds[False]
        raise DataError(
            f"column {name!r} mixes text and numbers: {objects[text]!r} in row {text + 1}, {objects[number]!r} in row "
            f"{number + 1}; make them all of one kind"
        )


def _labels(series: nw.Series[Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Distinct labels in order of appearance, and the index of each row's."""
    values = as_labels(series, name)
    distinct, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return distinct[order], rank[inverse]


def _blocks(table: Mapping[str, nw.Series[Any]], block: list[str], names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not block:
        return np.zeros(1, int), np.zeros(len(names), int)
    parts = [_labels(table[name], name) for name in block]
    if len(parts) == 1:
        return parts[0]
    keys = np.stack([index for _, index in parts], axis=1)
    distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
    labels = ["/".join(str(part[0][k]) for part, k in zip(parts, key, strict=True)) for key in distinct]
    return np.array(labels, object), inverse.reshape(-1)


def _order_labels(series: nw.Series[Any], name: str, names: np.ndarray) -> np.ndarray:
    values = as_numbers(series, name, names)
    if np.isnan(values).any():
        k = int(np.flatnonzero(np.isnan(values))[0])
        raise DataError(f"column {name!r} has no value for subject {str(names[k])!r} (row {k + 1}); number every trial")
    return values.astype(int) if (values % 1 == 0).all() else values


def as_codes(
    series: nw.Series[Any], name: str, column: str, labels: Sequence[Any] | None, names: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[Any, ...]]:
    """Codes from 0, where they are present, and the label of each code.

    Raises
    ------
    DataError
        If a value is no whole number, or has no place in the given labels.
    """
    if _is_text(series):
        objects = as_objects(series)
        _one_kind(objects, column)
        here = np.array([value is not None for value in objects], bool)
    else:
        values = as_numbers(series, column, names)
        here = ~np.isnan(values)
        fraction = np.flatnonzero(here & (np.where(here, values, 0) % 1 != 0))
        if labels is None and len(fraction):
            k = fraction[0]
            raise DataError(
                f"column {column!r} has {values[k]:g} for subject {str(names[k])!r} (row {k + 1}), but {name} needs whole "
                "numbers or text; recode it"
            )
        objects = values
    found = _inferred_labels(objects[here], name, column) if labels is None else tuple(labels)
    index = {label: code for code, label in enumerate(found)}
    codes = np.zeros(len(objects), np.int32)
    distinct, inverse = np.unique(objects[here], return_inverse=True)
    unknown = [value for value in distinct if value not in index]
    if unknown:
        k = int(np.flatnonzero(here)[np.flatnonzero(distinct[inverse] == unknown[0])[0]])
        raise DataError(
            f"column {column!r} has {unknown[0]!r} for subject {str(names[k])!r} (row {k + 1}), which is not among the "
            f"codes {list(found)}; recode it or add it to codes"
        )
    codes[here] = np.array([index[value] for value in distinct], np.int32)[inverse] if len(distinct) else 0
    return codes, here, found


def _inferred_labels(values: np.ndarray, name: str, column: str) -> tuple[Any, ...]:
    distinct = np.unique(values)
    if values.dtype == object or len(distinct) == 0:
        return tuple(distinct)
    low, high = int(distinct[0]), int(distinct[-1])
    if low == high == 1:
        raise DataError(
            f"column {column!r} has the one value 1, so it cannot be told whether codes start at 0 or 1; "
            f"pass codes={{{name!r}: [0, 1]}} or the like (--codes on the command line)"
        )
    if low in (0, 1):
        return tuple(range(low, high + 1))
    return tuple(int(value) for value in distinct)


def _field(
    table: Mapping[str, nw.Series[Any]],
    name: str,
    source: str | Sequence[str],
    codes: Mapping[str, Sequence[Any] | None],
    names: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, tuple[Any, ...] | None]:
    if not isinstance(source, str):
        values = np.stack([as_numbers(table[column], column, names) for column in source], axis=1)
        return np.nan_to_num(values), np.logical_not(np.isnan(values).any(1)), None
    series = table[source]
    if name in codes or name in CODED or (_is_text(series) and _really_text(series, source)):
        return as_codes(series, name, source, codes.get(name), names)
    values = as_numbers(series, source, names)
    here = ~np.isnan(values)
    whole = series.dtype.is_integer() or series.dtype == nw.Boolean
    small = whole and np.abs(np.where(here, values, 0)).max(initial=0) < 2**31
    return np.where(here, values, 0).astype(np.int32 if small else np.float64), here, None


def _really_text(series: nw.Series[Any], column: str) -> bool:
    objects = as_objects(series)
    _one_kind(objects, column)
    return any(isinstance(value, str) for value in objects)


def _covariate(series: nw.Series[Any], name: str, who: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """One number for each subject; the second of two text values is 1."""
    text = _is_text(series) and _really_text(series, name)
    if text:
        values, here, labels = as_codes(series, name, name, None, subjects[who])
        if len(labels) > 2:
            raise DataError(
                f"covariate {name!r} has {len(labels)} values as text ({', '.join(map(str, labels[:4]))}, ...); "
                "make a 0/1 column for each but one of them"
            )
        values = np.where(here, values, np.nan)
    else:
        values = as_numbers(series, name, subjects[who])
    first = np.full(len(subjects), -1)
    first[who[::-1]] = np.arange(len(who))[::-1]
    out = values[first].astype(float)
    if np.isnan(out).any():
        gone = subjects[np.isnan(out)]
        raise DataError(
            f"covariate {name!r} is missing for subject {str(gone[0])!r} ({len(gone)} in all); fill it in, or leave these "
            "subjects out of the table"
        )
    varies = np.flatnonzero(values != out[who])
    if len(varies):
        k = varies[0]
        raise DataError(
            f"covariate {name!r} varies within subject {str(subjects[who[k]])!r} ({out[who[k]]:g} and {values[k]:g}); "
            "a covariate has one value for each subject: correct it, or map it as a column of the model"
        )
    return out


# -- order, duplicates, missing values ----------------------------------------------------------------------------------


def _order_notes(
    who: np.ndarray,
    which: np.ndarray,
    order: np.ndarray,
    labels: np.ndarray | None,
    trial: str | None,
    names: np.ndarray,
) -> list[str]:
    if labels is None:
        return []
    in_file = np.lexsort((np.arange(len(who)), which, who))
    moved = np.flatnonzero(in_file != order)
    if not len(moved):
        return []
    return [f"rows were sorted by {trial!r}: those of subject {str(names[order[moved[0]]])!r} were out of order"]


def _no_duplicates(
    who: np.ndarray,
    which: np.ndarray,
    labels: np.ndarray | None,
    order: np.ndarray,
    names: np.ndarray,
    trial: str | None,
    block: list[str],
) -> None:
    if labels is None:
        return
    keys = np.stack([who[order].astype(float), which[order].astype(float), labels[order].astype(float)])
    same = np.flatnonzero((keys[:, 1:] == keys[:, :-1]).all(0))
    if len(same):
        k = order[same[0] + 1]
        hint = "remove the duplicate" if block else "remove the duplicate, or name the column of the blocks with block="
        raise DataError(f"subject {str(names[k])!r} has trial {labels[k]} twice ({trial!r}, row {k + 1}); {hint}")


def _missing_notes(
    columns: Mapping[str, Any], present: Mapping[str, np.ndarray], valid: np.ndarray, missing_outcome: str
) -> list[str]:
    response = next((name for name in CODED if name in present), None)
    notes = []
    for name, here in present.items():
        gone = int((valid & ~here).sum())
        if not gone:
            continue
        if name == response:
            notes.append(f"{gone} trials have no {name}: they count no likelihood and teach nothing")
            continue
        among = int((valid & ~here & present[response]).sum()) if response else gone
        text = f"column {columns[name]!r} is missing in {among} trials that have a response"
        if among and missing_outcome == "error":
            raise DataError(f"{text}; fill it in, or pass missing_outcome='skip' to let these trials teach nothing")
        if among:
            notes.append(f"{text}: they count in the likelihood where the model only learns from it, and teach nothing")
    return notes


def _no_empty_subject(
    columns: Mapping[str, Any], present: Mapping[str, np.ndarray], lane_subject: np.ndarray, subjects: np.ndarray
) -> None:
    response = next((name for name in CODED if name in present), None)
    if response is None:
        return
    counts = np.bincount(lane_subject, present[response].sum(0), len(subjects))
    empty = subjects[counts == 0]
    if len(empty):
        raise DataError(
            f"subject {str(empty[0])!r} has no trial with a value in column {columns[response]!r} ({len(empty)} such in "
            "all); remove the subject from the table or correct the column"
        )
