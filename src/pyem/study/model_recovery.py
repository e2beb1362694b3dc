"""Recovery of models by simulation: confusion and inversion matrices."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.regress import Regression, block_model, on_data
from pyem.errors import FitWarning, ModelError, counted, require_kind, require_method, told_briefly
from pyem.infer.hbi import fit_hbi
from pyem.infer.rounds import Running, in_words, run_rounds
from pyem.model.model import Model
from pyem.numerics.rng import as_key, plain_key
from pyem.results.hbi import HBIFit
from pyem.selection import Criterion, Settings, named, require, usual
from pyem.selection import Unit as LeftOut
from pyem.selection.criterion import deciding
from pyem.study.experiment import Experiment, Fitter, Silence, at_least_one, experiment_of, fit_quickly, report

if TYPE_CHECKING:
    import pandas as pd

Unit = Literal["group", "subject"]
TOGETHER, EVERY = "hbi", "all"
"""Values of ``by`` that name no criterion: hierarchical Bayesian inference of all models, and every criterion of the fits."""
INVERSION_DRAWS = 4000
"""Number of draws of shares for the intervals of the inversion matrix."""


# -- models -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Confusion:
    """Results of model recovery: the best model for the data of each model. M models, R rounds, S subjects.

    Parameters
    ----------
    names
        Names of the models, (M,).
    by
        The criterion, as in `compare_fits`.
    group
        Scores (simulated, round, fitted), in nats, larger is better: log evidence, or minus half the criterion.
    subject
        Each subject's part of it, without the price of the group's parameters, (simulated, round, fitted, subject).
    others
        Results by other criteria that were asked for; see `of`.

    Notes
    -----
    By ``"hbi"`` the models are fitted together: scores of a group are logarithms of the expected frequencies, those of subjects
    logarithms of the probability of each model.
    """

    names: tuple[str, ...]
    by: str
    group: np.ndarray
    subject: np.ndarray
    others: Mapping[str, Confusion] = dataclasses.field(default_factory=dict)

    def of(self, by: str) -> Confusion:
        """Return the results by another of the criteria that were asked for.

        Raises
        ------
        ValueError
            If it was not asked for.
        """
        known = {self.by: self, **self.others}
        if by not in known:
            raise ValueError(f"by={by!r} was not asked for; the study has {', '.join(known)}")
        return known[by]

    def wins(self, unit: Unit = "group") -> np.ndarray:
        """Number of times that each model (columns) was the best for data of each model (rows), (M, M).

        Counted over rounds, by the score of the whole group, or over all subjects, by their own (which suits criteria that
        price the parameters of each subject, such as the BIC of `fit_mle`).
        """
        if unit not in ("group", "subject"):
            raise ValueError(f"unit={unit!r}; choose 'group' or 'subject'")
        scores = self.group if unit == "group" else self.subject
        # A score that is not a number wins nothing, although NumPy takes it for the largest.
        best = np.where(np.isnan(scores), -np.inf, scores).argmax(2)
        flat = np.where(np.isnan(scores).all(2), -1, best).reshape(len(self.names), -1)
        return np.stack([(flat == j).sum(1) for j in range(len(self.names))], axis=1)

    def matrix(self, unit: Unit = "group") -> pd.DataFrame:
        """Confusion matrix: share of times that a model (columns) was the best for what a model (rows) made."""
        wins = self.wins(unit)
        return self._frame(wins / wins.sum(1, keepdims=True))

    def inversion(self, unit: Unit = "group") -> pd.DataFrame:
        """Inversion matrix: probability that a model (rows) made the data if a model (columns) is the best for them.

        All models are as likely beforehand. NaN for a model that never was the best.
        """
        share = self.matrix(unit).to_numpy()
        with np.errstate(invalid="ignore"):
            return self._frame(share / share.sum(0, keepdims=True))

    def _frame(self, values: np.ndarray) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(
            values, index=pd.Index(self.names, name="simulated"), columns=pd.Index(self.names, name="best")
        )

    def table(self, unit: Unit = "group") -> pd.DataFrame:
        """A row for each pair of a model that made the data and a model that was fitted.

        ``wins`` of ``n``; ``share`` with its 95 % interval ``low``, ``high`` (Clopper-Pearson); ``inversion`` with its 95 %
        interval ``inversion_low``, ``inversion_high`` (Bayesian, with Jeffreys' prior of every row of shares); ``advantage``:
        mean score over that of the model that made the data, in nats (of a group, or a subject).
        """
        import pandas as pd
        from scipy import stats

        wins = self.wins(unit)
        n: np.ndarray = np.broadcast_to(wins.sum(1, keepdims=True), wins.shape)
        scores = self.group.mean(1) if unit == "group" else self.subject.mean((1, 3))
        columns = {
            "wins": wins,
            "n": n,
            "share": wins / n,
            "low": np.where(wins > 0, stats.beta.ppf(0.025, wins, n - wins + 1), 0.0),
            "high": np.where(wins < n, stats.beta.ppf(0.975, wins + 1, n - wins), 1.0),
            "inversion": self.inversion(unit).to_numpy(),
            **dict(zip(("inversion_low", "inversion_high"), _inversion_interval(wins), strict=True)),
            "advantage": scores - np.diag(scores)[:, None],
        }
        index = pd.MultiIndex.from_product([self.names, self.names], names=["simulated", "fitted"])
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index)

    def __repr__(self) -> str:
        rounds, subjects = self.group.shape[1], self.subject.shape[-1]
        head = f"Best by {self.by} in {counted(rounds, 'round')} of {counted(subjects, 'person', 'people')}"
        return f"{head}\n{self.matrix().to_string(float_format='{:.2f}'.format)}"


def confusion(
    models: Sequence[Model | Regression] | Mapping[str, Model | Regression],
    params: Mapping[str, Any] | None = None,
    *,
    key: Any,
    rounds: int = 10,
    subjects: int | None = None,
    blocks: int | None = None,
    trials: int | None = None,
    task: Any = None,
    missed: float = 0.0,
    design: Dataset | Experiment | None = None,
    conditions: Mapping[str, Any] | None = None,
    fit: Fitter = fit_quickly,
    by: str | Sequence[str] | None = None,
    draws: int = 500,
    unit: LeftOut = "trial",
    together: Callable[..., HBIFit] = fit_hbi,
    pool: Any = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Confusion:
    """Let every model make data, fit all models to them, and count which one is the best.

    Parameters
    ----------
    models
        At least two, for the same responses, designs by formula (`pyem.regress`) among them; with names of your own if given as
        a mapping.
    params
        By the name of a model, who takes part; see `recovery`. The typical population of a model that is not named.
    key
        Seed or JAX random key.
    rounds, subjects, blocks, trials
        How many groups each model makes, and of what size; 50 subjects and one block of 100 trials if nothing is said.
    task
        Task; by default each model's own. The data have to have the columns of all models.
    missed
        Probability that a response is missed.
    design
        Data whose design everybody goes through, or a `pyem.Experiment`; see `recovery`.
    conditions
        Values of the columns that designs by formula depend on; see `pyem.simulate`.
    fit
        ``fit(model, data)``; `fit_em` if not given. Any method will do.
    by, draws, unit
        As in `compare_fits`: the criterion that decides (if not given, the one that is usual for such fits), the number of
        draws for integrals, and what cross-validation leaves out. With several criteria, or ``"all"`` that the fits have, the
        first one decides and `Confusion.of` has the others. ``"hbi"`` fits all models together.
    together
        ``together({name: model, ...}, data)`` for ``"hbi"``: `fit_hbi`, or a partial of it with settings.
    pool, folder, progress
        Processes that run the rounds, folder for finished rounds, and whether progress is shown; see `recovery`.

    Warns
    -----
    FitWarning
        Once, if fits did not converge or people had no regular mode.

    References
    ----------
    Wilson, R. C., & Collins, A. G. E. (2019). Ten simple rules for the computational modeling of behavioral data. eLife,
    8, e49547. https://doi.org/10.7554/eLife.49547

    Examples
    --------
    >>> import pyem
    >>> pair = [pyem.models.get("rw1a1b"), pyem.models.get("bias")]
    >>> study = confusion(pair, key=1, rounds=2, subjects=20, trials=40, by="lme")
    >>> study.wins().sum(axis=1).tolist()
    [2, 2]
    """
    candidates = named_models(models)
    require_method(fit)
    unknown = [name for name in params or {} if name not in candidates]
    if unknown:
        raise ValueError(f"params are given for {', '.join(unknown)}, but the models are {', '.join(candidates)}")
    experiment = experiment_of(
        design, subjects=subjects, blocks=blocks, trials=trials, task=task, missed=missed, conditions=conditions
    )
    given, n, title = dict(params or {}), experiment.n_subjects(None, 50), f"confusion of {', '.join(candidates)}"
    # The same draws for all models: their scores are compared.
    job = ConfusionRound(
        candidates, given, experiment, n, plain_key(key), fit, asked(by), Settings(draws, 0, unit), together
    )
    found = run_rounds(
        title,
        job,
        {f"{m}-round-{k:05d}": (m, k) for m in range(len(candidates)) for k in range(at_least_one(rounds))},
        Running(pool, folder, progress),
        in_words(vars(job)),
    )
    report(title, [one["counts"] for one in found])
    return collected(tuple(candidates), found, rounds)


def asked(by: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Names of the criteria that are asked for; None for the usual one."""
    if by is None:
        return None
    wanted = (by,) if isinstance(by, str) else tuple(by)
    if not wanted:
        raise ValueError("by=[]; name a criterion, or leave it out")
    for one in wanted:
        if one not in (TOGETHER, EVERY):
            named(one)
    return wanted


@dataclasses.dataclass(frozen=True)
class ConfusionRound:
    """The work of a round: a model makes data, and all models are fitted to them. For `confusion` and `pyem.power`."""

    models: Mapping[str, Model | Regression]
    params: Mapping[str, Any]
    experiment: Experiment
    subjects: int
    key: Any
    fit: Fitter
    by: tuple[str, ...] | None
    settings: Settings
    together: Callable[..., HBIFit]

    def __call__(self, m: int, k: int) -> dict[str, np.ndarray]:
        """Scores of all models, of the group (M,) and each subject (M, S), by every criterion, for round `k` of model `m`."""
        name = list(self.models)[m]
        key = jax.random.fold_in(as_key(self.key), m)
        data = self.experiment.round(self.models[name], self.params.get(name), self.subjects, k, key)
        _same_responses(self.models, data)
        silent, joint = Silence(self.fit), Silence(self.together)
        alone = self.by is None or set(self.by) != {TOGETHER}
        fits = {other: silent(fitted, data) for other, fitted in self.models.items()} if alone else {}
        out: dict[str, Any] = {"criteria": np.array(self._criteria(fits))}
        for one in out["criteria"].tolist():
            group, subject = (
                _of_hbi(joint(self.models, data)) if one == TOGETHER else _in_nats(named(one), fits, self.settings)
            )
            out |= {f"group {one}": np.array(group), f"subject {one}": np.array(subject)}
        return out | {"counts": silent.counts + joint.counts}

    def _criteria(self, fits: Mapping[str, Any]) -> list[str]:
        if self.by is None:
            return [usual(fits, self.settings).name]
        every = [one.name for one in deciding() if all(one.reason(fit, self.settings) is None for fit in fits.values())]
        return list(dict.fromkeys(name for one in self.by for name in (every if one == EVERY else [one])))


def collected(names: tuple[str, ...], found: Sequence[Mapping[str, np.ndarray]], rounds: int) -> Confusion:
    """Results of all rounds, those of the first model first."""
    shape = (len(names), rounds)
    every = {}
    for by in found[0]["criteria"].tolist():
        group, subject = (np.array([one[f"{part} {by}"] for one in found]) for part in ("group", "subject"))
        every[by] = Confusion(
            names, by, group.reshape(*shape, *group.shape[1:]), subject.reshape(*shape, *subject.shape[1:])
        )
    first, *others = every.values()
    return dataclasses.replace(first, others={one.by: one for one in others})


def _inversion_interval(wins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % interval of each entry of the inversion matrix, (M, M)."""
    rng = np.random.default_rng(0)
    share = np.stack([rng.dirichlet(row + 0.5, INVERSION_DRAWS) for row in wins], axis=1)
    low, high = np.quantile(share / share.sum(1, keepdims=True), [0.025, 0.975], axis=0)
    return low, high


def _in_nats(criterion: Criterion, fits: Mapping[str, Any], settings: Settings) -> tuple[list[float], list[np.ndarray]]:
    """The score of the group, and of each subject (S,), for every fit: larger is better."""
    require(criterion, fits, settings)
    assert criterion.nats is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        found = [criterion.evaluate(fit, settings) for fit in fits.values()]
    return [criterion.nats * one.total for one in found], [criterion.nats * one.subject for one in found]


def _of_hbi(fit: HBIFit) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the models' frequencies, and of the probability of each for every subject (M, S)."""
    tiny = np.finfo(float).tiny
    return np.log(fit.alpha / fit.alpha.sum()), np.log(np.maximum(fit.responsibilities.T, tiny))


def named_models(
    models: Sequence[Model | Regression] | Mapping[str, Model | Regression],
) -> dict[str, Model | Regression]:
    """The models of a comparison by their names.

    Raises
    ------
    ModelError
        If something else than models is given.
    ValueError
        If there are fewer than two, two have the same name, or they explain different columns.
    """
    if not isinstance(models, Mapping | list | tuple):
        raise ModelError(
            "models are expected, such as [pyem.models.get('rw1a1b'), pyem.models.get('bias')] or models by name, "
            f"but {told_briefly(models)} was given"
        )
    require_kind("design", *(models.values() if isinstance(models, Mapping) else models))
    named = dict(models) if isinstance(models, Mapping) else {model.name: model for model in models}
    _distinct(models, named)
    return named


def winners(found: Mapping[str, np.ndarray]) -> int:
    """Index of the best model of one round, -1 if no score is a number."""
    by = found["criteria"].tolist()[0]
    scores = found[f"group {by}"]
    return -1 if np.isnan(scores).all() else int(np.where(np.isnan(scores), -np.inf, scores).argmax())


def _distinct(models: Sequence[Any] | Mapping[str, Any], named: Mapping[str, Model | Regression]) -> None:
    if len(named) != len(models):
        raise ValueError(
            f"several models have the same name: {', '.join(model.name for model in models)}; give a mapping of names"  # type: ignore[union-attr]
        )
    if len(named) < 2:
        raise ValueError(f"{len(named)} model was given; a comparison needs at least two")
    responses = {block_model(model).responses for model in named.values()}
    if len(responses) > 1:
        raise ValueError(
            f"the models explain different columns: {', '.join(map(str, sorted(responses)))}; their evidence cannot be compared"
        )


def _same_responses(named: Mapping[str, Model | Regression], data: Dataset) -> None:
    if len({_counted(model, data) for model in named.values()}) > 1:
        raise ValueError(
            f"after missed trials, other responses count for some of {', '.join(named)} than for others, so that their "
            "evidence cannot be compared; use missed=0"
        )


def _counted(model: Model | Regression, data: Dataset) -> str:
    """Digest of the responses in a model's likelihood."""
    made, columns = on_data(model, data)
    return columns.fingerprint(made)
