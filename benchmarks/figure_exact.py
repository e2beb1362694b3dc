"""The figure of docs/exact.md: one person's points, weighted under two groups."""

from __future__ import annotations

import sys
import warnings

import matplotlib as mpl
import numpy as np

import pyem
from pyem.engine.nodes import NodeEStep, log_lik_at
from pyem.infer.placing import places

WHO = 3


def main(path: str = "docs/exact.svg") -> None:
    """Draw it."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "pyem"
    import matplotlib.pyplot as plt

    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=20, blocks=1, trials=40, key=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        laplace = pyem.fit_em(model, data, standard_errors=False)
        exact = pyem.fit_em(model, data, integrate="exact", standard_errors=False)
    group = exact.population
    assert group is not None
    made = places(model, data, nodes=None, rng=np.random.default_rng(0))
    estep = NodeEStep(made.nodes(exact.x, exact.cov, group, np.zeros(20, int)), group.group)
    other = group.with_vector(group.vector + np.array([0.6, -0.6, -0.3, -0.5]))
    axes = [np.linspace(exact.x[WHO, k] - 4, exact.x[WHO, k] + 4, 64) for k in (0, 1)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(1, -1, 2).repeat(20, 0)
    log_lik = log_lik_at(model, data, grid)[WHO]
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), sharex=True, sharey=True, layout="constrained")
    for panel, one, title in zip(panels, (group, other), ("one group", "another group, the same points"), strict=True):
        joint = (log_lik + one.group.log_prob(grid[WHO], one.mean[[WHO]], one.cov)).reshape(64, 64)
        panel.contour(*axes, (joint - joint.max()).T, levels=[-8, -4, -2, -1, -0.5], colors="0.7", linewidths=0.8)
        weight = estep.weights(one.prior)[0][WHO]
        panel.scatter(*estep.parts[0].x[WHO].T, s=2 + 400 * weight, color="C0", alpha=0.7, linewidths=0)
        mean = estep.posterior(one.prior).mode[WHO]
        panel.plot(*mean, "k+", markersize=12, label="posterior mean")
        panel.set(title=title, xlabel="beta (unconstrained)")
    panels[0].plot(*laplace.x[WHO], "C3x", markersize=8, label="mode (Laplace)")
    panels[0].set(ylabel="alpha (unconstrained)", xlim=axes[0][[0, -1]], ylim=axes[1][[0, -1]])
    panels[0].legend(frameon=False, loc="lower left")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
