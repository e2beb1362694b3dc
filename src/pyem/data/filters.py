"""Selection of a table's rows: those that fulfil a condition, and belong to a person who is not excluded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyem.data.columns import Column, open_table, read_columns, require
from pyem.data.conditions import fulfilled
from pyem.data.row_names import as_pandas, kept_rows
from pyem.errors import DataError, counted, list_of


def rows_that_count(
    frame: Any, people: Column, names: Sequence[str], *, where: str | None, exclude: Sequence[Any]
) -> tuple[np.ndarray | None, list[str]]:
    """Indices of the rows of a table that are used, None for all of them, and notes on the others.

    Parameters
    ----------
    frame
        The table.
    people
        Column of the people of the rows.
    names
        The columns of the model, without which a row that is nobody's is an instruction or empty.
    where
        A condition on its columns; see `pyem.data.conditions.fulfilled`.
    exclude
        Labels of people who are left out.

    Raises
    ------
    DataError
        If the condition cannot be understood, there is no such person, or nobody is left.
    """
    table = open_table(frame)
    require(table.columns, names, frame)
    keep = np.ones(len(table), bool)
    notes: list[str] = []
    if where is not None:
        keep &= fulfilled(table, where)
        notes += [_left_out(f"where {where}", keep, people)]
    nobody = keep & ~people.here
    if nobody.any():
        empty = nobody & _empty(table, names)
        keep &= ~empty
        notes += _nobody_notes(empty, people, table)
    if len(exclude):
        out = _of(people, exclude)
        notes += [
            f"excluded {list_of([str(label) for label in exclude])}: {_rows_and_people(out & keep, keep & ~out, people)}"
        ]
        keep &= ~out
    if not keep.any():
        raise DataError(f"no row of the table is left ({'; '.join(notes)}); say otherwise which rows count")
    return (None if keep.all() else np.flatnonzero(keep)), [note for note in notes if note]


def with_rows_that_count(
    frame: Any, subject: str, names: Sequence[str], *, where: str | None, exclude: Sequence[Any], trial: Sequence[str]
) -> Any:
    """Return a table without the rows that are not used, before rows are put together; see `rows_that_count`.

    `trial` are the columns that say which rows belong together: a condition that parts them gets a note.
    """
    rows, notes = rows_that_count(frame, read_columns(frame, [subject])[subject], names, where=where, exclude=exclude)
    if rows is None:
        return frame
    table = as_pandas(frame)
    parted = 0
    if where is not None and trial and set(trial) <= set(table.columns):
        keep = np.isin(np.arange(len(table)), rows)
        some = table[[*trial]].assign(keep=keep).groupby([*trial], observed=True)["keep"]
        parted = int((some.max() & ~some.min()).sum())
    if parted:
        notes.append(
            f"where {where}: in {counted(parted, 'trial')} it holds in some rows and not in others, which are left out before "
            "rows are joined; name a column that is filled in all rows of a trial, if that is not meant"
        )
    return kept_rows(frame, table.iloc[rows].reset_index(drop=True), rows, notes)


def _left_out(what: str, keep: np.ndarray, people: Column) -> str:
    return f"{what}: {_rows_and_people(~keep, keep, people)}"


def _rows_and_people(out: np.ndarray, keep: np.ndarray, people: Column) -> str:
    """Number of rows, and of people as a whole, that are left out."""
    named = people.here
    gone = np.setdiff1d(people.values[out & named], people.values[keep & named])
    everyone = len(np.unique(people.values[named]))
    lost = f"{len(gone)} of {counted(everyone, 'person', 'people')}"
    return f"{int(out.sum())} of {len(out)} rows are left out, and with them {lost}"


def _empty(table: Any, names: Sequence[str]) -> np.ndarray:
    """(row,): whether all of these columns are empty."""
    empty = np.ones(len(table), bool)
    for name in dict.fromkeys(names):
        missing = table[name].is_null().to_numpy().astype(bool)
        values = table[name].to_numpy()
        if values.dtype == object:
            missing = missing | np.array([isinstance(value, str) and not value.strip() for value in values], bool)
        elif values.dtype.kind == "f":
            missing = missing | np.isnan(values)
        empty &= missing
    return empty


def _nobody_notes(empty: np.ndarray, people: Column, table: Any) -> list[str]:
    if not empty.any():
        return []
    last = int(np.flatnonzero(people.here)[-1]) if people.here.any() else -1
    end = empty & (np.arange(len(empty)) > last)
    other = empty & ~end
    are = "is" if end.sum() == 1 else "are"
    notes = [f"{_dropped(end)} at the end of the table, which {are} of nobody"] if end.any() else []
    if other.any():
        first = people.row(int(np.argmax(other)))
        notes.append(
            f"{_dropped(other)} without a person and without a value of the model's columns, such as instructions, the first "
            f"in row {first}"
        )
    return notes


def _dropped(rows: np.ndarray) -> str:
    return f"dropped {counted(int(rows.sum()), 'row')}"


def _of(people: Column, labels: Sequence[Any]) -> np.ndarray:
    """(row,): whether a row belongs to one of these people."""
    distinct, index = np.unique(people.values[people.here], return_inverse=True)
    written = [_written(people, value) for value in distinct]
    unknown = [label for label in labels if str(label) not in written]
    if unknown:
        raise DataError(f"exclude= names {unknown[0]!r}, who is not in the table; its people are {list_of(written)}")
    out = np.zeros(len(people.values), bool)
    out[people.here] = np.isin(index, [written.index(str(label)) for label in labels])
    return out


def _written(people: Column, value: Any) -> str:
    if people.labels is not None:
        return people.labels[value]
    return str(int(value)) if float(value).is_integer() else str(value)
