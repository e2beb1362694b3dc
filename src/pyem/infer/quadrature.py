"""Rectangular grids around posteriors, and integrals over them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import chunk_log_lik
from pyem.engine.layout import Chunk, batch, join, over_shards, split
from pyem.engine.nodes import NodeEStep, Nodes, as_moments, log_sum
from pyem.model.model import Model
from pyem.numerics.jit import TRACES, compiled
from pyem.population.group import Group
from pyem.population.population import Population
from pyem.population.posterior import Moments

BLOCK = 128
"""Number of grid points of every subject that one call of the compiled likelihood evaluates."""
NEGLIGIBLE = 28.0
"""Nats below the peak at which a posterior is cut off: the rest weighs about 1e-11."""
FARTHEST = 60.0
"""Largest unconstrained value on a grid: logistic and exponential maps have saturated long before."""


def ends_of(model: Model) -> np.ndarray:
    """(P, 2): limits of grids; for parameters with units, at a number of typical sds from the typical mean."""
    mean, sd = model.typical if model.autoscale is not None else (np.zeros(model.n_params), np.ones(model.n_params))
    return np.stack([mean - FARTHEST * sd, mean + FARTHEST * sd], axis=1)


class Grids(NamedTuple):
    """A rectangular grid for each subject, and the log-likelihood on it."""

    axes: np.ndarray
    """Values of each parameter on the grid, (S, P, n)."""
    log_lik: np.ndarray
    """Log-likelihood on the grid, (S, n) or (S, n, n)."""

    @property
    def points(self) -> np.ndarray:
        """All points of the grid, (S, n^P, P)."""
        return _points(self.axes)

    @property
    def log_cell(self) -> np.ndarray:
        """Log of the area of a cell, (S,): with nothing at the edges, every point of the trapezoid rule weighs the same."""
        return np.log(self.axes[:, :, 1] - self.axes[:, :, 0]).sum(1)


LogPrior = Callable[[np.ndarray], np.ndarray]
"""Function that returns the log prior density (S, G) at unconstrained parameters (S, G, P)."""


def gaussian_log_prior(population: Population) -> LogPrior:
    """The log-density of a Gaussian population, normalised."""
    chol = np.linalg.cholesky(population.cov)
    constant = -0.5 * len(chol) * math.log(2 * math.pi) - np.log(np.diag(chol)).sum()
    inverse = np.linalg.inv(chol)

    def at(x: np.ndarray) -> np.ndarray:
        return constant - 0.5 * (((x - population.mean[:, None]) @ inverse.T) ** 2).sum(-1)

    return at


# -- grids --------------------------------------------------------------------------------------------------------------


@compiled(0)
def _shard_on_grid(model: Model, shard: Chunk, x: Array) -> Array:
    TRACES[model.name, "grid"] += 1
    together = max(1, 4096 // shard.lane_subject.shape[-1])

    def one(args: tuple[Chunk, Array]) -> Array:
        chunk, points = args
        return lax.map(lambda x: chunk_log_lik(model, chunk, x), points, batch_size=min(together, BLOCK))

    return lax.map(one, (shard, x))


def log_lik_on(model: Model, data: Dataset, points: np.ndarray) -> np.ndarray:
    """Log-likelihood (S, G) at G points of every subject's own, (S, G, P), unconstrained."""
    laid = batch(model, data)
    out = np.empty(points.shape[:2])
    for start in range(0, points.shape[1], BLOCK):
        part = points[:, start : start + BLOCK]
        short = BLOCK - part.shape[1]
        full = np.concatenate([part, np.repeat(part[:, -1:], short, axis=1)], axis=1) if short else part
        with jax.enable_x64(True):
            values = join(over_shards(partial(_shard_on_grid, model), laid, split(full, laid)), laid)
        out[:, start : start + BLOCK] = values[:, : part.shape[1]]
    return np.where(np.isnan(out), -np.inf, out)


def _points(axes: np.ndarray) -> np.ndarray:
    if axes.shape[1] == 1:
        return np.moveaxis(axes, 1, 2)
    n = axes.shape[2]
    first = np.repeat(axes[:, 0], n, axis=1)
    return np.stack([first, np.tile(axes[:, 1], (1, n))], axis=-1)


def _evaluated(model: Model, data: Dataset, box: np.ndarray, n: int) -> Grids:
    axes = box[..., :1] + (box[..., 1:] - box[..., :1]) * np.linspace(0, 1, n)
    log_lik = log_lik_on(model, data, _points(axes))
    return Grids(axes, log_lik.reshape(-1, *[n] * axes.shape[1]))


