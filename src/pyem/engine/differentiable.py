"""The log-likelihood of all people as one differentiable function, for samplers and variational inference.

A lane depends on its own subject's parameters only, so the gradients of all subjects come in one pass. They are computed
together with the value and handed to JAX as the derivative, in either mode, and what is compiled does not depend on how many
people there are.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.engine.derivatives import gradients, reverse_gradients
from pyem.engine.evaluate import chunk_gradients, chunk_log_lik
from pyem.engine.layout import Chunk, batch
from pyem.model.model import Model
from pyem.model.rollout import rollout

FORWARD = 4
"""Number of parameters up to which gradients use forward mode, which stores nothing; beyond it reverse mode."""
FEW_LANES = 640
"""Parameters times lanes up to which forward mode is quicker for more parameters too, as its passes fill the processor."""


class People(NamedTuple):
    """Everybody's trials, laid out for one call; a pytree, with an entry for each group of people by length of lanes."""

    chunks: tuple[Chunk, ...]
    """Trials (chunk, ..., lane) and owners (chunk, lane) of each group; owners are indices of places in the chunk."""
    subject: tuple[Array, ...]
    """Index of the subject in each place, (chunk, place); places left over repeat somebody and own no lane that is used."""
    place: Array
    """Place of each subject, counted over all chunks of all groups, (S,)."""


_laid_out: weakref.WeakKeyDictionary[Dataset, dict[Any, People]] = weakref.WeakKeyDictionary()


def people(model: Model, data: Dataset, *, by_trial: bool = False) -> People:
    """Lay the data out for `model` in chunks of as many lanes as stay in the cache. With `by_trial`, keep every trial."""
    known = _laid_out.setdefault(data, {})
    if (model, by_trial) not in known:
        laid = batch(model, data, by_trial=by_trial, exact=True)
        flat = np.concatenate([index.ravel() for index in laid.index])
        place = np.empty(data.n_subjects, np.int32)
        place[flat[flat >= 0]] = np.flatnonzero(flat >= 0)
        subject = [np.maximum(index, 0).astype(np.int32) for index in laid.index]
        with jax.enable_x64(True):
            known[model, by_trial] = People(laid.shards, tuple(map(jnp.asarray, subject)), jnp.asarray(place))
    return known[model, by_trial]


def _over_chunks(function: Any, people: People, x: Array) -> list[Any]:
    """Apply ``function(chunk, x (P, place))`` to every chunk of each group; the chunk is the first axis of the results."""
    return [_over_group(function, *group, x) for group in zip(people.chunks, people.subject, strict=True)]


def _over_group(function: Any, chunks: Chunk, subject: Array, x: Array) -> Any:
    placed = jnp.moveaxis(x[:, subject], 1, 0)
    if placed.shape[0] == 1:
        one = function(jax.tree.map(lambda a: a[0], chunks), placed[0])
        return jax.tree.map(lambda a: a[None], one)
    return lax.map(lambda args: function(*args), (chunks, placed))


def _to_subjects(values: Sequence[Array], people: People) -> Array:
    """Reorder values (chunk, ..., place) of each group to (..., S)."""
    moved = [jnp.moveaxis(a, 0, -2) for a in values]
    flat = [a.reshape(*a.shape[:-2], -1) for a in moved]
    return (flat[0] if len(flat) == 1 else jnp.concatenate(flat, axis=-1))[..., people.place]


def log_lik(model: Model, people: People, x: Array) -> Array:
    """Log-likelihood (S,), in nats, at unconstrained `x` (P, S); differentiable by `x` only, in both modes."""
    bare, values = model.split_values()
    return _log_lik(bare, people, values, x)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_lik(bare: Model, people: People, values: Any, x: Array) -> Array:
    model = bare.join_values(values)
    return _to_subjects(_over_chunks(partial(chunk_log_lik, model), people, x), people)


