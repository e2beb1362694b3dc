"""What helps where the range of starting points of a racing diffusion is not told: the table of docs/response-times.md.

``python -m benchmarks.recovery_start_range [REMEDY ...]``: two groups of 30 people from the typical population with 200 trials
each; all remedies fit the same responses.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpyro.distributions as dist

import pyem

MODEL = pyem.models.get("rdm")
TYPICAL = 0.5
REMEDIES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda data: pyem.fit_em(MODEL, data),
    "prior": lambda data: pyem.fit_em(MODEL, data, priors={"mean": {"A": dist.Normal(math.log(TYPICAL), 0.3)}}),
    "common": lambda data: pyem.fit_em(MODEL, data, group=pyem.Group(common=["A"])),
    "A=0.5": lambda data: pyem.fit_em(pyem.fix(MODEL, A=TYPICAL), data),
    "A=0": lambda data: pyem.fit_em(pyem.fix(MODEL, A=0), data),
}


def main(names: list[str]) -> None:
    """For each remedy and parameter: correlation of true and estimated values, bias and rmse in sds of people, and A's mean."""
    for name in names or REMEDIES:
        start = time.process_time()
        rows = [_round(REMEDIES[name], key) for key in (1, 2)]
        print(f"{name}, {time.process_time() - start:.0f} s of the processor")
        for parameter in MODEL.names:
            numbers = np.array([row[parameter] for row in rows if parameter in row])
            if len(numbers):
                r, bias, rmse, mean = numbers.mean(0)
                groups = " ".join(f"{value:.2f}" for value in numbers[:, 3])
                print(
                    f"  {parameter:3} r {r:.2f}  bias {bias:+.2f}  rmse {rmse:.2f}  median of the group {mean:.2f} ({groups})"
                )
        print("  " + "; ".join(f"converged {row['converged']}, sd of A {row['sd']}" for row in rows), flush=True)


def _round(fit: Callable[[Any], Any], key: int) -> dict[str, Any]:
    data = pyem.simulate(MODEL, subjects=30, trials=200, key=key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        found = fit(data)
    table = found.group_table()
    row: dict[str, Any] = {"converged": found.converged, "sd": _sd(table)}
    for j, name in enumerate(found.model.names):
        truth, estimate = data.true_params[:, MODEL.names.index(name)], found.params[:, j]
        sd, gap = truth.std(), estimate - truth
        varies = np.ptp(estimate) > 1e-9
        r = np.corrcoef(truth, estimate)[0, 1] if varies else np.nan
        row[name] = (r, gap.mean() / sd, math.sqrt((gap**2).mean()) / sd, np.median(estimate))
    return row


def _sd(table: Any) -> str:
    return f"{table.loc[('sd', 'A'), 'estimate']:.2f}" if ("sd", "A") in table.index else "none"


if __name__ == "__main__":
    main(sys.argv[1:])
