"""Subjects' parameters integrated out: one set of points for each subject, weighted anew for every draw of the group."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.compiled import compiled
from pyem.dataset import Dataset
from pyem.engine import TRACES, log_lik_draws
from pyem.group import Group, Population, _log_t
from pyem.infer.hierarchy import _standard_log_prob
from pyem.infer.priors import NaturalPriors
from pyem.model import Model

DF = 5.0
"""Degrees of freedom of the proposals."""
FROM_GROUP = 0.25
"""Share of the points that come from the group (or the prior), so that no weight is without bound."""
WIDER = 1.3
"""Proposals have this times the posterior's variance, because other draws of the group move the posterior."""


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


def points_around(
    model: Model,
    data: Dataset,
    mean: np.ndarray,
    cov: np.ndarray,
    wide: Population | NaturalPriors,
    *,
    n: int,
    rng: np.random.Generator,
) -> Points:
    """Points from a Student-t around each subject's posterior mean (S, P), covariance (S, P, P), mixed with `wide`."""
    p = mean.shape[1]
    chol = np.linalg.cholesky(WIDER * cov + 1e-10 * np.eye(p))
    n_wide = max(8, round(FROM_GROUP * n))
    shape = (len(mean), n - n_wide, p)
    z = rng.normal(size=shape) / np.sqrt(rng.chisquare(DF, size=(*shape[:2], 1)) / DF)
    x = np.concatenate(
        [mean[:, None] + z @ np.swapaxes(chol, 1, 2), _wide_draws(model, wide, len(mean), n_wide, rng)], axis=1
    )
    gap = np.linalg.solve(chol, np.swapaxes(x - mean[:, None], 1, 2))
    log_scale = np.log(np.diagonal(chol, axis1=1, axis2=2)).sum(1)
    near = _log_t((gap**2).sum(1), DF, p) - log_scale[:, None]
    far = log_prior(model, wide, x)
    log_q = np.logaddexp(near + math.log1p(-n_wide / n), far + math.log(n_wide / n))
    value = np.swapaxes(log_lik_draws(model, data, np.swapaxes(x, 0, 1)), 0, 1)
    return Points(x, np.where(np.isnan(value), -np.inf, value) - log_q - math.log(n))


def _wide_draws(model: Model, wide: Any, n_subjects: int, n: int, rng: np.random.Generator) -> np.ndarray:
    if isinstance(wide, Population):
        return wide.group.sample(wide.mean, wide.cov, n, rng)
    natural = wide.sample(model, jax.random.key(int(rng.integers(2**31))), n * n_subjects)
    return model.unconstrained(natural).reshape(n_subjects, n, -1)


def log_prior(model: Model, prior: Population | NaturalPriors, x: np.ndarray) -> np.ndarray:
    """Log-density (S, n) of points (S, n, P) in a group, or under priors of natural parameters."""
    flat = x.reshape(-1, x.shape[2])
    if isinstance(prior, Population):
        mean = np.repeat(prior.mean, x.shape[1], axis=0)
        return prior.group.log_prob(flat, mean, prior.cov).reshape(x.shape[:2])
    with jax.enable_x64(True):
        return np.asarray(prior.log_prob(model, jnp.asarray(flat.T))).reshape(x.shape[:2])


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
        joint = log_weight + _standard_log_prob(group, z) - log_scale
        top = joint.max(1, keepdims=True)
        below = jnp.cumsum(jnp.exp(joint - top), axis=1)
        total = below[:, -1:]
        return jnp.log(total[:, 0]) + top[:, 0], (below < u[:, None] * total).sum(1)

    return lax.map(one, (draws, u))


def integrated(
    points: Points, group: Group, design: np.ndarray, draws: GroupDraws, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """For every draw of the group: log marginal likelihood (D, S), and a draw of each subject's parameters (D, S, P)."""
    u = rng.uniform(size=(len(draws.sd), len(points.x)))
    with jax.enable_x64(True):
        arrays = jax.tree.map(jnp.asarray, (points.x, points.log_weight, design, draws, u))
        value, index = _over_draws(group, *arrays)
    index = np.minimum(np.asarray(index), points.x.shape[1] - 1)
    return np.asarray(value), points.x[np.arange(len(points.x)), index]


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
