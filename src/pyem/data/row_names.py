"""Names of a table's rows for messages, when it was put together from several files or several rows a trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyem.errors import shown

ROWS, NOTES = "pyem.rows", "pyem.notes"
"""Keys in a table's `attrs` for the names of its rows, and for notes on how it was made."""


@dataclasses.dataclass(frozen=True, eq=False)
class RowNames:
    """Origin of the rows of a table: file and row number.

    Parameters
    ----------
    row
        Row in its file, from 0, (row,).
    file
        Index of its file, (row,).
    files
        Names of the files; none if the table was not read from several.
    """

    row: np.ndarray
    file: np.ndarray
    files: tuple[str, ...] = ()

    def __call__(self, k: int) -> str:
        """The name of row `k`, counted from 1 below the header of its file."""
        number = str(int(self.row[k]) + 1)
        return f"{number} of {shown(self.files[self.file[k]])}" if self.files else number

    def some(self, rows: np.ndarray) -> RowNames:
        """Names of some of the rows."""
        return RowNames(self.row[rows], self.file[rows], self.files)


def row_names(frame: Any) -> RowNames | None:
    """Names of the rows of a pandas table, or None if its own numbers will do."""
    return frame.attrs.get(ROWS) if hasattr(frame, "attrs") else None


def row_name(frame: Any) -> Callable[[int], str]:
    """Return a function that gives the name of a row of a table.

    Examples
    --------
    >>> row_name(None)(6)
    '7'
    """
    names = row_names(frame)
    return (lambda k: str(k + 1)) if names is None else names


def kept_rows(frame: Any, part: Any, rows: np.ndarray, notes: Sequence[str] = ()) -> Any:
    """Give `part`, which has some rows of `frame`, the names of these rows and notes on how it was made."""
    names = row_names(frame) or RowNames(np.arange(len(frame)), np.zeros(len(frame), int))
    part.attrs = {**getattr(frame, "attrs", {}), ROWS: names.some(rows)}
    part.attrs[NOTES] = [*part.attrs.get(NOTES, ()), *notes]
    return part


def table_notes(frame: Any) -> list[str]:
    """Notes on how a table was put together."""
    return list(frame.attrs.get(NOTES, ())) if hasattr(frame, "attrs") else []


def as_pandas(frame: Any) -> Any:
    """Convert a pandas, polars or Arrow table to a pandas table with a plain index."""
    import narwhals as nw
    import pandas as pd

    table = frame if isinstance(frame, pd.DataFrame) else nw.from_native(frame, eager_only=True).to_pandas()
    plain = table.reset_index(drop=True)
    plain.attrs = dict(table.attrs)
    return plain
