"""A model on the scale of the data: the range of its outcomes, and the typical population of parameters with units."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.partitioned import field_names, parts_of, require_in_memory
from pyem.engine.validate import require_free, validate
from pyem.errors import warn
from pyem.model.model import Model


def scaled(model: Model, data: Dataset, *, tell: bool = True) -> Model:
    """Put `model` on the scale of `data`, as every fit does; a model that knows its scale, or has none, stays the same.

    What makes a model for a fit leaves the warning to that: `tell` is then False. A design is on the scale of the data once its
    formulas are bound to them, and the fit of it only looks whether outcomes lie outside.

    An automatic range of outcomes becomes the range of those observed, outliers come up to the latest response, and the typical
    population of regression weights becomes that of the pooled data. Outcomes of 0 and 1 change nothing.

    Warns
    -----
    FitWarning
        If outcomes lie outside the range that the model was given.

    Examples
    --------
    >>> import pyem
    >>> data = pyem.Dataset.from_arrays({"choice": [[[0, 1, 1]]], "reward": [[[0, 100, 50]]]})
    >>> scaled(pyem.models.get("rw1a1b"), data).reward_range
    (0.0, 100.0)
    """
    if not set(model.columns) <= set(field_names(data)):
        return model
    if model.reward_range is not None:
        model = _with_range(model, data, tell=tell)
    if model.longest_outlier == "auto":
        model = dataclasses.replace(model, longest_outlier=latest_response(model, data))
    if model.autoscale is None:
        return model
    return model.autoscale(model, *pooled(model, data))


def ready_to_fit(model: Model, data: Dataset, *, in_parts: bool = False) -> Model:
    """Put `model` on the scale of `data` after checking that it can be fitted to them.

    The data have to be in memory, unless they may be `in_parts`: in partitions on the disk.

    Raises
    ------
    DataError, ModelError
        If not; see `pyem.engine.validate`.
    """
    require_free(model)
    if not in_parts:
        require_in_memory(data)
    for part in parts_of(data):
        validate(model, part)
    return scaled(model, data)


def _with_range(model: Model, data: Dataset, *, tell: bool) -> Model:
    if isinstance(model.reward_range, tuple) and not tell:
        return model
    seen = observed_range(model, data)
    if isinstance(model.reward_range, tuple):
        low, high = model.reward_range
        slack = 1e-9 * (high - low)
        if model.from_zero and low == 0 and seen is not None and seen[0] <= 0 <= seen[1]:
            # On the scale of the largest absolute outcome a loss is as far from 0 as a gain.
            seen = (0.0, max(-seen[0], seen[1]))
        if seen is not None and (seen[0] < low - slack or seen[1] > high + slack):
            per_range = any(parameter.per_reward for parameter in model.parameters)
            made = "made with reward_range=" if per_range else "made for outcomes within "
            why = (
                "inverse temperatures are per range, and may end at their bound; leave reward_range"
                if per_range
                else "leave it"
            )
            warn(
                f"{', '.join(model.outcomes)} of these data lie between {seen[0]:g} and {seen[1]:g}, but model {model.name!r} "
                f"was {made}({low:g}, {high:g}): {why} out to have it taken from the data"
            )
        return model
    found = chosen_range(seen, from_zero=model.reward_range == "auto_zero")
    # Of 0 and 1 nothing has to be said, so that such fits are of the very model that was given, which parts of the data do not
    # change.
    whole = found == (0.0, 1.0) and all(np.isin(values, (0, 1, -1)).all() for values in _observed(model, data))
    return model if whole else dataclasses.replace(model, reward_range=found)


def observed_range(model: Model, data: Dataset) -> tuple[float, float] | None:
    """Lowest and highest outcome observed; None if there is none."""
    ends = [float(end) for values in _observed(model, data) if values.size for end in (values.min(), values.max())]
    return (min(ends), max(ends)) if ends else None


def latest_response(model: Model, data: Dataset) -> float | Literal["auto"]:
    """Longest response time, in seconds; ``"auto"`` if there is none.

    Examples
    --------
    >>> import pyem
    >>> data = pyem.Dataset.from_arrays({"choice": [[[0, 1, 1]]], "rt": [[[0.5, 1.75, 0.7]]]})
    >>> latest_response(pyem.models.get("ddm", p_outlier=0.05), data)
    1.75
    """
    name = model.joint[0][1]
    times = (part.fields[name][part.present[name] & part.valid] for part in parts_of(data))
    latest = [float(values.max()) for values in times if values.size]
    return max(latest) if latest else "auto"


def _observed(model: Model, data: Dataset) -> Iterator[np.ndarray]:
    """Observed values of each outcome."""
    for part in parts_of(data):
        yield from (np.moveaxis(part.fields[name], -1, 1)[part.present[name] & part.valid] for name in model.outcomes)


def chosen_range(seen: tuple[float, float] | None, *, from_zero: bool = False) -> tuple[float, float]:
    """Range of outcomes that a model takes from the observed range `seen`.

    Parameters
    ----------
    seen
        The lowest and the highest outcome.
    from_zero
        Values start at nothing: where 0 is among the outcomes, they are on the scale of the largest size.

    Examples
    --------
    >>> chosen_range((-1.0, 1.0)), chosen_range((-1.0, 1.0), from_zero=True), chosen_range((1.0, 1.0))
    ((-1.0, 1.0), (0.0, 1.0), (0.0, 1.0))
    """
    low, high = seen or (0.0, 1.0)
    if low == high:
        # A single value shows no range; it may be either end of it.
        return (0.0, 1.0) if 0 <= low <= 1 else (min(low, 0.0), max(low, 0.0))
    if from_zero and low <= 0 <= high:
        return (0.0, max(-low, high))
    return (low, high)


def pooled(model: Model, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (N, K) and response (N,) of all trials in the likelihood, of all people together."""
    x, y = [], []
    for part in (piece for whole in parts_of(data) for _, piece in whole.pieces()):
        counts = part.masks(model)[0][model.responses[0]]
        shown = (np.moveaxis(part.fields[name], -1, 1)[counts] for name in model.inputs)
        columns = [values.reshape(len(values), -1).astype(float) for values in shown]
        x.append(np.concatenate([np.empty((int(counts.sum()), 0)), *columns], axis=1))
        y.append(part.fields[model.responses[0]][counts].astype(float))
    return np.concatenate(x), np.concatenate(y)
