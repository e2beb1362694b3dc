"""The Laplace approximation of everybody's log marginal likelihood as a function of a group with common values.

The gradient takes the determinant of people's curvature into account, whose derivatives are central differences of the exact
Hessians; what it has besides are people's modes, gradients and Hessians.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import value_grad_hess
from pyem.infer.standard_errors import NEARLY
from pyem.model.model import Model
from pyem.population.edges import log_det_under
from pyem.population.population import COMMON_SD, Population
from pyem.population.posterior import EStep, Laplace, is_known

STEP = 1e-3
"""Step of the differences of Hessians, in standard deviations of people's posteriors."""


class Point(NamedTuple):
    """The summed log evidence at a group, and the log-density of a prior of the group's parameters if there is one."""

    population: Population
    laplace: Laplace
    value: float
    grad: np.ndarray
    """Gradient by the group's `vector`."""
    near: Callable[[Population], Point] | None = None
    """Nearly the same function of other groups, for which no likelihood has to be evaluated."""


def with_prior(point: Point) -> Point:
    """Return the point with the log-density of the prior of the group's parameters added, if there is one."""
    population = point.population
    if population.hyper is None:
        return point
    prior = population.hyper.slopes(population)
    return point._replace(value=point.value + prior.value, grad=point.grad + population.root_slope * prior.grad)


