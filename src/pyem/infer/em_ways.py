"""Ways of `fit_em` to fit a group: what all ways share, and the way by Laplace approximation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from pyem.data.dataset import Dataset
from pyem.infer.em_loop import EMRun, Keeper, Report
from pyem.infer.esteps import at_once, estep_maker, glance_of, lowered
from pyem.infer.glances import Glance, Looking
from pyem.infer.multimodal import is_near, is_ridge, run_em_global
from pyem.infer.natural_prior import PersonPrior
from pyem.infer.other_modes import Surroundings, other_modes
from pyem.infer.progress import progress_line
from pyem.infer.standard_errors import information, with_scatter
from pyem.infer.units import standardised, with_given_sd, with_units
from pyem.model.model import Model
from pyem.population.edges import log_evidence_of
from pyem.population.group import Group
from pyem.population.population import Population, populate

if TYPE_CHECKING:
    from pyem.infer.cluster import Cluster

Integrate = Literal["laplace", "exact"]
"""Method by which people are integrated out."""


@dataclasses.dataclass(frozen=True)
class Search:
    """The iteration of `fit_em`, which can start anywhere."""

    model: Model
    data: Dataset
    group: Group
    max_iter: int
    tol: float
    accelerate: bool
    boundary_avoiding: bool
    seed: int
    cluster: Cluster | None = None
    priors: Mapping[str, Any] | None = None

    def __call__(self, start: np.ndarray, moved: bool, progress: bool | None, keeper: Keeper | None = None) -> EMRun:
        """Run EM from `start` (S, P); the group begins at the typical population unless the start was `moved`."""
        population = self.population(start, moved)
        with progress_line(progress, f"EM {self.model.name}", self.max_iter) as say:
            options: dict[str, Any] = {
                "max_iter": self.max_iter,
                "tol": self.tol,
                "accelerate": self.accelerate,
                "report": say and _report(say),
                "scale": self.model.typical[1],
                "keeper": keeper,
            }
            if self.cluster is not None:
                from pyem.infer.cluster import run_em_on

                return run_em_on(self.cluster, start, population, **options)
            make = estep_maker(self.model, self.data, seed=self.seed, warm=True)
            glance = glance_of(self.model, self.data, lambda: lowered(make(start), population.prior))
            # For data in partitions, remembering everybody's likelihoods would take more memory than the data.
            options["remember"] = isinstance(self.data, Dataset)
            return run_em_global(make, start, population, glance=glance, at_once=at_once(self.model), **options)

    def other_mode(self, run: EMRun) -> np.ndarray:
        """Share (S,) of the evidence of another mode of each person; 0 where there is none, or none is looked for."""
        looked = self.cluster is None and isinstance(self.data, Dataset)
        glance = glance_of(self.model, self.data) if looked else None
        return other_modes(self.model, self.data, self._surroundings(run, glance), run.laplace, 100, self.seed)[1]

    def _surroundings(self, run: EMRun, glance: Glance | None) -> Surroundings | None:
        """Places around the group with everybody's likelihood: those of the last look if near enough, and else new ones."""
        if glance is None:
            return None
        prior = PersonPrior(run.population, None)
        if run.seen is None or not is_near(run.seen, run.population):
            return Surroundings.seen(self.model, self.data, glance, prior)
        # The way to an earlier mode does not lead along a ridge that has moved since.
        seen = run.seen._replace(way=None) if is_ridge(run.population) else run.seen
        return Surroundings.known(Looking(glance, seen), prior, run.population.mean)

    def population(self, start: np.ndarray, moved: bool) -> Population:
        """Return the group that the iteration starts from."""
        mean, sd = self.model.typical
        made = populate(
            self.group,
            names=self.model.names,
            mean=start.mean(0) if moved else mean,
            sd=np.maximum(np.maximum(sd, start.std(0) if moved else 0.0), 1.0),
            covariates=standardised(dict(self.data.covariates), centred=self.group.centred),
            n_subjects=self.data.n_subjects,
        )
        # As many degrees of freedom as regression weights of a parameter, on average.
        penalty = float(made.free.sum() / len(made.cov)) if self.boundary_avoiding else 0.0
        own_units = with_units(self.model) if not self.model.standard else np.zeros(self.model.n_params, bool)
        made = with_given_sd(made, self.model.units[1])
        unit = np.where(own_units, self.model.typical[1], 1.0) if own_units.any() else None
        made = dataclasses.replace(made, penalty=penalty, unit=unit)
        if self.priors is None:
            return made
        from pyem.infer.group_prior import group_prior

        return dataclasses.replace(made, hyper=group_prior(self.model, made, dict(self.data.covariates), self.priors))


def _report(say: Callable[[int, str], None]) -> Report:
    return lambda n, value, change: say(n, f"iteration {n}, log evidence {value:.3f}, change {change:.1e}")


# -- ways ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Ended:
    """The end of one way of fitting."""

    run: EMRun
    """The run with the final group, and with what is reported of people."""
    before: EMRun
    """The run as the last M-step saw it, which tells how the iteration went."""
    information: np.ndarray | None
    """Information on the group's `vector`; None if it was not asked for."""
    log_evidence: np.ndarray | None = None
    """Log evidence of each person, (S,), where it is not that of the Laplace approximation."""


class Way(Protocol):
    """One way to fit a group."""

    @property
    def search(self) -> Search:
        """The iteration that comes first, from each start."""
        ...

    def end(self, run: EMRun, start: np.ndarray, *, standard_errors: bool) -> Ended:
        """Complete the best `run`; `start` (S, P) is the first of the starts."""
        ...


@dataclasses.dataclass(frozen=True)
class ByLaplace:
    """The way by Laplace approximation, which consists of the iteration alone."""

    search: Search

    def end(self, run: EMRun, start: np.ndarray, *, standard_errors: bool) -> Ended:
        """Return the run, and the precision that it implies."""
        info = information(run.estep, run.population, run.laplace) if standard_errors else None
        run = dataclasses.replace(run, trace={**run.trace, "other_mode": self.search.other_mode(run)})
        run = dataclasses.replace(run, population=with_scatter(run.population, lambda: run.laplace))
        # In the units of the search: those of the model may leave less of a narrow group after rounding.
        log_prior = run.population.log_prior(run.laplace.mode)
        if run.population.group.family != "gaussian":
            return Ended(run, run, info, run.laplace.log_evidence(log_prior))
        return Ended(run, run, info, log_evidence_of(run.laplace, log_prior, run.population.chol))
