"""Mixtures of Student-t distributions that cover people's parameters, given draws of the group."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from pyem.numerics.student_t import log_t
from pyem.population.group import Group

DF = 5.0
"""Degrees of freedom of the proposals."""
WIDER = 1.2
"""Variance of a proposal, as a multiple of the approximate posterior's."""
GROUPS = 24
"""Number of draws of the group for which points are chosen."""


class GroupDraws(NamedTuple):
    """Draws of a group's parameters."""

    coef: np.ndarray
    """Regression weights, (D, K, P)."""
    sd: np.ndarray
    """Standard deviations, (D, P)."""
    chol: np.ndarray
    """Cholesky factor of the correlations, (D, P, P)."""
    common: np.ndarray | None = None
    """Regression weights (D, K, C) of parameters common to all, if the others are only those in which people differ."""

    def some(self, which: Any) -> GroupDraws:
        """Select some of the draws."""
        return GroupDraws(*(None if part is None else part[which] for part in self))  # type: ignore[arg-type]

    @classmethod
    def of(cls, coef: np.ndarray, sd: np.ndarray, corr: np.ndarray | None) -> GroupDraws:
        """Make draws from correlations, or from None for independent parameters."""
        p = sd.shape[-1]
        chol = np.broadcast_to(np.eye(p), (len(sd), p, p)) if corr is None else np.linalg.cholesky(corr)
        return cls(coef, sd, chol)

    @property
    def roots(self) -> np.ndarray:
        """Cholesky factors of the covariances, (D, P, P)."""
        return self.sd[:, :, None] * self.chol

    def covariances(self) -> np.ndarray:
        """Covariances of people around their mean, (D, P, P)."""
        return self.roots @ np.swapaxes(self.roots, 1, 2)

    def precisions(self) -> np.ndarray:
        """Inverses of the covariances, (D, P, P)."""
        inverse = np.linalg.inv(self.roots)
        return np.swapaxes(inverse, 1, 2) @ inverse


class Mixture(NamedTuple):
    """A mixture of Student-t distributions for each subject, with equal weights."""

    means: np.ndarray
    """Centres of the components, (component, S, P)."""
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


class Gaussians(NamedTuple):
    """Gaussian approximations of each person's likelihood: one, or several around its modes."""

    precision: np.ndarray
    """Precision of each approximation, (component, S, P, P), positive semidefinite."""
    shift: np.ndarray
    """The precision times the location, (component, S, P)."""

    @classmethod
    def of(cls, precision: np.ndarray, shift: np.ndarray) -> Gaussians:
        """Make the record from one approximation, (S, P, P) and (S, P), or from several."""
        return cls(precision[None], shift[None]) if precision.ndim == 3 else cls(precision, shift)


def given_groups(group: Group, design: np.ndarray, draws: GroupDraws, people: Gaussians) -> Mixture:
    """Mixture of every subject's posteriors given some draws of the group, and of these groups themselves.

    Where people hardly differ in some of the draws, these need points that hardly differ.

    Parameters
    ----------
    group, design, draws
        The group's family, its design matrix, and draws of its parameters.
    people
        Approximations of each subject's likelihood. Those after the first have a part for fewer draws.
    """
    order = np.argsort(np.log(draws.sd).sum(1))
    spread = order[np.linspace(0, len(order) - 1, GROUPS).astype(int)]
    narrow = np.argpartition(draws.sd, min(2, len(order) - 1), axis=0)[:2].ravel()
    some = np.unique(np.concatenate([narrow, spread]))
    few = draws.some(some)
    middle, chols = posteriors(design, few, people.precision[0], people.shift[0])
    fewer = draws.some(some[::3])
    others = [posteriors(design, fewer, *pair) for pair in zip(people.precision[1:], people.shift[1:], strict=True)]
    mean, cov = moments(design, few)
    # The groups themselves are components for what the approximation misses; heavy-tailed ones are wider.
    wide = np.linalg.cholesky((1.0 if group.family == "gaussian" else 4.0) * cov)[::4, None]
    wide = np.broadcast_to(wide, (len(wide), *chols.shape[1:]))
    means = [middle, *(part for part, _ in others), mean[::4]]
    return Mixture(np.concatenate(means), np.concatenate([chols, *(part for _, part in others), wide]))


def with_more(mixture: Mixture, mean: np.ndarray, cov: np.ndarray) -> Mixture:
    """Add a component around the mean (S, P) and covariance (S, P, P) of each subject, which gets a fifth of the weight."""
    chol = np.linalg.cholesky(WIDER * cov + 1e-14 * np.eye(mean.shape[1]))
    copies = max(1, len(mixture.means) // 4)
    means, chols = np.repeat(mean[None], copies, 0), np.repeat(chol[None], copies, 0)
    return Mixture(np.concatenate([mixture.means, means]), np.concatenate([mixture.chols, chols]))


def around_points(x: np.ndarray, weight: np.ndarray, rng: np.random.Generator, parts: int = 12) -> Mixture:
    """Mixture with components at some of the points (S, n, P), drawn by their weights (S, n), which add to 1.

    References
    ----------
    Cappé, O., Guillin, A., Marin, J. M., & Robert, C. P. (2004). Population Monte Carlo. Journal of Computational and
    Graphical Statistics, 13(4), 907-929. https://doi.org/10.1198/106186004X12803
    """
    p = x.shape[2]
    below = np.cumsum(weight, axis=1)
    u = (np.arange(parts) + rng.uniform(size=(len(x), 1))) / parts * below[:, -1:]
    index = np.minimum((below[:, None] < u[:, :, None]).sum(2), x.shape[1] - 1)
    means = np.swapaxes(x[np.arange(len(x))[:, None], index], 0, 1)
    gap = x - np.einsum("sn,snp->sp", weight, x)[:, None]
    cov = np.einsum("sn,snp,snq->spq", weight, gap, gap)
    # If few points carry the weight, the width is poorly known: the components then stay wide.
    width = np.clip(1 / (weight**2).sum(1), 2.0, parts) ** (-2 / (p + 4))
    floor = 1e-6 * np.einsum("spp->s", cov)[:, None, None] * np.eye(p) + 1e-12 * np.eye(p)
    chols = np.linalg.cholesky(width[:, None, None] * cov + floor)
    return Mixture(means, np.broadcast_to(chols, (parts, *chols.shape)))


def posteriors(
    design: np.ndarray, draws: GroupDraws, precision: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means (D, S, P), and Cholesky factors (D, S, P, P) of somewhat widened covariances, of subjects given the group."""
    mean, cov = moments(design, draws)
    prior = np.linalg.inv(cov)[:, None]
    posterior = np.linalg.inv(precision + prior)
    middle = np.einsum("kspq,ksq->ksp", posterior, shift + np.einsum("krpq,ksq->ksp", prior, mean))
    wider = WIDER * (posterior + np.swapaxes(posterior, 2, 3)) / 2
    return middle, np.linalg.cholesky(wider)


def moments(design: np.ndarray, draws: GroupDraws) -> tuple[np.ndarray, np.ndarray]:
    """Means (D, S, P) and covariances (D, P, P) of groups."""
    root = draws.sd[:, :, None] * draws.chol
    # A group without any width has no density.
    return design[None] @ draws.coef, root @ np.swapaxes(root, 1, 2) + 1e-14 * np.eye(root.shape[1])
