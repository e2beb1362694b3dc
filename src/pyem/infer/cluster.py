"""E-steps of data in partitions on the workers of a Dask cluster.

Each partition has a worker, which keeps its data, what is laid out and compiled of them, and where everybody's search stands.
What goes out at each iteration is the group; what comes back are people's modes and covariances, and where their search stands:
where a worker is lost, others go on with its partitions from there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import cloudpickle
import jax
import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.partitioned import PartitionedDataset
from pyem.engine.evaluate import log_lik_draws
from pyem.engine.layout import limit_cores
from pyem.engine.opaque import is_opaque
from pyem.errors import DataError, ModelError
from pyem.infer.laplace import TOL, JaxEStep
from pyem.infer.multimodal import SHORT
from pyem.model.model import Model
from pyem.population.posterior import GaussianPrior, Laplace, joined

_numbers = itertools.count()


class Task(NamedTuple):
    """What a worker is asked to do with a partition."""

    folder: str
    """Where the partitions are, for all workers."""
    part: int
    model: bytes
    digest: str
    """Of the model, which a worker makes of its bytes once."""


class Found(NamedTuple):
    """What a worker found, and where."""

    laplace: Laplace | None
    """None if the worker does not know where the search stands."""
    states: Any
    """Where it stands now."""
    worker: str


# -- on the workers -----------------------------------------------------------------------------------------------------------

_data: dict[str, PartitionedDataset] = {}
_models: dict[str, Model] = {}
_standing: dict[tuple[str, int], tuple[str, int, JaxEStep]] = {}
"""By folder and partition: whose search it is, how many calls it has had, and the E-step."""


def _opened(task: Task) -> tuple[Model, Dataset]:
    """The model and the data of a partition, made once on each worker."""
    if task.digest not in _models:
        _models[task.digest] = cloudpickle.loads(task.model)
    if task.folder not in _data:
        # All partitions that a worker has stay in its memory.
        _data[task.folder] = PartitionedDataset.of(Path(task.folder), Dataset, memory=np.inf)
    return _models[task.digest], _data[task.folder].partition(task.part)


def _here() -> str:
    from distributed import get_worker  # pyright: ignore[reportMissingImports]

    worker = get_worker()
    # As many threads as the worker has were meant for it.
    limit_cores(worker.state.nthreads)
    return str(worker.address)


def search_part(
    task: Task, search: str, calls: int, begin: Any, prior: GaussianPrior, tol: float, max_steps: int
) -> Found:
    """Everybody's mode in a partition, on a worker.

    Parameters
    ----------
    task
        Which partition of what.
    search, calls
        Whose search it is, and how many calls it has had.
    begin
        Where to begin, (S, P), or where the search stood; None to go on from where it stands on this worker.
    prior, tol, max_steps
        Those of the E-step; a prior that is the same for everybody has one row.
    """
    worker = _here()
    model, data = _opened(task)
    key = (task.folder, task.part)
    shape = (data.n_subjects, model.n_params)
    if begin is None:
        owner, had, estep = _standing.get(key, ("", 0, None))
        if estep is None or (owner, had) != (search, calls):
            return Found(None, None, worker)
    else:
        start = begin if isinstance(begin, np.ndarray) else np.zeros(1)
        estep = JaxEStep(model, data, np.broadcast_to(start, shape), max_steps=max_steps)
        estep.states = estep.states if isinstance(begin, np.ndarray) else begin
    whole = GaussianPrior(np.broadcast_to(prior.mean, shape), prior.precision, np.broadcast_to(prior.weight, shape))
    found = estep(whole, tol)
    _standing[key] = (search, calls + 1, estep)
    return Found(found, jax.tree.map(np.asarray, estep.states), worker)


def look_at_part(task: Task, x: np.ndarray) -> np.ndarray:
    """Log-likelihood (K, S) of the people of a partition at `x` (K, S, P), on a worker."""
    _here()
    return log_lik_draws(*_opened(task), x)


# -- here ---------------------------------------------------------------------------------------------------------------------


class Cluster:
    """Workers that share the partitions of a data set.

    Parameters
    ----------
    client
        A `distributed.Client`.
    model, data
        What to fit to what.

    Raises
    ------
    DataError, ModelError, TypeError
        If the data are not in partitions, the model is a plain Python function, or there is no client or worker.
    """

    def __init__(self, client: Any, model: Model, data: PartitionedDataset | Dataset) -> None:
        if not isinstance(data, PartitionedDataset):
            raise DataError("cluster= is for data in partitions; open the files with pyem.Dataset.open")
        if is_opaque(model):
            raise ModelError(f"model {model.name!r} is a plain Python function; cluster= is for models in jax.numpy")
        self.client, self.data = _client(client), data
        workers = sorted(self.client.scheduler_info(n_workers=-1)["workers"])
        if not workers:
            raise DataError("the cluster has no worker; start one (client.cluster.scale, dask worker ADDRESS)")
        self._workers = [workers[k % len(workers)] for k in range(data.n_partitions)]
        blob = cloudpickle.dumps(model)
        folder, digest = str(data.folder.resolve()), hashlib.sha256(blob).hexdigest()
        self._tasks = [Task(folder, k, blob, digest) for k in range(data.n_partitions)]

    def each(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], parts: Sequence[int]
    ) -> list[Any]:
        """What a function gives for some partitions, each on its worker if that is there."""
        how: dict[str, Any] = {"allow_other_workers": True, "pure": False, "retries": 3}
        futures = [
            self.client.submit(function, self._tasks[k], *some, workers=[self._workers[k]], **how)
            for k, some in zip(parts, arguments, strict=True)
        ]
        return self.client.gather(futures)

    def moved(self, part: int, worker: str) -> None:
        """A partition has another worker from now on."""
        self._workers[part] = worker


def _client(client: Any) -> Any:
    try:
        from distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ModuleNotFoundError("cluster= needs Dask: pip install 'pyem-behavior[dask]'") from None
    if not isinstance(client, Client):
        raise TypeError(f"cluster={client!r:.60}; expected a distributed.Client, such as Client('ADDRESS')")
    return client


@dataclasses.dataclass(frozen=True)
class ClusterESteps:
    """Makes E-steps on a cluster."""

    cluster: Cluster
    max_steps: int = 100

    def __call__(self, start: np.ndarray, *, short: bool = False) -> ClusterEStep:
        """An E-step that starts from given parameters (S, P)."""
        return ClusterEStep(self.cluster, start, max_steps=min(SHORT, self.max_steps) if short else self.max_steps)


class ClusterEStep:
    """The E-step of a `Model` and data in partitions on a cluster, warm-started from the last call.

    Parameters
    ----------
    cluster
        Who computes.
    start
        First guess, (S, P), unconstrained.
    max_steps
        Evaluations of one subject in one call, at most.
    """

    def __init__(self, cluster: Cluster, start: np.ndarray, *, max_steps: int = 100) -> None:
        self._cluster, self._max_steps = cluster, max_steps
        self.restart(start)

    def restart(self, start: np.ndarray) -> None:
        """Begin the next search at `start` (S, P)."""
        start = np.asarray(start, float)
        self._begin: list[Any] = [alike(start[place]) for place in self._cluster.data.places]
        self._calls, self._name = 0, f"search {next(_numbers)} of {id(self)}"

    @property
    def states(self) -> list[Any]:
        """Where the search of each partition stands."""
        return self._begin

    @states.setter
    def states(self, states: list[Any]) -> None:
        self._begin = list(states)
        # No worker knows of it, and so asks where it stands.
        self._calls = max(self._calls, 1)

    def __call__(self, prior: GaussianPrior, tol: float = TOL) -> Laplace:
        """Every subject's mode and curvature under `prior`."""
        places = self._cluster.data.places
        parts = list(range(len(places)))
        found = self._asked(prior, tol, parts, begin=self._calls == 0)
        lost = [k for k in parts if found[k].laplace is None]
        if lost:
            found |= self._asked(prior, tol, lost, begin=True)
        for k in parts:
            self._cluster.moved(k, found[k].worker)
            self._begin[k] = found[k].states
        self._calls += 1
        # Who was lost has begun anew, and knows where it stands.
        return joined([cast(Laplace, found[k].laplace) for k in parts])

    def _asked(self, prior: GaussianPrior, tol: float, parts: list[int], *, begin: bool) -> dict[int, Found]:
        """What the workers of some partitions find; at the beginning they are told where to begin."""
        asked = []
        for k in parts:
            place = self._cluster.data.places[k]
            mine = GaussianPrior(alike(prior.mean[place]), prior.precision, alike(prior.weight[place]))
            asked.append((self._name, self._calls, self._begin[k] if begin else None, mine, tol, self._max_steps))
        return dict(zip(parts, self._cluster.each(search_part, asked, parts), strict=True))


def alike(rows: np.ndarray) -> np.ndarray:
    """One row if all are the same.

    Examples
    --------
    >>> alike(np.ones((4, 2))).shape, alike(np.eye(2)).shape
    ((1, 2), (2, 2))
    """
    return rows[:1] if (rows == rows[:1]).all() else rows


@dataclasses.dataclass(frozen=True)
class ClusterGlance:
    """The log-likelihood of everybody at several places, by the workers."""

    cluster: Cluster

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Log-likelihood (K, S) at `x` (K, S, P)."""
        places = self.cluster.data.places
        asked = [(x[:, place],) for place in places]
        return np.concatenate(self.cluster.each(look_at_part, asked, range(len(places))), axis=1)
