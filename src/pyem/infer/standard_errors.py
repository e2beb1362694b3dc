"""Standard errors of a fitted group: the observed information of its parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyem.population.by_vector import derivative
from pyem.population.population import Population
from pyem.population.posterior import EStep, Found, Laplace

NEARLY = 1e-6
"""Nats that a search may have left for its end to be a mode, where the slopes of likelihood and prior cancel."""
APART = 1e-3
"""Variance that replaces 0 in a heavy-tailed group, as a share of what a person's data leave open."""
ALIKE = 1e-4
"""Change of a person's variance by the data, as a share, up to which the posterior counts as wide as the group."""


class ScoreAndInformation(NamedTuple):
    """Gradient of a log-likelihood, and minus its Hessian."""

    score: np.ndarray
    information: np.ndarray


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
    return oakes_information(estep, not_vanished(population, np.sqrt(APART / information_of_one(population, laplace))))


def louis_information(population: Population, laplace: Found) -> np.ndarray:
    """Information that complete data would give, less what is missing because people are known with error only.

    By Louis' identity the missing part is the variance of each subject's score over their posterior. For a Gaussian posterior
    the two together are the information of a Gaussian likelihood in which each subject's own estimate has the variance of the
    group and of its own error. It is computed as that: where a standard deviation nears 0, complete and missing information
    are each so large that nothing remains of their difference.

    A posterior is taken to be no wider than the population in any direction: where the likelihood is locally convex, the
    Laplace approximation says otherwise, and one such subject could make the whole information indefinite.

    References
    ----------
    Louis, T. A. (1982). Finding the observed information matrix when using the EM algorithm. Journal of the Royal
    Statistical Society B, 44(2), 226-233. https://doi.org/10.1111/j.2517-6161.1982.tb01203.x
    """
    score, matrix = score_and_information(population, laplace)
    slope = population.root_slope
    # The vector has logarithms of the factor's diagonal, so that the second derivative matters as well.
    logs = population.is_diagonal
    return slope[:, None] * matrix * slope - np.diag(np.where(logs, score * slope, 0.0))


def score_and_information(population: Population, found: Found) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of the group's log-likelihood by its `roots`, and minus its Hessian, given the subjects' posteriors.

    With a prior of the group's parameters, of the log posterior. The weights of a heavy-tailed family are taken as known,
    which makes the information of such a family too large.
    """
    score, matrix = found.total(score_and_information_of, population)
    ends = np.where(population.is_diagonal, population.roots, np.inf)
    score, matrix = score + population.penalty / ends, matrix + np.diag(population.penalty / ends**2)
    if population.hyper is None:
        return score, matrix
    prior = population.hyper.slopes(population)
    return score + prior.grad, matrix - prior.hess


def score_and_information_of(population: Population, laplace: Laplace) -> ScoreAndInformation:
    """Sum over people of their part of the score and of the information."""
    use, (rows, columns) = laplace.usable, population.lower
    root = np.sqrt(population.weights(laplace)[use])
    chol = population.chol
    slope, own = _own(population, laplace, root)
    precise = _positive(own, chol)
    by_design, shifted = np.nonzero(population.free)
    # Change of each person's gradient with each weight, and with each entry of the covariance's factor.
    n, people = len(shifted), len(slope)
    by = np.zeros((people, n + len(rows), len(chol)))
    by[:, np.arange(n), shifted] = population.design[use][:, by_design] * root[:, shifted]
    by[:, n:] = slope[:, rows, None] * chol.T[columns]
    by[:, n + np.arange(len(rows)), rows] += (slope @ chol)[:, columns]
    # One product a person, and one of all of them: entry by entry takes several times as long.
    flat = by.transpose(1, 0, 2).reshape(by.shape[1], -1)
    matrix = flat @ (by @ precise).transpose(1, 0, 2).reshape(flat.shape).T
    excess = slope.T @ slope - own.sum(0)
    by_chol = (excess @ chol)[rows, columns]
    bent = _of_factor(precise, chol, rows, columns) + (columns[:, None] == columns) * excess[rows][:, rows]
    matrix[n:, n:] -= bent
    by_coef = flat[:n] @ slope.ravel()
    return ScoreAndInformation(np.concatenate([by_coef, by_chol]), (matrix + matrix.T) / 2)


def _own(population: Population, laplace: Laplace, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each usable subject's gradient (S, P) of the likelihood, and inverse variance (S, P, P) of the estimate.

    That variance is of the estimate around the mean of the group. Both are made of the derivatives of the likelihood where
    these are known, which lose nothing where the group is narrow, and else of the posterior (in a heavy-tailed family, in
    units of the subject's scale).
    """
    use = laplace.usable
    precision = population.precision
    cov = root[:, :, None] * root[:, None] * laplace.cov[use]
    slope = root * (laplace.mode[use] - population.mean[use]) @ precision
    precise = precision - precision @ cov @ precision
    if laplace.derivatives is not None and population.group.family == "gaussian":
        grad, hess = (part[use] for part in laplace.derivatives)
        # Rounding errors are those of the larger of the two: the likelihood's curvature or the group's.
        narrow = np.abs(hess).max((1, 2)) < np.abs(precision).max()
        precise = np.where(narrow[:, None, None], -hess - hess @ cov @ hess, precise)
        # Gradient left by the search; at a kink, or an end of a range, there is no point without one.
        left = grad - slope
        step = (cov @ left[:, :, None])[:, :, 0]
        there = narrow & (np.abs((left * step).sum(1)) < NEARLY)
        slope = np.where(there[:, None], grad + (hess @ step[:, :, None])[:, :, 0], slope)
    return slope, precise


