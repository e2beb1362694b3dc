"""Simulation-based calibration of any method: ranks of true values among draws from the posterior."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import ModelError, Unavailable, counted, require_kind, require_method, require_whole
from pyem.infer.point import fit_map
from pyem.infer.rounds import Running, in_words, run_rounds
from pyem.model.model import Model
from pyem.numerics.rng import plain_key, seed_of
from pyem.results.fit import Draws, Fit
from pyem.study.experiment import Experiment, Fitter, Silence, at_least_one, experiment_of, report, to_fit

if TYPE_CHECKING:
    import pandas as pd

FALSE_ALARM = 0.01
"""Probability, over all quantities of a study, that a correct method is called wrong."""
SIMULATED = 2000
"""Number of simulated sets of uniform ranks from which p values come."""


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of true values among draws from the posterior: uniform if the posterior is right. R rounds.

    Parameters
    ----------
    model, method
        Name of the model, and the method.
    ranks
        For each quantity how many of the draws are below the truth, from 0 to `draws`, (R,): every parameter of one person in
        each round, and group means and standard deviations where there is a group.
    draws
        Number of draws from each posterior.
    own_prior
        Whether truths were drawn from the very prior of the method, as calibration supposes; else from the typical population,
        and the ranks of group parameters show whether its intervals are right there.
    """

    model: Model
    method: str
    ranks: Mapping[str, np.ndarray]
    draws: int
    own_prior: bool

    def table(self) -> pd.DataFrame:
        """A row for each quantity: rounds ``n``, coverage of central intervals of 50, 80 and 95 %, and ``p`` of uniform ranks.

        ``p`` is the probability that uniform ranks stray as far from their expected cumulative distribution, at any point
        (Säilynoja, Bürkner & Vehtari, 2022).
        """
        import pandas as pd

        rows = {}
        for name, ranks in self.ranks.items():
            middle = (ranks + 0.5) / (self.draws + 1)
            shares = {f"coverage_{c}": float(np.mean(np.abs(middle - 0.5) < c / 200)) for c in (50, 80, 95)}
            rows[name] = {"n": len(ranks), **shares, "p": uniform_p(ranks, self.draws)}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity")

    def passed(self, false_alarm: float = FALSE_ALARM) -> bool:
        """Whether no quantity is off; a correct method fails with probability `false_alarm` at most (Bonferroni)."""
        return bool((self.table()["p"] >= false_alarm / len(self.ranks)).all())

    def __repr__(self) -> str:
        n = len(next(iter(self.ranks.values())))
        verdict = "uniform" if self.passed() else "NOT uniform"
        head = f"Calibration of {self.model.name} by {self.method}: {counted(n, 'round')}; ranks are {verdict}"
        rate = f"(a right method is said to be wrong in {100 * FALSE_ALARM:g} % of such studies)"
        return f"{head} {rate}\n{self.table().to_string(float_format='{:.3g}'.format)}"


def uniform_p(ranks: np.ndarray, draws: int) -> float:
    """Probability that as many uniform ranks, from 0 to `draws`, deviate as far from uniform at any point.

    Examples
    --------
    >>> uniform_p(np.arange(100), 99) > 0.9, uniform_p(np.full(100, 3), 99) < 0.001
    (True, True)
    """
    simulated = _strayed(len(ranks), draws)
    return float((1 + (simulated <= _stray(ranks[None], draws)[0]).sum()) / (1 + len(simulated)))


def _stray(ranks: np.ndarray, draws: int) -> np.ndarray:
    """Smallest tail probability of the number of ranks (set, R) below any point; small if far from uniform."""
    from scipy.stats import binom

    point = np.arange(1, draws + 1)
    counts = np.stack([np.bincount(row, minlength=draws + 1) for row in ranks])
    below = np.cumsum(counts, axis=1)[:, :-1]
    n, share = ranks.shape[1], point / (draws + 1)
    return np.minimum(binom.cdf(below, n, share), binom.sf(below - 1, n, share)).min(1)


@cache
def _strayed(n: int, draws: int) -> np.ndarray:
    return _stray(np.random.default_rng(0).integers(0, draws + 1, (SIMULATED, n)), draws)


