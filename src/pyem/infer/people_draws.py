"""Draws of people from points that were weighted, and draws with given moments."""

from __future__ import annotations

import numpy as np

from pyem.engine.many_groups import TOGETHER, given
from pyem.engine.mixtures import GroupDraws
from pyem.engine.nodes import Nodes
from pyem.infer.node_sets import NodeSets
from pyem.population.group import Group
from pyem.population.posterior import GaussianPrior

FINE = 0.004
"""Variance of a place within a cell, of a posterior with variance 1, below which the form of the posterior within cells does
not matter: that of 64 points for one parameter, or ten thousand for two."""
NEGLIGIBLE = 18.0
"""Nats below the heaviest point from which on others count for nothing."""


def drawn_points(weight: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` indices of points (S, n), drawn by weights (S, K) as evenly as can be, in random order."""
    below = np.cumsum(weight, axis=1)
    below /= below[:, -1:]
    even = rng.permuted(np.tile(np.arange(n), (len(weight), 1)), axis=1)
    u = (even + rng.uniform(size=even.shape)) / n
    index = np.stack([np.searchsorted(row, at) for row, at in zip(below, u, strict=True)])
    return np.minimum(index, weight.shape[1] - 1)


def with_moments(x: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Draws (D, S, P), moved and stretched a little so that they have given means (S, P) and covariances (S, P, P)."""
    gap = x - x.mean(0)
    own = np.einsum("dsp,dsq->spq", gap, gap) / len(x)
    jitter = 1e-12 * np.einsum("spp->s", own)[:, None, None] * np.eye(x.shape[2]) + 1e-300
    good = np.linalg.eigvalsh(own).min(1) > 1e-10 * np.einsum("spp->s", own)
    safe = np.where(good[:, None, None], own, cov)
    change = np.linalg.cholesky(cov + jitter) @ np.linalg.inv(np.linalg.cholesky(safe + jitter))
    return np.where(good[:, None], mean + np.einsum("spq,dsq->dsp", change, gap), x)


def people_given(
    sets: NodeSets, draws: GroupDraws, times: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws (n, S, P) of everybody, so many `times` (D,) given each group; everybody's mean and covariance over these."""
    held, design, family = sets.held(draws), sets.population.design, sets.posterior.spec.group
    (s, p), n = sets.moments.mode.shape, int(times.sum())
    x, mean, within = np.empty((n, s, p)), np.empty((n, s, p)), np.zeros((s, p, p))
    at = np.repeat(np.arange(len(times)), times)
    for population, points, mine in sets.pieces(draws):
        parts, which = sets.evaluated(points, held.some(mine)), np.isin(at, mine)
        found = given(parts, family, design, held.some(mine), times[mine], rng)
        again = np.repeat(np.arange(len(mine)), times[mine])
        more = found._replace(mean=found.mean[again], cov=found.cov[again])
        for part in parts:
            moved = part.moves(design, None if held.common is None else held.common[at[which]])
            index = more.index[:, part.people]
            around = _scattered(part, bends(part, family, population.prior, index), index, rng)
            x[np.ix_(which, part.people)] = _drawn_in(*around, moved, *(a[:, part.people] for a in more[:2]))
        # In a group that is narrower than the data tell, everybody is nearer to its mean.
        nearer = (draws.roots @ np.linalg.inv(held.roots))[at[which]][:, None]
        means = (draws.covariances() @ held.precisions())[at[which]]
        middle = design @ draws.coef[at[which]]
        mean[which] = middle + (more.mean - middle) @ np.swapaxes(means, 1, 2)
        x[which] = mean[which] + (nearer @ (x[which] - more.mean)[..., None])[..., 0]
        within += (nearer @ more.cov @ np.swapaxes(nearer, 2, 3)).sum(0) / n
    gap = mean - mean.mean(0)
    return x, mean.mean(0), within + np.einsum("dsp,dsq->spq", gap, gap) / n


def _drawn_in(
    x: np.ndarray, more: np.ndarray, moved: np.ndarray | float, mean: np.ndarray, cov: np.ndarray
) -> np.ndarray:
    """Draws (D, n, P) in cells with the variance of the posterior, to which cells have added `more` (n, P).

    Points have `moved` (D, n, P) with what is common to all.
    """
    own = np.diagonal(cov, axis1=2, axis2=3)
    return mean + np.sqrt(own / np.maximum(own + more, 1e-300)) * (x + moved - mean)


def _scattered(
    part: Nodes, bend: np.ndarray | None, index: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws (D, n, P) from the cells of points (D, n), and the variance (n, P) that this adds to that of the points.

    Points of a mixture are draws themselves, and stay where they are.
    """
    who = np.arange(len(part.people))
    x, frame = part.x[who, index], part.frame
    if frame is None:
        return x, np.zeros((x.shape[1], x.shape[2]))
    z = (np.swapaxes(frame.inside(part.x), 0, 1))[index, who]
    inside = frame.unstretched(z) + np.sqrt(frame.cell) * rng.normal(size=z.shape)
    if bend is not None:
        inside += 0.5 * frame.cell * bend[who, index]
    step = np.swapaxes(frame.stretched(inside) - z, 0, 1) @ np.swapaxes(frame.root, 1, 2)
    return x + np.swapaxes(step, 0, 1), frame.cell * np.square(frame.root).sum(2)


def bends(part: Nodes, group: Group, prior: GaussianPrior, index: np.ndarray) -> np.ndarray | None:
    """Differences (n, K, P) of the slopes of everybody's log posterior at the points drawn, (D, n), from those of a Gaussian.

    Draws that are scattered in a Gaussian way, and drawn together again as if the posterior was Gaussian, lose its skewness. A
    step of half the variance along this slope keeps it, as a step of a Langevin diffusion does. None for mixtures, and where
    cells are small.
    """
    frame = part.frame
    if frame is None or frame.cell < FINE:
        return None
    joint, z = part.joint(group, prior), frame.inside(part.x)
    u, out = frame.unstretched(z), np.zeros_like(z)
    for n, row in enumerate(joint):
        wanted = np.unique(index[:, n])
        near = np.flatnonzero(row > min(row.max() - NEGLIGIBLE, row[wanted].min() - 1e-9))
        weight = np.exp(row[near] - row.max())
        middle = weight @ z[n, near] / weight.sum()
        linear = (z[n, wanted] - middle) / np.cosh(frame.stretch * u[n, wanted])
        steep = slopes(u[n, near], row[near], 3 * frame.cell, np.searchsorted(near, wanted))
        out[n, wanted] = steep + linear
    most = 1 / np.sqrt(frame.cell)
    return out * np.minimum(1, most / np.maximum(np.linalg.norm(out, axis=2, keepdims=True), 1e-300))


def slopes(u: np.ndarray, value: np.ndarray, width: float, wanted: np.ndarray) -> np.ndarray:
    """Gradients (n, P) of values (K,) at points `u` (K, P) that are `wanted` (n,), by regression on those of their neighbours.

    Neighbours have weights of a Gaussian of variance `width`.

    Examples
    --------
    >>> u = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1).reshape(-1, 2)
    >>> slopes(u, u @ [1.0, -2.0], 0.3, np.array([12])).round(4).tolist()
    [[1.0, -2.0]]
    """
    (k, p), square = u.shape, (u**2).sum(1)
    i, j = np.triu_indices(p)
    terms = np.concatenate([np.ones((k, 1)), u, value[:, None], value[:, None] * u, u[:, i] * u[:, j]], axis=1)
    sums = np.empty((len(wanted), terms.shape[1]))
    # Squared distances are products of these.
    near = np.concatenate([u / width, -0.5 * square[:, None] / width, np.ones((k, 1))], axis=1)
    of = np.concatenate([u, np.ones((k, 1)), -0.5 * square[:, None] / width], axis=1)[wanted]
    step = max(1, TOGETHER // terms.size)
    for start in range(0, len(wanted), step):
        weight = np.exp((of[start : start + step] @ near.T).astype(np.float32))
        sums[start : start + step] = weight.astype(float) @ terms
    total, first, level, product, pairs = np.split(sums, np.cumsum([1, p, 1, p]), axis=1)
    u, value = u[wanted], value[wanted, None]
    second = np.empty((len(u), p, p))
    second[:, i, j] = second[:, j, i] = pairs
    cross = first[:, :, None] * u[:, None]
    second += total[:, :, None] * u[:, :, None] * u[:, None] - cross - np.swapaxes(cross, 1, 2)
    second += 1e-6 * width * np.eye(p)
    return np.linalg.solve(second, (product - value * first - u * level + total * u * value)[:, :, None])[..., 0]
