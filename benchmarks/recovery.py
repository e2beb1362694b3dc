"""Recovery of every model at its paper's design, and the time that its likelihood with derivatives takes.

``python -m benchmarks.recovery FILE [MODEL ...]`` simulates 60 people of each model's typical population in the design of its
paper, fits them by EM, and writes a line for each parameter to FILE; models that are there already are left out, so that a run
can be taken up again. ``python -m benchmarks.recovery table FILE`` prints the tables of docs/recovery.md,
``python -m benchmarks.recovery speed FILE`` measures the speed of all models once more, one after another.

A correlation is that of true and estimated values on the unconstrained scale. From the correlation r of n trials follow those
needed for r = .8 if the error of an estimate falls with the root of the number of trials: n (1/r^2 - 1) / (1/.8^2 - 1).
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import pyem
from pyem.engine import evaluate as engine

PEOPLE = 60
DESIGNS: dict[str, tuple[int, int]] = {
    "rw1a1b": (4, 50),
    "rw2a1b": (4, 50),
    "rw3a1b": (9, 16),
    "rw4a1b": (4, 40),
    "bias": (1, 100),
    "wsls": (4, 50),
    "ck": (4, 50),
    "rwck": (4, 50),
    "rw_forget": (4, 50),
    "fictive": (8, 24),
    "fictive_mirrored": (1, 120),
    "confirmation_bias": (8, 24),
    "pearce_hall": (1, 160),
    "pearce_hall_hybrid": (1, 160),
    "ewa": (1, 160),
    "reward_punishment": (1, 200),
    "reward_punishment_lapse": (1, 200),
    "reward_punishment_decay_lapse": (1, 200),
    "probabilistic_selection": (1, 360),
    "kalman": (1, 300),
    "kalman_bonus": (1, 300),
    "ucb": (20, 10),
    "thompson": (20, 10),
    "hybrid": (20, 10),
    "volatile_kalman": (1, 200),
    "volatile_kalman_continuous": (1, 200),
    "pvl_delta": (1, 100),
    "pvl_decay": (1, 100),
    "vpp": (1, 100),
    "orl": (1, 100),
    "bart": (1, 400),
    "bart_ewmv": (1, 400),
    "cambridge_gambling": (8, 9),
    "two_step": (1, 201),
    "two_step_sarsa": (1, 201),
    "two_step_model_based": (1, 201),
    "two_step_separate": (1, 201),
    "go_nogo_rw": (1, 240),
    "go_nogo_bias": (1, 240),
    "go_nogo_pavlovian": (1, 240),
    "go_nogo_valence": (1, 240),
    "rlwm": (13, 45),
    "dd_hyperbolic": (1, 100),
    "dd_exponential": (1, 100),
    "dd_quasi_hyperbolic": (1, 100),
    "dd_myerson_green": (1, 100),
    "dd_rachlin": (1, 100),
    "dd_constant_sensitivity": (1, 100),
    "pd_hyperbolic": (1, 100),
    "sd_hyperbolic": (1, 100),
    "prospect": (1, 140),
    "prospect_linear": (1, 140),
    "prospect_no_loss_aversion": (1, 140),
    "ambiguity": (1, 180),
    "crra": (1, 140),
    "mean_variance": (1, 140),
    "effort_parabolic": (1, 100),
    "effort_linear": (1, 100),
    "effort_hyperbolic": (1, 100),
    "effort_power": (1, 100),
    "sd_parabolic": (1, 100),
    "sd_linear": (1, 100),
    "prospect_cumulative": (1, 180),
    "aversive": (1, 180),
    "happiness": (1, 150),
    "card_sorting": (1, 128),
    "peer_influence": (1, 100),
    "ultimatum_fehr_schmidt": (1, 60),
    "ultimatum_bayes": (1, 60),
    "ultimatum_delta": (1, 60),
    "sdt": (1, 200),
    "sdt_rating": (1, 200),
    "sdt_rating_unequal": (1, 400),
    "two_afc": (1, 200),
    "psychometric": (1, 400),
    "psychometric_normal": (1, 400),
    "psychometric_weibull": (1, 400),
    "meta_d": (1, 400),
    "ordinal_logit": (1, 100),
    "ordinal_probit": (1, 100),
    "beta_rating": (1, 100),
    "binomial": (1, 50),
    "negative_binomial": (1, 50),
    "poisson": (1, 100),
    "logit": (1, 100),
    "logit_decay": (1, 100),
    "glm": (1, 100),
    "glm_ar": (1, 100),
    "glm_decay": (1, 100),
    "bayes": (6, 15),
    "hgf": (1, 320),
    "rw_belief": (1, 320),
    "hgf_continuous": (1, 320),
    "change_point": (4, 100),
    "hmm_reversal": (1, 160),
    "ddm": (1, 250),
    "ddm_stimulus": (1, 250),
    "ddm_gonogo": (1, 250),
    "shifted_wald": (1, 200),
    "ex_gaussian": (1, 200),
    "aif_bandit": (1, 160),
    "aif_reversal": (1, 160),
    "aif_tmaze": (20, 5),
}
"""Blocks, and trials of each; for balloons a trial is a decision."""


def speed(model: pyem.Model) -> float:
    """Value, gradient and Hessian of 200 people with 100 trials, in nanoseconds of processor time a trial."""
    # Mazes of five steps share their states of mind, which a single one of a hundred steps, that nobody runs, would not.
    blocks, trials = (20, 5) if model.name == "aif_tmaze" else (1, 100)
    data = pyem.simulate(model, key=1, subjects=200, blocks=blocks, trials=trials)
    engine.value_grad_hess(model, data, data.truth)
    times = []
    for _ in range(7):
        start = time.process_time()
        engine.value_grad_hess(model, data, data.truth)
        times.append(time.process_time() - start)
    return min(times) / data.n_trials * 1e9


def recovered(name: str) -> pd.DataFrame:
    """A line for each parameter of a model."""
    blocks, trials = DESIGNS[name]
    model = pyem.models.get(name)
    data = pyem.simulate(model, key=len(name), subjects=PEOPLE, blocks=blocks, trials=trials)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = pyem.fit_em(data.model or model, data)
    took = time.perf_counter() - start
    estimates, truth = fit.model.unconstrained(fit.params), data.truth
    r = [float(np.corrcoef(estimates[:, k], truth[:, k])[0, 1]) for k in range(model.n_params)]
    r = [0.0 if np.isnan(one) else one for one in r]
    columns = {"model": name, "parameter": model.names, "blocks": blocks, "trials": trials, "r": r}
    return pd.DataFrame({**columns, "fit_s": took, "ns": speed(model)})


def run(path: Path, names: list[str]) -> None:
    """Write the lines of those models that are not in the file yet."""
    for name in names or list(DESIGNS):
        done = set(pd.read_csv(path)["model"]) if path.exists() else set()
        if name not in done:
            recovered(name).to_csv(path, mode="a", header=not path.exists(), index=False)
            print(name, flush=True)
            # What is compiled takes memory mappings, of which a process may have so many.
            jax.clear_caches()


def again(path: Path) -> None:
    """Measure the speed of all models of the file in one process, in place of what is written."""
    lines = pd.read_csv(path)
    measured: dict[str, float] = {}
    for name in lines["model"].unique():
        measured[name] = speed(pyem.models.get(name))
        jax.clear_caches()
    lines.assign(ns=lines["model"].map(measured)).to_csv(path, index=False)


def needed(r: float, trials: int) -> str:
    """Trials for a correlation of .8."""
    if r <= 0.1:
        return "more than 100 times as many"
    return f"{trials * (1 / r**2 - 1) / (1 / 0.8**2 - 1):.0f}"


def tables(path: Path) -> None:
    """Print both tables in Markdown."""
    lines = (
        pd.read_csv(path).drop_duplicates(["model", "parameter"]).set_index("model").loc[list(DESIGNS)].reset_index()
    )
    print("| model | blocks x trials | parameter: r (trials for r = .8) |\n|---|---|---|")
    for name, own in lines.groupby("model", sort=False):
        total = int(own["blocks"].iloc[0] * own["trials"].iloc[0])
        cells = [
            f"`{row.parameter}` {row.r:.2f} ({needed(row.r, total)})".replace(" 0.", " .") for row in own.itertuples()
        ]
        print(f"| `{name}` | {own['blocks'].iloc[0]} x {own['trials'].iloc[0]} | {', '.join(cells)} |")
    unit = lines.loc[lines["model"] == "rw1a1b", "ns"].iloc[0]
    print("\n| model | parameters | relative to `rw1a1b` |\n|---|---|---|")
    for name, own in lines.groupby("model", sort=False):
        print(f"| `{name}` | {len(own)} | {own['ns'].iloc[0] / unit:.1f} |")


if __name__ == "__main__":
    if sys.argv[1] in ("table", "speed"):
        {"table": tables, "speed": again}[sys.argv[1]](Path(sys.argv[2]))
    else:
        run(Path(sys.argv[1]), sys.argv[2:])
