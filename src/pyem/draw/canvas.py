"""Panels, axes and colours that all figures share."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"
COLOURS = (BLUE, RED, GREEN, "#CC79A7", ORANGE, "#56B4E9", "#000000")
"""Colours of several curves in one panel."""


PANEL_INCHES = (2.9, 2.5)
LETTERS_PER_INCH = 11
"""Number of letters of a title that fit into an inch."""
LABELLED_PEOPLE = 40
"""Number of people up to which their names are on the axis."""


def canvas(n_panels: int, *, size: tuple[float, float] = PANEL_INCHES, columns: int = 4) -> tuple[Figure, list[Axes]]:
    """A figure with `n_panels` panels in rows of up to `columns`, without clutter."""
    from pyem.draw.picture import Picture

    across = min(n_panels, columns)
    down = math.ceil(n_panels / across)
    # One panel alone is a little wider, so that its labels fit.
    width = size[0] * across * (1.35 if n_panels == 1 else 1.0)
    figure = Picture(figsize=(width, size[1] * down + 0.3), dpi=150, layout="constrained")
    panels = [figure.add_subplot(down, across, k + 1) for k in range(n_panels)]
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
        panel.xaxis.label.set_fontsize(9)
        panel.yaxis.label.set_fontsize(9)
    return figure, panels


def whole_numbers(axis: Axis) -> None:
    """Put ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))


def headings(figure: Figure, title: str, panels: Sequence[Axes], names: Sequence[str]) -> None:
    """Set the figure's title, and a smaller one for each panel."""
    # As many letters as fit: names of designs are long.
    lines = textwrap.wrap(title, max(20, int(LETTERS_PER_INCH * figure.get_figwidth())))
    figure.suptitle("\n".join(lines), fontsize=10, fontweight="bold")
    for panel, name in zip(panels, names, strict=True):
        panel.set_title(name, fontsize=9)


def legend_below(figure: Figure, panel: Axes) -> None:
    """Put one legend for the whole figure below it, in as many columns as fit."""
    handles, labels = panel.get_legend_handles_labels()
    letters = 15 * figure.get_figwidth()
    across = max(1, min(len(labels), int(letters // (max(map(len, labels)) + 6))))
    figure.legend(handles, labels, loc="outside lower center", ncols=across, frameon=False, fontsize=8)


def thin(n: int) -> float:
    """Width of lines for `n` people."""
    return 1.6 if n <= 60 else 1.0 if n <= 200 else 0.4
