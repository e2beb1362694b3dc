"""Integrals over subjects' parameters: one set of points for each subject, reweighted for every draw of the group."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik_draws
from pyem.engine.mixtures import (
    WIDER,
    Gaussians,
    GroupDraws,
    Mixture,
    around_points,
    given_groups,
    moments,
    posteriors,
    with_more,
)
from pyem.model.model import Model
from pyem.numerics.jit import TRACES, compiled
from pyem.numerics.pareto import GOOD, pareto_smoothed
from pyem.population.group import Group
from pyem.population.priors import NaturalPriors

FROM_PRIOR = 0.25
"""Share of the points that come from the prior of people on their own, so that weights are bounded."""
NARROW = 0.7
"""Width of a group, in posterior sds of a person, below which a draw of the group gets its own points."""
OWN_POINTS = 96
"""Number of such points for each person."""
TOGETHER = 2**18
"""Number of such points, of all people, that are held in memory at a time."""
LOOKED_AT = 8
"""Number of groups under which the integrals are diagnosed."""
MORE_ROUNDS = 3
"""Largest number of times that points are added where there are too few."""


class Points(NamedTuple):
    """Each subject's likelihood at points around its posterior."""

    x: np.ndarray
    """Unconstrained parameters, (S, n, P)."""
    log_weight: np.ndarray
    """Log-likelihood less the log-density of the proposal and log n, (S, n): sums of these weights are integrals."""


