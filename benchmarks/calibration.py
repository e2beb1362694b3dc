"""How often do the 95 % intervals of a group cover the truth? Simulated groups, fitted by EM; prints a Markdown table."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd

import pyem


def coverage(model: pyem.Model, *, groups: int, subjects: int, blocks: int, trials: int, seed: int = 0) -> pd.DataFrame:
    """Share of simulated groups whose interval covers the truth, for each mean, effect of a covariate and sd."""
    mean, sd = model.typical
    effect = 0.3 * np.eye(len(mean))[-1]
    truth = {("mean", name): value for name, value in zip(model.names, mean, strict=True)}
    truth |= {("effect of z", model.names[-1]): effect[-1]}
    truth |= {("sd", name): value for name, value in zip(model.names, sd, strict=True)}
    hits = {key: [] for key in truth}
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
            fit = pyem.fit_em(model, data, group=pyem.Group(covariates={"z": [model.names[-1]]}))
        table = fit.group_table()
        for key, value in truth.items():
            row = table.loc[key]
            hits[key].append(row["low"] <= value <= row["high"])
    rows = [{"kind": kind, "parameter": name, "covered": np.mean(hits[kind, name])} for kind, name in truth]
    return pd.DataFrame(rows)


def false_positives(model: pyem.Model, *, groups: int, subjects: int, blocks: int = 4, trials: int = 24) -> pd.Series:
    """Share of simulated data sets with p < .05 for the effect of a group that has none, for each parameter."""
    hits = []
    for g in range(groups):
        patient = np.repeat([0.0, 1.0], subjects // 2)
        key = 1000 * subjects + g
        covariates = {"patient": patient}
        data = pyem.simulate(model, subjects=subjects, key=key, blocks=blocks, trials=trials, covariates=covariates)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pyem.FitWarning)
            fit = pyem.fit_em(model, data, group=pyem.Group(covariates=["patient"]))
        hits.append(fit.group_table().loc["effect of patient", "p"] < 0.05)
    return pd.DataFrame(hits).mean()


def null(groups: int = 1000) -> None:
    """Print the table of small groups of the documentation."""
    for subjects in (8, 12):
        for name, share in false_positives(pyem.models.get("rw1a1b"), groups=groups, subjects=subjects).items():
            print(f"| {subjects} | {name} | {100 * share:.1f} |", flush=True)


def main(groups: int = 400) -> None:
    """Print the table of the documentation."""
    for name, design in (("rw1a1b", (4, 24)), ("rw1a1b", (4, 60)), ("rw2a1b", (4, 60))):
        model = pyem.models.get(name)
        table = coverage(model, groups=groups, subjects=40, blocks=design[0], trials=design[1])
        for row in table.itertuples():
            print(
                f"| {name} | {design[0]} x {design[1]} | {row.kind} | {row.parameter} | {100 * row.covered:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["null"]:
        null(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
