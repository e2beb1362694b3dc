"""Simulation-based calibration of `fit_bayes`: groups drawn from the priors, ranks and intervals of what is true of them.

``python -m benchmarks.prior_calibration results.csv 200 11`` fits 200 groups with seed 11, or goes on where it was stopped, and
prints the p value of uniform ranks and the coverage of 95 % intervals; three more words are people, blocks and trials.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import pyem
from pyem.population.population import populate
from pyem.population.priors import hyper_priors
from pyem.simulation.predictive import prior_draws

DRAWS, BINS = 999, 10
FARTHEST = 12.0
"""People beyond this unconstrained value are simulated there: they no longer behave differently."""


def groups_from_priors(model: pyem.Model, n: int, subjects: int, seed: int) -> dict[str, np.ndarray]:
    """Means, sds and people of `n` groups drawn from the priors."""
    shape = pyem.simulate(model, subjects=subjects, trials=4, key=0)
    mean, sd = model.typical
    group = populate(pyem.Group(), names=model.names, mean=mean, sd=sd, covariates={}, n_subjects=subjects)
    return prior_draws(model, shape, pyem.Group(), hyper_priors(model, group, None), n, seed)


def ranked(
    model: pyem.Model, truth: dict[str, np.ndarray], k: int, blocks: int, trials: int, seed: int
) -> pd.DataFrame:
    """Fits group `k`; rank of each true value among the draws, and whether the 95 % interval covers it."""
    natural = model.natural(np.clip(truth["x"][k], -FARTHEST, FARTHEST))
    data = pyem.simulate(model, natural, blocks=blocks, trials=trials, key=100_000 * seed + k)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        fit = pyem.fit_bayes(model, data, key=k, draws=DRAWS)
    true = np.concatenate([truth["coef"][k, 0], truth["sd"][k], truth["x"][k, 0]])
    flat = fit.flat
    draws = np.concatenate([flat["coef"][:, 0], flat["sd"], flat["x"][:, 0]], axis=1)
    low, high = np.quantile(draws, (0.025, 0.975), axis=0)
    names = [(kind, name) for kind in ("mean", "sd", "person") for name in model.names]
    out = pd.DataFrame(names, columns=["kind", "parameter"])
    return out.assign(
        group=k,
        rank=(draws < true).sum(0),
        covered=(low <= true) & (true <= high),
        pareto_k=float(fit.trace["pareto_k"]),
    )


def study(
    path: Path, n: int = 200, seed: int = 7, subjects: int = 20, blocks: int = 1, trials: int = 40
) -> pd.DataFrame:
    """Fits groups and keeps what was found in a file; what the file has is not done again."""
    model = pyem.models.get("rw1a1b")
    truth = groups_from_priors(model, n, subjects, seed)
    known = set(pd.read_csv(path)["group"]) if path.exists() else set()
    for k in sorted(set(range(n)) - known):
        ranked(model, truth, k, blocks, trials, seed).to_csv(path, mode="a", header=not path.exists(), index=False)
    return pd.read_csv(path)


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """For each quantity: p value of uniform ranks (chi-squared, ten bins), their counts, and the share of intervals right."""
    rows = []
    for (kind, name), table in results.groupby(["kind", "parameter"], sort=False):
        counts = np.bincount(table["rank"] * BINS // (DRAWS + 1), minlength=BINS)
        rows.append((kind, name, stats.chisquare(counts).pvalue, counts.tolist(), table["covered"].mean()))
    return pd.DataFrame(rows, columns=["kind", "parameter", "p", "counts", "covered"])


if __name__ == "__main__":
    where, *numbers = sys.argv[1:]
    print(summary(study(Path(where), *map(int, numbers))).to_string())
