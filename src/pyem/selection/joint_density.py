"""The joint density of data, people and group, in coordinates without bounds, for evidence without approximation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik_draws
from pyem.engine.integrals import log_prior
from pyem.engine.mixtures import WIDER, GroupDraws, posteriors
from pyem.infer.group_posterior import Coordinates, GroupPosterior
from pyem.infer.hierarchy import corr_vector, hierarchy_of, likelihood_anchor
from pyem.model.model import Model
from pyem.population.priors import NaturalPriors, rebuilt
from pyem.results.sample import SampleFit

LEAST_SD = 1e-6
"""Smallest sd of a proposal, in units of the coordinates."""


def log_likelihoods(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    """Log-likelihood (D, S) at parameters (D, S, P); minus infinity where it is not a number."""
    value = log_lik_draws(model, data, x)
    return np.where(np.isnan(value), -np.inf, value)


@dataclasses.dataclass(frozen=True, eq=False)
class HierarchyDensity:
    """People (D, S, P) and coordinates (D, G) of their group: the density of both, and an approximation to draw from.

    Parameters
    ----------
    fit
        Draws from the posterior with a group. Where parameters are common to all, people's are the others only.
    """

    fit: SampleFit

    def __post_init__(self) -> None:
        population = self.fit.population
        assert population is not None
        assert self.fit.free is not None
        known: Any = rebuilt(self.fit.model, self.fit.priors, self.fit.group, self.fit.free)
        spec = hierarchy_of(self.fit.model, population, "standardized")
        at = Coordinates(jnp.zeros(spec.n_group), jnp.ones(spec.n_group), known, population.design)
        anchor = likelihood_anchor(self.fit.model, self.fit.data, self.fit.x, population)
        keep = {
            "posterior": GroupPosterior(spec, at, population),
            "precision": np.moveaxis(np.asarray(anchor.precision), -1, 0),
            "shift": np.asarray(anchor.shift).T,
        }
        for name, value in keep.items():
            object.__setattr__(self, name, value)

    posterior: GroupPosterior = dataclasses.field(init=False)
    precision: np.ndarray = dataclasses.field(init=False)
    shift: np.ndarray = dataclasses.field(init=False)

    def coordinates(self, flat: Mapping[str, np.ndarray]) -> np.ndarray:
        """Coordinates (D, G) of draws of the group: ``coef`` (D, K, P), ``sd`` (D, P) and ``corr`` (D, P, P)."""
        spec = self.posterior.spec
        parts = [flat["coef"][:, np.array(spec.free)], np.log(flat["sd"][:, spec.estimated])]
        parts += [corr_vector(flat["corr"][:, np.array(block)[:, None], block]) for block in spec.blocks]
        return np.concatenate(parts, axis=1)

    @property
    def n_coef(self) -> int:
        """Number of the group's coordinates that are means and effects, which come first."""
        return int(np.sum(self.posterior.spec.free))

    def leeway(self, groups: GroupDraws) -> np.ndarray:
        """Rough sds of each coordinate (D, G) of Gaussian groups, given people and the other coordinates."""
        spec, design = self.posterior.spec, self.posterior.population.design
        row, column = np.nonzero(np.array(spec.free))
        means = groups.sd[:, column] / np.sqrt((design**2).sum(0)[row])
        n_corr = spec.n_group - self.n_coef - len(spec.estimated)
        rest = np.repeat([1 / np.sqrt(2), 1.0], [len(spec.estimated), n_corr]) / np.sqrt(len(design))
        return np.concatenate([means, np.broadcast_to(rest, (len(means), len(rest)))], axis=1)

    def log_prior(self, v: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, GroupDraws]:
        """Log-density (D,) of people and group before any data, and the groups."""
        groups, log_hyper = self.posterior.unpack(v)
        return log_hyper + self.log_people(groups, x).sum(1), groups

    def log_people(self, groups: GroupDraws, x: np.ndarray) -> np.ndarray:
        """Log-density (D, S) of people in their group."""
        z = np.swapaxes(self.places(groups, x), 1, 2)
        scale = np.log(groups.sd).sum(1) + np.log(np.diagonal(groups.chol, axis1=1, axis2=2)).sum(1)
        return np.asarray(self.posterior.spec.group.standard_log_prob(np.moveaxis(z, 1, 0))) - scale[:, None]

    def places(self, groups: GroupDraws, x: np.ndarray) -> np.ndarray:
        """Standardise people (D, S, P) in their group: standard normal and independent if the group is Gaussian."""
        gap = (x - self.posterior.population.design[None] @ groups.coef) / groups.sd[:, None]
        return np.swapaxes(np.linalg.solve(groups.chol, np.swapaxes(gap, 1, 2)), 1, 2)

    def placed(self, groups: GroupDraws, z: np.ndarray) -> np.ndarray:
        """Place standardised people in their group: the inverse of `places`."""
        return self.posterior.population.design[None] @ groups.coef + groups.sd[:, None] * (
            z @ np.swapaxes(groups.chol, 1, 2)
        )

    def around(self, groups: GroupDraws, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Rough posterior means (D, S, P) of people given their group, and Cholesky factors of covariances (D, S, P, P).

        With a likelihood that is raised to a `power`.
        """
        pieces = power * self.precision, power * self.shift
        middle, chol = posteriors(self.posterior.population.design, groups, *pieces)
        return middle, chol / np.sqrt(WIDER)


@dataclasses.dataclass(frozen=True, eq=False)
class AloneDensity:
    """People (D, S, P) on their own, under priors of natural parameters.

    Parameters
    ----------
    fit
        Draws from the posterior of a fit with ``group=None``.
    """

    fit: SampleFit
    priors: NaturalPriors = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        known = rebuilt(self.fit.model, self.fit.priors)
        assert isinstance(known, NaturalPriors)
        object.__setattr__(self, "priors", known)

    def log_prior(self, x: np.ndarray) -> np.ndarray:
        """Log-density (D, S) of each person's parameters before any data."""
        return log_prior(self.fit.model, self.priors, np.swapaxes(x, 0, 1)).T

    def log_joint(self, x: np.ndarray) -> np.ndarray:
        """Log-density (D, S) of each person's data and parameters."""
        return log_likelihoods(self.fit.model, self.fit.data, x) + self.log_prior(x)


@dataclasses.dataclass(frozen=True)
class GaussianProposal:
    """A Gaussian with the moments of draws (D, ..., G), one for each index between the first and the last axis."""

    mean: np.ndarray
    chol: np.ndarray

    @classmethod
    def of(cls, draws: np.ndarray) -> GaussianProposal:
        """Make the proposal from the moments of draws."""
        gap = draws - draws.mean(0)
        cov = np.einsum("d...p,d...q->...pq", gap, gap) / max(len(draws) - 1, 1)
        return cls(draws.mean(0), np.linalg.cholesky(cov + LEAST_SD**2 * np.eye(cov.shape[-1])))

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw `n` times, (n, ..., G)."""
        z = rng.normal(size=(n, *self.mean.shape))
        return self.mean + np.einsum("...pq,d...q->d...p", self.chol, z)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log-density (D, ...) of the proposal at `x` (D, ..., G)."""
        z = np.linalg.solve(self.chol, (x - self.mean)[..., None])[..., 0]
        scale = np.log(np.diagonal(self.chol, axis1=-2, axis2=-1)).sum(-1)
        return -0.5 * (z**2).sum(-1) - scale - 0.5 * x.shape[-1] * np.log(2 * np.pi)
