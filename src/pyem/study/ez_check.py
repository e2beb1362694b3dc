"""EZ-diffusion as a check: estimates from data before a fit, and beside those from the predictions of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import shown
from pyem.infer.ez_starts import suits_ez, times_of_people
from pyem.model.model import Model
from pyem.model.times.ez import NAMES, of_trials
from pyem.study.time_summaries import Sorting

if TYPE_CHECKING:
    import pandas as pd

FAR = 4.0
"""Distance, in standard deviations of the simulations or of a typical population, from which on an estimate is named."""
MOST = 5
"""Largest number of people that are named."""


def ez_note(model: Model, data: Dataset) -> str:
    """Describe the medians of people's EZ estimates, and name estimates that are impossible or far from typical.

    Nothing of models that are no diffusion decision model of `v`, `a` and `t`.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("ddm")
    >>> ez_note(model, pyem.simulate(model, subjects=4, trials=200, key=1)).partition(";")[0]
    'EZ-diffusion: medians of people v 0.625, a 2.21, t 0.216'
    """
    if not suits_ez(model):
        return ""
    found = np.stack([of_trials(*mine) for mine in times_of_people(model, data)])
    if not np.isfinite(found).any():
        return ""
    medians = zip(NAMES, np.nanmedian(found, axis=0), strict=True)
    told = "EZ-diffusion: medians of people " + ", ".join(f"{name} {value:.3g}" for name, value in medians)
    far = _untypical(model, found)
    values = lambda person: ", ".join(f"{NAMES[k]} {found[person, k]:.3g}" for k in np.flatnonzero(far[person]))  # noqa: E731
    named = [f"{shown(data.subjects[person])} ({values(person)})" for person in np.flatnonzero(far.any(1))]
    return f"{told}; far from what is usual, look at the times of {_some(named)}" if named else told


def _untypical(model: Model, found: np.ndarray) -> np.ndarray:
    """(S, 3): whether estimates are out of range, or far from the typical population on the unconstrained scale."""
    mean, sd = model.typical
    far = np.zeros(found.shape, bool)
    for k, name in enumerate(NAMES):
        place = model.names.index(name)
        low, high = next(one.transform.bounds for one in model.parameters if one.name == name)
        inside = (found[:, k] > low) & (found[:, k] < high)
        values = np.tile(model.natural(mean), (len(found), 1))
        values[inside, place] = found[inside, k]
        away = np.abs(model.unconstrained(values)[:, place] - mean[place]) > FAR * sd[place]
        far[:, k] = np.isfinite(found[:, k]) & (away | ~inside)
    return far


def ez_table(
    sorting: Sorting, data: Dataset, observed: tuple[np.ndarray, np.ndarray], simulated: tuple[np.ndarray, np.ndarray]
) -> pd.DataFrame:
    """EZ estimates of each person and condition from the observed and the simulated responses.

    Parameters
    ----------
    sorting
        Trials, conditions and right responses.
    data
        Data with the labels of people.
    observed, simulated
        Choices and their times, (trial, lane) and (draw, trial, lane).

    Returns
    -------
    pandas.DataFrame
        A row for each person, condition and parameter: ``observed``, and ``mean``, ``sd``, ``low`` and ``high`` (95 %) of the
        simulations.
    """
    import pandas as pd

    rows = []
    for cell in sorting.cells:
        right = sorting.right[cell.rows, cell.lanes]
        of = lambda pair: _of_cell(right, *(values[..., cell.rows, cell.lanes] for values in pair))  # noqa: B023, E731
        seen, drawn = of(observed), of(simulated)
        who = {"subject": data.subjects[cell.person], "condition": sorting.conditions[cell.condition]}
        for k, name in enumerate(NAMES):
            values = drawn[np.isfinite(drawn[:, k]), k]
            rows.append(who | {"parameter": name, "observed": seen[k]} | _band(values))
    return pd.DataFrame(rows, columns=["subject", "condition", "parameter", "observed", "mean", "sd", "low", "high"])


def _of_cell(right: np.ndarray, choice: np.ndarray, rt: np.ndarray) -> np.ndarray:
    return of_trials(choice == right, np.asarray(rt, float))


def _band(values: np.ndarray) -> dict[str, float]:
    if len(values) < 2:
        return dict.fromkeys(("mean", "sd", "low", "high"), np.nan)
    low, high = np.quantile(values, [0.025, 0.975])
    return {"mean": values.mean(), "sd": values.std(ddof=1), "low": low, "high": high}


def far_from_simulated(table: pd.DataFrame) -> str:
    """Name people whose observed EZ estimates are far from those of the simulations; empty if there are none."""
    columns = ["subject", "condition", "parameter", "observed", "low", "high"]
    far = table.loc[(table["observed"] - table["mean"]).abs() > FAR * table["sd"], columns]
    named = [
        f"{shown(who)}{f' ({condition})' if condition else ''}: {parameter} {seen:.3g}, simulated {low:.3g} to {high:.3g}"
        for who, condition, parameter, seen, low, high in far.itertuples(index=False)
    ]
    return f"EZ estimates far from those of the simulations: {_some(named, '; ')}" if named else ""


def _some(named: list[str], between: str = ", ") -> str:
    return between.join(named[:MOST]) + (f" and {len(named) - MOST} more" if len(named) > MOST else "")