@_log_lik.defjvp
def _log_lik_jvp(bare: Model, primals: Any, tangents: Any) -> tuple[Array, Array]:
    people, values, x = primals
    model = bare.join_values(values)
    inner = model if model.design is None else model.design.inner
    lanes = max(chunk.lane_subject.shape[-1] for chunk in people.chunks)
    forward = inner.n_params <= FORWARD or inner.n_params * lanes <= FEW_LANES
    slope = gradients if forward else reverse_gradients

    def both(chunk: Chunk, x: Array) -> tuple[Array, Array]:
        return chunk_gradients(model, chunk, x, slope)

    value, grad = zip(*_over_chunks(both, people, x), strict=True)
    return _to_subjects(value, people), (_to_subjects(grad, people) * tangents[-1]).sum(0)


def trial_log_lik(model: Model, people: People, x: Array) -> Array:
    """Log-likelihood of every trial, in nats, at unconstrained `x` (P, S) of people laid out by trial.

    A vector of all trials with their padding; `trial_places` says where a trial is.
    """
    bare, values = model.split_values()
    return _trial_log_lik(bare, people, values, x)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _trial_log_lik(bare: Model, people: People, values: Any, x: Array) -> Array:
    model = bare.join_values(values)
    return _flat([part for group in _over_chunks(partial(_chunk_trials, model), people, x) for part in group])


@_trial_log_lik.defjvp
def _trial_log_lik_jvp(bare: Model, primals: Any, tangents: Any) -> tuple[Array, Array]:
    people, values, x = primals
    model = bare.join_values(values)
    groups = zip(people.chunks, people.subject, strict=True)
    found = [_moved(model, *group, x, tangents[-1]) for group in groups]
    value, change = ([part for group in which for part in group] for which in zip(*found, strict=True))
    return _flat(value), _flat(change)


def _moved(model: Model, chunks: Chunk, subject: Array, x: Array, change: Array) -> tuple[list[Array], list[Array]]:
    """Values (chunk, trial, lane) of each part of a group, and their derivatives along a change of subjects' parameters."""

    def both(chunk: Chunk, x: Array) -> tuple[tuple[Array, Array], ...]:
        return tuple(gradients(partial(_part_trials, model, part), x[:, part.lane_subject]) for part in chunk.parts)

    to_lanes = lambda chunk, dx: tuple(dx[:, part.lane_subject] for part in chunk.parts)  # noqa: E731
    # A change of a subject's parameters moves all of its lanes.
    found, moves = _over_group(both, chunks, subject, x), _over_group(to_lanes, chunks, subject, change)
    changes = [(grad * move[:, :, None]).sum(1) for (_, grad), move in zip(found, moves, strict=True)]
    return [value for value, _ in found], changes


def _chunk_trials(model: Model, chunk: Chunk, x: Array) -> tuple[Array, ...]:
    return tuple(_part_trials(model, part, x[:, part.lane_subject]) for part in chunk.parts)


def _part_trials(model: Model, part: Chunk, x: Array) -> Array:
    return rollout(model, x, part.trials, full=True)["log_lik"]


def _flat(parts: Sequence[Array]) -> Array:
    return jnp.concatenate([part.reshape(-1) for part in parts])


def trial_places(model: Model, data: Dataset, lane: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Indices (obs,) of the values of single trials in the result of `trial_log_lik`."""
    laid = batch(model, data, by_trial=True, exact=True)
    parts = [[part.trials.learn.shape for part in shard.parts] for shard in laid.shards]
    sizes = [int(np.prod(shape)) for shapes in parts for shape in shapes]
    first = iter(np.cumsum([0, *sizes]).tolist())
    shard, which, chunk, position = laid.lane_at[lane].T
    out = np.empty(len(lane), int)
    for s, shapes in enumerate(parts):
        for k, shape in enumerate(shapes):
            here = (shard == s) & (which == k)
            out[here] = next(first) + np.ravel_multi_index((chunk[here], row[here], position[here]), shape)
    return out
