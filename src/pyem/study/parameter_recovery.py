"""Recovery of parameters, and calibration of their intervals, by simulation."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.regress import Regression
from pyem.errors import counted, require_method, warn
from pyem.infer.rounds import Running, in_words, run_rounds
from pyem.model.model import Model
from pyem.numerics.rng import plain_key
from pyem.population.posterior import Status
from pyem.results.fit import Fit
from pyem.study.experiment import (
    Z95,
    Experiment,
    Fitter,
    Silence,
    at_least_one,
    experiment_of,
    fit_quickly,
    report,
    to_fit,
)

if TYPE_CHECKING:
    import pandas as pd


# -- parameters ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Recovery:
    """True and estimated parameters of simulated people. R rounds of S people with P parameters.

    Parameters
    ----------
    model
        The model.
    truth, estimate
        Natural parameters, (R, S, P).
    z
        Distance of the true value from the estimate, in posterior standard deviations on the unconstrained scale, (R, S, P).
    status
        A `pyem.Status` for each person, (R, S).
    """

    model: Model
    truth: np.ndarray
    estimate: np.ndarray
    z: np.ndarray
    status: np.ndarray

    def table(self) -> pd.DataFrame:
        """A row for each parameter.

        ``r``: correlation of truth and estimate, the mean over rounds, and its range ``r_low``, ``r_high``; ``bias`` and
        ``rmse`` of the estimate and the true standard deviation ``sd`` between people, in natural units; ``coverage``: the
        share of people whose 95 % interval contains the truth.
        """
        import pandas as pd

        gap = self.estimate - self.truth
        r = np.array([_correlations(t, e) for t, e in zip(self.truth, self.estimate, strict=True)])
        rows = {
            "r": r.mean(0),
            "r_low": r.min(0),
            "r_high": r.max(0),
            "bias": gap.mean((0, 1)),
            "rmse": np.sqrt((gap**2).mean((0, 1))),
            "sd": self.truth.std(1).mean(0),
            "coverage": np.nanmean(np.where(np.isnan(self.z), np.nan, np.abs(self.z) < Z95), axis=(0, 1)),
        }
        return pd.DataFrame(rows, index=pd.Index(self.model.names, name="parameter"))

    def cross(self) -> pd.DataFrame:
        """Correlation of every true parameter (rows) with every estimate (columns), over all people.

        Off the diagonal, values far from those of `true_correlations` say that an estimate mixes parameters up.
        """
        import pandas as pd

        p = self.model.n_params
        both = np.concatenate([self.truth, self.estimate], axis=2).reshape(-1, 2 * p)
        names = list(self.model.names)
        with np.errstate(invalid="ignore"):
            return pd.DataFrame(
                np.corrcoef(both.T)[:p, p:], pd.Index(names, name="true"), pd.Index(names, name="estimate")
            )

    def below(self) -> list[np.ndarray]:
        """Share of the posterior below the truth, for each parameter and all people with a regular mode."""
        from scipy.special import ndtr

        regular = self.status == Status.CONVERGED
        return [ndtr(self.z[..., j][regular]) for j in range(self.model.n_params)]

    def calibration(self) -> pd.DataFrame:
        """Simulation-based calibration of the intervals: a row for each parameter.

        If people are drawn from the very prior that the fit uses, the share of the posterior below the truth is uniform
        (exactly for the exact posterior; the Laplace approximation is judged by the same rule). ``coverage_50``, ``_80``,
        ``_95``: shares of people in the central intervals; ``ks``, ``p``: Kolmogorov-Smirnov test of uniformity over all
        people, which supposes that they are independent, as they are in `fit_map`; ``n``: people with a regular mode.

        References
        ----------
        Talts, S., Betancourt, M., Simpson, D., Vehtari, A., & Gelman, A. (2018). Validating Bayesian inference algorithms
        with simulation-based calibration. https://doi.org/10.48550/arXiv.1804.06788
        """
        import pandas as pd
        from scipy import stats

        rows = []
        for u in self.below():
            test = stats.kstest(u, "uniform") if len(u) else None
            shares = {f"coverage_{c}": np.mean(np.abs(u - 0.5) < c / 200) if len(u) else np.nan for c in (50, 80, 95)}
            rows.append(
                {"n": len(u), **shares, "ks": test.statistic if test else np.nan, "p": test.pvalue if test else np.nan}
            )
        return pd.DataFrame(rows, index=pd.Index(self.model.names, name="parameter"))

    def __repr__(self) -> str:
        rounds, subjects, _ = self.truth.shape
        head = f"Recovery of {self.model.name}: {counted(rounds, 'round')} of {counted(subjects, 'person', 'people')}"
        return f"{head}\n{self.table().to_string(float_format='{:.3g}'.format)}"


def _correlations(truth: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Correlation of each parameter over people, (P,); NaN where one of the two is constant."""
    a, b = (_centred(values) for values in (truth, estimate))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum(0))


