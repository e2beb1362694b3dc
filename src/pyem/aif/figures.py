"""Figures: an episode in the T-maze, and posteriors of many agents beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from pyem.aif.maze_constants import LOCATIONS
from pyem.data.dataset import Dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyem.results.fit import Fit

PLACES = {0: (1.5, 1.4), 1: (0.5, 2.5), 2: (2.5, 2.5), 3: (1.5, 0.4), 4: (1.5, 2.5)}
"""Middle of each place of the maze on paper."""
LEFT, RIGHT, NEUTRAL = "tab:orange", "tab:purple", "0.6"


def render_maze(data: Dataset, *, subject: int = 0, block: int = 0) -> Figure:
    """A panel for each trial of a block in the T-maze: where the agent is, what it sees and gets, where it goes next.

    Parameters
    ----------
    data
        Data with the columns ``o0`` (place), ``o1`` (outcome), ``o2`` (cue) and ``action``.
    subject, block
        Indices of the person and of the block, counted from 0.

    Raises
    ------
    ValueError
        If there is no such block.
    """
    from pyem.draw.picture import Picture

    lanes = np.flatnonzero(data.lane_subject == subject)
    if block >= len(lanes):
        raise ValueError(f"subject {subject} has {len(lanes)} blocks, so there is no block {block}")
    lane = lanes[block]
    rows = np.flatnonzero(data.valid[:, lane])
    figure = Picture(figsize=(2.1 * len(rows), 2.9), layout="constrained")
    axes = figure.subplots(1, len(rows), squeeze=False)[0]
    for t, axis in zip(rows, axes, strict=True):
        place, outcome, cue, action = (
            int(data.fields[name][t, lane]) if data.present[name][t, lane] else -1
            for name in ("o0", "o1", "o2", "action")
        )
        _draw_maze(axis, place, outcome, cue)
        goes = "no response" if action < 0 else f"to the {LOCATIONS[action]}"
        axis.set_title(f"trial {t}: {goes}", fontsize=9)
    return figure


def _draw_maze(axis: Any, place: int, outcome: int, cue: int) -> None:
    from matplotlib.patches import Circle, Rectangle

    colours = {1: LEFT, 2: RIGHT}
    for k, (x, y) in PLACES.items():
        height = {3: 0.8, 0: 1.2}.get(k, 1.0)
        axis.add_patch(
            Rectangle(
                (x - 0.5, y - height / 2),
                1.0,
                height,
                facecolor=colours.get(k, "0.6"),
                alpha=0.35,
                edgecolor="white",
                linewidth=2,
            )
        )
    axis.add_patch(Circle(PLACES[3], 0.3, facecolor=colours.get(cue, NEUTRAL), edgecolor="0.3", linewidth=1))
    if place >= 0:
        x, y = PLACES[place]
        axis.add_patch(Circle((x, y), 0.16, facecolor="black", zorder=3))
        if outcome in (1, 2):
            sign, colour = ("+", "tab:green") if outcome == 1 else ("-", "tab:red")
            axis.text(x, y - 0.42, sign, color=colour, fontsize=18, weight="bold", ha="center", va="center", zorder=4)
    axis.set_xlim(-0.1, 3.1)
    axis.set_ylim(-0.1, 3.1)
    axis.set_aspect("equal")
    axis.axis("off")


def plot_posteriors(
    draws: Any,
    truth: Any = None,
    *,
    name: str = "",
    labels: Sequence[Any] | None = None,
    bounds: tuple[float, float] | None = None,
    bins: int = 60,
) -> Figure:
    """The posterior of one parameter for every subject, as violins and as densities, sorted by the truth.

    Parameters
    ----------
    draws
        A fit of a model with one parameter, or of the parameter `name`; or draws of the natural parameter, (subject, draw).
        People without a regular posterior are left out.
    truth
        (subject,); without it, subjects are sorted by their posterior means.
    name, labels
        Name of the parameter, and labels of the subjects; those of the fit if not given.
    bounds
        Range of the parameter on paper; that of the draws if not given (for a fit, the parameter's own if it is finite).
    bins
        Bins of the densities.

    Raises
    ------
    ValueError
        If shapes do not belong together.
    """
    from pyem.draw.picture import Picture

    if not isinstance(draws, np.ndarray | jax.Array | Sequence):
        fit: Fit = draws
        draws, name = _drawn(fit, name)
        labels = list(fit.data.subjects) if labels is None else labels
        bounds = bounds or _finite(next(p for p in fit.model.parameters if name in p.names).transform.bounds)
    draws = np.asarray(draws, float)
    if draws.ndim != 2 or draws.shape[1] < 2:
        raise ValueError(f"draws should have the shape (subject, draw), but have {draws.shape}; pick one parameter")
    known = None if truth is None else np.asarray(truth, float)
    if known is not None and known.shape != (len(draws),):
        raise ValueError(f"truth has shape {known.shape}, but there are {len(draws)} subjects")
    draws, known, labels = _with_posterior(draws, known, labels)
    mean = draws.mean(1)
    order = np.argsort(mean if known is None else known)
    low, high = bounds or (draws.min(), draws.max())
    where = np.arange(len(draws))
    names = [str(k if labels is None else labels[k]) for k in order]
    figure = Picture(figsize=(max(6.0, 0.55 * len(draws) + 2), 7), layout="constrained")
    above, below = figure.subplots(2, 1)
    violins = above.violinplot(list(draws[order]), positions=where, showextrema=False, showmedians=True)
    for body in violins["bodies"]:  # type: ignore[union-attr]
        body.set_alpha(0.35)
    above.plot(where, mean[order], "ko", markersize=4, label="posterior mean")
    edges = np.linspace(low, high, bins + 1)
    density = np.stack([np.histogram(row, bins=edges, density=True)[0] for row in draws[order]], axis=1)
    image = below.imshow(density, aspect="auto", origin="lower", extent=(-0.5, len(draws) - 0.5, low, high))
    figure.colorbar(image, ax=below, label="density")
    for axis in (above, below):
        if known is not None:
            axis.plot(where, known[order], "x", color="crimson", label="truth")
            axis.legend(loc="upper left")
        axis.set_ylim(low, high)
        axis.set_xticks(where, names)
        axis.set_ylabel(name)
    below.set_xlabel("subject" + ("" if known is None else ", sorted by the truth"))
    return figure


def _with_posterior(draws: np.ndarray, known: np.ndarray | None, labels: Any) -> tuple[Any, Any, Any]:
    """Select the people who have draws."""
    here = np.flatnonzero(np.isfinite(draws).all(1))
    if not len(here):
        raise ValueError("nobody has a regular posterior to draw; see problems() of the fit")
    return (
        draws[here],
        None if known is None else known[here],
        here if labels is None else [labels[k] for k in here],
    )


def _drawn(fit: Fit, name: str) -> tuple[np.ndarray, str]:
    """Draws of one natural parameter of a fit, (subject, draw), and its name."""
    names = fit.model.names
    if name not in names and (name or len(names) > 1):
        raise ValueError(f"model {fit.model.name!r} has no parameter {name!r}; name one of {', '.join(names)}")
    k = names.index(name) if name else 0
    return fit.draws(2000).params[..., k].T, names[k]


def _finite(bounds: tuple[float, float]) -> tuple[float, float] | None:
    return bounds if np.isfinite(bounds).all() else None
