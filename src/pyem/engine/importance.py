"""Marginal likelihoods by importance sampling."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.partitioned import placed_parts
from pyem.engine.evaluate import log_lik_draws
from pyem.model.model import Model
from pyem.numerics.rng import generator
from pyem.numerics.student_t import log_t
from pyem.population.group import Group

DF = 5.0
"""Degrees of freedom of the proposals, whose tails are heavier than a Gaussian's."""
FROM_PRIOR = 8
"""Share of draws from the prior: one in so many."""
WORKING_SET = 2**22
"""Number of values, of all subjects' parameters, that are drawn together."""


class Estimate(NamedTuple):
    """Each subject's log marginal likelihood, its Monte-Carlo standard error, the effective number of draws; (S,)."""

    log_evidence: np.ndarray
    se: np.ndarray
    ess: np.ndarray
    draws: int


def log_evidence(
    model: Model,
    data: Dataset,
    x: np.ndarray,
    spread: np.ndarray,
    group: Group,
    mean: np.ndarray,
    cov: np.ndarray,
    *,
    draws: int,
    key: Any,
) -> Estimate:
    """Log marginal likelihood ``log ∫ p(y | x) p(x | group) dx`` of every subject.

    Parameters
    ----------
    model, data
        The model and the data whose likelihood is integrated.
    x, spread
        Mode (S, P) and covariance (S, P, P) of each subject's posterior, roughly.
    group, mean, cov
        The prior: family, mean (S, P) and scale matrix (P, P).
    draws
        Least number of draws for each subject.
    key
        Seed.

    Notes
    -----
    Draws come from a mixture of a Student-t at the mode and, one in eight, of the prior itself, so that no weight is above
    eight times the largest likelihood and the variance is finite whatever the posterior's shape (Hesterberg, 1995). The
    numbers of draws from the two are fixed, and the standard error is the stratified one. A likelihood that is not a number
    counts as 0.

    References
    ----------
    Hesterberg, T. (1995). Weighted average importance sampling and defensive mixture distributions. Technometrics, 37(2),
    185-194. https://doi.org/10.1080/00401706.1995.10484303
    """
    if draws < 2 * FROM_PRIOR:
        raise ValueError(f"draws={draws}; at least {2 * FROM_PRIOR} are needed")
    rng = generator(key)
    parts = [
        _of_part(model, part, _Proposal(x[place], spread[place], group, mean[place], cov), draws, rng)
        for place, part in placed_parts(data)
    ]
    value, error, effective, n = zip(*parts, strict=True)
    return Estimate(np.concatenate(value), np.concatenate(error), np.concatenate(effective), min(n))


def _of_part(model: Model, data: Dataset, proposal: _Proposal, draws: int, rng: np.random.Generator) -> Estimate:
    """Estimate the log marginal likelihood of people in memory."""
    x = proposal.x
    at_most = max(2 * FROM_PRIOR, WORKING_SET // x.size)
    # Blocks of one size, because another would be compiled anew.
    n_blocks = -(-draws // at_most)
    size = -(-draws // n_blocks)
    sums = _Sums(len(x))
    for _ in range(n_blocks):
        points, log_q = proposal.draw(size, rng)
        value = np.swapaxes(log_lik_draws(model, data, np.swapaxes(points, 0, 1)), 0, 1)
        value = np.where(np.isnan(value), -np.inf, value)
        sums.add(value + proposal.log_prior(points) - log_q, proposal.n_prior(size))
    return sums.estimate()


class _Proposal:
    """A Student-t around each subject's mode, mixed with the prior."""

    def __init__(self, x: np.ndarray, spread: np.ndarray, group: Group, mean: np.ndarray, cov: np.ndarray) -> None:
        self.x, self.group, self.mean, self.cov = x, group, mean, cov
        known: Any = np.isfinite(spread).all(axis=(1, 2)) & np.isfinite(x).all(axis=1)
        self.centre = np.where(known[:, None], x, mean)
        values, self.vectors = np.linalg.eigh(np.where(known[:, None, None], spread, cov))
        # A direction about which the approximation has no information is left to the prior's draws.
        self.scale = np.sqrt(np.clip(values, 1e-10, 1e4))

    def n_prior(self, n: int) -> int:
        """Number of prior draws among `n`; they come last."""
        return max(2, n // FROM_PRIOR)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws (S, n, P) and their log-density under the mixture (S, n)."""
        n_prior = self.n_prior(n)
        shape = (len(self.x), n - n_prior, self.x.shape[1])
        z = rng.normal(size=shape) / np.sqrt(rng.chisquare(DF, size=(*shape[:2], 1)) / DF)
        near = self.centre[:, None] + (z * self.scale[:, None]) @ np.swapaxes(self.vectors, 1, 2)
        points = np.concatenate([near, self.group.sample(self.mean, self.cov, n_prior, rng)], axis=1)
        share = math.log(n_prior / n)
        return points, np.logaddexp(self._near(points) + math.log1p(-n_prior / n), self.log_prior(points) + share)

    def _near(self, points: np.ndarray) -> np.ndarray:
        z = (points - self.centre[:, None]) @ self.vectors / self.scale[:, None]
        return log_t((z**2).sum(-1), DF, z.shape[2]) - np.log(self.scale).sum(1)[:, None]

    def log_prior(self, points: np.ndarray) -> np.ndarray:
        """Log-density (S, n) of the prior."""
        flat = points.reshape(-1, points.shape[2])
        return self.group.log_prob(flat, np.repeat(self.mean, points.shape[1], axis=0), self.cov).reshape(
            points.shape[:2]
        )


class _Sums:
    """Sums of weights and of their squares, for the draws from each of the two proposals, relative to the largest weight."""

    def __init__(self, n_subjects: int) -> None:
        self.top = np.full(n_subjects, -np.inf)
        self.first = np.zeros((2, n_subjects))
        self.second = np.zeros((2, n_subjects))
        self.count = np.zeros((2, 1))

    def add(self, log_weight: np.ndarray, n_prior: int) -> None:
        """Add the weights (S, n) of a block, of which the last `n_prior` are those of the prior's draws."""
        top = np.maximum(self.top, log_weight.max(1))
        base = np.where(np.isfinite(top), top, 0.0)
        before = np.exp(np.where(np.isfinite(self.top), self.top - base, 0.0))
        weight = np.exp(log_weight - base[:, None])
        for k, part in enumerate((weight[:, :-n_prior], weight[:, -n_prior:])):
            self.first[k] = self.first[k] * before + part.sum(1)
            self.second[k] = self.second[k] * before**2 + (part**2).sum(1)
            self.count[k] += part.shape[1]
        self.top = top

    def estimate(self) -> Estimate:
        """Estimate from the weights so far."""
        n = self.count.sum()
        total = self.first.sum(0)
        variance = ((self.second - self.first**2 / self.count) * self.count / (self.count - 1)).sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Estimate(
                self.top + np.log(total / n),
                np.sqrt(np.maximum(variance, 0)) / total,
                total**2 / self.second.sum(0),
                int(n),
            )
