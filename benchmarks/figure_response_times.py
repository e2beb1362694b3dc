"""The figure of docs/response-times.md: one person's response times, and the density of the fit."""

from __future__ import annotations

import sys
import warnings

import jax
import matplotlib as mpl
import numpy as np

import pyem


def main(path: str = "docs/response-times.svg") -> None:
    """Draw it."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "pyem"
    import matplotlib.pyplot as plt

    model = pyem.models.get("ddm")
    data = pyem.simulate(model, subjects=8, trials=300, key=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        fit = pyem.fit_em(model, data, standard_errors=False)
    choice, rt = data.fields["choice"][:, 0], data.fields["rt"][:, 0]
    times, edges = np.linspace(0.01, 2.5, 400), np.linspace(0, 2.5, 41)
    figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for option, sign, colour in ((1, 1, "C0"), (0, -1, "C1")):
        mine = rt[choice == option]
        height = np.histogram(mine, edges)[0] / len(rt) / np.diff(edges)
        axis.bar(edges[:-1], sign * height, np.diff(edges), align="edge", color=colour, alpha=0.35)
        with jax.enable_x64(True):
            density = np.exp(np.asarray(pyem.Wiener(*fit.params[0]).log_prob((option, times))))
        axis.plot(times, sign * density, color=colour, label=f"choice {option}")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel="response time (s)", ylabel="density", title="One person of eight: 300 trials, and the fit")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
