"""How often do 95 % intervals of a group and its people cover the truth? Simulated groups; prints Markdown tables.

``python -m benchmarks.calibration results.csv 400`` fits 400 groups, or goes on where it was stopped (three more words are
the places of designs, such as 02, the seed of the groups, and a method); ``report results.csv`` prints what they say, with
standard errors; ``known 400 0`` does the same for the true parameters of the same people, by ordinary regression; ``null``
counts effects that are found where there are none.
"""

from __future__ import annotations

import functools
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import pyem

METHODS: dict[str, Callable[..., Any]] = {
    "EM": pyem.fit_em,
    "EM, exact, boundary avoiding": functools.partial(pyem.fit_em, integrate="exact", boundary_avoiding=True),
    "bayes": pyem.fit_bayes,
}
DESIGNS = (("rw1a1b", 4, 24), ("rw1a1b", 4, 60), ("rw2a1b", 4, 60))
"""Model, blocks and trials of a block."""


Truth = dict[tuple[str, str], float]


def drawn(model: pyem.Model, g: int, *, subjects: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Truth]:
    """A covariate (S,) and unconstrained parameters (S, P) of the people of group number `g`, and what all groups share."""
    mean, sd = model.typical
    effect = 0.3 * np.eye(len(mean))[-1]
    truth = {("mean", name): value for name, value in zip(model.names, mean, strict=True)}
    truth |= {("effect of z", model.names[-1]): effect[-1]}
    truth |= {("sd", name): value for name, value in zip(model.names, sd, strict=True)}
    rng = np.random.default_rng([seed, g])
    z = rng.normal(size=subjects)
    # The group's mean is that at the mean of the covariate, as the fit centres it.
    return z, mean + sd * rng.normal(size=(subjects, len(mean))) + np.outer(z - z.mean(), effect), truth


def simulated(
    model: pyem.Model, g: int, *, subjects: int, blocks: int, trials: int, seed: int = 0
) -> tuple[pyem.Dataset, np.ndarray, Truth]:
    """Data of group number `g`, its people's unconstrained parameters (S, P), and what is true of all groups."""
    z, x, truth = drawn(model, g, subjects=subjects, seed=seed)
    design = {"blocks": blocks, "trials": trials, "covariates": {"z": z}}
    return pyem.simulate(model, model.natural(x), key=1000 * seed + g, **design), x, truth


def intervals(z: np.ndarray, x: np.ndarray, truth: Truth) -> dict[tuple[str, str], tuple[float, float]]:
    """Intervals that cover 95 % exactly, from the true parameters `x` (S, P) of people, by ordinary regression."""
    out, n = {}, len(z)
    means = [name for kind, name in truth if kind == "mean"]
    for j, name in enumerate(means):
        last = j == len(means) - 1
        design = np.stack([np.ones(n), z - z.mean()], axis=1)[:, : 2 if last else 1]
        coef = np.linalg.lstsq(design, x[:, j], rcond=None)[0]
        df = n - design.shape[1]
        sd = np.sqrt(((x[:, j] - design @ coef) ** 2).sum() / df)
        reach = stats.t.ppf(0.975, df) * sd * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
        for kind, value, one in zip(("mean", "effect of z"), coef, reach, strict=False):
            out[kind, name] = (value - one, value + one)
        low, high = sd * np.sqrt(df / stats.chi2.ppf([0.975, 0.025], df))
        out["sd", name] = (low, high)
    return out


def known(groups: int = 400, seed: int = 0) -> None:
    """Print how often intervals from people's true parameters cover the truth: chance alone takes these from 95 %."""
    for name in dict.fromkeys(name for name, _, _ in DESIGNS):
        model, rows = pyem.models.get(name), []
        for g in range(groups):
            *people, truth = drawn(model, g, subjects=40, seed=seed)
            found = intervals(*people, truth)
            rows.append({key: low <= truth[key] <= high for key, (low, high) in found.items()})
        shares = 100 * pd.DataFrame(rows)[list(truth)].mean()
        print(f"| {name} | {groups} | {'; '.join(f'{k} {p} {v:.1f}' for (k, p), v in shares.items())} |")


