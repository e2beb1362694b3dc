"""People on their own whose posterior has several modes: the best one, and the share of the evidence of another."""

from __future__ import annotations

import math

import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import list_of
from pyem.infer.esteps import estep_maker
from pyem.infer.multimodal import Glance, log_joint, places_around, promising
from pyem.infer.natural_prior import PersonPrior
from pyem.infer.starts import better
from pyem.model.model import Model
from pyem.population.group import Group
from pyem.population.population import Population
from pyem.population.posterior import Laplace, Status

APART = 1.0
"""Modes are different if they are so many posterior sds apart."""
FAIR = 0.05
"""Share of the evidence from which another mode is told of."""


def other_modes(
    model: Model,
    data: Dataset,
    glance: Glance | None,
    prior: PersonPrior,
    found: Laplace,
    max_steps: int,
    seed: int,
) -> tuple[Laplace, np.ndarray]:
    """The better of two modes for each person, and the share (S,) of the evidence of the lesser one; 0 where there is one only.

    Parameters
    ----------
    model, data
        Whose posterior.
    glance
        Their likelihood at several places; None where every evaluation costs as much as a step of the search.
    prior
        That of each person.
    found
        The modes that are known.
    max_steps, seed
        Of the search.
    """
    none = np.zeros(len(found.mode))
    if glance is None or not found.usable.any():
        return found, none
    known = None if prior.population is None else prior.population.prior

    def joint(log_lik: np.ndarray, x: np.ndarray) -> np.ndarray:
        return log_lik + prior.log_density(x) if known is None else log_joint(log_lik, x, known)

    value = joint(found.log_lik, found.mode)
    start = promising(glance, joint, found, value, places_around(_around(model, prior, found)))
    moved = (start != found.mode).any(1) & np.isfinite(start).all(1)
    if not moved.any():
        return found, none
    make = estep_maker(model, data, max_steps=max_steps, seed=seed)
    other = prior.modes(make(np.where(moved[:, None], start, found.mode)))
    values = [value, joint(other.log_lik, other.mode)]
    with np.errstate(invalid="ignore"):
        gain = np.where(moved & other.usable & np.isfinite(values[1]), values[1] - values[0], 0.0)
    gain = np.where(moved & ~np.isfinite(values[0]) & np.isfinite(values[1]), np.inf, gain)
    return better(found, other, gain), np.where(moved, _share(found, other, *values), 0.0)


def _around(model: Model, prior: PersonPrior, found: Laplace) -> Population:
    """The Gaussian prior, or the model's typical population in its place."""
    if prior.population is not None:
        return prior.population
    mean, sd = model.typical
    ones = np.ones((len(found.mode), 1))
    weight = np.ones_like(found.mode)
    return Population(Group(), ones, np.ones((1, len(mean)), bool), mean[None], np.diag(sd**2), weight)


def _share(one: Laplace, other: Laplace, value: np.ndarray, other_value: np.ndarray) -> np.ndarray:
    """Share (S,) of the lesser of two modes in the evidence of both, where both are regular and apart."""
    good = (one.status == Status.CONVERGED) & (other.status == Status.CONVERGED)
    width = np.sqrt(np.minimum(*(np.diagonal(np.abs(part.cov), axis1=1, axis2=2) for part in (one, other))))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        apart = (np.abs(one.mode - other.mode) / width).max(1) > APART
        log_ratio = (other_value - 0.5 * other.log_det) - (value - 0.5 * one.log_det)
        share = 1 / (1 + np.exp(np.abs(log_ratio)))
    return np.where(good & apart & np.isfinite(share), share, 0.0)


def several_modes(share: np.ndarray, data: Dataset) -> list[str]:
    """What to say of people whose posterior has another mode with a fair `share` (S,) of the evidence."""
    some = np.flatnonzero(share > FAIR)
    if not len(some):
        return []
    return [
        f"the posteriors of {len(some)} of {len(share)} subjects ({list_of(data.subjects[some].tolist())}) have another "
        "mode, with up to "
        f"{math.floor(100 * share.max())} % of the evidence: estimates and errors are of one of them only; fit_bayes "
        "integrates over all"
    ]
