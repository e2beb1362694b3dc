"""A data set as tables again: a row for each trial, or for each subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from pyem.data.dataset import Dataset


def summary(data: Dataset) -> pd.DataFrame:
    """A row for each subject; see `Dataset.describe`."""
    import pandas as pd

    per_subject = lambda lanes: np.bincount(data.lane_subject, lanes, data.n_subjects).astype(int)  # noqa: E731
    rows: dict[str, Any] = {"blocks": per_subject(data.valid.any(0)), "trials": per_subject(data.valid.sum(0))}
    rows |= {f"missing_{name}": per_subject((data.valid & ~here).sum(0)) for name, here in data.present.items()}
    frame = pd.DataFrame(rows | dict(data.covariates), index=pd.Index(data.subjects, name="subject"))
    frame.attrs.update(codes={name: list(labels) for name, labels in data.codes.items()}, notes=list(data.notes))
    return frame


def table(data: Dataset, labels: bool) -> pd.DataFrame:
    """A row for each trial; see `Dataset.to_frame`."""
    import pandas as pd

    lane, row = np.nonzero(data.valid.T)
    columns = data.index_columns(lane, row)
    for name, array in data.fields.items():
        values = np.moveaxis(array, -1, 1)[row, lane]
        here = data.present[name][row, lane]
        known = _labelled(data.codes[name]) if labels and name in data.codes else None
        for k, column in enumerate(values.reshape(len(row), -1).T):
            column = column if known is None else known[column]
            missing = None if column.dtype == object else np.nan
            label = name if values.ndim == 1 else f"{name}{k}"
            columns[label] = column if here.all() else np.where(here, column, missing)  # type: ignore[call-overload]
    columns |= {name: value[data.lane_subject[lane]] for name, value in data.covariates.items()}
    return pd.DataFrame(columns)


def _labelled(labels: Sequence[Any]) -> np.ndarray:
    """Labels as an array, of numbers if all are numbers."""
    if all(isinstance(label, int | float) for label in labels):
        return np.array(labels)
    out = np.empty(len(labels), object)
    out[:] = labels
    return out
