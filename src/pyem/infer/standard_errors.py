"""Standard errors of a fitted group: the observed information of its parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pyem.population.population import Population
from pyem.population.posterior import EStep, Laplace


def information(estep: EStep, population: Population, laplace: Laplace) -> np.ndarray:
    """Observed information of the group's `vector`: minus the curvature of the Laplace-approximated marginal likelihood.

    Parameters
    ----------
    estep
        The E-step that the group was fitted with; used for heavy-tailed families only.
    population, laplace
        The fixed point of EM and the subjects' posteriors there.
    """
    if population.group.family == "gaussian":
        return louis_information(population, laplace)
    return oakes_information(estep, population)


def louis_information(population: Population, laplace: Laplace) -> np.ndarray:
    """Information that complete data would give, less what is missing because people are known with error only.

    By Louis' identity the missing part is the variance of each subject's score over their posterior, which has a closed form
    for a Gaussian posterior, as the score of a Gaussian group is quadratic.

    A posterior is taken to be no wider than the population in any direction: where the likelihood is locally convex, the
    Laplace approximation says otherwise, and one such subject could make the whole information indefinite.

    References
    ----------
    Louis, T. A. (1982). Finding the observed information matrix when using the EM algorithm. Journal of the Royal
    Statistical Society B, 44(2), 226-233. https://doi.org/10.1111/j.2517-6161.1982.tb01203.x
    """
    score, complete, missing = louis_parts(population, laplace)
    slope = population.root_slope
    # By the logarithms of the factor's diagonal, of which the second derivative counts as well.
    logs = population.is_diagonal
    return slope[:, None] * (complete - missing) * slope - np.diag(np.where(logs, score * slope, 0.0))


def louis_parts(population: Population, laplace: Laplace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By the group's `roots`: the score, the information that complete data would give, and the part of it that is missing.

    The weights of a heavy-tailed family are taken as known, so that for such a family too little is missing.
    """
    use = laplace.usable
    root = np.sqrt(population.weights(laplace)[use])
    both = root[:, :, None] * root[:, None]
    cov = no_wider(both * laplace.cov[use], population.cov)
    design = population.design[use]
    gap = root * (laplace.mode[use] - design @ population.coef)
    scaled = design[:, :, None] * root[:, None]
    by_coef = np.tensordot(scaled, gap, (0, 0))
    scatter = gap.T @ gap + cov.sum(0)
    linear, quadratic = _score_terms(population, scaled, gap)
    spread = np.einsum("ipq,sqr->ispr", quadratic, cov)
    n = len(linear)
    missing = np.matmul(linear[:, :, None], cov).reshape(n, -1) @ linear.reshape(n, -1).T
    # Only the scores of the factor's entries, which come last, are quadratic.
    m = len(spread)
    missing[n - m :, n - m :] += 2 * spread.reshape(m, -1) @ np.swapaxes(spread, 2, 3).reshape(m, -1).T
    complete = _complete(population, np.tensordot(scaled, scaled, (0, 0)), by_coef, scatter, len(gap))
    return population.score(laplace) / population.root_slope, complete, missing


def _complete(
    population: Population, normal: np.ndarray, by_coef: np.ndarray, scatter: np.ndarray, n: int
) -> np.ndarray:
    """Minus the Hessian of the expected complete-data log-density by `roots`.

    Parameters
    ----------
    normal, by_coef, scatter
        (K, P, K, P), (K, P, P), (P, P): products of the design with itself, of it with the gaps, and of these with themselves.
    n
        Number of subjects.
    """
    precision, chol = population.precision, population.chol
    upper = np.linalg.inv(chol).T
    free, rows, columns = population.free, *population.lower
    middle = precision @ scatter @ precision - n * precision
    corner = (normal * precision[:, None, :])[free][:, free]
    sides, block = [], []
    for a, b in zip(rows, columns, strict=True):
        # The derivative of the precision by one entry of the factor, with the opposite sign.
        fall = np.outer(precision[:, a], upper[:, b])
        fall = fall + fall.T
        sides.append(np.einsum("pq,kpq->kp", fall, by_coef)[free])
        moved = fall @ scatter @ precision + precision @ scatter @ fall - n * fall
        slope = moved @ chol
        slope[:, b] -= middle[:, a]
        block.append(slope[rows, columns])
    side, block = np.array(sides), np.array(block)
    ends = np.where(rows == columns, population.penalty / np.diag(chol)[rows] ** 2, 0.0)
    block += np.diag(ends)
    return np.block([[corner, side.T], [side, (block + block.T) / 2]])


