"""How often do 95 % intervals of a group and its people cover the truth? Simulated groups; prints Markdown tables."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import pyem

METHODS: dict[str, Callable[..., Any]] = {
    "EM": pyem.fit_em,
    "EM, exact": functools.partial(pyem.fit_em, integrate="exact"),
    "EM, exact, boundary avoiding": functools.partial(pyem.fit_em, integrate="exact", boundary_avoiding=True),
    "bayes": pyem.fit_bayes,
}


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
    """Share of simulated groups whose interval covers the truth, for each mean, effect and sd, and for people's parameters.

    Columns: ``covered``, and ``estimate``, the mean estimate as a share of the truth for sds.
    """
    mean, sd = model.typical
    effect = 0.3 * np.eye(len(mean))[-1]
    truth = {("mean", name): value for name, value in zip(model.names, mean, strict=True)}
    truth |= {("effect of z", model.names[-1]): effect[-1]}
    truth |= {("sd", name): value for name, value in zip(model.names, sd, strict=True)}
    hits = {key: [] for key in [*truth, *(("people", name) for name in model.names)]}
    found = {key: [] for key in truth}
    for g in range(groups):
        rng = np.random.default_rng([seed, g])
        z = rng.normal(size=subjects)
        # The group's mean is that at the mean of the covariate, as the fit centres it.
        x = mean + sd * rng.normal(size=(subjects, len(mean))) + np.outer(z - z.mean(), effect)
        data = pyem.simulate(
            model, model.natural(x), key=1000 * seed + g, blocks=blocks, trials=trials, covariates={"z": z}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pyem.FitWarning)
            fitted = fit(model, data, group=pyem.Group(covariates={"z": [model.names[-1]]}))
        table = fitted.group_table()
        for key, value in truth.items():
            row = table.loc[key]
            hits[key].append(row["low"] <= value <= row["high"])
            found[key].append(row["estimate"] / value)
        inside = (fitted.quantile(0.025) <= model.natural(x)) & (model.natural(x) <= fitted.quantile(0.975))
        for name, share in zip(model.names, inside.mean(0), strict=True):
            hits["people", name].append(share)
    shares = {key: np.mean(found[key]) if key[0] == "sd" else np.nan for key in hits}
    rows = [
        {"kind": kind, "parameter": name, "covered": np.mean(hit), "estimate": shares[kind, name]}
        for (kind, name), hit in hits.items()
    ]
    return pd.DataFrame(rows)


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


def main(groups: int = 400, designs: int = 3) -> None:
    """Print the tables of the documentation, of the first `designs`."""
    for name, design in (("rw1a1b", (4, 24)), ("rw1a1b", (4, 60)), ("rw2a1b", (4, 60)))[:designs]:
        model = pyem.models.get(name)
        for method, fit in METHODS.items():
            table = coverage(model, groups=groups, subjects=40, blocks=design[0], trials=design[1], fit=fit)
            cells = [f"{row.kind} {row.parameter} {100 * row.covered:.1f}" for row in table.itertuples()]
            shares = ", ".join(f"{value:.2f}" for value in table["estimate"].dropna())
            print(
                f"| {name} | {design[0]} x {design[1]} | {method} | {'; '.join(cells)} | {shares} |",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["null"]:
        null(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
