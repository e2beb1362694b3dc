"""How honest the intervals of a design are: drug x diagnosis, 2 x 40 people, 2 sessions of 120 trials, an effect on alpha only.

Run ``python -m benchmarks.designs GROUPS``: it simulates as many groups, fits each by EM, and prints how often 95 % intervals
cover the truth, how often null effects are called, and the power of the interaction, beside that of two fits and a t test.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
import pandas as pd
from scipy import stats

import pyem

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


def people(rng: np.random.Generator, diagnosis: np.ndarray) -> np.ndarray:
    """Unconstrained beta, beta[drug], alpha, alpha[drug] of everybody, (S, 4)."""
    columns = []
    for name in ("beta", "alpha"):
        one, two = SD[name]
        columns.append(TRUTH[name, "Intercept"] + TRUTH[name, "diagnosis"] * diagnosis + one * rng.normal(size=PEOPLE))
        columns.append(TRUTH[name, "drug"] + TRUTH[name, "drug:diagnosis"] * diagnosis + two * rng.normal(size=PEOPLE))
    return np.stack(columns, axis=1)


def one_group(seed: int) -> tuple[pd.DataFrame, float, float]:
    """The effects of one simulated group, and p of the interaction on alpha by the design and by two separate fits."""
    model = pyem.models.get("rw1a1b")
    design = pyem.regress(model, f"alpha ~ {FORMULA}", f"beta ~ {FORMULA}")
    rng = np.random.default_rng(seed)
    diagnosis = np.repeat([0.0, 1.0], PEOPLE // 2)
    conditions = {"drug": [0.0, 1.0], "diagnosis": diagnosis[:, None]}
    shape = pyem.simulate(design, np.ones((PEOPLE, 4)) * 0.5, conditions=conditions, blocks=2, trials=2, key=0).model
    assert shape is not None
    x = people(rng, diagnosis)
    data = pyem.simulate(design, shape.natural(x), conditions=conditions, blocks=2, trials=TRIALS, key=seed)
    effects = pyem.fit_em(design, data).effects()
    sessions = [pyem.fit_em(model, _session(data, k)).x[:, 1] for k in (0, 1)]
    gap = sessions[1] - sessions[0]
    by_t = stats.ttest_ind(gap[diagnosis == 1], gap[diagnosis == 0]).pvalue
    return effects, float(effects.loc[("alpha", "drug:diagnosis"), "p"]), float(by_t)


def _session(data: pyem.Dataset, k: int) -> pyem.Dataset:
    """One session of everybody."""
    return data.cut(np.arange(k, data.n_lanes, 2), len(data.valid))


def main(groups: int) -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    covered: dict[tuple[str, str], list[bool]] = {name: [] for name in TRUTH}
    called: dict[tuple[str, str], list[bool]] = {name: [] for name in TRUTH}
    power, began = [], time.time()
    for seed in range(groups):
        effects, mine, other = one_group(seed)
        power.append((mine < 0.05, other < 0.05))
        for name, truth in TRUTH.items():
            row = effects.loc[name]
            covered[name].append(bool(row["low"] <= truth <= row["high"]))
            called[name].append(bool(row["p"] < 0.05))
        if seed % 20 == 19 or seed == groups - 1:
            print(f"{seed + 1} groups, {time.time() - began:.0f} s", flush=True)
            for name in TRUTH:
                text = "" if name[1] == "Intercept" else f", p < .05 in {np.mean(called[name]):.3f}"
                print(f"  {name[0]:6}{name[1]:16} truth {TRUTH[name]:5.2f}: covered {np.mean(covered[name]):.3f}{text}")
            mine, other = np.mean(power, axis=0)
            print(f"  power of the interaction: design {mine:.3f}, two fits and t {other:.3f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
