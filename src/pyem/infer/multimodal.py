"""EM for people whose likelihood has several modes: the iteration looks again, from elsewhere, for better ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from pyem.data.dataset import Dataset
from pyem.infer.em_loop import EMRun
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


class Run(Protocol):
    """An iteration such as `run_em`, until the group's parameters change by less than `tol`; None for the end."""

    def __call__(self, estep: EStep, population: Population, *, tol: float | None) -> EMRun:
        """Run it."""
        ...


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


def run_em_global(
    make: Make, start: np.ndarray, population: Population, run: Run, *, looks: int = 5, at_once: int = 1
) -> EMRun:
    """A run of EM that looks again, from other places, for better modes of people whose likelihood has several.

    A warm-started E-step stays with the mode it found first. Where the iteration has nearly converged, every person's mode is
    sought again from both sides of the group's mean along each parameter; the iteration goes on from those that are better.

    Parameters
    ----------
    make
        Makes E-steps.
    start
        Where the first E-step starts, (S, P).
    population
        Where to start.
    run
        The iteration.
    looks
        At most so many times.
    at_once
        Threads that look; E-steps of compiled code run side by side.
    """
    estep, looked, runs = make(start), None, []
    for _ in range(looks):
        # The first run need not be exact, as the modes of some people will change.
        again = looked is not None
        runs.append(found := run(estep, population, tol=None if again else ROUGHLY))
        population = found.population
        if not found.converged or (looked is not None and population.distance(looked) < NEAR):
            return _joined(runs)
        looked = population
        better = _better_modes(make, found, at_once)
        if better is None:
            return _joined(runs if again else [*runs, run(estep, population, tol=None)])
        estep = make(better)
    return _joined([*runs, run(estep, population, tol=None)])


def _joined(runs: Sequence[EMRun]) -> EMRun:
    """The last run, with the path of all of them."""
    traces = [run.trace for run in runs]
    trace = {name: np.concatenate([one[name] for one in traces]) for name in traces[0] if name != "evaluated"}
    return dataclasses.replace(runs[-1], trace=trace | {"evaluated": sum(one["evaluated"] for one in traces)})


def _better_modes(make: Make, found: EMRun, at_once: int) -> np.ndarray | None:
    prior = found.population.prior
    best, value = found.laplace.mode, _joint(found.laplace, prior)
    first, sd = value, np.sqrt(np.diag(found.population.cov))
    ways = np.concatenate([np.eye(best.shape[1]), -np.eye(best.shape[1])])
    look = lambda way: make(prior.mean + 1.5 * way * sd, short=True)(prior, 1e-3)  # noqa: E731
    if at_once > 1:
        with ThreadPoolExecutor(at_once) as pool:
            seen = list(pool.map(look, ways))
    else:
        seen = [look(way) for way in ways]
    for laplace in seen:
        there = np.where(laplace.usable, _joint(laplace, prior), -np.inf)
        take = there > value + BETTER
        best, value = np.where(take[:, None], laplace.mode, best), np.where(take, there, value)
    return best if (value > first).any() else None


def _joint(laplace: Laplace, prior: GaussianPrior) -> np.ndarray:
    """(S,): what an E-step maximises, at its modes, up to a constant."""
    gap = np.sqrt(prior.weight) * (laplace.mode - prior.mean)
    return laplace.log_lik - 0.5 * np.einsum("sp,pq,sq->s", gap, prior.precision, gap)
