"""Parameters with one value for everybody: the group by maximum of the Laplace approximation of the marginal likelihood.

A common parameter has no prior to speak of in which EM could move it. The group's means, covariance and common values are
therefore found together where the summed log evidence is largest, from where EM ends that lets people differ in everything.
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
from pyem.infer.em_loop import EMRun
from pyem.infer.standard_errors import NEARLY
from pyem.model.model import Model
from pyem.population.edges import log_det_under
from pyem.population.group import Group
from pyem.population.population import COMMON_SD, MIN_SD, Population
from pyem.population.posterior import EStep, Laplace

STEP = 1e-4
"""Step of the differences of Hessians."""
INFORMATION_STEP = 1e-4
"""Step of the differences of the gradient."""
ENOUGH = 1e-15
"""Nats: a maximum is found where a Newton step promises less."""
REFRESHED = 10
"""Steps after which the curvature is computed anew."""
LONGEST = 2.0
"""No entry of the group's `vector` moves by more in one step, in standard deviations between people."""


def without_common(group: Group) -> Group:
    """Return the group with differences between people in all parameters."""
    return Group(
        group.family,
        covariance=group.covariance,
        df=group.df,
        covariates=dict(group.covariates),
        sd=dict(group.sd),
        centred=group.centred,
        without_mean=group.without_mean,
    )


class Point(NamedTuple):
    """The summed log evidence at a group, and the log-density of a prior of the group's parameters if there is one."""

    population: Population
    laplace: Laplace
    value: float
    grad: np.ndarray
    """Gradient by the group's `vector`."""


def with_prior(point: Point) -> Point:
    """Return the point with the log-density of the prior of the group's parameters added, if there is one."""
    population = point.population
    if population.hyper is None:
        return point
    prior = population.hyper.slopes(population)
    return point._replace(value=point.value + prior.value, grad=point.grad + population.root_slope * prior.grad)


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
        random = population.random
        found = self.estep(population.prior, 1e-16)
        x = np.where(random, found.mode, population.mean)
        log_lik, slope, hess = value_grad_hess(self.model, self.data, x)
        own = np.ix_(random, random)
        precision = np.linalg.inv(population.cov[own])
        curvature = precision - hess[:, random][:, :, random]
        use = found.usable & np.isfinite(curvature).all((1, 2))
        cov = np.linalg.inv(np.where(use[:, None, None], curvature, precision))
        log_det = log_det_under(np.linalg.cholesky(population.cov[own]), hess[:, random][:, :, random])
        regular = np.isfinite(log_det)
        log_det = np.where(regular, log_det, 0.0)
        whole = np.zeros((len(x), *population.cov.shape))
        whole[:, ~random, ~random] = COMMON_SD**2
        whole[np.ix_(np.arange(len(x)), random, random)] = cov
        # Common parameters are part of no integral: their share of the constant is taken back.
        log_det = log_det + (~random).sum() * math.log(2 * math.pi)
        laplace = Laplace(x, whole, log_lik, log_det, found.status)
        value = laplace.log_evidence(population.log_prior(x))[use].sum() if regular[use].all() else -np.inf
        bend = self._bend(x, cov, random)
        return with_prior(
            Point(population, laplace, float(value), _gradient(population, x, slope, hess, cov, bend, use))
        )

    def _bend(self, x: np.ndarray, cov: np.ndarray, random: np.ndarray) -> np.ndarray:
        """Derivatives (S, P) of the log-determinant of people's curvature by each of their parameters."""
        out = np.empty(x.shape)
        for k in range(x.shape[1]):
            shift = STEP * np.eye(x.shape[1])[k]
            ends = [value_grad_hess(self.model, self.data, x + sign * shift)[2] for sign in (1, -1)]
            change = (ends[0] - ends[1])[:, random][:, :, random] / (2 * STEP)
            out[:, k] = -np.einsum("spq,sqp->s", cov, change)
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


