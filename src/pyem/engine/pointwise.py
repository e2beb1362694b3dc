"""The log-likelihood of single trials at many draws of the parameters, in bounded memory."""

from __future__ import annotations

from functools import partial
from typing import Any

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
"""Bytes of the result, at most."""
WORKING_SET = 2**22
"""Values computed together."""


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


def trial_log_lik(model: Model, data: Dataset, x: np.ndarray, lane: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Log-likelihood (draw, obs), in nats, of some trials at unconstrained parameters (S, draw, P).

    Works through the draws in chunks, so that little more than the result is in memory.
    """
    draws = x.shape[1]
    if draws * len(row) * 8 > LARGEST:
        raise ValueError(
            f"the log-likelihood of {draws} draws x {len(row)} observations takes {draws * len(row) * 8 / 2**30:.1f} GiB; "
            f"pass a smaller draws= (up to {LARGEST // (8 * len(row))}) or log_likelihood=False"
        )
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
