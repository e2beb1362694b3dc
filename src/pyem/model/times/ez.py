"""EZ-diffusion: the diffusion decision model from three numbers, in closed form.

References
----------
Wagenmakers, E.-J., van der Maas, H. L. J., & Grasman, R. P. P. P. (2007). An EZ-diffusion model for response time and accuracy.
Psychonomic Bulletin & Review, 14(1), 3-22. https://doi.org/10.3758/BF03194023
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

NAMES = ("v", "a", "t")


def estimates(share: ArrayLike, mean: ArrayLike, var: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drift, separation and non-decision time from the share of right responses, and the mean and the variance of their times.

    Numbers or arrays of one shape; NaN where the variance is not above 0.

    Examples
    --------
    >>> [round(float(value), 3) for value in estimates(0.802, 0.723, 0.112)]
    [0.999, 1.4, 0.3]
    """
    share, mean, var = (np.asarray(value, float) for value in (share, mean, var))
    var = np.where(var > 0, var, np.nan)
    # At even odds the equations have a limit, which is approximated by a value close by.
    share = np.where(np.abs(share - 0.5) > 1e-5, share, 0.5 + 1e-5)
    odds = np.log(share / (1 - share))
    v = np.sign(share - 0.5) * (odds * (odds * share**2 - odds * share + share - 0.5) / var) ** 0.25
    a = odds / v
    return v, a, mean - a / (2 * v) * np.tanh(v * a / 2)


def of_trials(right: np.ndarray, rt: np.ndarray) -> np.ndarray:
    """Estimates (..., 3) of `NAMES` from trials, the last axis: whether each was right, and its time, NaN where there is none.

    The times are those of all responses: with a start in the middle those of right ones and of errors are alike. Where all or
    none were right, half a response is taken to be otherwise; NaN where there are fewer than three.

    Examples
    --------
    >>> of_trials(np.array([True, True, False, True]), np.array([0.5, 0.7, 0.6, 0.8])).round(2).tolist()
    [1.31, 0.84, 0.49]
    """
    here = np.isfinite(rt)
    n = here.sum(-1)
    known = np.where(n > 2, n, np.nan)
    share = np.clip((right & here).sum(-1) / known, 0.5 / known, 1 - 0.5 / known)
    mean = np.where(here, rt, 0.0).sum(-1) / known
    var = np.where(here, (rt - mean[..., None]) ** 2, 0.0).sum(-1) / (known - 1)
    return np.stack(estimates(share, mean, var), axis=-1)
