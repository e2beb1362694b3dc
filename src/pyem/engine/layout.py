"""Data laid out for the processor: chunks of lanes that stay in the cache, shared among the cores."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.engine import contexts
from pyem.model.model import Model
from pyem.model.record import Record

CHUNK_LANES = 512
"""Lanes worked on together on a CPU: few enough to stay in the cache, enough to amortise the loop over trials."""
WORTH_SHARING = 4096
"""Trials from which on two threads are faster than one."""


# -- chunks and shards --------------------------------------------------------------------------------------------------


class Chunk(NamedTuple):
    """Some subjects and all their lanes. In a shard, every array has the chunk as an extra first axis."""

    trials: Record
    """Fields and masks, (trial, ..., lane); or each subject's contexts as `pyem.engine.contexts` lays them out, (..., lane)."""
    lane_subject: Array
    """Whose lane it is, as an index into the chunk's subjects, (lane,)."""


class Batch(NamedTuple):
    """A data set laid out for one model."""

    shards: tuple[Chunk, ...]
    index: np.ndarray
    """Subject in each place, -1 where none, (shard, chunk, place)."""
    n_subjects: int


def bucket(n: int) -> int:
    """`n` rounded up to one of four sizes per octave, so that similar data share a compilation."""
    if n <= 4:
        return n
    step = 1 << (n.bit_length() - 3)
    return -(-n // step) * step


def n_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_batches: weakref.WeakKeyDictionary[Dataset, dict[Any, Batch]] = weakref.WeakKeyDictionary()


def batch(model: Model, data: Dataset, *, by_trial: bool = False, exact: bool = False) -> Batch:
    """The data laid out in chunks and shards for `model`; made once for each data set and kind of model.

    Contexts are shared where the model asks for it and it is worthwhile, unless every trial is needed. With `exact` there is
    one shard, and sizes are not rounded up: for what evaluates the same data thousands of times.
    """
    key: Any = (model.columns, model.responses, model.outcomes, model.inputs, model.updates, model.lagged, model.coded)
    key = (model if model.share and not by_trial else (*key, model.optional), exact)
    known = _batches.setdefault(data, {})
    if key not in known:
        size = int if exact else bucket
        shared = contexts.shared(model, data, size) if key[0] is model else None
        if shared is None:
            plain = data.trials(model)
            known[key] = _lay_out(data, plain, data.lane_subject, data.valid.shape[0], exact)
        else:
            known[key] = _lay_out(data, shared, np.arange(data.n_subjects), None, exact)
    return known[key]


def _lay_out(data: Dataset, trials: Record, lane_subject: np.ndarray, n_trials: int | None, exact: bool) -> Batch:
    """Chunks and shards of sequences (..., lane); the first axis is of trials if there are any."""
    on_cpu = jax.default_backend() == "cpu"
    n_lanes = len(lane_subject)
    lanes_of = np.bincount(lane_subject, minlength=data.n_subjects)
    limit = CHUNK_LANES if on_cpu else max(n_lanes, 1)
    per_chunk = max(1, int(limit // max(lanes_of.mean(), 1)))
    n_chunks = -(-data.n_subjects // per_chunk)
    if on_cpu and not exact and n_lanes * (n_trials or 1) >= WORTH_SHARING:
        n_chunks = max(n_chunks, min(n_cores(), data.n_subjects))
    n_shards = min(n_cores(), n_chunks) if on_cpu and not exact else 1
    size = int if exact else bucket
    chunks_per_shard = size(-(-n_chunks // n_shards)) if n_chunks > 1 else 1
    # Even out the chunks, so that the last one is not nearly empty.
    per_chunk = -(-data.n_subjects // n_chunks)
    places = size(per_chunk)

    index = np.full((n_shards * chunks_per_shard, places), -1)
    chunk_of = np.arange(data.n_subjects) // per_chunk
    # Neighbouring chunks go to different shards, so that the shards have equal work.
    row_of = (chunk_of % n_shards) * chunks_per_shard + chunk_of // n_shards
    place_of = np.arange(data.n_subjects) % per_chunk
    index[row_of, place_of] = np.arange(data.n_subjects)

    lane_chunk = row_of[lane_subject]
    order = np.argsort(lane_chunk, kind="stable")
    counts = np.bincount(lane_chunk, minlength=len(index))
    width = size(int(counts.max()))
    position = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    source = np.full((len(index), width), -1)
    source[lane_chunk[order], position] = order
    real = source >= 0

    extra = size(n_trials) - n_trials if n_trials else 0

    def arrange(array: np.ndarray, fill: Any = None) -> np.ndarray:
        padded = np.concatenate([array, np.repeat(array[-1:], extra, axis=0)]) if extra else array
        out = np.moveaxis(padded[..., source], -2, 0)
        if fill is not None or array.dtype == bool:
            # What is not there neither counts nor teaches.
            out = np.where(real.reshape(len(real), *[1] * (array.ndim - 1), -1), out, fill or False)
            out[:, array.shape[0] :] = fill or False
        return out

    with jax.enable_x64(True):
        laid = {
            name: jax.tree.map(partial(arrange, fill=0 if name == "counts" else None), part)
            for name, part in trials.items()
        }
        owner = np.where(real, place_of[lane_subject[source]], 0).astype(np.int32)
        shards = []
        for s in range(n_shards):
            part = slice(s * chunks_per_shard, (s + 1) * chunks_per_shard)
            mine = jax.tree.map(lambda a, part=part: a[part], Record(**laid))
            # Unlike jnp.asarray, this compiles nothing for a new shape.
            shards.append(Chunk(*jax.device_put((mine, owner[part]))))
    return Batch(tuple(shards), index.reshape(n_shards, chunks_per_shard, places), data.n_subjects)


def split(values: np.ndarray, batch: Batch) -> list[np.ndarray]:
    """One array (chunk, ..., place) for each shard from values with the subject first; empty places repeat the first."""
    return list(np.moveaxis(np.asarray(values)[np.maximum(batch.index, 0)], 2, -1))


def join(parts: Sequence[Any], batch: Batch) -> Any:
    """The inverse of `split` for every leaf: values with the subject first, in order."""

    def leaf(*shards: Array) -> np.ndarray:
        placed = np.stack([np.asarray(shard) for shard in shards])
        rows = np.moveaxis(placed, -1, 2)[batch.index >= 0]
        out = np.empty_like(rows)
        out[batch.index[batch.index >= 0]] = rows
        return out

    return jax.tree.map(leaf, *parts)


_pool: ThreadPoolExecutor | None = None


def over_shards(function: Callable[..., Any], batch: Batch, *args: Sequence[Any]) -> list[Any]:
    """``function(shard, *args_of_shard)`` for all shards, one thread each (compiled code runs without the lock)."""

    def one(shard: Chunk, *rest: Any) -> Any:
        with jax.enable_x64(True):
            return jax.block_until_ready(function(shard, *rest))

    if len(batch.shards) == 1:
        return [one(batch.shards[0], *(arg[0] for arg in args))]
    global _pool
    _pool = _pool or ThreadPoolExecutor(n_cores(), thread_name_prefix="pyem")
    # The first shard compiles; the others then find the compiled function.
    return list(_pool.map(one, batch.shards, *args))


def unlay(data: Dataset, laid: Batch, leaves: Sequence[Array]) -> np.ndarray:
    """Undo `_lay_out`: (chunk, trial, ..., lane) of every shard to (trial, ..., lane) of the data set."""
    flat = laid.index.reshape(-1, laid.index.shape[-1])
    values = np.concatenate([np.asarray(leaf) for leaf in leaves])
    row_of = np.empty(data.n_subjects, int)
    rows, places = np.nonzero(flat >= 0)
    row_of[flat[rows, places]] = rows
    lane_row = row_of[data.lane_subject]
    order = np.argsort(lane_row, kind="stable")
    counts = np.bincount(lane_row, minlength=len(flat))
    position = np.empty(len(order), int)
    position[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    picked = np.moveaxis(values, -1, 1)[lane_row, position]
    return np.moveaxis(picked, 0, -1)[: data.valid.shape[0]]
