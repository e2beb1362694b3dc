"""Comparison of fits that have draws, by what they predict of data left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.selection.cross_validation import Predictive, Unit, loo, waic

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.sample import SampleFit


NAMES = {"loo": "PSIS-LOO", "waic": "WAIC"}


def compare_draws(fits: Mapping[str, SampleFit], *, by: str, unit: Unit, key: Any) -> pd.DataFrame:
    """`pyem.compare_fits` of fits by `fit_nuts` or `fit_svi`; see there."""
    import pandas as pd

    found: dict[str, Predictive] = {}
    for name, fit in fits.items():
        found[name] = loo(fit, unit=unit, key=key) if by == "loo" else waic(fit, unit=unit, key=key)
    rows = {name: _row(fits[name], one) for name, one in found.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    table = table.iloc[np.argsort(-table["elpd"].to_numpy(), kind="stable")]
    best = found[str(table.index[0])]
    table["difference"] = table["elpd"].iloc[0] - table["elpd"]
    table["difference_se"] = [_difference_se(found[str(name)], best) for name in table.index]
    weight = np.exp(-table["difference"])
    table["weight"] = weight / weight.sum()
    what = f"{NAMES[by]}, {unit}s left out one at a time: expected log predictive density, largest is best"
    table.attrs.update(by=by, unit=unit, method=what)
    return table


def _row(fit: SampleFit, found: Predictive) -> dict[str, Any]:
    row = {"method": fit.method, "n_params": fit.model.n_params, "unit": found.unit, "n_units": len(found.pointwise)}
    row |= {"elpd": found.elpd, "se": found.se, "p": found.p, "deviance": found.deviance}
    if found.pareto_k is not None:
        row["k_above_0.7"] = int((found.pareto_k > 0.7).sum())
    return row


def _difference_se(one: Predictive, best: Predictive) -> float:
    """Standard error of the difference, with subjects (or the units of a single subject) as a random sample."""
    gap = one.by_subject - best.by_subject
    if len(gap) < 2:
        gap = one.pointwise - best.pointwise
    return math.sqrt(len(gap)) * float(gap.std(ddof=1)) if len(gap) > 1 else math.nan
