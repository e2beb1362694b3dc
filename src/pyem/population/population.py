"""A group with its values for the people of one data set, and the M-step."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from pyem.population import mstep
from pyem.population.edges import determined
from pyem.population.group import Group
from pyem.population.patterns import covariance_pattern, design_of, lower_entries
from pyem.population.posterior import Found, GaussianPrior, Laplace

MIN_SD = 1e-4
"""Least standard deviation of a group: at zero the curvature of the prior would be infinite."""
VANISHED = 10.0
"""Multiple of `MIN_SD` below which an sd counts as 0: the log evidence is the same to rounding."""
COMMON_SD = 1e-6
"""Sd of a common parameter in searches that need a regular prior: nobody is farther from the rest."""


class Slopes(NamedTuple):
    """A log-density as a function of a group's `roots`: value, gradient (G,) and Hessian (G, G)."""

    value: float
    grad: np.ndarray
    hess: np.ndarray


class GroupDensity(Protocol):
    """A prior of a group's parameters; see `pyem.population.hyper`."""

    def slopes(self, population: Population) -> Slopes:
        """The log-density of the group, and its derivatives."""
        ...

    def update(self, population: Population, score: Callable[[Population], np.ndarray]) -> Population:
        """M-step with the prior, from the end of the one without; `score` is the gradient of what that maximises."""
        ...

    def reordered(self, order: np.ndarray) -> GroupDensity:
        """Return the density with the parameters in another order."""
        ...


