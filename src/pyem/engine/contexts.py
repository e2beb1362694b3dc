"""Sharing of contexts: decisions made in the same state of mind are evaluated once.

Where blocks start afresh, what a subject does on a trial depends on the past only through the model's state. In a short task
with few different events, thousands of decisions are made in a few dozen states. They are found once, when the data are
laid out: trials with the same past in their block have the same state, and so have others whose states are equal at random
parameters. The log-likelihood is then a sum over contexts (a state, and what is shown) of how often each option was chosen
there, times its log-probability.

Pasts form a tree: a node is a state that some event led to from the state of its parent. Each subject has the nodes that it
needs, by depth, so that all subjects and all nodes of a depth are computed together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.model.distribution import option_logits
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import initial_state, over_lanes, policies, updated
from pyem.numerics.jit import compiled

WORTH = 0.7
"""Contexts are shared if there is less to compute than this share of the trials."""
FEWEST = 200
"""Trials of a data set below which nothing is gained by a search."""
EQUAL = 1e-9
"""States are the same if they differ by less, relative to the size of each value, at all random parameters."""
MARGIN = 1e-8
"""The shared log-likelihood must equal the plain one to this, relative to its size."""


class Events(NamedTuple):
    """What happens on the trials of a data set, as numbers: (trial, lane)."""

    shown: np.ndarray
    """Of what is shown before the response."""
    done: np.ndarray
    """Of the response and what comes of it."""
    valid: np.ndarray
    fields: dict[str, Any]
    """Columns and masks by name, as a model's functions get them, (trial, ..., lane)."""


class Tree(NamedTuple):
    """States (numbered from 0, the one before the first trial) and contexts of a data set."""

    node: np.ndarray
    """State before each trial, (trial, lane)."""
    context: np.ndarray
    """Context of each trial, (trial, lane); -1 for padding."""
    node_at: np.ndarray
    """A trial before which each state is found, as (trial, lane), (node, 2)."""
    context_at: np.ndarray
    """A trial with each context, (context, 2)."""
    parent: np.ndarray
    """A state that leads to each state by the trial before it, (node,); -1 for the first."""
    event_at: np.ndarray
    """The trial that leads from the parent to the state, (node, 2)."""
    level: np.ndarray
    """Trials from the start to each state, along the parents, (node,)."""


# -- evaluation ---------------------------------------------------------------------------------------------------------


def log_lik(model: Model, x: Array, trials: Record) -> Array:
    """Log-likelihood (S,), in nats, at unconstrained `x` (P, S), from contexts as laid out by `shared`."""

    def subject(x: Array, trials: Record) -> Array:
        p = model.record(x)
        first = initial_state(model, p)
        n_nodes = trials.parent.shape[1]

        def move_on(state: Any, event: Record) -> Any:
            event = _with_masks(event)
            return updated(model, p, state, event, event.learn, state_only=True)[0]

        def deeper(states: Any, level: tuple[Array, Record]) -> tuple[Any, Any]:
            parent, events = level
            after = jax.vmap(move_on)(jax.tree.map(lambda a: _rows(a, parent), states), events)
            return after, after

        start = jax.tree.map(lambda a: jnp.broadcast_to(a, (n_nodes, *a.shape)), first)
        _, later = lax.scan(deeper, start, (trials.parent, trials.events))
        states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b.reshape(-1, *a.shape)]), first, later)
        here = jax.tree.map(lambda a: _rows(a, trials.node), states)
        dists = jax.vmap(lambda state, shown: policies(model, p, state, _with_masks(shown)))(here, trials.shown)
        return sum(
            jnp.where(counts > 0, counts * jax.nn.log_softmax(dists[name].logits, axis=-1), 0.0).sum()
            for name, counts in trials.counts.items()
        )  # type: ignore[return-value]

    return over_lanes(subject)(x, trials)


def _rows(a: Array, index: Array) -> Array:
    return a.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


# -- finding them -------------------------------------------------------------------------------------------------------


def shared(model: Model, data: Dataset, bucket: Callable[[int], int]) -> Record | None:
    """The contexts of every subject, laid out for `log_lik` with the subject as the last axis; None if not worthwhile.

    Parameters
    ----------
    model, data
        A model with categorical responses.
    bucket
        Rounds sizes up, so that similar data share a compilation.
    """
    options = _options(model, data) if data.n_trials >= FEWEST else None
    if options is None:
        return None
    events = _events(model, data)
    pasts = _prefixes(events)
    for candidate in (_merged(model, pasts, events), pasts):
        laid, cost = _laid_out(model, data, candidate, events, options, bucket)
        if cost > WORTH * events.valid.sum():
            return None
        if _equal(model, data, laid, pasts, events):
            return laid
    return None


