"""How honest the intervals of a design are: drug x diagnosis, 2 x 40 people, 2 sessions of 120 trials, an effect on alpha only.

Run ``python -m benchmarks.designs FILE GROUPS``: it simulates as many groups, fits each by EM, writes a line for each effect of
each group to FILE (groups that are there already are not fitted again), and prints how often 95 % intervals cover the truth,
how often null effects are called, and the power of the effects on alpha, beside those of t tests after a fit of each session.
``python -m benchmarks.designs nuts`` fits one group by NUTS, too, and prints how far its effects are from those of EM.
``python -m benchmarks.designs cost`` prints how much longer a fit with a condition takes than the same without.
"""

from __future__ import annotations

import functools
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import pyem
from benchmarks.measure import median_fresh

PEOPLE, TRIALS = 80, 120
FORMULA = "drug * diagnosis"
TRUTH = {
    ("alpha", "Intercept"): -0.5,
    ("alpha", "drug"): 0.6,
    ("alpha", "diagnosis"): 0.0,
    ("alpha", "drug:diagnosis"): -0.6,
    ("beta", "Intercept"): -0.8,
    ("beta", "drug"): 0.0,
    ("beta", "diagnosis"): 0.0,
    ("beta", "drug:diagnosis"): 0.0,
}
SD = {"alpha": (0.7, 0.5), "beta": (0.5, 0.3)}
"""Between people: of the intercept and of the effect of the drug."""
MODEL = pyem.models.get("rw1a1b")
DESIGN = pyem.regress(MODEL, f"alpha ~ {FORMULA}", f"beta ~ {FORMULA}")
DIAGNOSIS = np.repeat(["control", "patient"], PEOPLE // 2)
CONDITIONS = {"drug": ["off", "on"], "diagnosis": DIAGNOSIS[:, None]}


def people(rng: np.random.Generator) -> np.ndarray:
    """Unconstrained beta, beta[drug], alpha, alpha[drug] of everybody, (S, 4)."""
    columns, patient = [], DIAGNOSIS == "patient"
    for name in ("beta", "alpha"):
        one, two = SD[name]
        columns.append(TRUTH[name, "Intercept"] + TRUTH[name, "diagnosis"] * patient + one * rng.normal(size=PEOPLE))
        columns.append(TRUTH[name, "drug"] + TRUTH[name, "drug:diagnosis"] * patient + two * rng.normal(size=PEOPLE))
    return np.stack(columns, axis=1)


def simulated(seed: int) -> pyem.Simulation:
    """One group."""
    small = pyem.simulate(DESIGN, np.full((PEOPLE, 4), 0.5), conditions=CONDITIONS, blocks=2, trials=2, key=0)
    x = people(np.random.default_rng(seed))
    natural = DESIGN.bind(small).model.natural(x)
    return pyem.simulate(DESIGN, natural, conditions=CONDITIONS, blocks=2, trials=TRIALS, key=seed)


def one_group(seed: int) -> pd.DataFrame:
    """The effects of one simulated group by both ways of integrating, with p of those on alpha by two fits and a t test."""
    data = simulated(seed)
    fits = {way: pyem.fit_em(DESIGN, data, integrate=way).effects() for way in ("laplace", "exact")}
    tables = [table[["estimate", "se", "low", "high", "p", "sd"]].assign(method=way) for way, table in fits.items()]
    for name, fit in {"EM": pyem.fit_em, "MAP": pyem.fit_map}.items():
        one, two = (fit(MODEL, _session(data, k)).x[:, 1] for k in (0, 1))
        tables.append(_t_tests(one, two, DIAGNOSIS == "patient").assign(method=f"t test after {name}"))
    return pd.concat([table.reset_index() for table in tables]).assign(group=seed)


def _t_tests(one: np.ndarray, two: np.ndarray, patient: np.ndarray) -> pd.DataFrame:
    """What is tested where each session is fitted on its own, and people's estimates are compared."""
    tests = {
        "drug": stats.ttest_1samp((two - one)[~patient], 0),
        "diagnosis": stats.ttest_ind(one[patient], one[~patient]),
        "drug:diagnosis": stats.ttest_ind((two - one)[patient], (two - one)[~patient]),
    }
    rows = []
    for name, test in tests.items():
        low, high = test.confidence_interval()
        rows.append({"parameter": "alpha", "effect": name, "low": low, "high": high, "p": test.pvalue})
        rows[-1]["estimate"] = (low + high) / 2
    return pd.DataFrame(rows).set_index(["parameter", "effect"])


def _session(data: pyem.Dataset, k: int) -> pyem.Dataset:
    """One session of everybody."""
    return data.cut(np.arange(k, data.n_lanes, 2), len(data.valid))


def study(path: Path, groups: int) -> None:
    """Fit the groups that are not in the file yet, and print the table of all."""
    warnings.simplefilter("ignore")
    known = set(pd.read_csv(path)["group"]) if path.exists() else set()
    for seed in range(groups):
        if seed not in known:
            one_group(seed).to_csv(path, mode="a", header=not path.exists(), index=False)
    print(summary(pd.read_csv(path)).to_string(float_format=lambda value: f"{value:.3f}"))


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Coverage, calls and power of each effect over all groups, by method."""
    out = {}
    for (parameter, effect), truth in TRUTH.items():
        for method, mine in rows[(rows["parameter"] == parameter) & (rows["effect"] == effect)].groupby("method"):
            out[parameter, effect, method] = {
                "groups": len(mine),
                "truth": truth,
                "mean": mine["estimate"].mean(),
                "sd of estimates": mine["estimate"].std(),
                "mean se": mine["se"].mean(),
                "covered": ((mine["low"] <= truth) & (truth <= mine["high"])).mean(),
                "p < .05": np.nan if effect == "Intercept" else (mine["p"] < 0.05).mean(),
            }
    return pd.DataFrame(out).T


def by_nuts(seed: int = 0) -> None:
    """The distance of EM and NUTS of one group in posterior sds."""
    data = simulated(seed)
    em = pyem.fit_em(DESIGN, data, integrate="exact").effects()
    nuts = pyem.fit_nuts(DESIGN, data, key=1, progress=False).effects()
    gap = (em["estimate"] - nuts["estimate"]) / nuts["se"]
    table = pd.DataFrame({"EM": em["estimate"], "NUTS": nuts["estimate"], "posterior sd": nuts["se"], "apart": gap})
    print(table.assign(**{"se by EM": em["se"]}).to_string(float_format=lambda value: f"{value:.3f}"))


COLD = """
import json, time
import pyem
from benchmarks.designs import MODEL, one_condition
design, data = one_condition(0)
start = time.process_time()
pyem.fit_em({model}, data).group_table()
print(json.dumps({{"s": time.process_time() - start}}))
"""


def one_condition(seed: int, people: int = 40, trials: int = TRIALS) -> tuple[Any, pyem.Dataset]:
    """A drug in one of two sessions that changes alpha, in 40 people."""
    design, rng = pyem.regress(MODEL, "alpha ~ drug"), np.random.default_rng(seed)
    x = np.array([-0.8, -0.5, 0.6]) + np.array([0.5, 0.7, 0.5]) * rng.normal(size=(people, 3))
    conditions = {"drug": ["off", "on"]}
    small = pyem.simulate(design, np.full((people, 3), 0.5), conditions=conditions, blocks=2, trials=2, key=0)
    natural = design.bind(small).model.natural(x)
    return design, pyem.simulate(design, natural, conditions=conditions, blocks=2, trials=trials, key=seed)


def cost(groups: int = 16, repeats: int = 15) -> None:
    """Processor seconds of `fit_em` with one condition on one parameter and without, warm and cold, on the same data."""
    warnings.simplefilter("ignore")
    table = pd.DataFrame([_warm(seed, (60, 90, 120)[seed % 3], repeats) for seed in range(groups)]).set_index("group")
    print(table.to_string(float_format=lambda value: f"{value:.2f}"))
    total, ratio = table["ms with"].sum() / table["ms"].sum(), table["ratio"]
    print(f"warm: median {ratio.median():.2f}, all together {total:.2f}, largest {ratio.max():.2f}")
    plain, with_it = (median_fresh(COLD.format(model=name), "s", 3) for name in ("MODEL", "design"))
    print(f"cold: {plain:.2f} s, {with_it:.2f} s, ratio {with_it / plain:.2f}")


def _warm(seed: int, trials: int, repeats: int) -> dict[str, Any]:
    """The shortest of fits without and with the condition in turn, and how many steps each takes."""
    design, data = one_condition(seed, trials=trials)
    fits = [pyem.fit_em(model, data) for model in (MODEL, design)]
    times = [[_processor(functools.partial(pyem.fit_em, m, data)) for m in (MODEL, design)] for _ in range(repeats)]
    plain, with_it = 1e3 * np.min(times, axis=0)
    steps = [len(fit.trace["change"]) for fit in fits]
    row = {"group": seed, "trials": trials, "ms": plain, "ms with": with_it, "ratio": with_it / plain}
    return row | {"steps": steps[0], "steps with": steps[1]}


def _processor(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    if sys.argv[1:] == ["nuts"]:
        by_nuts()
    elif sys.argv[1:] == ["cost"]:
        cost()
    else:
        study(Path(sys.argv[1]), int(sys.argv[2]))