# -- the maximum ----------------------------------------------------------------------------------------------------------


def begin(model: Model, data: Dataset, population: Population, run: EMRun) -> Population:
    """The population to start from: `population`, with the estimates of a run in which people differ in everything.

    Standard deviations are no smaller than half of what people's own data leave uncertain: near 0 the slope does not tell.
    """
    found = run.population
    sd = np.sqrt(np.diag(found.cov))
    wide = np.maximum(sd, 0.5 * _uncertain(model, data, run.laplace))
    corr = 0.5 * found.cov / np.outer(sd, sd) + 0.5 * np.eye(len(sd))
    cov = population.floored(corr * np.outer(wide, wide))
    return dataclasses.replace(population, coef=found.coef * population.free, cov=cov)


def polished(evidence: Evidence, start: Population, *, max_iter: int, tol: float) -> tuple[EMRun, np.ndarray]:
    """The group at the maximum of the summed log evidence, and the observed information of its `vector` there.

    Newton's method with the derivatives of the gradient as differences, which are kept up to date by the steps (BFGS).

    Parameters
    ----------
    evidence
        The function to maximise.
    start
        Population at which the search begins.
    max_iter
        Steps, at most.
    tol
        The search ends where no entry of the group's `vector` would change by more, in standard deviations between people.
    """
    path: list[tuple[float, float, np.ndarray]] = []
    at, message = climbed(evidence, evidence(start), path, max_iter, tol)
    for _ in range(3):
        other = _at_edges(evidence, _away_from_edges(evidence, at))
        if other is at:
            break
        at, message = climbed(evidence, other, path, max_iter, tol)
    values, changes, vectors = zip(*path, strict=True)
    trace = {"log_evidence": np.array(values), "change": np.array(changes), "vector": np.array(vectors)}
    trace["evaluated"] = np.array(len(values))
    done = message or "the log evidence of the group is at its maximum"
    run = EMRun(at.population, at.laplace, not message, done, trace, evidence.estep)
    return run, information(evidence, at.population)


def climbed(
    evidence: Callable[[Population], Point],
    at: Point,
    path: list[tuple[float, float, np.ndarray]],
    max_iter: int,
    tol: float,
) -> tuple[Point, str]:
    """Climb to the maximum, and return it with the reason why the search did not end there, if it did not."""
    spread, unit, free = np.eye(0), np.ones(0), np.zeros(0, bool)
    for n in range(max_iter):
        # A standard deviation of 0 stays at 0, and correlations with that parameter are meaningless.
        if n % REFRESHED == 0 or not np.array_equal(free, ~at.population.at_floor):
            unit, free = units(at.population), ~at.population.at_floor
            spread = np.zeros((len(unit), len(unit)))
            whole = unit[:, None] * information(evidence, at.population) * unit
            spread[np.ix_(free, free)] = _inverse(whole[np.ix_(free, free)])
        grad = free * at.grad * unit
        step = spread @ grad
        gain = float(grad @ step)
        path.append((at.value, float(np.abs(step).max(initial=0.0)), at.population.vector))
        if path[-1][1] < tol or gain < ENOUGH * max(1.0, tol / 1e-7) ** 2:
            # Newton's last step squares the distance that is left, for one evaluation more.
            last = evidence(at.population.with_vector(at.population.vector + step * unit))
            return (last if last.value >= at.value - 1e-12 * abs(at.value) else at), ""
        new = _along(evidence, at, step, unit, grad)
        if new is None:
            return (
                at,
                "" if gain < 1e-4 else "no step is better, although the slope says that there is something to gain",
            )
        moved = (new.population.vector - at.population.vector) / unit
        spread = _updated(spread, free * moved, free * (at.grad - new.grad) * unit)
        at = new
    return at, f"not converged after {max_iter} iterations"