class Rounds:
    """Points of each subject from one or several mixtures, weighted as draws from all of them together."""

    def __init__(self, model: Model, data: Dataset, rng: np.random.Generator) -> None:
        self.model, self.data, self.rng = model, data, rng
        self._mixtures: list[Mixture] = []
        self._x: list[np.ndarray] = []
        self._log_lik: list[np.ndarray] = []

    def add(self, mixture: Mixture, n: int) -> Points:
        """Add roughly `n` points for each subject from `mixture`, and return all points so far."""
        x = mixture.sample(-(-n // len(mixture.means)), self.rng)
        # Every round has as many points as the first, because another number would be compiled anew.
        x = x[:, : self._x[0].shape[1]] if self._x else x
        self._mixtures.append(mixture)
        self._x.append(x)
        self._log_lik.append(_values(self.model, self.data, x))
        every = np.concatenate(self._x, axis=1)
        shares = np.array([part.shape[1] for part in self._x]) / every.shape[1]
        parts = [m.log_prob(every) + math.log(share) for m, share in zip(self._mixtures, shares, strict=True)]
        log_q = np.logaddexp.reduce(np.array(parts), axis=0)
        return Points(every, np.concatenate(self._log_lik, axis=1) - log_q - math.log(every.shape[1]))


def points_with_priors(
    model: Model,
    data: Dataset,
    mean: np.ndarray,
    cov: np.ndarray,
    priors: NaturalPriors,
    *,
    n: int,
    rng: np.random.Generator,
) -> Points:
    """Points around each subject's posterior mean (S, P) and covariance (S, P, P), mixed with those from the priors."""
    chol = np.linalg.cholesky(WIDER * cov + 1e-14 * np.eye(mean.shape[1]))
    near = Mixture(mean[None], chol[None])
    n_wide = max(8, round(FROM_PRIOR * n))
    natural = priors.sample(model, jax.random.key(int(rng.integers(2**31))), n_wide * len(mean))
    far = model.unconstrained(natural).reshape(len(mean), n_wide, -1)
    x = np.concatenate([near.sample(n - n_wide, rng), far], axis=1)
    log_far = log_prior(model, priors, x) + math.log(n_wide / n)
    return _weighted(model, data, x, np.logaddexp(near.log_prob(x) + math.log1p(-n_wide / n), log_far))


def _weighted(model: Model, data: Dataset, x: np.ndarray, log_q: np.ndarray) -> Points:
    return Points(x, _values(model, data, x) - log_q - math.log(x.shape[1]))


def _values(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    """Log-likelihood (S, n) at points (S, n, P); minus infinity where it is not a number."""
    value = np.swapaxes(log_lik_draws(model, data, np.swapaxes(x, 0, 1)), 0, 1)
    return np.where(np.isnan(value), -np.inf, value)


def log_prior(model: Model, priors: NaturalPriors, x: np.ndarray) -> np.ndarray:
    """Log-density (S, n) of points (S, n, P) under priors of natural parameters."""
    flat = x.reshape(-1, x.shape[2])
    with jax.enable_x64(True):
        return np.asarray(priors.log_prob(model, jnp.asarray(flat.T))).reshape(x.shape[:2])


@compiled(0)
def _over_draws(
    group: Group, x: Array, log_weight: Array, design: Array, draws: GroupDraws, u: Array
) -> tuple[Array, Array]:
    """Log integral (D, S), and the index of a point drawn from each conditional posterior (D, S)."""
    TRACES[group.family, "integral"] += 1
    first = jnp.moveaxis(x, -1, 0)

    def one(args: tuple[GroupDraws, Array]) -> tuple[Array, Array]:
        draw, u = args
        z = (first - (design @ draw.coef).T[:, :, None]) / draw.sd[:, None, None]
        if group.covariance == "full":
            z = jnp.einsum("pq,qsn->psn", jnp.linalg.inv(draw.chol), z)
        log_scale = jnp.log(draw.sd).sum() + jnp.log(jnp.diag(draw.chol)).sum()
        joint = log_weight + group.standard_log_prob(z) - log_scale
        top = joint.max(1, keepdims=True)
        below = jnp.cumsum(jnp.exp(joint - top), axis=1)
        total = below[:, -1:]
        return jnp.log(total[:, 0]) + top[:, 0], (below < u[:, None] * total).sum(1)

    return lax.map(one, (draws, u))


class Integrals(NamedTuple):
    """Result of `integrals`."""

    value: np.ndarray
    """Log marginal likelihood for every draw of the group, (D, S)."""
    x: np.ndarray
    """A draw of each subject's parameters given each draw of the group, (D, S, P)."""
    pareto_k: np.ndarray
    """Mean Pareto k of each subject's weights over several groups, (S,): how well the points cover the posterior."""


def integrals(
    model: Model,
    data: Dataset,
    group: Group,
    design: np.ndarray,
    draws: GroupDraws,
    people: Gaussians,
    around: tuple[np.ndarray, np.ndarray],
    *,
    n: int,
    rng: np.random.Generator,
) -> Integrals:
    """Integrate everybody out for every draw of the group, with a diagnosis of each person's integral.

    Where points cover the posterior of some people badly, more are drawn around those that count.

    Parameters
    ----------
    model, data, group, design, draws
        The likelihood of these data, and draws of the group.
    people
        Gaussian approximations of each subject's likelihood, around one or several modes.
    around
        Posterior mean (S, P) and covariance (S, P, P) of each subject.
    n
        Points for each subject; they serve all draws, except those in which people hardly differ: these have some of their own.
    """
    mixture = with_more(given_groups(group, design, draws, people), *around)
    rounds = Rounds(model, data, rng)
    points = rounds.add(mixture, n)
    looked = np.linspace(0, len(draws.sd) - 1, LOOKED_AT).astype(int)
    few = draws.some(looked)
    k, weight = _quality(group, design, few, points)
    for _ in range(MORE_ROUNDS):
        if (k <= GOOD).all():
            break
        points = rounds.add(around_points(points.x, weight, rng), n)
        k, weight = _quality(group, design, few, points)
    u = rng.uniform(size=(len(draws.sd), len(points.x)))
    with jax.enable_x64(True):
        arrays = jax.tree.map(jnp.asarray, (points.x, points.log_weight, design, draws, u))
        value, index = _over_draws(group, *arrays)
    index = np.minimum(np.asarray(index), points.x.shape[1] - 1)
    value, x = np.array(value), points.x[np.arange(len(points.x)), index]
    own = np.flatnonzero(_narrow(draws, around[1]))
    if len(own):
        value[own], x[own], k_own = _one_by_one(model, data, group, design, draws, people, own, rng)
        k = np.maximum(k, k_own)
    return Integrals(value, x, k)


def integrated(
    model: Model,
    data: Dataset,
    group: Group,
    design: np.ndarray,
    draws: GroupDraws,
    gaussian: tuple[np.ndarray, np.ndarray],
    around: tuple[np.ndarray, np.ndarray],
    *,
    n: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Integrate with one Gaussian approximation: log marginal likelihood (D, S), and a draw of each subject (D, S, P).

    Parameters
    ----------
    gaussian
        A Gaussian approximation of each subject's likelihood: precision (S, P, P), and precision times mean (S, P).
    model, data, group, design, draws, around, n, rng
        As for `integrals`.
    """
    found = integrals(model, data, group, design, draws, Gaussians.of(*gaussian), around, n=n, rng=rng)
    return found.value, found.x


def _quality(group: Group, design: np.ndarray, few: GroupDraws, points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Mean Pareto k (S,) of the weights under some groups, and the mean of these weights (S, n), which add to 1."""
    joint = points.log_weight + _log_groups(
        group, design, few, np.broadcast_to(points.x, (len(few.sd), *points.x.shape))
    )
    return mean_pareto_k(joint), np.exp(joint - _log_sums(joint)).mean(0)


def _log_sums(joint: np.ndarray) -> np.ndarray:
    top = joint.max(-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return top + np.log(np.exp(joint - top).sum(-1, keepdims=True))


def mean_pareto_k(joint: np.ndarray) -> np.ndarray:
    """Mean over draws of the group of each subject's Pareto k, (S,), from log weights (D, S, n)."""
    d, s, n = joint.shape
    columns = np.moveaxis(joint, 2, 0).reshape(n, d * s)
    with np.errstate(invalid="ignore"):
        log_weight, k = pareto_smoothed(columns)
        even = np.exp(log_weight).max(0) < 2 / n
    # Equal weights have no tail; weights whose tail has no shape are ignored.
    k = np.where(even, -1.0, np.where(np.isnan(k), np.inf, np.maximum(k, -1.0)))
    return k.reshape(d, s).mean(0)


def _narrow(draws: GroupDraws, cov: np.ndarray) -> np.ndarray:
    """(D,): whether a group is, in some direction, narrower than a person's parameters are uncertain."""
    unit = np.sqrt(np.median(np.diagonal(cov, axis1=1, axis2=2), axis=0))
    root = draws.chol * (draws.sd / unit)[:, :, None]
    return np.linalg.eigvalsh(root @ np.swapaxes(root, 1, 2)).min(1) < NARROW**2


def _one_by_one(
    model: Model,
    data: Dataset,
    group: Group,
    design: np.ndarray,
    draws: GroupDraws,
    people: Gaussians,
    which: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integrate for some of the draws, with points for each of them alone."""
    n_subjects = len(design)
    together = max(1, TOGETHER // (OWN_POINTS * n_subjects))
    together = min(together, len(which))
    values, picked, ks = [], [], []
    for start in range(0, len(which), together):
        # The last ones are filled up, because another number would be compiled anew.
        some = which[np.minimum(np.arange(start, start + together), len(which) - 1)]
        part = draws.some(some)
        x, log_q = _own_points(design, part, people, rng)
        flat = np.swapaxes(x, 1, 2).reshape(-1, n_subjects, x.shape[3])
        log_lik = np.swapaxes(log_lik_draws(model, data, flat).reshape(together, OWN_POINTS, n_subjects), 1, 2)
        joint = np.where(np.isnan(log_lik), -np.inf, log_lik) + _log_groups(group, design, part, x) - log_q
        top = joint.max(2, keepdims=True)
        below = np.cumsum(np.exp(joint - top), axis=2)
        u = rng.uniform(size=(together, n_subjects, 1)) * below[..., -1:]
        index = np.minimum((below < u).sum(2), OWN_POINTS - 1)
        values.append(np.log(below[..., -1]) + top[..., 0] - math.log(OWN_POINTS))
        picked.append(np.take_along_axis(x, index[..., None, None], 2)[:, :, 0])
        ks.append(mean_pareto_k(joint[:LOOKED_AT]))
    n = len(which)
    return np.concatenate(values)[:n], np.concatenate(picked)[:n], np.mean(ks, axis=0)


def _own_points(
    design: np.ndarray, part: GroupDraws, people: Gaussians, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points (D, S, n, P) for each draw of the group alone, and their log-density (D, S, n)."""
    each = [posteriors(design, part, *pair) for pair in zip(*people, strict=True)]
    means, chols = (np.stack(parts, axis=1) for parts in zip(*each, strict=True))
    size = -(-OWN_POINTS // means.shape[1])
    mixtures = [Mixture(m, c) for m, c in zip(means, chols, strict=True)]
    x = np.stack([mixture.sample(size, rng)[:, :OWN_POINTS] for mixture in mixtures])
    return x, np.stack([mixture.log_prob(points) for mixture, points in zip(mixtures, x, strict=True)])


def _log_groups(group: Group, design: np.ndarray, draws: GroupDraws, x: np.ndarray) -> np.ndarray:
    """Log-density (D, S, n) of points (D, S, n, P) in groups."""
    means, covs = moments(design, draws)
    n = x.shape[2]
    rows = [
        group.log_prob(part.reshape(-1, part.shape[2]), np.repeat(mean, n, axis=0), cov).reshape(part.shape[:2])
        for part, mean, cov in zip(x, means, covs, strict=True)
    ]
    return np.stack(rows)


def alone(
    model: Model, points: Points, priors: NaturalPriors, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Log evidence (S,) of each subject without a group, and `n` draws of its parameters (n, S, P)."""
    joint = points.log_weight + log_prior(model, priors, points.x)
    top = joint.max(1, keepdims=True)
    below = np.cumsum(np.exp(joint - top), axis=1)
    u = rng.uniform(size=(n, len(below))) * below[:, -1]
    index = np.stack([np.searchsorted(row, part) for row, part in zip(below, u.T, strict=True)], axis=1)
    index = np.minimum(index, points.x.shape[1] - 1)
    return np.log(below[:, -1]) + top[:, 0], points.x[np.arange(len(points.x)), index]
