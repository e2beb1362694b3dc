"""Curves by trial from plain numbers: choices, or a model's latents, one curve for each condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyem.draw.canvas import BLUE, COLOURS, GREY, RED, canvas, headings, legend_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PEOPLE = "people, 95 % interval of the mean"
MODEL = "model's probability, given each person's past choices"


def by_trial(*, title: str, x_label: str, y_label: str, blocks: Sequence[dict[str, Any]]) -> Figure:
    """Means over people by trial with a band, and the model's predictions.

    Each of `blocks` is a panel: its ``name``; ``chance``, if it is a proportion; and ``curves``, each with its ``name`` and
    ``trial``, ``data``, ``low``, ``high`` and perhaps ``model``, arrays of one length.
    """
    wide = (3.4, 2.7) if len(blocks) > 1 else (4.0, 3.0)
    figure, panels = canvas(len(blocks), size=wide, columns=3)
    names = list(dict.fromkeys(curve["name"] for block in blocks for curve in block["curves"]))
    for block, panel in zip(blocks, panels, strict=True):
        if "chance" in block:
            panel.axhline(block["chance"], color=GREY, linewidth=0.8, linestyle=":", label="chance")
            panel.set_ylim(0, 1)
        for curve in block["curves"]:
            if len(names) > 1:
                _of_cell(panel, curve, COLOURS[names.index(curve["name"]) % len(COLOURS)])
            else:
                _alone(panel, curve)
        panel.set_xlabel(x_label)
    panels[0].set_ylabel(y_label)
    headings(figure, title, panels, [block["name"] for block in blocks])
    fullest = max(range(len(blocks)), key=lambda k: len(blocks[k]["curves"]))
    legend_below(figure, panels[fullest])
    return figure


def _alone(panel: Axes, curve: dict[str, Any]) -> None:
    """Draw a single curve: people in one colour, the model in another."""
    trial = curve["trial"]
    panel.fill_between(trial, curve["low"], curve["high"], color=BLUE, alpha=0.2, linewidth=0)
    panel.plot(trial, curve["data"], "o-", color=BLUE, markersize=3, linewidth=0.8, label=PEOPLE)
    if "model" in curve:
        panel.plot(trial, curve["model"], color=RED, linewidth=1.8, label=MODEL)


def _of_cell(panel: Axes, curve: dict[str, Any], colour: str) -> None:
    """Draw one of several curves: points are people and the line is the model, both in the colour of the condition."""
    trial = curve["trial"]
    panel.fill_between(trial, curve["low"], curve["high"], color=colour, alpha=0.15, linewidth=0)
    if "model" not in curve:
        panel.plot(trial, curve["data"], "o-", color=colour, markersize=3, linewidth=1.2, label=curve["name"])
        return
    panel.plot(trial, curve["data"], "o", color=colour, markersize=3)
    panel.plot(
        trial, curve["model"], color=colour, linewidth=1.8, label=f"{curve['name']} (points: people, line: model)"
    )
