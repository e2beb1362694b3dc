"""Tables with several rows for a trial, such as one for the choice and one for the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.columns import Where, columns_told
from pyem.data.row_names import as_pandas, kept_rows, row_name
from pyem.errors import DataError, counted, shown

if TYPE_CHECKING:
    import pandas as pd

ORDER = "order"
"""Value of ``join_rows_by`` if no column tells the trials apart."""


def require_whole_rows(present: Mapping[str, np.ndarray], response: str | None, where: Where) -> None:
    """Raise a DataError if the response is never in the same row as another column, although both have values.

    Parameters
    ----------
    present
        Whether each row has a value, (row,), by field.
    response
        The field that says what was done, if it is known.
    where
        Says whose row it is.
    """
    if response is None or not present[response].any():
        return
    for name, here in present.items():
        if name != response and here.any() and not (here & present[response]).any():
            one, other = int(np.argmax(present[response])), int(np.argmax(here))
            raise DataError(
                f"{response!r} and {name!r} are never in the same row: the first {response!r} is {where(one)}, the first "
                f"{name!r} {where(other)}. Each trial seems to be spread over several rows; pass join_rows_by='trial', "
                "with the name of the column that has the same value in all rows of a trial, or, if there is none, "
                "join_rows_by='order' (--join-rows-by on the command line)"
            )


def joined_rows(frame: Any, by: str | Sequence[str], *, lanes: Sequence[str], used: Sequence[str]) -> pd.DataFrame:
    """A table with one row for each trial, from one that has several.

    Parameters
    ----------
    frame
        The table.
    by
        The column, or columns, with the same value in all rows of a trial of a person and block; or ``"order"``: a trial
        goes on until a row has a value in a column that already has one.
    lanes
        The columns of people and blocks.
    used
        The columns that are read. Each has one value in a trial; of others the first value is kept.

    Raises
    ------
    DataError
        If a column is missing, a row belongs to no trial, or a trial has two values of a column.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"id": "s1", "trial": [1, 1, 2, 2], "choice": [0, None, 1, None], "win": [None, 1, None, 0]})
    >>> joined_rows(frame, "trial", lanes=["id"], used=["choice", "win"])[["choice", "win"]].to_numpy().tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    table = as_pandas(frame)
    keys = [by] if isinstance(by, str) else list(by)
    ordered = keys == [ORDER] and ORDER not in table.columns
    for name in (*lanes, *([] if ordered else keys)):
        if name not in table.columns:
            raise DataError(
                f"join_rows_by={by!r}: there is no column {name!r}; the table has {columns_told(list(table.columns))}"
            )
    used = [name for name in dict.fromkeys(used) if name in table.columns and name not in (*lanes, *keys)]
    told = table[used].notna().to_numpy() & ~_blank(table[used])
    kept = told.any(1)
    # A missed response has no value, but the trial is kept if some column numbers it.
    kept |= np.zeros(len(table), bool) if ordered else table[keys].notna().all(axis=1).to_numpy()
    trial = _in_order(table, lanes, told) if ordered else _numbered(table, [*lanes, *keys], kept)
    return _together(table, trial, kept, used, told, "order" if ordered else f"column {', '.join(map(repr, keys))}")


def _blank(table: pd.DataFrame) -> np.ndarray:
    blank = np.zeros(table.shape, bool)
    for k, name in enumerate(table.columns):
        if table[name].dtype == object or str(table[name].dtype).startswith(("str", "category")):
            blank[:, k] = table[name].astype(str).str.strip().eq("").to_numpy()
    return blank


def _numbered(table: pd.DataFrame, columns: list[str], kept: np.ndarray) -> np.ndarray:
    """Number of the trial of each row, (row,)."""
    gone = np.flatnonzero(kept & np.asarray(table[columns].isna()).any(1))
    if len(gone):
        name = next(name for name in columns if table[name].isna().iloc[gone[0]])
        raise DataError(
            f"column {name!r} has no value in row {row_name(table)(int(gone[0]))} ({counted(len(gone), 'such row')} in all), "
            "so its trial is not known; fill it in"
        )
    return table.groupby(columns, sort=False, dropna=False, observed=True).ngroup().to_numpy()


def _in_order(table: pd.DataFrame, lanes: Sequence[str], told: np.ndarray) -> np.ndarray:
    lane = table.groupby(list(lanes), sort=False, dropna=False, observed=True).ngroup().to_numpy()
    trial, seen, last = np.zeros(len(table), int), {}, -1
    number: dict[int, int] = {}
    for row in range(len(table)):
        before = seen.get(lane[row])
        if before is None or (before & told[row]).any():
            last += 1
            number[lane[row]], seen[lane[row]] = last, told[row]
        else:
            seen[lane[row]] = before | told[row]
        trial[row] = number[lane[row]]
    return trial


def _together(
    table: pd.DataFrame, trial: np.ndarray, kept: np.ndarray, used: list[str], told: np.ndarray, how: str
) -> pd.DataFrame:
    some: Any = table[kept].copy()
    some[used] = some[used].where(told[kept])
    number = trial[kept]
    _one_value(table, some, number, used, np.flatnonzero(kept))
    _, first = np.unique(number, return_index=True)
    order = np.argsort(first)
    whole = some.groupby(number, sort=True).first().iloc[order].reset_index(drop=True)
    rows = np.flatnonzero(kept)[first[order]]
    dropped = int((~kept).sum())
    notes = [
        f"rows were joined by {how}: {len(some)} rows are {counted(len(whole), 'trial')}"
        + (
            f"; {counted(dropped, 'row')} without a value of any column that is read "
            f"{'was' if dropped == 1 else 'were'} left out"
            if dropped
            else ""
        )
    ]
    return kept_rows(table, whole, rows, notes)


def _one_value(table: pd.DataFrame, some: pd.DataFrame, number: np.ndarray, used: list[str], rows: np.ndarray) -> None:
    """Raise a DataError where a trial has two different values of a column."""
    several: Any = some[used].groupby(number, sort=True).nunique()
    for name in used:
        if (several[name] > 1).any():
            here = np.flatnonzero((number == several.index[int(np.argmax(several[name] > 1))]) & some[name].notna())
            one, other = here[0], here[np.argmax(some[name].iloc[here] != some[name].iloc[here[0]])]
            say = row_name(table)
            raise DataError(
                f"column {name!r} has two values in one trial: {shown(some[name].iloc[one])} in row {say(int(rows[one]))} and "
                f"{shown(some[name].iloc[other])} in row {say(int(rows[other]))}; correct them, or join the rows by a column "
                "that tells these trials apart"
            )