@dataclasses.dataclass(frozen=True)
class Population:
    """A `Group` with values of its parameters, for the people of one data set.

    Parameters
    ----------
    group
        The family.
    design
        (S, K): a column of ones and the centred covariates.
    free
        (K, P): which regression weights are estimated; the others are 0.
    coef
        (K, P): the group mean in the first row, effects of the covariates below it.
    cov
        (P, P): covariance (scale matrix, for a heavy-tailed family) around the mean.
    weight
        (S, P): the weights of the scale mixture, 1 for a Gaussian group.
    unit
        (P,): the size of each parameter that counts as 1, where parameters have units.
    penalty
        The log-likelihood of the group has this times the log of each sd added, 0 for none: a gamma prior of the sds with shape
        ``1 + penalty``, which keeps them away from 0 and undoes the bias of maximum likelihood with few people.
    pattern
        (P, P): which entries of the covariance are estimated; None stands for what the group's covariance says.
    held
        (P,): standard deviations that are given, 0 for a parameter that is common to all, NaN where they are estimated;
        None stands for NaN throughout.
    least
        Standard deviations, and those given the other parameters that are correlated, do not fall below this.
    hyper
        A prior of the group's parameters, None for none: updates then lead to the mode of their posterior.
    scatter
        (P,): where the sd is 0, how much people scatter around the means as a share of what the fit expects; 1 elsewhere, and
        None for 1 throughout. See `pyem.results.group_rows.group_covariance`.
    """

    group: Group
    design: np.ndarray
    free: np.ndarray
    coef: np.ndarray
    cov: np.ndarray
    weight: np.ndarray
    unit: np.ndarray | None = None
    penalty: float = 0.0
    pattern: np.ndarray | None = None
    held: np.ndarray | None = None
    least: float = MIN_SD
    hyper: GroupDensity | None = None
    scatter: np.ndarray | None = None

    @property
    def smallest(self) -> np.ndarray:
        """(P,): least standard deviations of the group."""
        return self.least * (np.ones(len(self.cov)) if self.unit is None else self.unit)

    @property
    def _nothing(self) -> np.ndarray:
        """(P,): standard deviations below which an sd counts as 0, also where points keep sds from falling to `smallest`."""
        return np.maximum(VANISHED * MIN_SD / self.least, 1.5) * self.smallest

    @property
    def estimated(self) -> np.ndarray:
        """(P, P): whether each entry of the covariance is estimated."""
        if self.pattern is not None:
            return self.pattern
        p = len(self.cov)
        return np.eye(p, dtype=bool) if self.group.covariance == "diagonal" else np.ones((p, p), bool)

    @property
    def given_sd(self) -> np.ndarray:
        """(P,): standard deviations that are not estimated, 0 for common parameters, NaN for the others."""
        return np.full(len(self.cov), np.nan) if self.held is None else self.held

    @property
    def correlated(self) -> bool:
        """Whether correlations are estimated."""
        return bool((self.estimated & ~np.eye(len(self.cov), dtype=bool)).any())

    @property
    def vanished(self) -> np.ndarray:
        """(P,): whether an estimated standard deviation is as small as it may be."""
        return np.isnan(self.given_sd) & (np.sqrt(np.diag(self.cov)) < self._nothing)

    @property
    def random(self) -> np.ndarray:
        """(P,): whether people differ in a parameter; the others are common to all."""
        return self.given_sd != 0

    @property
    def mean(self) -> np.ndarray:
        """(S, P): the mean of the population that each subject is drawn from."""
        return self.design @ self.coef

    # Cached, as each iteration asks a dozen times; the arrays are read-only.
    @functools.cached_property
    def precision(self) -> np.ndarray:
        """(P, P): the inverse of the covariance."""
        # Computed from the factor, like the log-density, so that rounding near a correlation of 1 is the same in both.
        return (root := np.linalg.inv(self.chol)).T @ root

    @functools.cached_property
    def chol(self) -> np.ndarray:
        """(P, P): the Cholesky factor of the covariance."""
        return np.linalg.cholesky(self.cov)

    @functools.cached_property
    def root(self) -> np.ndarray:
        """(P, P): the symmetric root of the covariance."""
        values, vectors = np.linalg.eigh(self.cov)
        return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T

    @property
    def prior(self) -> GaussianPrior:
        """The Gaussian prior of each subject, given the weights."""
        return GaussianPrior(self.mean, self.precision, self.weight)

    def log_prior(self, x: np.ndarray) -> np.ndarray:
        """(..., S): log-density of the subjects' parameters (..., S, P) in the population."""
        random = self.random
        if not random.any():
            return np.zeros(x.shape[:-1])
        return self.group.log_prob(x[..., random], self.mean[:, random], self.cov[np.ix_(random, random)])

    def update(self, found: Found) -> Population:
        """The M-step: the population that maximises the expected log-density of the subjects' parameters, and of its prior."""
        moved = self
        if self.group.family != "gaussian":
            moved = dataclasses.replace(self, weight=found.rows(mstep.reweighted, self))
        sums = found.total(mstep.sums, moved)
        if not sums.n:
            return self
        coef, scatter = mstep.maximised(moved, sums)
        cov = self.floored(scatter / max(float(sums.n) - self.penalty, 1.0))
        likeliest = dataclasses.replace(moved, coef=coef, cov=cov)
        if self.hyper is None:
            return likeliest
        return self.hyper.update(likeliest, lambda population: mstep.score(population, moved.coef, sums))

    def uninformed(self, found: Found, scale: np.ndarray) -> np.ndarray:
        """(P,): whether people's data inform the mean of the group about a parameter less precisely than `scale` (P,).

        The standard error of the mean is compared, as it would be if everything else were known and people did not differ.
        """
        return self.random & (found.total(mstep.told, self) * np.square(scale) < 1)

    def weights(self, laplace: Laplace) -> np.ndarray:
        """(S, P): weights of the scale mixture, given the subjects' posteriors."""
        if self.group.family == "gaussian":
            return self.weight
        if laplace.scale_weights is not None:
            return laplace.scale_weights
        white = np.linalg.inv(self.chol)
        z = (laplace.mode - self.mean) @ white.T
        spread = np.einsum("ip,spq,iq->si", white, laplace.cov, white)
        return self.group.weights(z**2 + spread)

    # -- as a vector, for acceleration and standard errors ----------------------------------------------------------------

    @property
    def lower(self) -> Any:
        """Row and column of each free entry of the covariance's Cholesky factor."""
        return lower_entries(len(self.cov), self.estimated.tobytes())

    @property
    def vector(self) -> np.ndarray:
        """Free regression weights, then the Cholesky factor of the covariance with its diagonal as logs."""
        chol = self.chol.copy()
        chol[np.diag_indices_from(chol)] = np.log(np.diag(chol))
        return np.concatenate([self.coef[self.free], chol[self.lower]])

    def with_vector(self, vector: np.ndarray) -> Population:
        """Return the population with another `vector`."""
        n = int(self.free.sum())
        coef = np.zeros_like(self.coef)
        coef[self.free] = vector[:n]
        chol = np.zeros_like(self.cov)
        chol[self.lower] = vector[n:]
        diagonal = np.diag_indices_from(chol)
        least = np.log(self.smallest)
        chol[diagonal] = self._sds(np.exp(np.clip(chol[diagonal], least, least + 20.0 - math.log(self.least))))
        return dataclasses.replace(self, coef=coef, cov=chol @ chol.T)

    @property
    def is_diagonal(self) -> np.ndarray:
        """(G,): whether an entry of `vector` belongs to the diagonal of the Cholesky factor."""
        rows, columns = self.lower
        return np.concatenate([np.zeros(int(self.free.sum()), bool), np.asarray(rows) == np.asarray(columns)])

    @property
    def roots(self) -> np.ndarray:
        """Free regression weights, then the Cholesky factor itself; see `vector`."""
        return np.concatenate([self.coef[self.free], self.chol[self.lower]])

    @property
    def root_slope(self) -> np.ndarray:
        """The derivative of each of `roots` by its entry of `vector`."""
        return np.where(self.is_diagonal, self.roots, 1.0)

    def with_roots(self, roots: np.ndarray) -> Population:
        """Return the population with other `roots`."""
        logs = self.is_diagonal
        return self.with_vector(np.where(logs, np.log(np.where(logs, roots, 1.0)), roots))

    @property
    def at_floor(self) -> np.ndarray:
        """(G,): whether an entry of `vector` is of an sd as small as it may be, or of a correlation of 1."""
        rows, columns = self.lower
        tiny = np.sqrt(np.diag(self.cov)) < self._nothing
        narrow = determined(self.cov, self.chol, 1.5 * self.smallest)
        ends = (np.asarray(rows) == np.asarray(columns)) & narrow[rows]
        return np.concatenate([np.zeros(int(self.free.sum()), bool), tiny[rows] | tiny[columns] | ends])

    def distance(self, other: Population) -> float:
        """Largest difference of a regression weight or an entry of the covariance's symmetric root (in sd units)."""
        return float(max(np.abs(self.coef - other.coef).max(), np.abs(self.root - other.root).max()))

    def reordered(self, order: np.ndarray) -> Population:
        """Return the population with its parameters in another order."""
        if (order == np.arange(len(order))).all():
            return self
        columns = {name: getattr(self, name)[:, order] for name in ("free", "coef", "weight")}
        square = np.ix_(order, order)
        unit = None if self.unit is None else self.unit[order]
        scatter = None if self.scatter is None else self.scatter[order]
        kept = {"pattern": self.estimated[square], "held": self.given_sd[order], "unit": unit, "scatter": scatter}
        hyper = None if self.hyper is None else self.hyper.reordered(order)
        return dataclasses.replace(self, cov=self.cov[square], hyper=hyper, **columns, **kept)

    def _sds(self, sd: np.ndarray) -> np.ndarray:
        """Put the given standard deviations in the place of estimated ones (P,)."""
        return np.where(np.isnan(self.given_sd), sd, np.where(self.random, self.given_sd, COMMON_SD))

    def floored(self, cov: np.ndarray) -> np.ndarray:
        """Limit the estimated part of a covariance to widths that are allowed, and add the given part."""
        estimated = self.estimated
        alone = ~estimated.any(1)
        if (estimated <= np.eye(len(cov), dtype=bool)).all():
            out = np.diag(np.maximum(np.diag(cov), self.least**2))
        else:
            values, vectors = np.linalg.eigh(np.where(estimated, (cov + cov.T) / 2, 0.0))
            out = (vectors * np.maximum(values, self.least**2)) @ vectors.T
            out = out if estimated.all() else np.where(estimated, out, 0.0)
        out[alone, alone] = self._sds(np.ones(len(cov)))[alone] ** 2
        return out

    def score(self, laplace: Laplace) -> np.ndarray:
        """Gradient of the expected complete-data log-density, and of the prior, by `vector`, given the subjects' posteriors."""
        weighted = dataclasses.replace(self, weight=mstep.reweighted(self, laplace))
        score = mstep.score(self, self.coef, mstep.sums(weighted, laplace))
        return score if self.hyper is None else score + self.root_slope * self.hyper.slopes(self).grad


def populate(
    group: Group,
    *,
    names: Sequence[str],
    mean: np.ndarray,
    sd: np.ndarray,
    covariates: Mapping[str, np.ndarray],
    n_subjects: int,
) -> Population:
    """A population to start from: `mean` and `sd` (P,), no effects.

    Raises
    ------
    ValueError
        If a covariate is unknown, constant or collinear with others, or shifts an unknown parameter.
    """
    design, free = design_of(group, list(names), covariates, n_subjects)
    coef = np.zeros((design.shape[1], len(names)))
    coef[0] = np.where(free[0], mean, 0.0)
    pattern, held = covariance_pattern(group, names)
    weight = np.ones((n_subjects, len(names)))
    start = Population(group, design, free, coef, np.eye(len(names)), weight, pattern=pattern, held=held)
    return dataclasses.replace(start, cov=start.floored(np.diag(np.asarray(sd, float) ** 2)))
