"""Sets of points for groups that differ much: each draw of a group is evaluated on points that suit it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pyem.engine.common_points import CommonValues
from pyem.engine.common_values import trials_of
from pyem.engine.many_groups import log_evidence_narrower, log_evidences
from pyem.engine.mixtures import GroupDraws
from pyem.engine.nodes import Nodes
from pyem.infer.group_posterior import GroupPosterior
from pyem.infer.hierarchy import likelihood_of
from pyem.infer.moves import predicted
from pyem.infer.placing import Places, regular
from pyem.population.people_only import people_only
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
EVALUATIONS = 2000
"""Evaluations of everybody's likelihood at a point of each that polynomials in common values may take for all sets."""
HELD = 2**23
"""Numbers of points of all people and sets that a sampler holds, at most."""
EXTRAPOLATED = 0.01
"""Nats that the evidence of all people may be off under a narrow group, where it is extrapolated from wider ones."""
AT_ONCE = 2**21
"""Points of all people times groups that are held at a time."""
LEAST = 1e-9
"""Share of what data say in one direction that they say in any, at least: so there are inverses under groups of any width."""


class Stacked(NamedTuple):
    """Points of several sets, of which each serves the groups near to one."""

    x: np.ndarray
    """(set, S, K, P)"""
    log_weight: np.ndarray
    """(set, S, K); minus infinity for what only fills up."""
    where: np.ndarray
    """Logarithms of the sds of the groups that sets were made for, and their means in `unit` (P,), (set, 2 P)."""
    unit: np.ndarray
    least: np.ndarray
    """Sds below which the evidence is extrapolated, (P,)."""


