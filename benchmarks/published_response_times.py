"""Published fits of diffusion models, fitted again: the table "Beside published numbers" of docs/response-times.md.

``python -m benchmarks.published_response_times [conflict] [rw1a1b] [rw2a1b] [nuts]``: each fit in a new process, then once
more. `nuts` samples the first one, which takes a few minutes. The data sets are beside the checkout, in shared/data.
"""

from __future__ import annotations

import sys

from benchmarks.bench_response_times import CONFLICT, SELECTION
from benchmarks.measure import ROOT, fresh

FIT = """
import json, time, warnings
import pyem
warnings.simplefilter("ignore", pyem.FitWarning)
{data}
out = {{}}
for name in ("first", "once more"):
    wall, cpu = time.perf_counter(), time.process_time()
    fit = {fit}
    out[name] = "%.1f s by the clock, %.1f s of processors" % (time.perf_counter() - wall, time.process_time() - cpu)
    if "nuts" in {fit!r}:
        break
out["problems"] = [str(one) for one in fit.problems()]
rows = fit.group_table().loc["mean"]
kept = [name for name in ("estimate", "se", "sd", "natural_mean") if name in rows]
out["group"] = {{str(name): rows.loc[name, kept].astype(float).round(3).to_dict() for name in rows.index}}
print(json.dumps(out))
"""
OUTLIERS = 'model = pyem.fix(pyem.models.get("ddm", p_outlier=0.05), z=0.5)\n'
LEARNER = 'model = pyem.fix(pyem.with_decision(pyem.models.get("{rule}"), "ddm", p_outlier=0.05, longest_outlier=5.0), z=0.5)\n'


def main(names: list[str]) -> None:
    """A line for each fit: times, what is wrong with it, and the group with its standard errors."""
    folder = ROOT.parent / "shared" / "data"
    conflict, selection = folder / "ddm_cavanagh2011.csv", folder / "pst_pedersen2020.csv"
    made = {"conflict": CONFLICT.format(path=conflict) + OUTLIERS}
    for rule in ("rw1a1b", "rw2a1b"):
        made[rule] = SELECTION.format(path=selection, rule=rule) + LEARNER.format(rule=rule)
    fits = {"Laplace": "pyem.fit_em(model, data)", "exact": 'pyem.fit_em(model, data, integrate="exact")'}
    for name in names or list(made):
        if name == "nuts":
            made[name] = made["conflict"]
        ways = {"fit_nuts": "pyem.fit_nuts(model, data, key=1)"} if name == "nuts" else fits
        for way, fit in ways.items():
            print(f"{name}, {way}: {fresh(FIT.format(data=made[name], fit=fit))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
