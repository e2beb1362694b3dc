"""People's evidence and posteriors under many groups at a time, on points that stay."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pyem.engine.mixtures import GroupDraws
from pyem.engine.nodes import Nodes, log_root, unpacked
from pyem.population.group import Group

TOGETHER = 2**18
"""Largest number of multiplications of a matrix product: libraries share more among threads, which would then wait for each
other longer than they work."""
PIECE = 2**20
"""Number of points of one person, times groups and monomials, at a time: so much stays in the cache."""
STRETCH = 16
"""Number of points of a stretch: a draw finds its stretch by sums, and only there its point."""


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product of `a` (D, n) and `b` (n, m), by pieces that are not shared among threads."""
    out = np.empty((len(a), b.shape[1]), a.dtype)
    step = max(1, TOGETHER // b.size)
    for start in range(0, len(a), step):
        np.matmul(a[start : start + step], b, out=out[start : start + step])
    return out


def log_evidences(parts: Sequence[Nodes], group: Group, design: np.ndarray, draws: GroupDraws) -> np.ndarray:
    """Log evidence (D, S) of everybody under each of many groups; `design` (S, K) are the people's covariates.

    Weights are exponentials in single precision, which is good to about 1e-7 nats.
    """
    out = np.empty((len(draws.sd), len(design)))
    for rows, weight, top, _, part, n, _ in _each(parts, group, design, draws):
        out[rows, part.people[n]] = np.log(weight.sum(1)) + top
    return out


def log_evidence_narrower(
    parts: Sequence[Nodes], design: np.ndarray, draws: GroupDraws, narrow: GroupDraws
) -> np.ndarray:
    """Log evidence (D,) of all people under Gaussian groups that are `narrow`, from the slope under those of `draws`.

    Under a group that is narrow for the data, the evidence is nearly linear in the group's covariance, while points would have
    to be the closer the narrower it is. By Fisher's identity the slope is an expectation over the posteriors.
    """
    cov, prior = draws.covariances(), draws.precisions()
    slope = prior @ (narrow.covariances() - cov) @ prior
    out = np.zeros(len(cov))
    for rows, weight, top, middle, part, n, monomials in _each(parts, Group(), design, draws):
        total = weight.sum(1)
        sums = product(weight.astype(float), monomials)
        mean, within = unpacked(sums / sums[:, :1], part.centre[n], part.pairs)
        gap = mean - middle
        second = within + gap[:, :, None] * gap[:, None]
        out[rows] += np.log(total) + top + 0.5 * ((second - cov[rows]) * slope[rows]).sum((1, 2))
    return out


class Given(NamedTuple):
    """Everybody's posterior given each of many groups, and a draw from it."""

    mean: np.ndarray
    """Posterior means, (D, S, P)."""
    cov: np.ndarray
    """Posterior covariances, (D, S, P, P)."""
    index: np.ndarray
    """A point of each person drawn given each group, (D, S)."""


def given(
    parts: Sequence[Nodes],
    group: Group,
    design: np.ndarray,
    draws: GroupDraws,
    times: np.ndarray,
    rng: np.random.Generator,
) -> Given:
    """Posterior means and covariances of everybody under each of many groups, with `times` (D,) points drawn from each."""
    (d, p), s = draws.sd.shape, len(design)
    out = Given(np.empty((d, s, p)), np.empty((d, s, p, p)), np.empty((int(times.sum()), s), int))
    u = rng.uniform(size=(s, len(out.index)))
    first = np.concatenate([[0], np.cumsum(times)])
    for rows, weight, _, _, part, n, monomials in _each(parts, group, design, draws, single=True):
        k, kept = part.people[n], part.kept(n)
        sums = product(weight, monomials)
        out.mean[rows, k], out.cov[rows, k] = unpacked(sums / sums[:, :1], part.centre[n], part.pairs)
        if part.surface is not None and draws.common is not None:
            out.mean[rows, k] += part.surface.moves(n, design[k] @ draws.common[rows])
        mine = slice(first[rows.start], first[rows.stop])
        found = _drawn(weight, times[rows], u[k, mine])
        out.index[mine, k] = found if isinstance(kept, slice) else kept[found]
    return out


def _drawn(weight: np.ndarray, times: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Indices of points drawn in proportion to `weight` (rows, K), `times` from each row, by uniform numbers `u`."""
    first = np.arange(0, weight.shape[1], STRETCH)
    below = np.cumsum(np.add.reduceat(weight, first, axis=1), axis=1, dtype=float)
    owner = np.repeat(np.arange(len(weight)), times)
    stretch, rest = _found(below[owner], u)
    index = first[stretch][:, None] + np.arange(STRETCH)
    inside = weight[owner[:, None], np.minimum(index, weight.shape[1] - 1)]
    inside[index >= weight.shape[1]] = 0.0
    place = first[stretch] + _found(np.cumsum(inside, axis=1, dtype=float), rest)[0]
    return np.minimum(place, weight.shape[1] - 1)


def _found(below: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (n,) of shares `u` of the last of some sums in ascending order (n, m), and how far in its place each is."""
    at = u * below[:, -1]
    # Where nothing weighs anything, all sums are 0.
    place = np.minimum((below <= at[:, None]).sum(1), below.shape[1] - 1)
    row = np.arange(len(below))
    low = np.where(place > 0, below[row, place - 1], 0.0)
    return place, (at - low) / np.maximum(below[row, place] - low, 1e-300)


class _Groups:
    """Many groups, with the quantities of each that are the same for everybody."""

    def __init__(self, group: Group, design: np.ndarray, draws: GroupDraws) -> None:
        self.group, self.design, self.draws = group, design, draws
        self.precision = draws.precisions()
        self.log_root = log_root(self.precision)
        i, j = np.triu_indices(self.precision.shape[1])
        self.square = -self.precision[:, i, j] * np.where(i == j, 0.5, 1.0)
        self.white = np.linalg.inv(draws.sd[:, :, None] * draws.chol)

    def joint(self, part: Nodes, n: int, terms: np.ndarray, mean: np.ndarray, rows: slice) -> np.ndarray:
        """Log weights (D, K) of one person's points in some of the groups, whose means are `mean` (D, P).

        The last of the `terms` of each point is what it weighs without a group, the others are monomials.
        """
        if self.group.family != "gaussian":
            z = np.einsum("dpq,dkq->pdk", self.white[rows], part.x[n][part.kept(n)][None] - mean[:, None])
            return (self.group.standard_log_prob(z) + self.log_root[rows, None] + terms[:, -1]).astype(terms.dtype)
        gap = mean - part.centre[n]
        linear = (gap[:, None] @ self.precision[rows])[:, 0]
        constant = self.log_root[rows] - 0.5 * gap.shape[1] * math.log(2 * math.pi) - 0.5 * (linear * gap).sum(1)
        factors = np.concatenate(
            [constant[:, None], linear, self.square[rows], np.ones_like(constant)[:, None]], axis=1
        )
        return product(factors.astype(terms.dtype, copy=False), terms.T)


Piece = tuple[slice, np.ndarray, np.ndarray, np.ndarray, Nodes, int, np.ndarray]
"""Slice of groups, weights of one person's points under them, log of the largest weight, mean of the group as seen from
the points (which move with common values), the points, the person's index in them, and monomials of these points."""


def _each(
    parts: Sequence[Nodes], group: Group, design: np.ndarray, draws: GroupDraws, single: bool = False
) -> Iterator[Piece]:
    """Yield, for every person and some groups at a time, the weights of the points relative to the largest.

    With `single`, log weights are in single precision, too: good to about 1e-5 of themselves.
    """
    groups, kind = _Groups(group, design, draws), np.float32 if single else np.float64
    for part in parts:
        for n, k in enumerate(part.people):
            kept = part.kept(n)
            log_weight = part.log_weight[n][kept]
            base, means = log_weight.max(), design[k] @ draws.coef
            surface = part.surface if draws.common is not None else None
            if surface is not None:
                common = design[k] @ draws.common
                means = means - surface.moves(n, common)
                rises = part.rises(n, common)[:, kept]
            base = base if np.isfinite(base) else 0.0
            terms = np.concatenate([part.monomials[n][kept], (log_weight - base)[:, None]], axis=1).astype(
                kind, copy=False
            )
            step = max(1, PIECE // terms.size)
            for start in range(0, len(means), step):
                rows = slice(start, min(start + step, len(means)))
                joint = groups.joint(part, n, terms, means[rows], rows)
                if surface is not None:
                    joint += rises[rows]
                top = joint.max(1)
                finite = np.where(np.isfinite(top), top, 0.0).astype(kind, copy=False)[:, None]
                weight = np.subtract(joint, finite, out=np.empty(joint.shape, np.float32), casting="same_kind")
                yield rows, np.exp(weight, out=weight), top + base, means[rows], part, n, terms[:, :-1]
