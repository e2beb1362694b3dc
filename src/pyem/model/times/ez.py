"""EZ-diffusion: the diffusion decision model from three numbers, in closed form.

References
----------
Wagenmakers, E.-J., van der Maas, H. L. J., & Grasman, R. P. P. P. (2007). An EZ-diffusion model for response time and accuracy.
Psychonomic Bulletin & Review, 14(1), 3-22. https://doi.org/10.3758/BF03194023
"""

from __future__ import annotations

import numpy as np


def estimates(share: float, mean: float, var: float) -> tuple[float, float, float]:
    """Drift, separation and non-decision time from the share of right responses, and the mean and the variance of their times.

    Examples
    --------
    >>> [round(value, 3) for value in estimates(0.802, 0.723, 0.112)]
    [0.999, 1.4, 0.3]
    """
    if not var > 0:
        return np.nan, np.nan, np.nan
    # At even odds the equations have a limit, which is as good a little beside it.
    share = share if abs(share - 0.5) > 1e-5 else 0.5 + 1e-5
    odds = np.log(share / (1 - share))
    v = np.sign(share - 0.5) * (odds * (odds * share**2 - odds * share + share - 0.5) / var) ** 0.25
    a = odds / v
    decision = a / (2 * v) * np.tanh(v * a / 2)
    return float(v), float(a), float(mean - decision)