def _options(model: Model, data: Dataset) -> dict[str, int] | None:
    """Number of options of each response; None if one is not categorical."""
    trial = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:-1], a.dtype), data.trials(model))

    def one(x: Array, trial: Record) -> Any:
        p = model.record(x)
        dists = policies(model, p, initial_state(model, p), trial)
        return {name: option_logits(d) for name, d in dists.items()}

    with jax.enable_x64(True):
        logits = jax.eval_shape(one, jax.ShapeDtypeStruct((model.n_params,), jnp.float64), trial)
    if any(value is None for value in logits.values()):
        return None
    return {name: int(value.shape[-1]) for name, value in logits.items()}


def _events(model: Model, data: Dataset) -> Events:
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
    """A number for each different pair, small."""
    return np.unique(a * (int(b.max(initial=0)) + 1) + b, return_inverse=True)[1].reshape(a.shape)


def _prefixes(events: Events) -> Tree:
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


def _merged(model: Model, tree: Tree, events: Events) -> Tree:
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
    # Of the contexts where the choice is the same, the one soonest reached stands for all.
    alike = _groups(choices)
    order = np.lexsort((level[node[tuple(tree.context_at.T)]], alike))
    stands = order[np.searchsorted(alike[order], np.arange(int(alike.max()) + 1))]
    context = np.where(events.valid, alike[tree.context], -1)
    return Tree(node, context, tree.node_at[first], tree.context_at[stands], parent, event_at, level)


def _at_random(model: Model, pasts: Tree, events: Events) -> tuple[np.ndarray, np.ndarray]:
    """The state of every node, (node, value), and the choice in every context, (context, value), at random parameters."""
    with jax.enable_x64(True):
        points = [_at(model, x, pasts, events) for x in _random(model, 3, 1)]
    states = [part for state, _ in points for part in state]
    choices = [part for _, choice in points for part in choice.values()]
    return np.concatenate([np.zeros((len(pasts.node_at), 1)), *states], axis=1), np.concatenate(choices, axis=1)


def _at(model: Model, x: np.ndarray, pasts: Tree, events: Events) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """The plain scan at one parameter: parts of the state of every node, and log-probabilities in every context."""
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
        choices = {name: jax.nn.log_softmax(d.logits, axis=-1) for name, d in dists.items()}
        return updated(model, p, state, trial, trial.learn)[0], {"state": state, "choices": choices}

    start = over_lanes(lambda p: initial_state(model, p))(p)
    return lax.scan(lambda state, trial: over_lanes(lane)(p, state, trial), start, trials)[1]


def _random(model: Model, n: int, seed: int) -> np.ndarray:
    """Parameters in general position, (n, P)."""
    mean, sd = model.typical
    return mean + sd * np.random.default_rng(seed).uniform(-1.5, 1.5, (n, model.n_params))


def _groups(values: np.ndarray) -> np.ndarray:
    """A number for each row such that rows of one number are equal; row 0 has number 0."""
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


# -- laying out ---------------------------------------------------------------------------------------------------------


