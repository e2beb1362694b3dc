"""Simulated people in the conditions of a design."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.binding import Bound
from pyem.engine.regress import Regression
from pyem.errors import DataError


class Planned(NamedTuple):
    """A design applied to the trials that are to be simulated."""

    bound: Bound
    conditions: np.ndarray
    """Columns that are constant in a block, (1, column, lane)."""
    shown: dict[str, np.ndarray]
    """Columns of trials, (trial, lane)."""


def planned(design: Regression, conditions: Mapping[str, Any], subjects: int, blocks: int, trials: int) -> Planned:
    """Apply the design to data without responses.

    Parameters
    ----------
    design
        Design made by `pyem.regress`.
    conditions
        Values of each column that it names: one for each block, (blocks,), for each person's blocks, (S, blocks), for each
        trial, (S, blocks, trials), or for each person, (S, 1).
    subjects, blocks, trials
        Numbers of people, blocks and trials.

    Raises
    ------
    DataError
        If a column is not given, or has another shape.

    Examples
    --------
    >>> import pyem
    >>> design = pyem.regress(pyem.models.get("rw1a1b"), "alpha ~ drug")
    >>> planned(design, {"drug": ["placebo", "active"]}, 3, 2, 5).conditions[0, 0].tolist()
    [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    """
    import pandas as pd

    if unknown := [name for name in design.columns if name not in conditions]:
        raise DataError(
            f"{design.name} depends on {', '.join(unknown)}; give the values in conditions={{{unknown[0]!r}: ...}}, or "
            "data that have them in design="
        )
    shape = (subjects, blocks, trials)
    places = np.indices(shape).reshape(3, -1)
    frame = pd.DataFrame(dict(zip(("subject", "block", "trial"), places, strict=True)))
    for name, values in conditions.items():
        frame[f"column {name}"] = _spread(name, values, shape).ravel()
    data = Dataset.from_frame(
        frame,
        subject="subject",
        block="block",
        trial="trial",
        columns={name: f"column {name}" for name in conditions},
        codes={name: None for name in conditions if frame[f"column {name}"].dtype.kind not in "iufb"},
    )
    bound = design.bind(data)
    model = bound.model
    assert model.design is not None
    columns = [bound.data.fields[name][0] for name in model.design.columns]
    of_blocks = np.stack(columns).astype(float)[None] if columns else np.zeros((1, 1, data.n_lanes))
    shown = {
        effect.column: bound.data.fields[effect.column] for effect in model.design.effects if effect.level == "trial"
    }
    return Planned(bound, of_blocks, shown)


def _spread(name: str, values: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """Values for every trial, (S, blocks, trials)."""
    given = np.asarray(values)
    full = given[None, :, None] if given.ndim == 1 else given[:, :, None] if given.ndim == 2 else given
    try:
        return np.broadcast_to(full, shape)
    except ValueError:
        raise DataError(
            f"conditions[{name!r}] has shape {given.shape}; give a value for each block ({shape[1]},), for the blocks of each "
            f"person ({shape[0]}, {shape[1]}) or for each trial {shape}"
        ) from None
