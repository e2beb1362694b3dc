"""Plots of the pyEM interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    show_line: bool = True,
    equal_limits: bool = True,
    s: float = 40,
    alpha: float = 0.6,
    colorname: str = "royalblue",
    annotate: bool = True,
    ax: Axes | None = None,
    figsize: tuple[float, float] = (4, 4),
) -> Axes:
    """Two variables against each other, with their correlation.

    Parameters
    ----------
    x, y
        Values, (S,).
    xlabel, ylabel
        Labels of the axes.
    show_line
        Draw the line of equality.
    equal_limits
        Give both axes the same range.
    s, alpha, colorname
        Size, opacity and colour of the points.
    annotate
        Write Pearson's r into the title.
    ax
        Where to draw; a new figure of `figsize` inches if None.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> plot_scatter([1.0, 2.0, 3.0], "true", [1.1, 2.1, 2.8], "estimated").get_xlabel()
    'true'
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
        ax.set_title(f"r = {_correlation(x, y):.2f}")
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
    choices_A: Any, ax: Axes | None = None, *, ylabel: str = "proportion of choices A", chance: float | None = 0.5
) -> Axes:
    """How often option A was chosen on each trial, over people and blocks, with its standard error over people.

    Parameters
    ----------
    choices_A
        1 where A was chosen, (S, B, T), as simulations and fits report it, or the letters themselves; NaN or None where missed.
    ax
        Where to draw; a new figure if None.
    ylabel
        Label of the axis.
    chance
        Where to draw a line, or None.

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
    return ax


def show_figure(figure: Figure) -> None:
    """Show a figure where there is a screen to show it on."""
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
    """True against estimated parameters of what `EMModel.recover` returned, a panel for each and three panels a row."""
    import matplotlib.pyplot as plt

    true, estimated = (np.asarray(recovery[key]) for key in ("true_params", "estimated_params"))
    n = true.shape[1]
    rows, columns = -(-n // 3), min(n, 3)
    size = figsize or (3.6 * columns, 3.6 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="compressed")
    for k, ax in enumerate(axes.flat):
        if k < n:
            name = names[k] if k < len(names) else f"parameter {k}"
            plot_scatter(true[:, k], f"true {name}", estimated[:, k], f"estimated {name}", show_line, ax=ax)
        else:
            ax.set_axis_off()
    if show:
        show_figure(figure)
    return figure
