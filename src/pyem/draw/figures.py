"""Figures from plain numbers, without models, fits or JAX, so that another process can draw them.

`pyem.plot` has the functions that take fits. Colours are those of Okabe and Ito, which colour-blind people can tell apart.
Matplotlib's object interface is used throughout: nothing here touches the global state of `pyplot`.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pyem.draw.by_trial import by_trial
from pyem.draw.canvas import (
    BLUE,
    GREEN,
    GREY,
    LABELLED_PEOPLE,
    ORANGE,
    PANEL_INCHES,
    RED,
    canvas,
    headings,
    legend_below,
    thin,
    whole_numbers,
)
from pyem.draw.selection import frequencies, responsibilities
from pyem.draw.studies import curves, ranks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUP_MEAN = "group mean, 95 % interval"
GROUP_MEDIAN = "group median, 95 % interval"


def parameters(
    *,
    title: str,
    names: Sequence[str],
    labels: Sequence[str],
    values: np.ndarray,
    density: Sequence[tuple[np.ndarray, np.ndarray]] | None,
    middle: np.ndarray | None,
) -> Figure:
    """People's estimates (S, P) as histograms, with the group's density and the median with its interval (P, 3)."""
    figure, panels = canvas(len(names))
    for j, panel in enumerate(panels):
        here = values[np.isfinite(values[:, j]), j]
        bins = _bins(here, 0.0 if middle is None else float(np.ptp(_group_interval(middle[j]))))
        panel.hist(
            here,
            bins=bins.tolist(),
            color=BLUE,
            alpha=0.35,
            edgecolor="white",
            linewidth=0.5,
            label="people's estimates",
        )
        if density is not None:
            x, height = density[j]
            inside = np.isfinite(height)
            per_bin = len(here) * float(np.diff(bins)[0])
            panel.plot(x[inside], height[inside] * per_bin, color=ORANGE, linewidth=1.6, label="fitted group")
            # A density may be infinite at an end of the range; the bars set the height.
            tallest = np.histogram(here, bins)[0].max()
            panel.set_ylim(0, max(1.15 * tallest, min(1.1 * per_bin * height[inside].max(), 2 * tallest)))
        if middle is not None:
            _group_median(panel, middle[j])
        whole_numbers(panel.yaxis)
        panel.set_xlabel(labels[j])
    panels[0].set_ylabel("people")
    headings(figure, title, panels, names)
    legend_below(figure, panels[0])
    return figure


def _group_interval(middle: np.ndarray) -> np.ndarray:
    """Low and high end of a group median's interval (3,); the median itself where an end is not known."""
    return np.where(np.isfinite(middle[1:]), middle[1:], middle[0])


def _group_median(panel: Axes, middle: np.ndarray) -> None:
    """Draw a group's median with its interval (3,).

    The interval also keeps the axis from zooming in on people who do not differ: where the group's standard deviation is 0,
    they would fill an axis that is as narrow as rounding.
    """
    panel.axvspan(*_group_interval(middle), color=RED, alpha=0.2, linewidth=0)
    panel.axvline(middle[0], color=RED, linewidth=1.4, label=GROUP_MEDIAN)


def _bins(values: np.ndarray, least: float = 0.0) -> np.ndarray:
    """Ends of the bars over `values`, together at least `least` wide."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if high - low < 1e-9 * max(1.0, abs(low)):
        least = least or 1.0
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    return np.linspace(low, high, int(np.clip(2 * math.sqrt(len(values)), 5, 40)) + 1)


def estimates(
    *,
    title: str,
    names: Sequence[str],
    labels: Sequence[str],
    subjects: Sequence[str],
    values: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    middle: np.ndarray | None,
) -> Figure:
    """Every person's estimate with its interval, (S, P) each, sorted by the estimate."""
    n = len(values)
    named = n <= LABELLED_PEOPLE
    height = max(3.0, 0.13 * n) if named else 4.2
    figure, panels = canvas(len(names), size=(PANEL_INCHES[0], height))
    for j, panel in enumerate(panels):
        order = np.argsort(values[:, j], kind="stable")
        place = np.arange(n)
        panel.hlines(
            place, low[order, j], high[order, j], color=BLUE, alpha=0.35, linewidth=thin(n), label="95 % interval"
        )
        panel.plot(
            values[order, j], place, "o", color=BLUE, markersize=2.8 if n <= 150 else 1.2, label="person's estimate"
        )
        if middle is not None:
            _group_median(panel, middle[j])
        panel.set_ylim(-1, n)
        panel.set_yticks(place if named else [], [str(subjects[s]) for s in order] if named else [], fontsize=6)
        panel.set_xlabel(labels[j])
    panels[0].set_ylabel("people, sorted in each panel" if n > 1 else "")
    headings(figure, title, panels, names)
    legend_below(figure, panels[0])
    return figure


