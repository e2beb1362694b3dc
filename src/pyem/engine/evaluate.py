"""Log-likelihood, gradient and Hessian of all subjects at once, or of one partition after the other.

A lane depends on its own subject's parameters only, so the Jacobian of all lanes is block diagonal: one forward-mode pass with
the same basis vector in every lane gives that partial derivative of every lane. Lanes are worked through in chunks that
stay in the processor's cache, and chunks are shared among the cores.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.data.partitioned import placed_parts
from pyem.engine import contexts
from pyem.engine.derivatives import Derivatives, derivatives, gradients, reverse_gradients
from pyem.engine.layout import (
    CHUNK_LANES,
    Batch,
    Chunk,
    batch,
    is_light,
    join,
    n_cells,
    over_shards,
    split,
    unlay,
)
from pyem.engine.opaque import is_opaque, opaque_log_liks
from pyem.engine.pieces import has_no_state
from pyem.model import apart
from pyem.model.design import CONDITIONS, without_conditions
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import rollout, trial_log_lik
from pyem.numerics.jit import TRACES, compiled
from pyem.numerics.threads import n_cores

# -- evaluation ---------------------------------------------------------------------------------------------------------


def chunk_log_lik(model: Model, chunk: Chunk, x: Array, held: Array | None = None) -> Array:
    """Log-likelihood (S,) of a chunk's subjects at `x` (P, S), or at `x` and at the last parameters `held` (D, S)."""
    x = x if held is None else jnp.concatenate([x, held])

    def of_subjects(part: Chunk) -> Array:
        lanes = _lane_log_lik(model, part, x[:, part.lane_subject])
        return jax.ops.segment_sum(lanes, part.lane_subject, x.shape[-1])

    return _total([of_subjects(part) for part in chunk.parts])


def chunk_derivatives(model: Model, chunk: Chunk, x: Array, held: Array | None = None) -> Derivatives:
    """Log-likelihood, gradient and Hessian of a chunk's subjects at `x` (P, S), given the last parameters `held` (D, S)."""

    def of_subjects(part: Chunk) -> Derivatives:
        lanes = lane_derivatives(model, part, x[:, part.lane_subject], _given(part, held))
        to_subjects = lambda a: jax.ops.segment_sum(jnp.moveaxis(a, -1, 0), part.lane_subject, x.shape[-1])  # noqa: E731
        return Derivatives(*(jnp.moveaxis(to_subjects(a), 0, -1) for a in lanes))

    return _total([of_subjects(part) for part in chunk.parts])


def _given(part: Chunk, held: Array | None) -> Callable[..., Derivatives]:
    """`derivatives` by the other parameters where the last ones of each subject are held."""
    if held is None:
        return derivatives
    rest = held[:, part.lane_subject]
    return lambda function, x, **how: derivatives(lambda x: function(jnp.concatenate([x, rest])), x, **how)


def lane_derivatives(model: Model, part: Chunk, x: Array, method: Callable[..., Any]) -> Any:
    """Apply `method` (of `pyem.engine.derivatives`) to every lane, at parameters `x` (P, lane) of its subject.

    The parameters of a block are a linear function of the person's, so that the trials are gone through with as many
    derivatives as the model of a block has parameters, however many effects there are.
    """
    if model.design is None:
        return _of_lanes(model, part, x, method)
    conditions, inner = part.trials[CONDITIONS], model.design.inner
    weights = model.design.matrix(conditions, x.shape[0])
    bare = part._replace(trials=without_conditions(part.trials))
    lanes = model.design.of_blocks(weights, conditions, model.in_units(x))
    of_block = _of_lanes(inner, bare, lanes, method)
    if model.standard:
        weights = weights * jnp.asarray(model.units[1])[None, :, None]
    # The weights are (parameter of the block, of the person, lane).
    back = lambda a: (a[:, None] * weights).sum(0)  # noqa: E731
    if not isinstance(of_block, Derivatives):
        value, grad = of_block
        return value, back(grad)
    half = jax.vmap(back, in_axes=1, out_axes=1)(of_block.hess)
    return Derivatives(of_block.value, back(of_block.grad), jax.vmap(back)(half))


