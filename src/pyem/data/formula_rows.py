"""The trials of a data set as rows of a table, with the columns that formulas name."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.contrasts import categories, words_of_people
from pyem.data.identifiers import natural
from pyem.errors import DataError, list_of

if TYPE_CHECKING:
    import pandas as pd

    from pyem.data.dataset import Dataset

BUILT_IN = ("block", "subject", "trial")
"""Names that a formula may use besides fields and covariates: the labels of a trial."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """All trials of a data set as rows, lane after lane.

    Parameters
    ----------
    frame
        The columns that formulas name; text as categories in the order of their codes.
    who, lane, row
        Index of the subject, the lane and the place in it, of each row.
    here
        Whether a value is present, (row,), by column.
    """

    frame: pd.DataFrame
    who: np.ndarray
    lane: np.ndarray
    row: np.ndarray
    here: dict[str, np.ndarray]

    @property
    def complete(self) -> np.ndarray:
        """(row,): whether nothing is missing."""
        return np.logical_and.reduce([np.ones(len(self.who), bool), *self.here.values()])

    def only(self, some: np.ndarray) -> Rows:
        """Select some of the rows, by a mask."""
        here = {name: values[some] for name, values in self.here.items()}
        frame = self.frame.loc[some].reset_index(drop=True)
        return Rows(frame, self.who[some], self.lane[some], self.row[some], here)


def rows_of(data: Dataset, names: Sequence[str], levels: dict[str, tuple[str, ...]] | None = None) -> Rows:
    """The named columns of `data`, a row for each trial.

    Parameters
    ----------
    data
        Data that have the columns.
    names
        Fields with one value a trial, covariates, ``block``, ``subject`` or ``trial``.
    levels
        Levels of text columns that an earlier fit had; by default those that occur, in the order of their codes.

    Raises
    ------
    DataError
        If there is no such column, or it has a level that the earlier fit had not.

    Examples
    --------
    >>> from pyem import Dataset
    >>> data = Dataset.from_arrays({"choice": [[[0, 1, 1]]], "load": [[[2, 2, 4]]]})
    >>> rows_of(data, ["load"]).frame["load"].tolist()
    [2.0, 2.0, 4.0]
    """
    import pandas as pd

    lane, row = np.nonzero(data.valid.T)
    who, found, here = data.lane_subject[lane], {}, {}
    labels, words = data.index_columns(lane, row), categories(data)
    for name in names:
        if name in data.fields and data.fields[name].ndim == 2:
            found[name], here[name] = _of_field(data, name, lane, row)
        elif name in words:
            found[name] = words_of_people(name, data.covariates, words[name])[who]
        elif name in data.covariates:
            found[name] = np.asarray(data.covariates[name])[who]
        elif name in BUILT_IN:
            found[name] = pd.Series(labels[name])
        else:
            raise DataError(_no_column(data, name))
        given = (levels or {}).get(name)
        found[name] = _with_levels(name, found[name], here.get(name), data.codes.get(name), given)
        here.setdefault(name, ~np.asarray(pd.isna(found[name])))
    frame = pd.DataFrame(found, index=range(len(lane)))
    return Rows(frame, who, lane, row, here)


def _of_field(data: Dataset, name: str, lane: np.ndarray, row: np.ndarray) -> tuple[Any, np.ndarray]:
    values, here = data.fields[name][row, lane], data.present[name][row, lane]
    if name not in data.codes:
        return values.astype(float), here
    # A column without any value has no labels; the placeholder is not read.
    labels = np.array([*data.codes[name]] or [""], dtype=None if _numbers(data.codes[name]) else object)
    return labels[values.astype(int)], here


def _numbers(labels: Sequence[Any]) -> bool:
    return all(isinstance(label, int | float) and not isinstance(label, bool) for label in labels)


def _with_levels(
    name: str, values: Any, here: np.ndarray | None, order: Sequence[Any] | None, levels: Sequence[str] | None
) -> Any:
    """Prepare values for a formula: numbers as they are; text as categories, those that occur, in their order."""
    import pandas as pd

    series = pd.Series(values)
    if pd.api.types.is_numeric_dtype(series) and levels is None:
        return series.astype(float)
    text = series.map(str)
    # What stands where nothing is there is no level.
    text = text if here is None else text.where(here)
    seen = set(text.dropna())
    order = [str(label) for label in order] if order is not None else sorted(seen, key=natural)
    known = list(levels) if levels is not None else [level for level in order if level in seen]
    if new := sorted(seen - set(known)):
        raise DataError(
            f"column {name!r} has {list_of(new)}, but the fit knows the levels {list_of(known)} only; fit a design to these "
            "data, or leave the rows out"
        )
    return pd.Series(pd.Categorical(text, categories=known))


def _no_column(data: Dataset, name: str) -> str:
    people = dict.fromkeys([*categories(data), *data.covariates])
    names = dict.fromkeys([*(n for n, a in data.fields.items() if a.ndim == 2), *people, *BUILT_IN])
    close = difflib.get_close_matches(name, list(names), n=1)
    meant = f"do you mean {close[0]!r}? Otherwise " if close else ""
    return (
        f"a formula names {name!r}, but the data have {', '.join(names)}; {meant}map it when the Dataset is made: "
        f"columns={{{name!r}: <its column in the table>}}, or name it among covariates="
    )


def levels_of(rows: Rows) -> dict[str, tuple[str, ...]]:
    """Levels of the columns that are factors."""
    text = [name for name in rows.frame.columns if rows.frame[name].dtype == "category"]
    return {name: tuple(map(str, rows.frame[name].cat.categories)) for name in text}
