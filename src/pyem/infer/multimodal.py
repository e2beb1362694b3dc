"""EM for people whose likelihood has several modes: the iteration looks again, from elsewhere, for better ones."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from pyem.data.dataset import Dataset
from pyem.infer.em_loop import EMRun, run_em
from pyem.infer.laplace import DEFAULT, JaxEStep
from pyem.infer.solver import Solver
from pyem.model.model import Model
from pyem.population.population import Population
from pyem.population.posterior import EStep, GaussianPrior, Laplace

ROUGHLY = 1e-3
"""Change of the group's parameters below which modes are looked for: those of some people move little after it."""
NEAR = 0.1
"""Change of the group's parameters since the last look, in sd units, below which another would see the same."""
BETTER = 1e-4
"""Nats by which a mode has to be better than the one that is known."""
REACH = 1.5
"""How far from the group's mean modes are looked for, in sds of the group."""
SURPRISE = 1.0
"""Nats by which a posterior has to be denser somewhere than its Laplace approximation says, for a search to begin there."""

Glance = Callable[[np.ndarray], np.ndarray]
"""The log-likelihood of everybody, (S,), at parameters (S, P)."""


class Make(Protocol):
    """Makes an E-step that starts from given parameters (S, P); a short one gives up on those who take many steps."""

    def __call__(self, start: np.ndarray, *, short: bool = False) -> EStep:
        """Make one."""
        ...


SHORT = 8
"""Evaluations of a short search, at most: enough to be better than a lesser mode; from far away some take a hundred."""


@dataclasses.dataclass(frozen=True)
class JaxESteps:
    """Makes E-steps of a model and data; all use the same compiled function and the same layout of the data.

    Parameters
    ----------
    model, data
        What to fit to what.
    max_steps
        Evaluations of one subject in one call, at most.
    solver
        The optimiser.
    """

    model: Model
    data: Dataset
    max_steps: int = 100
    solver: Solver = DEFAULT

    def __call__(self, start: np.ndarray, *, short: bool = False) -> EStep:
        """An E-step that starts from given parameters (S, P)."""
        max_steps = min(SHORT, self.max_steps) if short else self.max_steps
        return JaxEStep(self.model, self.data, start, max_steps=max_steps, solver=self.solver)

    def glance(self, x: np.ndarray) -> np.ndarray:
        """Log-likelihood of everybody, (S,), at `x` (S, P)."""
        return self._looker.glance(x)

    @functools.cached_property
    def _looker(self) -> JaxEStep:
        """One E-step for all glances."""
        anywhere = np.zeros((self.data.n_subjects, self.model.n_params))
        return JaxEStep(self.model, self.data, anywhere, solver=self.solver)


def run_em_global(
    make: Make,
    start: np.ndarray,
    population: Population,
    *,
    glance: Glance | None = None,
    looks: int = 5,
    at_once: int = 1,
    **options: Any,
) -> EMRun:
    """A run of EM that looks again, from other places, for better modes of people whose likelihood has several.

    A warm-started E-step stays with the mode it found first. Where the iteration has nearly converged, and again where it ends
    if the group has moved since, better modes are looked for on both sides of the group's mean along each parameter; the
    iteration goes on from those that are better.

    Parameters
    ----------
    make
        Makes E-steps.
    start
        Where the first E-step starts, (S, P).
    population
        Where to start.
    glance
        The log-likelihood of everybody, where that is cheap: the search then begins at the place where the posterior exceeds
        the Laplace approximation most, for people of whom there is such a place. Without it, from all places.
    looks
        At most so many times.
    at_once
        Threads that look; E-steps of compiled code run side by side.
    **options
        Those of `pyem.infer.em_loop.run_em`.
    """
    return run_em(make(start), population, elsewhere=_Looks(make, glance, looks, at_once), **options)


class _Looks:
    """When to look, and what to do then. See `pyem.infer.em_loop.Elsewhere`."""

    def __init__(self, make: Make, glance: Glance | None, looks: int, at_once: int) -> None:
        self._make, self._glance, self._left, self._at_once = make, glance, looks, at_once
        self._looked: Population | None = None

    def __call__(self, population: Population, laplace: Laplace, change: float, *, ended: bool) -> EStep | None:
        if not self._left or not self._due(population, change, ended):
            return None
        self._left -= 1
        self._looked = population
        better = _better_modes(self._make, self._glance, population, laplace, self._at_once)
        return None if better is None else self._make(better)

    def _due(self, population: Population, change: float, ended: bool) -> bool:
        if self._looked is None:
            # The first run need not be exact, as the modes of some people will change.
            return ended or change < ROUGHLY
        return ended and population.distance(self._looked) >= NEAR


def _better_modes(
    make: Make, glance: Glance | None, population: Population, laplace: Laplace, at_once: int
) -> np.ndarray | None:
    prior, best = population.prior, laplace.mode
    first = value = _joint(laplace.log_lik, best, prior)
    places = places_around(population)
    if glance is not None:
        joint = lambda log_lik, x: _joint(log_lik, x, prior)  # noqa: E731
        places = [promising(glance, joint, laplace, value, places)]
    search = lambda start: make(start, short=True)(prior, 1e-3)  # noqa: E731
    if at_once > 1 and len(places) > 1:
        with ThreadPoolExecutor(at_once) as pool:
            seen = list(pool.map(search, places))
    else:
        seen = [search(start) for start in places]
    for found in seen:
        there = np.where(found.usable, _joint(found.log_lik, found.mode, prior), -np.inf)
        take = there > value + BETTER
        best, value = np.where(take[:, None], found.mode, best), np.where(take, there, value)
    return best if (value > first).any() else None


def places_around(population: Population) -> list[np.ndarray]:
    """Where to look, (S, P) each: on both sides of the group's mean along each parameter."""
    sd = np.sqrt(np.diag(population.cov))
    ways = np.concatenate([np.eye(len(sd)), -np.eye(len(sd))])
    return [population.mean + REACH * way * sd for way in ways]


def promising(
    glance: Glance,
    joint: Callable[[np.ndarray, np.ndarray], np.ndarray],
    laplace: Laplace,
    value: np.ndarray,
    places: list[np.ndarray],
) -> np.ndarray:
    """Where each person's search begins, (S, P): the place that surprises most, or the mode that is known if none does.

    `joint` makes the log posterior, up to a constant, of the log-likelihood (S,) and parameters (S, P); `value` is that of
    the modes.
    """
    start, most = laplace.mode, np.full(len(value), SURPRISE)
    regular: Any = np.isfinite(laplace.cov).all(axis=(1, 2))
    cov = np.where(regular[:, None, None], laplace.cov, np.eye(laplace.cov.shape[1]))
    precision = np.linalg.pinv(cov, hermitian=True)
    for x in places:
        there = joint(glance(x), x)
        gap = x - laplace.mode
        expected = value - 0.5 * np.einsum("sp,spq,sq->s", gap, precision, gap)
        # Where neither is finite, nothing surprises.
        with np.errstate(invalid="ignore"):
            surprise = np.where(regular, there - expected, np.where(np.isfinite(there), np.inf, -np.inf))
        take = surprise > most
        start, most = np.where(take[:, None], x, start), np.where(take, surprise, most)
    return start


def _joint(log_lik: np.ndarray, x: np.ndarray, prior: GaussianPrior) -> np.ndarray:
    """(S,): what an E-step maximises, up to a constant."""
    gap = np.sqrt(prior.weight) * (x - prior.mean)
    return log_lik - 0.5 * np.einsum("sp,pq,sq->s", gap, prior.precision, gap)
