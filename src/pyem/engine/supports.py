"""Checks for responses that a distribution cannot have: half a count, too many successes, a rating at the scale's end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import DataError, shown
from pyem.model.distribution import Binomial, NegativeBinomial, Poisson
from pyem.model.model import Model
from pyem.model.ratings import Beta
from pyem.model.record import Record
from pyem.model.rollout import initial_state, policies
from pyem.numerics.lapack import one_by_one


def require_supported(model: Model, data: Dataset, kinds: Mapping[str, type]) -> None:
    """Raise unless every response is one that its distribution can have, which is of these kinds.

    Raises
    ------
    DataError
        That names the column, the value, its subject, and what to do.
    """
    for name, kind in kinds.items():
        if kind in (Poisson, NegativeBinomial, Binomial):
            _whole(model, data, name)
        if kind is Binomial:
            _not_above(model, data, name)
        if kind is Beta:
            _between_ends(model, data, name)


def _first(data: Dataset, name: str, bad: np.ndarray) -> tuple[float, Any, tuple[int, int]] | None:
    """First bad value (trial, lane), and the position of it."""
    found = np.argwhere(bad & data.present[name] & data.valid)
    if not len(found):
        return None
    row, lane = (int(k) for k in found[0])
    return float(data.fields[name][row, lane]), shown(data.subjects[data.lane_subject[lane]]), (row, lane)


def _whole(model: Model, data: Dataset, name: str) -> None:
    values = np.where(data.present[name], data.fields[name], 0)
    found = _first(data, name, (values < 0) | (values % 1 != 0))
    if found:
        raise DataError(
            f"column {name!r} has {found[0]:g} for subject {found[1]}, but model {model.name!r} explains counts, which are "
            "0, 1, 2, ...; correct it, leave the cell empty if it is missing, or take a model of other numbers, such as glm"
        )


def _not_above(model: Model, data: Dataset, name: str) -> None:
    of = _attempts(model, data, name)
    found = _first(data, name, data.fields[name] > of)
    if found:
        raise DataError(
            f"column {name!r} has {found[0]:g} for subject {found[1]}, of {of[found[2]]:g} attempts: model {model.name!r} "
            f"explains how many of them succeed, so that there cannot be more; is the column of the attempts the right one?"
        )
    wrong = np.argwhere(data.present[name] & data.valid & ((of < 0) | (of % 1 != 0)))
    if len(wrong):
        row, lane = wrong[0]
        raise DataError(
            f"subject {shown(data.subjects[data.lane_subject[lane]])} has {of[row, lane]:g} attempts, but model "
            f"{model.name!r} needs a whole number of them; correct it, or leave the cell empty if it is missing"
        )


def _attempts(model: Model, data: Dataset, name: str) -> np.ndarray:
    """Number of attempts on each trial (trial, lane), as the model's distribution has them."""
    inner = model if model.design is None else model.design.inner

    def one(trial: Record) -> Any:
        p = inner.record(jnp.zeros(inner.n_params))
        return jnp.asarray(policies(inner, p, initial_state(inner, p, trial), trial)[name].total_count, float)

    with jax.enable_x64(True):
        trials = data.trials(model).with_values(responded={}, learn=jnp.zeros(data.valid.shape, bool))
        fields = Record(**{k: v for k, v in trials.items() if k in model.columns})
        each = jax.jit(one_by_one(jax.vmap(jax.vmap(one, in_axes=-1, out_axes=-1), in_axes=0, out_axes=0)))
        return np.asarray(each(fields))


def _between_ends(model: Model, data: Dataset, name: str) -> None:
    values = np.where(data.present[name], data.fields[name], 0.5)
    found = _first(data, name, (values <= 0) | (values >= 1))
    if not found:
        return
    if values.min() < 0 or values.max() > 1:
        advice = "divide it by the length of the scale, for example by 100"
    else:
        advice = f"take ({name} * (N - 1) + 0.5) / N with N the number of ratings in place of it (Smithson & Verkuilen, 2006)"
    raise DataError(
        f"column {name!r} has {found[0]:g} for subject {found[1]}, but model {model.name!r} explains shares between 0 and 1, "
        f"both excluded; {advice}"
    )
