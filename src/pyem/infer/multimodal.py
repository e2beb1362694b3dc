"""EM for people whose likelihood has several modes: during the iteration, better modes are searched from other places."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from pyem.infer.em_loop import EMRun, run_em
from pyem.infer.glances import Glance, Looking, Seen
from pyem.infer.laplace import DEFAULT, JaxEStep
from pyem.infer.solver import Solver
from pyem.model.model import Model
from pyem.numerics.lattice import normal_and_t, quasi_random
from pyem.population.population import Population
from pyem.population.posterior import EStep, GaussianPrior, Laplace

ROUGHLY = 1e-3
"""Change of the group's parameters below which modes are searched: those of some people hardly move after that."""
NEAR = 0.1
"""Change of the group's parameters since the last look, in sd units, below which another look would find the same."""
RIDGE = 0.3
"""Share of a parameter's sd that the other parameters leave, below which the group counts as a ridge."""
BETTER = 1e-4
"""Nats by which a mode has to be better than the known one."""
REACH = 1.5
"""Distance from the group's mean at which modes are looked for, in sds of the group."""
SURPRISE = 1.0
"""Nats by which a posterior has to be denser somewhere than its Laplace approximation says, for a search to begin there."""
STOPS = 4
"""Least number of points that are evaluated on the straight way from such a place to the known mode."""

MANY, SCOUTS = 4, 8
"""Number of parameters from which on more places are used, and number of these places for each parameter, in all
directions: few modes lie along an axis."""

LOOKS = 5
"""Largest number of times that better modes are looked for."""


class Make(Protocol):
    """Makes an E-step that starts from given parameters (S, P); a short one gives up on those who take many steps."""

    def __call__(self, start: np.ndarray, *, short: bool = False) -> EStep:
        """Make one."""
        ...


SHORT = 8
"""Largest number of evaluations of a short search: enough to improve on a lesser mode; some from far away take a hundred."""


@dataclasses.dataclass(frozen=True)
class JaxESteps:
    """Makes E-steps of a model and data; all use the same compiled function and the same layout of the data.

    Parameters
    ----------
    model, data
        The model, and its data.
    max_steps
        Evaluations of one subject in one call, at most.
    solver
        The optimiser.
    kind
        Class of the E-steps: `JaxEStep`, or `pyem.infer.partitions.PartitionedEStep` of data in partitions.
    """

    model: Model
    data: Any
    max_steps: int = 100
    solver: Solver = DEFAULT
    kind: Callable[..., EStep] = JaxEStep

    def __call__(self, start: np.ndarray, *, short: bool = False) -> EStep:
        """An E-step that starts from given parameters (S, P)."""
        max_steps = min(SHORT, self.max_steps) if short else self.max_steps
        return self.kind(self.model, self.data, start, max_steps=max_steps, solver=self.solver)