def _of_lanes(model: Model, part: Chunk, x: Array, method: Callable[..., Any]) -> Any:
    """Apply `method` to lanes of a model without a design.

    Where no trial depends on another, that of the sum over trials is the sum of those of each. Policies whose attribute
    ``trial_by_trial`` is true take less time so; others gain nothing, as what depends on parameters alone is gone through with
    each. Besides, derivatives of the reverse mode of a scan forget the rules for functions in it (`pyem.model.times.few`).
    Those of models that learn and have response times are in parts (`pyem.model.apart`), unless only gradients are asked for.
    """
    shared, once = "counts" in part.trials, method in (gradients, reverse_gradients)
    if not (shared or once) and apart.is_worthwhile(model, x, part.trials):
        return method(lambda x: apart.log_lik(model, x, part.trials), x)
    if shared or not (has_no_state(model) and getattr(model.policy, "trial_by_trial", False)):
        return method(lambda x: _lane_log_lik(model, part, x), x)

    def of_one(trial: Record) -> Any:
        return method(lambda x: trial_log_lik(model, x, trial), x, in_turn=True)

    def step(total: Any, trial: Record) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, of_one(trial)), None

    one = jax.eval_shape(of_one, jax.tree.map(lambda a: a[0], part.trials))
    nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), one)
    return lax.scan(step, nothing, part.trials)[0]


def chunk_gradients(model: Model, chunk: Chunk, x: Array, method: Callable[..., Any]) -> tuple[Array, Array]:
    """Log-likelihood and gradient of a chunk's subjects at `x` (P, S) by a `method` of `pyem.engine.derivatives`."""
    if model.design is None:
        return method(lambda x: chunk_log_lik(model, chunk, x), x)

    def of_subjects(part: Chunk) -> tuple[Array, Array]:
        lanes = lane_derivatives(model, part, x[:, part.lane_subject], method)
        to_subjects = lambda a: jax.ops.segment_sum(jnp.moveaxis(a, -1, 0), part.lane_subject, x.shape[-1])  # noqa: E731
        value, grad = (jnp.moveaxis(to_subjects(a), 0, -1) for a in lanes)
        return value, grad

    return _total([of_subjects(part) for part in chunk.parts])


def _total(parts: list[Any]) -> Any:
    """Sum trees of arrays over the parts of a chunk, of which there is mostly one."""
    return functools.reduce(lambda a, b: jax.tree.map(jnp.add, a, b), parts)


def _lane_log_lik(model: Model, chunk: Chunk, x: Array) -> Array:
    evaluate = contexts.log_lik if "counts" in chunk.trials else rollout
    return evaluate(model, x, chunk.trials)


@compiled(0)
def _shard_log_lik(model: Model, shard: Chunk, x: Array) -> Array:
    TRACES[model.name, "log_lik"] += 1
    return lax.map(lambda args: chunk_log_lik(model, *args), (shard, x))


def _has_few_trials(model: Model, shard: Chunk, x: Array) -> bool:
    return is_light(model, shard)


@compiled(0, light=_has_few_trials)
def _shard_log_lik_draws(model: Model, shard: Chunk, x: Array) -> Array:
    TRACES[model.name, "log_lik_draws"] += 1
    at_once = _draws_at_once(shard.lane_subject.shape[-1])

    def one(args: tuple[Chunk, Array]) -> Array:
        chunk, x = args
        return lax.map(lambda x: chunk_log_lik(model, chunk, x), x, batch_size=at_once)

    return lax.map(one, (shard, x))