def _centred(values: np.ndarray) -> np.ndarray:
    """Differences from the mean over people, without those due to rounding."""
    gap = values - values.mean(0)
    return np.where(np.abs(gap).max(0) > 1e-12 * np.abs(values).max(0), gap, 0.0)


def recovery(
    model: Model | Regression,
    params: Any = None,
    *,
    key: Any,
    rounds: int = 1,
    subjects: int | None = None,
    blocks: int | None = None,
    trials: int | None = None,
    task: Any = None,
    missed: float = 0.0,
    design: Dataset | Experiment | None = None,
    conditions: Mapping[str, Any] | None = None,
    fit: Fitter = fit_quickly,
    pool: Any = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Recovery:
    """Simulate people, fit them, and compare estimates with the truth.

    Parameters
    ----------
    model
        The model, or a design by formula (`pyem.regress`).
    params
        People of the study: natural parameters (S, P), the same people in every round; a fit with a group, by any
        method, from whose group (of draws: its posterior mean) people are drawn; or None, for the model's typical population.
    key
        Seed or JAX random key.
    rounds, subjects, blocks, trials
        Numbers of each; by default 100 subjects unless `params` say, and one block of 100 trials.
    task, missed
        See `pyem.simulate`.
    design
        Data whose design everybody goes through (people, blocks, trials, stimuli, payoffs, gaps), or a `pyem.Experiment`,
        which says all of the above at once.
    conditions
        Values of the columns that a design by formula depends on; see `pyem.simulate`. People of a fit have theirs.
    fit
        ``fit(model, data)``; `fit_em` if not given. Any method will do; estimates are modes or posterior means.
    pool
        A number of processes that run the rounds, or an object with a method ``map``; by default this process alone.
    folder
        Folder for finished rounds, from which the same study continues after an interruption.
    progress
        Show how far it is; by default at an interactive prompt and in a notebook only.

    Warns
    -----
    FitWarning
        Once, if fits did not converge or people had no regular mode; and if everybody has the same estimate of a parameter.

    References
    ----------
    Wilson, R. C., & Collins, A. G. E. (2019). Ten simple rules for the computational modeling of behavioral data. eLife,
    8, e49547. https://doi.org/10.7554/eLife.49547

    Examples
    --------
    >>> import pyem
    >>> study = recovery(pyem.models.get("rw1a1b"), key=1, subjects=30, blocks=4, trials=24)
    >>> bool(study.table().r["beta"] > 0.5)
    True
    """
    require_method(fit)
    experiment = experiment_of(
        design, subjects=subjects, blocks=blocks, trials=trials, task=task, missed=missed, conditions=conditions
    ).of_fit(model, params)
    n, key = experiment.n_subjects(params, 100), plain_key(key)
    said = {"model": model, "params": params, "key": key, "people": n, "experiment": experiment, "fit": fit}
    found = run_rounds(
        f"recovery of {model.name!r}",
        partial(_round, model, params, experiment, n, key, fit),
        {f"round-{k:05d}": (k,) for k in range(at_least_one(rounds))},
        Running(pool, folder, progress),
        in_words(said),
    )
    report(f"recovery of {model.name!r}", [one["counts"] for one in found])
    parts = ("truth", "estimate", "z", "status")
    study = Recovery(experiment.drawn(model, n), *(np.stack([one[name] for one in found]) for name in parts))
    _tell_of_equal_people(study)
    return study


def _tell_of_equal_people(study: Recovery) -> None:
    """Warn of parameters of which everybody has the same estimate, while true values differ."""
    # An sd that goes to 0 leaves differences of rounding and of the last steps.
    equal = np.ptp(study.estimate, axis=1) < 1e-3 * np.ptp(study.truth, axis=1)
    if not equal.any():
        return
    rounds = len(equal)
    where = [f"{study.model.names[k]} ({n} of {counted(rounds, 'round')})" for k, n in enumerate(equal.sum(0)) if n]
    warn(
        f"recovery of {study.model.name!r}: everybody has the same estimate of {', '.join(where)}, as the sd of the group is "
        "estimated as 0: intervals there are those of the group's mean, and contain the values of few people. Give more trials "
        "or people, fix the parameter, or take a method that knows how unsure the sd is: fit=pyem.fit_bayes"
    )


def _round(
    model: Model | Regression, params: Any, experiment: Experiment, n: int, key: Any, fit: Fitter, k: int
) -> dict[str, np.ndarray]:
    data, silent = experiment.round(model, params, n, k, key), Silence(fit)
    found = silent(to_fit(model, data), data)
    return {
        "truth": data.true_params,
        "estimate": found.params,
        "z": _standardized(data.truth, found),
        "status": found.status,
        "counts": silent.counts,
    }


def _standardized(truth: np.ndarray, found: Fit) -> np.ndarray:
    variance = np.diagonal(found.cov, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 0, (truth - found.x) / np.sqrt(variance), np.nan)
