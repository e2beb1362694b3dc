"""A data set as tables and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.contrasts import categories, covariate_names, words_of_people
from pyem.errors import list_of

if TYPE_CHECKING:
    import pandas as pd

    from pyem.data.dataset import Dataset


def in_words(data: Dataset) -> str:
    """Describe `data`: a line about their size, and one about each field, covariate and note."""
    lengths = data.valid.sum(0)
    span = f"{lengths.min()}" if np.ptp(lengths) == 0 else f"{lengths.min()} to {lengths.max()}"
    lines = [
        f"{type(data).__name__}: {data.n_subjects} subjects, {data.n_lanes} blocks, {data.n_trials} trials "
        f"({span} in a block)",
        *(f"  {name}: {_described(data, name)}" for name in data.fields),
        *(f"  {name}: covariate, {_range(values)}" for name, values in data.covariates.items()),
        *(f"  note: {note}" for note in data.notes),
    ]
    return "\n".join(lines)


def _described(data: Dataset, name: str) -> str:
    here = data.present[name]
    values = np.moveaxis(data.fields[name], -1, 1)[here]
    missing = int(data.valid.sum() - here.sum())
    size = "" if values.ndim == 1 else f"{' x '.join(map(str, values.shape[1:]))} values, "
    kind = list_of(data.codes[name]) if name in data.codes else _range(values)
    return size + kind + (f", {missing} missing" if missing else "")


def summary_of(data: Dataset) -> pd.DataFrame:
    """A row for each subject: blocks, trials, missing values of each field, and the covariates.

    The mapping of codes and the notes are in ``.attrs["codes"]`` and ``.attrs["notes"]``.

    Examples
    --------
    >>> import pyem
    >>> pyem.Dataset.from_arrays({"choice": [[[0, 1, -1]]]}).describe()
             blocks  trials  missing_choice
    subject
    0             1       3               1
    """
    import pandas as pd

    per_subject = lambda lanes: np.bincount(data.lane_subject, lanes, data.n_subjects).astype(int)  # noqa: E731
    rows: dict[str, Any] = {
        "blocks": per_subject(data.valid.any(0)),
        "trials": per_subject(data.valid.sum(0)),
    }
    rows |= {f"missing_{name}": per_subject((data.valid & ~here).sum(0)) for name, here in data.present.items()}
    frame = pd.DataFrame(rows | dict(data.covariates), index=pd.Index(data.subjects, name="subject"))
    frame.attrs.update(codes={name: list(labels) for name, labels in data.codes.items()}, notes=list(data.notes))
    return frame


def frame_of(data: Dataset, *, labels: bool = True) -> pd.DataFrame:
    """The long table again: a row for each trial, missing values as NaN.

    The columns are ``subject``, ``block``, ``trial``, the fields (``name0``, ``name1``, ... for a vector), ``counted``
    and ``teaches`` if given, and the covariates. `from_frame` makes the same arrays of it, given the same codes.

    Parameters
    ----------
    data
        The data.
    labels
        Write coded fields and categories of people in the words of the table that was read, and not as 0, 1, ...

    Examples
    --------
    >>> import pyem
    >>> pyem.Dataset.from_arrays({"choice": [[[0, 1]]]}, codes={"choice": ["left", "right"]}).to_frame()
       subject  block  trial choice
    0        0      0      0   left
    1        0      0      1  right
    """
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
    masks = {"counted": data.counted, "teaches": data.teaches}
    columns |= {name: mask[row, lane].astype(int) for name, mask in masks.items() if mask is not None}
    who = data.lane_subject[lane]
    columns |= {name: value[who] for name, value in _of_people(data, labels=labels).items() if name not in data.fields}
    return pd.DataFrame(columns)


def _of_people(data: Dataset, *, labels: bool) -> dict[str, np.ndarray]:
    """Covariates (S,) by name: categories in the words of the table, or as the numbers that stand for them."""
    words = categories(data) if labels else {}
    stands = {column: name for name, known in words.items() for column in covariate_names(name, known)}
    columns = {stands.get(column, column): np.asarray(values) for column, values in data.covariates.items()}
    return columns | {name: words_of_people(name, data.covariates, known) for name, known in words.items()}


def _labelled(labels: Sequence[Any]) -> np.ndarray:
    """Labels as an array, of numbers if all are numbers."""
    if all(isinstance(label, int | float) for label in labels):
        return np.array(labels)
    return as_array(labels)


def as_array(labels: Sequence[Any]) -> np.ndarray:
    """Labels as an array of objects, (code,)."""
    out = np.empty(len(labels), object)
    out[:] = labels
    return out


def says_itself(labels: Sequence[Any]) -> bool:
    """Whether the labels of codes are the codes themselves, so that they need not be mentioned.

    Examples
    --------
    >>> says_itself((0, 1)), says_itself((1, 2)), says_itself(("left", "right"))
    (True, False, False)
    """
    return list(labels) == list(range(len(labels)))


def _range(values: np.ndarray) -> str:
    return f"{values.min():g} to {values.max():g}" if values.size else "no values"
