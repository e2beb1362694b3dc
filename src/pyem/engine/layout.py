"""Layout of the data for the processor: chunks of lanes that stay in the cache, shared among the cores."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.data.lengths import STEP_LANES, Group, bucket, groups, lane_lengths
from pyem.engine import contexts
from pyem.engine.pieces import LANES, has_no_state, in_pieces, rows_of_pieces, state_size
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.numerics.threads import n_cores

CHUNK_LANES = 512
"""Number of lanes computed together on a CPU: few enough for the cache, enough to amortise the loop over trials."""
COARSE = 0
"""Size up to which sizes are rounded up to 16, 32, 64 ...; larger ones by `bucket`. Tests set it, to compile less; see
`coarsely`."""
LARGE_STATES = {24: 64, 8: 128}
"""Number of lanes computed together for large states, by the number of values in a state: what the reverse sweep keeps of
each trial has to stay in the cache too."""
WORTH_SHARING = 4096
"""Number of trials from which on two threads are faster than one."""
LIGHT, LIGHT_ALONE = 13_000, 30_000
"""Number of trials of a shard up to which compiling a search takes longer than some searches; the second where no trial
depends on another: densities of times and of judgements take longer to compile, and gain less by fused loops."""
STEP_LANES_ELSEWHERE = 16_384
"""Value of `pyem.data.lengths.STEP_LANES` on a graphics card, which computes that many lanes at a time."""


# -- chunks and shards --------------------------------------------------------------------------------------------------


class Chunk(NamedTuple):
    """Some subjects with all their lanes. In a shard, every array has the chunk as an extra first axis."""

    trials: Record
    """Fields and masks, (trial, ..., lane); or each subject's contexts as `pyem.engine.contexts` lays them out, (..., lane)."""
    lane_subject: Array
    """Owner of each lane, as an index into the chunk's subjects, (lane,)."""
    shorter: tuple[Chunk, ...] = ()
    """Further lanes of the same subjects, which are much shorter."""

    @property
    def parts(self) -> tuple[Chunk, ...]:
        """All lanes: those of this chunk, and the shorter ones."""
        return (self, *self.shorter)


class Batch(NamedTuple):
    """A data set laid out for one model: shards of people with longest lanes of similar length, the longest first."""

    shards: tuple[Chunk, ...]
    index: tuple[np.ndarray, ...]
    """Index of the subject in each place of each shard, -1 where there is none, (chunk, place)."""
    group: tuple[int, ...]
    """Group by length of each shard: shards of one group have the same shape."""
    n_subjects: int
    lane_at: np.ndarray
    """Shard, part, chunk and position of each lane of the data, (lane, 4); -1 where contexts are shared."""
    n_cells: int
    """Number of trials of all lanes laid out, with their padding, before sizes are rounded up."""

    def of_groups(self) -> list[Batch]:
        """A batch for each group, with its shards only."""
        out = []
        for k in dict.fromkeys(self.group):
            mine = [s for s, group in enumerate(self.group) if group == k]
            shards, index = tuple(self.shards[s] for s in mine), tuple(self.index[s] for s in mine)
            out.append(self._replace(shards=shards, index=index, group=(k,) * len(mine)))
        return out

    @property
    def subjects(self) -> np.ndarray:
        """Indices of the subjects who have a place."""
        placed = np.concatenate([index.ravel() for index in self.index])
        return placed[placed >= 0]


def n_cells(shard: Chunk) -> int:
    """Number of trials of a shard, with their padding."""
    return max(leaf.size for part in shard.parts for leaf in jax.tree.leaves(part.trials))


def is_light(model: Model, shard: Chunk) -> bool:
    """Whether a search of a shard takes so little that most of the time of a fit is that of compiling it."""
    return n_cells(shard) <= (LIGHT_ALONE if has_no_state(model) else LIGHT)


_batches: weakref.WeakKeyDictionary[Dataset, dict[Any, Batch]] = weakref.WeakKeyDictionary()
_groups: weakref.WeakKeyDictionary[Dataset, list[Group]] = weakref.WeakKeyDictionary()