def covered(
    model: pyem.Model,
    data: pyem.Dataset,
    x: np.ndarray,
    truth: Truth,
    fit: Callable[..., Any],
) -> pd.DataFrame:
    """Which intervals of one group cover the truth: of each mean, effect and sd, and which share of those of people.

    Columns: ``kind``, ``parameter``, ``covered``, and ``estimate``, as a share of the truth for sds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        fitted = fit(model, data, group=pyem.Group(covariates={"z": [model.names[-1]]}))
    table, rows = fitted.group_table(), []
    for (kind, name), value in truth.items():
        row = table.loc[kind, name]
        share = row["estimate"] / value if kind == "sd" else np.nan
        rows.append((kind, name, float(row["low"] <= value <= row["high"]), share))
    natural = model.natural(x)
    inside = (fitted.quantile(0.025) <= natural) & (natural <= fitted.quantile(0.975))
    rows += [("people", name, share, np.nan) for name, share in zip(model.names, inside.mean(0), strict=True)]
    return pd.DataFrame(rows, columns=["kind", "parameter", "covered", "estimate"])


def coverage(
    model: pyem.Model,
    *,
    groups: int,
    subjects: int,
    blocks: int,
    trials: int,
    seed: int = 0,
    fit: Callable[..., Any] = pyem.fit_em,
) -> pd.DataFrame:
    """Share of simulated groups whose interval covers the truth, and mean estimates; see `covered`."""
    design = {"subjects": subjects, "blocks": blocks, "trials": trials, "seed": seed}
    return _mean(pd.concat(covered(model, *simulated(model, g, **design), fit) for g in range(groups)))


def _mean(table: pd.DataFrame) -> pd.DataFrame:
    kept = table.groupby(["kind", "parameter"], sort=False)[["covered", "estimate"]]
    return kept.mean().reset_index()


def false_positives(
    model: pyem.Model, *, groups: int, subjects: int, blocks: int = 4, trials: int = 24, seed: int = 0
) -> pd.Series:
    """Share of simulated data sets with p < .05 for the effect of a group that has none, for each parameter."""
    hits = []
    for g in range(groups):
        patient = np.repeat([0.0, 1.0], subjects // 2)
        key = 1_000_000 * seed + 1000 * subjects + g
        covariates = {"patient": patient}
        data = pyem.simulate(model, subjects=subjects, key=key, blocks=blocks, trials=trials, covariates=covariates)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pyem.FitWarning)
            fit = pyem.fit_em(model, data, group=pyem.Group(covariates=["patient"]))
        hits.append(fit.group_table().loc["effect of patient", "p"] < 0.05)
    return pd.DataFrame(hits).mean()


def null(groups: int = 1000, seed: int = 0) -> None:
    """Print the table of small groups of the documentation; another seed draws other groups."""
    for subjects in (8, 12):
        for name, share in false_positives(
            pyem.models.get("rw1a1b"), groups=groups, subjects=subjects, seed=seed
        ).items():
            print(f"| {subjects} | {name} | {100 * share:.1f} |", flush=True)


def study(results: str, groups: int = 400, designs: str = "012", seed: int = 0, method: str | None = None) -> None:
    """Fit groups of 40 people by all methods; `results` (CSV) is written as it goes, and what it has is not done again."""
    path = Path(results)
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["model", "trials", "group", "method"])
    known = set(done[["model", "trials", "group", "method"]].itertuples(index=False, name=None))
    for g in range(groups):
        for name, blocks, trials in (DESIGNS[int(k)] for k in designs):
            model = pyem.models.get(name)
            made = simulated(model, g, subjects=40, blocks=blocks, trials=trials, seed=seed)
            for title, fit in METHODS.items():
                if (name, trials, g, title) in known or method not in (None, title):
                    continue
                clock = time.process_time()
                table = covered(model, *made, fit).assign(model=name, trials=trials, group=g, method=title)
                table["seconds"] = time.process_time() - clock
                table.to_csv(path, mode="a", header=not path.exists(), index=False)


def report(results: str) -> None:
    """Print the tables of the documentation from the results of a study; standard errors are in brackets."""
    every = pd.read_csv(results)
    for (name, trials, method), table in every.groupby(["model", "trials", "method"], sort=False):
        means = _mean(table)
        errors = 100 * table.groupby(["kind", "parameter"], sort=False)["covered"].sem()
        cells = [
            f"{row.kind} {row.parameter} {100 * row.covered:.1f} ({error:.1f})"
            for row, error in zip(means.itertuples(), errors, strict=True)
        ]
        shares = ", ".join(f"{value:.2f}" for value in means["estimate"].dropna())
        n, seconds = table["group"].nunique(), table.groupby("group")["seconds"].first().median()
        print(f"| {name} | 4 x {trials} | {method} | {n} | {'; '.join(cells)} | {shares} | {seconds:.2f} |")


if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    if verb == "null":
        null(*map(int, words))
    elif verb == "known":
        known(*map(int, words))
    elif verb == "report":
        report(*words)
    else:
        groups, designs, seed, *method = [*words, *("400", "012", "0")[len(words) :]]
        study(verb, int(groups), designs, int(seed), *method)
