"""Cross-validation by fitting anew: blocks or people are left out, the rest is fitted, and what was left out is predicted."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik, log_lik_draws
from pyem.errors import DataError, FitWarning, counted, list_of, require_kind, require_method, require_whole, warn
from pyem.infer.em import fit_em
from pyem.infer.progress import unless_asked
from pyem.infer.rounds import Running, run_rounds
from pyem.model.model import Model
from pyem.numerics.rng import generator
from pyem.population.posterior import Status
from pyem.selection.new_people import covariates_of_new, log_lik_of_new
from pyem.selection.shares import log_mean_exp, mixed, shares

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.fit import Fit

By = Literal["block", "subject"]
Fitter = Callable[[Any, Dataset], Any]
Around = list[tuple[np.ndarray, np.ndarray]]
"""Modes (S, P) and covariances (S, P, P) of everybody under each model."""


@dataclasses.dataclass(frozen=True, eq=False)
class CrossValidation:
    """Log-likelihood of data that were left out, given a fit of the rest; larger is better.

    Parameters
    ----------
    by
        Unit that was left out: ``"block"`` or ``"subject"``.
    folds
        Number of times that something was left out.
    elpd, se
        Sum over everything left out, in nats, and its standard error over people (over blocks of one person).
    n_trials
        Number of responses that were predicted.
    pointwise
        Log-likelihood of each block or subject, (n,).
    subject
        Index of each one's subject, (n,).
    labels
        Subject and block of each, as far as they apply.
    method
        Method of the fits.
    problems
        Numbers of fits that did not converge, and of people without a regular mode, over all folds.
    """

    by: str
    folds: int
    elpd: float
    se: float
    n_trials: int
    pointwise: np.ndarray = dataclasses.field(repr=False)
    subject: np.ndarray = dataclasses.field(repr=False)
    labels: Mapping[str, np.ndarray] = dataclasses.field(repr=False)
    method: str = "em"
    problems: tuple[int, int] = (0, 0)

    @property
    def per_trial(self) -> float:
        """Mean log-likelihood of a response that was left out, in nats; exp of it is the geometric mean of its probability."""
        return self.elpd / self.n_trials

    @property
    def per_trial_se(self) -> float:
        """Standard error of `per_trial`."""
        return self.se / self.n_trials

    @property
    def by_subject(self) -> np.ndarray:
        """Sum over each subject's parts, (S,)."""
        return np.bincount(self.subject, self.pointwise)

    def table(self) -> pd.DataFrame:
        """A row for each block or subject that was left out: labels and ``elpd``."""
        import pandas as pd

        return pd.DataFrame(dict(self.labels) | {"elpd": self.pointwise})

    def __str__(self) -> str:
        return (
            f"cross-validation by {self.by}, {counted(self.folds, 'fold')}: elpd {self.elpd:.2f} (se {self.se:.2f}), "
            f"{self.per_trial:.4f} (se {self.per_trial_se:.4f}) a trial"
        )


