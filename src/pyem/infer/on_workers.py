"""State that the workers of a cluster keep for each partition, and their answers to queries; see `pyem.infer.cluster`.

A search is what its moves have made of it, one after the other, from where it began. A worker that does not know how far it
is says so, and is told where it began and all moves since then.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.partitioned import PartitionedDataset
from pyem.engine.evaluate import log_lik_draws
from pyem.infer.glances import Looking
from pyem.infer.laplace import JaxEStep
from pyem.infer.multimodal import JaxESteps, better_modes
from pyem.model.model import Model
from pyem.numerics.pickles import unpickled
from pyem.numerics.threads import limit_cores, n_cores
from pyem.population.population import Population
from pyem.population.posterior import GaussianPrior, Laplace

# -- what goes out ---------------------------------------------------------------------------------------------------------


class At(NamedTuple):
    """The group's parameters, for the people of one partition."""

    coef: np.ndarray
    cov: np.ndarray
    weight: np.ndarray | None
    """Precision weights of the people; None where all are 1."""

    @classmethod
    def of(cls, population: Population, place: slice) -> At:
        """Take the parameters of a population, for the people at `place`."""
        weight = None if population.group.family == "gaussian" else population.weight[place]
        return cls(population.coef, population.cov, weight)


@dataclasses.dataclass(frozen=True)
class Begin:
    """Start of a partition's search, with all that a worker needs for it."""

    states: Any
    """Everybody's parameters, (S, P) or one row if all are the same; or the state of an earlier search."""
    group: Population | None
    """The group, with one row for people whose rows are the same; None if priors are given."""
    model: bytes
    digest: str
    """Digest of the model, which a worker unpickles only once."""
    max_steps: int


class Ask(NamedTuple):
    """A query to a worker about one partition."""

    part: int
    had: int
    """Number of moves that the worker should have made before."""
    moves: tuple[Any, ...]
    """The moves to make next, before the query is answered."""
    query: Callable[[Standing], Any]
    begin: Begin | None = None
    """Start for a worker that has to begin anew, after which it has made `had` moves; None if it must not."""


# -- what a worker keeps ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Standing:
    """State of the search of a partition."""

    search: str
    made: int
    """Number of moves made."""
    model: Model
    data: Dataset
    estep: JaxEStep
    group: Population | None
    laplace: Laplace | None = None
    looked: tuple[np.ndarray | None] | None = None
    """The better modes that a look has found since the last move, if there was one."""

    def population(self, at: At) -> Population:
        """Return the group of these people at given parameters."""
        assert self.group is not None
        weight = {} if at.weight is None else {"weight": at.weight}
        return dataclasses.replace(self.group, coef=at.coef, cov=at.cov, **weight)

    def look(self, at: At, first: bool) -> np.ndarray | None:
        """Everybody's modes, better ones where a look has found some; None if it has found none."""
        if self.looked is None:
            self.looked = (self._look(at, first),)
        return self.looked[0]

    def _look(self, at: At, first: bool) -> np.ndarray | None:
        make = JaxESteps(self.model, self.data, self.estep.max_steps)
        glance = functools.partial(log_lik_draws, self.model, self.data)
        return better_modes(make, Looking(glance), self.population(at), self.found, n_cores(), first)

    @property
    def found(self) -> Laplace:
        """The result of the last move."""
        assert self.laplace is not None
        return self.laplace


_data: dict[str, PartitionedDataset] = {}
_models: dict[str, Model] = {}
_standing: dict[tuple[str, int], Standing] = {}
"""State of each search, by folder and partition."""


def answers(folder: str, search: str, asks: Sequence[Ask]) -> list[tuple[bool, Any]]:
    """Answer the queries about partitions: for each whether the state of its search was known, and the answer."""
    return [_answer(folder, search, ask) for ask in asks]


def answers_on_dask(folder: str, search: str, asks: Sequence[Ask]) -> tuple[str, list[tuple[bool, Any]]]:
    """Name of this worker of a Dask cluster, and its answers."""
    from distributed import get_worker  # pyright: ignore[reportMissingImports]

    worker = get_worker()
    # The worker's threads are all meant for this computation.
    limit_cores(worker.state.nthreads)
    return str(worker.address), answers(folder, search, asks)


