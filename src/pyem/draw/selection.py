"""Figures of random-effects model selection from plain numbers: frequencies of models, and which model each person has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyem.draw.canvas import BLUE, GREEN, GREY, LABELLED_PEOPLE, canvas, headings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def frequencies(
    *, title: str, panels: Mapping[str, Mapping[str, np.ndarray]], names: Mapping[str, Sequence[str]]
) -> Figure:
    """Expected frequencies with their sds, and (protected) exceedance probabilities beside them.

    Parameters
    ----------
    title
        Above the figure.
    panels
        Arrays of each panel: ``frequency``, ``sd``, ``exceedance`` and ``protected``, (M,) each; the last may be absent.
    names
        Names of the models of each panel.
    """
    most = max(len(some) for some in names.values())
    figure, axes = canvas(2 * len(panels), size=(3.2, 0.9 + 0.4 * most), columns=2)
    heads = []
    for k, (head, numbers) in enumerate(panels.items()):
        place = np.arange(len(names[head]))[::-1]
        left, right = axes[2 * k], axes[2 * k + 1]
        left.barh(place, numbers["frequency"], xerr=numbers["sd"], color=BLUE, height=0.6, error_kw={"capsize": 2})
        left.axvline(1 / len(place), color=GREY, linewidth=0.9, linestyle="--")
        left.set_yticks(place, list(names[head]), fontsize=8)
        left.set_xlabel("frequency (sd)")
        shown = numbers.get("protected", numbers["exceedance"])
        right.barh(place, shown, color=GREEN, height=0.6)
        if "protected" in numbers:
            right.plot(numbers["exceedance"], place, "|", color="black", markersize=10)
        right.axvline(0.95, color=GREY, linewidth=0.9, linestyle=":")
        right.set_yticks(place, [""] * len(place))
        right.set_xlabel("protected exceedance (line: not protected)" if "protected" in numbers else "exceedance")
        for axis in (left, right):
            axis.set_xlim(0, 1)
        heads += [head, ""]
    headings(figure, title, axes, heads)
    return figure


def responsibilities(*, title: str, names: Sequence[str], subjects: Sequence[str], values: np.ndarray) -> Figure:
    """Probability (S, M) of each model for each person, people with the same model beside one another."""
    from matplotlib import colormaps

    known = np.nan_to_num(values)
    best = known.argmax(1)
    order = np.lexsort([-known.max(1), best])
    few = len(subjects) <= LABELLED_PEOPLE
    figure, (panel,) = canvas(1, size=(max(3.0, 0.14 * len(subjects)) if few else 5.5, 2.4))
    colours = colormaps["tab10" if len(names) <= 10 else "tab20"].colors  # type: ignore[attr-defined]
    place, base = np.arange(len(subjects)), np.zeros(len(subjects))
    for k, name in enumerate(names):
        panel.bar(
            place, known[order, k], bottom=base, width=1.0, color=colours[k % len(colours)], label=name, linewidth=0
        )
        base = base + known[order, k]
    panel.set_xlim(-0.5, len(subjects) - 0.5)
    panel.set_ylim(0, 1)
    panel.set_xticks(place if few else [], [str(subjects[s]) for s in order] if few else [], rotation=90, fontsize=6)
    panel.set_xlabel("person")
    panel.set_ylabel("probability of the model")
    headings(figure, title, (panel,), ("",))
    panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    return figure
