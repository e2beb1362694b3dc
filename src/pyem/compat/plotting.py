"""Plots of the pyEM interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_scatter(
    x: Any,
    xlabel: str,
    y: Any,
    ylabel: str,
    *,
    ax: Axes | None = None,
    show_line: bool = True,
    equal_limits: bool = True,
    s: float = 75,
    alpha: float = 0.6,
    colorname: str = "royalblue",
    annotate: bool = True,
    figsize: tuple[float, float] = (4, 4),
) -> Axes:
    """Plot two variables against each other, with their correlation. The figure is not shown.

    Parameters
    ----------
    x, y
        Values, (S,).
    xlabel, ylabel
        Labels of the axes.
    ax
        Axes to draw on; a new figure of `figsize` inches if None.
    show_line
        Draw the line of equality.
    equal_limits
        Give both axes the same range.
    s, alpha, colorname
        Size, opacity and colour of the points.
    annotate
        Write Pearson's r into the corner.
    figsize
        Size of a new figure, in inches.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> plot_scatter([1.0, 2.0, 3.0], "true", [1.1, 2.1, 2.8], "estimated").texts[0].get_text()
    'Pearson r = 0.99'
    """
    x, y = np.asarray(x, float).ravel(), np.asarray(y, float).ravel()
    if x.shape != y.shape:
        raise ValueError(f"{xlabel!r} has {len(x)} values, but {ylabel!r} has {len(y)}; expected as many")
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    assert ax is not None
    ax.scatter(x, y, s=s, alpha=alpha, color=colorname, edgecolors="none")
    seen = np.concatenate([x, y])
    seen = seen[np.isfinite(seen)]
    if len(seen) and (equal_limits or show_line):
        low, high = seen.min(), seen.max()
        pad = 0.05 * (high - low or 1.0)
        ends = (low - pad, high + pad)
        if equal_limits:
            ax.set_xlim(*ends)
            ax.set_ylim(*ends)
            ax.set_aspect("equal")
        if show_line:
            ax.plot(ends, ends, color="0.5", linewidth=1, linestyle="--", zorder=0)
    if annotate:
        words = f"Pearson r = {_correlation(x, y):.2f}"
        ax.annotate(words, (0.04, 0.96), xycoords="axes fraction", va="top")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    here = np.isfinite(x) & np.isfinite(y)
    if here.sum() < 2 or np.ptp(x[here]) == 0 or np.ptp(y[here]) == 0:
        return float("nan")
    return float(np.corrcoef(x[here], y[here])[0, 1])


def plot_choices(
    choices_A: Any,
    filename: str | Path | None = None,
    *,
    ax: Axes | None = None,
    ylabel: str = "proportion of choices A",
    chance: float | None = 0.5,
) -> Axes:
    """Plot how often option A was chosen on each trial, over people and blocks, with its standard error over people.

    Parameters
    ----------
    choices_A
        1 where A was chosen, (S, B, T), as simulations and fits report it, or the letters themselves; NaN or None where missed.
    filename
        File to save the figure to.
    ax
        Axes to draw on; if None a new figure, which is shown if there is a screen.
    ylabel
        Label of the axis.
    chance
        Height of a horizontal line, or None.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> plot_choices(np.ones((5, 2, 10))).get_xlabel()
    'trial'
    """
    choices = np.array(choices_A)
    if choices.dtype.kind in "OUS":
        choices = choices.astype(object)
        choices[choices == "A"], choices[choices == "B"] = 1.0, 0.0
    choices = choices.astype(float)
    if choices.ndim not in (2, 3):
        raise ValueError(f"choices_A has shape {choices.shape}; expected (subjects, blocks, trials)")
    by_person = choices if choices.ndim == 2 else np.nanmean(choices, axis=1)
    mean = np.nanmean(by_person, axis=0)
    n = np.maximum(np.isfinite(by_person).sum(0), 1)
    error = np.nanstd(by_person, axis=0) / np.sqrt(n)
    new = ax is None
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
    assert ax is not None
    trials = np.arange(1, len(mean) + 1)
    ax.plot(trials, mean, color="royalblue")
    ax.fill_between(trials, mean - error, mean + error, color="royalblue", alpha=0.25, linewidth=0)
    if chance is not None:
        ax.axhline(chance, color="0.5", linewidth=1, linestyle="--", zorder=0)
    ax.set_ylim(0, 1)
    ax.set_xlabel("trial")
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    if filename is not None:
        ax.get_figure(root=True).savefig(filename)  # type: ignore[union-attr]
    if new:
        show_figure(ax.figure)  # type: ignore[arg-type]
    return ax


def show_figure(figure: Figure) -> None:
    """Show a figure if there is a screen."""
    import matplotlib
    import matplotlib.pyplot as plt

    if matplotlib.get_backend().lower() not in ("agg", "pdf", "ps", "svg", "cairo", "template"):
        plt.show()


def plot_recovery(
    recovery: Mapping[str, Any],
    names: Sequence[str],
    *,
    show_line: bool = True,
    figsize: tuple[float, float] | None = None,
    show: bool = True,
) -> Figure:
    """Plot true against estimated parameters from `EMModel.recover`, a panel for each and three panels a row."""
    import matplotlib.pyplot as plt

    true, estimated = (np.asarray(recovery[key]) for key in ("true_params", "estimated_params"))
    n = true.shape[1]
    rows = -(-n // 3)
    figure, axes = plt.subplots(rows, 3, figsize=figsize or (10.8, 3.6 * rows), squeeze=False, layout="compressed")
    for k, ax in enumerate(axes.flat):
        if k >= n:
            ax.remove()
            continue
        name = names[k] if k < len(names) else f"parameter {k}"
        plot_scatter(true[:, k], f"true {name}", estimated[:, k], f"estimated {name}", show_line=show_line, ax=ax)
    if show:
        show_figure(figure)
    return figure


def plot_shares(
    shares: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    *,
    cmap: str,
    annotate: bool,
    figsize: tuple[float, float],
    show: bool,
) -> Figure:
    """Plot the share of the rounds simulated by each model (rows) that was won by each model (columns)."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=figsize, layout="constrained")
    image = ax.imshow(shares, cmap=cmap, vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(shares) if annotate else ():
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if dark else "black")
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xlabel("estimated")
    ax.set_ylabel("simulated")
    ax.set_title(title)
    figure.colorbar(image, ax=ax, label="proportion of rounds", shrink=0.85)
    if show:
        show_figure(figure)
    return figure
