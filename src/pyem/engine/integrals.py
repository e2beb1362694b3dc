"""Subjects' parameters integrated out: one set of points for each subject, weighted anew for every draw of the group."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik_draws
from pyem.model.model import Model
from pyem.numerics.jit import TRACES, compiled
from pyem.numerics.student_t import log_t
from pyem.population.group import Group
from pyem.population.priors import NaturalPriors

DF = 5.0
"""Degrees of freedom of the proposals."""
FROM_PRIOR = 0.25
"""Share of the points that come from the prior of people on their own, so that no weight is without bound."""
GROUPS = 24
"""Draws of the group that points are chosen for."""
WIDER = 1.2
"""Proposals have this times the approximate posterior's variance."""
NARROW = 0.7
"""Groups narrower than this many posterior sds of a person are integrated over with points of their own,"""
OWN_POINTS = 96
"""as many for each person,"""
TOGETHER = 2**18
"""and for so many people and points at a time."""


class Points(NamedTuple):
    """Each subject's likelihood at points around its posterior."""

    x: np.ndarray
    """Unconstrained parameters, (S, n, P)."""
    log_weight: np.ndarray
    """Log-likelihood less the log-density of the proposal and log n, (S, n): sums of what these weigh are integrals."""


class GroupDraws(NamedTuple):
    """Draws of a group's parameters."""

    coef: np.ndarray
    """(D, K, P)"""
    sd: np.ndarray
    """(D, P)"""
    chol: np.ndarray
    """Cholesky factor of the correlations, (D, P, P)."""

    @classmethod
    def of(cls, coef: np.ndarray, sd: np.ndarray, corr: np.ndarray | None) -> GroupDraws:
        """From correlations, or None for independent parameters."""
        p = sd.shape[-1]
        chol = np.broadcast_to(np.eye(p), (len(sd), p, p)) if corr is None else np.linalg.cholesky(corr)
        return cls(coef, sd, chol)


class Mixture(NamedTuple):
    """A mixture of Student-t distributions for each subject, in equal parts."""

    means: np.ndarray
    """(component, S, P)"""
    chols: np.ndarray
    """Cholesky factors of the scale matrices, (component, S, P, P)."""

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`n` points of each component, (S, component * n, P)."""
        k, s, p = self.means.shape
        z = rng.normal(size=(k, s, n, p)) / np.sqrt(rng.chisquare(DF, size=(k, s, n, 1)) / DF)
        x = self.means[:, :, None] + z @ np.swapaxes(self.chols, 2, 3)
        return np.moveaxis(x, 0, 1).reshape(s, k * n, p)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log-density (S, n) at points (S, n, P)."""
        total = np.full(x.shape[:2], -np.inf)
        for mean, chol in zip(self.means, self.chols, strict=True):
            gap = np.linalg.solve(chol, np.swapaxes(x - mean[:, None], 1, 2))
            log_scale = np.log(np.diagonal(chol, axis1=1, axis2=2)).sum(1)
            total = np.logaddexp(total, log_t((gap**2).sum(1), DF, x.shape[2]) - log_scale[:, None])
        return total - math.log(len(self.means))


def given_groups(
    group: Group, design: np.ndarray, draws: GroupDraws, precision: np.ndarray, shift: np.ndarray
) -> Mixture:
    """Every subject's posterior given some of the draws of the group, and these groups themselves.

    Where people hardly differ in some of the draws, these need points that hardly differ.

    Parameters
    ----------
    group, design, draws
        Of the group.
    precision, shift
        A Gaussian approximation of each subject's likelihood: precision (S, P, P), and precision times mean (S, P).
    """
    order = np.argsort(np.log(draws.sd).sum(1))
    spread = order[np.linspace(0, len(order) - 1, GROUPS).astype(int)]
    narrow = np.argpartition(draws.sd, min(2, len(order) - 1), axis=0)[:2].ravel()
    some = np.unique(np.concatenate([narrow, spread]))
    few = GroupDraws(*(array[some] for array in draws))
    middle, chols = _posteriors(design, few, precision, shift)
    mean, cov = _moments(design, few)
    # The groups themselves, for what the approximation does not cover; heavy-tailed ones are wider.
    wide = np.linalg.cholesky((1.0 if group.family == "gaussian" else 4.0) * cov)[::4, None]
    wide = np.broadcast_to(wide, (len(wide), *chols.shape[1:]))
    return Mixture(np.concatenate([middle, mean[::4]]), np.concatenate([chols, wide]))


