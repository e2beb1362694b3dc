"""Responses apart from learning: what depends on trials in their order is gone through first, and all responses after it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_batching import custom_vmap

from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import counted, first_states, over_lanes, policies, rollout, updated

CELLS = 2048
"""Number of trials, over all lanes, whose responses are computed together: few enough for the cache (measured)."""
LARGEST_STATE = 24
"""Number of values in the state of a lane up to which the states of all trials are kept."""


def log_lik(model: Model, x: Array, trials: Record) -> Array:
    """Log-likelihood of every lane, as by `pyem.model.rollout.rollout`, of which second derivatives are to be taken.

    Where the reverse mode of a scan is differentiated once more, JAX forgets the rules for derivatives of functions in it (see
    `pyem.model.times.few`), and goes through densities of response times line by line. Of models of response times derivatives
    are therefore taken of learning, which needs the scan, and of the responses given the states that it led to, each by itself.
    """
    bare, values = model.split_values()
    return _log_lik(bare, values, trials, x)


def is_worthwhile(model: Model, x: Array, trials: Record) -> bool:
    """Whether `log_lik` is for a model without a design: it has response times and a small state."""
    if model.log_likelihood is not None or not model.joint:
        return False
    states = jax.eval_shape(lambda x: first_states(model, over_lanes(model.record)(x), trials), x)
    return 0 < sum(leaf.size for leaf in jax.tree.leaves(states)) <= LARGEST_STATE * x.shape[-1]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_lik(bare: Model, values: Any, trials: Record, x: Array) -> Array:
    return rollout(bare.join_values(values), x, trials)


@_log_lik.defjvp
def _(bare: Model, at: Any, ways: Any) -> tuple[Array, Array]:
    value, grad = _gradient(bare, *at)
    return value, (grad * ways[-1]).sum(0)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _gradient(bare: Model, values: Any, trials: Record, x: Array) -> tuple[Array, Array]:
    """Value and gradient of the log-likelihood."""
    states, back = jax.vjp(lambda x: _states(bare.join_values(values), x, trials), x)
    cut = partial(_cut, *trials.learn.shape)
    of_some = lambda args: _slopes(bare, values, x, *args)  # noqa: E731
    value, direct, by_state = lax.map(of_some, (cut(trials), cut(states)))
    return value.sum(0), direct.sum(0) + back(_joined(by_state, len(trials.learn)))[0]


@_gradient.defjvp
def _(bare: Model, at: Any, ways: Any) -> tuple[Any, Any]:
    """Value and gradient, and their changes along a direction of `x`."""
    (values, trials, x), way = at, ways[-1]
    learn = lambda x: _states(bare.join_values(values), x, trials)  # noqa: E731
    states, change = jax.jvp(learn, (x,), (way,))
    cut, joined = partial(_cut, *trials.learn.shape), partial(_joined, n_trials=len(trials.learn))
    of_some = lambda args: _moved(bare)(values, x, way, *args)  # noqa: E731
    found, moves = lax.map(of_some, (cut(trials), cut(states), cut(change)))
    (value, direct, by_state), (d_value, d_direct, d_by_state) = found, moves
    back = lambda x, by_state: jax.vjp(learn, x)[1](by_state)[0]  # noqa: E731
    through, d_through = jax.jvp(back, (x, joined(by_state)), (way, joined(d_by_state)))
    return (value.sum(0), direct.sum(0) + through), (d_value.sum(0), d_direct.sum(0) + d_through)


def _slopes(bare: Model, values: Any, x: Array, trials: Record, states: Any) -> tuple[Array, Array, Any]:
    """Log-likelihood of some trials, and its derivatives by parameters and states."""
    model = bare.join_values(values)
    value, back = jax.vjp(lambda x, states: _responses(model, x, states, trials), x, states)
    return value, *back(jnp.ones_like(value))


def _moved(bare: Model) -> Callable[..., tuple[Any, Any]]:
    """`_slopes`, and their changes along a direction of parameters and states.

    Several directions are gone through one after the other: compilers would compute what they have in common, most of the work
    of a density, anew for each.
    """

    def linear(values: Any, x: Array, trials: Record, states: Any) -> tuple[Any, Callable[..., Any]]:
        return jax.linearize(lambda x, states: _slopes(bare, values, x, trials, states), x, states)

    @custom_vmap
    def moved(values: Any, x: Array, way: Array, trials: Record, states: Any, change: Any) -> tuple[Any, Any]:
        found, push = linear(values, x, trials, states)
        return found, push(way, change)

    @moved.def_vmap
    def _(n: int, batched: Any, *args: Any) -> Any:
        each = jax.tree.map(lambda b, a: a if b else jnp.broadcast_to(a, (n, *jnp.shape(a))), tuple(batched), args)
        if any(jax.tree.leaves((batched[:2], batched[3:5]))):
            out = lax.map(lambda args: moved(*args), each)
            return out, jax.tree.map(lambda _: True, out)
        values, x, _, trials, states, _ = args
        found, push = linear(values, x, trials, states)
        moves = lax.map(lambda args: push(*args), (each[2], each[5]))
        return (found, moves), (jax.tree.map(lambda _: False, found), jax.tree.map(lambda _: True, moves))

    return moved


def _states(model: Model, x: Array, trials: Record) -> Any:
    """The state of every lane before each trial, (trial, ..., lane)."""
    p = over_lanes(model.record)(x)
    step = over_lanes(lambda p, state, trial: updated(model, p, state, trial, trial.learn, state_only=True)[0])
    return lax.scan(lambda state, trial: (step(p, state, trial), state), first_states(model, p, trials), trials)[1]


def _responses(model: Model, x: Array, states: Any, trials: Record) -> Array:
    """Log-likelihood of some trials of each lane, (lane,), given the state before each."""
    p = over_lanes(model.record)(x)
    one = over_lanes(lambda p, state, trial: counted(policies(model, p, state, trial), trial))
    return jax.vmap(one, in_axes=(None, 0, 0))(p, states, trials).sum(0)


def _cut(n_trials: int, n_lanes: int, tree: Any) -> Any:
    """Arrays (trial, ...) in pieces, (piece, row, ...); the last is filled with copies in which no response counts."""
    rows = -(-n_trials // min(-(-n_trials * n_lanes // CELLS), n_trials))
    more = -n_trials % rows

    def cut(a: Array) -> Array:
        last = jnp.zeros_like(a[-1:]) if a.dtype == bool else a[-1:]
        filled = jnp.concatenate([a, jnp.repeat(last, more, axis=0)]) if more else a
        return filled.reshape(-1, rows, *a.shape[1:])

    return jax.tree.map(cut, tree)


def _joined(tree: Any, n_trials: int) -> Any:
    """Arrays (piece, row, ...) as (trial, ...), without what fills the last piece."""
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:n_trials], tree)