def batch(model: Model, data: Dataset, *, by_trial: bool = False, exact: bool = False) -> Batch:
    """Lay the data out in chunks and shards for `model`; this is done once for each data set and kind of model.

    Contexts are shared where the model asks for it and it is worthwhile, unless every trial is needed. With `exact` there is
    one shard for each group of lengths, and sizes are not rounded up: for what evaluates the same data thousands of times.
    """
    key: Any = (model.columns, model.responses, model.outcomes, model.inputs, model.updates, model.lagged, model.coded)
    # The model of one block of a design has other trials than the design: those without conditions.
    key = (*key, model.between, model.design and model.design.columns, model.joint)
    cut = has_no_state(model) and not by_trial
    key = (model if model.share and not by_trial else (*key, model.optional), exact, cut, lanes_at_once(model))
    if data not in _groups:
        alike = STEP_LANES if jax.default_backend() == "cpu" else STEP_LANES_ELSEWHERE
        _groups[data] = groups(lane_lengths(data.valid), data.lane_subject, len(data.valid), alike)
    found = _groups[data]
    # Where lanes were cut, one more row shows the state after the last trial of each.
    more = by_trial and _is_cut(data, found)
    known = _batches.setdefault(data, {})
    if (*key, more) not in known:
        known[*key, more] = _lay_out(model, data, found, share=key[0] is model, exact=exact, cut=cut, more=int(more))
    return known[*key, more]


def lanes_at_once(model: Model) -> int:
    """Number of lanes of a model that are computed together."""
    size = state_size(model)
    return next((n for least, n in LARGE_STATES.items() if size >= least), CHUNK_LANES)


def _is_cut(data: Dataset, found: list[Group]) -> bool:
    return any(n < len(data.valid) for group in found for n in group.n_trials)


# -- laying out ---------------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """Sequences that are laid out in one array."""

    trials: Record
    """Columns (..., lane); the first axis is that of trials if there are any."""
    owner: np.ndarray
    """Owner of each sequence, as an index into the subjects of the group, ascending, (lane,)."""
    n_trials: int | None
    lanes: np.ndarray | None
    """Indices of the lanes in the data, if the sequences are lanes."""


class _Places(NamedTuple):
    """Place of each subject of a group."""

    row: np.ndarray
    """Index of the chunk, counted over the shards, (subject,)."""
    place: np.ndarray
    """Index of the place in the chunk, (subject,)."""
    n_shards: int
    n_chunks: int
    """Number of chunks of each shard."""
    n_places: int
    """Number of places for subjects in each chunk."""


def _lay_out(
    model: Model, data: Dataset, found: list[Group], *, share: bool, exact: bool, cut: bool, more: int
) -> Batch:
    size = int if exact else bucket
    shards, index, of_group, n_cells = [], [], [], 0
    lane_at = np.full((data.n_lanes, 4), -1)
    for k, group in enumerate(found):
        parts = _parts(model, data, group, size=size if share else None, more=more)
        if cut:
            parts = tuple(_cut(part, exact) for part in parts)
        places = _places(len(group.subjects), parts, exact, lanes_at_once(model))
        laid = [_arranged(part, places, int if exact else _rounded) for part in parts]
        for part, (_, _, row, position) in zip(range(len(parts)), laid, strict=True):
            if (lanes := parts[part].lanes) is not None:
                shard, chunk = np.divmod(row, places.n_chunks)
                lane_at[lanes] = np.stack([len(shards) + shard, np.full_like(row, part), chunk, position], axis=1)
        n_cells += sum(len(part.owner) * (part.n_trials or 0) for part in parts)
        here = np.full((places.n_shards * places.n_chunks, places.n_places), -1)
        here[places.row, places.place] = group.subjects
        index += np.split(here, places.n_shards)
        shards += _shards([(trials, owner) for trials, owner, _, _ in laid], places)
        of_group += [k] * places.n_shards
    return Batch(tuple(shards), tuple(index), tuple(of_group), data.n_subjects, lane_at, n_cells)


@contextlib.contextmanager
def coarsely(up_to: int) -> Iterator[None]:
    """Lay out with sizes up to this rounded up to 16, 32, 64 ..., so that studies of many sizes compile little."""
    global COARSE
    before, COARSE = COARSE, max(COARSE, up_to)
    try:
        yield
    finally:
        COARSE = before


def _rounded(n: int) -> int:
    return max(16, 1 << (n - 1).bit_length()) if n <= COARSE else bucket(n)


