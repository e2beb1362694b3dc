"""How `fit_em` goes about a group: by Laplace approximation, exactly, or with parameters that are common to all."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik
from pyem.engine.opaque import require_traceable
from pyem.infer.cluster import Cluster, run_em_on
from pyem.infer.collapsed import TEXT, common_or_laplace, or_laplace
from pyem.infer.common import Evidence, begin, polished, without_common
from pyem.infer.common_exact import exact_common, require_few
from pyem.infer.common_exact import information_and_spread as common_errors
from pyem.infer.em_loop import EMRun, Keeper, Report
from pyem.infer.esteps import at_once, estep_maker, glance_of
from pyem.infer.exact import Exact
from pyem.infer.exact_em import estimates, exact_em, information_and_spread
from pyem.infer.glances import Glance, Looking
from pyem.infer.group_prior import group_prior
from pyem.infer.multimodal import is_near, is_ridge, run_em_global
from pyem.infer.natural_prior import PersonPrior
from pyem.infer.other_modes import Surroundings, other_modes
from pyem.infer.placing import Places, places
from pyem.infer.progress import progress_line
from pyem.infer.standard_errors import information, with_scatter
from pyem.infer.units import standardised, with_given_sd, with_units
from pyem.model.model import Model
from pyem.numerics.rng import generator
from pyem.population.edges import log_evidence_of
from pyem.population.group import Group
from pyem.population.population import Population, populate
from pyem.population.posterior import Laplace

Integrate = Literal["laplace", "exact"]
"""How people are integrated out."""


@dataclasses.dataclass(frozen=True)
class Search:
    """The iteration of `fit_em`, from anywhere."""

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

    def exactly(self, run: EMRun, made: Places, accuracy: float | None) -> Exact:
        """The same with people integrated out over points, from where a run by Laplace approximation ended."""
        make = estep_maker(self.model, self.data, seed=self.seed, warm=True)
        options = {"max_iter": self.max_iter, "tol": self.tol, "accelerate": self.accelerate}
        return or_laplace(exact_em(made, run, make, seed=self.seed, accuracy=accuracy, **options), made, run)

    def __call__(self, start: np.ndarray, moved: bool, progress: bool | None, keeper: Keeper | None = None) -> EMRun:
        """From `start` (S, P); the group starts at the typical population unless that was `moved`."""
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
                return run_em_on(self.cluster, start, population, **options)
            make = estep_maker(self.model, self.data, seed=self.seed, warm=True)
            glance = glance_of(self.model, self.data)
            # Of data in partitions, what is remembered of everybody would take more memory than they do.
            options["remember"] = isinstance(self.data, Dataset)
            return run_em_global(make, start, population, glance=glance, at_once=at_once(self.model), **options)

    def other_mode(self, run: EMRun) -> np.ndarray:
        """Share (S,) of the evidence of another mode of each person; 0 where there is none, or none is looked for."""
        looked = self.cluster is None and isinstance(self.data, Dataset)
        glance = glance_of(self.model, self.data) if looked else None
        return other_modes(self.model, self.data, self._surroundings(run, glance), run.laplace, 100, self.seed)[1]

    def _surroundings(self, run: EMRun, glance: Glance | None) -> Surroundings | None:
        """What is known of everybody's likelihood around the group: what the last look saw, if that was near enough."""
        if glance is None:
            return None
        prior = PersonPrior(run.population, None)
        if run.seen is None or not is_near(run.seen, run.population):
            return Surroundings.seen(self.model, self.data, glance, prior)
        # A way to where a mode was before does not lead along a ridge that has moved since.
        seen = run.seen._replace(way=None) if is_ridge(run.population) else run.seen
        return Surroundings.known(Looking(glance, seen), prior, run.population.mean)

    def population(self, start: np.ndarray, moved: bool) -> Population:
        """Where the group starts."""
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
        return dataclasses.replace(made, hyper=group_prior(self.model, made, dict(self.data.covariates), self.priors))


def _report(say: Callable[[int, str], None]) -> Report:
    return lambda n, value, change: say(n, f"iteration {n}, log evidence {value:.3f}, change {change:.1e}")


# -- ways ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Ended:
    """Where a way ended."""

    run: EMRun
    """The group, and what is reported of people."""
    before: EMRun
    """The same with what the last M-step was made of, which tells how it went."""
    information: np.ndarray | None
    """On the group's `vector`; None if it was not asked for."""
    log_evidence: np.ndarray | None = None
    """Of each person, (S,), where it is not that of the Laplace approximation."""


class Way(Protocol):
    """One way to fit a group."""

    @property
    def search(self) -> Search:
        """The iteration that comes first, from each start."""
        ...

    def end(self, run: EMRun, start: np.ndarray, *, standard_errors: bool) -> Ended:
        """What follows the best `run`; `start` (S, P) is the first of the starts."""
        ...


@dataclasses.dataclass(frozen=True)
class ByLaplace:
    """The iteration itself is all there is."""

    search: Search

    def end(self, run: EMRun, start: np.ndarray, *, standard_errors: bool) -> Ended:
        """The run, and what it says of its precision."""
        info = information(run.estep, run.population, run.laplace) if standard_errors else None
        run = dataclasses.replace(run, trace={**run.trace, "other_mode": self.search.other_mode(run)})
        run = dataclasses.replace(run, population=with_scatter(run.population, lambda: run.laplace))
        # In the units of the search: those of the model may leave less of a narrow group after rounding.
        log_prior = run.population.log_prior(run.laplace.mode)
        if run.population.group.family != "gaussian":
            return Ended(run, run, info, run.laplace.log_evidence(log_prior))
        return Ended(run, run, info, log_evidence_of(run.laplace, log_prior, run.population.chol))


