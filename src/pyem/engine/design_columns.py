"""The columns of a design, as fields and covariates of a data set."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.formula_rows import Rows
from pyem.errors import DataError
from pyem.model.model import Model


def made_fields(model: Model | None) -> set[str]:
    """Names of the fields that `Columns` adds to data for a model that a design makes; its formulas name other columns.

    Examples
    --------
    >>> made_fields(None)
    set()
    """
    if model is None or model.design is None:
        return set()
    return {effect.column for effect in model.design.effects if effect.column}


class Columns:
    """Columns that are added to a data set: columns of trials as fields, and columns of people as covariates.

    Columns of the same name and values are added once; where values differ, as in another coding, the parameter is named.

    Parameters
    ----------
    data
        The data set.
    """

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self._fields: dict[str, np.ndarray] = {}
        self._present: dict[str, np.ndarray] = {}
        self._people: dict[str, np.ndarray] = {}

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Fields without a value in some trial."""
        return tuple(name for name, here in self._present.items() if not here[self.data.valid].all())

    def of_trials(
        self, label: str, parameter: str, rows: Rows, values: np.ndarray, level: Literal["block", "trial"]
    ) -> str:
        """Add a column (row,), and return the name of its field."""
        out, here = np.zeros(self.data.valid.shape), np.zeros(self.data.valid.shape, bool)
        if level == "block":
            of_lane = np.zeros(self.data.n_lanes)
            of_lane[rows.lane] = values
            out[:] = of_lane
        out[rows.row, rows.lane], here[rows.row, rows.lane] = values, True
        for name in (f"column {label}", f"column {label} of {parameter}"):
            same = name in self._fields and np.array_equal(self._fields[name], out)
            if name not in self._fields or (same and np.array_equal(self._present[name], here)):
                break
        self._fields[name], self._present[name] = out, here
        return name

    def of_people(self, label: str, parameter: str, values: np.ndarray, how: str = "coded") -> str:
        """Add a column (S,), and return the name of its covariate; `how` is said where it differs from one of that name."""
        known = {name: np.asarray(given) for name, given in self.data.covariates.items()} | self._people
        for name in (label, f"{label} ({how})", f"{label} ({how} for {parameter})"):
            if name not in known or np.array_equal(known[name], values):
                break
        self._people[name] = values
        return name

    def centred(self, name: str) -> str:
        """Add a covariate of the data, centred at its mean, and return its name."""
        if name not in self.data.covariates:
            known = ", ".join(self.data.covariates) or "none"
            raise DataError(
                f"there is no covariate {name!r} in the data (it has {known}); pass "
                f"covariates=[{name!r}] when making the Dataset"
            )
        values = np.asarray(self.data.covariates[name], float)
        return self.of_people(name, "people", values - values.mean(), "centred")

    def added(self) -> Dataset:
        """Data with all columns."""
        return dataclasses.replace(
            self.data,
            fields={**self.data.fields, **self._fields},
            present={**self.data.present, **self._present},
            covariates={**self.data.covariates, **self._people},
        )