def _parts(
    model: Model, data: Dataset, group: Group, *, size: Callable[[int], int] | None, more: int
) -> tuple[_Part, ...]:
    """Parts to lay out for a group; contexts, with sizes rounded by `size`, if that is given and worthwhile."""
    if size is not None:
        whole = data.cut(np.sort(np.concatenate(group.lanes)), group.n_trials[0])
        if (shared := contexts.shared(model, whole, size)) is not None:
            return (_Part(shared, np.arange(len(group.subjects)), None, None),)
    out = []
    for lanes, n_trials in zip(group.lanes, group.n_trials, strict=True):
        n = min(n_trials + more, len(data.valid))
        owner = np.searchsorted(group.subjects, data.lane_subject[lanes])
        out.append(_Part(data.cut(lanes, n).trials(model), owner, n, lanes))
    return tuple(out)


def _cut(part: _Part, exact: bool) -> _Part:
    """Cut a part into pieces where its lanes are few and long."""
    if part.n_trials is None:
        return part
    lanes = LANES if jax.default_backend() == "cpu" else STEP_LANES_ELSEWHERE
    shared_out = not exact and len(part.owner) * part.n_trials >= WORTH_SHARING
    rows = rows_of_pieces(part.n_trials, len(part.owner), lanes * (n_cores() if shared_out else 1))
    if rows == part.n_trials:
        return part
    rows = min(rows if exact else _rounded(rows), part.n_trials)
    return _Part(*in_pieces(part.trials, part.owner, part.n_trials, rows), rows, None)


