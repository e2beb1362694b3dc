"""Ways of `fit_em` to fit groups whose people are integrated out exactly, or whose parameters are common to all."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from pyem.engine.evaluate import log_lik
from pyem.engine.opaque import require_traceable
from pyem.infer.collapsed import TEXT, common_or_laplace, or_laplace
from pyem.infer.common import begin, polished, without_common
from pyem.infer.common_evidence import Evidence
from pyem.infer.common_exact import exact_common, require_few
from pyem.infer.common_exact import information_and_spread as common_errors
from pyem.infer.em_loop import EMRun
from pyem.infer.em_ways import Ended, Integrate, Search, Way
from pyem.infer.esteps import estep_maker
from pyem.infer.exact import Exact
from pyem.infer.exact_em import estimates, exact_em, information_and_spread
from pyem.infer.placing import Places, places
from pyem.infer.standard_errors import information, with_scatter
from pyem.numerics.rng import generator
from pyem.population.population import Population
from pyem.population.posterior import Laplace


@dataclasses.dataclass(frozen=True)
class OverPoints:
    """People are integrated out over points, from where the iteration by Laplace approximation ended."""

    search: Search
    nodes: int | None
    accuracy: float | None

    def end(self, run: EMRun, start: np.ndarray, *, standard_errors: bool) -> Ended:
        """Find the exact fixed point, with means and spreads of people's posteriors."""
        search = self.search
        made = places(search.model, search.data, nodes=self.nodes, rng=generator(search.seed))
        exact = _exactly(search, run, made, self.accuracy)
        exact = dataclasses.replace(exact, population=_scattered(exact.population, run))
        before = dataclasses.replace(exact.run, population=exact.population, laplace=exact.moments)
        info, spread = None, None
        if standard_errors:
            info, spread = _errors(exact, made, run)
        found = estimates(exact, spread, functools.partial(log_lik, search.model, search.data))
        told = {"converged": exact.converged, "message": exact.message, "trace": exact.trace()}
        return Ended(dataclasses.replace(before, laplace=found, **told), before, info, exact.moments.log_lik)


def _exactly(search: Search, run: EMRun, made: Places, accuracy: float | None) -> Exact:
    """Iterate with people integrated out over points, from the end of a run by Laplace approximation."""
    make = estep_maker(search.model, search.data, seed=search.seed, warm=True)
    options = {"max_iter": search.max_iter, "tol": search.tol, "accelerate": search.accelerate}
    return or_laplace(exact_em(made, run, make, seed=search.seed, accuracy=accuracy, **options), made, run)


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
        """The first iteration, as if no parameter were common; it need not be exact."""
        whole = self.whole
        return dataclasses.replace(whole, group=without_common(whole.group), tol=max(whole.tol, 1e-3))

    def end(self, run: EMRun, start: np.ndarray, *, standard_errors: bool) -> Ended:
        """Maximise the evidence by all parameters together."""
        run, info = self.joined(run, self.begun(run, start))
        return self.ended(run, info if standard_errors else None)

    def ended(self, run: EMRun, info: np.ndarray | None) -> Ended:
        """Complete the run at the maximum of the Laplace approximation with the group's scatter and the log evidence."""
        run = dataclasses.replace(run, population=_scattered(run.population, run))
        # The evidence does not depend on the units of common parameters, which are part of no integral.
        log_evidence = run.laplace.log_evidence(run.population.log_prior(run.laplace.mode))
        return Ended(run, run, info, log_evidence)

    def begun(self, run: EMRun, start: np.ndarray) -> Population:
        """Return the group that the search for the maximum starts from."""
        whole = self.whole
        return begin(whole.model, whole.data, whole.population(start, False), run)

    def joined(self, run: EMRun, first: Population) -> tuple[EMRun, np.ndarray]:
        """Find the maximum of the Laplace approximation of the evidence, and the information there."""
        whole = self.whole
        evidence = Evidence(whole.model, whole.data, run.estep)
        return polished(evidence, first, max_iter=whole.max_iter, tol=whole.tol)


@dataclasses.dataclass(frozen=True)
class WithCommonOverPoints:
    """Parameters with one value for everybody, with people integrated out over points by adaptive quadrature."""

    joint: WithCommon
    nodes: int | None

    @property
    def search(self) -> Search:
        """The first iteration, which is that of the way by Laplace approximation."""
        return self.joint.search

    def end(self, run: EMRun, start: np.ndarray, *, standard_errors: bool) -> Ended:
        """Maximise the marginal likelihood by all parameters together, and return means and spreads of people's posteriors."""
        whole = self.joint.whole
        require_few(whole.population(start, False).random)
        first = self.joint.begun(run, start)
        run, known = self.joint.joined(run, first)
        options = {"nodes": self.nodes, "seed": whole.seed, "max_iter": whole.max_iter, "tol": whole.tol}
        # Where the approximation has no maximum, the search for one has gone where it is wrong.
        near = run if run.converged else dataclasses.replace(run, population=first)
        on_points = exact_common(whole.model, whole.data, near, **options)
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
        return OverPoints(search, nodes, accuracy)
    require_traceable(search.model, "fit_em with common parameters")
    if search.boundary_avoiding:
        raise ValueError("boundary_avoiding is not for groups with common parameters; leave it out")
    if accuracy is not None:
        raise ValueError("accuracy is not for groups with common parameters; raise nodes instead")
    joint = WithCommon(search)
    return WithCommonOverPoints(joint, nodes) if integrate == "exact" else joint
