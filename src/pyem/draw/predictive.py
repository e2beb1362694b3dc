"""The figure of a predictive check from plain numbers, as those of `pyem.draw.figures`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyem.draw.canvas import BLUE, GREY, ORANGE, RED, canvas, headings, legend_below, whole_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predictive(
    *, title: str, what: str, curves: dict[str, dict[str, np.ndarray]], people: dict[str, dict[str, np.ndarray]]
) -> Figure:
    """Observed curves by block with the simulations' bands, then each person's statistics against their simulations."""
    figure, panels = canvas(len(curves) + len(people))
    for panel, part in zip(panels, curves.values(), strict=False):
        panel.fill_between(
            part["trial"], part["low"], part["high"], color=ORANGE, alpha=0.3, linewidth=0, label="95 % of simulations"
        )
        panel.plot(part["trial"], part["mean"], color=ORANGE, linewidth=1.4, label="mean of simulations")
        panel.plot(part["trial"], part["observed"], color=BLUE, linewidth=1.2, label="observed")
        panel.set_xlabel("trial")
        whole_numbers(panel.xaxis)
    panels[0].set_ylabel(what)
    for panel, part in zip(panels[len(curves) :], people.values(), strict=True):
        surprising = 2 * np.minimum(part["p"], 1 - part["p"]) < 0.05
        for mask, color in ((~surprising, BLUE), (surprising, RED)):
            error = np.abs(np.stack([part["low"], part["high"]]) - part["mean"])[:, mask]
            panel.errorbar(
                part["observed"][mask],
                part["mean"][mask],
                error,
                fmt="o",
                color=color,
                markersize=2.5,
                linewidth=0.6,
                alpha=0.6,
            )
        ends = np.concatenate([part[name] for name in ("observed", "low", "high")])
        low, high = (float(end) for end in (np.nanmin(ends), np.nanmax(ends)))
        margin = 0.05 * (high - low) or 0.05
        panel.plot([low, high], [low, high], color=GREY, linewidth=0.8)
        panel.set_xlim(low - margin, high + margin)
        panel.set_ylim(low - margin, high + margin)
        panel.set_xlabel("observed")
        panel.set_ylabel("simulated, mean and 95 %")
    headings(figure, title, panels, [*curves, *people])
    legend_below(figure, panels[0])
    return figure
