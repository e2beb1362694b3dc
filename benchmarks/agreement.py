"""Does `fit_bayes` agree with long runs of NUTS? Group and people of real and simulated data; prints a Markdown table.

``python -m benchmarks.agreement folder`` runs NUTS (4 chains of 5,000 draws or more) once for each data set, keeps what it says
in the folder, and fits the same data by `fit_bayes` with three keys; further words are the names of data sets.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arviz
import numpy as np

import pyem
from benchmarks.measure import real_people, row, shown

CHAINS, DRAWS, WARMUP = 4, 5000, 400
"""Of the long run; each chain is kept when it is done."""
MORE = {"pst_pedersen2020, rw1a1b, 28 people": 11}
"""Numbers of chains of data sets for which the sds of those above differ by more than what is to be told."""
KEYS = (1, 2, 3)
"""Of the fits by `fit_bayes`: what these differ in is chance."""

Made = tuple[pyem.Model, Any]


def _simulated(name: str, key: int, **design: Any) -> Made:
    model = pyem.models.get(name)
    return model, pyem.simulate(model, key=key, **design)


SETS: dict[str, Callable[[], Made]] = {
    "pst_pedersen2020, rw1a1b, 28 people": lambda: (pyem.models.get("rw1a1b"), real_people()),
    "rw_forget, 97 people x 100": lambda: _simulated("rw_forget", 1, subjects=97, blocks=4, trials=25, missed=0.05),
    "pst_pedersen2020, rw2a1b, 28 people": lambda: (pyem.models.get("rw2a1b"), real_people()),
    "rw1a1b, 20 people x 40": lambda: _simulated("rw1a1b", 3, subjects=20, blocks=1, trials=40),
    "rw4a1b, 40 people x 240": lambda: _simulated("rw4a1b", 5, subjects=40, blocks=4, trials=60),
}


def chain(path: Path, model: pyem.Model, data: pyem.Dataset, key: int) -> dict[str, np.ndarray]:
    """One chain of the long run, from its file if it is there."""
    if not path.exists():
        clock = time.process_time()
        fit = pyem.fit_nuts(model, data, draws=DRAWS, warmup=WARMUP, chains=1, key=key)
        evidence = pyem.bridge_evidence(fit, key=1)
        np.savez(
            path,
            group=np.concatenate([fit.flat["coef"][:, 0], fit.flat["sd"]], axis=1),
            people=fit.flat["x"].astype(np.float32),
            divergences=fit.stats["diverging"].sum(),
            evidence=[evidence.total, evidence.se],
            seconds=time.process_time() - clock,
        )
    return dict(np.load(path))


def long_run(folder: Path, model: pyem.Model, data: pyem.Dataset, n: int = CHAINS) -> dict[str, np.ndarray]:
    """Means and sds of the group's parameters and of people by NUTS."""
    folder.mkdir(parents=True, exist_ok=True)
    chains = [chain(folder / f"{k}.npz", model, data, k) for k in range(n)]
    group, people = (np.stack([one[part] for one in chains]) for part in ("group", "people"))
    evidence, se = np.stack([one["evidence"] for one in chains], axis=1)
    every = people.reshape(-1, *people.shape[2:]).astype(float)
    values = [group[..., k] for k in range(group.shape[-1])]
    return {
        "mean": group.mean((0, 1)),
        "sd": group.std((0, 1)),
        # A number or an array of one, by the version of ArviZ.
        "error": np.concatenate([np.ravel(arviz.mcse(one)) for one in values]),
        "rhat": max(arviz.rhat(one) for one in values),
        "ess": min(arviz.ess(one) for one in values),
        "people": every.mean(0),
        "people_sd": every.std(0),
        "divergences": sum(int(one["divergences"]) for one in chains),
        "evidence": evidence.mean(),
        "evidence_error": np.sqrt((se**2).sum()) / len(se),
        "seconds": sum(float(one["seconds"]) for one in chains),
    }


def against(model: pyem.Model, data: pyem.Dataset, long: dict[str, np.ndarray], key: int) -> dict[str, Any]:
    """How far `fit_bayes` is from the long run."""
    clock = time.process_time()
    fit = pyem.fit_bayes(model, data, key=key)
    seconds = time.process_time() - clock
    evidence, bridge = float(fit.trace["log_marginal_likelihood"]), pyem.bridge_evidence(fit, key=1)
    coef, sd = fit.flat["coef"][:, 0], fit.flat["sd"]
    mean, spread = (np.concatenate([f(coef, 0), f(sd, 0)]) for f in (np.mean, np.std))
    gap = np.abs(fit.x - long["people"]) / long["people_sd"]
    return {
        "seconds": seconds,
        "means": (mean - long["mean"]) / long["sd"],
        "sds": 100 * (spread / long["sd"] - 1),
        "people": float(np.sqrt((gap**2).mean())),
        "farthest": float(gap.max()),
        "evidence": evidence,
        "bridge": bridge.total - evidence,
        "bridge_error": bridge.se,
        "evidence_error": float(fit.trace["log_marginal_likelihood_se"]),
        "pareto_k": float(fit.trace["pareto_k"]),
    }


def main(folder: str, *names: str) -> None:
    """All rows."""
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", pyem.FitWarning)
    for name, make in SETS.items():
        if names and not any(word in name for word in names):
            continue
        model, data = make()
        if data is None:
            row(name, "the data are not beside this checkout", "")
            continue
        long = long_run(where / name.replace(" ", "_").replace(",", ""), model, data, MORE.get(name, CHAINS))
        found = [against(model, data, long, key) for key in (0, *KEYS)][1:]
        mean = {part: np.mean([one[part] for one in found], 0) for part in found[0]}
        values = np.array([one["evidence"] for one in found])
        row(
            name,
            f"NUTS Rhat {long['rhat']:.4f}, ESS {long['ess']:.0f}, {long['divergences']} divergences, "
            f"{long['seconds']:.0f} s; error of its means in sds {shown((long['error'] / long['sd']).tolist())}",
            "",
        )
        row("group, (fit_bayes - NUTS) / posterior sd, mean of three keys", shown(mean["means"].tolist()), "within .1")
        row("largest of one key", f"{max(np.abs(one['means']).max() for one in found):.3f}", "")
        row("posterior sds of the group, % off, mean of three keys", shown(mean["sds"].tolist(), 1), "within 3 (5)")
        row("largest of one key", f"{max(np.abs(one['sds']).max() for one in found):.1f}", "")
        row(
            "people's means, posterior sds, root mean square (largest)",
            f"{mean['people']:.3f} ({mean['farthest']:.2f})",
            ".05",
        )
        row(
            "log marginal likelihood, three keys (said error); bridge sampling of NUTS (error)",
            f"{shown(values.tolist())} ({mean['evidence_error']:.3f}); {long['evidence']:.3f} ({long['evidence_error']:.3f})",
            "error < .1",
        )
        row(
            "bridge sampling of the draws of fit_bayes less its log marginal likelihood (error of one)",
            f"{mean['bridge']:.3f} ({mean['bridge_error']:.3f})",
            "within its error",
        )
        row("seconds of processor time, warm; Pareto k", f"{mean['seconds']:.2f}; {mean['pareto_k']:.2f}", "")


if __name__ == "__main__":
    main(*sys.argv[1:])