def run_em_global(
    make: Make,
    start: np.ndarray,
    population: Population,
    *,
    glance: Glance | None = None,
    looks: int = LOOKS,
    at_once: int = 1,
    remember: bool = True,
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
        Starting point of the first E-step, (S, P).
    population
        Population to start from.
    glance
        The log-likelihood of everybody at several places, where that is cheap: the search then begins at the place where the
        posterior exceeds the Laplace approximation most, for people of whom there is such a place and a valley before it.
        Without it, from all places.
    looks
        Largest number of looks.
    at_once
        Threads that look; E-steps of compiled code run side by side.
    remember
        Keep what the last look saw, which is then in ``seen`` of what is returned.
    **options
        Options of `pyem.infer.em_loop.run_em`.
    """
    looking = None if glance is None else Looking(glance, remember=remember)
    look = functools.partial(_looked, make, looking, at_once)
    run = run_em(make(start), population, elsewhere=Looks(look, looks, looking), **options)
    return run if looking is None else dataclasses.replace(run, seen=looking.seen)


Look = Callable[[Population, Any, bool], EStep | None]
"""Looks once for better modes under a group, given what the E-step found, and whether it is the first look: see `Looks`."""


def _looked(
    make: Make, looking: Looking | None, at_once: int, population: Population, laplace: Laplace, first: bool
) -> EStep | None:
    better = better_modes(make, looking, population, laplace, at_once, first)
    return None if better is None else make(better)


class Looks:
    """Decides when to look for better modes, up to a number of times. See `pyem.infer.em_loop.Elsewhere`."""

    def __init__(self, look: Look, looks: int = LOOKS, looking: Looking | None = None) -> None:
        self._look, self._left, self._looking = look, looks, looking
        self._looked: Population | None = None

    @property
    def memory(self) -> tuple[int, Population | None, Seen | None]:
        """Number of looks that are left, the group at the last look, and what the look saw."""
        return self._left, self._looked, None if self._looking is None else self._looking.seen

    @memory.setter
    def memory(self, memory: tuple[Any, ...]) -> None:
        # States saved by an earlier version lack the likelihoods that were seen.
        self._left, self._looked, *seen = memory
        if self._looking is not None:
            self._looking.seen = seen[0] if seen else None

    def __call__(self, population: Population, found: Any, change: float, *, ended: bool) -> EStep | None:
        """An E-step that starts from better modes, or None."""
        if not self._left or not self._due(population, change, ended):
            return None
        first = self._looked is None
        self._left -= 1
        self._looked = population
        return self._look(population, found, first)

    def _due(self, population: Population, change: float, ended: bool) -> bool:
        if self._looked is None:
            # The first run need not be exact, as the modes of some people will change.
            return ended or change < ROUGHLY
        return ended and population.distance(self._looked) >= NEAR


def better_modes(
    make: Make, looking: Looking | None, population: Population, laplace: Laplace, at_once: int, first_look: bool
) -> np.ndarray | None:
    """Everybody's modes (S, P), better ones where a look has found some; None if it has found none. See `run_em_global`."""
    prior, best = population.prior, laplace.mode
    first = value = log_joint(laplace.log_lik, best, prior)
    places = places_around(population)
    if looking is not None:
        joint = lambda log_lik, x: log_joint(log_lik, x, prior)  # noqa: E731
        x = np.stack(places)
        places = [promising(looking, joint, laplace, value, x, joint(looking.around(x), x))]
        if first_look and best.shape[1] >= MANY:
            places.append(densest(looking.glance, joint, scattered(population)))
        places = [start for start in places if (start != best).any()]
        if not places:
            return None
    search = lambda start: make(start, short=True)(prior, 1e-3)  # noqa: E731
    if at_once > 1 and len(places) > 1:
        with ThreadPoolExecutor(at_once) as pool:
            seen = list(pool.map(search, places))
    else:
        seen = [search(start) for start in places]
    for found in seen:
        there = np.where(found.usable, log_joint(found.log_lik, found.mode, prior), -np.inf)
        take = there > value + BETTER
        best, value = np.where(take[:, None], found.mode, best), np.where(take, there, value)
    return best if (value > first).any() else None


def places_around(population: Population) -> list[np.ndarray]:
    """Places to look for modes, (S, P) each: on both sides of the group's mean along each parameter."""
    sd = np.sqrt(np.diag(population.cov))
    ways = np.concatenate([np.eye(len(sd)), -np.eye(len(sd))])
    return [population.mean + REACH * way * sd for way in ways]


def is_near(seen: Seen, population: Population) -> bool:
    """Whether likelihoods were seen around this group: no farther from it than where no other look is due."""
    sd = np.sqrt(np.diag(population.cov))
    return bool((np.abs(seen.x - np.stack(places_around(population))) <= (1 + REACH) * NEAR * sd).all())


def is_ridge(population: Population) -> bool:
    """Whether parameters are so correlated that a place a little beside the group is far from it."""
    return bool((np.diag(population.precision) * np.diag(population.cov) * RIDGE**2 > 1).any())


def scattered(population: Population) -> np.ndarray:
    """Draw places (K, S, P) from the group, with the width at which other modes are looked for."""
    p = len(population.cov)
    z, _ = normal_and_t(quasi_random(SCOUTS * p, p + 1, 1), 5.0)
    return population.mean + REACH * (z @ np.linalg.cholesky(population.cov).T)[:, None]


def densest(glance: Glance, joint: Callable[[np.ndarray, np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """The place (S, P) of those (K, S, P) where each person's posterior is densest."""
    # Use as many at a time as there are other places, so that nothing is compiled for other numbers.
    parts = np.split(x, len(x) // (2 * x.shape[2]))
    there = joint(np.concatenate([glance(part) for part in parts]), x)
    there = np.where(np.isnan(there), -np.inf, there)
    return x[there.argmax(0), np.arange(x.shape[1])]


def promising(
    looking: Looking,
    joint: Callable[[np.ndarray, np.ndarray], np.ndarray],
    laplace: Laplace,
    value: np.ndarray,
    x: np.ndarray,
    there: np.ndarray,
) -> np.ndarray:
    """Start (S, P) of each person's search: the place with the largest surprise, or the known mode if there is none.

    That mode, too, if the posterior only rises on the straight way to it: a search would end there again.

    `joint` makes the log posterior, up to a constant, of the log-likelihood (K, S) and parameters (K, S, P); `there` is that of
    the places `x`, and `value` that of the modes.
    """
    mode = laplace.mode
    regular: Any = np.isfinite(laplace.cov).all(axis=(1, 2))
    cov = laplace.cov if regular.all() else np.where(regular[:, None, None], laplace.cov, np.eye(mode.shape[1]))
    gap = x - mode
    expected = value - 0.5 * ((gap[:, :, None] @ _inverse(cov))[:, :, 0] * gap).sum(2)
    # If neither value is finite, there is no surprise.
    with np.errstate(invalid="ignore"):
        surprise = np.where(regular, there - expected, np.where(np.isfinite(there), np.inf, -np.inf))
    surprise = np.where(np.isnan(surprise), -np.inf, surprise)
    most, everybody = surprise.argmax(0), np.arange(len(value))
    taken = surprise[most, everybody] > SURPRISE
    if not taken.any():
        return mode
    start = np.where(taken[:, None], x[most, everybody], mode)
    there = np.where(taken, there[most, everybody], value)
    return np.where(_valley(looking, joint, start, there, mode, value)[:, None], start, mode)


def _inverse(cov: np.ndarray) -> np.ndarray:
    """Invert covariances (S, P, P), which may be singular to rounding."""
    try:
        return np.linalg.inv(cov)
    except np.linalg.LinAlgError:
        return np.linalg.pinv(cov, hermitian=True)


def _valley(
    looking: Looking,
    joint: Callable[[np.ndarray, np.ndarray], np.ndarray],
    start: np.ndarray,
    there: np.ndarray,
    mode: np.ndarray,
    value: np.ndarray,
) -> np.ndarray:
    """(S,): whether a posterior falls somewhere on the way from `start`, where its value is `there`, to the known mode."""
    way = looking.between(start, mode, STOPS)
    path = np.array([there, *joint(way.log_lik, way.x), value])
    # A value that is not finite says nothing about a valley, and the search has to find out.
    with np.errstate(invalid="ignore"):
        falls: Any = ~(np.diff(path, axis=0) >= -1e-9 * np.abs(value))
    return falls.any(0)


def log_joint(log_lik: np.ndarray, x: np.ndarray, prior: GaussianPrior) -> np.ndarray:
    """Log joint density (..., S) that an E-step maximises, up to a constant."""
    gap = np.sqrt(prior.weight) * (x - prior.mean)
    return log_lik - 0.5 * ((gap @ prior.precision) * gap).sum(-1)
