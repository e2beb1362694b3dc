"""Sharing of contexts: decisions made in the same state are evaluated only once.

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
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.engine.pasts import Events, Tree, at_parameters, events_of, merged, prefixes, random_parameters
from pyem.model.distribution import option_count
from pyem.model.log_softmax import log_softmax
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import initial_state, over_lanes, policies, updated
from pyem.numerics.jit import compiled

WORTH = 0.7
"""Amount of computation, as a share of the trials, below which contexts are shared."""
FEWEST = 200
"""Number of trials below which a search for contexts does not pay."""
MARGIN = 1e-8
"""Relative difference within which the shared log-likelihood must equal the plain one."""


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

        def chances(state: Any, shown: Record) -> dict[str, Array]:
            # Only arrays come out of `vmap`, and a distribution may have words among its parts.
            dists = policies(model, p, state, _with_masks(shown))
            return {name: log_softmax(dists[name].logits) for name in trials.counts}

        log_p = jax.vmap(chances)(here, trials.shown)
        return sum(jnp.where(counts > 0, counts * log_p[name], 0.0).sum() for name, counts in trials.counts.items())  # type: ignore[return-value]

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
    events = events_of(model, data)
    pasts = prefixes(events)
    for candidate in (merged(model, pasts, events), pasts):
        laid, cost = _laid_out(model, data, candidate, events, options, bucket)
        if cost > WORTH * events.valid.sum():
            return None
        if _equal(model, data, laid, pasts, events):
            return laid
    return None


def _options(model: Model, data: Dataset) -> dict[str, int] | None:
    """Number of options of each response; None if one is not categorical."""
    trial = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:-1], a.dtype), data.trials(model))
    counts: dict[str, int | None] = {}

    def look(x: Array, trial: Record) -> None:
        p = model.record(x)
        dists = policies(model, p, initial_state(model, p), trial)
        counts.update({name: option_count(d) for name, d in dists.items()})

    with jax.enable_x64(True):
        jax.eval_shape(look, jax.ShapeDtypeStruct((model.n_params,), jnp.float64), trial)
    # Columns shown between responses are not part of any context.
    known = {name: count for name, count in counts.items() if count is not None}
    return known if len(known) == len(counts) and not model.between else None


# -- laying out ---------------------------------------------------------------------------------------------------------


def _laid_out(
    model: Model, data: Dataset, tree: Tree, events: Events, options: dict[str, int], bucket: Callable[[int], int]
) -> tuple[Record, int]:
    """Arrays of every subject's nodes and contexts, and the number of them to compute."""
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

    counts, masks = {}, data.masks(model)[0]
    for name, n_options in options.items():
        counts[name] = np.zeros((width, n_options, data.n_subjects))
        counted = masks[name]
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
    """Index of each entry in its subject's list, and the length of the lists; `subject` is sorted."""
    counts = np.bincount(subject, minlength=n_subjects)
    slot = np.arange(len(subject)) - np.repeat(np.cumsum(counts) - counts, counts)
    return slot, bucket(int(counts.max()))


def _needed(tree: Tree, subject: np.ndarray, node: np.ndarray, n_subjects: int) -> np.ndarray:
    """(subject, node): whether a subject's evaluation needs a state: that of a context, or one on the way to it."""
    needed = np.zeros((n_subjects, len(tree.parent)), bool)
    needed[subject, node] = True
    for level in range(int(tree.level.max()), 0, -1):
        members = np.flatnonzero(tree.level == level)
        np.logical_or.at(needed.T, tree.parent[members], needed.T[members])
    needed[:, 0] = True
    return needed


def _places(tree: Tree, needed: np.ndarray, bucket: Callable[[int], int]) -> tuple[np.ndarray, int, int]:
    """Place of each state in each subject's array, level by level with 0 the first; number and width of levels."""
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
    """Replace masks that are True throughout by None, so that the treatment of missing values is not compiled."""
    return jax.tree.map(lambda a: None if a.dtype == bool and a.all() else a, trials)


def _with_masks(trials: Record) -> Record:
    return jax.tree.map(lambda a: np.True_ if a is None else a, trials, is_leaf=lambda a: a is None)


def _equal(model: Model, data: Dataset, laid: Record, pasts: Tree, events: Events) -> bool:
    """Whether the shared log-likelihood equals that of the plain scan at two more random parameters."""
    counted = data.masks(model)[0]
    with jax.enable_x64(True):
        contexts = jax.tree.map(jnp.asarray, laid)
        for x in random_parameters(model, 2, 2):
            plain = np.zeros(data.n_subjects)
            for name, choices in at_parameters(model, x, pasts, events)[1].items():
                trial, lane = np.nonzero(counted[name])
                chosen = events.fields[name][trial, lane].astype(int)
                np.add.at(plain, data.lane_subject[lane], choices[pasts.context[trial, lane], chosen])
            mine = np.asarray(_shared(model, jnp.asarray(np.repeat(x[:, None], data.n_subjects, axis=1)), contexts))
            if not np.allclose(mine, plain, rtol=MARGIN, atol=MARGIN):
                return False
    return True


_shared = compiled(0, quick=True)(log_lik)