def _laid_out(
    model: Model, data: Dataset, tree: Tree, events: Events, options: dict[str, int], bucket: Callable[[int], int]
) -> tuple[Record, int]:
    """Every subject's nodes and contexts, and how many there are to compute."""
    who = np.broadcast_to(data.lane_subject, events.valid.shape)[events.valid]
    context = tree.context[events.valid]
    subject, which = np.divmod(np.unique(who * len(tree.context_at) + context), len(tree.context_at))
    slot, width = _slots(subject, data.n_subjects, bucket)
    node_of_context = tree.node[tuple(tree.context_at.T)]
    needed = _needed(tree, subject, node_of_context[which], data.n_subjects)
    places, depth, breadth = _places(tree, needed, bucket)

    position = np.full((data.n_subjects, len(tree.context_at)), -1, np.int32)
    position[subject, which] = slot
    shown_at = np.zeros((width, data.n_subjects, 2), int)
    shown_at[slot, subject] = tree.context_at[which]
    node = np.zeros((width, data.n_subjects), np.int32)
    node[slot, subject] = places[subject, node_of_context[which]]

    owner, member = np.nonzero(needed & (tree.level > 0))
    row, column = np.divmod(places[owner, member] - 1, breadth)
    parent = np.zeros((depth, breadth, data.n_subjects), np.int32)
    # The parent's place among the nodes of the level above.
    parent[row, column, owner] = np.where(row > 0, (places[owner, tree.parent[member]] - 1) % breadth, 0)
    event_at = np.zeros((depth, breadth, data.n_subjects, 2), int)
    event_at[row, column, owner] = tree.event_at[member]

    counts = {}
    for name, n_options in options.items():
        counts[name] = np.zeros((width, n_options, data.n_subjects))
        counted = events.fields["responded"][name] & events.valid
        lane = np.nonzero(counted)[1]
        owner = data.lane_subject[lane]
        chosen = events.fields[name][counted].astype(int)
        np.add.at(counts[name], (position[owner, tree.context[counted]], chosen, owner), 1.0)
    before = (*model.inputs, "responded", "seen")
    laid = Record(
        shown=_gathered({k: v for k, v in events.fields.items() if k in before}, shown_at),
        events=_gathered(events.fields, event_at),
        parent=parent,
        node=node,
        counts=counts,
    )
    return laid, data.n_subjects * (width + depth * breadth // 4)


def _slots(subject: np.ndarray, n_subjects: int, bucket: Callable[[int], int]) -> tuple[np.ndarray, int]:
    """The place of each entry in its subject's list, and the length of the lists; `subject` is sorted."""
    counts = np.bincount(subject, minlength=n_subjects)
    slot = np.arange(len(subject)) - np.repeat(np.cumsum(counts) - counts, counts)
    return slot, bucket(int(counts.max()))


def _needed(tree: Tree, subject: np.ndarray, node: np.ndarray, n_subjects: int) -> np.ndarray:
    """Whose evaluation needs which state, (subject, node): those of its contexts, and all on the way there."""
    needed = np.zeros((n_subjects, len(tree.parent)), bool)
    needed[subject, node] = True
    for level in range(int(tree.level.max()), 0, -1):
        members = np.flatnonzero(tree.level == level)
        np.logical_or.at(needed.T, tree.parent[members], needed.T[members])
    needed[:, 0] = True
    return needed


def _places(tree: Tree, needed: np.ndarray, bucket: Callable[[int], int]) -> tuple[np.ndarray, int, int]:
    """Where each subject keeps each state: 0 for the first, then level by level; number of levels, and width of one."""
    order = np.zeros(needed.shape, np.int32)
    depth = int(tree.level.max())
    widest = 1
    for level in range(1, depth + 1):
        members = np.flatnonzero(tree.level == level)
        ranks = np.cumsum(needed[:, members], axis=1)
        order[:, members] = ranks - 1
        widest = max(widest, int(ranks[:, -1].max(initial=0)))
    breadth = bucket(widest)
    places = np.where(tree.level > 0, 1 + (tree.level - 1) * breadth + order, 0)
    return places.astype(np.int32), bucket(max(depth, 1)), breadth


def _gathered(fields: dict[str, Any], at: np.ndarray) -> Record:
    """Values of all fields at trials (..., S, 2): (..., value, S)."""

    def take(array: np.ndarray) -> np.ndarray:
        picked = np.moveaxis(array, -1, 1)[at[..., 0], at[..., 1]]
        return np.moveaxis(picked, at.ndim - 2, -1)

    return _without_masks(Record(**jax.tree.map(take, fields)))


def _without_masks(trials: Record) -> Record:
    """Masks that are True throughout as None: what a model does about missing values is then not even compiled."""
    return jax.tree.map(lambda a: None if a.dtype == bool and a.all() else a, trials)


def _with_masks(trials: Record) -> Record:
    return jax.tree.map(lambda a: np.True_ if a is None else a, trials, is_leaf=lambda a: a is None)


def _equal(model: Model, data: Dataset, laid: Record, pasts: Tree, events: Events) -> bool:
    """Whether the shared log-likelihood is that of the plain scan, at two more random parameters."""
    counted = {name: mask & events.valid for name, mask in events.fields["responded"].items()}
    with jax.enable_x64(True):
        contexts = jax.tree.map(jnp.asarray, laid)
        for x in _random(model, 2, 2):
            plain = np.zeros(data.n_subjects)
            for name, choices in _at(model, x, pasts, events)[1].items():
                trial, lane = np.nonzero(counted[name])
                chosen = events.fields[name][trial, lane].astype(int)
                np.add.at(plain, data.lane_subject[lane], choices[pasts.context[trial, lane], chosen])
            mine = np.asarray(_shared(model, jnp.asarray(np.repeat(x[:, None], data.n_subjects, axis=1)), contexts))
            if not np.allclose(mine, plain, rtol=MARGIN, atol=MARGIN):
                return False
    return True


_shared = compiled(0, quick=True)(log_lik)
