"""The log-likelihood of all people as one differentiable function, for samplers and variational inference.

A lane depends on its own subject's parameters only, so a forward-mode pass for each parameter gives every partial derivative.
They are computed together with the value and handed to JAX as the derivative, in either mode, so nothing is stored for a
reverse sweep, and what is compiled does not depend on how many people there are.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.dataset import Dataset
from pyem.engine import CHUNK_LANES, Chunk, chunk_log_lik, gradients
from pyem.model import Model, Record, rollout


class People(NamedTuple):
    """Everybody's trials, laid out for one call."""

    chunks: Chunk
    """Trials (chunk, trial, ..., lane) and owners (chunk, lane); owners are places in the chunk."""
    subject: Array
    """Who is in each place, (chunk, place); places left over repeat somebody and own no lane."""
    place: Array
    """The place of each subject, counted over all chunks, (S,)."""
    lane: Array
    """For each lane of the data set, its chunk and its position there, (2, lane)."""


_laid_out: weakref.WeakKeyDictionary[Dataset, dict[Model, People]] = weakref.WeakKeyDictionary()


def people(model: Model, data: Dataset) -> People:
    """The data laid out for `model`: as many lanes in a chunk as stay in the cache, no padding within one chunk."""
    known = _laid_out.setdefault(data, {})
    if model not in known:
        known[model] = _lay_out(model, data)
    return known[model]


def _lay_out(model: Model, data: Dataset) -> People:
    on_cpu = jax.default_backend() == "cpu"
    n_chunks = max(1, round(data.n_lanes / CHUNK_LANES)) if on_cpu else 1
    n_places = -(-data.n_subjects // n_chunks)
    n_chunks = -(-data.n_subjects // n_places)
    chunk_of = data.lane_subject // n_places
    counts = np.bincount(chunk_of, minlength=n_chunks)
    position = np.arange(data.n_lanes) - np.repeat(np.cumsum(counts) - counts, counts)
    source = np.zeros((n_chunks, int(counts.max())), int)
    real = np.zeros(source.shape, bool)
    source[chunk_of, position] = np.arange(data.n_lanes)
    real[chunk_of, position] = True

    def arrange(array: np.ndarray, mask: bool = False) -> Array:
        out = np.moveaxis(array[..., source], -2, 0)
        return jnp.asarray(out & real[:, None] if mask else out)

    with jax.enable_x64(True):
        trials = data.trials(model)
        laid: dict[str, Any] = {name: arrange(trials[name]) for name in model.columns}
        laid["responded"] = {name: arrange(mask, True) for name, mask in trials.responded.items()}
        laid["learn"] = arrange(trials.learn, True)
        owner = np.where(real, data.lane_subject[source] % n_places, n_places - 1)
        everybody = np.arange(n_chunks * n_places)
        return People(
            Chunk(Record(**laid), jnp.asarray(owner, jnp.int32)),
            jnp.asarray(np.where(everybody < data.n_subjects, everybody, 0).reshape(n_chunks, n_places), jnp.int32),
            jnp.asarray(np.arange(data.n_subjects), jnp.int32),
            jnp.asarray(np.stack([chunk_of, position]), jnp.int32),
        )


def _over_chunks(function: Any, people: People, x: Array) -> Any:
    """``function(chunk, x (P, place))`` of every chunk, with the chunk as the first axis of what it returns."""
    placed = jnp.moveaxis(x[:, people.subject], 1, 0)
    if placed.shape[0] == 1:
        one = function(jax.tree.map(lambda a: a[0], people.chunks), placed[0])
        return jax.tree.map(lambda a: a[None], one)
    return lax.map(lambda args: function(*args), (people.chunks, placed))


def _to_subjects(values: Array, people: People) -> Array:
    """(chunk, ..., place) to (..., S)."""
    return _merged(values)[..., people.place]


def _merged(values: Array) -> Array:
    moved = jnp.moveaxis(values, 0, -2)
    return moved.reshape(*moved.shape[:-2], -1)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def log_lik(model: Model, people: People, x: Array) -> Array:
    """Log-likelihood (S,), in nats, at unconstrained `x` (P, S); differentiable by `x`, in both modes."""
    return _to_subjects(_over_chunks(partial(chunk_log_lik, model), people, x), people)


@log_lik.defjvp
def _log_lik_jvp(model: Model, primals: Any, tangents: Any) -> tuple[Array, Array]:
    people, x = primals

    def both(chunk: Chunk, x: Array) -> tuple[Array, Array]:
        return gradients(lambda x: chunk_log_lik(model, chunk, x), x)

    value, grad = _over_chunks(both, people, x)
    return _to_subjects(value, people), (_to_subjects(grad, people) * tangents[1]).sum(0)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def trial_log_lik(model: Model, people: People, x: Array) -> Array:
    """Log-likelihood of every trial, (trial, lane of the data set), at unconstrained `x` (P, S), in nats."""
    return _to_lanes(_over_chunks(partial(_chunk_trials, model), people, x), people)


@trial_log_lik.defjvp
def _trial_log_lik_jvp(model: Model, primals: Any, tangents: Any) -> tuple[Array, Array]:
    people, x = primals

    def both(chunk: Chunk, x: Array) -> tuple[Array, Array, Array]:
        value, grad = gradients(lambda x: _chunk_trials(model, chunk, x), x)
        return value, grad, chunk.lane_subject

    value, grad, _ = _over_chunks(both, people, x)
    # A tangent of a subject moves all lanes of that subject.
    moved = _over_chunks(lambda chunk, dx: dx[:, chunk.lane_subject], people, tangents[1])
    return _to_lanes(value, people), _to_lanes((grad * moved[:, :, None]).sum(1), people)


def _chunk_trials(model: Model, chunk: Chunk, x: Array) -> Array:
    return rollout(model, x[:, chunk.lane_subject], chunk.trials, full=True)["log_lik"]


def _to_lanes(values: Array, people: People) -> Array:
    """(chunk, trial, position) to (trial, lane)."""
    chunk, position = people.lane
    return jnp.moveaxis(values, 0, -1)[:, position, chunk]