class Expansion(NamedTuple):
    """The log-likelihoods (S,), in nats, of all parameters ``x`` (S, P), their gradients (S, P) and Hessians (S, P, P)."""

    x: np.ndarray
    log_lik: np.ndarray
    slope: np.ndarray
    hess: np.ndarray
    status: np.ndarray
    """Status of the search that found `x`, (S,)."""

    def under(self, population: Population, bend: Callable[[np.ndarray], np.ndarray] | None) -> Point:
        """The summed log evidence of a group under which `x` are the modes.

        `bend` returns the derivatives of the log-determinants of people's curvature by each of their parameters (S, P) for
        people's covariances (S, Q, Q); they are 0 where it is None.
        """
        random = population.random
        own = np.ix_(random, random)
        _, curvature, use = self._curvature(population)
        cov = np.linalg.inv(curvature)
        log_det = log_det_under(np.linalg.cholesky(population.cov[own]), self.hess[:, random][:, :, random])
        regular = np.isfinite(log_det)
        log_det = np.where(regular, log_det, 0.0)
        whole = np.zeros((len(self.x), *population.cov.shape))
        whole[:, ~random, ~random] = COMMON_SD**2
        whole[np.ix_(np.arange(len(self.x)), random, random)] = cov
        # Common parameters are part of no integral: their share of the constant is taken back.
        log_det = log_det + (~random).sum() * math.log(2 * math.pi)
        laplace = Laplace(self.x, whole, self.log_lik, log_det, self.status)
        value = laplace.log_evidence(population.log_prior(self.x))[use].sum() if regular[use].all() else -np.inf
        bent = np.zeros_like(self.x) if bend is None else bend(cov)
        grad = _gradient(population, self.x, self.slope, self.hess, cov, bent, use)
        return with_prior(Point(population, laplace, float(value), grad))

    def at_modes(self, population: Population) -> Expansion:
        """Return where modes are under another group if log-likelihoods are quadratic, with what these are there."""
        random = population.random
        precision, curvature, use = self._curvature(population)
        moved = np.where(random, 0.0, population.mean - self.x)
        slope = self.slope + np.einsum("spq,sq->sp", self.hess, moved)
        pull = slope[:, random] - (self.x - population.mean)[:, random] @ precision
        use &= np.isfinite(pull).all(1)
        moved[:, random] = np.linalg.solve(curvature, np.where(use[:, None], pull, 0.0)[..., None])[..., 0]
        bent = np.einsum("spq,sq->sp", self.hess, moved)
        log_lik = self.log_lik + ((self.slope + 0.5 * bent) * moved).sum(1)
        return self._replace(x=self.x + moved, log_lik=log_lik, slope=self.slope + bent)

    def _curvature(self, population: Population) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The group's precision in what people differ in, log posteriors' curvature (that if unknown), and who has it (S,)."""
        random = population.random
        precision = np.linalg.inv(population.cov[np.ix_(random, random)])
        curvature = precision - self.hess[:, random][:, :, random]
        use = is_known(self.status) & np.isfinite(curvature).all((1, 2))
        return precision, np.where(use[:, None, None], curvature, precision), use


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """The Laplace approximation of everybody's log marginal likelihood as a function of the group.

    Parameters
    ----------
    model, data
        The model, and its data.
    estep
        Finds people's modes.
    """

    model: Model
    data: Dataset
    estep: EStep

    def __call__(self, population: Population) -> Point:
        """Return the summed log evidence at a population, with its gradient."""
        found = self.estep(population.prior, 1e-16)
        x = np.where(population.random, found.mode, population.mean)
        people = Expansion(x, *value_grad_hess(self.model, self.data, x), found.status)
        point = people.under(population, lambda cov: self._bend(x, cov, population.random))
        return point._replace(near=lambda other: people.at_modes(other).under(other, None))

    def _bend(self, x: np.ndarray, cov: np.ndarray, random: np.ndarray) -> np.ndarray:
        """Derivatives (S, P) of the log-determinant of people's curvature by each of their parameters.

        The trace of the covariance times a derivative of the Hessian is a sum over the axes of the covariance. As third
        derivatives have no order, the Hessian is differentiated along the axis, which gives all parameters at once.
        """
        size, axes = np.linalg.eigh(cov)
        out = np.zeros(x.shape)
        for k in range(size.shape[1]):
            axis = np.zeros(x.shape)
            axis[:, random] = np.sqrt(np.abs(size[:, k]))[:, None] * axes[:, :, k]
            ends = [value_grad_hess(self.model, self.data, x + sign * STEP * axis)[2] for sign in (1, -1)]
            along = np.einsum("spq,sq->sp", ends[0] - ends[1], axis) / (2 * STEP)
            out -= np.sign(size[:, k])[:, None] * along
        return out


def _gradient(
    population: Population,
    x: np.ndarray,
    slope: np.ndarray,
    hess: np.ndarray,
    cov: np.ndarray,
    bend: np.ndarray,
    use: np.ndarray,
) -> np.ndarray:
    """Gradient of the summed log evidence by the group's `vector`."""
    random = population.random
    own = np.ix_(random, random)
    chol, precision = np.linalg.cholesky(population.cov), np.linalg.inv(population.cov[own])
    bent, own_hess = bend[:, random], hess[:, random][:, :, random]
    told, added = _of_people((x - population.mean)[:, random], slope[:, random], own_hess, cov, precision)
    # Distance of the mean from the mode by the Laplace approximation's own estimate, and its effect on the group.
    skew = -0.5 * np.einsum("spq,sq->sp", cov, bent)
    drawn = -0.5 * (bent + np.einsum("spq,sqr,sr->sp", own_hess, cov, bent))
    by_mean = np.empty_like(x)
    by_mean[:, random] = told + drawn
    mixed = hess[:, ~random][:, :, random]
    by_mean[:, ~random] = slope[:, ~random] - 0.5 * bend[:, ~random] + np.einsum("scp,sp->sc", mixed, skew)
    by_coef = population.design[use].T @ by_mean[use]
    cross = drawn[use].T @ told[use]
    by_chol = np.zeros_like(chol)
    by_chol[own] = (told[use].T @ told[use] + cross + cross.T + added[use].sum(0)) @ chol[own]
    diagonal = np.diag_indices_from(chol)
    by_chol[diagonal] *= chol[diagonal]
    return np.concatenate([by_coef[population.free], by_chol[population.lower]])


def _of_people(
    gap: np.ndarray, slope: np.ndarray, hess: np.ndarray, cov: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of each person's log evidence by the group's mean, (S, P), and by its covariance, (S, P, P), at the mode.

    At a mode the slopes of likelihood and group cancel. Where the group is narrow, that of the likelihood is the exact one, and
    the small difference of two precisions is made of its curvature.
    """
    told, added = gap @ precision, precision @ cov @ precision - precision
    narrow = np.abs(hess).max((1, 2), initial=0.0) < np.abs(precision).max(initial=0.0)
    left = slope - told
    step = np.einsum("spq,sq->sp", cov, left)
    there = narrow & (np.abs((left * step).sum(1)) < NEARLY)
    told = np.where(there[:, None], slope + np.einsum("spq,sq->sp", hess, step), told)
    return told, np.where(narrow[:, None, None], hess + hess @ cov @ hess, added)