def cross_validate(
    model: Any,
    data: Dataset,
    *,
    fit: Fitter = fit_em,
    by: By = "block",
    folds: int | None = None,
    draws: int = 1000,
    key: Any = 0,
    pool: Any = None,
    progress: bool | None = None,
) -> CrossValidation:
    """Leave out blocks or people, fit the rest, and predict what was left out.

    Parameters
    ----------
    model, data
        The model, and the data of at least two blocks of each person, or of three people. For `fit_hbi` several models by
        name: what is predicted is the mean over models, by each person's responsibilities, and for a new person by the models'
        frequencies.
    fit
        ``fit(model, data)``: any method, or a partial of one with settings. New people need one with a group.
    by
        ``"block"``: a block of each person is left out, and predicted from the person's others (and from the group, where there
        is one). ``"subject"``: a person is left out, and predicted as a new person of the group of the others.
    folds
        Number of parts in which blocks or people are left out: at random, each once. By default one at a time.
    draws, key
        Draws of each posterior that predictions are averaged over, and the seed of these and of the parts.
    pool
        A number of processes, or an object with a method ``map``; see `recovery`. By default this process alone.
    progress
        Show how far it is; by default at an interactive prompt and in a notebook only.

    Returns
    -------
    CrossValidation
        `elpd` in nats, `per_trial`, and their standard errors.

    Warns
    -----
    FitWarning
        Once, if fits did not converge or people had no regular mode.

    Raises
    ------
    ValueError
        If there is nothing to leave out, or a method without a group is asked about new people.

    Notes
    -----
    Predictions are averaged over the posterior of each person, ``log mean p(y | x)``; those of maximum likelihood are at the
    estimate. Parameters of a new person are integrated out by importance sampling. Trials of a block that was left out teach
    the model within this block, but count in no fit.

    References
    ----------
    Vehtari, A., Gelman, A., & Gabry, J. (2017). Practical Bayesian model evaluation using leave-one-out cross-validation and
    WAIC. Statistics and Computing, 27(5), 1413-1432. https://doi.org/10.1007/s11222-016-9696-4

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=5, blocks=2, trials=20, key=1)
    >>> found = pyem.cross_validate(model, data, fit=pyem.fit_map)
    >>> found.folds, found.n_trials, bool(-2 < found.per_trial < 0)
    (2, 200, True)
    """
    require_kind("design", *(model.values() if isinstance(model, Mapping) else [model]))
    require_kind("data", data)
    require_method(fit)
    require_whole(draws=(draws, 32))
    if by not in ("block", "subject"):
        raise ValueError(f"by={by!r}; choose 'block' or 'subject'")
    parts = _block_folds(data, folds, key) if by == "block" else _subject_folds(data, folds, key)
    silent = _Silent(fit)
    around = _around(silent, model, data) if by == "subject" else None
    rounds = {f"fold-{k:05d}": (k,) for k in range(int(parts.max()) + 1)}
    fold, running = Fold(model, data, fit, parts, around, draws, key), Running(pool, None, progress)
    each = run_rounds(f"cross-validation of {_name(model)}", fold, rounds, running, {})
    values = np.zeros(data.n_lanes if by == "block" else data.n_subjects)
    for k, one in enumerate(each):
        values[parts == k] = one["values"]
    fits, unconverged, irregular = np.sum([silent.counts, *(one["counts"] for one in each)], axis=0).tolist()
    _report(f"cross_validate of {_name(model)!r}", fits, unconverged, irregular)
    owner = data.lane_subject if by == "block" else np.arange(data.n_subjects)
    labels = {"subject": data.subjects[owner]} | ({"block": data.lane_block} if by == "block" else {})
    sums = np.bincount(owner, values) if data.n_subjects > 1 else values
    se = float(math.sqrt(len(sums)) * sums.std(ddof=1)) if len(sums) > 1 else math.nan
    n = int(each[0]["n_responses"])
    found = (by, int(parts.max()) + 1, float(values.sum()), se, n, values, owner, labels)
    return CrossValidation(*found, method=str(each[0]["method"]), problems=(unconverged, irregular))


@dataclasses.dataclass(frozen=True)
class Fold:
    """The work of one fold, in any process: fit the rest, and predict what was left out."""

    model: Any
    data: Dataset
    fit: Fitter
    parts: np.ndarray
    around: Around | None
    """Posteriors from a fit of everybody, if people are left out."""
    draws: int
    key: Any

    def __call__(self, k: int) -> dict[str, np.ndarray]:
        """Log-likelihoods of what is left out in fold `k`, counts of its fits, their method, and the number of responses."""
        left, silent = self.parts == k, _Silent(self.fit)
        if self.around is None:
            values = _left_blocks(silent, self.model, self.data, left, self.draws, self.key)[left]
        else:
            values = _left_people(silent, self.model, self.data, left, self.around, self.draws, self.key)
        n = self.data.n_responses(silent.model).sum()
        return {
            "values": values,
            "counts": silent.counts,
            "method": np.array(silent.method),
            "n_responses": np.array(n),
        }


# -- what is left out -------------------------------------------------------------------------------------------------------


def _block_folds(data: Dataset, folds: int | None, key: Any) -> np.ndarray:
    """The part in which each lane is left out, (lane,)."""
    counts = np.bincount(data.lane_subject, minlength=data.n_subjects)
    alone = data.subjects[counts < 2]
    if len(alone):
        raise DataError(
            f"{list_of(alone.tolist())} has one block, so that none can be left out; give block= when reading the data, leave "
            "these people out, or use by='subject'"
        )
    place = np.concatenate([np.arange(n) for n in counts])
    if folds is None:
        return place
    _require_folds(folds, int(counts.min()), "blocks of each person")
    rng = generator(key)
    return np.concatenate([rng.permutation(n) for n in counts]) % folds


def _subject_folds(data: Dataset, folds: int | None, key: Any) -> np.ndarray:
    """The part in which each subject is left out, (S,)."""
    if data.n_subjects < 3:
        raise DataError(f"there are {counted(data.n_subjects, 'subject')}; at least 3 are needed to leave one out")
    if folds is None:
        return np.arange(data.n_subjects)
    _require_folds(folds, data.n_subjects, "subjects")
    return generator(key).permutation(data.n_subjects) % folds


