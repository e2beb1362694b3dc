"""Parameters with one value for everybody where people are on their own: maximum likelihood, or a mode under a given prior."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import value_grad_hess
from pyem.model.model import Model
from pyem.population.population import COMMON_SD, Population
from pyem.population.posterior import EStep, GaussianPrior, Laplace

ENOUGH = 1e-12
"""Nats that a Newton step promises below which the search ends."""


class _Profile(NamedTuple):
    """Everybody's modes at common values, and the slope and curvature of the sum of their maxima by these."""

    laplace: Laplace
    value: float
    grad: np.ndarray
    curvature: np.ndarray


def pooled_modes(
    model: Model, data: Dataset, estep: EStep, prior: Population | None, common: np.ndarray, start: np.ndarray
) -> Laplace:
    """Everybody's modes and the common values that are best for all together, by Newton's method on the profile.

    Parameters
    ----------
    model, data
        The model, and its data.
    estep
        Finds people's modes.
    prior
        Gaussian prior of people and of the common values; None for maximum likelihood.
    common
        Whether each parameter is common, (P,).
    start
        Starting points (S, P), the medians of which are those of the common values.

    Returns
    -------
    Laplace
        The covariance of a common value is that of its estimate, the same for everybody.
    """
    # The median: a person whose likelihood has no maximum may be anywhere.
    values = np.median(start[:, common], axis=0)
    at = _profile(model, data, estep, prior, common, values)
    for _ in range(100):
        step = np.linalg.solve(at.curvature, at.grad)
        if float(at.grad @ step) < ENOUGH:
            break
        for _ in range(20):
            new = _profile(model, data, estep, prior, common, values + step)
            if new.value >= at.value - 1e-12 * abs(at.value):
                break
            step = step / 4
        values, at = values + step, new
    cov = at.laplace.cov.copy()
    cov[:, common] = 0.0
    cov[:, :, common] = 0.0
    cov[np.ix_(np.arange(len(cov)), common, common)] = np.linalg.inv(at.curvature)
    # The prior that holds the common values is no part of the evidence.
    log_det = at.laplace.log_det + common.sum() * (math.log(2 * math.pi) + 2 * math.log(COMMON_SD))
    return at.laplace._replace(cov=cov, log_det=log_det)


def _profile(
    model: Model, data: Dataset, estep: EStep, prior: Population | None, common: np.ndarray, values: np.ndarray
) -> _Profile:
    """The sum of everybody's maxima at common `values`, with derivatives by the implicit function theorem."""
    people = _held(prior, common, values, data.n_subjects, model.n_params)
    found = estep(people, 1e-16)
    x = np.where(common, values[np.cumsum(common) - 1], found.mode)
    log_lik, slope, hess = value_grad_hess(model, data, x)
    own = np.ix_(~common, ~common)
    curvature = people.precision[own] - hess[:, ~common][:, :, ~common]
    use = found.usable & np.isfinite(curvature).all((1, 2))
    mixed = hess[use][:, common][:, :, ~common]
    moved = np.linalg.solve(curvature[use], np.swapaxes(mixed, 1, 2))
    total = -(hess[use][:, common][:, :, common] + mixed @ moved).sum(0)
    gap = (x - people.mean)[use][:, ~common]
    value = log_lik[use].sum() - 0.5 * np.einsum("sp,pq,sq->", gap, people.precision[own], gap)
    grad = slope[use][:, common].sum(0)
    if prior is not None:
        precision, middle = 1 / np.diag(prior.cov)[common], prior.coef[0][common]
        value -= 0.5 * (precision * (values - middle) ** 2).sum()
        grad, total = grad - precision * (values - middle), total + np.diag(precision)
    # Where the sum is not concave a step still leads uphill.
    sizes, axes = np.linalg.eigh(total)
    total = (axes * np.maximum(np.abs(sizes), 1e-8)) @ axes.T
    return _Profile(found._replace(mode=x, log_lik=log_lik), float(value), grad, total)


def _held(prior: Population | None, common: np.ndarray, values: np.ndarray, n: int, p: int) -> GaussianPrior:
    """The prior of people with the common values held."""
    mean, precision = np.zeros((n, p)), np.zeros((p, p))
    if prior is not None:
        mean, precision = prior.mean.copy(), np.linalg.inv(prior.cov)
    mean[:, common] = values
    precision[common] = 0.0
    precision[:, common] = 0.0
    precision[common, common] = COMMON_SD**-2
    return GaussianPrior(mean, precision, np.ones((n, p)))


def places_of(model: Model, names: tuple[str, ...]) -> np.ndarray:
    """(P,): whether each parameter is among the `names`.

    Raises
    ------
    ValueError
        If there is no such parameter, or all are named.
    """
    if unknown := [name for name in names if name not in model.names]:
        raise ValueError(f"common names {', '.join(unknown)}, but the parameters are {', '.join(model.names)}")
    found = np.array([name in names for name in model.names])
    if found.all():
        raise ValueError("common names all parameters; people have to differ in one, or give all trials to one person")
    return found


def without_shared_prior(population: Population, common: np.ndarray) -> Population:
    """Remove the common parameters from a given prior of people, as their prior counts once and not for everybody."""
    held = np.where(common, 0.0, np.nan)
    return dataclasses.replace(population, held=held, pattern=np.diag(~common))