def calibration(
    model: Model,
    *,
    key: Any,
    fit: Fitter = fit_map,
    rounds: int = 200,
    draws: int = 99,
    subjects: int | None = None,
    blocks: int | None = None,
    trials: int | None = None,
    task: Any = None,
    missed: float = 0.0,
    design: Dataset | Experiment | None = None,
    pool: Any = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Calibration:
    """Simulation-based calibration: draw truths from the prior, simulate, fit, and rank the truths among posterior draws.

    If likelihood, prior and method are right, ranks are uniform, whatever the model and the number of trials.

    Parameters
    ----------
    model
        The model.
    key
        Seed or JAX random key.
    fit
        ``fit(model, data)``: a method with a prior of its own, `fit_map`, `fit_nuts`, `fit_svi` or `fit_bayes`, or a partial
        of one with settings. Truths of a method without (`fit_em`, `fit_mle`) are drawn from the typical population.
    rounds, draws
        Simulated groups, and draws from the posterior of each.
    subjects, blocks, trials, task, missed, design
        As in `recovery`; 20 subjects if nothing is said.
    pool, folder, progress
        Processes that run the rounds, folder for finished rounds, and whether progress is shown; see `recovery`.

    Warns
    -----
    FitWarning
        Once, if fits did not converge or people had no regular mode.

    References
    ----------
    Talts, S., Betancourt, M., Simpson, D., Vehtari, A., & Gelman, A. (2018). Validating Bayesian inference algorithms with
    simulation-based calibration. https://doi.org/10.48550/arXiv.1804.06788

    Säilynoja, T., Bürkner, P.-C., & Vehtari, A. (2022). Graphical test for discrete uniformity and its applications in
    goodness-of-fit evaluation and multiple sample comparison. Statistics and Computing, 32, 32.
    https://doi.org/10.1007/s11222-022-10090-6

    Examples
    --------
    >>> import pyem
    >>> level = pyem.fix(pyem.models.get("glm", predictors=1), sigma=1.0)
    >>> study = pyem.calibration(level, key=1, rounds=5, subjects=5, trials=12)
    >>> study.own_prior, list(study.ranks)
    (True, ['b0 of a person'])
    """
    require_kind("model", model)
    if model.discrete:
        name, values = next(iter(model.discrete.items()))
        raise ModelError(
            f"model {model.name!r} has the discrete parameter {name!r}, whose few values have no rank among draws that is "
            f"uniform; hold it: pyem.fix(model, {name}={values[0]:g})"
        )
    require_method(fit)
    require_whole(draws=(draws, 1))
    at_least_one(rounds)
    experiment = experiment_of(design, subjects=subjects, blocks=blocks, trials=trials, task=task, missed=missed)
    n, key, title = experiment.n_subjects(None, 20), plain_key(key), f"calibration of {model.name!r}"
    first = experiment.round(model, None, n, rounds, key)
    made = to_fit(model, first)
    assert isinstance(made, Model)
    pilot = Silence(fit)(made, first)
    truth, own = _truths(pilot, rounds, seed_of(key))
    job = CalibrationRound(model, truth, experiment, n, key, fit, draws)
    said = vars(job) | {"truth": "from the prior" if own else "from the typical population"}
    names = {f"round-{k:05d}": (k,) for k in range(rounds)}
    found = run_rounds(title, job, names, Running(pool, folder, progress), in_words(said))
    report(title, [one["counts"] for one in found])
    ranks = {name: np.array([int(one[name]) for one in found]) for name in found[0] if name != "counts"}
    return Calibration(model, pilot.method, ranks, draws, own)


def _truths(pilot: Fit, rounds: int, seed: int) -> tuple[Draws, bool]:
    """People and groups from the prior of a fit, a row for each round; from the typical population where it has none."""
    try:
        # Drawn one by one, so that more rounds of the same study begin with the same ones.
        drawn = [pilot.prior_draws(1, key=k + 1_000_003 * (seed % 2039)) for k in range(rounds)]
    except Unavailable:
        return _typical(pilot, rounds, seed), False
    join = lambda parts: np.concatenate(list(parts))  # noqa: E731
    group = {name: join(one.group[name] for one in drawn) for name in drawn[0].group}
    return Draws(join(one.x for one in drawn), join(one.params for one in drawn), group), True


def _typical(pilot: Fit, rounds: int, seed: int) -> Draws:
    mean, sd = pilot.model.typical
    shape = (len(pilot.x), len(mean))
    x = np.stack([mean + sd * np.random.default_rng([seed, k]).normal(size=shape) for k in range(rounds)])
    group = {"coef": np.tile(mean, (rounds, 1, 1)), "sd": np.tile(sd, (rounds, 1))}
    return Draws(x, pilot.model.natural(x), group)


@dataclasses.dataclass(frozen=True)
class CalibrationRound:
    """The work of a round: simulate people with known parameters, fit them, and rank the true values."""

    model: Model
    truth: Draws
    experiment: Experiment
    subjects: int
    key: Any
    fit: Fitter
    draws: int

    def __call__(self, k: int) -> dict[str, np.ndarray]:
        """Ranks of the truths of round `k`."""
        data = self.experiment.round(self.model, self.truth.params[k], self.subjects, k, self.key)
        silent = Silence(self.fit)
        fit = silent(to_fit(self.model, data), data)
        drawn = fit.draws(self.draws, key=k)
        # One person in each round: those of a group are not independent.
        s = k % self.subjects
        pairs = {
            f"{name} of a person": (self.truth.x[k, s, j], drawn.x[:, s, j]) for j, name in enumerate(fit.model.names)
        }
        if {"coef", "sd"} <= set(drawn.group) & set(self.truth.group):
            for j, name in enumerate(fit.model.names):
                pairs[f"mean of {name}"] = (self.truth.group["coef"][k, 0, j], drawn.group["coef"][:, 0, j])
                pairs[f"sd of {name}"] = (self.truth.group["sd"][k, j], drawn.group["sd"][:, j])
        rng = np.random.default_rng(k)
        return {name: _rank(*pair, rng) for name, pair in pairs.items()} | {"counts": silent.counts}


def _rank(truth: float, draws: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Number of draws below the truth; ties are broken at random, and lost draws count as either."""
    tied = (draws == truth) | ~np.isfinite(draws)
    below = (draws < truth) & ~tied
    return np.array(below.sum() + rng.integers(0, tied.sum() + 1))
