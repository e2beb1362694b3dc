"""The figure of docs/comparison.md: group means of EM and of hierarchical Bayesian inference with outlying people."""

from __future__ import annotations

import sys
import warnings

import matplotlib as mpl
import numpy as np

import pyem

PEOPLE, OUTLYING = 40, (0, 2, 4, 8, 12)
"""Everybody, and how many of them always prefer one side, whatever it pays."""


def mixed(outlying: int, key: int) -> pyem.Dataset:
    """Learners, the last of whom are people with a preference for a side alone."""
    model, other = pyem.models.get("rw1a1b"), pyem.models.get("bias")
    size = {"subjects": PEOPLE, "blocks": 2, "trials": 50}
    learners = pyem.simulate(model, key=key, **size)
    biased = pyem.simulate(other, np.full((PEOPLE, 1), 0.95), key=key + 1000, blocks=2, trials=50)
    frames = [learners.to_frame(labels=False), biased.to_frame(labels=False)]
    swapped = frames[0]["subject"] >= PEOPLE - outlying
    choice = np.where(swapped, frames[1]["choice"], frames[0]["choice"])
    table = frames[0].assign(choice=choice)
    # Who chose otherwise was paid otherwise; it does not matter to them.
    return pyem.Dataset.from_frame(
        table, subject="subject", block="block", columns={name: name for name in model.columns}
    )


def means(outlying: int, key: int) -> tuple[float, float]:
    """The group mean of beta, natural, by EM of one model and by HBI of two."""
    model, other = pyem.models.get("rw1a1b"), pyem.models.get("bias")
    data = mixed(outlying, key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        alone = pyem.fit_em(model, data, standard_errors=False)
        together = pyem.fit_hbi({"learning": model, "bias": other}, data, null=False)
    assert alone.population is not None
    em = model.natural(alone.population.mean[0])[0]
    return float(em), float(together.group_table().loc[("learning", "beta"), "natural"])


def main(path: str = "docs/hbi.svg", keys: int = 3) -> None:
    """Draw it."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "pyem"
    import matplotlib.pyplot as plt

    found = np.array([[means(n, key) for key in range(1, int(keys) + 1)] for n in OUTLYING])
    figure, panel = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
    truth = pyem.models.get("rw1a1b").natural(pyem.models.get("rw1a1b").typical[0])[0]
    panel.axhline(truth, color="0.5", linestyle="--", linewidth=1, label="learners simulated")
    for k, (name, colour) in enumerate((("EM, one model", "#D55E00"), ("HBI, two models", "#0072B2"))):
        panel.plot(OUTLYING, found[..., k], "o", color=colour, alpha=0.35, markersize=3)
        panel.plot(OUTLYING, found[..., k].mean(1), "-o", color=colour, label=name)
        print(name, found[..., k].mean(1).round(3))
    panel.set(xlabel=f"people of {PEOPLE} who prefer a side alone", ylabel="group mean of beta")
    panel.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