def _require_folds(folds: int, most: int, what: str) -> None:
    require_whole(folds=(folds, 2))
    if folds > most:
        raise ValueError(f"folds={folds}, but there are {most} {what}; ask for fewer folds, or leave folds out")


@dataclasses.dataclass
class _Silent:
    """A fitting function whose warnings are counted, so that there is one warning and not one for each fold."""

    fit: Fitter
    fits: int = 0
    unconverged: int = 0
    irregular: int = 0
    method: str = ""
    model: Any = None

    def __call__(self, model: Any, data: Dataset) -> Any:
        with warnings.catch_warnings(), unless_asked():
            warnings.simplefilter("ignore", FitWarning)
            found = self.fit(model, data)
        parts = shares(found)
        first = parts[0].fit
        self.fits, self.method, self.model = self.fits + 1, first.method, first.model
        self.irregular += sum(
            int(((fit.status != Status.CONVERGED) & (person > 0.5)).sum()) for fit, person, _ in parts
        )
        self.unconverged += int(first.population is not None and not first.converged)
        return found

    @property
    def counts(self) -> np.ndarray:
        return np.array([self.fits, self.unconverged, self.irregular])


def _name(model: Any) -> str:
    return ", ".join(model) if isinstance(model, Mapping) else model.name


def _report(what: str, fits: int, unconverged: int, irregular: int) -> None:
    if unconverged or irregular:
        warn(
            f"{what}: {unconverged} of {counted(fits, 'fit')} did not converge, and "
            f"{counted(irregular, 'person', 'people')} had no regular mode; they are part of the result"
        )


# -- blocks -----------------------------------------------------------------------------------------------------------------


def _left_blocks(fit: Fitter, model: Any, data: Dataset, left: np.ndarray, draws: int, key: Any) -> np.ndarray:
    """Log-likelihood of each lane (lane,) that is left out, given a fit of the others."""
    told = data.valid if data.counted is None else data.counted
    # All data have one shape, so that nothing is compiled again.
    models = shares(fit(model, _told(data, told & ~left)))
    out, several = np.zeros(data.n_lanes), np.bincount(data.lane_subject[left], minlength=data.n_subjects) > 1
    parts = [left & ~several[data.lane_subject]]
    parts += [np.arange(data.n_lanes) == lane for lane in np.flatnonzero(left & several[data.lane_subject])]
    for part in parts:
        if part.any():
            # Of a person with one block in it, the sum is that of the block.
            parts_of = [_predicted(one.fit, _told(one.fit.data, told & part), draws, key) for one in models]
            sums = mixed(parts_of, [one.person for one in models])
            out[part] = sums[data.lane_subject[part]]
    return out


def _told(data: Dataset, counted: np.ndarray) -> Dataset:
    return dataclasses.replace(data, counted=counted)


def _predicted(fit: Fit, test: Dataset, draws: int, key: Any) -> np.ndarray:
    """Log-likelihood of what was left out of each subject, (S,), averaged over the posterior."""
    if fit.method == "mle":
        return log_lik(fit.model, test, fit.x)
    x = fit.draws(draws, key=key).x
    x = np.where(np.isfinite(x), x, fit.x)
    return log_mean_exp(log_lik_draws(fit.model, test, x))


# -- people -----------------------------------------------------------------------------------------------------------------


def _around(fit: Fitter, model: Any, data: Dataset) -> Around:
    """A fit of everybody, which tells where to integrate over those who are left out."""
    if not all(isinstance(one, Model) for one in (model.values() if isinstance(model, Mapping) else [model])):
        raise ValueError(f"people cannot be left out of the design {_name(model)}; use by='block'")
    found = [one.fit for one in shares(fit(model, data))]
    if found[0].population is None:
        raise ValueError(
            f"fits by {found[0].method} know no group, so that they say nothing of a new person; use by='block', or a method "
            "with a group, such as fit=pyem.fit_em"
        )
    return [(np.asarray(one.x), np.asarray(one.cov)) for one in found]


def _left_people(
    fit: Fitter, model: Any, data: Dataset, left: np.ndarray, everybody: Around, draws: int, key: Any
) -> np.ndarray:
    """Log-likelihood of each subject that is left out, as a new member of the others' group."""
    people, others = np.flatnonzero(left), np.flatnonzero(~left)
    models, test = shares(fit(model, data.select(others))), data.select(people)
    values = []
    for one, (x, cov) in zip(models, everybody, strict=True):
        design = covariates_of_new(one.fit, data, people, others)
        values.append(log_lik_of_new(one.fit, test, design, (x[people], cov[people]), draws, key))
    return mixed(values, [one.anybody for one in models])
