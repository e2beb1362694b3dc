"""Sets of points for groups that differ much: each draw of a group is evaluated on points that suit it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pyem.engine.mixtures import GroupDraws
from pyem.engine.nodes import Nodes, given, log_evidence_narrower, log_evidences
from pyem.infer.group_posterior import GroupPosterior
from pyem.infer.hierarchy import likelihood_of
from pyem.infer.moves import predicted
from pyem.infer.placing import Places, regular
from pyem.population.population import Population
from pyem.population.posterior import Moments

WIDEST = 4.0
"""Points that weigh next to nothing under a group with so many times the variance are not looked at again:"""
NEGLIGIBLE = 18.0
"""so many nats less than the heaviest."""
SLACK = 3.0
"""Nats that a posterior density that is found in a rough way may be off."""
MOST = 64
"""Sets, at most; groups that are like none of them have the points of the nearest one."""
EXTRAPOLATED = 0.01
"""Nats that the evidence of all people may be off under a narrow group, where it is extrapolated from wider ones."""
LEAST = 1e-9
"""Share of what data say in one direction that they say in any, at least: so there are inverses under groups of any width."""


@dataclasses.dataclass(eq=False)
class NodeSets:
    """Points for the groups of a posterior, made as they are needed.

    Parameters
    ----------
    posterior, places
        The posterior of the group, and what makes points.
    population, moments, parts
        The group for which the first points were made, everybody's posterior under it, and these points.
    level
        Everybody's level of care, (S,); see `pyem.infer.lattices`.
    """

    posterior: GroupPosterior
    places: Places
    population: Population
    moments: Moments
    parts: Sequence[Nodes]
    level: np.ndarray

    def __post_init__(self) -> None:
        from scipy.stats import chi2

        gain = _positive(np.linalg.inv(self.moments.cov) - np.linalg.inv(self.population.cov))
        order = np.argsort(np.einsum("spq,pq->s", gain, self.population.cov))
        # Posteriors of whom the data say little change most with the group; such people are few.
        # A median of each element by itself need not be positive definite.
        typical = _positive(np.median(gain, axis=0)[None])[0]
        self._people = [(typical, False), (gain[order[len(order) // 10]], True)]
        # What the evidence is off where it is extrapolated.
        known = np.diagonal(np.square(gain), axis1=1, axis2=2).sum(0)
        least = (4 * EXTRAPOLATED / np.maximum(known, 1e-300)) ** 0.25
        gaussian = self.population.group.family == "gaussian"
        self._least = np.minimum(least, 0.3 * self.places.model.typical[1]) if gaussian else np.zeros_like(known)
        self._sets: list[tuple[GroupDraws, list[Nodes]]] = []
        self._keep(self.population, self.parts)
        every = dataclasses.replace(self.population, weight=np.ones_like(self.population.weight))
        precision, shift = likelihood_of(self.moments, every)
        self._likelihood, self._level = (_positive(precision), shift), 0.0
        middle, log_prior = self.posterior.unpack(self.posterior.vector(self.population)[None])
        evidence = self._on_sets(middle, np.zeros(1, int))
        self._level = float((evidence - self._rough(middle))[0])
        self._top = float((evidence + log_prior)[0])
        self._negligible = chi2.ppf(0.99, self.posterior.spec.n_group) / 2 + SLACK

    def __len__(self) -> int:
        return len(self._sets)

    def log_density(self, v: np.ndarray) -> np.ndarray:
        """Log posterior density (D,) at coordinates of groups (D, G)."""
        draws, log_prior = self.posterior.unpack(v)
        owner = self._owners(draws)
        out = self._on_sets(draws, owner) + log_prior
        self._top = max(self._top, float(out.max(initial=-np.inf, where=owner >= 0)))
        lost = np.flatnonzero(owner < 0)
        # What is found on points made for others may be too small, and so may a Gaussian approximation.
        likely = np.maximum(out[lost], self._rough(_some(draws, lost)) + log_prior[lost])
        self._add_for(draws, owner, lost[likely > self._top - self._negligible])
        new = lost[owner[lost] >= 0]
        out[new] = self._on_sets(_some(draws, new), owner[new]) + log_prior[new]
        return out

    def _on_sets(self, draws: GroupDraws, owner: np.ndarray) -> np.ndarray:
        """Log evidence of all people under each group (D,)."""
        out, design = np.empty(len(owner)), self.population.design
        held = self._held(draws)
        narrow = np.asarray((held.sd > draws.sd).any(1))
        for k, mine in self._served(draws, owner):
            parts, wide, rest = self._sets[k][1], mine[~narrow[mine]], mine[narrow[mine]]
            out[wide] = log_evidences(parts, self.posterior.spec.group, design, _some(draws, wide)).sum(1)
            out[rest] = log_evidence_narrower(parts, design, _some(held, rest), draws.sd[rest])
        return out

    def _rough(self, draws: GroupDraws) -> np.ndarray:
        """The same, roughly."""
        return self._level + rough_evidence(self._likelihood, self.population.design, draws)

    def people(
        self, draws: GroupDraws, times: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draws (n, S, P) of everybody, so many `times` (D,) given each group; everybody's mean and covariance over these."""
        held, design = self._held(draws), self.population.design
        n, p = int(times.sum()), draws.sd.shape[1]
        x, mean = np.empty((n, len(self.level), p)), np.empty((n, len(self.level), p))
        within = np.zeros((len(self.level), p, p))
        at = np.repeat(np.arange(len(times)), times)
        for k, mine in self._served(draws, self._owners(draws)):
            parts, which = self._sets[k][1], np.isin(at, mine)
            found = given(parts, self.posterior.spec.group, design, _some(held, mine), times[mine], rng)
            again = np.repeat(np.arange(len(mine)), times[mine])
            more = found._replace(mean=found.mean[again], cov=found.cov[again])
            for part in parts:
                x[np.ix_(which, part.people)] = self._in_cells(part, *(a[:, part.people] for a in more), rng=rng)
            # In a group that is narrower than the data tell, everybody is nearer to its mean.
            share = (draws.sd / held.sd)[at[which]][:, None]
            middle = design @ draws.coef[at[which]]
            mean[which] = middle + share**2 * (more.mean - middle)
            x[which] = mean[which] + share * (x[which] - more.mean)
            within += np.einsum("dsp,dspq,dsq->spq", share / n, more.cov, share)
        gap = mean - mean.mean(0)
        return x, mean.mean(0), within + np.einsum("dsp,dsq->spq", gap, gap) / n

    def _in_cells(
        self, part: Nodes, mean: np.ndarray, cov: np.ndarray, index: np.ndarray, *, rng: np.random.Generator
    ) -> np.ndarray:
        """Draws (D, n, P) from the cells of points with the variance of the posterior, from which cells differ a little."""
        x, more = self.places.scattered(part, index.T, rng)
        own = np.diagonal(cov, axis1=2, axis2=3)
        shrink = np.sqrt(own / np.maximum(own + more, 1e-300))
        return mean + shrink * (np.swapaxes(x, 0, 1) - mean)

    def foreign(self, draws: GroupDraws) -> float:
        """Share of groups that none of the points were made for."""
        return float((self._owners(draws) < 0).mean())

    def _held(self, draws: GroupDraws) -> GroupDraws:
        """Groups that points are made for: no narrower than the data tell."""
        return draws._replace(sd=np.maximum(draws.sd, self._least))

    def _served(self, draws: GroupDraws, owner: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Indices of sets, and of the draws that each serves: its own, and those without an owner that are nearest to it."""
        lost = np.flatnonzero(owner < 0)
        if len(lost):
            sets = _where(GroupDraws(*map(np.concatenate, zip(*(one for one, _ in self._sets), strict=True))), draws)
            owner = owner.copy()
            owner[lost] = ((_where(_some(draws, lost), draws)[:, None] - sets) ** 2).sum(2).argmin(1)
        return [(int(k), np.flatnonzero(owner == k)) for k in np.unique(owner)]

    def _owners(self, draws: GroupDraws) -> np.ndarray:
        """The set that serves each draw, -1 where there is none, (D,)."""
        owner = np.full(len(draws.sd), -1)
        for k, (made, _) in enumerate(self._sets):
            left = np.flatnonzero(owner < 0)
            owner[left[self._alike(_some(draws, left), made)]] = k
        return owner

    def _add_for(self, draws: GroupDraws, owner: np.ndarray, wanted: np.ndarray) -> None:
        """Add sets for the draws that are `wanted`, and write their owners."""
        while len(wanted) and len(self._sets) < MOST:
            self._add(_some(draws, wanted[[self._middle(_some(draws, wanted))]]))
            left = np.flatnonzero(owner < 0)
            owner[left[self._alike(_some(draws, left), self._sets[-1][0])]] = len(self._sets) - 1
            wanted = wanted[owner[wanted] < 0]

    def _middle(self, draws: GroupDraws) -> int:
        """The one that is nearest to the middle of all."""
        where = _where(draws, draws)
        return int(((where - np.median(where, axis=0)) ** 2).sum(1).argmin())

    def _add(self, draw: GroupDraws) -> None:
        (population,) = self.posterior.as_populations(self._held(draw))
        mean, cov = predicted(self.moments, self.population, population)
        parts = self.places.nodes(mean, regular_cov(mean, cov, population), population, self.level, len(self._sets))
        self._keep(population, parts)

    def _keep(self, population: Population, parts: Sequence[Nodes]) -> None:
        """Keep points, less those that count neither under a group nor under the widest that its points serve."""
        wide = dataclasses.replace(population, cov=WIDEST * population.cov)
        thinned = [part.thinned(population.group, wide.prior, NEGLIGIBLE) for part in parts]
        self._sets.append((_as_draws(population), thinned))

    def _alike(self, draws: GroupDraws, made: GroupDraws) -> np.ndarray:
        """Whether points made for one group serve others, (D,)."""
        draws = self._held(draws)
        prior, own = draws.precisions(), made.precisions()[0]
        gap = draws.coef[:, 0] - made.coef[:, 0]
        out = np.ones(len(gap), bool)
        for gain, roughly in self._people:
            cov = np.linalg.inv(gain + prior)
            white = np.linalg.cholesky(gain + own).T
            shares = np.linalg.eigvalsh(white @ cov @ white.T)
            shift = np.einsum("pq,dqr,drt,dt->dp", white, cov, prior, gap, optimize=True)
            out &= self.places.serve(shares, np.sqrt((shift**2).sum(1)), roughly)
        return out


def rough_evidence(likelihood: tuple[np.ndarray, np.ndarray], design: np.ndarray, draws: GroupDraws) -> np.ndarray:
    """Log evidence of all people under each group (D,), up to a constant, from Gaussian likelihoods.

    Parameters
    ----------
    likelihood
        Precision (S, P, P), and precision times location (S, P), of each person's likelihood.
    design, draws
        Covariates of people (S, K), and groups.
    """
    precision, shift = likelihood
    out = np.empty(len(draws.sd))
    for k, prior in enumerate(draws.precisions()):
        mean = design @ draws.coef[k]
        pull = mean @ prior
        posterior = precision + prior
        gain = shift + pull
        squares = (gain * np.linalg.solve(posterior, gain[..., None])[..., 0]).sum() - (mean * pull).sum()
        out[k] = 0.5 * (squares + len(mean) * np.linalg.slogdet(prior)[1] - np.linalg.slogdet(posterior)[1].sum())
    return out


def _positive(precision: np.ndarray) -> np.ndarray:
    """The nearest positive definite matrices (S, P, P)."""
    values, axes = np.linalg.eigh((precision + np.swapaxes(precision, 1, 2)) / 2)
    return (axes * np.maximum(values, LEAST * values[:, -1:])[:, None]) @ np.swapaxes(axes, 1, 2)


def _where(draws: GroupDraws, units: GroupDraws) -> np.ndarray:
    """Coordinates (D, 2 P) in which groups are alike that are near to each other."""
    return np.concatenate([np.log(draws.sd), draws.coef[:, 0] / np.median(units.sd, axis=0)], axis=1)


def _as_draws(population: Population) -> GroupDraws:
    sd = np.sqrt(np.diag(population.cov))
    return GroupDraws.of(population.coef[None], sd[None], (population.cov / np.outer(sd, sd))[None])


def regular_cov(mean: np.ndarray, cov: np.ndarray, population: Population) -> np.ndarray:
    """Covariances (S, P, P) that points can be put around, of people who are all known."""
    zeros = np.zeros(len(mean))
    return regular(Moments(mean, cov, zeros, zeros, zeros.astype(int)), population.cov)


def _some(draws: GroupDraws, which: np.ndarray) -> GroupDraws:
    return GroupDraws(*(array[which] for array in draws))
