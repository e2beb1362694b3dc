"""Every method on one data set with known parameters: agreement, time and cost. The tables of docs/methods.md."""

from __future__ import annotations

import numpy as np

import pyem
from benchmarks.measure import fresh, real_people, row, shown

ONE = """
import json, time, warnings
import numpy as np
import pyem
from benchmarks.measure import peak_memory
warnings.simplefilter("ignore", pyem.FitWarning)
model = pyem.models.get("rw_forget")
data = pyem.simulate(model, subjects=97, blocks=4, trials=25, key=1, missed=0.05)
run = lambda: pyem.fit_{function}(model, data{options})
t = time.perf_counter(); fit = run(); cold = time.perf_counter() - t
t = time.perf_counter(); run(); warm = time.perf_counter() - t
usable = np.isfinite(fit.x).all(1)
half = 1.96 * np.sqrt(np.diagonal(fit.cov, axis1=1, axis2=2))
covered = (np.abs(fit.x - data.truth) < half)[usable]
gap = (fit.params - model.natural(data.truth))[usable]
out = {{"cold": cold, "warm": warm, "MiB": peak_memory(), "rmse": np.sqrt((gap**2).mean(0)).tolist()}}
out["covered"] = 100 * float(covered.mean())
if fit.population is not None and fit.method != "map":
    table = fit.group_table()
    out["mean"] = table.loc["mean", "estimate"].tolist()
    out["se"] = table.loc["mean", "se"].tolist()
    out["sd"] = table.loc["sd", "estimate"].tolist()
print(json.dumps(out))
"""
METHODS = {
    "mle": ("mle", ""),
    "map": ("map", ""),
    "em": ("em", ""),
    "em, exact": ("em", ", integrate='exact'"),
    "bayes": ("bayes", ""),
    "svi": ("svi", ", key=0"),
    "nuts": ("nuts", ", key=0"),
}


def methods() -> None:
    """97 people x 100 trials x 3 parameters."""
    model = pyem.models.get("rw_forget")
    truth = pyem.simulate(model, subjects=97, blocks=4, trials=25, key=1, missed=0.05).truth
    row(
        "people's true means; sds", f"{shown(truth.mean(0).tolist(), 2)}; {shown(truth.std(0, ddof=1).tolist(), 2)}", ""
    )
    for method, (function, options) in METHODS.items():
        run = fresh(ONE.format(function=function, options=options))
        cells = [f"{run['cold']:.1f} s cold, {run['warm']:.2f} s warm, {run['MiB']:.0f} MiB"]
        cells += [f"RMSE {shown(run['rmse'], 2)}", f"intervals cover {run['covered']:.0f} %"]
        if "mean" in run:
            means = [f"{mean:.2f} ({se:.2f})" for mean, se in zip(run["mean"], run["se"], strict=True)]
            cells += [f"means {', '.join(means)}", f"sds {shown(run['sd'], 2)}"]
        row(f"fit_{method}: {', '.join(model.names)}", "; ".join(cells), "")


def real() -> None:
    """The group of the probabilistic selection task by EM, SVI and NUTS."""
    data = real_people()
    if data is None:
        row("probabilistic selection task", "the data are not beside this checkout", "")
        return
    model = pyem.models.get("rw1a1b")
    for fit in (
        pyem.fit_em(model, data),
        pyem.fit_svi(model, data, key=0),
        pyem.fit_nuts(model, data, draws=2000, key=0),
    ):
        table = fit.group_table()
        cells = [
            f"{kind} of {name} {table.loc[(kind, name), 'estimate']:.3f} ({table.loc[(kind, name), 'se']:.3f})"
            for kind, name in table.index
        ]
        worst = f"; Rhat {fit.diagnostics().rhat.max():.3f}" if fit.method == "nuts" else ""
        natural = np.round(table.loc["mean", "natural"].to_numpy(float), 3).tolist()
        row(f"probabilistic selection task, {fit.method}", f"{', '.join(cells)}; natural {natural}{worst}", "")


def main() -> None:
    """All rows."""
    methods()
    real()


if __name__ == "__main__":
    main()
