"""Trials by condition: combinations of the levels of some columns, for figures and checks that are split by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.formula_rows import rows_of
from pyem.errors import DataError, list_of

MOST = 12
"""Largest number of cells that can be told apart in a figure."""


class Cell(NamedTuple):
    """The trials of one combination of levels."""

    labels: dict[str, str]
    """The level of each column."""
    trials: np.ndarray
    """(trial, lane): whether a trial belongs to the cell."""

    @property
    def name(self) -> str:
        """The levels of the cell in one word."""
        return ", ".join(self.labels.values())


def cells_of(data: Dataset, by: str | Sequence[str]) -> list[Cell]:
    """Trials of each combination of the levels of the columns `by` that occurs, in the order of the levels.

    Parameters
    ----------
    data
        Data with the trials.
    by
        Names of fields with one value a trial, of covariates, or ``block``: factors, or numbers with few values.

    Raises
    ------
    DataError
        If there is no such column, or there are more than 12 combinations.

    Examples
    --------
    >>> data = Dataset.from_arrays({"choice": [[[0, 1, 1]]], "load": [[[2, 2, 4]]]})
    >>> [(cell.name, int(cell.trials.sum())) for cell in cells_of(data, "load")]
    [('2', 2), ('4', 1)]
    """
    import pandas as pd

    names = [by] if isinstance(by, str) else list(by)
    if not names:
        raise DataError("by=[] names no column; name one, or leave it out")
    rows = rows_of(data, names)
    rows = rows.only(rows.complete)
    columns: list[Any] = [pd.Categorical(rows.frame[name]) for name in names]
    for name, column in zip(names, columns, strict=True):
        if len(column.categories) > MOST:
            raise DataError(
                f"by={name!r}: the column has {len(column.categories)} values, and at most {MOST} can be told apart; make a "
                "column with a few levels (low, middle, high) when the Dataset is made"
            )
    codes = np.stack([column.codes for column in columns], axis=1)
    found = np.unique(codes, axis=0)
    if len(found) > MOST:
        raise DataError(
            f"by={names} has {len(found)} combinations, and at most {MOST} can be told apart; name fewer columns"
        )
    if not len(found):
        raise DataError(f"no trial has a value of {list_of(names)}")
    return [_cell(data, names, columns, level, rows, (codes == level).all(1)) for level in found]


def _cell(data: Dataset, names: list[str], columns: list[Any], level: np.ndarray, rows: Any, mine: np.ndarray) -> Cell:
    trials = np.zeros(data.valid.shape, bool)
    trials[rows.row[mine], rows.lane[mine]] = True
    labels = (column.categories[code] for column, code in zip(columns, level, strict=True))
    return Cell(dict(zip(names, map(_words, labels), strict=True)), trials)


def _words(label: Any) -> str:
    return f"{label:g}" if isinstance(label, float) else str(label)
