"""Updates of hierarchical Bayesian inference: Gaussian-Gamma posteriors of groups, frequencies of models, and the bound.

All of a group's parameters are independent: ``mu ~ Normal(mean, 1 / (beta tau))`` and ``tau ~ Gamma(shape, rate)``.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from pyem.population.posterior import GaussianPrior, Laplace, Status


@dataclasses.dataclass(frozen=True)
class HyperPrior:
    """The prior of every group, and of the models' frequencies.

    Parameters
    ----------
    beta
        Number of people whose information equals that of the prior mean of a group.
    shape, rate
        Shape and rate of the Gamma prior of a group's precision (1 / variance) on the unconstrained scale.
    concentration
        Concentration of the Dirichlet prior of frequencies, for each model.
    """

    beta: float = 1.0
    shape: float = 0.5
    rate: float = 0.01
    concentration: float = 1.0


class GroupPosterior(NamedTuple):
    """The Gaussian-Gamma posterior of one model's group."""

    mean: np.ndarray
    """Posterior mean of the group's means, (P,)."""
    beta: float
    shape: float
    rate: np.ndarray
    """Rates of the Gamma posteriors of the group's precisions, (P,)."""

    @property
    def precision(self) -> np.ndarray:
        """(P,): the expected precision."""
        return self.shape / self.rate

    @property
    def log_bias(self) -> float:
        """Nats by which a person's expected log-density is below that at the expected mean and precision."""
        from scipy.special import digamma

        return 0.5 * len(self.mean) * float(digamma(self.shape) - np.log(self.shape) - 1 / self.beta)

    def prior(self, n: int) -> GaussianPrior:
        """Return the Gaussian prior that the group implies for `n` people."""
        shape = (n, len(self.mean))
        return GaussianPrior(np.tile(self.mean, (n, 1)), np.diag(self.precision), np.ones(shape))

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """(S,): log-density of people (S, P) at the expected mean and precision."""
        terms = np.log(self.precision / (2 * np.pi)) - self.precision * (x - self.mean) ** 2
        return 0.5 * terms.sum(1)


def updated_group(weight: np.ndarray, laplace: Laplace, middle: np.ndarray, prior: HyperPrior) -> GroupPosterior:
    """The posterior of a group from the posteriors of people, each of whom belongs to it with a `weight` (S,)."""
    use = weight > 0
    weight, mode = weight[use], laplace.mode[use]
    variance = np.diagonal(laplace.cov[use], axis1=1, axis2=2)
    n = weight.sum()
    mean = weight @ mode / n if n else middle
    scatter = weight @ (variance + (mode - mean) ** 2)
    beta = prior.beta + n
    rate = prior.rate + 0.5 * (scatter + n * prior.beta / beta * (mean - middle) ** 2)
    return GroupPosterior((n * mean + prior.beta * middle) / beta, float(beta), float(prior.shape + n / 2), rate)


def foreseen(laplace: Laplace, group: GroupPosterior, other: GroupPosterior) -> Laplace:
    """The posteriors of people under another group than the one they were found under, if likelihoods were quadratic.

    People whose mode is not a regular one stay as they are.
    """
    use = laplace.status == Status.CONVERGED
    mode, stiff = laplace.mode[use], np.linalg.inv(laplace.cov[use])
    slope = group.precision * (mode - group.mean)
    curved = stiff - np.diag(group.precision)
    hess = curved + np.diag(other.precision)
    step = np.linalg.solve(hess, (slope - other.precision * (mode - other.mean))[..., None])[..., 0]
    out = Laplace(*(np.array(leaf) for leaf in laplace))
    out.mode[use], out.cov[use] = mode + step, np.linalg.inv(hess)
    out.log_lik[use] += (step * (slope - 0.5 * (curved @ step[..., None])[..., 0])).sum(1)
    out.log_det[use] = np.linalg.slogdet(hess)[1]
    return out


def expected_log_frequency(alpha: np.ndarray) -> np.ndarray:
    """Expected log frequency of each model, (M,), under a Dirichlet distribution."""
    from scipy.special import digamma

    return digamma(alpha) - digamma(alpha.sum())


def responsibilities(evidence: np.ndarray, log_frequency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each model for each person (S, M), and the log of what was normalised (S,).

    People for whom no model has a finite evidence (S, M) belong to none.
    """
    joint = evidence + log_frequency
    top = joint.max(1)
    known = np.isfinite(top)
    weight = np.exp(joint - np.where(known, top, 0.0)[:, None])
    total = np.where(known, weight.sum(1), 1.0)
    return weight / total[:, None], np.where(known, top + np.log(total), 0.0)


def group_divergence(group: GroupPosterior, middle: np.ndarray, prior: HyperPrior) -> float:
    """Kullback-Leibler divergence of a group's posterior from its prior, in nats."""
    from scipy.special import digamma, gammaln

    ratio = prior.beta / group.beta
    of_mean = 0.5 * (ratio - 1 - np.log(ratio) + prior.beta * group.precision * (group.mean - middle) ** 2)
    of_precision = (
        (group.shape - prior.shape) * digamma(group.shape)
        - gammaln(group.shape)
        + gammaln(prior.shape)
        + prior.shape * np.log(group.rate / prior.rate)
        + group.shape * (prior.rate / group.rate - 1)
    )
    return float((of_mean + of_precision).sum())


def frequency_divergence(alpha: np.ndarray, concentration: float) -> float:
    """Kullback-Leibler divergence of a Dirichlet posterior of frequencies from its prior, in nats."""
    from scipy.special import gammaln

    start = np.full(len(alpha), concentration)
    norm = lambda a: gammaln(a.sum()) - gammaln(a).sum()  # noqa: E731
    return float(norm(alpha) - norm(start) + (alpha - start) @ expected_log_frequency(alpha))
