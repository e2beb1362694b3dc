"""Sets of points for groups that differ much: each draw of a group is evaluated on points that suit it."""

from __future__ import annotations

import dataclasses

import numpy as np

from pyem.engine.mixtures import GroupDraws
from pyem.engine.nodes import NodeEStep, Nodes, log_evidences, moments_given
from pyem.infer.exact import predicted
from pyem.infer.group_posterior import GroupPosterior
from pyem.infer.placing import Places, regular
from pyem.population.population import Population
from pyem.population.posterior import Moments

ALIKE = (0.45, 2.2)
"""Points serve groups under which people's posteriors have between these shares of the variance that points were made for."""
MOST = 48
"""Sets, at most; groups that are like none of them have the points of the nearest one."""


@dataclasses.dataclass(eq=False)
class NodeSets:
    """Points for the groups of a posterior, made as they are needed.

    Parameters
    ----------
    posterior, places
        The posterior of the group, and what makes points.
    population, moments, parts
        The group for which the first points were made, everybody's posterior under it, and these points.
    hard
        People with mixtures, (S,).
    """

    posterior: GroupPosterior
    places: Places
    population: Population
    moments: Moments
    parts: list[Nodes]
    hard: np.ndarray

    def __post_init__(self) -> None:
        gain = np.median(np.linalg.inv(self.moments.cov), axis=0) - np.linalg.inv(self.population.cov)
        values, axes = np.linalg.eigh(gain)
        self._typical = (axes * np.maximum(values, 1e-4)) @ axes.T
        self._sets: list[tuple[Population, list[Nodes]]] = [(self.population, self.parts)]
        self.overflow = 0

    def __len__(self) -> int:
        return len(self._sets)

    def log_density(self, v: np.ndarray) -> np.ndarray:
        """Log posterior density (D,) at coordinates of groups (D, G)."""
        draws, log_prior = self.posterior.unpack(v)
        spec = self.posterior.spec
        out = np.empty(len(v))
        for k, mine in self._owners(draws):
            values = log_evidences(self._sets[k][1], spec.group, self.population.design, _some(draws, mine))
            out[mine] = values.sum(1)
        return out + log_prior

    def moments_given(self, draws: GroupDraws) -> tuple[np.ndarray, np.ndarray]:
        """Everybody's posterior mean (D, S, P) and covariance (D, S, P, P) under each of some groups."""
        d, p = draws.sd.shape
        n = len(self.hard)
        mean, cov = np.empty((d, n, p)), np.empty((d, n, p, p))
        for k, mine in self._owners(draws):
            found = moments_given(
                self._sets[k][1], self.posterior.spec.group, self.population.design, _some(draws, mine)
            )
            mean[mine], cov[mine] = found
        return mean, cov

    def _owners(self, draws: GroupDraws) -> list[tuple[int, np.ndarray]]:
        """Indices of sets, and of the draws that each serves."""
        owner = np.full(len(draws.sd), -1)
        variance = self._conditional(draws)
        k = 0
        while (owner < 0).any() and k < MOST:
            if k == len(self._sets):
                self._add(_some(draws, self._middle(draws, owner)))
            owner[(owner < 0) & self._alike(variance, self._sets[k][0])] = k
            k += 1
        self.overflow += int((owner < 0).sum())
        owner[owner < 0] = 0
        return [(int(k), np.flatnonzero(owner == k)) for k in np.unique(owner)]

    def _middle(self, draws: GroupDraws, owner: np.ndarray) -> np.ndarray:
        """The one of those without a set that is nearest to the middle of them."""
        left = np.flatnonzero(owner < 0)
        size = np.log(draws.sd[left])
        return left[[((size - np.median(size, axis=0)) ** 2).sum(1).argmin()]]

    def _add(self, draw: GroupDraws) -> None:
        (population,) = self.posterior.as_populations(draw)
        mean, cov = predicted(self.moments, self.population, population)
        parts = self.places.nodes(mean, regular_cov(mean, cov, population), population, self.hard)
        self._sets.append((population, parts))

    def _conditional(self, draws: GroupDraws) -> np.ndarray:
        """Posterior covariance (D, P, P) of a typical person under each group."""
        inverse = np.linalg.inv(draws.sd[:, :, None] * draws.chol)
        return np.linalg.inv(self._typical + np.swapaxes(inverse, 1, 2) @ inverse)

    def _alike(self, variance: np.ndarray, population: Population) -> np.ndarray:
        white = np.linalg.inv(np.linalg.cholesky(np.linalg.inv(self._typical + np.linalg.inv(population.cov))))
        shares = np.linalg.eigvalsh(white @ variance @ white.T)
        return (shares[:, 0] > ALIKE[0]) & (shares[:, -1] < ALIKE[1])


def regular_cov(mean: np.ndarray, cov: np.ndarray, population: Population) -> np.ndarray:
    """Covariances (S, P, P) that points can be put around, of people who are all known."""
    zeros = np.zeros(len(mean))
    return regular(Moments(mean, cov, zeros, zeros, zeros.astype(int)), population.cov)


def _some(draws: GroupDraws, which: np.ndarray) -> GroupDraws:
    return GroupDraws(*(array[which] for array in draws))


def first_set(posterior: GroupPosterior, places: Places, v: np.ndarray, estep: NodeEStep, hard: np.ndarray) -> NodeSets:
    """Points around everybody's posterior under the group at coordinates `v` (G,), of which an E-step has older points."""
    (population,) = posterior.populations(v[None])
    moments = estep.posterior(population.prior)
    parts = places.nodes(moments.mode, regular_cov(moments.mode, moments.cov, population), population, hard)
    better = NodeEStep(parts, population.group).posterior(population.prior)
    return NodeSets(posterior, places, population, better, parts, hard)
