"""Model recovery for the pyEM interface: rounds in which one model simulates people and all models are fitted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.compat.api import EMModel
from pyem.compat.fields import seed_of
from pyem.compat.outputs import entries_of

if TYPE_CHECKING:
    import pandas as pd

Scored = tuple[float, ...]
"""LME, integrated BIC and pseudo R2 of one model; NaN where there is none."""

BEST_COLUMNS = {"lme": "bestlme", "bicint": "bestbic", "pseudor2": "bestR2"}
"""Name of the column that counts the wins by each metric (in small letters)."""


def identification(
    models: Sequence[EMModel],
    names: Sequence[str],
    score: Callable[[list[list[Any]], int], list[Scored]],
    inputs: Sequence[str],
    nrounds: int,
    nsubjects: int,
    sim_kwargs: Mapping[str, Any] | None,
    seed: int | None,
    verbose: int,
) -> pd.DataFrame:
    """The table of `pyem.compat.compare.ModelComparison.identify`; `score` gives the scores of all models on data."""
    if nrounds < 1 or nsubjects < 1:
        raise ValueError(f"nrounds={nrounds}, nsubjects={nsubjects}; at least one of each is needed")
    for name, model in zip(names, models, strict=True):
        if model.simulate_func is None:
            raise AttributeError(f"Model {name!r} has no simulate_func; pass it when making the model")
    rng = np.random.default_rng(seed_of(seed))
    scores = np.full((3, len(models), nrounds, len(models)), np.nan)
    for k, (name, simulated) in enumerate(zip(names, models, strict=True)):
        for r in range(nrounds):
            data = _simulated(simulated, name, inputs, nsubjects, sim_kwargs, rng)
            scores[:, k, r] = np.array(score(data, int(rng.integers(2**31 - 1)))).T
            if verbose:
                best = names[int(np.argmax(scores[0, k, r]))]
                print(f"identify: {name}, round {r + 1} of {nrounds}: best LME {best}", flush=True)
    return _table(names, scores)


def _table(names: Sequence[str], scores: np.ndarray) -> pd.DataFrame:
    """A row for each pair of models, from scores (metric, simulated, round, estimated)."""
    import pandas as pd

    rows = []
    for k, name in enumerate(names):
        wins = [_wins(scores[0, k]), _wins(-scores[1, k]), _wins(scores[2, k])]
        means = scores[:, k].mean(1)
        for j, estimated in enumerate(names):
            score = dict(zip(("LME", "BICint", "pseudoR2"), means[:, j], strict=True))
            best = dict(zip(BEST_COLUMNS.values(), (win[j] for win in wins), strict=True))
            rows.append({"Simulated": name, "Estimated": estimated, **score, **best})
    return pd.DataFrame(rows)


def _wins(scores: np.ndarray) -> np.ndarray:
    """Number of rounds that each model won, from scores (round, model) of which the largest is best."""
    known = ~np.isnan(scores).all(1)
    best = np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=1)
    return np.bincount(best[known], minlength=scores.shape[1])


def _simulated(
    model: EMModel,
    name: str,
    inputs: Sequence[str],
    n_subjects: int,
    sim_kwargs: Mapping[str, Any] | None,
    rng: np.random.Generator,
) -> list[list[Any]]:
    params = model.natural(rng.standard_normal((n_subjects, len(model.param_names))))
    options = dict(sim_kwargs or {})
    if "seed" not in options and _takes_seed(model.simulate_func):
        options["seed"] = int(rng.integers(2**31 - 1))
    try:
        sim = model.simulate(params, **options)
    except Exception as error:
        raise RuntimeError(f"Simulation from {name!r} failed: {error}") from error
    if not isinstance(sim, Mapping):
        raise ValueError(
            f"Simulation from {name!r} did not return a dict. It returned {type(sim).__name__}; identify needs named entries"
        )
    if missing := [key for key in inputs if key not in sim]:
        raise ValueError(f"Simulation from {name!r} is missing expected keys: {missing}; it has {', '.join(sim)}")
    return entries_of(sim, inputs)


def _takes_seed(function: Any) -> bool:
    try:
        return "seed" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def identified_wins(frame: pd.DataFrame, column: str, rounds: int | None) -> tuple[list[str], list[str], np.ndarray]:
    """Names of the models that simulated and of those that were fitted, and the share of rounds that the latter won."""
    simulated, estimated = (list(dict.fromkeys(frame[name])) for name in ("Simulated", "Estimated"))
    counts = frame.pivot(index="Simulated", columns="Estimated", values=column)
    wins = counts.loc[simulated, estimated].to_numpy(float)
    total = wins.sum(1, keepdims=True) if rounds is None else float(rounds)
    with np.errstate(invalid="ignore"):
        return simulated, estimated, wins / total
