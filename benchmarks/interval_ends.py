"""Ends of intervals by `fit_bayes`: are they those of the posterior, or due to the way in which it is computed? A table.

``python -m benchmarks.interval_ends results.csv 0 400`` fits 400 groups of the first design of `benchmarks.calibration` (see
there), or goes on where it was stopped; each fit is weighted to other priors, too. With ``points 60`` or ``nuts 10`` at the end
it fits so many of these groups, half of them those whose means are farthest from the truth, with eight times the points, or
by long chains. ``report results.csv`` prints the tables.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import pyem
from benchmarks.calibration import DESIGNS, drawn, simulated

DRAWS = 8000
WAYS: dict[str, Callable[..., pyem.SampleFit]] = {
    "bayes": functools.partial(pyem.fit_bayes, draws=DRAWS, key=0),
    "points": functools.partial(pyem.fit_bayes, draws=DRAWS, nodes=2048, key=1),
    "nuts": functools.partial(pyem.fit_nuts, draws=5000, chains=2, warmup=500, key=1),
}


def log_priors(fit: pyem.SampleFit) -> dict[str, np.ndarray]:
    """What each draw's log weight is under other priors of the group; those of the fit have none."""
    mean, sd = fit.model.typical
    coef, spread = fit.flat["coef"], fit.flat["sd"]
    assert fit.design is not None
    assert fit.free is not None
    of_means = 0.5 * (((coef[:, 0] - mean) / (2 * sd)) ** 2).sum(1)
    units = sd / fit.design[:, 1:].std(0)[:, None]
    of_effects = 0.5 * (((coef[:, 1:] / units) ** 2) * fit.free[1:]).sum((1, 2))
    of_sds = 0.5 * ((spread / sd) ** 2).sum(1)
    return {
        "means and effects flat": of_means + of_effects,
        "sds half-normal of twice the scale": 0.75 * of_sds,
        "all flat": of_means + of_effects + of_sds,
    }


