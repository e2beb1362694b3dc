"""Sums over people that an iteration of EM needs; sums over parts of the people can be added."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pyem.population.posterior import Laplace

if TYPE_CHECKING:
    from pyem.population.population import Population


class Sums(NamedTuple):
    """Sums over the people who inform the group, of their modes around the group's mean."""

    n: np.ndarray
    """Number of people."""
    square: np.ndarray
    """Weighted products of the design with itself, (K * P, K * P)."""
    cross: np.ndarray
    """Products of the design with the distances from the mean, (K * P, P)."""
    scatter: np.ndarray
    """Products of the distances with themselves, (P, P)."""
    spread: np.ndarray
    """Sum of the covariances, (P, P)."""


def sums(population: Population, laplace: Laplace) -> Sums:
    """Sums over people for the M-step, given the weights of the population."""
    use = laplace.usable
    root, design = np.sqrt(population.weight[use]), population.design[use]
    gap = root * (laplace.mode[use] - design @ population.coef)
    # If nobody has a finite likelihood, there are no rows that show the sizes.
    scaled = (design[:, :, None] * root[:, None]).reshape(len(gap), population.free.size)
    spread = np.einsum("sp,sq,spq->pq", root, root, laplace.cov[use])
    return Sums(np.asarray(float(len(gap))), scaled.T @ scaled, scaled.T @ gap, gap.T @ gap, spread)


def maximised(population: Population, sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Regression weights (K, P) that maximise the expected log-density of people, and the scatter (P, P) around them."""
    k, p = population.free.shape
    square, cross = sums.square.reshape(k, p, k, p), sums.cross.reshape(k, p, p)
    step = _step(population, sums, square, cross)
    return population.coef + step, _around(sums, square, cross, step) + sums.spread


def _step(population: Population, sums: Sums, square: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Change of the regression weights: generalised least squares of every parameter on its own columns."""
    k, p = population.free.shape
    if k == 1 and population.group.family == "gaussian":
        return cross[0, :1] / sums.n
    normal = (square * population.precision[:, None]).reshape(k * p, k * p)
    right = (cross * population.precision).sum(2).ravel()
    keep = population.free.ravel()
    step = np.zeros(k * p)
    step[keep] = np.linalg.solve(normal[np.ix_(keep, keep)], right[keep])
    return step.reshape(k, p)


def score(population: Population, coef: np.ndarray, sums: Sums) -> np.ndarray:
    """Gradient of the expected log-density of people by the group's `vector`, from sums around other weights `coef` (K, P)."""
    k, p = population.free.shape
    square, cross, step = sums.square.reshape(k, p, k, p), sums.cross.reshape(k, p, p), population.coef - coef
    precision, chol = population.precision, population.chol
    by_coef = (cross * precision).sum(2) - np.einsum("kplq,pq,lq->kp", square, precision, step)
    scatter = _around(sums, square, cross, step) + sums.spread
    by_chol = (precision @ scatter @ precision - sums.n * precision) @ chol
    diagonal = np.diag_indices_from(chol)
    by_chol[diagonal] = by_chol[diagonal] * chol[diagonal] + population.penalty
    return np.concatenate([by_coef[population.free], by_chol[population.lower]])


def _around(sums: Sums, square: np.ndarray, cross: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The scatter (P, P) around a mean whose weights differ by `step` (K, P)."""
    moved = (step[:, :, None] * cross).sum(0)
    return sums.scatter - moved - moved.T + np.einsum("kp,kplq,lq->pq", step, square, step)


def reweighted(population: Population, laplace: Laplace) -> np.ndarray:
    """(S, P): the weights of the scale mixture given people's posteriors; 1 for those who do not inform the group."""
    return np.where(laplace.usable[:, None], population.weights(laplace), 1.0)


def evidence(population: Population, laplace: Laplace) -> float:
    """Log evidence of everybody who informs the group, in nats."""
    return float(laplace.log_evidence(population.log_prior(laplace.mode))[laplace.usable].sum())


def told(population: Population, laplace: Laplace) -> np.ndarray:
    """(P,): information of people's data about each parameter, as the inverse of a variance."""
    use = laplace.usable
    if not use.any():
        return np.zeros(len(population.cov))
    own = np.diagonal(np.linalg.pinv(laplace.cov[use], hermitian=True), axis1=1, axis2=2)
    return (own - population.weight[use] * np.diag(population.precision)).sum(0)