def with_scatter(population: Population, posteriors: Callable[[], Laplace]) -> Population:
    """Add to a fitted group its `scatter`; `posteriors` is called for people's posteriors where an sd is 0."""
    if not population.vanished.any():
        return population
    return dataclasses.replace(population, scatter=scatter(population, posteriors()))


def scatter(population: Population, laplace: Laplace) -> np.ndarray:
    """(P,): scatter of people around the means of the group, as a share of the scatter that the fit expects.

    That is the sum of their squared scores over the information of the means. Where an sd is estimated above 0, the two are
    alike: the likelihood has its maximum there. Where it is 0, people scatter less than their own errors let expect.

    Parameters
    ----------
    population, laplace
        The fixed point of EM and the subjects' posteriors there, by Laplace approximation.
    """
    out = np.ones(len(population.cov))
    gone = population.vanished
    if gone.any() and laplace.usable.any():
        root = np.sqrt(population.weights(laplace)[laplace.usable])
        slope, precise = _own(population, laplace, root)
        told = np.diagonal(_positive(precise, population.chol), axis1=1, axis2=2).sum(0)
        known = gone & (told > 0)
        out[known] = (slope**2).sum(0)[known] / told[known]
    return out


def _positive(precise: np.ndarray, chol: np.ndarray) -> np.ndarray:
    """Inverse variances (S, P, P), no less than 0 in any direction: no posterior wider than the group.

    Where the group is so narrow that everybody's posterior is as wide, as at an sd of 0 or a correlation of 1, the curvature
    counts as it is: what is common to all is told by the sum over people, and the group's width there has no meaning.
    """
    shares = chol.T @ precise @ chol
    try:
        # In most groups no posterior is wider than the group; a factor shows that in a third of the time of eigenvectors.
        np.linalg.cholesky(shares + ALIKE * np.eye(len(chol)))
        return precise
    except np.linalg.LinAlgError:
        share, axes = np.linalg.eigh(shares)
    share = np.where(share < -ALIKE, share, 0.0)
    bent = (share < 0).any(1)
    out = np.linalg.inv(chol).T @ axes[bent]
    precise = precise.copy()
    precise[bent] -= np.einsum("spi,si,sqi->spq", out, share[bent], out)
    return precise


def _of_factor(precise: np.ndarray, chol: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Half the trace of a product of four: `precise`, and the covariance's change with each of two entries of its factor."""
    n, p, _ = precise.shape
    half = precise @ chol
    flat = lambda a: a.reshape(n, p * p)  # noqa: E731
    inner = (flat(precise).T @ flat(chol.T @ half)).reshape(p, p, p, p)
    outer = (flat(half).T @ flat(half)).reshape(p, p, p, p)
    a, b, c, d = rows[:, None], columns[:, None], rows, columns
    return inner[a, c, b, d] + outer[a, d, c, b]


def no_wider(cov: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Limit the covariances (S, P, P), so that in no direction they exceed `limit` (P, P)."""
    chol = np.linalg.cholesky(limit)
    white = np.linalg.inv(chol)
    values, vectors = np.linalg.eigh(white @ cov @ white.T)
    axes = chol @ vectors
    return np.einsum("spi,si,sqi->spq", axes, np.minimum(values, 1.0), axes)


def not_vanished(population: Population, sd: np.ndarray) -> Population:
    """Replace sds of 0 by the sds (P,); return the population itself where none is 0.

    The score of a mean is a difference over the variance. On the lower bound of that, an error of a posterior mean by a
    millionth of a millionth is worth thousands, and differences of scores tell nothing. The information on means changes with
    the square of a small sd only.
    """
    if not population.vanished.any():
        return population
    more = np.where(population.vanished, sd / np.sqrt(np.diag(population.cov)), 1.0)
    return dataclasses.replace(population, cov=population.cov * np.outer(more, more))


def information_of_one(population: Population, laplace: Laplace) -> np.ndarray:
    """(P,): information of one person's data about a parameter, on average, by Laplace approximation: one over a variance."""
    use, prior = laplace.usable, population.prior
    root = np.sqrt(prior.weight[use])
    known = np.linalg.inv(laplace.cov[use]) - prior.precision * root[:, :, None] * root[:, None]
    return np.maximum(np.diagonal(known, axis1=1, axis2=2).mean(0), 1e-6)


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
            # The weights move with the posteriors, and the posteriors with the weights.
            moved = dataclasses.replace(moved, weight=moved.weights(laplace))
            laplace = estep(moved.prior, 1e-16)
        return moved.score(laplace)

    matrix = -derivative(population, score, step=step)
    return (matrix + matrix.T) / 2
