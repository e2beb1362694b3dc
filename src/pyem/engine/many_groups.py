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
"""Number of multiplications for some groups and one person at a time: they stay in the cache, and are fewer than what
libraries share among threads, which would then wait for each other longer than they work."""


def log_evidences(parts: Sequence[Nodes], group: Group, design: np.ndarray, draws: GroupDraws) -> np.ndarray:
    """Log evidence (D, S) of everybody under each of many groups; `design` (S, K) are the people's covariates.

    Weights are exponentials in single precision, which is good to about 1e-7 nats.
    """
    out = np.empty((len(draws.sd), len(design)))
    for rows, weight, top, _, part, n in _each(parts, group, design, draws):
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
    for rows, weight, top, middle, part, n in _each(parts, Group(), design, draws):
        total = weight.sum(1)
        sums = weight.astype(float) @ part.monomials[n][part.kept(n)]
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
    for rows, weight, _, _, part, n in _each(parts, group, design, draws, single=True):
        k, kept = part.people[n], part.kept(n)
        sums = weight @ part.monomials[n][kept].astype(np.float32)
        out.mean[rows, k], out.cov[rows, k] = unpacked(sums / sums[:, :1], part.centre[n], part.pairs)
        if part.surface is not None and draws.common is not None:
            out.mean[rows, k] += part.surface.moves(n, design[k] @ draws.common[rows])
        mine = slice(first[rows.start], first[rows.stop])
        found = _drawn(weight, times[rows], u[k, mine])
        out.index[mine, k] = found if isinstance(kept, slice) else kept[found]
    return out


def _drawn(weight: np.ndarray, times: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Indices of points drawn in proportion to `weight` (rows, K), `times` from each row."""
    below = np.cumsum(weight, axis=1)
    below /= below[:, -1:]
    # All rows in one ascending sequence, so that one search serves them all.
    row = np.arange(len(below))
    below += row[:, None]
    owner = np.repeat(row, times)
    found = np.searchsorted(below.ravel(), (u + owner).astype(np.float32)) - owner * weight.shape[1]
    return np.clip(found, 0, weight.shape[1] - 1)


class _Groups:
    """Many groups, with the quantities of each that are the same for everybody."""

    def __init__(self, group: Group, design: np.ndarray, draws: GroupDraws) -> None:
        self.group, self.design, self.draws = group, design, draws
        self.precision = draws.precisions()
        self.log_root = log_root(self.precision)
        i, j = np.triu_indices(self.precision.shape[1])
        self.square = -self.precision[:, i, j] * np.where(i == j, 0.5, 1.0)
        self.white = np.linalg.inv(draws.sd[:, :, None] * draws.chol)

    def log_prob(self, part: Nodes, n: int, monomials: np.ndarray, mean: np.ndarray, rows: slice) -> np.ndarray:
        """Log-density (D, K) of one person's points in some of the groups, whose means are `mean` (D, P)."""
        if self.group.family != "gaussian":
            z = np.einsum("dpq,dkq->pdk", self.white[rows], part.x[n][part.kept(n)][None] - mean[:, None])
            return self.group.standard_log_prob(z) + self.log_root[rows, None]
        gap = mean - part.centre[n]
        linear = (gap[:, None] @ self.precision[rows])[:, 0]
        constant = self.log_root[rows] - 0.5 * gap.shape[1] * math.log(2 * math.pi) - 0.5 * (linear * gap).sum(1)
        terms = np.concatenate([constant[:, None], linear, self.square[rows]], axis=1)
        return terms.astype(monomials.dtype, copy=False) @ monomials.T


Piece = tuple[slice, np.ndarray, np.ndarray, np.ndarray, Nodes, int]
"""Slice of groups, weights of one person's points under them, log of the largest weight, mean of the group as seen from
the points (which move with common values), the points, and the person's index in them."""


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
            monomials = part.monomials[n][kept].astype(kind, copy=False)
            log_weight = part.log_weight[n][kept]
            base, means = log_weight.max(), design[k] @ draws.coef
            surface = part.surface if draws.common is not None else None
            if surface is not None:
                common = design[k] @ draws.common
                means = means - surface.moves(n, common)
                rises = part.rises(n, common)[:, kept]
            base = base if np.isfinite(base) else 0.0
            log_weight = (log_weight - base).astype(kind, copy=False)
            step = max(1, TOGETHER // monomials.size)
            for start in range(0, len(means), step):
                rows = slice(start, min(start + step, len(means)))
                joint = groups.log_prob(part, n, monomials, means[rows], rows)
                joint += log_weight
                if surface is not None:
                    joint += rises[rows]
                top = joint.max(1)
                joint -= np.where(np.isfinite(top), top, 0.0).astype(joint.dtype, copy=False)[:, None]
                weight = joint.astype(np.float32, copy=False)
                yield rows, np.exp(weight, out=weight), top + base, means[rows], part, n
