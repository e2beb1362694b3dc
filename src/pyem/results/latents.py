"""Tables of trial-wise quantities of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.formula_rows import rows_of
from pyem.data.frames import as_array, says_itself
from pyem.data.partitioned import require_in_memory
from pyem.engine.design_columns import made_fields
from pyem.engine.evaluate import trial_values
from pyem.engine.regress import source_of
from pyem.model.model import Model

if TYPE_CHECKING:
    import pandas as pd


def latents_at(model: Model, data: Dataset, x: np.ndarray) -> pd.DataFrame:
    """A row for each trial at unconstrained parameters (S, P).

    The columns are subject, block and trial; those that the formulas of a design name; the columns of the data that the model
    uses (``name0``, ``name1``, ... for a vector), and beside codes what they stand for in the table that was read
    (``choice_label``); the log-probability of the response and its exponential; the probability of every option ``p0``,
    ``p1``, ...; values before the response; and what the update reports (prediction errors), NaN where the trial taught
    nothing.

    Examples
    --------
    >>> from pyem import models
    >>> data = Dataset.from_arrays({"choice": np.zeros((2, 1, 3)), "reward": np.ones((2, 1, 3))})
    >>> latents_at(models.get("rw1a1b"), data, np.zeros((2, 2)))["p0"].round(3).tolist()[:3]
    [0.5, 0.924, 0.977]
    """
    import pandas as pd

    require_in_memory(
        data, "pyem.to_parquet(fit, folder, latents=True) writes the table of trials, partition by partition"
    )
    return pd.DataFrame(_given(model, data) | _derived(model, data, x))


def latents_over(model: Model, data: Dataset, draws: np.ndarray) -> pd.DataFrame:
    """A row for each trial with means over draws (n, S, P); ``name_sd`` is the standard deviation of the column ``name``.

    ``log_prob`` is the logarithm of the mean probability.
    """
    import pandas as pd

    total: dict[str, Any] = {}
    squares: dict[str, Any] = {}
    for x in draws:
        for name, values in _derived(model, data, x).items():
            total[name] = total.get(name, 0.0) + values
            squares[name] = squares.get(name, 0.0) + np.square(values)
    columns = _given(model, data)
    for name in total:
        mean = total[name] / len(draws)
        columns[name] = mean
        if name != "log_prob":
            columns[f"{name}_sd"] = np.sqrt(np.maximum(squares[name] / len(draws) - mean**2, 0.0))
    with np.errstate(divide="ignore"):
        columns["log_prob"] = np.log(columns["probability"])
    return pd.DataFrame(columns)


def _given(model: Model, data: Dataset) -> dict[str, Any]:
    """Labels of the trials, and the columns that the model uses, NaN where a value is missing."""
    lane, row = np.nonzero(data.valid.T)
    columns: dict[str, Any] = data.index_columns(lane, row)
    columns |= _conditions(model, data)
    made = made_fields(model)
    for name in (name for name in model.columns if name not in made):
        values = np.moveaxis(data.fields[name], -1, 1)[row, lane]
        here = data.present[name][row, lane]
        for label, column in _flat(name, values).items():
            columns[label] = column if here.all() else np.where(here, column, np.nan)
            if not says_itself(data.codes.get(name, ())):
                columns[f"{label}_label"] = np.where(here, as_array(data.codes[name])[column.astype(int)], None)  # type: ignore[call-overload]
    return columns


def _conditions(model: Model, data: Dataset) -> dict[str, Any]:
    """Columns that the formulas of a design name, in the words of the table."""
    source = source_of(model)
    if source is None:
        return {}
    rows = rows_of(data, source.columns)
    text = lambda column: column.astype(object) if column.dtype == "category" else column  # noqa: E731
    return {
        name: text(rows.frame[name]).where(rows.here[name]).to_numpy()
        for name in rows.frame
        if name not in model.columns
    }


def _derived(model: Model, data: Dataset, x: np.ndarray) -> dict[str, Any]:
    """Trial-wise quantities of the model at parameters (S, P)."""
    lane, row = np.nonzero(data.valid.T)
    out = trial_values(model, data, x)
    responded, learn = data.masks(model)
    some = np.any(list(responded.values()), axis=0)
    log_prob = np.where(some, out["log_lik"], np.nan)[row, lane]
    columns: dict[str, Any] = {"log_prob": log_prob, "probability": np.exp(log_prob)}
    for log_p in out["log_probs"]:
        columns |= {f"p{k}": np.exp(log_p[row, k, lane]) for k in range(log_p.shape[1])}
    columns |= _spread("value", out["state"], row, lane, None)
    return columns | _spread("", out["latents"], row, lane, learn)


def _spread(label: str, tree: Any, row: np.ndarray, lane: np.ndarray, mask: np.ndarray | None) -> dict[str, np.ndarray]:
    """Columns from arrays (trial, ..., lane), named by their place in a dict, tuple or array."""
    if isinstance(tree, dict):
        # Entries whose names begin with an underscore are for the model's own use.
        seen = {name: part for name, part in tree.items() if not name.startswith("_")}
        parts = {name if label in ("", "value") else f"{label}_{name}": part for name, part in seen.items()}
        return {k: v for name, part in parts.items() for k, v in _spread(name, part, row, lane, mask).items()}
    if isinstance(tree, tuple | list):
        return {k: v for n, part in enumerate(tree) for k, v in _spread(f"{label}{n}_", part, row, lane, mask).items()}
    values = np.moveaxis(np.asarray(tree), -1, 1)[row, lane]
    if mask is not None:
        values = np.where(mask[row, lane].reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)
    return _flat(label.rstrip("_"), values)


def _flat(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of values (trial, ...): one, or ``name0``, ``name1``, ... of a vector."""
    if values.ndim == 1:
        return {name: values}
    return {f"{name}{k}": column for k, column in enumerate(values.reshape(len(values), -1).T)}
