"""Points over which each person is integrated: given the likelihood there, everything about the group is cheap to compute.

The log-likelihood at chosen points does not depend on the group. It is evaluated once; posteriors, evidences and their
derivatives under any group that the points suit are then weighted sums.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.common_values import Surface
from pyem.engine.evaluate import log_lik_draws
from pyem.model.model import Model
from pyem.population.group import Group
from pyem.population.posterior import GaussianPrior, Moments, Status

BLOCK = 128
"""Number of points of everybody in one evaluation, so that nothing is compiled for other numbers of points."""


def log_lik_at(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    """Log-likelihood (S, K) at unconstrained points (S, K, P) of each person; minus infinity where it is not a number."""
    out = np.empty(x.shape[:2])
    for start in range(0, x.shape[1], BLOCK):
        part = np.swapaxes(x[:, start : start + BLOCK], 0, 1)
        short = BLOCK - len(part)
        full = np.concatenate([part, np.repeat(part[-1:], short, axis=0)]) if short else np.ascontiguousarray(part)
        out[:, start : start + BLOCK] = log_lik_draws(model, data, full)[: len(part)].T
    return np.where(np.isnan(out), -np.inf, out)


def log_sum(joint: np.ndarray) -> np.ndarray:
    """Log of the sum of exponentials over the last axis; minus infinity where all terms are."""
    top = joint.max(-1)
    base = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return base + np.log(np.exp(joint - base[..., None]).sum(-1))


class Frame(NamedTuple):
    """Place and scale of the lattices of some people."""

    middle: np.ndarray
    """Centres of the lattices, (n, P)."""
    root: np.ndarray
    """Factors (n, P, P) by which the lattices were scaled."""
    radius: float
    """Radius of the lattices before they are stretched."""
    stretch: float
    """Amount by which the lattices are stretched."""
    cell: float
    """Variance of a place within the cell of a point, along each axis, before stretching."""

    def inside(self, x: np.ndarray) -> np.ndarray:
        """Return points (n, K, P) before they were placed, but after stretching."""
        return (x - self.middle[:, None]) @ np.swapaxes(np.linalg.inv(self.root), 1, 2)

    def unstretched(self, z: np.ndarray) -> np.ndarray:
        """Coordinates (...) inside, before they were stretched."""
        return np.arcsinh(self.stretch * z) / self.stretch

    def stretched(self, u: np.ndarray) -> np.ndarray:
        """The inverse of `unstretched`."""
        return np.sinh(self.stretch * u) / self.stretch


class Nodes:
    """Points of some people, weighted by the likelihood there and by the volume that each represents.

    Parameters
    ----------
    people
        Indices of the people who have the points, (n,).
    x
        Unconstrained parameters, (n, K, P).
    log_weight
        Log-likelihood plus log volume, (n, K): the sum of what these weigh, times a density, is the integral.
    frame
        Place and scale of lattices; None for mixtures.
    surface
        How points and likelihoods change with what is common to all; None where nothing is. `x` are then parameters in which
        people differ, at the common values that the points were made for.
    """

    def __init__(
        self,
        people: np.ndarray,
        x: np.ndarray,
        log_weight: np.ndarray,
        frame: Frame | None = None,
        surface: Surface | None = None,
    ) -> None:
        self.people, self.x, self.log_weight, self.frame, self.surface = people, x, log_weight, frame, surface
        self._rises: np.ndarray | None = None
        self.centre = x.mean(1)
        gap = x - self.centre[:, None]
        self.pairs = np.triu_indices(x.shape[2])
        products = gap[..., self.pairs[0]] * gap[..., self.pairs[1]]
        # A Gaussian log-density is linear in these, and moments are their means.
        self.monomials = np.concatenate([np.ones_like(gap[..., :1]), gap, products], axis=-1)
        self._kept: list[np.ndarray] | None = None

    def without(self, people: np.ndarray) -> Nodes | None:
        """Return the points of all others than these people; None if there are no others."""
        others = ~np.isin(self.people, people)
        if others.all() or not others.any():
            return self if others.all() else None
        frame = self.frame
        if frame is not None:
            frame = frame._replace(middle=frame.middle[others], root=frame.root[others])
        surface = None if self.surface is None else self.surface.of(others)
        return Nodes(self.people[others], self.x[others], self.log_weight[others], frame, surface)

    def thinned(self, group: Group, prior: GaussianPrior, negligible: float) -> Nodes:
        """Leave points with negligible weight under a group out of sums over many groups."""
        joint = self.joint(group, prior)
        out = copy.copy(self)
        with np.errstate(invalid="ignore"):
            out._kept = [np.flatnonzero(~(row < row.max() - negligible)) for row in joint]
        return out

    def moved(self, common: np.ndarray) -> Nodes:
        """Move the points to other common values of everybody, (S, C)."""
        if self.surface is None:
            return self
        x, log_weight = self.x.copy(), self.log_weight.copy()
        for n, values in enumerate(common[self.people, None]):
            x[n] += self.surface.moves(n, values)
            log_weight[n] += self.surface.rises(n, values)[0]
        return Nodes(self.people, x, log_weight, self.frame)

    def with_rises(self, rises: np.ndarray) -> Nodes:
        """Attach the increases (D, n, K) of the likelihood at the points under each of many groups."""
        out = copy.copy(self)
        out._rises = rises
        return out

    def rises(self, n: int, common: np.ndarray) -> np.ndarray:
        """Increases (D, K) of the log-likelihood at a person's points, at the common values (D, C) of many groups."""
        assert self.surface is not None
        return self.surface.rises(n, common) if self._rises is None else self._rises[:, n]

    def moves(self, design: np.ndarray, common: np.ndarray | None) -> Any:
        """Moves (D, n, P) of the points under each of many groups; `common` (D, K, C) are their common values."""
        if self.surface is None or common is None:
            return 0.0
        return np.stack([self.surface.moves(n, design[k] @ common) for n, k in enumerate(self.people)], axis=1)

    def reaches(self, design: np.ndarray, common: np.ndarray) -> np.ndarray:
        """(D,): whether polynomials hold for everybody under each of many groups with the common values `common` (D, K, C)."""
        out = np.ones(len(common), bool)
        if self.surface is None:
            return out
        # Without covariates, common values are the same for everybody.
        some = self.people[:1] if design.shape[1] == 1 else self.people
        for n, k in enumerate(some):
            z = self.surface.coordinates(n, design[k] @ common)
            out &= (z**2).sum(1) <= self.surface.reach**2
        return out

    def kept(self, n: int) -> np.ndarray | slice:
        """Indices of a person's points that are used in sums over many groups."""
        return slice(None) if self._kept is None else self._kept[n]

    def joint(self, group: Group, prior: GaussianPrior) -> np.ndarray:
        """Log weight (n, K) of the points under a group, whose means and scale matrix are those of `prior` for everybody."""
        mean = prior.mean[self.people]
        if group.family != "gaussian":
            return self.log_weight + group.standard_log_prob(self.whitened(prior)) + log_root(prior.precision)
        coef = self.gaussian_terms(mean[None], prior.precision[None])[:, 0]
        return self.log_weight + np.matmul(self.monomials, coef[..., None])[..., 0]

    def whitened(self, prior: GaussianPrior) -> np.ndarray:
        """The points as standardised distances from the group's mean, (P, n, K)."""
        white = np.linalg.inv(np.linalg.cholesky(np.linalg.inv(prior.precision)))
        return np.moveaxis((self.x - prior.mean[self.people][:, None]) @ white.T, -1, 0)

    def gaussian_terms(self, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """Coefficients (n, D, terms) of the monomials in Gaussian log-densities: means (D, n, P), precisions (D, P, P)."""
        gap = np.swapaxes(mean - self.centre, 0, 1)
        linear = np.einsum("ndp,dpq->ndq", gap, precision)
        constant = log_root(precision) - 0.5 * mean.shape[2] * math.log(2 * math.pi) - 0.5 * (linear * gap).sum(-1)
        i, j = self.pairs
        square = -precision[:, i, j] * np.where(i == j, 0.5, 1.0)
        square = np.broadcast_to(square, (len(gap), *square.shape))
        return np.concatenate([constant[..., None], linear, square], axis=-1)

    def moments(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means (n, P) and covariances (n, P, P) under weights (n, K) that add to 1."""
        return unpacked(np.matmul(weight[:, None], self.monomials)[:, 0], self.centre, self.pairs)


def log_root(precision: np.ndarray) -> np.ndarray:
    """Log of the root of the determinant of precisions (..., P, P)."""
    return 0.5 * np.linalg.slogdet(precision)[1]


def unpacked(sums: np.ndarray, centre: np.ndarray, pairs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Means and covariances from means of monomials (..., terms) around centres (..., P)."""
    p = centre.shape[-1]
    mean = sums[..., 1 : 1 + p]
    cov = np.empty((*mean.shape, p))
    cov[..., pairs[0], pairs[1]] = cov[..., pairs[1], pairs[0]] = sums[..., 1 + p :]
    return mean + centre, cov - mean[..., :, None] * mean[..., None, :]


class NodeEStep:
    """The exact E-step on fixed points, while the group changes.

    Parameters
    ----------
    parts
        Points of everybody, in parts of which each has its own number of points.
    group
        The family; the values of a group come with each call.
    """

    def __init__(self, parts: Sequence[Nodes], group: Group) -> None:
        self.parts, self.group = parts, group
        self.n_people = sum(len(part.people) for part in parts)

    def __call__(self, prior: GaussianPrior, tol: float = 0.0) -> Moments:
        """Moments for the M-step: posterior moments; for heavy tails expected weights, and moments weighted by them."""
        del tol
        return self._gathered(prior, self.group.family != "gaussian")

    def posterior(self, prior: GaussianPrior) -> Moments:
        """Posterior mean and covariance of everybody, and the log evidence."""
        return self._gathered(prior, False)

    def _gathered(self, prior: GaussianPrior, scaled: bool) -> Moments:
        n, p = prior.mean.shape
        mean, cov, total, scale = np.empty((n, p)), np.empty((n, p, p)), np.empty(n), np.ones((n, p))
        for part in self.parts:
            weight, total[part.people] = self._weighted(part, prior)
            if scaled:
                found = _scale_moments(part, self.group, prior, weight)
                mean[part.people], cov[part.people], scale[part.people] = found
            else:
                mean[part.people], cov[part.people] = part.moments(weight)
        return as_moments(mean, cov, total, scale if scaled else None)

    def _weighted(self, part: Nodes, prior: GaussianPrior) -> tuple[np.ndarray, np.ndarray]:
        joint = part.joint(self.group, prior)
        total = log_sum(joint)
        return np.exp(joint - np.where(np.isfinite(total), total, 0.0)[:, None]), total

    def weights(self, prior: GaussianPrior) -> list[np.ndarray]:
        """Posterior probabilities of the points of each part, (n, K) each."""
        return [self._weighted(part, prior)[0] for part in self.parts]

    def effective(self, prior: GaussianPrior) -> np.ndarray:
        """Effective number of points of each person, (S,)."""
        out = np.zeros(self.n_people)
        for part, weight in zip(self.parts, self.weights(prior), strict=True):
            out[part.people] = 1 / np.maximum((weight**2).sum(1), 1e-300)
        return out


def _scale_moments(
    part: Nodes, group: Group, prior: GaussianPrior, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, covariances and expected weights for the M-step of a heavy-tailed group: a scale mixture of Gaussians.

    The weight of a person's precision is expected at each point; parameters are averaged by it, too.
    """
    squared = np.moveaxis(part.whitened(prior) ** 2, 0, -1)
    n, k, p = squared.shape
    scale = group.weights(squared.reshape(-1, p)).reshape(n, k, p)
    expected = np.einsum("nk,nkp->np", weight, scale)
    tilted = weight[:, :, None] * scale / expected[:, None]
    mean = np.einsum("nkp,nkp->np", tilted, part.x)
    root = np.sqrt(tilted) * (part.x - mean[:, None])
    return mean, np.einsum("nkp,nkq->npq", root, root), expected


def as_moments(
    mean: np.ndarray, cov: np.ndarray, log_evidence: np.ndarray, weight: np.ndarray | None = None
) -> Moments:
    """Make posterior moments with a status: not finite where the evidence is not."""
    finite = np.isfinite(log_evidence)
    status = np.where(finite, int(Status.CONVERGED), int(Status.NOT_FINITE))
    log_det = -np.linalg.slogdet(np.where(finite[:, None, None], cov, np.eye(cov.shape[1])))[1]
    out = Moments(mean, cov, log_evidence, log_det, status)
    return out if weight is None else Moments.weighted(out, weight)
