"""Bayes factors of a point against the rest of a parameter's range, from draws of its posterior."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from pyem.errors import Unavailable, list_of, require_kind, require_number
from pyem.numerics.diagnostics import ess
from pyem.population.priors import from_words
from pyem.results.sample import SampleFit
from pyem.results.sample_rows import group_places

BATCHES = 20
"""Number of parts of the draws, whose spread gives the error."""


@dataclasses.dataclass(frozen=True)
class PointNull:
    """Bayes factor for a certain value of a parameter of the group.

    Parameters
    ----------
    log_bayes_factor
        Log evidence for the value over that for the prior's range, in nats: above 0 the data speak for the value.
    se
        Its Monte-Carlo standard error; infinite where no draw is near the value.
    posterior, prior
        Densities at the value.
    """

    log_bayes_factor: float
    se: float
    posterior: float
    prior: float


def savage_dickey(fit: SampleFit, kind: str, parameter: str, value: float = 0.0) -> PointNull:
    """Bayes factor for a value of a parameter of the group: the posterior density there over the prior density.

    Parameters
    ----------
    fit
        Fit by `fit_nuts` or `fit_bayes`, with a group.
    kind, parameter
        Names of a row of ``fit.group_table()``: ``"effect of drug", "alpha"``, or ``"mean", "beta"``.
    value
        Value on the unconstrained scale, as in the table.

    Raises
    ------
    ValueError
        If there is no such parameter, or its prior has no density there.
    Unavailable
        If the fit has no draws of a group.

    Notes
    -----
    The posterior density is a kernel estimate (Gaussian, Silverman's bandwidth). It is of no use where the value lies beyond
    the draws: the error says so. The ratio is the Bayes factor if priors of the other parameters do not depend on this one
    (Dickey, 1971), which holds for all priors of this library.

    References
    ----------
    Wagenmakers, E.-J., Lodewyckx, T., Kuriyal, H., & Grasman, R. (2010). Bayesian hypothesis testing for psychologists: A
    tutorial on the Savage-Dickey method. Cognitive Psychology, 60(3), 158-189.
    https://doi.org/10.1016/j.cogpsych.2009.12.001

    Examples
    --------
    >>> savage_dickey(fit, "effect of age", "alpha").log_bayes_factor  # doctest: +SKIP
    1.2
    """
    require_kind("fit", fit)
    if not isinstance(fit, SampleFit) or fit.group is None or fit.free is None:
        raise Unavailable(f"a fit by {fit.method} has no draws of a group; use fit_nuts or fit_bayes with a group")
    require_number(value=(value, -math.inf))
    places = {(place.kind, place.parameter): place for place in group_places(fit.model.names, fit.group, fit.free)}
    if (kind, parameter) not in places or kind == "correlation":
        known = [f"{a} of {b}" if a in ("mean", "sd") else f"{a} on {b}" for a, b in places if a != "correlation"]
        raise ValueError(
            f"there is no {kind!r} of {parameter!r} with a prior of its own; the group has {list_of(known)}"
        )
    label = f"{kind} of {parameter}" if kind in ("mean", "sd") else f"{kind} on {parameter}"
    prior = from_words(*fit.priors[label])
    log_prior = float(prior.log_prob(value)) if bool(prior.support(value)) else -math.inf
    if not math.isfinite(log_prior):
        raise ValueError(f"the prior of the {label} has no density at {value:g}; choose a value within its range")
    place = places[kind, parameter]
    draws = fit.posterior[place.name][(slice(None), slice(None), *place.index)]
    density, error = _density(draws, value)
    with np.errstate(divide="ignore"):
        return PointNull(float(np.log(density)) - log_prior, error, density, math.exp(log_prior))


def _density(draws: np.ndarray, value: float) -> tuple[float, float]:
    """Kernel density of draws (chain, draw) at a value, and the relative standard error of it."""
    flat = draws.ravel()
    worth = max(min(float(ess(draws, "mean")), flat.size), 2.0)
    spread = min(flat.std(), np.subtract(*np.quantile(flat, [0.75, 0.25])) / 1.349)
    width = 0.9 * spread * worth**-0.2
    heights = np.exp(-0.5 * ((value - flat) / width) ** 2) / (width * math.sqrt(2 * math.pi))
    density = float(heights.mean())
    if density < 1e-300:
        return density, math.inf
    parts = np.array([part.mean() for part in np.array_split(heights, BATCHES)])
    return density, float(parts.std(ddof=1) / BATCHES**0.5 / density)
