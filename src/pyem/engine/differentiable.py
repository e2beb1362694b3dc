"""The log-likelihood of all people as one differentiable function, for samplers and variational inference.

A lane depends on its own subject's parameters only, so the gradients of all subjects come in one pass. They are computed
together with the value and handed to JAX as the derivative, in either mode, and what is compiled does not depend on how many
people there are.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.engine.derivatives import gradients, reverse_gradients
from pyem.engine.evaluate import chunk_log_lik
from pyem.engine.layout import Chunk, batch
from pyem.model.model import Model
from pyem.model.rollout import rollout

FORWARD = 4
"""Up to this many parameters gradients are made by forward mode, which stores nothing; beyond it by reverse mode."""


class People(NamedTuple):
    """Everybody's trials, laid out for one call; a pytree."""

    chunks: Chunk
    """Trials (chunk, ..., lane) and owners (chunk, lane); owners are places in the chunk."""
    subject: Array
    """Who is in each place, (chunk, place); places left over repeat somebody and own no lane that counts."""
    place: Array
    """The place of each subject, counted over all chunks, (S,)."""


_laid_out: weakref.WeakKeyDictionary[Dataset, dict[Any, People]] = weakref.WeakKeyDictionary()


def people(model: Model, data: Dataset, *, by_trial: bool = False) -> People:
    """The data laid out for `model`: chunks of as many lanes as stay in the cache. With `by_trial` every trial is kept."""
    known = _laid_out.setdefault(data, {})
    if (model, by_trial) not in known:
        laid = batch(model, data, by_trial=by_trial, exact=True)
        index = laid.index[0]
        place = np.empty(data.n_subjects, np.int32)
        place[index[index >= 0]] = np.flatnonzero(index.ravel() >= 0)
        subject = np.maximum(index, 0).astype(np.int32)
        with jax.enable_x64(True):
            known[model, by_trial] = People(laid.shards[0], jnp.asarray(subject), jnp.asarray(place))
    return known[model, by_trial]


def _over_chunks(function: Any, people: People, x: Array) -> Any:
    """``function(chunk, x (P, place))`` of every chunk, with the chunk as the first axis of what it returns."""
    placed = jnp.moveaxis(x[:, people.subject], 1, 0)
    if placed.shape[0] == 1:
        one = function(jax.tree.map(lambda a: a[0], people.chunks), placed[0])
        return jax.tree.map(lambda a: a[None], one)
    return lax.map(lambda args: function(*args), (people.chunks, placed))


def _to_subjects(values: Array, people: People) -> Array:
    """(chunk, ..., place) to (..., S)."""
    moved = jnp.moveaxis(values, 0, -2)
    return moved.reshape(*moved.shape[:-2], -1)[..., people.place]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def log_lik(model: Model, people: People, x: Array) -> Array:
    """Log-likelihood (S,), in nats, at unconstrained `x` (P, S); differentiable by `x` only, in both modes."""
    return _to_subjects(_over_chunks(partial(chunk_log_lik, model), people, x), people)


@log_lik.defjvp
def _log_lik_jvp(model: Model, primals: Any, tangents: Any) -> tuple[Array, Array]:
    people, x = primals
    slope = gradients if model.n_params <= FORWARD else reverse_gradients

    def both(chunk: Chunk, x: Array) -> tuple[Array, Array]:
        return slope(lambda x: chunk_log_lik(model, chunk, x), x)

    value, grad = _over_chunks(both, people, x)
    return _to_subjects(value, people), (_to_subjects(grad, people) * tangents[1]).sum(0)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def trial_log_lik(model: Model, people: People, x: Array) -> Array:
    """Log-likelihood of every trial, (chunk, trial, lane), in nats, at unconstrained `x` (P, S) of people laid out by trial."""
    return _over_chunks(partial(_chunk_trials, model), people, x)


@trial_log_lik.defjvp
def _trial_log_lik_jvp(model: Model, primals: Any, tangents: Any) -> tuple[Array, Array]:
    people, x = primals
    both = lambda chunk, x: gradients(lambda x: _chunk_trials(model, chunk, x), x)  # noqa: E731
    value, grad = _over_chunks(both, people, x)
    # A change of a subject's parameters moves all of its lanes.
    moved = _over_chunks(lambda chunk, dx: dx[:, chunk.lane_subject], people, tangents[1])
    return value, (grad * moved[:, :, None]).sum(1)


def _chunk_trials(model: Model, chunk: Chunk, x: Array) -> Array:
    return rollout(model, x[:, chunk.lane_subject], chunk.trials, full=True)["log_lik"]


def lane_places(data: Dataset, people: People) -> tuple[np.ndarray, np.ndarray]:
    """The chunk of each lane of the data, and its position there."""
    flat = np.asarray(people.place)[data.lane_subject]
    chunk = flat // people.subject.shape[1]
    counts = np.bincount(chunk, minlength=people.subject.shape[0])
    # Lanes are ordered by subject, and subjects by chunk.
    return chunk, np.arange(len(chunk)) - np.repeat(np.cumsum(counts) - counts, counts)
