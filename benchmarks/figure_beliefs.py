"""The figure of docs/beliefs.md: what one person believes of the outcomes, and of how fast they change."""

from __future__ import annotations

import sys
import warnings

import matplotlib as mpl
import numpy as np

import pyem


def main(path: str = "docs/beliefs.svg") -> None:
    """Draw it."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "pyem"
    import matplotlib.pyplot as plt

    hgf = pyem.models.get("hgf")
    task = pyem.task.Contingency((0.9, 0.1, 0.7, 0.3), every=20)
    people = pyem.simulate(hgf, subjects=20, trials=160, task=task, key=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        beliefs = pyem.fit_map(hgf, people).latents()
    one = beliefs[beliefs.subject == beliefs.subject.iloc[0]]
    trial = np.arange(1, len(one) + 1)
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 4), sharex=True, layout="constrained")
    upper.plot(trial, one.outcome, ".", color="0.5", markersize=3, label="outcome")
    upper.plot(trial, one.muhat1, color="C0", label="belief that it will be 1 (muhat1)")
    upper.set(ylabel="probability", title="One person of twenty: beliefs of the HGF")
    upper.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2)
    sd = np.sqrt(one.sa3.to_numpy())
    lower.fill_between(trial, one.mu3 - sd, one.mu3 + sd, color="C1", alpha=0.3, linewidth=0)
    lower.plot(trial, one.mu3, color="C1")
    lower.set(xlabel="trial", ylabel="log volatility\n(mu3, with sd)")
    for axis in (upper, lower):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
