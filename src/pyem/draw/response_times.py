"""Figures of response times, observed and simulated, from plain numbers, as those of `pyem.draw.figures`.

Each takes the columns of one table of `pyem.study.time_checks.ResponseTimeCheck`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyem.draw.canvas import BLUE, GREEN, GREY, ORANGE, RED, canvas, headings, legend_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Table = dict[str, np.ndarray]
COLOURS = (BLUE, RED, GREEN, ORANGE)


def _parts(table: Table, name: str) -> dict[str, Table]:
    """The rows of each value of a column, in their order."""
    labels = list(dict.fromkeys(table[name].tolist()))
    return {label: {key: values[table[name] == label] for key, values in table.items()} for label in labels}


def _banded(panel: Axes, part: Table, colour: str, label: str, *, marker: str = "o") -> None:
    panel.fill_between(part["time"], part["low"], part["high"], color=colour, alpha=0.25, linewidth=0)
    panel.plot(part["time"], part["mean"], color=colour, linewidth=1.0)
    panel.plot(part["time"], part["observed"], marker, color=colour, markersize=3, label=label)


def _ends(panel: Axes, what: str) -> None:
    panel.plot([], [], color=GREY, linewidth=6, alpha=0.4, label="simulated, mean and 95 %")
    panel.set_ylabel(what)


def quantile_probability(*, title: str, table: Table) -> Figure:
    """Quantiles of response times against the share of their response, a line for each quantile through all conditions."""
    figure, (panel,) = canvas(1, size=(3.6, 3.4))
    lines = {}
    for part in _parts(table, "quantile").values():
        order = np.argsort(part["share_mean"])
        drawn = {key: values[order] for key, values in part.items() if values.dtype.kind == "f"}
        here = np.isfinite(drawn["mean"])
        share = drawn["share_mean"][here]
        panel.fill_between(share, drawn["low"][here], drawn["high"][here], color=ORANGE, alpha=0.25, linewidth=0)
        panel.plot(share, drawn["mean"][here], color=ORANGE, linewidth=1.0)
        lines["observed"] = panel.plot(drawn["share"], drawn["observed"], "o", color=BLUE, markersize=3)[0]
    for part in _parts(table, "condition").values():
        for one in _parts(part, "response").values():
            if np.isfinite(one["observed"]).any():
                panel.annotate(
                    f"{one['condition'][0]} {one['response'][0]}".strip(),
                    (one["share"][-1], np.nanmax(one["observed"])),
                    xytext=(0, 4),
                    textcoords="offset points",
                    fontsize=6,
                    ha="center",
                    rotation=90,
                )
    panel.set_xlim(-0.02, 1.02)
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.25 * (high - low))
    panel.set_xlabel("share of the response")
    lines["observed"].set_label("observed quantiles .1, .3, .5, .7, .9")
    _ends(panel, "response time (s)")
    headings(figure, title, [panel], [""])
    legend_below(figure, panel)
    return figure


def distribution(*, title: str, table: Table) -> Figure:
    """Defective distribution functions: the probability of each response by a time, a panel for each condition."""
    parts = _parts(table, "condition")
    figure, panels = canvas(len(parts), size=(2.9, 2.6))
    for panel, part in zip(panels, parts.values(), strict=True):
        for colour, (response, one) in zip(COLOURS, _parts(part, "response").items(), strict=False):
            _banded(panel, one, colour, f"observed, {response}", marker=".")
        panel.set_ylim(0, 1)
        panel.set_xlabel("response time (s)")
    _ends(panels[0], "probability by then")
    headings(figure, title, panels, list(parts))
    legend_below(figure, panels[0])
    return figure


def conditional_accuracy(*, title: str, table: Table) -> Figure:
    """Share of right responses in each fifth of the response times, a line for each condition."""
    figure, (panel,) = canvas(1, size=(3.2, 3.0))
    for colour, (condition, part) in zip(COLOURS * 3, _parts(table, "condition").items(), strict=False):
        _banded(panel, part, colour, f"observed {condition}".strip())
    panel.set_xlabel("response time (s), fifths")
    _ends(panel, "share of right responses")
    headings(figure, title, [panel], [""])
    legend_below(figure, panel)
    return figure


def delta(*, title: str, table: Table) -> Figure:
    """Differences of the quantiles of response times between conditions, against their mean."""
    figure, (panel,) = canvas(1, size=(3.2, 3.0))
    panel.axhline(0, color=GREY, linewidth=0.8)
    for colour, (condition, part) in zip(COLOURS * 3, _parts(table, "condition").items(), strict=False):
        _banded(panel, part, colour, f"observed, {condition}")
    panel.set_xlabel("response time (s), mean of both")
    _ends(panel, "difference to the first condition (s)")
    headings(figure, title, [panel], [""])
    legend_below(figure, panel)
    return figure
