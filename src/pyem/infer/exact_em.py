"""EM with people integrated out exactly, from where EM by Laplace approximation ended, and how exact its group is."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from pyem.engine.nodes import NodeEStep
from pyem.infer.edge_search import Edge, Slope, at_edge, expected_score
from pyem.infer.em_loop import EMRun, run_em
from pyem.infer.exact import MOST, SETTLED, Exact, around, first_places, judged, on_points, wide_enough
from pyem.infer.lattices import points_at
from pyem.infer.moves import predicted
from pyem.infer.multimodal import Make
from pyem.infer.placing import Places, Scouts
from pyem.infer.standard_errors import information_of_one
from pyem.population.by_vector import derivative
from pyem.population.population import Population
from pyem.population.posterior import Laplace, Moments
from pyem.results.group_rows import group_covariance

APART = 0.02
"""Variance that replaces 0 in a group, as a share of what a person's data leave open, for the standard error of its mean."""

CAREFUL, HEAVY = 2, 3
"""Levels of care at an edge, where slopes are divided by a small variance: for Gaussian and for heavy-tailed groups."""
SLACK = 0.01
"""Nats by which the evidence of the same group may differ between sets of points."""


def exact_em(
    places: Places, run: EMRun, make: Make, *, seed: int = 0, accuracy: float | None = None, **options: Any
) -> Exact:
    """EM on points, from where EM by Laplace approximation ended.

    Parameters
    ----------
    places
        Makes the points.
    run
        EM by Laplace approximation.
    make
        Makes E-steps that find modes, for people whose mode is not the one that was found.
    seed
        Seed of the scouts.
    accuracy
        Standard error of a person's log evidence that is asked for.
    **options
        Options of `pyem.infer.em_loop.run_em`.
    """
    population, laplace = wide_enough(places, run.population, run.laplace, make)
    scouts = Scouts(places, population, seed)
    beside = first_places(population, laplace, scouts, make)
    found = on_points(places, population, beside, scouts, functools.partial(run_em, **options), SETTLED, accuracy)
    edge = Edge.of(found.population, _told_apart(run))
    return _to_edge(found, places, edge) if edge.any else found


# -- groups without width in some direction ------------------------------------------------------------


@dataclasses.dataclass(eq=False)
class _AtEdge:
    """Makes points for groups near an edge; people's posteriors are taken from the last points.

    Parameters
    ----------
    edge, places, level
        Directions in which the group is narrow; maker of points, with everybody's level of care.
    population, moments
        A group, and everybody's posterior under it.
    """

    edge: Edge
    places: Places
    level: np.ndarray
    population: Population
    moments: Moments

    def __call__(self, wide: Population) -> Slope:
        """Return the slopes for groups near `wide`."""
        estep = self.on_points(wide)
        self.population, self.moments = wide, estep.posterior(wide.prior)
        return expected_score(estep)

    def on_points(self, population: Population) -> NodeEStep:
        """Make the E-step on points for a group."""
        mean, cov = predicted(self.moments, self.population, population)
        mean, cov = around(self.moments._replace(mode=mean, cov=cov), population)
        return self.edge.estep(self.places.nodes(mean, cov, population, self.level), population)


def _to_edge(found: Exact, places: Places, edge: Edge) -> Exact:
    """The group at the maximum along an edge, and points for it, if that is better than what was found."""
    found = dataclasses.replace(found, level=_careful(found, places))
    wide, estep = _widened(found, places, edge)
    look = _AtEdge(edge, places, found.level, wide, estep.posterior(wide.prior))
    best, ended = at_edge(found.population, edge, look)
    choices = [edge.widened(found.population, 0.0), *([best] if ended else [])]
    esteps = [look.on_points(population) for population in choices]
    moments = [estep.posterior(population.prior) for estep, population in zip(esteps, choices, strict=True)]
    values = [
        one.log_lik.sum() + (0.0 if group.hyper is None else group.hyper.slopes(group).value)
        for one, group in zip(moments, choices, strict=True)
    ]
    # On other points, even a better group may have slightly less evidence.
    k = len(choices) - 1 if values[-1] > values[0] - SLACK else 0
    effective = esteps[k].effective(choices[k].prior)
    told = {"moments": judged(moments[k], found.level, effective), "effective": effective}
    if ended:
        run = dataclasses.replace(found.run, converged=True, message="the log evidence of the group is at its maximum")
        told |= {"run": run, "moved": 0.0}
    return dataclasses.replace(found, population=choices[k], estep=esteps[k], **told)


def _careful(found: Exact, places: Places) -> np.ndarray:
    """Everybody's level of care (S,) at an edge, if there is room for as many points."""
    rule, care = places.rule, CAREFUL if found.population.group.family == "gaussian" else HEAVY
    if rule is None or len(found.level) * points_at(care) * rule.n > MOST:
        return found.level
    return np.maximum(found.level, care)


# -- errors ---------------------------------------------------------------------------------------------------------------


def information_and_spread(exact: Exact, places: Places, run: EMRun) -> tuple[np.ndarray, np.ndarray]:
    """Observed information of the group's `vector`, and what the group's error adds to the covariance of each person (S, P, P).

    The information is minus the derivative of the score, whose expectation over the points is exact (Fisher's identity); a
    person's posterior mean moves with the group, and so its error is added.

    References
    ----------
    Kass, R. E., & Steffey, D. (1989). Approximate Bayesian inference in conditionally independent hierarchical models
    (parametric empirical Bayes models). Journal of the American Statistical Association, 84(407), 717-726.
    https://doi.org/10.1080/01621459.1989.10478825
    """
    edge = Edge.of(exact.population, _told_apart(run))
    _, estep = _widened(exact, places, edge)

    def score_and_means(moved: Population) -> np.ndarray:
        prior = moved.prior
        score = moved.score(estep(prior))
        return np.concatenate([score, estep.posterior(prior).mode.ravel()])

    n = len(exact.population.vector)
    slopes = edge.extrapolated(exact.population, lambda group: derivative(group, score_and_means))
    information = -(slopes[:, :n] + slopes[:, :n].T) / 2
    moves = slopes[:, n:].reshape(n, *exact.moments.mode.shape)
    covariance = group_covariance(exact.population, information)
    known = np.where(np.isfinite(covariance), covariance, 0.0)
    return information, np.einsum("gsp,gh,hsq->spq", moves, known, moves, optimize=True)


def _widened(exact: Exact, places: Places, edge: Edge) -> tuple[Population, NodeEStep]:
    """The group with some width at its edge, and an E-step on points for it."""
    if not edge.any:
        return exact.population, exact.estep
    wider = edge.widened(exact.population, 1.0)
    # In directions in which people do not differ, their posterior is the group's.
    more = wider.chol @ np.linalg.inv(exact.population.chol)
    mean, cov = around(exact.moments._replace(cov=more @ exact.moments.cov @ more.T), wider)
    return wider, edge.estep(places.nodes(mean, cov, wider, exact.level), wider)


def _told_apart(run: EMRun) -> np.ndarray:
    """(P,): widths at an edge that points can tell: a share of what one person's data leave open, by Laplace approximation."""
    return np.sqrt(APART / information_of_one(run.population, run.laplace))


def estimates(exact: Exact, spread: np.ndarray | None, log_lik: Callable[[np.ndarray], np.ndarray]) -> Laplace:
    """Posterior means, covariances with what the group's error adds, and the log-likelihood at the means."""
    found = exact.moments
    cov = found.cov if spread is None else found.cov + spread
    return Laplace(found.mode, cov, log_lik(found.mode), found.log_det, found.status)
