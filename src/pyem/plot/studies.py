"""Figures of studies by simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyem.draw import studies as draw
from pyem.errors import require_kind

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from pyem.study.calibration_study import Calibration
    from pyem.study.power_study import Power


def plot_power(study: Power) -> Figure:
    """The power to find effects or the right models by number of people, a line for each number of trials.

    Bars are Monte-Carlo intervals; the dotted line is a power of .8.

    Examples
    --------
    >>> from pyem.study import Power
    >>> found = {(n, 50, "rw"): {"found": np.arange(9) < n // 5} for n in (10, 20)}
    >>> plot_power(Power(found, {}, "the right model")).axes[0].get_ylabel()
    'power'
    """
    require_kind("power", study)
    panels = _panels(study.table(), "power", "low", "high")
    return draw.curves(title=f"Power to find {study.what}", panels=panels, y_label="power", level=0.8, top=1.02)


def plot_precision(study: Power) -> Figure:
    """The width of the 95 % interval of effects by number of people, a line for each number of trials.

    Raises
    ------
    ValueError
        If the study is of models.

    Examples
    --------
    >>> from pyem.study import Power
    >>> one = {"found": np.ones(4), "width": np.arange(1.0, 5), "estimate": np.ones(4), "covers": np.ones(4)}
    >>> plot_precision(Power({(10, 50, "d"): one}, {"d": 1.0}, "d")).axes[0].get_xlabel()
    'people'
    """
    require_kind("power", study)
    table = study.precision()
    table = table.assign(low=table["width"] - 2 * table["width_se"], high=table["width"] + 2 * table["width_se"])
    label = "width of the 95 % interval (sds of people)"
    return draw.curves(
        title="Precision", panels=_panels(table, "width", "low", "high"), y_label=label, level=None, top=None
    )


def _panels(table: pd.DataFrame, *columns: str) -> list[tuple[str, list[draw.Line]]]:
    out = []
    for name, part in table.groupby(level=2, sort=False):
        lines: list[draw.Line] = []
        for trials, rows in part.groupby(level=1, sort=False):
            x = rows.index.get_level_values(0).to_numpy(float)
            y, low, high = (rows[column].to_numpy(float) for column in columns)
            lines.append((f"{trials} trials", x, y, low, high))
        out.append((str(name), lines))
    return out


def plot_ranks(study: Calibration, *, bins: int = 10) -> Figure:
    """Histograms of the ranks of true values among posterior draws: flat, within the band, if the method is right.

    A hump: intervals are too wide; a bowl: too narrow; a slope: estimates are biased.

    Examples
    --------
    >>> import pyem
    >>> ranks = {"beta": np.arange(100)}
    >>> len(plot_ranks(pyem.study.Calibration(pyem.models.get("rw1a1b"), "map", ranks, 99, True)).axes)
    1
    """
    require_kind("calibration", study)
    from scipy.stats import binom

    p = study.table()["p"]
    edges = np.linspace(0, study.draws + 1, bins + 1)
    counts = [np.histogram(ranks, edges)[0] for ranks in study.ranks.values()]
    n = int(counts[0].sum())
    band = tuple(float(end) for end in binom.ppf([0.025, 0.975], n, 1 / bins))
    names = [f"{name}: p = {p[name]:.2g}" for name in study.ranks]
    return draw.ranks(title=f"Calibration of {study.model.name}", names=names, counts=counts, band=(band[0], band[1]))
