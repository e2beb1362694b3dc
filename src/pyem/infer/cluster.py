"""E-steps of data in partitions on the workers of a Dask cluster.

Each partition has a worker, which keeps its data, what is laid out and compiled of them, and where everybody's search stands.
What goes out at each iteration is the group; what comes back are sums over people. Where a worker is lost, another one makes
all moves of the search again for its partitions, and so comes to the same place.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import cloudpickle
import jax
import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.partitioned import PartitionedDataset
from pyem.engine.opaque import is_opaque
from pyem.errors import DataError, ModelError, counted, warn
from pyem.infer import on_workers
from pyem.infer.dask_workers import DaskWorkers, Workers
from pyem.infer.em_loop import EMRun, run_em
from pyem.infer.laplace import TOL
from pyem.infer.multimodal import Looks
from pyem.infer.on_workers import Ask, At, Begin
from pyem.model.model import Model
from pyem.population import mstep
from pyem.population.population import Population
from pyem.population.posterior import EStep, GaussianPrior, Laplace, joined

T = TypeVar("T")
_numbers = itertools.count()
ALWAYS = (mstep.evidence, mstep.sums)
"""Sums over people that every iteration needs."""


class Cluster:
    """Workers that share the partitions of a data set.

    Parameters
    ----------
    workers
        The workers that compute.
    model, data
        The model, and its data in partitions.

    Warns
    -----
    FitWarning
        If there are more workers than partitions.
    """

    def __init__(self, workers: Workers, model: Model, data: PartitionedDataset) -> None:
        self.data, self._workers = data, workers
        self.model = cloudpickle.dumps(model)
        self.digest = hashlib.sha256(self.model).hexdigest()
        self._folder = str(data.folder.resolve())
        self._worker = [""] * data.n_partitions
        self._share(range(data.n_partitions))
        idle = len(workers.names()) - data.n_partitions
        if idle > 0:
            warn(
                f"the data are in {counted(data.n_partitions, 'partition')}, so that {counted(idle, 'worker')} of the cluster "
                "will have nothing to do; open the data with a smaller trials_at_once="
            )

    @classmethod
    def of(cls, client: Any, model: Model, data: PartitionedDataset | Dataset) -> Cluster:
        """The workers of a `distributed.Client`.

        Raises
        ------
        DataError, ModelError, ModuleNotFoundError, TypeError
            If the data are not in partitions, the model is a plain Python function, or there is no client or worker.
        """
        if not isinstance(data, PartitionedDataset):
            raise DataError("cluster= is for data in partitions; open the files with pyem.Dataset.open")
        if is_opaque(model):
            raise ModelError(f"model {model.name!r} is a plain Python function; cluster= is for models in jax.numpy")
        return cls(DaskWorkers.of(client), model, data)

    def _share(self, parts: Sequence[int]) -> None:
        """Give partitions to the workers that there are, those with the fewest first."""
        others = [worker for k, worker in enumerate(self._worker) if k not in parts]
        has = {worker: others.count(worker) for worker in self._workers.names()}
        if not has:
            raise DataError("the cluster has no worker; start one (client.cluster.scale, dask worker ADDRESS)")
        for k in parts:
            self._worker[k] = min(has, key=has.__getitem__)
            has[self._worker[k]] += 1

    def ask(self, search: str, asks: Sequence[Ask]) -> dict[int, tuple[bool, Any]]:
        """Send each worker what is asked about its partitions, and return the answers by partition."""
        by_worker: dict[str, list[Ask]] = {}
        for ask in asks:
            by_worker.setdefault(self._worker[ask.part], []).append(ask)
        answered = self._workers.answers({name: (self._folder, search, mine) for name, mine in by_worker.items()})
        out = {}
        for mine, (worker, answers) in zip(by_worker.values(), answered, strict=True):
            for ask, answer in zip(mine, answers, strict=True):
                out[ask.part] = answer
                self._worker[ask.part] = worker
        return out

    def again(self, search: str, asks: Sequence[Ask]) -> dict[int, tuple[bool, Any]]:
        """Ask again about partitions whose worker is lost, and share them among the workers that are left."""
        self._share([ask.part for ask in asks])
        return self.ask(search, asks)


def run_em_on(cluster: Cluster, start: np.ndarray, population: Population, **options: Any) -> EMRun:
    """A run of EM on a cluster, which looks for better modes as `pyem.infer.multimodal.run_em_global` does.

    Parameters
    ----------
    cluster
        The cluster that computes.
    start
        Starting point of the first E-step, (S, P).
    population
        Population to start from.
    **options
        Options of `pyem.infer.em_loop.run_em`.
    """
    estep = ClusterEStep(cluster, start)
    return run_em(estep, population, elsewhere=Looks(estep.look), under=ClusterEStep.under, **options)


class ClusterEStep:
    """The E-step of a `Model` and data in partitions on a cluster, warm-started from the last call.

    Parameters
    ----------
    cluster
        The cluster that computes.
    start
        First guess, (S, P), unconstrained.
    max_steps
        Evaluations of one subject in one call, at most.
    """

    def __init__(self, cluster: Cluster, start: np.ndarray, *, max_steps: int = 100) -> None:
        self._cluster, self._max_steps = cluster, max_steps
        self._population: Population | None = None
        start = np.asarray(start, float)
        self._begin_at([alike(start[place]) for place in self._places])

    @property
    def _places(self) -> list[slice]:
        return self._cluster.data.places

    def _begin_at(self, states: list[Any]) -> None:
        """Begin a new search."""
        self._search = f"search {next(_numbers)} of {id(self)}"
        self._stand_at(states, 0)

    def _stand_at(self, states: list[Any], made: int) -> None:
        """Set the state from which partitions are searched again if a worker is lost; `made` moves led to it."""
        self._begin, self._made = states, made
        self._moves: list[tuple[Any, ...]] = [() for _ in self._places]

    @property
    def made(self) -> int:
        """Number of moves that the search has made."""
        return self._made + len(self._moves[0])

    # -- as an E-step -------------------------------------------------------------------------------------------------------

    @property
    def states(self) -> list[Any]:
        """State of the search of each partition."""
        self._stand_at(self._answers(on_workers.states), self.made)
        return self._begin

    @states.setter
    def states(self, states: list[Any]) -> None:
        self._begin_at(list(states))

    def under(self, population: Population, tol: float) -> Spread:
        """Find everybody's mode under a population; the modes stay with the workers."""
        ats = self._ats(population)
        if self.made and ats[0].weight is not None:
            # Storing everybody's weights at each iteration would take more room than the state of the searches.
            self._stand_at(self._answers(on_workers.states), self.made)
        self._population = population
        order = np.arange(len(population.cov))
        moves = [on_workers.UnderGroup(at, tol) for at in ats]
        parts = self._answers([on_workers.Of(ALWAYS, at, order) for at in ats], moves)
        known = dict(zip(ALWAYS, map(added, zip(*parts, strict=True)), strict=True))
        return Spread(self, self.made, population, known, order)

    def __call__(self, prior: GaussianPrior, tol: float = TOL) -> Laplace:
        """Every subject's mode and curvature under `prior`."""
        rows = [(alike(prior.mean[place]), prior.precision, alike(prior.weight[place])) for place in self._places]
        moves = [on_workers.UnderPrior(GaussianPrior(*mine), tol) for mine in rows]
        found, states = zip(*self._answers(on_workers.whole_and_states, moves), strict=True)
        self._stand_at(list(states), self.made)
        return joined(found)

    def look(self, population: Population, found: Spread, first: bool) -> EStep | None:
        """Look for better modes; return the E-step itself, which begins from them, or None if there are none. See `Looks`."""
        del found
        ats = self._ats(population)
        if not any(self._answers([on_workers.Better(at, first) for at in ats])):
            return None
        self._answers(_nothing, [on_workers.FromBetter(at, first) for at in ats])
        return self

    def _ats(self, population: Population) -> list[At]:
        """Return the group's parameters for the people of each partition."""
        ats = [At.of(population, place) for place in self._places]
        return [ats[0]] * len(ats) if ats[0].weight is None else ats

    # -- asking -------------------------------------------------------------------------------------------------------------

    def _answers(self, query: Any, moves: Sequence[Any] | None = None) -> list[Any]:
        """Send one query to all partitions, or each its own query, after another move, and return the answers."""
        n = len(self._places)
        queries = query if isinstance(query, list) else [query] * n
        new = [()] * n if moves is None else [(move,) for move in moves]
        asks = [Ask(k, self.made, new[k], queries[k]) for k in range(n)]
        # At first no worker knows of the search.
        found = self._cluster.ask(self._search, asks) if self.made else {ask.part: (False, None) for ask in asks}
        lost = [k for k in range(n) if not found[k][0]]
        if lost:
            whole = [Ask(k, self._made, (*self._moves[k], *new[k]), queries[k], self._begun(k)) for k in lost]
            found |= (self._cluster.again if self.made else self._cluster.ask)(self._search, whole)
        self._moves = [(*moves, *more) for moves, more in zip(self._moves, new, strict=True)]
        return [found[k][1] for k in range(n)]

    def _begun(self, part: int) -> Begin:
        group, place = self._population, self._places[part]
        if group is not None:
            # The prior of the group does not concern the workers, who compute people.
            rows = {"design": alike(group.design[place]), "weight": alike(group.weight[place])}
            group = dataclasses.replace(group, **rows, hyper=None)
        return Begin(self._begin[part], group, self._cluster.model, self._cluster.digest, self._max_steps)

    def total(self, functions: tuple[Callable[..., Any], ...], population: Population, order: np.ndarray) -> list[Any]:
        """Sum each of `functions` over people; `order` is the order of the population's parameters."""
        natural = population.reordered(np.argsort(order))
        parts = self._answers([on_workers.Of(functions, at, order) for at in self._ats(natural)])
        return [added(each) for each in zip(*parts, strict=True)]

    def rows(self, function: Callable[..., np.ndarray], population: Population, order: np.ndarray) -> np.ndarray:
        """Return all rows of a function that has one row for each person; `order` is that of the population's parameters."""
        natural = population.reordered(np.argsort(order))
        parts = self._answers([on_workers.Of((function,), at, order) for at in self._ats(natural)])
        return np.concatenate([part for (part,) in parts])

    def whole(self) -> Laplace:
        """Return everybody's Laplace approximation as of the last move."""
        return joined(self._answers(on_workers.whole))