def _score_terms(population: Population, scaled: np.ndarray, gap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear (n, S, P) and quadratic (m, P, P) terms of the score, as a function of root * (x - mode).

    The m quadratic ones are of its last entries, those of the Cholesky factor.
    """
    precision, upper = population.precision, np.linalg.inv(population.chol).T
    linear = [scaled[:, k, p, None] * precision[p] for k, p in np.argwhere(population.free)]
    quadratic = []
    for a, b in zip(*population.lower, strict=True):
        outer = np.outer(precision[a], upper[:, b])
        quadratic.append((outer + outer.T) / 2)
        linear.append(2 * gap @ quadratic[-1])
    return np.array(linear), np.array(quadratic)


def no_wider(cov: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The covariances (S, P, P), with no direction in which they exceed `limit` (P, P)."""
    chol = np.linalg.cholesky(limit)
    white = np.linalg.inv(chol)
    values, vectors = np.linalg.eigh(white @ cov @ white.T)
    axes = chol @ vectors
    return np.einsum("spi,si,sqi->spq", axes, np.minimum(values, 1.0), axes)


def not_vanished(population: Population, sd: np.ndarray) -> Population:
    """The population with the sds (P,) in place of those that are 0; the population itself where none is.

    The score of a mean is a difference over the variance. On the lower bound of that, an error of a posterior mean by a
    millionth of a millionth is worth thousands, and differences of scores tell nothing. The information on means changes with
    the square of a small sd only.
    """
    if not population.vanished.any():
        return population
    more = np.where(population.vanished, sd / np.sqrt(np.diag(population.cov)), 1.0)
    return dataclasses.replace(population, cov=population.cov * np.outer(more, more))


def oakes_information(estep: EStep, population: Population, *, step: float = 1e-4) -> np.ndarray:
    """Information as minus the derivative of the score when the posteriors move with the group, by central differences.

    This also counts what is missing about the weights of a heavy-tailed family, and is exact for exact posteriors.

    References
    ----------
    Oakes, D. (1999). Direct calculation of the information matrix via the EM algorithm. Journal of the Royal Statistical
    Society B, 61(2), 479-482. https://doi.org/10.1111/1467-9868.00188
    """

    def score(moved: Population) -> np.ndarray:
        laplace = estep(moved.prior, 1e-16)
        for _ in range(0 if moved.group.family == "gaussian" else 5):
            # The weights move with the posteriors, and they with the weights.
            moved = dataclasses.replace(moved, weight=moved.weights(laplace))
            laplace = estep(moved.prior, 1e-16)
        return moved.score(laplace)

    matrix = -derivative(population, score, step=step)
    return (matrix + matrix.T) / 2


def derivative(
    population: Population, function: Callable[[Population], np.ndarray], *, step: float = 1e-4
) -> np.ndarray:
    """Derivative of a function of the population by its `vector`, a row for each entry of that, by central differences."""
    vector = population.vector
    moves = step * _sizes(population)
    ends = [[function(population.with_vector(vector + sign * move)) for sign in (1, -1)] for move in np.diag(moves)]
    return np.array([(up - down) / (2 * size) for (up, down), size in zip(ends, moves, strict=True)])


def _sizes(population: Population) -> np.ndarray:
    """What counts as 1 in each entry of a population's `vector`; where people hardly differ, less."""
    unit = np.ones(len(population.cov)) if population.unit is None else population.unit
    unit = np.minimum(unit, np.sqrt(np.diag(population.cov)))
    of_coef = np.broadcast_to(unit, population.free.shape)[population.free]
    # The diagonal of the Cholesky factor is there as logarithms.
    rows, columns = (np.asarray(part) for part in population.lower)
    return np.concatenate([of_coef, np.where(rows == columns, 1.0, unit[rows])])
