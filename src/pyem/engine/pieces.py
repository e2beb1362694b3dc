"""Division of sequences of models without a state: as trials are independent, few long lanes become many short ones."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from pyem.model.design import CONDITIONS
from pyem.model.model import Model
from pyem.model.record import Record

LANES = 128
"""Number of lanes at a time from which on more lanes do not help (measured: 14 lanes take three times as long a trial)."""
SHORTEST = 16
"""Number of trials of the shortest pieces; shorter ones would only add to what is compiled for other data."""


_sizes: dict[Any, int] = {}


def has_no_state(model: Model) -> bool:
    """Whether the trials of a model are independent of each other given its parameters."""
    return model.log_likelihood is None and state_size(model) == 0


def state_size(model: Model) -> int:
    """Number of values in the state of one lane."""
    inner = model if model.design is None else model.design.inner
    if inner.init is None:
        return 0
    if inner.init not in _sizes:
        with jax.enable_x64(True):
            p = jax.eval_shape(inner.record, jax.ShapeDtypeStruct((inner.n_params,), "float64"))
            _sizes[inner.init] = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(inner.init, p)))
    return _sizes[inner.init]


def rows_of_pieces(n_trials: int, n_lanes: int, lanes: int) -> int:
    """Length of pieces of `n_lanes` sequences such that there are roughly `lanes` of them.

    Examples
    --------
    >>> rows_of_pieces(285, 14, 128), rows_of_pieces(285, 200, 128), rows_of_pieces(20, 5, 128)
    (32, 285, 20)
    """
    pieces = min(lanes // max(n_lanes, 1), n_trials // SHORTEST)
    return -(-n_trials // pieces) if pieces > 1 else n_trials


def in_pieces(trials: Record, owner: np.ndarray, n_trials: int, rows: int) -> tuple[Record, np.ndarray]:
    """Trials (trial, ..., lane) as (row, ..., piece), those of a lane one after another, and the owner of each piece.

    The last piece of a lane is filled with copies of the last trial that count nothing, and pieces in which nothing counts are
    left out.
    """
    pieces = -(-n_trials // rows)

    def cut(a: np.ndarray) -> np.ndarray:
        filled = np.concatenate([a, np.repeat(a[-1:], pieces * rows - n_trials, axis=0)])
        if a.dtype == bool:
            filled[n_trials:] = False
        apart = filled.reshape(pieces, rows, *a.shape[1:])
        return np.moveaxis(apart, 0, -1).reshape(rows, *a.shape[1:-1], -1)

    laid: dict[str, Any] = {
        name: np.repeat(leaf, pieces, axis=-1) if name == CONDITIONS else jax.tree.map(cut, leaf)
        for name, leaf in trials.items()
    }
    counts = np.logical_or.reduce([mask.any(0) for mask in laid["responded"].values()])
    # Everybody keeps a piece.
    whose = np.repeat(owner, pieces)
    counts[np.unique(whose, return_index=True)[1]] = True
    return Record(**jax.tree.map(lambda a: a[..., counts], laid)), whose[counts]