def points_given_groups(
    model: Model,
    data: Dataset,
    mixture: Mixture,
    around: tuple[np.ndarray, np.ndarray],
    n: int,
    rng: np.random.Generator,
) -> Points:
    """About `n` points for each subject from a mixture, one of whose parts is around the posterior mean and covariance."""
    mean, cov = around
    chol = np.linalg.cholesky(WIDER * cov + 1e-14 * np.eye(mean.shape[1]))
    copies = max(1, len(mixture.means) // 4)
    means, chols = np.repeat(mean[None], copies, 0), np.repeat(chol[None], copies, 0)
    whole = Mixture(np.concatenate([mixture.means, means]), np.concatenate([mixture.chols, chols]))
    x = whole.sample(-(-n // len(whole.means)), rng)
    return _weighted(model, data, x, whole.log_prob(x))


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
    value = np.swapaxes(log_lik_draws(model, data, np.swapaxes(x, 0, 1)), 0, 1)
    return Points(x, np.where(np.isnan(value), -np.inf, value) - log_q - math.log(x.shape[1]))


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
    """For every draw of the group: log marginal likelihood (D, S), and a draw of each subject's parameters (D, S, P).

    Parameters
    ----------
    model, data, group, design, draws
        Whose likelihood, and the group.
    gaussian
        A Gaussian approximation of each subject's likelihood: precision (S, P, P), and precision times mean (S, P).
    around
        Posterior mean (S, P) and covariance (S, P, P) of each subject.
    n
        Points for each subject; they serve all draws, except those in which people hardly differ: these have some of their own.
    """
    mixture = given_groups(group, design, draws, *gaussian)
    points = points_given_groups(model, data, mixture, around, n, rng)
    u = rng.uniform(size=(len(draws.sd), len(points.x)))
    with jax.enable_x64(True):
        arrays = jax.tree.map(jnp.asarray, (points.x, points.log_weight, design, draws, u))
        value, index = _over_draws(group, *arrays)
    index = np.minimum(np.asarray(index), points.x.shape[1] - 1)
    value, x = np.array(value), points.x[np.arange(len(points.x)), index]
    few = np.flatnonzero(_narrow(draws, around[1]))
    if len(few):
        value[few], x[few] = _one_by_one(model, data, group, design, draws, gaussian, few, rng)
    return value, x


def _narrow(draws: GroupDraws, cov: np.ndarray) -> np.ndarray:
    """Draws (D,) of groups that are narrower, in some direction, than what is not known of a person."""
    unit = np.sqrt(np.median(np.diagonal(cov, axis1=1, axis2=2), axis=0))
    root = draws.chol * (draws.sd / unit)[:, :, None]
    return np.linalg.eigvalsh(root @ np.swapaxes(root, 1, 2)).min(1) < NARROW**2


def _one_by_one(
    model: Model,
    data: Dataset,
    group: Group,
    design: np.ndarray,
    draws: GroupDraws,
    gaussian: tuple[np.ndarray, np.ndarray],
    which: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """As `integrated`, of some of the draws, with points for each of them alone."""
    n_subjects = len(design)
    together = max(1, TOGETHER // (OWN_POINTS * n_subjects))
    together = min(together, len(which))
    values, picked = [], []
    for start in range(0, len(which), together):
        # The last ones are filled up, because another number would be compiled anew.
        some = which[np.minimum(np.arange(start, start + together), len(which) - 1)]
        part = GroupDraws(*(array[some] for array in draws))
        each = _posteriors(design, part, *gaussian)
        x = np.stack([Mixture(m[None], c[None]).sample(OWN_POINTS, rng) for m, c in zip(*each, strict=True)])
        log_q = np.stack([Mixture(m[None], c[None]).log_prob(a) for m, c, a in zip(*each, x, strict=True)])
        log_lik = log_lik_draws(model, data, np.swapaxes(x, 1, 2).reshape(-1, *each[0].shape[1:]))
        log_lik = np.swapaxes(log_lik.reshape(together, OWN_POINTS, n_subjects), 1, 2)
        joint = np.where(np.isnan(log_lik), -np.inf, log_lik) + _log_groups(group, design, part, x) - log_q
        top = joint.max(2, keepdims=True)
        below = np.cumsum(np.exp(joint - top), axis=2)
        u = rng.uniform(size=(together, n_subjects, 1)) * below[..., -1:]
        index = np.minimum((below < u).sum(2), OWN_POINTS - 1)
        values.append(np.log(below[..., -1]) + top[..., 0] - math.log(OWN_POINTS))
        picked.append(np.take_along_axis(x, index[..., None, None], 2)[:, :, 0])
    return np.concatenate(values)[: len(which)], np.concatenate(picked)[: len(which)]


def _posteriors(
    design: np.ndarray, draws: GroupDraws, precision: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means (D, S, P), and Cholesky factors (D, S, P, P) of somewhat widened covariances, of subjects given the group."""
    mean, cov = _moments(design, draws)
    prior = np.linalg.inv(cov)[:, None]
    posterior = np.linalg.inv(precision + prior)
    middle = np.einsum("kspq,ksq->ksp", posterior, shift + np.einsum("krpq,ksq->ksp", prior, mean))
    wider = WIDER * (posterior + np.swapaxes(posterior, 2, 3)) / 2
    return middle, np.linalg.cholesky(wider)


def _moments(design: np.ndarray, draws: GroupDraws) -> tuple[np.ndarray, np.ndarray]:
    """Means (D, S, P) and covariances (D, P, P) of groups."""
    root = draws.sd[:, :, None] * draws.chol
    # A group without any width has no density.
    return design[None] @ draws.coef, root @ np.swapaxes(root, 1, 2) + 1e-14 * np.eye(root.shape[1])


def _log_groups(group: Group, design: np.ndarray, draws: GroupDraws, x: np.ndarray) -> np.ndarray:
    """Log-density (D, S, n) of points (D, S, n, P) in groups."""
    means, covs = _moments(design, draws)
    n = x.shape[2]
    rows = [
        group.log_prob(part.reshape(-1, part.shape[2]), np.repeat(mean, n, axis=0), cov).reshape(part.shape[:2])
        for part, mean, cov in zip(x, means, covs, strict=True)
    ]
    return np.stack(rows)


def alone(
    model: Model, points: Points, priors: NaturalPriors, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Without a group: log evidence of each subject (S,), and `n` draws of its parameters (n, S, P)."""
    joint = points.log_weight + log_prior(model, priors, points.x)
    top = joint.max(1, keepdims=True)
    below = np.cumsum(np.exp(joint - top), axis=1)
    u = rng.uniform(size=(n, len(below))) * below[:, -1]
    index = np.stack([np.searchsorted(row, part) for row, part in zip(below, u.T, strict=True)], axis=1)
    index = np.minimum(index, points.x.shape[1] - 1)
    return np.log(below[:, -1]) + top[:, 0], points.x[np.arange(len(points.x)), index]
