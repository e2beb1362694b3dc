"""Log marginal likelihoods by annealed importance sampling from the prior: a check that needs no approximate posterior."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np

from pyem.engine.mixtures import DF, GroupDraws
from pyem.errors import UndefinedCriterion, require_kind, require_whole
from pyem.numerics.rng import generator
from pyem.numerics.student_t import log_t
from pyem.results.sample import SampleFit
from pyem.selection.bridge_sampling import BRIDGE, BridgeEvidence, told
from pyem.selection.joint_density import AloneDensity, HierarchyDensity, log_likelihoods

GROUP_MOVES = 12
"""Number of steps of the group for every step of the people: they need no evaluation of the likelihood."""
ANYWHERE = 0.75
"""Share of people's moves that go anywhere in their approximate posterior."""
STEEP = 2.5
"""Exponent of the evenly spaced numbers that make the powers of the likelihood."""
WORTH = 0.5
"""Effective share of the particles below which they are drawn anew."""


def annealed_evidence(
    fit: SampleFit, *, particles: int = 200, temperatures: int = 150, moves: int = 1, repeats: int = 8, key: Any = 0
) -> BridgeEvidence:
    """Log marginal likelihood by annealed importance sampling: an independent check of `bridge_evidence`, and slower.

    Parameters
    ----------
    fit
        Fit by `fit_nuts` or `fit_bayes` with the model, data and priors. Its draws only determine the steps that are tried.
    particles, temperatures, moves
        Numbers of particles, of steps from the prior to the posterior, and of moves of the people in each step.
    repeats
        Independent runs, whose spread gives the error.
    key
        Seed.

    Warns
    -----
    FitWarning
        If the standard error is above half a nat.

    Raises
    ------
    UndefinedCriterion
        As `bridge_evidence`, or if parameters are common to all.

    Notes
    -----
    Particles start as draws from the prior. The likelihood is raised to powers from 0 to 1; at each of them weights are
    updated, particles are drawn anew where few of them carry the weight (Del Moral, Doucet & Jasra, 2006), and people, then the
    group, then the group together with its people move by Metropolis steps (both ways of writing a hierarchy, in turns: Yu &
    Meng, 2011).

    References
    ----------
    Neal, R. M. (2001). Annealed importance sampling. Statistics and Computing, 11(2), 125-139.
    https://doi.org/10.1023/A:1008923215028

    Del Moral, P., Doucet, A., & Jasra, A. (2006). Sequential Monte Carlo samplers. Journal of the Royal Statistical Society:
    Series B, 68(3), 411-436. https://doi.org/10.1111/j.1467-9868.2006.00553.x

    Yu, Y., & Meng, X.-L. (2011). To center or not to center: That is not the question. Journal of Computational and Graphical
    Statistics, 20(3), 531-570. https://doi.org/10.1198/jcgs.2011.203main

    Examples
    --------
    >>> annealed_evidence(fit).total  # doctest: +SKIP
    -512.3
    """
    require_kind("fit", fit)
    BRIDGE.require(fit)
    if fit.group is not None and fit.group.common:
        raise UndefinedCriterion(
            f"{', '.join(fit.group.common)} would be common to all, and annealed_evidence moves people and group in turns; use "
            "bridge_evidence, or fit_bayes and log_marginal_likelihood"
        )
    require_whole(particles=(particles, 10), temperatures=(temperatures, 2), moves=(moves, 1), repeats=(repeats, 2))
    rng = generator(key)
    run = _alone if fit.group is None else _together
    values = np.array([run(fit, particles, temperatures, moves, rng) for _ in range(repeats)])
    draws, (people, errors) = (0, particles * repeats), _averaged(values)
    # For people on their own, errors are independent.
    total, se = float(people.sum()), float(np.sqrt((errors**2).sum()))
    found = BridgeEvidence(total, se, *((None, None) if fit.group is not None else (people, errors)), draws)
    return told("annealed_evidence", fit, found, "take more particles or temperatures")