@dataclasses.dataclass(eq=False)
class NodeSets:
    """Points for the groups of a posterior, made as they are needed.

    Parameters
    ----------
    posterior, places
        The posterior of the group, and what makes points.
    population, moments, parts
        The group for which the first points were made, everybody's posterior under it, and these points.
        The moments are of the parameters in which people differ.
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

        own = people_only(self.population)
        gain = _positive(np.linalg.inv(self.moments.cov) - np.linalg.inv(own.cov))
        order = np.argsort(np.einsum("spq,pq->s", gain, own.cov))
        # Posteriors of whom the data say little change most with the group; such people are few.
        # A median of each element by itself need not be positive definite.
        typical = _positive(np.median(gain, axis=0)[None])[0]
        self._people = [(typical, False), (gain[order[len(order) // 10]], True)]
        # What the evidence is off where it is extrapolated.
        known = np.diagonal(np.square(gain), axis1=1, axis2=2).sum(0)
        least = (4 * EXTRAPOLATED / np.maximum(known, 1e-300)) ** 0.25
        gaussian = self.population.group.family == "gaussian"
        self._least = np.minimum(least, 0.3 * self.places.typical) if gaussian else np.zeros_like(known)
        self._sets: list[tuple[GroupDraws, list[Nodes]]] = []
        self._keep(self.population, self.parts)
        every = dataclasses.replace(own, weight=np.ones_like(own.weight))
        precision, shift = likelihood_of(self.moments, every)
        self._likelihood, self._level = (_positive(precision), shift), 0.0
        middle, log_prior = self.posterior.unpack(self.posterior.vector(self.population)[None])
        evidence = self._on_sets(middle, np.zeros(1, int))
        self._level = float((evidence - self._rough(middle))[0])
        self._top = float((evidence + log_prior)[0])
        self._negligible = chi2.ppf(0.99, self.posterior.spec.n_group) / 2 + SLACK

    def people_log_evidence(self, parts: Sequence[Nodes]) -> np.ndarray:
        """Log evidence (S,) of everybody on some points, under the group for which the first ones were made."""
        draws = self.posterior.unpack(self.posterior.vector(self.population)[None])[0]
        some = self.evaluated(parts, draws)
        return log_evidences(some, self.posterior.spec.group, self.population.design, draws)[0]

    def evaluated(self, parts: Sequence[Nodes], draws: GroupDraws) -> Sequence[Nodes]:
        """Points with everybody's likelihood under each draw of the group, where nothing stands for it."""
        common = self.places.common
        if common is None or draws.common is None or common.degree:
            return parts
        return [common.evaluated(self.places.log_lik, part, self.population.design, draws.common) for part in parts]

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
        likely = np.maximum(out[lost], self._rough(draws.some(lost)) + log_prior[lost])
        self._add_for(draws, owner, lost[likely > self._top - self._negligible])
        new = lost[owner[lost] >= 0]
        out[new] = self._on_sets(draws.some(new), owner[new]) + log_prior[new]
        return out

    @property
    def _most(self) -> int:
        """Number of sets, at most."""
        common = self.places.common
        if common is None or not common.degree:
            return MOST
        evaluations = len(trials_of(common.spread.shape[1], common.degree)[0])
        return max(4, min(MOST, EVALUATIONS // evaluations))

    def _on_sets(self, draws: GroupDraws, owner: np.ndarray) -> np.ndarray:
        """Log evidence of all people under each group (D,)."""
        out, design = np.empty(len(owner)), self.population.design
        held = self.held(draws)
        narrow = (held.roots != draws.roots).any((1, 2))
        for k, mine in self._served(draws, owner):
            for some in (mine[~narrow[mine]], mine[narrow[mine]]):
                for few in self._few(some):
                    parts = self.evaluated(self._sets[k][1], draws.some(few))
                    if narrow[few].any():
                        out[few] = log_evidence_narrower(parts, design, held.some(few), draws.some(few))
                    else:
                        out[few] = log_evidences(parts, self.posterior.spec.group, design, draws.some(few)).sum(1)
        return out

    def _few(self, which: np.ndarray) -> list[np.ndarray]:
        """Indices of draws in pieces, so that everybody's likelihood under each of them can be held at a time."""
        if not len(which) or self.places.common is None or self.places.common.degree:
            return [which] if len(which) else []
        size = max(1, AT_ONCE // sum(part.log_weight.size for part in self.parts))
        return np.array_split(which, -(-len(which) // size))

    def _rough(self, draws: GroupDraws) -> np.ndarray:
        """The same, roughly."""
        return self._level + rough_evidence(self._likelihood, self.population.design, draws, self.places.common)

    def pieces(self, draws: GroupDraws) -> Iterator[tuple[Population, Sequence[Nodes], np.ndarray]]:
        """Groups for which points were made, these points, and which of the draws they serve, so many as can be held."""
        for k, mine in self._served(draws, self._owners(draws)):
            (population,) = self.posterior.as_populations(self._sets[k][0])
            for few in self._few(mine):
                yield people_only(population), self._sets[k][1], few

    def stacked(self, draws: GroupDraws) -> Stacked:
        """Points of the sets that serve most of these groups, as many as can be held."""
        held, p = self.held(draws), draws.sd.shape[1]
        served = sorted(self._served(held, self._owners(held)), key=lambda pair: -len(pair[1]))
        size = max(part.log_weight.shape[1] for _, parts in self._sets for part in parts)
        some = [k for k, _ in served][: max(1, HELD // (size * len(self.level) * p))]
        x = np.zeros((len(some), len(self.level), size, p))
        log_weight = np.full(x.shape[:3], -np.inf)
        for n, k in enumerate(some):
            for part in self._sets[k][1]:
                x[n, part.people, : part.x.shape[1]] = part.x
                log_weight[n, part.people, : part.x.shape[1]] = part.log_weight
        unit = np.median(held.sd, axis=0)
        made = [self._sets[k][0] for k in some]
        where = np.stack([np.concatenate([np.log(one.sd[0]), one.coef[0, 0] / unit]) for one in made])
        return Stacked(x, log_weight, where, unit, self._least)

    def foreign(self, draws: GroupDraws) -> float:
        """Share of groups that none of the points were made for."""
        return float((self._owners(draws) < 0).mean())

    def held(self, draws: GroupDraws) -> GroupDraws:
        """Groups that points are made for: in no direction narrower than the data tell."""
        if not self.posterior.spec.blocks or not self._least.all():
            return draws._replace(sd=np.maximum(draws.sd, self._least))
        return held_apart(draws, self._least)

    def _served(self, draws: GroupDraws, owner: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Indices of sets, and of the draws that each serves: its own, and those without an owner that are nearest to it."""
        lost = np.flatnonzero(owner < 0)
        if len(lost):
            sets = np.concatenate([self._where(one, draws) for one, _ in self._sets])
            owner = owner.copy()
            owner[lost] = ((self._where(draws.some(lost), draws)[:, None] - sets) ** 2).sum(2).argmin(1)
        return [(int(k), np.flatnonzero(owner == k)) for k in np.unique(owner)]

    def _owners(self, draws: GroupDraws) -> np.ndarray:
        """The set that serves each draw, -1 where there is none, (D,)."""
        owner = np.full(len(draws.sd), -1)
        for k in range(len(self._sets)):
            left = np.flatnonzero(owner < 0)
            owner[left[self._alike(draws.some(left), k)]] = k
        return owner

    def _add_for(self, draws: GroupDraws, owner: np.ndarray, wanted: np.ndarray) -> None:
        """Add sets for the draws that are `wanted`, and write their owners."""
        while len(wanted) and len(self._sets) < self._most:
            self._add(draws.some(wanted[[self._middle(draws.some(wanted))]]))
            left = np.flatnonzero(owner < 0)
            owner[left[self._alike(draws.some(left), len(self._sets) - 1)]] = len(self._sets) - 1
            wanted = wanted[owner[wanted] < 0]

    def _middle(self, draws: GroupDraws) -> int:
        """The one that is nearest to the middle of all."""
        where = self._where(draws, draws)
        return int(((where - np.median(where, axis=0)) ** 2).sum(1).argmin())

    def _add(self, draw: GroupDraws) -> None:
        (population,) = self.posterior.as_populations(self.held(draw))
        own = people_only(population)
        mean, cov = predicted(self.moments, people_only(self.population), own)
        if self.places.common is not None:
            mean = mean + self.places.common.shift(cov, population.mean[:, ~population.random])
        parts = self.places.nodes(mean, regular_cov(mean, cov, own), population, self.level, len(self._sets))
        self._keep(population, parts)

    def _keep(self, population: Population, parts: Sequence[Nodes]) -> None:
        """Keep points, less those that count neither under a group nor under the widest that its points serve."""
        own = people_only(population)
        wide = dataclasses.replace(own, cov=WIDEST * own.cov)
        thinned = [part.thinned(own.group, wide.prior, NEGLIGIBLE) for part in parts]
        common = None if own is population else population.coef[None, :, ~population.random]
        self._sets.append((_as_draws(own)._replace(common=common), thinned))

    def _where(self, draws: GroupDraws, units: GroupDraws) -> np.ndarray:
        """Coordinates (D, 2 P) in which groups are alike that are near to each other."""
        parts = [np.log(draws.sd), draws.coef[:, 0] / np.median(units.sd, axis=0)]
        if self.places.common is not None and draws.common is not None:
            values = draws.common[:, 0] - self.population.coef[0, ~self.population.random]
            parts.append(np.linalg.solve(np.median(self.places.common.spread, axis=0), values.T).T)
        return np.concatenate(parts, axis=1)

    def _alike(self, draws: GroupDraws, k: int) -> np.ndarray:
        """Whether points of one set, made for one group, serve others, (D,)."""
        made = self._sets[k][0]
        draws = self.held(draws)
        prior, own = draws.precisions(), made.precisions()[0]
        gap = draws.coef[:, 0] - made.coef[:, 0]
        out = np.ones(len(gap), bool)
        if draws.common is not None:
            for part in self._sets[k][1]:
                out &= part.reaches(self.population.design, draws.common)
        for gain, roughly in self._people:
            cov = np.linalg.inv(gain + prior)
            white = np.linalg.cholesky(gain + own).T
            shares = np.linalg.eigvalsh(white @ cov @ white.T)
            shift = np.einsum("pq,dqr,drt,dt->dp", white, cov, prior, gap, optimize=True)
            out &= self.places.serve(shares, np.sqrt((shift**2).sum(1)), roughly)
        return out


def held_apart(draws: GroupDraws, least: np.ndarray) -> GroupDraws:
    """Groups that are in no direction narrower than one with independent parameters and these sds (P,).

    Examples
    --------
    >>> one = GroupDraws(np.zeros((1, 1, 2)), np.ones((1, 2)), np.linalg.cholesky([[[1.0, 1 - 1e-9], [1 - 1e-9, 1.0]]]))
    >>> held_apart(one, np.array([0.1, 0.1])).covariances().round(3).tolist()
    [[[1.005, 0.995], [0.995, 1.005]]]
    """
    root = draws.roots / least[:, None]
    values, axes = np.linalg.eigh(root @ np.swapaxes(root, 1, 2))
    narrow = values[:, 0] < 1
    if not narrow.any():
        return draws
    wide = np.maximum(values[narrow], 1.0)[:, None]
    cov = least[:, None] * ((axes[narrow] * wide) @ np.swapaxes(axes[narrow], 1, 2)) * least
    sd, chol = draws.sd.copy(), draws.chol.copy()
    sd[narrow] = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    chol[narrow] = np.linalg.cholesky(cov / (sd[narrow, :, None] * sd[narrow, None]))
    return draws._replace(sd=sd, chol=chol)


def rough_evidence(
    likelihood: tuple[np.ndarray, np.ndarray],
    design: np.ndarray,
    draws: GroupDraws,
    common: CommonValues | None = None,
) -> np.ndarray:
    """Log evidence of all people under each group (D,), up to a constant, from Gaussian likelihoods.

    Parameters
    ----------
    likelihood
        Precision (S, P, P), and precision times location (S, P), of each person's likelihood.
    design, draws
        Covariates of people (S, K), and groups.
    common
        How likelihoods change with what is common to all; None where nothing is.
    """
    precision, shift = likelihood
    out = np.empty(len(draws.sd))
    for k, prior in enumerate(draws.precisions()):
        mean = design @ draws.coef[k]
        pull = mean @ prior
        # In units in which no parameter is known much better than the others.
        posterior = precision + prior
        size = np.sqrt(np.diagonal(posterior, axis1=1, axis2=2))
        posterior = posterior / size[:, :, None] / size[:, None]
        gain = shift + pull
        more = 0.0
        if common is not None and draws.common is not None:
            further, more = common.changes(design @ draws.common[k])
            gain = gain + further
        gain = gain / size
        squares = (gain * np.linalg.solve(posterior, gain[..., None])[..., 0]).sum() - (mean * pull).sum()
        log_det = np.linalg.slogdet(posterior)[1].sum() + 2 * np.log(size).sum()
        out[k] = more + 0.5 * (squares + len(mean) * np.linalg.slogdet(prior)[1] - log_det)
    return out


def _positive(precision: np.ndarray) -> np.ndarray:
    """The nearest positive definite matrices (S, P, P)."""
    values, axes = np.linalg.eigh((precision + np.swapaxes(precision, 1, 2)) / 2)
    return (axes * np.maximum(values, LEAST * values[:, -1:])[:, None]) @ np.swapaxes(axes, 1, 2)


def _as_draws(population: Population) -> GroupDraws:
    sd = np.sqrt(np.diag(population.cov))
    return GroupDraws.of(population.coef[None], sd[None], (population.cov / np.outer(sd, sd))[None])


def regular_cov(mean: np.ndarray, cov: np.ndarray, population: Population) -> np.ndarray:
    """Covariances (S, P, P) that points can be put around, of people who are all known."""
    zeros = np.zeros(len(mean))
    return regular(Moments(mean, cov, zeros, zeros, zeros.astype(int)), population.cov)
