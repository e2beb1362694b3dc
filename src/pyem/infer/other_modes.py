"""Search for a second mode of each person's posterior: the better mode is kept, with the other's share of the evidence."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import list_of
from pyem.infer.esteps import estep_maker
from pyem.infer.glances import Glance, Looking
from pyem.infer.multimodal import log_joint, places_around, promising
from pyem.infer.natural_prior import PersonPrior
from pyem.infer.starts import better
from pyem.model.model import Model
from pyem.population.group import Group
from pyem.population.population import Population
from pyem.population.posterior import Laplace, Status

APART = 1.0
"""Distance, in posterior sds, from which on modes count as different."""
FAIR = 0.05
"""Share of the evidence from which on another mode is reported."""
DROP, SOFTER = 5.0, 2.0
"""Nats by which a posterior is taken to fall from the middle to the places around it, on average, and how much flatter it is
taken to be. With these, searches of 15 groups (learning and discounting) took .68 to .98 times as long, none longer."""


class Surroundings(NamedTuple):
    """Everybody's posterior density at a few places around the prior's middle, evaluated before a search."""

    looking: Looking
    prior: PersonPrior
    middle: np.ndarray
    """Middle of the prior, (S, P)."""
    x: np.ndarray
    """The places, (K, S, P)."""
    there: np.ndarray
    """Log posterior at these places, up to a constant, (K, S)."""

    @classmethod
    def seen(cls, model: Model, data: Dataset, glance: Glance, prior: PersonPrior) -> Surroundings:
        """Look at the likelihood of everybody at all places at once."""
        around, looking = _around(model, prior, data.n_subjects), Looking(glance)
        looking.around(np.stack(places_around(around)))
        return cls.known(looking, prior, around.mean)

    @classmethod
    def known(cls, looking: Looking, prior: PersonPrior, middle: np.ndarray) -> Surroundings:
        """Use the likelihoods of the last look, which may have been around another prior."""
        assert looking.seen is not None
        there = _joint(prior, looking.seen.log_lik, looking.seen.x)
        return cls(looking, prior, middle, looking.seen.x, np.where(np.isnan(there), -np.inf, there))

    def centre(self) -> np.ndarray:
        """Roughly the mean of everybody's posterior, (S, P): from there a search is shorter than from the prior's middle.

        The posterior is not known in the middle itself: what one that falls by `DROP` to the places would have there, stands
        for it. Whoever has no finite value somewhere begins in the middle.
        """
        known = np.asarray(np.isfinite(self.there).all(0))
        there = np.where(known, self.there, 0.0)
        value = np.concatenate([there, there.mean(0)[None] + DROP])
        weight = np.exp((value - value.max(0)) / SOFTER)
        shift = ((weight / weight.sum(0))[:-1, :, None] * (self.x - self.middle)).sum(0)
        return np.where(known[:, None], self.middle + shift, self.middle)


def other_modes(
    model: Model, data: Dataset, seen: Surroundings | None, found: Laplace, max_steps: int, seed: int
) -> tuple[Laplace, np.ndarray]:
    """The better of two modes for each person, and the share (S,) of the evidence of the lesser one; 0 where there is one only.

    Parameters
    ----------
    model, data
        The model, and its data.
    seen
        Evaluations of the posterior before the search; None if an evaluation takes as long as a step of the search.
    found
        The modes that are known.
    max_steps, seed
        Largest number of steps, and seed, of the search.
    """
    none = np.zeros(len(found.mode))
    if seen is None or not found.usable.any():
        return found, none
    joint = functools.partial(_joint, seen.prior)
    value = joint(found.log_lik, found.mode)
    start = promising(seen.looking, joint, found, value, seen.x, seen.there)
    moved = (start != found.mode).any(1) & np.isfinite(start).all(1)
    if not moved.any():
        return found, none
    make = estep_maker(model, data, max_steps=max_steps, seed=seed)
    other = seen.prior.modes(make(np.where(moved[:, None], start, found.mode)))
    values = [value, joint(other.log_lik, other.mode)]
    with np.errstate(invalid="ignore"):
        gain = np.where(moved & other.usable & np.isfinite(values[1]), values[1] - values[0], 0.0)
    gain = np.where(moved & ~np.isfinite(values[0]) & np.isfinite(values[1]), np.inf, gain)
    return better(found, other, gain), np.where(moved, _share(found, other, *values), 0.0)


def _joint(prior: PersonPrior, log_lik: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Log posterior density (..., S), up to a constant."""
    if prior.population is None:
        return log_lik + prior.log_density(x)
    return log_joint(log_lik, x, prior.population.prior)


def _around(model: Model, prior: PersonPrior, n_subjects: int) -> Population:
    """The Gaussian prior, or the model's typical population in its place."""
    if prior.population is not None:
        return prior.population
    mean, sd = model.typical
    ones, weight = np.ones((n_subjects, 1)), np.ones((n_subjects, len(mean)))
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


def several_modes(share: np.ndarray, data: Dataset, instead: str) -> list[str]:
    """Warn of people whose posterior has another mode with a fair `share` (S,) of the evidence; name what to use `instead`."""
    some = np.flatnonzero(share > FAIR)
    if not len(some):
        return []
    return [
        f"the posteriors of {len(some)} of {len(share)} subjects ({list_of(data.subjects[some].tolist())}) have another "
        "mode, with up to "
        f"{math.floor(100 * share.max())} % of the evidence: estimates and errors are of one of them only; {instead} "
        "integrates over all"
    ]
