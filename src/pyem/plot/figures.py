"""Figures from fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.draw import figures as draw
from pyem.errors import require_kind
from pyem.plot.numbers import (
    choice_curve_numbers,
    comparison_numbers,
    effect_numbers,
    estimate_numbers,
    latent_numbers,
    parameter_numbers,
    title_of,
    trace_numbers,
)
from pyem.study.parameter_recovery import Recovery

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from pyem.results.fit import Fit
    from pyem.study.model_recovery import Confusion, Unit


def plot_parameters(fit: Fit) -> Figure:
    """Histogram of people's estimates for each parameter, with the fitted group.

    Parameters
    ----------
    fit
        A fit by any method. Density and median of the group are drawn where there is a group (EM). Estimates are drawn
        towards the group's mean, the more the less a person's data say, so they spread less than the group does.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> plot_parameters(pyem.fit_map(model, pyem.simulate(model, subjects=10, key=1))).axes[0].get_title()
    'beta'
    """
    require_kind("fit", fit)
    return draw.parameters(**parameter_numbers(fit))


def plot_estimates(fit: Fit) -> Figure:
    """Every person's estimate with its 95 % interval, sorted, on the natural scale.

    Intervals are the central ones of the posterior, as far as the method knows it; those of a Laplace approximation are
    symmetric on the unconstrained scale, so they stay within the parameter's range.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> plot_estimates(pyem.fit_map(model, pyem.simulate(model, subjects=10, key=1))).axes[0].get_title()
    'beta'
    """
    require_kind("fit", fit)
    return draw.estimates(**estimate_numbers(fit))


def plot_effects(fit: Fit, parameters: Sequence[str] | None = None) -> Figure:
    """Parameters in the conditions of a design: people, joined by lines, and group means with their 95 % intervals.

    Parameters
    ----------
    fit
        A fit with a group of what `pyem.regress` or `pyem.by` made.
    parameters
        Parameters to show; by default all that have a formula.

    Examples
    --------
    >>> import pyem
    >>> design = pyem.regress(pyem.models.get("rw1a1b"), "alpha ~ drug + (1 | subject)")
    >>> data = pyem.simulate(
    ...     design, subjects=5, blocks=2, trials=20, key=1, conditions={"drug": ["placebo", "active"]}
    ... )
    >>> plot_effects(pyem.fit_em(design, data)).get_suptitle()  # doctest: +SKIP
    """
    require_kind("fit", fit)
    return draw.effects(**effect_numbers(fit, parameters))


def plot_choice_curves(
    fit: Fit, *, option: Any = None, by_block: bool = False, by: str | Sequence[str] | None = None
) -> Figure:
    """Proportion of choosing one option by trial of the block: people, with a band, and the fitted model.

    The model's curve is the mean of its probabilities for the trials that people responded to, each given what this person
    had chosen and earned before (one step ahead). It is no simulation of new people.

    Parameters
    ----------
    fit
        A fit of a model with a categorical response.
    option
        Label of the option; by default the one whose outcomes were best on average, or that was chosen most often where there
        is no outcome.
    by_block
        A panel for each block (by its label) instead of the mean over blocks.
    by
        Columns by whose levels the trials are split, a curve for each combination: conditions, stimuli, groups of people. They
        are fields with one value a trial, covariates, or ``"block"``.

    Raises
    ------
    ValueError
        If the response is not categorical, there is no such option or column, or there are more than 12 combinations.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=10, blocks=2, key=1)
    >>> len(plot_choice_curves(pyem.fit_map(model, data), by_block=True).axes)
    2
    """
    require_kind("fit", fit)
    return draw.by_trial(**choice_curve_numbers(fit, option=option, by_block=by_block, by=by))


def plot_learning_curves(
    fit: Fit, name: str, *, by_block: bool = False, by: str | Sequence[str] | None = None
) -> Figure:
    """A latent of the fitted model by trial of the block: means over people, with the 95 % interval of the mean.

    Parameters
    ----------
    fit
        A fit of a model that says something of each trial.
    name
        A column of ``fit.latents()``: a value, a prediction error, the probability of an option.
    by_block, by
        Arguments as in `plot_choice_curves`.

    Raises
    ------
    ValueError
        If there is no such latent, or no such column.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=10, blocks=2, key=1)
    >>> len(plot_learning_curves(pyem.fit_map(model, data), "prediction_error", by="block").axes[0].lines)
    2
    """
    require_kind("fit", fit)
    return draw.by_trial(**latent_numbers(fit, name, by_block=by_block, by=by))


def plot_recovery(truth: Any, estimates: Any = None, names: Sequence[str] | None = None) -> Figure:
    """True parameters against estimates, with their correlation and root mean square error.

    Parameters
    ----------
    truth, estimates, names
        Parameters (S, P) and what they are called; or a `pyem.Recovery` alone, whose people of all rounds are shown.

    Examples
    --------
    >>> len(plot_recovery([[1.0, 2.0], [2.0, 3.0]], [[1.1, 2.0], [1.9, 3.2]], ["beta", "alpha"]).axes)
    2
    """
    if isinstance(truth, Recovery):
        names = truth.model.names
        truth, estimates = (values.reshape(-1, len(names)) for values in (truth.truth, truth.estimate))
    elif estimates is None or names is None:
        raise ValueError("give the estimates and the names of the parameters too, or the result of pyem.recovery alone")
    truth, estimates = np.asarray(truth, float), np.asarray(estimates, float)
    if truth.ndim != 2 or truth.shape != estimates.shape or truth.shape[1] != len(names):
        raise ValueError(
            f"truth has shape {truth.shape} and estimates {estimates.shape}; expected (subjects, {len(names)} parameters) "
            "for both"
        )
    title = f"Recovery of the parameters of {len(truth)} people"
    return draw.recovery(title=title, names=list(names), truth=truth, estimates=estimates)


def plot_confusion(study: Confusion, *, unit: Unit = "group") -> Figure:
    """Confusion matrix (the best model for the data of each model), and the inversion matrix beside it.

    Parameters
    ----------
    study
        A result of `pyem.confusion`.
    unit
        Count groups or single subjects.

    Examples
    --------
    >>> from pyem.study.model_recovery import Confusion
    >>> scores = np.array([[[0.0, -1.0]], [[-1.0, 0.0]]])
    >>> len(plot_confusion(Confusion(("one", "other"), "lme", scores, scores[..., None])).axes)
    2
    """
    require_kind("confusion", study)
    n = int(study.wins(unit)[0].sum())
    return draw.confusion(
        title=f"Best by {study.by} of {n} {'groups' if unit == 'group' else 'people'} of each model",
        names=list(study.names),
        matrices=[
            ("share of times that it was the best", study.matrix(unit).to_numpy()),
            ("probability of who made the data", study.inversion(unit).to_numpy()),
        ],
    )


def plot_calibration(study: Recovery) -> Figure:
    """Share of the posterior below the truth, for each parameter: people's, against the uniform that it should be.

    The curve is the difference of the cumulative distribution of people from the uniform; the band has it in 95 of 100
    studies if intervals are right (Kolmogorov-Smirnov). A slope upward in the middle: intervals are too wide; downward: too
    narrow; all above 0: truths are lower than thought.

    Parameters
    ----------
    study
        A result of `pyem.recovery`, with people drawn from the prior of the fit; see `pyem.Recovery.calibration`.

    Examples
    --------
    >>> import pyem
    >>> study = pyem.recovery(pyem.models.get("rw1a1b"), key=1, subjects=50, fit=pyem.fit_map)
    >>> len(plot_calibration(study).axes)
    2
    """
    require_kind("recovery", study)
    below = study.below()
    p = study.calibration()["p"]
    return draw.calibration(
        title=f"Calibration of {study.model.name}",
        names=[f"{name}: p = {p[name]:.2g}" for name in study.model.names],
        below=[np.sort(values) for values in below],
    )


def plot_comparison(table: pd.DataFrame) -> Figure:
    """Difference of each model from the best, by each measure of a table of `compare_fits`; 0 is best.

    Parameters
    ----------
    table
        A row for each model.

    Examples
    --------
    >>> import pyem
    >>> data = pyem.simulate(pyem.models.get("rw1a1b"), subjects=10, key=1)
    >>> fits = {name: pyem.fit_em(pyem.models.get(name), data) for name in ("rw1a1b", "rw2a1b")}
    >>> len(plot_comparison(pyem.compare_fits(fits)).axes) > 0
    True
    """
    require_kind("table", table)
    return draw.comparison(**comparison_numbers(table))


def plot_trace(fit: Fit) -> Figure:
    """The path of an EM iteration, log evidence and change of the group's parameters; or the loss of `fit_svi` by step.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> len(plot_trace(pyem.fit_em(model, pyem.simulate(model, subjects=10, key=1))).axes)
    2
    """
    require_kind("fit", fit)
    if "elbo" in fit.trace:
        step, loss = (np.asarray(fit.trace[name], float) for name in ("step", "elbo"))
        return draw.loss(title=title_of(fit, "Variational inference"), step=step, loss=-loss)  # type: ignore[arg-type]
    return draw.trace(**trace_numbers(fit))
