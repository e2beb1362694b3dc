"""Descriptions of where the updates of a model have no value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import trial_values
from pyem.errors import shown
from pyem.model.model import Model
from pyem.model.rollout import diverged


class Line(NamedTuple):
    """The log-likelihood of people along one parameter."""

    parameter: int
    """Index of the parameter."""
    x: np.ndarray
    """Unconstrained parameters in the middle of the line, (S, P)."""
    grid: np.ndarray
    """Distances of the points from the middle, (n,)."""
    points: np.ndarray
    """Values and slopes at the points, (n, 2, S)."""
    at: Callable[[np.ndarray], np.ndarray]
    """Function that returns value and slope (2, S) at other distances (S,)."""


def diverges_at(model: Model, data: Dataset, x: np.ndarray) -> str | None:
    """Describe the first trial before which a state is not finite or an update had no value; None if there is none."""
    if model.policy is None or model.init is None:
        return None
    bad = _lost(trial_values(model, data, x)["state"]) & data.valid
    if not bad.any():
        return None
    lane = int(bad.any(0).argmax())
    row = int(bad[:, lane].argmax())
    return f"trial {row} of block {data.lane_block[lane]} of subject {shown(data.subjects[data.lane_subject[lane]])}"


def _lost(state: Any) -> np.ndarray:
    """(trial, lane): whether a part of the state is not finite, or its entry ``diverged`` is not 0."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    broken = [~np.isfinite(leaf).reshape(len(leaf), -1, leaf.shape[-1]).all(1) for leaf in leaves]
    said = diverged(state)
    return np.logical_or.reduce(broken if said is None else [*broken, np.asarray(said) > 0])


def diverges_along(model: Model, data: Dataset, line: Line) -> list[str]:
    """Describe from where on along a parameter some person's updates have no value, if anywhere."""
    lost = ~np.isfinite(line.points[:, 0])
    if not lost.any() or lost[len(lost) // 2].any():
        return []
    nearest = np.where(lost.any(1), np.abs(line.grid), np.inf).argmin()
    x = line.x + line.grid[nearest] * np.eye(line.x.shape[1])[line.parameter]
    if diverges_at(model, data, x) is None:
        return []
    value = model.natural(x[0])[line.parameter]
    return [
        f"the update diverges (likelihood zero) for {int(lost.any(0).sum())} of {lost.shape[1]} subjects where "
        f"{model.names[line.parameter]} passes {value:.4g}"
    ]
