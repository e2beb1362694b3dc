"""Sets of points for groups that differ much: each draw of a group is evaluated on points that suit it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pyem.engine.common_points import CommonValues
from pyem.engine.common_values import trials_of
from pyem.engine.many_groups import given, log_evidence_narrower, log_evidences
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
"""Factor of the variance of a group up to which points must weigh something to be kept."""
NEGLIGIBLE = 18.0
"""Nats below the heaviest point at which a point's weight is negligible."""
SLACK = 3.0
"""Nats by which the rough posterior density may be wrong."""
MOST = 64
"""Largest number of sets; groups unlike all of them use the points of the nearest one."""
EVALUATIONS = 2000
"""Evaluations of everybody's likelihood, at one point each, that polynomials in common values may take for all sets."""
HELD = 2**23
"""Largest number of points, of all people and sets, that a sampler holds in memory."""
EXTRAPOLATED = 0.01
"""Nats by which the evidence of all people may be off under a narrow group, for which it is extrapolated from wider ones."""
AT_ONCE = 2**21
"""Number of points times groups, for all people, that are held in memory at a time."""
LEAST = 1e-9
"""Least information in any direction, as a share of the largest: so matrices can be inverted under groups of any width."""


class Stacked(NamedTuple):
    """Points of several sets, each of which serves the groups near to one group."""

    x: np.ndarray
    """Points, (set, S, K, P)."""
    log_weight: np.ndarray
    """Log weights of the points, (set, S, K); minus infinity for those that only fill up the array."""
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
        # Posteriors of people about whom the data say little change most with the group; such people are few.
        # A median of each element by itself need not be positive definite.
        typical = _positive(np.median(gain, axis=0)[None])[0]
        self._people = [(typical, False), (gain[order[len(order) // 10]], True)]
        # Error of the evidence where it is extrapolated.
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
        some = self._evaluated(parts, draws)
        return log_evidences(some, self.posterior.spec.group, self.population.design, draws)[0]

    def _evaluated(self, parts: Sequence[Nodes], draws: GroupDraws) -> Sequence[Nodes]:
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
        # The density on points made for other groups may be too small, and so may a Gaussian approximation.
        likely = np.maximum(out[lost], self._rough(draws.some(lost)) + log_prior[lost])
        self._add_for(draws, owner, lost[likely > self._top - self._negligible])
        new = lost[owner[lost] >= 0]
        out[new] = self._on_sets(draws.some(new), owner[new]) + log_prior[new]
        return out

    @property
    def _most(self) -> int:
        """Largest number of sets."""
        common = self.places.common
        if common is None or not common.degree:
            return MOST
        evaluations = len(trials_of(common.spread.shape[1], common.degree)[0])
        return max(4, min(MOST, EVALUATIONS // evaluations))

    def _on_sets(self, draws: GroupDraws, owner: np.ndarray) -> np.ndarray:
        """Log evidence of all people under each group (D,)."""
        out, design = np.empty(len(owner)), self.population.design
        held = self._held(draws)
        narrow = (held.roots != draws.roots).any((1, 2))
        for k, mine in self._served(draws, owner):
            for some in (mine[~narrow[mine]], mine[narrow[mine]]):
                for few in self._few(some):
                    parts = self._evaluated(self._sets[k][1], draws.some(few))
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
        """Rough log evidence of all people under each group (D,)."""
        return self._level + rough_evidence(self._likelihood, self.population.design, draws, self.places.common)

    def people(
        self, draws: GroupDraws, times: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draws (n, S, P) of everybody, so many `times` (D,) given each group; everybody's mean and covariance over these."""
        held, design = self._held(draws), self.population.design
        n, p = int(times.sum()), draws.sd.shape[1]
        x, mean = np.empty((n, len(self.level), p)), np.empty((n, len(self.level), p))
        within = np.zeros((len(self.level), p, p))
        at = np.repeat(np.arange(len(times)), times)
        pieces = [(k, few) for k, mine in self._served(draws, self._owners(draws)) for few in self._few(mine)]
        for k, mine in pieces:
            parts, which = self._evaluated(self._sets[k][1], held.some(mine)), np.isin(at, mine)
            found = given(parts, self.posterior.spec.group, design, held.some(mine), times[mine], rng)
            again = np.repeat(np.arange(len(mine)), times[mine])
            more = found._replace(mean=found.mean[again], cov=found.cov[again])
            for part in parts:
                moved = part.moves(design, None if held.common is None else held.common[at[which]])
                x[np.ix_(which, part.people)] = self._in_cells(part, moved, *(a[:, part.people] for a in more), rng=rng)
            # In a group narrower than the data can tell, everybody is nearer to its mean.
            nearer = (draws.roots @ np.linalg.inv(held.roots))[at[which]][:, None]
            means = (draws.covariances() @ held.precisions())[at[which]]
            middle = design @ draws.coef[at[which]]
            mean[which] = middle + (more.mean - middle) @ np.swapaxes(means, 1, 2)
            x[which] = mean[which] + (nearer @ (x[which] - more.mean)[..., None])[..., 0]
            within += (nearer @ more.cov @ np.swapaxes(nearer, 2, 3)).sum(0) / n
        gap = mean - mean.mean(0)
        return x, mean.mean(0), within + np.einsum("dsp,dsq->spq", gap, gap) / n

    def _in_cells(
        self,
        part: Nodes,
        moved: np.ndarray | float,
        mean: np.ndarray,
        cov: np.ndarray,
        index: np.ndarray,
        *,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draws (D, n, P) from the cells of points with the variance of the posterior, from which cells differ a little.

        Points have `moved` (D, n, P) with what is common to all.
        """
        x, more = self.places.scattered(part, index.T, rng)
        own = np.diagonal(cov, axis1=2, axis2=3)
        shrink = np.sqrt(own / np.maximum(own + more, 1e-300))
        return mean + shrink * (np.swapaxes(x, 0, 1) + moved - mean)

    def stacked(self, draws: GroupDraws) -> Stacked:
        """Points of the sets that serve most of these groups, as many as can be held."""
        held, p = self._held(draws), draws.sd.shape[1]
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
        """Share of the groups for which no set of points was made."""
        return float((self._owners(draws) < 0).mean())

    def _held(self, draws: GroupDraws) -> GroupDraws:
        """Widen groups to what points are made for: in no direction narrower than the data can tell."""
        if not self.posterior.spec.blocks or not self._least.all():
            return draws._replace(sd=np.maximum(draws.sd, self._least))
        return held_apart(draws, self._least)

    def _served(self, draws: GroupDraws, owner: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Indices of each set and of the draws it serves: its own, and those without a set that are nearest to it."""
        lost = np.flatnonzero(owner < 0)
        if len(lost):
            sets = np.concatenate([self._where(one, draws) for one, _ in self._sets])
            owner = owner.copy()
            owner[lost] = ((self._where(draws.some(lost), draws)[:, None] - sets) ** 2).sum(2).argmin(1)
        return [(int(k), np.flatnonzero(owner == k)) for k in np.unique(owner)]

    def _owners(self, draws: GroupDraws) -> np.ndarray:
        """Index (D,) of the set that serves each draw; -1 where there is none."""
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
        """Index of the draw nearest to the middle of all."""
        where = self._where(draws, draws)
        return int(((where - np.median(where, axis=0)) ** 2).sum(1).argmin())

    def _add(self, draw: GroupDraws) -> None:
        (population,) = self.posterior.as_populations(self._held(draw))
        own = people_only(population)
        mean, cov = predicted(self.moments, people_only(self.population), own)
        if self.places.common is not None:
            mean = mean + self.places.common.shift(cov, population.mean[:, ~population.random])
        parts = self.places.nodes(mean, regular_cov(mean, cov, own), population, self.level, len(self._sets))
        self._keep(population, parts)

    def _keep(self, population: Population, parts: Sequence[Nodes]) -> None:
        """Keep a set of points, without those that weigh nothing under its group or under the widest group that it serves."""
        own = people_only(population)
        wide = dataclasses.replace(own, cov=WIDEST * own.cov)
        thinned = [part.thinned(own.group, wide.prior, NEGLIGIBLE) for part in parts]
        common = None if own is population else population.coef[None, :, ~population.random]
        self._sets.append((_as_draws(own)._replace(common=common), thinned))

    def _where(self, draws: GroupDraws, units: GroupDraws) -> np.ndarray:
        """Coordinates (D, 2 P) of groups, in which similar groups are near to each other."""
        parts = [np.log(draws.sd), draws.coef[:, 0] / np.median(units.sd, axis=0)]
        if self.places.common is not None and draws.common is not None:
            values = draws.common[:, 0] - self.population.coef[0, ~self.population.random]
            parts.append(np.linalg.solve(np.median(self.places.common.spread, axis=0), values.T).T)
        return np.concatenate(parts, axis=1)

    def _alike(self, draws: GroupDraws, k: int) -> np.ndarray:
        """(D,): whether points made for one group serve others."""
        made = self._sets[k][0]
        draws = self._held(draws)
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
    """Widen groups, so that in no direction they are narrower than one with independent parameters and these sds (P,).

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
        Change of the likelihoods with common parameters; None without any.
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
    """Covariances (S, P, P) around which points can be placed, of people who are all known."""
    zeros = np.zeros(len(mean))
    return regular(Moments(mean, cov, zeros, zeros, zeros.astype(int)), population.cov)