def effects(*, title: str, panels: Sequence[dict[str, Any]]) -> Figure:
    """Parameters in conditions: a panel for each, with people joined by lines, and means with intervals.

    Parameters
    ----------
    title
        Above the figure.
    panels
        ``name``; ``label``, what it means; ``cells``, the labels of conditions; ``middle`` (cell, 3), mean, low and high;
        ``people`` (S, cell), NaN where a person is not.
    """
    widest = max(len(panel["cells"]) for panel in panels)
    figure, axes = canvas(len(panels), size=(max(PANEL_INCHES[0], 0.8 * widest), PANEL_INCHES[1]), columns=2)
    headings(figure, title, axes, [panel["name"] for panel in panels])
    for axis, panel in zip(axes, panels, strict=True):
        places, middle, people = np.arange(len(panel["cells"])), panel["middle"], panel["people"]
        # Cells are on one line, with gaps between people, also where a person has no value.
        here = [np.r_[places[np.isfinite(person)], np.nan] for person in people]
        there = [np.r_[person[np.isfinite(person)], np.nan] for person in people]
        style = {"color": GREY, "alpha": 0.4, "linewidth": 0.7, "markersize": 2}
        axis.plot(np.concatenate(here), np.concatenate(there), "-o", label="a person", **style)
        ends = np.abs([_group_interval(one) - one[0] for one in middle]).T
        axis.errorbar(places, middle[:, 0], yerr=ends, fmt="o", color=BLUE, capsize=3, zorder=3, label=GROUP_MEAN)
        axis.set_ylabel(panel["label"])
        axis.set_xticks(places, panel["cells"], rotation=30 if widest > 2 else 0)
        axis.set_xlim(-0.5, len(places) - 0.5)
    legend_below(figure, axes[0])
    return figure


def recovery(*, title: str, names: Sequence[str], truth: np.ndarray, estimates: np.ndarray) -> Figure:
    """True parameters (S, P) against estimates, with the line of identity."""
    figure, panels = canvas(len(names), size=(2.8, 3.3))
    captions = []
    for j, panel in enumerate(panels):
        x, y = truth[:, j], estimates[:, j]
        ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
        ends += 0.04 * np.ptp(ends) * np.array([-1, 1])
        panel.plot(ends, ends, color=GREY, linewidth=0.9, linestyle="--", label="equal")
        panel.plot(x, y, "o", color=BLUE, markersize=3.5, alpha=0.6, markeredgewidth=0, label="a person")
        panel.set_xlim(*ends)
        panel.set_ylim(*ends)
        panel.set_box_aspect(1)
        r = np.corrcoef(x, y)[0, 1] if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan
        error = math.sqrt(float(((y - x) ** 2).mean()))
        captions.append(f"{names[j]}: r = {r:.2f}, RMSE = {error:.2g}")
        panel.set_xlabel("true value")
    panels[0].set_ylabel("estimate")
    headings(figure, title, panels, captions)
    legend_below(figure, panels[0])
    return figure