def _averaged(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the mean evidence of the runs (repeat, ...), which is unbiased before the logarithm, and its standard error."""
    total = _log_mean(values)
    share = np.exp(values - total)
    # With few runs that differ a lot, the spread of logs is the more honest one.
    error = np.maximum(share.std(0, ddof=1), values.std(0, ddof=1)) / len(values) ** 0.5
    return total, error


def powers(temperatures: int) -> np.ndarray:
    """Powers of the likelihood from 0 to 1, dense near 0, where it changes most."""
    return np.linspace(0, 1, temperatures + 1) ** STEEP


@dataclasses.dataclass
class _Weights:
    """Log weights of particles (n, ...) and the evidence so far."""

    log_weight: np.ndarray
    evidence: np.ndarray

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> _Weights:
        return cls(np.zeros(shape), np.zeros(shape[1:]))

    def add(self, step: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """Multiply the weights by those of a step; return indices of particles drawn anew if few of them count, else None."""
        before = _log_mean(self.log_weight)
        self.log_weight = self.log_weight + step
        self.evidence = self.evidence + _log_mean(self.log_weight) - before
        n = len(step)
        share = np.exp(self.log_weight - self.log_weight.max(0))
        share = share / share.sum(0)
        poor = 1 / (share**2).sum(0) < WORTH * n
        if not poor.any():
            return None
        picked = np.broadcast_to(np.arange(n).reshape(-1, *[1] * (step.ndim - 1)), step.shape).copy()
        for place in np.argwhere(poor):
            column = (slice(None), *place)
            # Systematic resampling.
            points = (rng.random() + np.arange(n)) / n
            picked[column] = np.minimum(np.searchsorted(np.cumsum(share[column]), points), n - 1)
            self.log_weight[column] = 0.0
        return picked


def _log_mean(log_weight: np.ndarray) -> np.ndarray:
    top = log_weight.max(0)
    return top + np.log(np.exp(log_weight - top).mean(0))


def _accepted(new: np.ndarray, old: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.log(rng.random(new.shape)) < np.nan_to_num(new - old, nan=-np.inf)


def _alone(fit: SampleFit, n: int, temperatures: int, moves: int, rng: np.random.Generator) -> np.ndarray:
    """Log evidence of each person, (S,)."""
    density = AloneDensity(fit)
    x = fit.prior_draws(n, key=int(rng.integers(2**31))).x
    wide, narrow = x.std(0), np.sqrt(np.diagonal(fit.cov, axis1=1, axis2=2))
    value, weights = log_likelihoods(fit.model, fit.data, x), _Weights.none(x.shape[:2])
    prior = density.log_prior(x)
    schedule = powers(temperatures)
    for before, power in itertools.pairwise(schedule):
        picked = weights.add((power - before) * value, rng)
        if picked is not None:
            x = np.take_along_axis(x, picked[..., None], 0)
            value, prior = (np.take_along_axis(one, picked, 0) for one in (value, prior))
        size = 1 / np.sqrt(1 / wide**2 + power * np.maximum(1 / narrow**2 - 1 / wide**2, 0))
        for _ in range(moves):
            tried = x + size * _reach(x.shape[-1], rng) * rng.normal(size=x.shape)
            new_prior, new = density.log_prior(tried), log_likelihoods(fit.model, fit.data, tried)
            with np.errstate(invalid="ignore"):
                good = _accepted(new_prior + power * new, prior + power * value, rng)
            x = np.where(good[..., None], tried, x)
            value, prior = np.where(good, new, value), np.where(good, new_prior, prior)
    return weights.evidence


def _reach(p: int, rng: np.random.Generator) -> float:
    """Size of a step in sds: the best for `p` dimensions, sometimes smaller or larger."""
    return float(2.4 / p**0.5 * rng.choice([0.4, 1.0, 1.6]))


def _together(fit: SampleFit, n: int, temperatures: int, moves: int, rng: np.random.Generator) -> np.ndarray:
    """Log evidence of everybody, (1,)."""
    density = HierarchyDensity(fit)
    drawn = fit.prior_draws(n, key=int(rng.integers(2**31)))
    v, x = density.coordinates(drawn.group), drawn.x
    groups = density.posterior.unpack(v)[0]
    likelihood = log_likelihoods(fit.model, fit.data, x)
    weights, schedule = _Weights.none((n,)), powers(temperatures)
    for before, power in itertools.pairwise(schedule):
        picked = weights.add((power - before) * likelihood.sum(1), rng)
        if picked is not None:
            v, x, likelihood = v[picked], x[picked], likelihood[picked]
            groups = groups.some(picked)
        for _ in range(moves):
            x, likelihood = _move_people(density, groups, x, likelihood, power, rng)
            v, groups = _move_group(density, v, x, rng)
            v, groups, x, likelihood = _move_both(density, v, groups, x, likelihood, power, rng)
    return np.array([weights.evidence])


def _move_people(
    density: HierarchyDensity,
    groups: GroupDraws,
    x: np.ndarray,
    likelihood: np.ndarray,
    power: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """A Metropolis step of everybody at once: given the group, people are independent.

    Most go anywhere that a Gaussian likelihood would have them, some a step from where they are, which does not suppose one.
    """
    middle, chol = density.around(groups, power)
    z = np.linalg.solve(chol, (x - middle)[..., None])[..., 0]
    anywhere, p = rng.random(x.shape[:2]) < ANYWHERE, x.shape[-1]
    heavy = rng.normal(size=x.shape) / np.sqrt(rng.chisquare(DF, size=(*x.shape[:2], 1)) / DF)
    step = z + _reach(p, rng) * rng.normal(size=x.shape)
    new_z = np.where(anywhere[..., None], heavy, step)
    tried = middle + np.einsum("dspq,dsq->dsp", chol, new_z)
    new = log_likelihoods(density.fit.model, density.fit.data, tried)
    gain = density.log_people(groups, tried) - density.log_people(groups, x)
    with np.errstate(invalid="ignore"):
        gain += power * (new - likelihood)
    gain += np.where(anywhere, log_t((z**2).sum(-1), DF, p) - log_t((new_z**2).sum(-1), DF, p), 0.0)
    good = _accepted(gain, np.zeros_like(gain), rng)
    return np.where(good[..., None], tried, x), np.where(good, new, likelihood)


def _move_both(
    density: HierarchyDensity,
    v: np.ndarray,
    groups: GroupDraws,
    x: np.ndarray,
    likelihood: np.ndarray,
    power: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, GroupDraws, np.ndarray, np.ndarray]:
    """A Metropolis step of the group, in which people keep their places in their approximate posterior given it.

    The group's own steps are short, because its people hold it where it is, and they stay where it has them.
    """
    tried = v + _one_or_all(v, v.shape[1], rng) * v.std(0) * rng.choice([0.4, 1.0, 2.0]) * rng.normal(size=v.shape)
    other, new_hyper = density.posterior.unpack(tried)
    old_hyper = density.posterior.unpack(v)[1]
    middle, chol = density.around(groups, power)
    new_middle, new_chol = density.around(other, power)
    z = np.linalg.solve(chol, (x - middle)[..., None])
    moved = new_middle + (new_chol @ z)[..., 0]
    new = log_likelihoods(density.fit.model, density.fit.data, moved)
    with np.errstate(invalid="ignore"):
        people = density.log_people(other, moved) - density.log_people(groups, x) + power * (new - likelihood)
        gain = new_hyper - old_hyper + (people + _log_volume(new_chol) - _log_volume(chol)).sum(1)
    good = _accepted(gain, np.zeros_like(gain), rng)
    mixed = [_chosen(good, two, one) for one, two in zip(groups[:3], other[:3], strict=True)]
    x, likelihood = _chosen(good, moved, x), _chosen(good, new, likelihood)
    return _chosen(good, tried, v), GroupDraws(*mixed), x, likelihood


def _log_volume(chol: np.ndarray) -> np.ndarray:
    """Log-determinants of Cholesky factors (..., P, P)."""
    return np.log(np.diagonal(chol, axis1=-2, axis2=-1)).sum(-1)


def _one_or_all(v: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, G): coordinates of each particle that move, of `n` that may: roughly one at a time, or all."""
    return rng.random(v.shape) < rng.choice([1.0, min(1.5 / max(n, 1), 1.0)])


def _chosen(good: np.ndarray, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """`new` for the particles that are `good`, `old` for the others."""
    return np.where(good.reshape(-1, *[1] * (old.ndim - 1)), new, old)


def _move_group(
    density: HierarchyDensity, v: np.ndarray, x: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, GroupDraws]:
    """Metropolis steps of the group given the people, with sizes that fit the uncertainty of the group given them."""
    old, groups = density.log_prior(v, x)
    is_mean = np.arange(v.shape[1]) < density.n_coef
    for step in range(GROUP_MOVES):
        # In turns means, and the rest: steps of means are in units of the sds, which must not change with them.
        moves = is_mean if step % 2 else ~is_mean
        size = np.minimum(density.leeway(groups), v.std(0)) * rng.choice([0.5, 1.0, 2.0]) * moves
        # One coordinate at a time or all: both keep the distribution.
        tried = v + _one_or_all(v, moves.sum(), rng) * size * rng.normal(size=v.shape)
        new, other = density.log_prior(tried, x)
        good = _accepted(new, old, rng)
        v, old = _chosen(good, tried, v), _chosen(good, new, old)
        groups = GroupDraws(*(_chosen(good, two, one) for one, two in zip(groups[:3], other[:3], strict=True)))
    return v, groups
