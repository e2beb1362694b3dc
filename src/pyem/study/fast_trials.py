"""Descriptions of response times without a decision: faster than the typical non-decision time, and outliers."""

from __future__ import annotations

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.ranges import place, seen_times
from pyem.errors import counted
from pyem.model.model import Model


def faster_than_typical(model: Model, data: Dataset) -> str:
    """Describe the fastest response if some are faster than the typical non-decision time `t`; else empty.

    Examples
    --------
    >>> import pyem
    >>> fields = {"choice": [[[1, 0, 1]]], "rt": [[[0.7, 0.12, 0.9]]]}
    >>> faster_than_typical(pyem.models.get("ddm"), pyem.Dataset.from_arrays(fields)).partition(":")[0]
    '1 response is faster than the typical t of 0.3 s, the fastest 0.12 s of subject 0 on trial 2'
    """
    if not model.seconds or "t" not in model.names:
        return ""
    typical = float(model.natural(model.typical[0])[model.names.index("t")])
    times = seen_times(data, model.seconds[0])
    fast = int((times < typical).sum())
    if not fast:
        return ""
    row, lane = np.unravel_index(np.nanargmin(times), times.shape)
    return (
        f"{counted(fast, 'response is', 'responses are')} faster than the typical t of {typical:.3g} s, the fastest "
        f"{times[row, lane]:.3g} s of {place(data, int(row), int(lane))}: t will be below it; if it is a guess, ask for "
        "p_outlier, or leave it out"
    )


def outlier_note(model: Model) -> str:
    """Say up to which time outliers come, if the model has any; else empty.

    Examples
    --------
    >>> import pyem
    >>> outlier_note(pyem.models.get("ddm", p_outlier=0.05, deadline=2.0))
    'outliers are any response at any time up to 2 s (longest_outlier)'
    """
    if model.longest_outlier is None:
        return ""
    until = dict(model.told)["longest_outlier"]
    return f"outliers are any response at any time up to {until:.4g} s (longest_outlier)"