@dataclasses.dataclass(frozen=True)
class OverPoints:
    """People are integrated out over points, from where the iteration by Laplace approximation ended."""

    search: Search
    nodes: int | None
    accuracy: float | None

    def end(self, run: EMRun, start: np.ndarray, *, standard_errors: bool) -> Ended:
        """The exact fixed point, with means and spreads of people's posteriors."""
        search = self.search
        made = places(search.model, search.data, nodes=self.nodes, rng=generator(search.seed))
        exact = search.exactly(run, made, self.accuracy)
        exact = dataclasses.replace(exact, population=_scattered(exact.population, run))
        before = dataclasses.replace(exact.run, population=exact.population, laplace=exact.moments)
        info, spread = None, None
        if standard_errors:
            info, spread = _errors(exact, made, run)
        found = estimates(exact, spread, functools.partial(log_lik, search.model, search.data))
        told = {"converged": exact.converged, "message": exact.message, "trace": exact.trace()}
        return Ended(dataclasses.replace(before, laplace=found, **told), before, info, exact.moments.log_lik)


def _errors(exact: Exact, made: Places, run: EMRun) -> tuple[np.ndarray, np.ndarray | None]:
    """The observed information, and what the group's error adds to the covariances of people."""
    if exact.approximated:
        return information(run.estep, run.population, run.laplace), None
    return information_and_spread(exact, made, run)


@dataclasses.dataclass(frozen=True)
class WithCommon:
    """Parameters with one value for everybody: the iteration without them only says where to begin."""

    whole: Search

    @property
    def search(self) -> Search:
        """The iteration as if nothing were common, which need not be exact."""
        whole = self.whole
        return dataclasses.replace(whole, group=without_common(whole.group), tol=max(whole.tol, 1e-3))

    def end(self, run: EMRun, start: np.ndarray, *, standard_errors: bool) -> Ended:
        """The largest evidence by all parameters together."""
        run, info = self.joined(run, start)
        return self.ended(run, info if standard_errors else None)

    def ended(self, run: EMRun, info: np.ndarray | None) -> Ended:
        """What is told of the maximum of the Laplace approximation."""
        run = dataclasses.replace(run, population=_scattered(run.population, run))
        # Of the units of common parameters, which are part of no integral, the evidence knows nothing.
        log_evidence = run.laplace.log_evidence(run.population.log_prior(run.laplace.mode))
        return Ended(run, run, info, log_evidence)

    def joined(self, run: EMRun, start: np.ndarray) -> tuple[EMRun, np.ndarray]:
        """The maximum of the Laplace approximation of the evidence, and the information there."""
        whole = self.whole
        first = begin(whole.model, whole.data, whole.population(start, False), run)
        evidence = Evidence(whole.model, whole.data, run.estep)
        return polished(evidence, first, max_iter=whole.max_iter, tol=whole.tol)


@dataclasses.dataclass(frozen=True)
class WithCommonOverPoints:
    """The same with people integrated out over points: adaptive quadrature."""

    joint: WithCommon
    nodes: int | None

    @property
    def search(self) -> Search:
        """As without points."""
        return self.joint.search

    def end(self, run: EMRun, start: np.ndarray, *, standard_errors: bool) -> Ended:
        """The largest marginal likelihood by all parameters together, with means and spreads of people's posteriors."""
        whole = self.joint.whole
        require_few(whole.population(start, False).random)
        run, known = self.joint.joined(run, start)
        options = {"nodes": self.nodes, "seed": whole.seed, "max_iter": whole.max_iter, "tol": whole.tol}
        on_points = exact_common(whole.model, whole.data, run, **options)
        found = common_or_laplace(on_points, run, whole.model, whole.data, seed=whole.seed)
        if found is None:
            run = dataclasses.replace(run, message=run.message + TEXT)
            return self.joint.ended(run, known if standard_errors else None)
        found = found._replace(run=dataclasses.replace(found.run, population=_scattered(found.run.population, run)))
        info, spread = common_errors(found) if standard_errors else (None, None)
        moments = found.moments if spread is None else found.moments._replace(cov=found.moments.cov + spread)
        values = Laplace(*moments)._replace(log_lik=log_lik(whole.model, whole.data, moments.mode))
        return Ended(dataclasses.replace(found.run, laplace=values), found.run, info, found.moments.log_lik)


def _scattered(population: Population, run: EMRun) -> Population:
    """The group with its `scatter`, which points do not tell where an sd is 0: people are where a run's E-step finds them."""
    return with_scatter(population, lambda: run.estep(population.prior, 1e-16))


def way_of(search: Search, integrate: Integrate, nodes: int | None, accuracy: float | None) -> Way:
    """The way that a group and `integrate` ask for.

    Raises
    ------
    ValueError
        If they do not go together.
    """
    if not search.group.common:
        return OverPoints(search, nodes, accuracy) if integrate == "exact" else ByLaplace(search)
    require_traceable(search.model, "fit_em with common parameters")
    if search.boundary_avoiding:
        raise ValueError("boundary_avoiding is not for groups with common parameters; leave it out")
    if accuracy is not None:
        raise ValueError("accuracy is not for groups with common parameters; raise nodes instead")
    joint = WithCommon(search)
    return WithCommonOverPoints(joint, nodes) if integrate == "exact" else joint
