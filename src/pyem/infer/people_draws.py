"""People given each draw of their group: drawn again from points that serve all of the group's draws."""

from __future__ import annotations

import numpy as np

from pyem.engine.mixtures import GroupDraws
from pyem.engine.nodes import Nodes, log_sum
from pyem.population.group import Group
from pyem.population.population import Population

CLUSTERS = 6
"""Draws of the group are divided by the width of the group; each part has its own chance of each point,"""
LOOKED_AT = 24
"""which is a mean over so many of its draws."""
STEPS = 4
"""Proposals of a point for each person and draw; the better suited ones are accepted (Metropolis)."""


def people_given(
    points: Nodes,
    group: Group,
    design: np.ndarray,
    draws: GroupDraws,
    populations: list[Population],
    rng: np.random.Generator,
) -> np.ndarray:
    """A draw (D, S, P) of everybody's parameters given each draw of the group, from `points` of everybody.

    Parameters
    ----------
    points
        Of all people in order.
    group, design, draws, populations
        The family, everybody's covariates (S, K), draws of the group's parameters, and the same as populations.
    rng
        Source of chance.
    """
    out = np.empty((len(draws.sd), *points.x[:, 0].shape))
    order = np.argsort(np.log(draws.sd).sum(1))
    for mine in np.array_split(order, min(CLUSTERS, len(order))):
        looked = mine[np.linspace(0, len(mine) - 1, min(LOOKED_AT, len(mine))).astype(int)]
        weight = np.mean([_weights(points, populations[k]) for k in looked], axis=0)
        out[mine] = _metropolis(points, weight, group, design, GroupDraws(*(part[mine] for part in draws)), rng)
    return out


def _weights(points: Nodes, population: Population) -> np.ndarray:
    joint = points.joint(population.group, population.prior)
    return np.exp(joint - log_sum(joint)[:, None])


def _metropolis(
    points: Nodes, weight: np.ndarray, group: Group, design: np.ndarray, draws: GroupDraws, rng: np.random.Generator
) -> np.ndarray:
    """Draws (n, S, P): points are proposed by `weight` (S, K), and accepted as each draw of the group deserves."""
    with np.errstate(divide="ignore"):
        # How much likelier a point is than it is proposed, but for the density in the group.
        gain = points.log_weight - np.log(weight)
    n, rows = len(draws.sd), np.arange(len(weight))[:, None]
    mean = np.moveaxis(design[None] @ draws.coef, 1, 0)
    white = np.linalg.inv(draws.sd[:, :, None] * draws.chol)
    current = value = None
    for _ in range(STEPS):
        proposed = drawn_points(weight, n, rng)
        z = np.einsum("npq,snq->psn", white, points.x[rows, proposed] - mean)
        new = gain[rows, proposed] + group.standard_log_prob(z)
        if current is None or value is None:
            current, value = proposed, new
            continue
        with np.errstate(invalid="ignore"):
            accept = np.log(rng.uniform(size=new.shape)) < new - value
        current, value = np.where(accept, proposed, current), np.where(accept, new, value)
    assert current is not None
    return np.swapaxes(points.x[rows, current], 0, 1)


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
