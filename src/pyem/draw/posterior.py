"""Figures of correlations between parameters and of a group's posterior, from plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyem.draw.canvas import BLUE, GREY, ORANGE, RED, canvas, headings, legend_below

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def correlations(*, title: str, pairs: Sequence[tuple[str, str]], values: Sequence[np.ndarray]) -> Figure:
    """A panel for each pair of parameters: people's estimates (S, 2), with their correlation and its 95 % interval."""
    figure, panels = canvas(len(pairs), size=(2.7, 2.6))
    captions = []
    for (x_name, y_name), points, panel in zip(pairs, values, panels, strict=True):
        known = points[np.isfinite(points).all(1)]
        panel.plot(known[:, 0], known[:, 1], "o", color=BLUE, markersize=3.5, alpha=0.6, markeredgewidth=0)
        panel.set_xlabel(x_name)
        panel.set_ylabel(y_name)
        captions.append(correlation_text(known))
    headings(figure, title, panels, captions)
    return figure


def correlation_text(points: np.ndarray) -> str:
    """The correlation of points (n, 2) with its 95 % interval by Fisher's transformation.

    Examples
    --------
    >>> correlation_text(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 1.5], [3.0, 4.0], [4.0, 3.0]]))
    'r = 0.89, 0.04 to 0.99'
    """
    if len(points) < 3 or (np.ptp(points, axis=0) == 0).any():
        return "no correlation"
    r = float(np.corrcoef(points.T)[0, 1])
    if len(points) < 4:
        return f"r = {r:.2f}"
    middle, half = np.arctanh(np.clip(r, -0.999999, 0.999999)), 1.959963984540054 / np.sqrt(len(points) - 3)
    low, high = np.tanh([middle - half, middle + half])
    return f"r = {r:.2f}, {low:.2f} to {high:.2f}"


def densities(*, title: str, names: Sequence[str], labels: Sequence[str], draws: Sequence[np.ndarray]) -> Figure:
    """The density of draws (n,) of each parameter of a group, its median and its central 95 %."""
    from scipy.stats import gaussian_kde

    figure, panels = canvas(len(names), size=(2.7, 2.3))
    for label, values, panel in zip(labels, draws, panels, strict=True):
        low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
        first, last = np.quantile(values, [0.001, 0.999])
        x = np.linspace(float(first), float(last), 200)
        if np.ptp(values) > 0:
            height = gaussian_kde(values)(x)
            inside = (x >= low) & (x <= high)
            panel.plot(x, height, color=BLUE, linewidth=1.4)
            panel.fill_between(x[inside], 0, height[inside], color=BLUE, alpha=0.25, linewidth=0, label="central 95 %")
        panel.axvline(middle, color=RED, linewidth=1.2, label="median")
        panel.set_ylim(bottom=0)
        panel.set_yticks([])
        panel.spines["left"].set_visible(False)
        panel.set_xlabel(label)
    headings(figure, title, panels, names)
    legend_below(figure, panels[0])
    return figure


def beliefs(
    *,
    title: str,
    trial: np.ndarray,
    starts: Sequence[float],
    panels: Sequence[dict],
) -> Figure:
    """Quantities of one person over trials (T,), one panel below the other.

    Parameters
    ----------
    title
        Above the figure.
    trial, starts
        Places of the trials, and those where a block begins.
    panels
        ``name`` and ``lines``: label and values (T,) of each; ``marks``: label and places of what was done or seen.
    """
    figure, axes = canvas(len(panels), size=(6.4, 1.8), columns=1)
    colors = (BLUE, ORANGE, RED, GREY)
    for panel, axis in zip(panels, axes, strict=True):
        for k, (label, values) in enumerate(panel["lines"]):
            axis.plot(
                trial, values, color=colors[k % len(colors)], linewidth=1.2, label=label, alpha=1 - 0.15 * (k // 4)
            )
        for start in starts:
            axis.axvline(start, color=GREY, linewidth=0.7, linestyle=":")
        low, high = axis.get_ylim()
        for k, (label, where) in enumerate(panel["marks"]):
            level = high + (0.06 if k % 2 == 0 else -0.04) * (high - low)
            axis.plot(where, np.full(len(where), level), "|", color=colors[k % len(colors)], markersize=5, label=label)
        axis.set_ylabel(panel["name"])
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    axes[-1].set_xlabel("trial")
    headings(figure, title, axes, [""] * len(axes))
    return figure