def _nothing(standing: Any) -> None:
    """Return None: a query that asks nothing."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """Result of an E-step on a cluster; people's modes stay with the workers. See `pyem.population.posterior.Found`."""

    estep: ClusterEStep
    made: int
    """Number of moves of the search when this was found; it is no longer available after further moves."""
    population: Population
    """The population under which people's modes were found."""
    known: dict[Any, Any]
    """Sums over people that were computed along with the modes, by function."""
    order: np.ndarray
    """Order of the parameters."""

    @property
    def n_usable(self) -> int:
        """Number of subjects that inform the group."""
        return int(self.known[mstep.sums].n)

    def total(self, function: Callable[[Any, Laplace], T], population: Any) -> T:
        """Sum a function of a population and of its people over the people."""
        if population is self.population and function in self.known:
            return self.known[function]
        return self._there().total((function,), population, self.order)[0]

    def rows(self, function: Callable[[Any, Laplace], np.ndarray], population: Any) -> np.ndarray:
        """Return all rows of a function of a population and of its people that has one row for each person."""
        return self._there().rows(function, population, self.order)

    def whole(self) -> Laplace:
        """Return everybody's Laplace approximation."""
        return self._there().whole().reordered(self.order)

    def reordered(self, order: np.ndarray) -> Spread:
        """Return this result with the parameters in another order."""
        return dataclasses.replace(self, order=self.order[order], population=self.population.reordered(order))

    def _there(self) -> ClusterEStep:
        if self.estep.made != self.made:
            raise RuntimeError("what an E-step found on a cluster is gone after the next one")
        return self.estep


def added(parts: Sequence[T]) -> T:
    """Sum trees of arrays entry by entry.

    Examples
    --------
    >>> added([np.ones(2), np.ones(2)])
    array([2., 2.])
    """
    return functools.reduce(lambda one, other: jax.tree.map(np.add, one, other), parts)


def alike(rows: np.ndarray) -> np.ndarray:
    """Return a single row if all rows are equal, and else all rows.

    Examples
    --------
    >>> alike(np.ones((4, 2))).shape, alike(np.eye(2)).shape
    ((1, 2), (2, 2))
    """
    return rows[:1] if (rows == rows[:1]).all() else rows