def _places(n_subjects: int, parts: tuple[_Part, ...], exact: bool, at_once: int) -> _Places:
    on_cpu = jax.default_backend() == "cpu"
    n_lanes = max(len(part.owner) for part in parts)
    limit = at_once if on_cpu else max(n_lanes, 1)
    n_chunks = -(-n_subjects // max(1, int(limit // max(n_lanes / n_subjects, 1))))
    if on_cpu and not exact and sum(len(part.owner) * (part.n_trials or 1) for part in parts) >= WORTH_SHARING:
        n_chunks = max(n_chunks, min(n_cores(), n_subjects))
    n_shards = min(n_cores(), n_chunks) if on_cpu and not exact else 1
    size = int if exact else _rounded
    per_shard = (int if exact else bucket)(-(-n_chunks // n_shards))
    # Even out the chunks, so that the last one is not nearly empty.
    per_chunk = -(-n_subjects // n_chunks)
    chunk_of, place_of = np.divmod(np.arange(n_subjects), per_chunk)
    # Neighbouring chunks go to different shards, so that the shards have equal work.
    row_of = (chunk_of % n_shards) * per_shard + chunk_of // n_shards
    return _Places(row_of, place_of, n_shards, per_shard, size(per_chunk))


def _arranged(
    part: _Part, places: _Places, size: Callable[[int], int]
) -> tuple[Record, np.ndarray, np.ndarray, np.ndarray]:
    """Arrays and owners of a part, with the chunk as the first axis; and each lane's chunk and position."""
    n_rows = places.n_shards * places.n_chunks
    row = places.row[part.owner]
    order = np.argsort(row, kind="stable")
    counts = np.bincount(row, minlength=n_rows)
    position = np.empty(len(order), int)
    position[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    source = np.full((n_rows, size(int(counts.max()))), -1)
    source[row, position] = np.arange(len(order))
    real = source >= 0
    extra = size(part.n_trials) - part.n_trials if part.n_trials else 0

    def arrange(array: np.ndarray, fill: Any = None) -> np.ndarray:
        padded = np.concatenate([array, np.repeat(array[-1:], extra, axis=0)]) if extra else array
        out = np.moveaxis(padded[..., source], -2, 0)
        if fill is not None or array.dtype == bool:
            # Places that are filled up are neither in the likelihood nor learned from.
            out = np.where(real.reshape(len(real), *[1] * (array.ndim - 1), -1), out, fill or False)
            out[:, array.shape[0] :] = fill or False
        return out

    fills = {"counts": 0}
    laid = {name: jax.tree.map(partial(arrange, fill=fills.get(name)), leaf) for name, leaf in part.trials.items()}
    owner = np.where(real, places.place[part.owner[source]], 0).astype(np.int32)
    return Record(**laid), owner, row, position


def _shards(parts: Sequence[tuple[Record, np.ndarray]], places: _Places) -> list[Chunk]:
    out = []
    for s in range(places.n_shards):
        rows = slice(s * places.n_chunks, (s + 1) * places.n_chunks)
        mine = jax.tree.map(lambda a, rows=rows: a[rows], parts)
        # Unlike jnp.asarray, this compiles nothing for a new shape.
        with jax.enable_x64(True):
            first, *shorter = (Chunk(*part) for part in jax.device_put(mine))
        out.append(first._replace(shorter=tuple(shorter)))
    return out


# -- values to shards and back ------------------------------------------------------------------------------------------


def split(values: np.ndarray, batch: Batch) -> list[np.ndarray]:
    """Split values with the subject first into one array (chunk, ..., place) for each shard; empty places repeat the first."""
    values = np.asarray(values)
    # As `np.moveaxis` from the second to the last place; see `join`.
    axes = (0, *range(2, values.ndim + 1), 1)
    return [values[np.maximum(index, 0)].transpose(axes) for index in batch.index]


def join(parts: Sequence[Any], batch: Batch) -> Any:
    """Join every leaf to values with the subject first, in order: the inverse of `split`."""
    filled = [index >= 0 for index in batch.index]
    who = [index[here] for index, here in zip(batch.index, filled, strict=True)]

    def leaf(*shards: Array) -> np.ndarray:
        first = np.asarray(shards[0])
        out = np.empty((batch.n_subjects, *first.shape[1:-1]), first.dtype)
        # As `np.moveaxis` from the last to the second place, which takes longer than the rest.
        axes = (0, first.ndim - 1, *range(1, first.ndim - 1))
        for shard, mine, here in zip(shards, who, filled, strict=True):
            out[mine] = np.asarray(shard).transpose(axes)[here]
        return out

    return jax.tree.map(leaf, *parts)


_pool: ThreadPoolExecutor | None = None


def over_shards(function: Callable[..., Any], batch: Batch, *args: Sequence[Any]) -> list[Any]:
    """Call ``function(shard, *args_of_shard)`` for all shards, in a thread each (compiled code runs without the lock)."""

    def one(shard: Chunk, *rest: Any) -> Any:
        with jax.enable_x64(True):
            return jax.block_until_ready(function(shard, *rest))

    if len(batch.shards) == 1:
        return [one(batch.shards[0], *(arg[0] for arg in args))]
    global _pool
    _pool = _pool or ThreadPoolExecutor(n_cores(), thread_name_prefix="pyem")
    first, *rest = zip(batch.shards, *args, strict=True)
    # The first thread compiles, and the others then find the compiled function; this thread works too.
    others = [_pool.submit(one, *each) for each in rest]
    return [one(*first), *(each.result() for each in others)]


def unlay(data: Dataset, laid: Batch, shards: Sequence[Sequence[Any]]) -> Any:
    """Undo the layout for results (chunk, trial, ..., lane) of each part of each shard: (trial, ..., lane).

    Rows of the data after those that were laid out are like the last of these, which is of padding.
    """

    def leaf(*leaves: Array) -> np.ndarray:
        first = np.asarray(leaves[0])
        out = np.empty((len(data.valid), *first.shape[2:-1], data.n_lanes), first.dtype)
        for values, (lanes, chunk, position) in zip(leaves, _parts_of(laid, shards), strict=True):
            picked = np.moveaxis(np.moveaxis(np.asarray(values), -1, 1)[chunk, position], 0, -1)
            n = min(len(picked), len(out))
            out[:n, ..., lanes] = picked[:n]
            out[n:, ..., lanes] = picked[-1:]
        return out

    return jax.tree.map(leaf, *(part for shard in shards for part in shard))


def _parts_of(laid: Batch, shards: Sequence[Sequence[Any]]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the lanes of each part of each shard, with their chunks and positions there."""
    for s, shard in enumerate(shards):
        for k in range(len(shard)):
            lanes = np.flatnonzero((laid.lane_at[:, 0] == s) & (laid.lane_at[:, 1] == k))
            yield lanes, laid.lane_at[lanes, 2], laid.lane_at[lanes, 3]


def picked(laid: Batch, shards: Sequence[Sequence[Array]], lane: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Single trials (obs, ...) of the data, from results (chunk, trial, ..., lane) of each part of each shard."""
    first = np.asarray(shards[0][0])
    out = np.empty((len(lane), *first.shape[2:-1]), first.dtype)
    shard, part, chunk, position = laid.lane_at[lane].T
    for s, leaves in enumerate(shards):
        for k, leaf in enumerate(leaves):
            here = np.flatnonzero((shard == s) & (part == k))
            out[here] = np.moveaxis(np.asarray(leaf), -1, 2)[chunk[here], row[here], position[here]]
    return out
