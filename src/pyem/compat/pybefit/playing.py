"""Simulation of agents in a task, in the layout of pybefit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.aif.measurements import controls_of, observed_columns
from pyem.aif.structure import all_actions
from pyem.aif.tasks import Episodes, LookAhead, ahead, hidden, hidden_of
from pyem.compat.pybefit.tracing import double, is_compiled
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import rollout
from pyem.numerics.jit import compiled
from pyem.numerics.rng import as_key
from pyem.simulation.play import LITTLE, play_lanes

_Size = tuple[int, int, int]
"""Agents, blocks, trials of a block."""


def played(model: Model, size: _Size, z: Array, key: Array) -> dict[str, Any]:
    """The sites of agents with parameters `z` (agent, parameter), by name.

    Whole numbers are of 32 bits, others of single precision.
    """
    with double(z):
        return (_played if is_compiled(z) else _played_compiled)(model, size, z, as_key(key))


def _played(model: Model, size: _Size, z: Array, key: Array) -> dict[str, Any]:
    learns = "start" in model.inputs
    _, blocks, trials = size
    lanes, steps = (1, blocks * trials) if learns else (blocks, trials)
    task = LookAhead(model.task, model.inputs)
    x = jnp.repeat(z.astype(float).T, lanes, axis=1)
    world = Episodes(task, trials) if learns else task
    fields, _, _ = play_lanes(model, world, steps, x, key, jnp.zeros(()), None, {})
    return _laid_out(model, fields, _looked_at(model, x, fields), size)


_played_compiled = compiled(0, 1, quick=lambda model, size, *_: size[0] * size[1] * size[2] <= LITTLE)(_played)


def _looked_at(model: Model, x: Array, fields: Mapping[str, Array]) -> dict[str, Any]:
    """Beliefs and log-probabilities on every trial that was played."""
    every = jnp.ones(fields[model.responses[0]].shape, bool)
    columns = {name: fields[name] for name in (*model.inputs, *model.responses)}
    seen = dict.fromkeys(model.optional, every)
    return rollout(
        model, x, Record(**columns, responded={model.responses[0]: every}, learn=every, seen=seen), full=True
    )


def _laid_out(model: Model, fields: Mapping[str, Array], full: Mapping[str, Any], size: _Size) -> dict[str, Any]:
    agents, blocks, trials = size

    def ordered(array: Array) -> Array:
        """Reorder (trial, ..., lane) to (block, agent, trial, ...)."""
        rest = array.shape[1:-1]
        array = jnp.moveaxis(array, -1, 0).reshape(agents, blocks, trials, *rest)
        whole = not jnp.issubdtype(array.dtype, jnp.inexact)
        return jnp.moveaxis(array, 1, 0).astype(jnp.int32 if whole else jnp.float32)

    def to_the_end(name: str) -> Array:
        """Return the values before each action, and after the last one of a block."""
        return jnp.concatenate([ordered(fields[name]), ordered(fields[ahead(name)])[:, :, -1:]], axis=2)

    actions = ordered(fields[model.responses[0]])
    return {
        "outcomes": [to_the_end(name) for name in observed_columns(model)],
        "states": _states(model.task, to_the_end),
        "multiactions": jnp.asarray(all_actions(controls_of(model)), jnp.int32)[actions],
        "multiaction_probs": jnp.exp(ordered(full["log_probs"][0])),
        "beliefs": [ordered(full["latents"][name]) for name in _beliefs(full["latents"])],
    }


def _states(task: Any, column: Any) -> Any:
    """The environment's states as it keeps them; those of the factors are a list."""
    kept = jax.eval_shape(lambda key: hidden_of(task, task.init(key)), jax.random.key(0))
    tree = jax.tree.structure(kept)
    states = jax.tree.unflatten(tree, [column(hidden(k)) for k in range(tree.num_leaves)])
    return list(states) if isinstance(states, tuple) else states


def _beliefs(latents: Mapping[str, Array]) -> list[str]:
    """Names of the beliefs, factor by factor."""
    return sorted((name for name in latents if name.startswith("belief")), key=lambda name: int(name[len("belief") :]))
