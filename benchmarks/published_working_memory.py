"""Published fits of working memory beside reinforcement learning, fitted again: the table of docs/models/memory.md.

``python -m benchmarks.published_working_memory [MODEL ...]`` fits experiment 5 of Collins (2024), 26 people, by maximum
likelihood with the default number of starts, the capacity the best of 2 to 5 for each person: in a new process, then once
more. ``python -m benchmarks.published_working_memory reference [MODEL ...]`` compares with the best of 20 starts, person by
person, which takes some minutes a model. The data set is beside the checkout, in shared/data.
"""

from __future__ import annotations

import sys

from benchmarks.measure import ROOT, fresh

PUBLISHED = {
    "memory_of_successes": -7306.4459,
    "memory_of_errors_free": -6970.2544,
    "memory_of_errors": -7002.9562,
    "habit": -6929.8572,
    "error_reward_free": -6941.3475,
}
"""Sums of the maximum log-likelihoods of all people, as the authors of the data set give them."""
MODELS = {
    "memory_of_successes": "pyem.fix(get(), bias_rl=0.0, bias_wm=0.0)",
    "memory_of_errors_free": "pyem.fix(get(), bias_rl=0.0)",
    "memory_of_errors": "pyem.fix(get(), bias_rl=0.0, bias_wm=1.0)",
    "habit": 'pyem.tie(get(error_reward=1.0), bias_rl="bias_wm")',
    "error_reward_free": "pyem.fix(get(error_reward=None), bias_rl=1.0, bias_wm=1.0)",
}
FIT = """
import functools, json, time, warnings
import numpy as np
import pandas as pd
import pyem
warnings.simplefilter("ignore", pyem.FitWarning)
get = functools.partial(pyem.models.get, "rlwm", capacity=(2, 3, 4, 5))
data = pyem.Dataset.from_frame(
    pd.read_csv({path!r}), subject="subject", block="block", trial="trial",
    columns={{name: name for name in ("stimulus", "set_size", "choice", "correct")}},
    codes={{"stimulus": range(1, 7), "choice": range(1, 4)}},
)
model, out, fits = {model}, {{}}, []
for settings in {runs}:
    wall, cpu = time.perf_counter(), time.process_time()
    fits.append(pyem.fit_mle(model, data, **settings).log_lik)
    out[str(len(fits))] = [float(fits[-1].sum()), time.perf_counter() - wall, time.process_time() - cpu]
out["short"] = float((fits[-1] - fits[0]).max())
out["people"] = int((fits[-1] - fits[0] > 0.001).sum())
print(json.dumps(out))
"""


def main(names: list[str]) -> None:
    """A line for each model: the maximum, the published one, and times, or how much less than the reference people reach."""
    path = str(ROOT.parent / "shared" / "data" / "rlwm_collins2024_exp5.csv")
    reference = "reference" in names
    runs = [{}, {"starts": 20, "key": 1}] if reference else [{}, {}]
    for name in [one for one in names if one in MODELS] or list(MODELS):
        out = fresh(FIT.format(path=path, model=MODELS[name], runs=runs))
        total, wall, cpu = out["1"]
        print(
            f"{name}: {total:.4f}, published {PUBLISHED[name]:.4f}; first {wall:.1f} s, {cpu:.1f} s of processors;",
            end=" ",
        )
        if reference:
            print(
                f"20 starts {out['2'][0]:.4f}: {out['people']} people more than .001 short, at most {out['short']:.4f}",
                flush=True,
            )
        else:
            print(f"once more {out['2'][1]:.1f} s, {out['2'][2]:.1f} s of processors", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
