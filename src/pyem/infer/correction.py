"""Draws of an approximation made into draws of the posterior, by importance, with the people integrated out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.engine.integrals import DF, GroupDraws, alone, integrated, points_with_priors
from pyem.numerics.jit import compiled
from pyem.numerics.pareto import pareto_smoothed
from pyem.numerics.rng import generator
from pyem.numerics.student_t import log_t


def corrected(
    spec: Any, args: Any, data: Dataset, values: dict[str, np.ndarray], positions: Any, *, n: int, key: Array
) -> tuple[dict[str, np.ndarray], float]:
    """Draws from the posterior by importance, from draws of an approximation, and Pareto k; as they are if it is above 0.7.

    The group's parameters are drawn from a Student-t with the mean and a somewhat larger covariance than the
    approximation, and weighted by their marginal posterior: each person is integrated out over points around its own
    approximation. Then people are drawn given the group. Without a group only the latter is left to do.
    """
    rng = generator(key)
    x = values["x"][0]
    gap = x - x.mean(0)
    around = (x.mean(0), np.einsum("dsp,dsq->spq", gap, gap) / len(x))
    if "group" not in positions:
        points = points_with_priors(spec.model, data, *around, args.priors, n=n, rng=rng)
        _, drawn = alone(spec.model, points, args.priors, len(x), rng)
        return {"x": drawn[None]}, 0.0
    design = np.asarray(args.design)
    v, log_q = _student_draws(positions["group"][0], len(x), rng)
    coef, sd, chol, log_hyper = _unpacked_group(spec, args, v)
    group = GroupDraws(coef, sd, chol)
    precision, shift = np.moveaxis(np.asarray(args.anchor.precision), -1, 0), np.asarray(args.anchor.shift).T
    marginal, drawn = integrated(spec.model, data, spec.group, design, group, (precision, shift), around, n=n, rng=rng)
    log_weight, k = pareto_smoothed((marginal.sum(1) + log_hyper - log_q)[:, None])
    if not k[0] <= 0.7:
        return values, float(k[0])
    picked = rng.permutation(_systematic(np.exp(log_weight[:, 0]), rng))
    group = GroupDraws(*(part[picked] for part in group))
    out = {"x": drawn[picked], "coef": group.coef, "sd": group.sd}
    if "corr" in values:
        out["corr"] = group.chol @ np.swapaxes(group.chol, 1, 2)
    return {name: part[None] for name, part in out.items()}, float(k[0])


def _student_draws(v: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws (n, G) of a Student-t with the mean and 1.3 times the covariance of `v`, and their log-density."""
    chol = np.linalg.cholesky(1.3 * np.atleast_2d(np.cov(v.T)) + 1e-10 * np.eye(v.shape[1]))
    z = rng.normal(size=(n, v.shape[1])) / np.sqrt(rng.chisquare(DF, size=(n, 1)) / DF)
    return v.mean(0) + z @ chol.T, log_t((z**2).sum(1), DF, v.shape[1])


def _systematic(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices drawn in proportion to `weight`, as evenly as can be."""
    at = (np.arange(len(weight)) + rng.uniform()) / len(weight)
    return np.minimum(np.searchsorted(np.cumsum(weight) / weight.sum(), at), len(weight) - 1)


def _unpacked_group(spec: Any, args: Any, v: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights, sds, Cholesky factors of the correlations, and log-density of the coordinates, at coordinates (D, G)."""
    with jax.enable_x64(True):
        coef, sd, chol, log_hyper = _group_at(spec, args.center, args.scale, args.priors, jnp.asarray(v))
        p = sd.shape[1]
        chol = np.broadcast_to(np.eye(p), (len(sd), p, p)) if chol is None else np.asarray(chol)
        return np.asarray(coef), np.asarray(sd), chol, np.asarray(log_hyper)


@compiled(0, quick=True)
def _group_at(spec: Any, center: Array, scale: Array, priors: Any, v: Array) -> Any:
    def one(v: Array) -> Any:
        coef, sd, chol, log_det = spec.unpack(center + scale * v)
        return coef, sd, chol, spec.log_hyper_prior(priors, coef, sd, chol) + log_det

    return jax.vmap(one)(v)
