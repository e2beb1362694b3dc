"""Pasts: groups of trials of a data set that have the same state before them.

Trials with the same past in their block have the same state, and so have others whose states are equal at random parameters.
Pasts form a tree: a node is a state that some event led to from the state of its parent.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.model.log_softmax import log_softmax
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import initial_state, over_lanes, policies, updated
from pyem.numerics.jit import compiled

EQUAL = 1e-9
"""Difference, relative to the size of each value, below which states are the same (at all random parameters)."""


class Events(NamedTuple):
    """Events on the trials of a data set, as numbers: (trial, lane)."""

    shown: np.ndarray
    """Codes of the stimuli before the response."""
    done: np.ndarray
    """Codes of the response and its outcomes."""
    valid: np.ndarray
    fields: dict[str, Any]
    """Columns and masks by name, as a model's functions receive them, (trial, ..., lane)."""


class Tree(NamedTuple):
    """States (numbered from 0, the one before the first trial) and contexts of a data set."""

    node: np.ndarray
    """State before each trial, (trial, lane)."""
    context: np.ndarray
    """Context of each trial, (trial, lane); -1 for padding."""
    node_at: np.ndarray
    """Position (trial, lane) of a trial that has each state before it, (node, 2)."""
    context_at: np.ndarray
    """Position of a trial with each context, (context, 2)."""
    parent: np.ndarray
    """Index of a state that leads to each state by the trial before it, (node,); -1 for the first."""
    event_at: np.ndarray
    """Position of the trial that leads from the parent to the state, (node, 2)."""
    level: np.ndarray
    """Number of trials from the start to each state, along the parents, (node,)."""


def events_of(model: Model, data: Dataset) -> Events:
    """Events on the trials of `data`, as `model` sees them."""
    trials = data.trials(model)
    fields: dict[str, Any] = {name: trials[name] for name in model.columns}
    fields |= {"responded": trials.responded, "learn": trials.learn}
    seen = trials.seen if "seen" in trials else {}
    if seen:
        fields["seen"] = seen
    before = [fields[name] for name in model.inputs] + [seen[name] for name in model.inputs if name in seen]
    after = [fields[name] for name in model.responses + model.outcomes]
    after += [seen[name] for name in model.outcomes if name in seen]
    after += [*trials.responded.values(), trials.learn]
    shape = data.valid.shape
    return Events(_numbered(before, shape), _numbered(after, shape), data.valid, fields)