def ends(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Quantiles 2.5 and 97.5 % of weighted draws (draw, quantity), as (2, quantity)."""
    out = []
    for column in values.T:
        order = np.argsort(column)
        share = np.cumsum(weight[order]) / weight.sum() - 0.5 * weight[order] / weight.sum()
        out.append(np.interp([0.025, 0.975], share, column[order]))
    return np.array(out).T


def rows(fit: pyem.SampleFit, truth: dict[tuple[str, str], float], way: str) -> pd.DataFrame:
    """Interval, mean and sd of each of the group's parameters, by each prior."""
    flat, last = fit.flat, len(fit.model.names) - 1
    values = np.concatenate([flat["coef"][:, 0], flat["coef"][:, 1, last:], flat["sd"]], axis=1)
    log_weights = {way: np.zeros(len(values))} | (log_priors(fit) if way == "bayes" else {})
    out = []
    for name, log_weight in log_weights.items():
        weight = np.exp(log_weight - log_weight.max())
        low, high = ends(values, weight)
        table = pd.DataFrame(list(truth), columns=["kind", "parameter"])
        mean = weight @ values / weight.sum()
        spread = np.sqrt(weight @ (values - mean) ** 2 / weight.sum())
        table = table.assign(way=name, truth=list(truth.values()), low=low, high=high, estimate=mean, sd=spread)
        out.append(table.assign(worth=weight.sum() ** 2 / (weight**2).sum() / len(weight)))
    return pd.concat(out)


def chosen(done: pd.DataFrame, n: int) -> list[int]:
    """Half of them the groups whose means are farthest from the truth, half any others."""
    means = done[(done["way"] == "bayes") & (done["kind"] == "mean")]
    miss = ((means["truth"] - means["estimate"]) / means["sd"]).abs().groupby(means["group"]).max()
    far = miss.nlargest(n // 2).index
    others = np.setdiff1d(miss.index, far)
    return [*far, *np.random.default_rng(1).choice(others, n - len(far), replace=False)]


def study(results: str, design: str, groups: int, way: str = "bayes", n: int = 60) -> None:
    """Fit groups, and keep what was found in a file (CSV)."""
    path, (name, blocks, trials) = Path(results), DESIGNS[int(design)]
    model, todo, known = pyem.models.get(name), list(range(groups)), set()
    if path.exists():
        done = pd.read_csv(path)
        done = done[(done["model"] == name) & (done["trials"] == trials)]
        known = set(done.loc[done["way"] == way, "group"])
        todo = chosen(done, n) if way != "bayes" else todo
    for g in todo:
        if g not in known:
            data, _, truth = simulated(model, g, subjects=40, blocks=blocks, trials=trials)
            table = rows(_quietly(WAYS[way], model, data), truth, way).assign(model=name, trials=trials, group=g)
            table.to_csv(path, mode="a", header=not path.exists(), index=False)


def _quietly(fit: Callable[..., pyem.SampleFit], model: pyem.Model, data: Any) -> pyem.SampleFit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        return fit(model, data, group=pyem.Group(covariates={"z": [model.names[-1]]}))


def report(results: str) -> None:
    """Print how often intervals cover the truth under each prior, and how far ends by other ways are from those of the fits."""
    every = pd.read_csv(results)
    every["covered"] = (every["low"] <= every["truth"]) & (every["truth"] <= every["high"])
    every["off"] = (every["estimate"] - every["truth"]) / every["sd"]
    for (name, trials), table in every.groupby(["model", "trials"], sort=False):
        print(f"{name}, {trials} trials")
        for way, part in table[~table["way"].isin(["points", "nuts"])].groupby("way", sort=False):
            by = part.groupby(["kind", "parameter"], sort=False)
            cells = zip(by["covered"].mean().items(), by["off"].mean(), by["covered"].size(), strict=True)
            shown = "; ".join(
                f"{' '.join(key)} {100 * share:.1f} (se {100 * np.sqrt(share * (1 - share) / n):.1f}), off {off:.2f}"
                for (key, share), off, n in cells
            )
            print(f"  {way} ({part['group'].nunique()} groups, weights worth {part['worth'].min():.2f}): {shown}")
        _print_adjusted(pyem.models.get(str(name)), table[table["way"] == "bayes"])
        for way in ("points", "nuts"):
            _print_differences(table, way, ["group", "kind", "parameter"])


def _print_adjusted(model: pyem.Model, table: pd.DataFrame) -> None:
    """Print coverage of means, by regression on how far the people of each group are from what is true of all groups."""
    mean, sd = model.typical
    people = {g: drawn(model, int(g), subjects=40)[1] for g in table["group"].unique()}
    for j, parameter in enumerate(model.names):
        part = table[(table["kind"] == "mean") & (table["parameter"] == parameter)]
        z = np.array([(people[g][:, j].mean() - mean[j]) * np.sqrt(40) / sd[j] for g in part["group"]])
        x = np.stack([np.ones(len(z)), z, z**2 - 1], axis=1)
        covered = part["covered"].to_numpy(float)
        coef = np.linalg.lstsq(x, covered, rcond=None)[0]
        se = (covered - x @ coef).std(ddof=3) / np.sqrt(len(z))
        print(f"  mean {parameter}, given how far people are: {100 * coef[0]:.1f} (se {100 * se:.1f})")


def _print_differences(table: pd.DataFrame, way: str, keys: Iterable[str]) -> None:
    one, other = (table[table["way"] == w].set_index(list(keys)) for w in ("bayes", way))
    if other.empty:
        return
    one = one.loc[other.index]
    gap = pd.DataFrame({e: (one[e] - other[e]) / other["sd"] for e in ("low", "high")})
    by = gap.stack().groupby(level=["kind", "parameter"], sort=False)
    changed = one["covered"] != other["covered"]
    shown = "; ".join(
        f"{' '.join(key)} {mean:.3f} (se {se:.3f}), rms {np.sqrt((part**2).mean()):.3f}"
        for (key, part), mean, se in zip(by, by.mean(), by.sem(), strict=True)
    )
    print(f"  ends less those by {way}, in sds, {len(other.index.unique('group'))} groups: {shown}")
    print(
        f"  covered otherwise: {changed.sum()} of {len(changed)} ({one['covered'].sum()} and {other['covered'].sum()} cover)"
    )


if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    if verb == "report":
        report(*words)
    else:
        design, groups, *more = words
        study(verb, design, int(groups), *more[:1], *map(int, more[1:]))