def confusion(*, title: str, names: Sequence[str], matrices: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Matrices of shares (M, M), with the model that made the data in rows and the best model in columns."""
    side = 1.1 + 0.55 * len(names)
    figure, panels = canvas(len(matrices), size=(max(side, 2.6), max(side, 2.4)), columns=2)
    for (_, values), panel in zip(matrices, panels, strict=True):
        panel.imshow(np.nan_to_num(values), cmap="Blues", vmin=0.0, vmax=1.0)
        for (i, j), value in np.ndenumerate(values):
            shade = "white" if value > 0.6 else "black"
            panel.text(
                j, i, "-" if np.isnan(value) else f"{value:.2f}", ha="center", va="center", color=shade, fontsize=8
            )
        panel.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
        panel.set_yticks(range(len(names)), names if panel is panels[0] else [""] * len(names), fontsize=8)
        panel.set_xlabel("best model")
        panel.spines[:].set_visible(False)
        panel.tick_params(length=0)
    panels[0].set_ylabel("model that made the data")
    headings(figure, title, panels, [label for label, _ in matrices])
    return figure


def calibration(*, title: str, names: Sequence[str], below: Sequence[np.ndarray]) -> Figure:
    """Cumulative distribution of sorted shares minus the uniform one, a panel for each parameter, with the band of chance."""
    figure, panels = canvas(len(names), size=(2.8, 2.5))
    for values, panel in zip(below, panels, strict=True):
        n = max(len(values), 1)
        panel.axhspan(
            -1.358 / math.sqrt(n), 1.358 / math.sqrt(n), color=GREY, alpha=0.2, linewidth=0, label="95 of 100 studies"
        )
        panel.axhline(0, color=GREY, linewidth=0.9, linestyle="--")
        panel.step(
            values, np.arange(1, len(values) + 1) / n - values, where="post", color=BLUE, linewidth=1.2, label="people"
        )
        panel.set_xlim(0, 1)
        panel.set_xlabel("share of posterior below truth")
    panels[0].set_ylabel("share of people, less uniform")
    headings(figure, title, panels, names)
    legend_below(figure, panels[0])
    return figure


def comparison(
    *, title: str, models: Sequence[str], measures: Sequence[tuple[str, np.ndarray, np.ndarray | None]]
) -> Figure:
    """Difference of each model from the best, (M,), with standard errors, a panel for each measure; 0 is best."""
    figure, panels = canvas(len(measures), size=(3.6, 0.9 + 0.36 * len(models)), columns=2)
    place = np.arange(len(models))[::-1]
    for (label, behind, error), panel in zip(measures, panels, strict=True):
        spread = np.zeros_like(behind) if error is None else np.nan_to_num(error)
        panel.barh(place, behind, color=[GREEN if value == 0 else BLUE for value in behind], height=0.6)
        if error is not None:
            worse = behind > 0
            panel.errorbar(
                behind[worse], place[worse], xerr=spread[worse], fmt="none", ecolor="black", elinewidth=1, capsize=2
            )
        reach = max(float((behind + spread).max()), 1e-9)
        for where, value, half in zip(place, behind, spread, strict=True):
            text = "best" if value == 0 else f"{value:.1f}" + (f" ± {half:.1f}" if error is not None else "")
            start = 0.0 if value == 0 else value + half
            panel.text(start + 0.03 * reach, where, text, va="center", fontsize=8)
        panel.set_xlim(min(0.0, float((behind - spread)[behind > 0].min(initial=0.0))), 1.45 * reach)
        panel.set_yticks(place, list(models) if panel is panels[0] else [""] * len(models), fontsize=8)
        panel.set_xlabel(label)
    headings(figure, title, panels, [""] * len(panels))
    return figure


def trace(*, title: str, log_evidence: np.ndarray, change: np.ndarray) -> Figure:
    """The path of EM: log evidence, and the change of the group's parameters, by iteration."""
    figure, (left, right) = canvas(2, size=(3.3, 2.6))
    iteration = np.arange(1, len(log_evidence) + 1)
    style = {"color": BLUE, "linewidth": 1.2, "marker": "o" if len(iteration) <= 60 else None, "markersize": 3}
    left.plot(iteration, log_evidence, **style)
    left.set_ylabel("log evidence\nof all people (nats)")
    right.semilogy(iteration, np.maximum(change, 1e-300), **style)
    right.set_ylabel("largest change\nof a group parameter")
    for panel in (left, right):
        panel.set_xlabel("iteration")
        whole_numbers(panel.xaxis)
    headings(figure, title, (left, right), ("", ""))
    return figure


def loss(*, title: str, step: np.ndarray, loss: np.ndarray) -> Figure:
    """The loss of an optimiser by step; most of the axis shows the end."""
    figure, (panel,) = canvas(1, size=(3.6, 2.6))
    panel.plot(step, loss, color=BLUE, linewidth=1.2)
    low, high = loss.min(), np.quantile(loss, 0.98)
    panel.set_ylim(low - 0.05 * (high - low), high + 0.25 * (high - low) if high > low else None)
    panel.set_xlabel("step")
    panel.ticklabel_format(axis="y", useOffset=False)
    panel.set_ylabel("loss: negative ELBO (nats)")
    headings(figure, title, (panel,), ("",))
    return figure


KINDS: dict[str, Callable[..., Figure]] = {
    "parameters": parameters,
    "estimates": estimates,
    "effects": effects,
    "choice_curves": by_trial,
    "recovery": recovery,
    "calibration": calibration,
    "confusion": confusion,
    "comparison": comparison,
    "frequencies": frequencies,
    "responsibilities": responsibilities,
    "curves": curves,
    "ranks": ranks,
    "trace": trace,
    "loss": loss,
}


def render(kind: str, numbers: dict[str, Any], file_format: str = "png") -> bytes:
    """Draw a figure of some kind from its numbers, and return the bytes of a file."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = KINDS[kind](**numbers)
    FigureCanvasAgg(figure)
    out = io.BytesIO()
    # Without the date, and with a fixed salt of identifiers, equal figures are equal files.
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[file_format]
    with rc_context({"svg.hashsalt": "pyem"}):
        figure.savefig(out, format=file_format, metadata=metadata)
    return out.getvalue()


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Draw requests until they end: pickled (name, kind, numbers, format) in, pickled (name, bytes) out.

    `pyem.cli.report` runs this in a second process, which imports Matplotlib and draws while the first one fits.
    """
    # Fonts are found and read when something is drawn for the first time.
    render("recovery", {"title": "x", "names": ["x"], "truth": np.eye(2)[:, :1], "estimates": np.eye(2)[:, :1]})
    while True:
        try:
            name, kind, numbers, file_format = pickle.load(jobs)
        except EOFError:
            return
        pickle.dump((name, render(kind, numbers, file_format)), answers)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
