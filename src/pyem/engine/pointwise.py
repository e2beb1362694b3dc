"""The log-likelihood of single trials at many draws of the parameters, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.engine.layout import Chunk, batch, over_shards, picked, split
from pyem.model.model import Model
from pyem.model.rollout import rollout
from pyem.numerics.jit import TRACES, compiled

LARGEST = 2**31
"""Largest size of the result in bytes."""
WORKING_SET = 2**22
"""Number of values that are computed together."""
IN_MEMORY = 2**23
"""Number of pointwise values of some subjects that are in memory together."""


class Observed:
    """The trials that count in the likelihood, subject by subject."""

    def __init__(self, model: Model, data: Dataset) -> None:
        self.model, self.data = model, data
        self.responded, _ = data.masks(model)
        counts = np.any(list(self.responded.values()), axis=0)
        self.lane, self.row = np.nonzero(counts.T)

    def columns(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Columns of the data (obs, ...), NaN where one is missing."""
        variables: dict[str, Any] = {"obs": (("obs",), np.arange(len(self.row)))}
        for name in names:
            values = np.moveaxis(self.data.fields[name], -1, 1)[self.row, self.lane]
            here = self.responded.get(name, self.data.present[name])[self.row, self.lane]
            if not here.all():
                values = np.where(here.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)
            variables[name] = (("obs", *(f"{name}_dim_{k}" for k in range(values.ndim - 1))), values)
        return variables


def by_trial(model: Model, data: Dataset) -> bool:
    """Whether the model gives the log-likelihood of every trial (or only their sum)."""
    if model.log_likelihood is None:
        return True
    with jax.enable_x64(True):
        shape = lambda a: jax.ShapeDtypeStruct(a.shape[:-1], a.dtype)  # noqa: E731
        trials = jax.tree.map(shape, data.cut(np.array([0]), len(data.valid)).trials(model))
        trials = trials.with_values(responded=trials.responded[model.responses[0]])
        p = jax.eval_shape(model.record, jax.ShapeDtypeStruct((model.n_params,), jnp.float64))
        return jax.eval_shape(model.log_likelihood, p, trials).ndim > 0


@compiled(0)
def _shard_trial_log_lik(model: Model, shard: Chunk, x: Array) -> tuple[Array, ...]:
    TRACES[model.name, "trial_log_lik"] += 1

    def one(args: tuple[Chunk, Array]) -> tuple[Array, ...]:
        chunk, x = args
        return tuple(of_part(part, x) for part in chunk.parts)

    def of_part(part: Chunk, x: Array) -> Array:
        per_draw = lax.map(lambda x: rollout(model, x[:, part.lane_subject], part.trials, full=True)["log_lik"], x)
        return jnp.moveaxis(per_draw, 0, 1)

    return lax.map(one, (shard, x))


def require_room(draws: int, n: int) -> None:
    """Raise a ValueError if the log-likelihood of `n` observations at so many draws would be larger than 2 GiB."""
    if draws * n * 8 > LARGEST:
        raise ValueError(
            f"the log-likelihood of {draws} draws x {n} observations takes {draws * n * 8 / 2**30:.1f} GiB; pass a smaller "
            f"draws= (up to {LARGEST // (8 * n)}), log_likelihood='subject' or log_likelihood=False"
        )


def trial_log_lik(model: Model, data: Dataset, x: np.ndarray, lane: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Log-likelihood (draw, obs), in nats, of some trials at unconstrained parameters (S, draw, P).

    Works through the draws in chunks, so that little more than the result is in memory.
    """
    draws = x.shape[1]
    require_room(draws, len(row))
    laid = batch(model, data, by_trial=True)
    together = min(draws, max(1, WORKING_SET // max(laid.n_cells, 1)))
    out = np.empty((draws, len(row)))
    for start in range(0, draws, together):
        part = x[:, start : start + together]
        if part.shape[1] < together:
            # The last chunk is filled up, because another shape would be compiled anew.
            part = np.concatenate([part, np.repeat(part[:, -1:], together - part.shape[1], axis=1)], axis=1)
        with jax.enable_x64(True):
            shards = over_shards(partial(_shard_trial_log_lik, model), laid, split(part, laid))
        out[start : start + together] = picked(laid, shards, lane, row).T[: draws - start]
    return out


# -- some subjects at a time ----------------------------------------------------------------------------------------------


def units(model: Model, data: Dataset, unit: Literal["trial", "block"]) -> tuple[np.ndarray, np.ndarray]:
    """Lane and row of every unit in the likelihood: each trial with a response, or each block with its first.

    Raises
    ------
    ValueError
        If the unit is the trial, but the model gives no value for single trials.
    """
    if unit == "trial" and not by_trial(model, data):
        raise ValueError(
            f"model {model.name!r} gives the log-likelihood of a block, not of single trials; pass unit='block'"
        )
    observed = Observed(model, data)
    if unit == "trial":
        return observed.lane, observed.row
    lane, first = np.unique(observed.lane, return_index=True)
    return lane, observed.row[first]


def chunks_of(
    model: Model, data: Dataset, x: np.ndarray, unit: Literal["trial", "block"]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Log-likelihood (draw, unit) of some units at a time, with their lanes and rows; subjects one after another.

    Parameters
    ----------
    model, data
        The model, and its data.
    x
        Draws of the unconstrained parameters, (draw, S, P).
    unit
        Unit of the log-likelihood.
    """
    lane, row = units(model, data, unit)
    observed = Observed(model, data)
    n_subjects = data.n_subjects
    # Padded to the length of the longest block, as the compiled function works with it.
    per_subject = int(np.bincount(data.lane_subject).max() * data.valid.shape[0])
    n_chunks = -(-len(x) * per_subject * n_subjects // IN_MEMORY)
    together = -(-n_subjects // min(n_chunks, n_subjects))
    for start in range(0, n_subjects, together):
        # Another number of subjects would be compiled anew: the last ones are filled up with others.
        some = np.arange(start, start + together) % n_subjects
        new = min(together, n_subjects - start)
        lanes = np.flatnonzero(np.isin(data.lane_subject, some[:new]))
        mine = np.isin(observed.lane, lanes)
        local = np.searchsorted(lanes, observed.lane[mine])
        part = data if len(some) == n_subjects else data.select(some)
        values = trial_log_lik(model, part, np.swapaxes(x[:, some], 0, 1), local, observed.row[mine])
        here = np.isin(lane, lanes)
        if unit == "block":
            values = np.add.reduceat(values, np.flatnonzero(np.diff(local, prepend=-1)), axis=1)
        yield values, lane[here], row[here]
