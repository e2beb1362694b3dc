"""Parameters with one value for everybody: the group by maximum of the Laplace approximation of the marginal likelihood.

A common parameter has no prior to speak of in which EM could move it. The group's means, covariance and common values are
therefore found together where the summed log evidence is largest, from where EM ends that lets people differ in everything.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import value_grad_hess
from pyem.infer.common_evidence import Evidence, Point
from pyem.infer.em_loop import EMRun
from pyem.model.model import Model
from pyem.population.group import Group
from pyem.population.population import MIN_SD, Population
from pyem.population.posterior import Laplace
from pyem.results.point_problems import JUMPED

INFORMATION_STEP = 1e-4
"""Step of the differences of the gradient."""
ENOUGH = 1e-15
"""Nats: a maximum is found where a Newton step promises less."""
FLAT, WIDE = 1e-6, 0.01
"""Nats that a step promises, and units that it moves an entry by, below and above which it leads along a flat direction."""
REFRESHED, EXACTLY = 10, 30
"""Steps after which the curvature is computed anew, and after which not by what is nearly the same function."""
LONGEST = 2.0
"""No entry of the group's `vector` moves by more in one step, in standard deviations between people."""
FAR = 100.0
"""Nats of somebody's log-likelihood that common values may cost at the start."""


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
    return _bearable(
        model, data, dataclasses.replace(population, coef=found.coef * population.free, cov=cov), run.laplace
    )


def _bearable(model: Model, data: Dataset, population: Population, laplace: Laplace) -> Population:
    """Begin common values elsewhere among people's own where somebody cannot have the mean one, such as too late a time."""
    use, common = laplace.usable, np.flatnonzero(~population.random & population.free[0])

    def cost(population: Population) -> np.ndarray:
        x = np.where(population.random, laplace.mode, population.mean)
        return np.nan_to_num((laplace.log_lik - value_grad_hess(model, data, x)[0])[use], nan=np.inf)

    best, least = population, cost(population)
    if least.max(initial=0.0) < FAR:
        return population
    for k in common:
        beside = (laplace.mode - population.mean)[use, k]
        for shift in np.quantile(beside, (0, 0.25, 0.5, 0.75, 1)):
            coef = best.coef.copy()
            coef[0, k] = population.coef[0, k] + shift
            moved = dataclasses.replace(best, coef=coef)
            if (now := cost(moved)).sum() < least.sum():
                best, least = moved, now
    return best


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
    found = information(evidence, at.population)
    at = at if message else _corrected(evidence, at, found)
    values, changes, vectors = zip(*path, strict=True)
    trace = {"log_evidence": np.array(values), "change": np.array(changes), "vector": np.array(vectors)}
    trace["evaluated"] = np.array(len(values))
    done = message or "the log evidence of the group is at its maximum"
    return EMRun(at.population, at.laplace, not message, done, trace, evidence.estep), found


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
            # What is nearly the same function tells enough at first, and takes no time.
            nearly = evidence if at.near is None or n >= EXACTLY else at.near
            spread = _spread(at.population, information(nearly, at.population))
        grad = free * at.grad * unit
        step = spread @ grad
        gain = float(grad @ step)
        path.append((at.value, float(np.abs(step).max(initial=0.0)), at.population.vector))
        # Where the data say that people do not vary, a common value goes on for ever, and nothing is gained.
        if gain < FLAT and path[-1][1] > WIDE:
            return at, ""
        if path[-1][1] < tol or gain < ENOUGH * max(1.0, tol / 1e-7) ** 2:
            # Newton's last step squares the distance that is left, for one evaluation more.
            return _unless_worse(evidence, at, step * unit), ""
        new = _along(evidence, at, step, unit, grad)
        if new is None:
            return at, "" if gain < 1e-4 else JUMPED
        moved = (new.population.vector - at.population.vector) / unit
        spread = _updated(spread, free * moved, free * (at.grad - new.grad) * unit)
        at = new
    return at, f"not converged after {max_iter} iterations"


def _spread(population: Population, information: np.ndarray) -> np.ndarray:
    """The inverse information in `units`; 0 for what stays at 0."""
    unit, free = units(population), ~population.at_floor
    out = np.zeros(information.shape)
    out[np.ix_(free, free)] = _inverse((unit[:, None] * information * unit)[np.ix_(free, free)])
    return out


def _corrected(evidence: Evidence, at: Point, information: np.ndarray) -> Point:
    """Take one more step, with the exact information: the search ended with one that is nearly right."""
    unit = units(at.population)
    step = _spread(at.population, information) @ (at.grad * unit)
    if np.abs(step).max(initial=0.0) > WIDE:
        return at
    return _unless_worse(evidence, at, step * unit)


def _unless_worse(evidence: Callable[[Population], Point], at: Point, move: np.ndarray) -> Point:
    """Move the group's `vector`, and return the point there, or the old one if that has more evidence."""
    new = evidence(at.population.with_vector(at.population.vector + move))
    return new if new.value >= at.value - 1e-12 * abs(at.value) else at


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