def _answer(folder: str, search: str, ask: Ask) -> tuple[bool, Any]:
    key = (folder, ask.part)
    if ask.begin is not None:
        _standing[key] = _begun(folder, search, ask)
    known = _standing.get(key)
    # If a worker is asked again because its first answer was lost, it has made some or all of the moves already.
    if known is None or known.search != search or not 0 <= known.made - ask.had <= len(ask.moves):
        return False, None
    for move in ask.moves[known.made - ask.had :]:
        move(known)
        known.made += 1
        known.looked = None
    return True, ask.query(known)


def _begun(folder: str, search: str, ask: Ask) -> Standing:
    begin = ask.begin
    assert begin is not None
    if begin.digest not in _models:
        _models[begin.digest] = unpickled(begin.model)
    if folder not in _data:
        # All partitions of a worker stay in its memory.
        _data[folder] = PartitionedDataset.of(Path(folder), Dataset, memory=np.inf)
    model, data = _models[begin.digest], _data[folder].partition(ask.part)
    known = isinstance(begin.states, np.ndarray)
    start = _everybody(begin.states if known else np.zeros((1, model.n_params)), data)
    estep = JaxEStep(model, data, start, max_steps=begin.max_steps)
    estep.states = estep.states if known else begin.states
    group = begin.group
    if group is not None:
        design, weight = _everybody(group.design, data), _everybody(group.weight, data)
        group = dataclasses.replace(group, design=design, weight=weight)
    return Standing(search, ask.had, model, data, estep, group)


def _everybody(rows: np.ndarray, data: Dataset) -> np.ndarray:
    return np.broadcast_to(rows, (data.n_subjects, rows.shape[1]))


# -- moves: what changes where a search stands -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class UnderGroup:
    """A move: search for everybody's mode under a group."""

    at: At
    tol: float

    def __call__(self, standing: Standing) -> None:
        """Search from the present state."""
        standing.laplace = standing.estep(standing.population(self.at).prior, self.tol)


@dataclasses.dataclass(frozen=True)
class UnderPrior:
    """A move: search for everybody's mode under priors; a prior that is the same for everybody has one row."""

    prior: GaussianPrior
    tol: float

    def __call__(self, standing: Standing) -> None:
        """Search from the present state."""
        mean, weight = (_everybody(rows, standing.data) for rows in (self.prior.mean, self.prior.weight))
        standing.laplace = standing.estep(GaussianPrior(mean, self.prior.precision, weight), self.tol)


@dataclasses.dataclass(frozen=True)
class FromBetter:
    """A move: begin again from better modes, for those who have some."""

    at: At
    first: bool

    def __call__(self, standing: Standing) -> None:
        """Begin again from the better modes."""
        better = standing.look(self.at, self.first)
        standing.estep.restart(standing.found.mode if better is None else better)


# -- queries: what is told of it -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Of:
    """A query: functions of a population and of its people, with the parameters in a given order."""

    functions: tuple[Callable[[Population, Laplace], Any], ...]
    at: At
    order: np.ndarray

    def __call__(self, standing: Standing) -> list[Any]:
        """Values of the functions for the people of the partition."""
        population, found = standing.population(self.at).reordered(self.order), standing.found.reordered(self.order)
        return [function(population, found) for function in self.functions]


@dataclasses.dataclass(frozen=True)
class Better:
    """A query: whether anybody has a better mode."""

    at: At
    first: bool

    def __call__(self, standing: Standing) -> bool:
        """Look for better modes."""
        return standing.look(self.at, self.first) is not None


def whole(standing: Standing) -> Laplace:
    """A query: the Laplace approximation of everybody."""
    return standing.found


def states(standing: Standing) -> Any:
    """A query: the state of the search."""
    return jax.tree.map(np.asarray, standing.estep.states)


def whole_and_states(standing: Standing) -> tuple[Laplace, Any]:
    """A query: the Laplace approximation of everybody, and the state of the search."""
    return whole(standing), states(standing)
