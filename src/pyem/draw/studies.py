"""Figures of studies from plain numbers: power, precision, ranks, designs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyem.draw.canvas import BLUE, GREEN, GREY, ORANGE, RED, canvas, headings, legend_below

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Line = tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Label, x, and y with the ends of its interval."""


def curves(
    *, title: str, panels: Sequence[tuple[str, Sequence[Line]]], y_label: str, level: float | None, top: float | None
) -> Figure:
    """Curves over the number of people: a panel for each effect or model, a line for each number of trials."""
    figure, axes = canvas(len(panels), size=(3.0, 2.6), columns=3)
    colours = (BLUE, ORANGE, GREEN, RED, GREY)
    for (_, lines), axis in zip(panels, axes, strict=True):
        for k, (label, x, y, low, high) in enumerate(lines):
            reach = np.stack([np.maximum(y - low, 0), np.maximum(high - y, 0)])
            axis.errorbar(x, y, yerr=reach, fmt="-o", color=colours[k % 5], markersize=3, capsize=2, label=label)
        if level is not None:
            axis.axhline(level, color=GREY, linewidth=0.9, linestyle=":")
        axis.set_ylim(0, top)
        axis.set_xlabel("people")
    axes[0].set_ylabel(y_label)
    headings(figure, title, axes, [name for name, _ in panels])
    legend_below(figure, axes[0])
    return figure


def ranks(*, title: str, names: Sequence[str], counts: Sequence[np.ndarray], band: tuple[float, float]) -> Figure:
    """Histograms of ranks, a panel for each quantity, with the band in which 95 % of bars are if ranks are uniform."""
    figure, axes = canvas(len(names), size=(2.6, 2.2))
    for heights, axis in zip(counts, axes, strict=True):
        axis.axhspan(*band, color=GREY, alpha=0.25, linewidth=0)
        place = (np.arange(len(heights)) + 0.5) / len(heights)
        axis.bar(place, heights, width=1 / len(heights), color=BLUE, alpha=0.7, edgecolor="white")
        axis.set_xlim(0, 1)
        axis.set_xlabel("rank of the truth (share)")
    axes[0].set_ylabel("rounds")
    headings(figure, title, axes, list(names))
    return figure
