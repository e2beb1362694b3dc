"""A walk along the histories of people, with the distribution of each response one step ahead of what was done and earned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import first_states, over_lanes, policies, updated

DRAWS = 10_000
"""Rough number of responses that are drawn."""


def histories(model: Model, data: Dataset) -> tuple[Record, int]:
    """Take trials of as many blocks as are needed, repeated as needed, and the number of lanes."""
    trials, responded = data.trials(model), data.masks(model)[0]
    counts = np.any(list(responded.values()), axis=0)
    rows = min(len(counts), 1000)
    per_lane = counts[:rows].sum(0)
    order = np.argsort(per_lane == 0, kind="stable")
    enough = int(np.searchsorted(np.cumsum(per_lane[order]), DRAWS)) + 1
    some = order[: min(enough, int((per_lane > 0).sum()))]
    times = max(1, round(DRAWS / max(per_lane[some].sum(), 1)))
    which = np.tile(some, times)
    return jax.tree.map(lambda a: a[:rows][..., which], trials), len(which)


def walk(model: Model, x: Array, trials: Record, extra: Any, each: Callable[..., Any]) -> Any:
    """Apply ``each(distribution, extra, name)`` to every response of every trial, given the trials before it in the data."""
    p = over_lanes(model.record)(x)

    def lane_step(p: Record, state: Any, trial: Record, extra: Any) -> Any:
        dists = policies(model, p, state, trial)
        new, _ = updated(model, p, state, trial, trial.learn, state_only=True)
        return new, {name: each(dist, extra, name) for name, dist in dists.items()}

    def body(state: Any, now: Any) -> Any:
        return over_lanes(lane_step)(p, state, *now)

    return lax.scan(body, first_states(model, p, trials), (trials, extra))[1]
