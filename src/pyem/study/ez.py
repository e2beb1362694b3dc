"""EZ-diffusion: drift, separation and non-decision time from three numbers of each person, in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import DataError, require_kind
from pyem.model.times.ez import estimates
from pyem.models.response_times import ddm
from pyem.study.time_summaries import sorted_trials

if TYPE_CHECKING:
    import pandas as pd


def ez_diffusion(data: Dataset, *, by: str | None = None, correct: str | None = None) -> pd.DataFrame:
    """EZ estimates of the diffusion decision model: a quick look at data, and a check on fits and their starts.

    ``fit_em(model, data, start="ez")`` starts from such estimates, and so do `pyem.fit_map` and `pyem.fit_mle`.

    From the share of right responses and the mean and the variance of their times. The start is in the middle, nothing varies
    between trials, and there are no outliers; leave out what is none of the decision's. Trials without a response in time
    (option 2 of models with a deadline) are left out. Units are those of `pyem.Wiener`. `pyem.check` tells the medians of such
    estimates, and `response_time_check` compares them with those of data simulated from a fit.

    Parameters
    ----------
    data
        Data with ``choice`` (1 is right, unless `correct` says otherwise) and ``rt``, in seconds.
    by
        Column of conditions; each has estimates of its own.
    correct
        Column with the right response of each trial.

    Returns
    -------
    pandas.DataFrame
        A row for each person (and condition): ``v``, ``a``, ``t``, and what they are made of, ``accuracy``, ``rt_mean``,
        ``rt_var`` and ``n``. Where all or none were right, half a response is taken to be otherwise. NaN where there are no
        two right responses of different times.

    References
    ----------
    Wagenmakers, E.-J., van der Maas, H. L. J., & Grasman, R. P. P. P. (2007). An EZ-diffusion model for response time and
    accuracy. Psychonomic Bulletin & Review, 14(1), 3-22. https://doi.org/10.3758/BF03194023

    Examples
    --------
    >>> import pyem
    >>> truth = np.array([[1.5, 1.2, 0.5, 0.3]])
    >>> data = pyem.simulate(pyem.models.get("ddm"), truth, trials=2000, key=1)
    >>> ez_diffusion(data)[["v", "a", "t"]].round(1).to_numpy().tolist()
    [[1.5, 1.2, 0.3]]
    """
    require_kind("data", data)
    import pandas as pd

    missing = [name for name in ("choice", "rt") if name not in data.fields]
    if missing:
        raise DataError(
            f"EZ-diffusion needs columns 'choice' and 'rt', but the data have no {missing[0]!r}; name it in columns="
        )
    sorting = sorted_trials(ddm(), data, by, correct)
    rows = []
    for cell in sorting.cells:
        choice = data.fields["choice"][cell.rows, cell.lanes]
        right = (choice == sorting.right[cell.rows, cell.lanes])[choice < 2]
        rt = data.fields["rt"][cell.rows, cell.lanes][choice < 2][right]
        n = len(right) or np.nan
        mean, var = (float(rt.mean()), float(rt.var(ddof=1))) if len(rt) > 1 else (np.nan, np.nan)
        accuracy = right.sum() / n
        share = float(np.clip(accuracy, 0.5 / n, 1 - 0.5 / n))
        v, a, t = map(float, estimates(share, mean, var))
        who = {"subject": data.subjects[cell.person]}
        who |= {} if by is None else {by: sorting.conditions[cell.condition]}
        rows.append(
            who | {"v": v, "a": a, "t": t, "accuracy": accuracy, "rt_mean": mean, "rt_var": var, "n": len(right)}
        )
    return pd.DataFrame(rows)