def _numbered(arrays: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """One number for each different combination of values, (trial, lane)."""
    code = np.zeros(int(np.prod(shape)), np.int64)
    for array in arrays:
        rows = np.moveaxis(array, -1, 1).reshape(len(code), -1)
        for column in rows.T:
            code = _pairs(code, np.unique(column, return_inverse=True)[1].reshape(-1))
    return code.reshape(shape)


def _pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Small number for each different pair."""
    return np.unique(a * (int(b.max(initial=0)) + 1) + b, return_inverse=True)[1].reshape(a.shape)


def prefixes(events: Events) -> Tree:
    """The tree of pasts: trials have the same state if everything before them in their block is the same."""
    n_trials, n_lanes = events.valid.shape
    node = np.zeros((n_trials, n_lanes), np.int64)
    context = np.full((n_trials, n_lanes), -1)
    node_at, parent, event_at = [np.array([[0, 0]])], [np.array([-1])], [np.array([[0, 0]])]
    context_at: list[np.ndarray] = []
    n_nodes, n_contexts = 1, 0
    for t in range(n_trials):
        lanes = np.flatnonzero(events.valid[t])
        _, where, which = np.unique(
            _pairs(node[t, lanes], events.shown[t, lanes]), return_index=True, return_inverse=True
        )
        context[t, lanes] = n_contexts + which
        context_at.append(np.stack([np.full(len(where), t), lanes[where]], axis=1))
        n_contexts += len(where)
        if t + 1 == n_trials:
            break
        going = np.flatnonzero(events.valid[t + 1])
        _, where, which = np.unique(
            _pairs(context[t, going], events.done[t, going]), return_index=True, return_inverse=True
        )
        node[t + 1, going] = n_nodes + which
        origin = going[where]
        node_at.append(np.stack([np.full(len(where), t + 1), origin], axis=1))
        event_at.append(np.stack([np.full(len(where), t), origin], axis=1))
        parent.append(node[t, origin])
        n_nodes += len(where)
    at, leads = np.concatenate(node_at), np.concatenate(parent)
    return Tree(node, context, at, np.concatenate(context_at), leads, np.concatenate(event_at), at[:, 0].copy())


def merged(model: Model, tree: Tree, events: Events) -> Tree:
    """The tree with equal states merged, and contexts of equal choice: beliefs often forget how they came about."""
    states, choices = _at_random(model, tree, events)
    group = _groups(states)
    # The first node of a group stands for it; each group takes the shortest way there.
    n_groups = int(group.max()) + 1
    first = np.full(n_groups, len(group))
    np.minimum.at(first, group, np.arange(len(group)))
    level = np.full(n_groups, len(group))
    level[group[0]] = 0
    parent, event_at = np.full(n_groups, -1), np.zeros((n_groups, 2), int)
    origin = group[np.maximum(tree.parent, 0)]
    while True:
        through = level[origin] + 1
        through[tree.parent < 0] = 0
        order = np.lexsort((np.arange(len(group)), through, group))
        best = order[np.searchsorted(group[order], np.arange(n_groups))]
        better = through[best] < level
        if not better.any():
            break
        level[better] = through[best][better]
        parent[better], event_at[better] = origin[best][better], tree.event_at[best][better]
    node = group[tree.node]
    # Of the contexts with the same choice, the one reached soonest represents all.
    alike = _groups(choices)
    order = np.lexsort((level[node[tuple(tree.context_at.T)]], alike))
    stands = order[np.searchsorted(alike[order], np.arange(int(alike.max()) + 1))]
    context = np.where(events.valid, alike[tree.context], -1)
    return Tree(node, context, tree.node_at[first], tree.context_at[stands], parent, event_at, level)


def _at_random(model: Model, pasts: Tree, events: Events) -> tuple[np.ndarray, np.ndarray]:
    """The state of every node, (node, value), and the choice in every context, (context, value), at random parameters."""
    with jax.enable_x64(True):
        points = [at_parameters(model, x, pasts, events) for x in random_parameters(model, 3, 1)]
    states = [part for state, _ in points for part in state]
    choices = [part for _, choice in points for part in choice.values()]
    return np.concatenate([np.zeros((len(pasts.node_at), 1)), *states], axis=1), np.concatenate(choices, axis=1)


def at_parameters(
    model: Model, x: np.ndarray, pasts: Tree, events: Events
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Run the plain scan at one parameter: parts of the state of every node, and log-probabilities in every context."""
    lanes, place = np.unique(np.concatenate([pasts.node_at, pasts.context_at])[:, 1], return_inverse=True)
    trials = jax.tree.map(lambda a: jnp.asarray(a[..., lanes]), Record(**events.fields))
    out = _rollout(model, jnp.asarray(np.repeat(x[:, None], len(lanes), axis=1)), trials)

    def values(leaf: Array, at: np.ndarray, lane: np.ndarray) -> np.ndarray:
        return np.moveaxis(np.asarray(leaf), -1, 1)[at[:, 0], lane].reshape(len(at), -1)

    n_nodes = len(pasts.node_at)
    states = [values(leaf, pasts.node_at, place[:n_nodes]) for leaf in jax.tree.leaves(out["state"])]
    return states, {k: values(leaf, pasts.context_at, place[n_nodes:]) for k, leaf in out["choices"].items()}


@compiled(0, quick=True)
def _rollout(model: Model, x: Array, trials: Record) -> dict[str, Any]:
    """States before each trial and log-probabilities of all options, (trial, ..., lane)."""
    p = over_lanes(model.record)(x)

    def lane(p: Record, state: Any, trial: Record) -> Any:
        dists = policies(model, p, state, trial)
        choices = {name: log_softmax(d.logits) for name, d in dists.items()}
        return updated(model, p, state, trial, trial.learn)[0], {"state": state, "choices": choices}

    start = over_lanes(lambda p: initial_state(model, p))(p)
    return lax.scan(lambda state, trial: over_lanes(lane)(p, state, trial), start, trials)[1]


def random_parameters(model: Model, n: int, seed: int) -> np.ndarray:
    """Random parameters without special values, (n, P)."""
    mean, sd = model.typical
    return mean + sd * np.random.default_rng(seed).uniform(-1.5, 1.5, (n, model.n_params))


def _groups(values: np.ndarray) -> np.ndarray:
    """Number for each row such that equal rows have the same number; row 0 has number 0."""
    scale = np.maximum(np.abs(values).max(0), 1e-300)
    values = values / scale
    direction = np.random.default_rng(0).uniform(0.5, 1, values.shape[1]) / values.shape[1]
    line = values @ direction
    order = np.argsort(line, kind="stable")
    new = np.diff(line[order], prepend=-np.inf) > EQUAL
    # Neighbours on the line need not be equal: every row must be close to the first of its group.
    start = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    apart = np.abs(values[order] - values[order[start]]).max(1) > EQUAL
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(new) - 1
    group[order[apart]] = group.max() + 1 + np.arange(int(apart.sum()))
    first_seen = np.unique(group, return_index=True)[1]
    rank = np.empty(len(first_seen), np.int64)
    rank[np.argsort(first_seen, kind="stable")] = np.arange(len(first_seen))
    return rank[group]
