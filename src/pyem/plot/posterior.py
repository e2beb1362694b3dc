"""Figures of correlations between parameters, of a group's posterior, and of one person over trials."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyem.draw import posterior as draw
from pyem.draw.inline import undated
from pyem.errors import Unavailable, list_of, require_kind
from pyem.plot.numbers import labels_of, title_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from pyem.results.fit import Fit

MOST_PAIRS = 15
"""Largest number of pairs of parameters in one figure."""
WIDTHS = {"column": 85.0, "page": 178.0}
"""Widths of figures in journals, in millimetres."""


def plot_correlations(fit: Fit, parameters: Sequence[str] | None = None) -> Figure:
    """Estimates of people against each other, a panel for each pair of parameters, with their correlation.

    Estimates that trade off against each other in a person correlate even where people's true values do not:
    `pyem.recovery` and its `cross` tell how much of this there is.

    Parameters
    ----------
    fit
        A fit by any method, of a model with two parameters or more.
    parameters
        Parameters to show; by default the first six.

    Raises
    ------
    ValueError
        If there are fewer than two, or one is not of the model.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_map(model, pyem.simulate(model, subjects=3, trials=20, key=1))
    >>> len(plot_correlations(fit).axes)
    1
    """
    require_kind("fit", fit)
    names = _known(fit, parameters or fit.model.names[:6])
    pairs = list(itertools.combinations(names, 2))[:MOST_PAIRS]
    if not pairs:
        raise ValueError(f"{fit.model.name} has one parameter here ({list_of(names)}); a correlation needs two")
    values = [fit.params[:, [fit.model.names.index(name) for name in pair]] for pair in pairs]
    return draw.correlations(title=title_of(fit, "Parameters of people"), pairs=pairs, values=values)


def plot_densities(fit: Fit, parameters: Sequence[str] | None = None, *, draws: int = 2000, key: Any = 0) -> Figure:
    """Posterior density of the group's mean in natural units, with median and central 95 %.

    Parameters
    ----------
    fit
        A fit with a group. Of `fit_em` it is the Gaussian that its standard errors describe.
    parameters
        Parameters to show; by default all.
    draws, key
        Number of draws, and their seed.

    Raises
    ------
    Unavailable
        If the fit has no group, or nothing is known of how uncertain it is.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_em(model, pyem.simulate(model, subjects=10, key=1))
    >>> len(plot_densities(fit).axes)
    2
    """
    require_kind("fit", fit)
    names = _known(fit, parameters or fit.model.names)
    if fit.population is None:
        raise Unavailable(f"a fit by {fit.method} has no group here; use pyem.fit_em, or plot_estimates for people")
    coef = fit.draws(draws, key=key).group.get("coef")
    if coef is None or not np.isfinite(coef).all():
        raise Unavailable("nothing is known of how uncertain this group is; see fit.problems()")
    natural = fit.model.natural(coef[:, 0])
    places = [fit.model.names.index(name) for name in names]
    labels = labels_of(fit)
    return draw.densities(
        title=title_of(fit, "Mean of the group"),
        names=names,
        labels=[labels[k] for k in places],
        draws=[natural[:, k] for k in places],
    )


def plot_latents(fit: Fit, person: Any = None, *, names: Sequence[str] | None = None, blocks: int = 4) -> Figure:
    """Beliefs, values and prediction errors of one person over trials, from `fit.latents()`.

    Parameters
    ----------
    fit
        A fit by any method.
    person
        Label of the person; the first one if not given.
    names
        Columns of ``fit.latents()``; by default the probabilities of the options, and what the model keeps and updates. Columns
        that differ by a number (``value0``, ``value1``) share a panel.
    blocks
        Number of blocks to show, one after another; dotted lines mark their beginnings.

    Raises
    ------
    ValueError
        If there is no such person or column.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_map(model, pyem.simulate(model, subjects=3, trials=20, key=1))
    >>> [axis.get_ylabel() for axis in plot_latents(fit, 2).axes]
    ['p', 'value', 'prediction error']
    """
    require_kind("fit", fit)
    subjects = [str(label) for label in fit.data.subjects]
    label = subjects[0] if person is None else str(person)
    if label not in subjects:
        raise ValueError(f"there is no person {label!r}; there are {list_of(subjects)}")
    whole = fit.latents()
    table: Any = whole[whole["subject"].astype(str) == label]
    shown = table["block"].drop_duplicates()[:blocks] if "block" in table else []
    table = table[table["block"].isin(shown)] if len(shown) else table
    chosen = list(names or _latent_names(table))
    if unknown := [name for name in chosen if name not in table]:
        raise ValueError(f"latents() has no column {unknown[0]!r}; it has {list_of(list(table.columns), 40)}")
    trial = np.arange(1, len(table) + 1)
    new = table["block"].ne(table["block"].shift()).to_numpy() if len(shown) else trial == 1
    return draw.beliefs(
        title=f"{fit.model.name}, person {label}",
        trial=trial,
        starts=(trial[new] - 0.5)[1:].tolist(),
        panels=_panels(fit, table, chosen, trial),
    )


def _latent_names(table: pd.DataFrame) -> list[str]:
    """Columns after the probability of the response, without standard deviations."""
    columns = [str(name) for name in table.columns]
    behind = columns[columns.index("probability") + 1 :] if "probability" in columns else columns[3:]
    return [name for name in behind if name != "log_prob" and not name.endswith("_sd")][:16]


def _panels(fit: Fit, table: pd.DataFrame, names: Sequence[str], trial: np.ndarray) -> list[dict[str, Any]]:
    stems: dict[str, list[str]] = {}
    for name in names:
        stems.setdefault(re.sub(r"\d+$", "", name) or name, []).append(name)
    panels = [
        {"name": stem.replace("_", " "), "lines": [(name, table[name].to_numpy(float)) for name in own], "marks": []}
        for stem, own in stems.items()
    ]
    response = fit.model.responses[0]
    if fit.model.options is not None and response in table:
        values = table[response].to_numpy(float)
        panels[0]["marks"] = [
            (f"chose {code:g}", trial[values == code]) for code in np.unique(values[np.isfinite(values)])[:4]
        ]
    return panels


def _known(fit: Fit, names: Sequence[str]) -> list[str]:
    names = [names] if isinstance(names, str) else list(names)
    if unknown := [name for name in names if name not in fit.model.names]:
        raise ValueError(f"{fit.model.name} has no parameter {unknown[0]!r}; it has {list_of(list(fit.model.names))}")
    return names


def save_figure(figure: Figure, path: str | Path, *, width: Literal["column", "page"] | float | None = None) -> Path:
    """Write a figure to a file in the form that journals ask for: vectors, text that stays text, the width of a column.

    Parameters
    ----------
    figure
        Figure from any function of `pyem.plot`.
    path
        Its ending says the format: ``.pdf`` and ``.svg`` are vectors, ``.png`` is drawn with 300 dots an inch.
    width
        ``"column"`` (85 mm), ``"page"`` (178 mm) or millimetres; the height goes along. As it is if not given.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> import tempfile
    >>> from pyem.draw.canvas import canvas
    >>> save_figure(canvas(1)[0], Path(tempfile.mkdtemp()) / "a.pdf", width="column").stat().st_size > 1000
    True
    """
    from matplotlib import rc_context

    path = Path(path)
    inches = figure.get_size_inches()
    if width is not None:
        wide = WIDTHS.get(width, width) if isinstance(width, str) else width
        if isinstance(wide, str) or not 10 <= wide <= 1000:
            raise ValueError(f"width={width!r}; give 'column', 'page', or 10 to 1000 millimetres")
        figure.set_size_inches(wide / 25.4, inches[1] * wide / 25.4 / inches[0])
    try:
        with rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}):
            figure.savefig(path, dpi=300, metadata=undated(path))
    finally:
        figure.set_size_inches(*inches)
    return path
