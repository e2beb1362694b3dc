"""Methods shared by `PointFit` and `GridFit`, as functions of a fit that both classes include."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pyem.numerics.rng import generator
from pyem.results.draws import drawn_prior, one_chain
from pyem.results.effects import Weights, effects_table
from pyem.results.fit import Chains, Draws, Fit, Unit
from pyem.results.latents import latents_at
from pyem.results.marginal import MarginalMeans, marginal_means_of
from pyem.results.point_problems import (
    bound_problems,
    drift_problems,
    group_problems,
    iteration_problems,
    people_problems,
    untold_problems,
    vague_problems,
)
from pyem.results.tables import information_table

if TYPE_CHECKING:
    import pandas as pd


class Estimates(Fit, Protocol):
    """A fit whose group, if there is one, is a point estimate too."""

    @property
    def information(self) -> np.ndarray | None:
        """Observed information of the group's parameters, or None."""
        ...


# -- tables -----------------------------------------------------------------------------------------------------------


def group_table(fit: Estimates) -> pd.DataFrame:
    """A row for each group parameter: mean, effect of a covariate, sd, correlation.

    Columns: ``estimate``, standard error ``se`` and 95 % interval ``low``, ``high`` on the unconstrained scale;
    ``natural``, ``natural_low``, ``natural_high``: the group's median and its interval on the natural scale, and
    ``natural_mean``, the mean over people of a Gaussian group, which papers on diffusion models report; ``z`` (the
    estimate in standard errors) and ``p`` (two-sided) for effects. Intervals and p use Student's t with as many degrees
    of freedom as there are subjects beyond the regression's weights. Intervals of standard deviations are symmetric for
    their logarithm; one from 0 to infinity has no upper limit, as these data do not tell. A standard deviation on its lower
    bound (nobody differs as far as the data tell) has no error.

    Raises
    ------
    Unavailable
        If the fit has no group (maximum likelihood, MAP, a grid under a given prior).
    """
    return information_table(fit, fit.information)


def effects(fit: Estimates) -> pd.DataFrame:
    """A row for each effect of a design: the parameter, the effect, its estimate and error, z and p.

    Estimates are on the unconstrained scale of the parameter, which ``scale`` names. ``sd`` is the standard deviation of the
    effect between people, missing for what is common to all; ``coding`` says what the levels of the factors of a formula are
    coded as, and what the mean of a number is that was centred. See `pyem.regress`.

    Raises
    ------
    Unavailable
        If the fit has no group.
    """
    return effects_table(fit.model, fit.data, Weights.of_information(fit.population, fit.information, fit.method))


def marginal_means(
    fit: Estimates, parameter: str, *, by: str | Sequence[str] | None = None, at: Mapping[str, Any] | None = None
) -> MarginalMeans:
    """Means of a parameter in each combination of columns, averaged over the levels of others, in natural units.

    Parameters
    ----------
    parameter
        Its name, without effects: ``"alpha"``.
    by
        Columns of its formula; by default all that are factors.
    at
        Values of numbers, ``{"age": [20, 60]}``, or of levels; several of one column make a cell each. By default numbers are
        at their mean.

    Raises
    ------
    Unavailable
        If the fit has no group.
    ValueError
        If there is no such parameter, or its formula does not name a column.
    """
    weights = Weights.of_information(fit.population, fit.information, fit.method)
    return marginal_means_of(fit, weights, parameter, by, at)


def latents(fit: Estimates) -> pd.DataFrame:
    """A row for each trial: subject, block, trial, the columns, log-probability of the response, values, latents.

    They are those at `x`. Values are those before the response. Quantities of the update (prediction errors) are NaN
    where the trial taught nothing, the probability is NaN where there was no response. Vectors have a column for each
    place: ``name0``, ``name1``, ...
    """
    return latents_at(fit.model, fit.data, fit.x)


# -- draws ------------------------------------------------------------------------------------------------------------


def prior_draws(fit: Estimates, n: int, *, key: Any = 0) -> Draws:
    """`n` random draws of people from the Gaussian prior that was given.

    Raises
    ------
    Unavailable
        If there was none.
    """
    return drawn_prior(fit.model, fit.method, fit.prior, len(fit.x), n, generator(key))


def chains(fit: Estimates, n: int, *, key: Any = 0) -> Chains:
    """Draw `n` times, as one chain."""
    return one_chain(fit.draws(n, key=key))


# -- saying it --------------------------------------------------------------------------------------------------------


def problems(fit: Estimates) -> list[str]:
    """Descriptions of what is wrong with the estimates; empty if nothing is."""
    return [
        *iteration_problems(fit.population, fit.converged, fit.message, fit.data.subjects, fit.cov),
        *people_problems(fit.data.subjects, fit.status),
        *bound_problems(fit.model, fit.params, fit.status),
        *drift_problems(fit.model, fit.population, fit.cov, fit.message),
        *group_problems(fit.model, fit.population, fit.information),
        *vague_problems(fit.model, fit.population, fit.information),
        *untold_problems(fit.model, fit.population, fit.information),
    ]


def text(self: Estimates) -> str:
    """Summary that Python shows for a fit."""
    return self.summary()


# -- other forms ------------------------------------------------------------------------------------------------------


def to_arviz(
    fit: Estimates,
    *,
    draws: int = 500,
    log_likelihood: Unit | bool | None = True,
    prior: int = 0,
    posterior_predictive: int = 0,
    key: Any = 0,
) -> Any:
    """Convert the fit to ArviZ's container: draws, pointwise log-likelihood, observed data.

    See `pyem.results.arviz.to_arviz`.
    """
    from pyem.results.arviz import to_arviz

    return to_arviz(
        fit,
        draws=draws,
        log_likelihood=log_likelihood,
        prior=prior,
        posterior_predictive=posterior_predictive,
        key=key,
    )


def save(
    fit: Estimates,
    path: str | Path,
    *,
    draws: int = 100,
    log_likelihood: Unit | bool | None = False,
    key: Any = 0,
) -> Path:
    """Write the fit, its data and the model's identity to a netCDF file, which ArviZ opens too.

    `pyem.load` reads it back. The file appears under its name only when it is complete. See `pyem.results.files.save`.
    """
    from pyem.results.files import save

    return save(fit, path, draws=draws, log_likelihood=log_likelihood, key=key)
