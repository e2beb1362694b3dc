"""Search for the mode of a group's posterior, from which importance sampling begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.nodes import NodeEStep
from pyem.infer.em_loop import EMRun
from pyem.infer.em_ways import Search
from pyem.infer.esteps import estep_maker
from pyem.infer.exact import Exact, first_places, on_points, wide_enough
from pyem.infer.group_posterior import GroupPosterior, group_posterior, mode_of
from pyem.infer.placing import Places, Scouts
from pyem.infer.starts import starting_points
from pyem.model.model import Model
from pyem.numerics.rng import seed_of
from pyem.population.group import Group
from pyem.population.population import Population
from pyem.population.posterior import Moments, Status

SETTLED = 0.1
"""Move of the group's mode, as a share of its standard error, below which points stay where they are."""
LOOKS = 256
"""Number of points of the typical group that show where people are, with up to three parameters."""
LEAST = 8.0
"""Nats by which the prior density of a group's parameter may be below that at the typical group where a search begins."""


@dataclasses.dataclass(frozen=True)
class Climb:
    """Finds the mode of the group's posterior on points; see `pyem.infer.exact.on_points`."""

    model: Model
    priors: Mapping[str, Any] | None

    def posterior(self, population: Population, moments: Moments) -> GroupPosterior:
        """The posterior in coordinates made from a group and its people."""
        return group_posterior(self.model, population, moments, self.priors)

    def __call__(self, estep: NodeEStep, population: Population) -> EMRun:
        """Climb to the mode, from a group near by."""
        moments = estep.posterior(population.prior)
        posterior = self.posterior(population, moments)
        v, _ = mode_of(posterior.log_density(estep.parts), posterior.vector(population))
        (best,) = posterior.populations(v[None])
        return EMRun(best, moments, True, "mode of the group's posterior", {}, estep)


def located(
    model: Model,
    data: Dataset,
    group: Group,
    made: Places,
    priors: Mapping[str, Any] | None,
    key: Any,
    progress: bool | None,
) -> Exact:
    """The mode of a group's posterior, and points around everybody's.

    With few parameters, points of a typical group show where people are, which needs no derivatives and so compiles little.
    With more, or where that fails, the search begins where EM by Laplace approximation ends, if the priors have that
    possible: likelihoods of small groups may have no maximum.
    """
    search, climb = Search(model, data, group, 100, 1e-4, True, True, seed_of(key)), Climb(model, priors)
    start = starting_points(model, data, None, 1, key)[0]
    typical = search.population(start, False)
    if made.rule is not None and model.n_params <= 3:
        scouts = Scouts(made, typical, seed_of(key), LOOKS)
        found = on_points(made, typical, scouts.around(typical), scouts, climb, SETTLED)
        if not _is_poor(found):
            return found
    run = search(start, False, progress)
    make = estep_maker(model, data, seed=search.seed, warm=True)
    population = possible(climb, typical, run)
    modes = np.where(np.isfinite(run.laplace.mode), run.laplace.mode, population.mean)
    population, laplace = wide_enough(made, population, make(modes)(population.prior, 1e-8), make)
    scouts = Scouts(made, population, search.seed)
    return on_points(made, population, first_places(population, laplace, scouts, make), scouts, climb, SETTLED)


def _is_poor(found: Exact) -> bool:
    """Whether the points do not represent everybody's posterior, or the group's."""
    return not found.converged or bool((found.moments.status == Status.NOT_COVERED).any())


def possible(climb: Climb, typical: Population, run: EMRun) -> Population:
    """Limit each parameter of the group that EM found to values that its prior makes possible."""
    posterior = climb.posterior(typical, Moments(*run.laplace))
    goal, start = posterior.vector(run.population), posterior.vector(typical)
    shares = np.linspace(1, 0, 21)
    one = np.eye(len(goal))[:, None] * shares[:, None] * (goal - start)
    tried = np.concatenate([start[None], (start + one).reshape(-1, len(goal))])
    value = posterior.unpack(tried)[1]
    enough = ~(value[1:].reshape(len(goal), -1) < value[0] - LEAST)
    v = start + shares[enough.argmax(1)] * (goal - start)
    return posterior.populations(v[None])[0]