def _joint(grids: Grids, log_prior: LogPrior) -> np.ndarray:
    return grids.log_lik + log_prior(grids.points).reshape(grids.log_lik.shape)


def make_grids(model: Model, data: Dataset, log_prior: LogPrior, box: np.ndarray, tol: float, max_points: int) -> Grids:
    """Make grids that cover every posterior and are fine enough."""
    n = 65 if model.n_params == 1 else 33
    ends = ends_of(model)
    box = np.clip(box, ends[:, :1], ends[:, 1:])
    for _ in range(30):
        grids = _evaluated(model, data, box, n)
        box, settled = _zoomed(grids, _joint(grids, log_prior), ends)
        if settled.all():
            break
    # Halving the spacing (at least) squares the error, so the error of half of the points bounds that of all.
    while 2 * n - 1 <= max_points and _error(_joint(grids, log_prior)).max(initial=0) > math.sqrt(tol):
        n = 2 * n - 1
        grids = _evaluated(model, data, grids.axes[:, :, [0, -1]], n)
    return grids


def _zoomed(grids: Grids, joint: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Box (S, P, 2) around the part that is not negligible, and whether the present box was good (S,)."""
    n_subjects, n_params, n = grids.axes.shape
    old = grids.axes[:, :, [0, -1]]
    box, good = old.copy(), np.ones(n_subjects, bool)
    within = tuple(range(1, joint.ndim))
    keep = joint > joint.max(axis=within, keepdims=True) - NEGLIGIBLE
    for k in range(n_params):
        others = tuple(a for a in within if a != k + 1)
        rows = keep.any(axis=others) if others else keep
        some = rows.any(1)
        first, last = rows.argmax(1), n - 1 - rows[:, ::-1].argmax(1)
        step = grids.axes[:, k, 1] - grids.axes[:, k, 0]
        width = old[:, k, 1] - old[:, k, 0]
        low = grids.axes[np.arange(n_subjects), k, first] - np.where(first == 0, width / 2, step)
        high = grids.axes[np.arange(n_subjects), k, last] + np.where(last == n - 1, width / 2, step)
        new = np.clip(np.stack([low, high], axis=-1), *ends[k])
        box[:, k] = np.where(some[:, None], new, old[:, k])
        cut_off = ((first == 0) & (old[:, k, 0] > ends[k, 0])) | ((last == n - 1) & (old[:, k, 1] < ends[k, 1]))
        good &= ~some | (~cut_off & (box[:, k, 1] - box[:, k, 0] > 0.7 * width))
    return np.where(good[:, None, None], old, box), good


def _error(joint: np.ndarray) -> np.ndarray:
    """(S,): difference between the log evidence from every other grid point and that from all."""
    every_other = (slice(None), *[slice(None, None, 2)] * (joint.ndim - 1))
    coarse, fine = _log_sum(joint[every_other]), _log_sum(joint)
    known = np.isfinite(fine)
    coarse, fine = np.where(known, coarse, 0), np.where(known, fine, 0)
    return np.where(known, np.abs(coarse + (joint.ndim - 1) * math.log(2) - fine), 0)


def _log_sum(joint: np.ndarray) -> np.ndarray:
    return log_sum(joint.reshape(len(joint), -1))


# -- moments and groups -------------------------------------------------------------------------------------------------


def moments(grids: Grids, log_prior: LogPrior) -> tuple[Moments, np.ndarray]:
    """Posterior moments, and the probability of each grid point (S, n^P)."""
    joint = _joint(grids, log_prior)
    total = _log_sum(joint)
    flat = joint.reshape(len(joint), -1)
    weight = np.exp(flat - np.where(np.isfinite(total), total, 0)[:, None])
    x = grids.points
    mean = np.einsum("sg,sgp->sp", weight, x)
    gap = x - mean[:, None]
    cov = np.einsum("sg,sgp,sgq->spq", weight, gap, gap, optimize=True)
    return as_moments(mean, cov, total + grids.log_cell), weight


def grid_estep(grids: Grids, group: Group) -> NodeEStep:
    """The exact E-step on fixed grids: only the group changes."""
    x = grids.points
    log_weight = grids.log_lik.reshape(len(x), -1) + grids.log_cell[:, None]
    return NodeEStep([Nodes(np.arange(len(x)), x, log_weight)], group)
