"""Full Bayesian inference: NUTS and SVI of 97 people, compilation by the number of people, agreement with EM."""

from __future__ import annotations

import numpy as np

import pyem
from benchmarks.measure import fresh, real_people, row, shown

GROUP = """
import json, time, warnings
import jax
import pyem
warnings.simplefilter("ignore", pyem.FitWarning)
compiling = []
jax.monitoring.register_event_duration_secs_listener(lambda name, s, **_: "/compile/" in name and compiling.append(s))
model = pyem.models.get("rw_forget")
data = pyem.simulate(model, subjects={subjects}, blocks=4, trials=25, key=1, missed=0.05)
t = time.perf_counter()
fit = {call}
seconds = time.perf_counter() - t
sd = fit.posterior["sd"]
out = {{"seconds": seconds, "compile": sum(compiling), "sd": sd.mean((0, 1)).tolist(), "sd_of_sd": sd.std((0, 1)).tolist()}}
out |= {{"mean": fit.posterior["coef"][:, :, 0].mean((0, 1)).tolist(), "message": fit.message}}
if fit.method == "nuts":
    table = fit.diagnostics()
    out |= {{"rhat": float(table.rhat.max()), "ess": float(table.ess_bulk.min()), "steps": float(fit.stats["n_steps"].mean())}}
    out["divergences"] = int(fit.stats["diverging"].sum())
print(json.dumps(out))
"""
NUTS = "pyem.fit_nuts(model, data, draws={draws}, warmup={warmup}, key=0)"
SVI = "pyem.fit_svi(model, data, key=0)"


def group() -> None:
    """97 people x 4 blocks x 25 trials, 5 % missed, three parameters, in fresh processes without a compilation cache."""
    nuts = fresh(GROUP.format(subjects=97, call=NUTS.format(draws=1000, warmup=400)))
    row(
        "NUTS, 97 people x 100 trials x 3 parameters, 4 x (400 + 1000), s, compilation included",
        f"{nuts['seconds']:.1f}; Rhat {nuts['rhat']:.4f}, smallest ESS {nuts['ess']:.0f} ({nuts['ess'] / nuts['seconds']:.0f} "
        f"a second), {nuts['divergences']} divergences, {nuts['steps']:.1f} steps a draw",
        "<= 120; Rhat < 1.01, no divergences",
    )
    row("of which tracing and compilation, of everything, s", f"{nuts['compile']:.1f}", "<= 15")
    svi = fresh(GROUP.format(subjects=97, call=SVI))
    row("SVI of the same, cold, s", f"{svi['seconds']:.1f}; {svi['message']}", "<= 15")
    ratio = np.array(svi["sd"]) / np.array(nuts["sd"])
    row("group sds of SVI / NUTS", f"{shown(ratio.tolist())}", "within 10 %")


def compilation(subjects: tuple[int, ...] = (10, 97)) -> None:
    """Seconds of compilation by the number of people."""
    call = NUTS.format(draws=20, warmup=20)
    runs = [[fresh(GROUP.format(subjects=n, call=call))["compile"] for n in subjects] for _ in range(3)]
    times = np.median(runs, axis=0).tolist()
    row(f"compilation for {' and '.join(map(str, subjects))} people, s, medians of 3", shown(times), "within 20 %")


def real() -> None:
    """Group means of NUTS and EM on the probabilistic selection task, in posterior sds."""
    data = real_people()
    if data is None:
        row("probabilistic selection task, NUTS and EM", "the data are not beside this checkout", "within 1 sd")
        return
    model = pyem.models.get("rw1a1b")
    em = pyem.fit_em(model, data)
    nuts = pyem.fit_nuts(model, data, key=0)
    assert em.population is not None
    draws = nuts.posterior["coef"][:, :, 0]
    gap = (em.population.coef[0] - draws.mean((0, 1))) / draws.std((0, 1))
    row(
        "probabilistic selection task, (EM - NUTS) / posterior sd of group means of beta and alpha",
        f"{shown(gap.tolist())}; NUTS {sum(nuts.seconds.values()):.1f} s",
        "within 1",
    )


def main() -> None:
    """All rows."""
    group()
    compilation()
    real()


if __name__ == "__main__":
    main()