def units(population: Population) -> np.ndarray:
    """Unit of a step for each entry of `vector`: the sd between people, or 1 for a logarithm."""
    # Common parameters have no known scale; the curvature gives one.
    sd = np.where(population.random, np.sqrt(np.diag(population.cov)), 1.0)
    of_coef = np.broadcast_to(sd, population.coef.shape) / np.maximum(np.abs(population.design).max(0), 1e-300)[:, None]
    rows, columns = population.lower
    return np.concatenate([of_coef[population.free], np.where(np.equal(rows, columns), 0.5, sd[rows])])


def _along(
    evidence: Callable[[Population], Point], at: Point, step: np.ndarray, unit: np.ndarray, grad: np.ndarray
) -> Point | None:
    """Search along a step for a better point; return None if there is none."""
    step = step * min(1.0, LONGEST / max(float(np.abs(step).max()), 1e-300))
    slope = float(grad @ step)
    for _ in range(12):
        new = evidence(at.population.with_vector(at.population.vector + step * unit))
        if np.isfinite(new.grad).all() and new.value >= at.value + 1e-4 * slope - 1e-12 * abs(at.value):
            return new
        step, slope = step / 4, slope / 4
    return None


def _updated(spread: np.ndarray, step: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """The inverse information after a step along which the gradient fell."""
    inner = float(step @ fall)
    if inner <= 1e-12 * np.linalg.norm(step) * np.linalg.norm(fall):
        return spread
    left = np.eye(len(step)) - np.outer(step, fall) / inner
    return left @ spread @ left.T + np.outer(step, step) / inner


def information(evidence: Callable[[Population], Point], population: Population) -> np.ndarray:
    """Minus the curvature of the summed log evidence by the group's `vector`, as differences of its gradient."""
    vector = population.vector
    moves = INFORMATION_STEP * np.eye(len(vector))
    ends = [[evidence(population.with_vector(vector + sign * move)).grad for sign in (1, -1)] for move in moves]
    matrix = -np.array([(up - down) / (2 * INFORMATION_STEP) for up, down in ends])
    return (matrix + matrix.T) / 2


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """The inverse with all curvature turned positive, so that a step leads uphill."""
    scale = 1 / np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-8))
    values, vectors = np.linalg.eigh(scale[:, None] * matrix * scale)
    kept = np.maximum(np.abs(values), 1e-4)
    return scale[:, None] * ((vectors / kept) @ vectors.T) * scale


def _uncertain(model: Model, data: Dataset, laplace: Laplace) -> np.ndarray:
    """Uncertainty (P,) that the data of the median person leave, as a standard deviation; 0 where nothing is known."""
    hess = value_grad_hess(model, data, laplace.mode)[2]
    known = np.median(-np.diagonal(hess, axis1=1, axis2=2)[laplace.usable], axis=0)
    return np.where(known > 0, 1 / np.sqrt(np.maximum(known, 1e-12)), 0.0)


def _away_from_edges(evidence: Evidence, at: Point) -> Point:
    """Raise standard deviations of 0 where that is better, as there is no slope at 0."""
    unsure = _uncertain(evidence.model, evidence.data, at.laplace)
    for k in np.flatnonzero(at.population.vanished):
        for size in (0.5, 2.0):
            cov = at.population.cov.copy()
            cov[k], cov[:, k] = 0.0, 0.0
            cov[k, k] = max(size * unsure[k], 2 * MIN_SD) ** 2
            new = evidence(dataclasses.replace(at.population, cov=at.population.floored(cov)))
            if new.value > at.value + 1e-6:
                at = new
    return at


def _at_edges(evidence: Evidence, at: Point) -> Point:
    """Set standard deviations to 0 where that is as good, because the search nears 0 by ever shorter steps."""
    for entry in np.flatnonzero(at.population.is_diagonal & ~at.population.at_floor):
        vector = at.population.vector
        vector[entry] = math.log(MIN_SD)
        new = evidence(at.population.with_vector(vector))
        if new.value >= at.value - 1e-6:
            at = new
    return at