def _draws_at_once(lanes: int) -> int:
    # Draws of a small group are worked on together, as many as keep the lanes in the cache.
    return max(1, CHUNK_LANES // lanes)


@compiled(0)
def _shard_derivatives(model: Model, shard: Chunk, x: Array) -> Derivatives:
    TRACES[model.name, "derivatives"] += 1
    return lax.map(lambda args: chunk_derivatives(model, *args), (shard, x))


LITTLE = 20_000
"""Number of trials up to which computing values takes less time than optimising the code for them."""


def _is_little(model: Model, shard: Chunk, x: Array) -> bool:
    return n_cells(shard) <= LITTLE


@compiled(0, quick=_is_little)
def _shard_rollout(model: Model, shard: Chunk, x: Array) -> tuple[Any, ...]:
    TRACES[model.name, "rollout"] += 1

    def one(args: tuple[Chunk, Array]) -> Any:
        chunk, x = args
        return tuple(rollout(model, x[:, part.lane_subject], part.trials, full=True) for part in chunk.parts)

    return lax.map(one, (shard, x))


def log_lik(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    """Log-likelihood of each subject, (S,), in nats, at unconstrained `x` (S, P).

    Examples
    --------
    >>> from pyem import models
    >>> data = Dataset.from_arrays({"choice": np.zeros((2, 1, 3)), "reward": np.ones((2, 1, 3))})
    >>> log_lik(models.get("rw1a1b"), data, np.zeros((2, 2))).shape
    (2,)
    """
    x = _checked(model, data, x)
    return np.concatenate([_log_lik_of_part(model, part, x[place]) for place, part in placed_parts(data)])


def _log_lik_of_part(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    if is_opaque(model):
        return opaque_log_liks(model, data, x[None])[0]
    laid = batch(model, data)
    with jax.enable_x64(True):
        return join(over_shards(partial(_shard_log_lik, model), laid, split(x, laid)), laid)


def log_lik_draws(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    """Log-likelihood (K, S), in nats, of each subject at K draws of its unconstrained parameters (K, S, P).

    Examples
    --------
    >>> from pyem import models
    >>> data = Dataset.from_arrays({"choice": np.zeros((2, 1, 3)), "reward": np.ones((2, 1, 3))})
    >>> log_lik_draws(models.get("rw1a1b"), data, np.zeros((5, 2, 2))).shape
    (5, 2)
    """
    x = np.asarray(x, float)
    if x.ndim != 3 or not len(x):
        raise ValueError(f"expected draws of shape (draw, subject, parameter), but was given {x.shape}")
    _checked(model, data, x[0])
    return np.concatenate([_draws_of_part(model, part, x[:, place]) for place, part in placed_parts(data)], axis=1)


def _draws_of_part(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    if is_opaque(model):
        return opaque_log_liks(model, data, x)
    out = np.empty(x.shape[:2])
    for part in batch(model, data).of_groups():
        out[:, part.subjects] = _group_draws(model, part, x)[:, part.subjects]
    return out


def _group_draws(model: Model, laid: Batch, x: np.ndarray) -> np.ndarray:
    """`log_lik_draws` of people of similar length; others are left undefined."""
    n_shards = len(laid.shards)
    at_once = _draws_at_once(laid.shards[0].lane_subject.shape[-1])
    # If people are too few to be shared among threads, draws are shared instead.
    n_parts = min(n_cores() // n_shards, len(x) // at_once) or 1
    filled = np.concatenate([x, np.repeat(x[-1:], -len(x) % (at_once * n_parts), axis=0)])
    with jax.enable_x64(True):
        each = [split(np.swapaxes(part, 0, 1), laid) for part in np.split(filled, n_parts)]
        repeated = laid._replace(shards=laid.shards * n_parts)
        done = over_shards(partial(_shard_log_lik_draws, model), repeated, [x for part in each for x in part])
        parts = [join(done[k : k + n_shards], laid).T for k in range(0, len(done), n_shards)]
        return np.concatenate(parts)[: len(x)]


def value_grad_hess(model: Model, data: Dataset, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-likelihood (S,), gradient (S, P) and Hessian (S, P, P) of each subject at unconstrained `x` (S, P)."""
    x = _checked(model, data, x)
    parts = [_derivatives_of_part(model, part, x[place]) for place, part in placed_parts(data)]
    value, grad, hess = map(np.concatenate, zip(*parts, strict=True))
    return value, grad, hess


def _derivatives_of_part(model: Model, data: Dataset, x: np.ndarray) -> Derivatives:
    laid = batch(model, data)
    with jax.enable_x64(True):
        return join(over_shards(partial(_shard_derivatives, model), laid, split(x, laid)), laid)


def trial_values(model: Model, data: Dataset, x: np.ndarray) -> dict[str, Any]:
    """Result of `rollout` for every trial at unconstrained `x` (S, P): arrays (trial, ..., lane) as in the data."""
    laid = batch(model, data, by_trial=True)
    with jax.enable_x64(True):
        parts = over_shards(partial(_shard_rollout, model), laid, split(_checked(model, data, x), laid))
    return unlay(data, laid, parts)


def _checked(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, float)
    if x.shape != (data.n_subjects, model.n_params):
        raise ValueError(
            f"model {model.name!r} needs parameters of shape ({data.n_subjects} subjects, {model.n_params}), but was given "
            f"{x.shape}"
        )
    return x
