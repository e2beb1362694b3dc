"""Could the experiment tell? Recovery of parameters, calibration of their intervals, and recovery of models, by simulation.

A study simulates groups of people, fits them as real data would be fitted, and compares with the truth. Rounds have the same
shapes, so that each model is compiled once however many rounds there are.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from pyem.dataset import Dataset
from pyem.infer.point import FitWarning, fit_em
from pyem.model import Model
from pyem.result import PointFit
from pyem.simulation import Simulation, as_key, simulate
from pyem.solve import Status

if TYPE_CHECKING:
    import pandas as pd

Fit = Callable[[Model, Dataset], PointFit]
"""How a study fits: ``fit_em``, ``fit_map``, or one of them with settings, ``functools.partial(fit_map, sd=2.0)``."""
Unit = Literal["group", "subject"]
Z95 = 1.959963984540054
# Nobody looks at the group's standard errors in a study, and they cost as much as the fit.
_fit_em: Fit = partial(fit_em, standard_errors=False)


# -- simulated rounds ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Experiment:
    """How much data people give, and how they miss some of it. See `pyem.simulate`."""

    subjects: int
    blocks: int
    trials: int
    task: Any
    missed: float

    def rounds(self, model: Model, params: Any, n: int, key: Any) -> Iterator[Simulation]:
        """`n` groups of people, all different unless `params` are given as an array."""
        for k in range(n):
            this = jax.random.fold_in(key, k)
            rng = np.random.default_rng(np.asarray(jax.random.key_data(this)).ravel())
            values, covariates = people(model, params, self.subjects, rng)
            yield simulate(
                model,
                values,
                key=this,
                blocks=self.blocks,
                trials=self.trials,
                task=self.task,
                missed=self.missed,
                covariates=covariates,
            )


def people(
    model: Model, params: Any, subjects: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Natural parameters (S, P) and covariates of the people of one round.

    Raises
    ------
    ValueError
        If a fit is of another model or has no group to draw people from, or parameters have another shape.
    """
    if params is None:
        mean, sd = model.typical
        return model.natural(mean + sd * rng.normal(size=(subjects, model.n_params))), {}
    if isinstance(params, PointFit):
        if params.population is None or params.model.names != model.names:
            raise ValueError(
                f"people of {model.name!r} cannot be drawn from a fit of {params.model.name!r} by {params.method}; give a fit "
                "of the same model by fit_em, which has a group"
            )
        population = params.population
        # Real people's covariates, with people drawn around the mean that these predict.
        who = rng.integers(len(population.mean), size=subjects)
        drawn = population.group.sample(population.mean[who], population.cov, 1, rng)[:, 0]
        return model.natural(drawn), {name: value[who] for name, value in params.data.covariates.items()}
    values = np.asarray(params, float)
    if values.shape != (subjects, model.n_params):
        raise ValueError(
            f"params has shape {values.shape}; expected ({subjects} subjects, {model.n_params} parameters of {model.name!r})"
        )
    return values, {}


@dataclasses.dataclass
class _Silence:
    """Fits whose warnings are counted, so that a study gives one and not hundreds."""

    fit: Fit
    fits: int = 0
    unconverged: int = 0
    irregular: int = 0

    def __call__(self, model: Model, data: Dataset) -> PointFit:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            found = self.fit(model, data)
        self.fits += 1
        self.irregular += int((found.status != Status.CONVERGED).sum())
        self.unconverged += int(found.population is not None and not found.converged)
        return found

    def report(self, study: str, *, stacklevel: int) -> None:
        if self.unconverged or self.irregular:
            warnings.warn(
                f"{study}: {self.unconverged} of {self.fits} fits did not converge, and {self.irregular} people had no regular "
                "mode; they are part of the result",
                FitWarning,
                stacklevel=stacklevel + 1,
            )


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
        How far the truth is from the estimate, in posterior standard deviations on the unconstrained scale, (R, S, P).
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
        """Are the intervals what they claim? Simulation-based calibration: a row for each parameter.

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
        head = f"Recovery of {self.model.name}: {rounds} rounds of {subjects} people"
        return f"{head}\n{self.table().to_string(float_format='{:.3g}'.format)}"


def _correlations(truth: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Of each parameter over people, (P,); NaN where one of them is constant."""
    a, b = (_centred(values) for values in (truth, estimate))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum(0))


def _centred(values: np.ndarray) -> np.ndarray:
    """Differences from the mean over people, without those that are rounding."""
    gap = values - values.mean(0)
    return np.where(np.abs(gap).max(0) > 1e-12 * np.abs(values).max(0), gap, 0.0)


def recovery(
    model: Model,
    params: Any = None,
    *,
    key: Any,
    rounds: int = 1,
    subjects: int | None = None,
    blocks: int = 1,
    trials: int = 100,
    task: Any = None,
    missed: float = 0.0,
    fit: Fit = _fit_em,
) -> Recovery:
    """Simulate people, fit them, and compare estimates with the truth.

    Parameters
    ----------
    model
        The model.
    params
        Who takes part: natural parameters (S, P), the same people in every round; a fit by `fit_em`, from whose group
        people are drawn; or None, for the model's typical population.
    key
        Seed or JAX random key.
    rounds, subjects, blocks, trials
        How many; 100 subjects unless `params` say.
    task, missed
        See `pyem.simulate`.
    fit
        ``fit(model, data)``; `fit_em` if not given.

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
    >>> study = recovery(pyem.models.get("rw1a1b"), key=1, subjects=30, blocks=4, trials=24)
    >>> bool(study.table().r["beta"] > 0.5)
    True
    """
    subjects = _n_subjects(params, subjects)
    experiment = Experiment(subjects, blocks, trials, task, missed)
    silent = _Silence(fit)
    pairs = [(data, silent(model, data)) for data in experiment.rounds(model, params, _some(rounds), as_key(key))]
    silent.report(f"recovery of {model.name!r}", stacklevel=2)
    return Recovery(
        model=model,
        truth=np.stack([data.true_params for data, _ in pairs]),
        estimate=np.stack([found.params for _, found in pairs]),
        z=np.stack([_standardized(data.truth, found) for data, found in pairs]),
        status=np.stack([found.status for _, found in pairs]),
    )


def _standardized(truth: np.ndarray, found: PointFit) -> np.ndarray:
    variance = np.diagonal(found.cov, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 0, (truth - found.x) / np.sqrt(variance), np.nan)


def _n_subjects(params: Any, subjects: int | None, default: int = 100) -> int:
    if params is None or isinstance(params, PointFit):
        return _some(default if subjects is None else subjects, "subjects")
    given = len(np.asarray(params))
    if subjects not in (None, given):
        raise ValueError(f"subjects={subjects}, but params has {given} rows; leave subjects out")
    return _some(given, "subjects")


def _some(n: int, what: str = "rounds") -> int:
    if n < 1:
        raise ValueError(f"{what}={n}; at least one is needed")
    return n


# -- models -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Confusion:
    """Which model explains best what each model made. M models, R rounds, S subjects.

    Parameters
    ----------
    names
        Of the models, (M,).
    by
        The criterion, as in `compare_fits`.
    group
        Scores (simulated, round, fitted), in nats, larger is better: log evidence, or minus half the criterion.
    subject
        Each subject's part of it, without the price of the group's parameters, (simulated, round, fitted, subject).
    """

    names: tuple[str, ...]
    by: str
    group: np.ndarray
    subject: np.ndarray

    def wins(self, unit: Unit = "group") -> np.ndarray:
        """How often each model (columns) was the best for what each model (rows) made, (M, M).

        Counted over rounds, by the score of the whole group, or over all subjects, by their own (which suits criteria that
        price the parameters of each subject, such as the BIC of `fit_mle`).
        """
        if unit not in ("group", "subject"):
            raise ValueError(f"unit={unit!r}; choose 'group' or 'subject'")
        best = self.group.argmax(2) if unit == "group" else self.subject.argmax(2)
        flat = best.reshape(len(self.names), -1)
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

        ``wins`` of ``n``; ``share`` with its 95 % interval ``low``, ``high`` (Clopper-Pearson); ``inversion``; ``advantage``:
        mean score over that of the model that made the data, in nats (of a group, or a subject).
        """
        import pandas as pd
        from scipy import stats

        wins = self.wins(unit)
        n = np.broadcast_to(wins.sum(1, keepdims=True), wins.shape)
        scores = self.group.mean(1) if unit == "group" else self.subject.mean((1, 3))
        columns = {
            "wins": wins,
            "n": n,
            "share": wins / n,
            "low": np.where(wins > 0, stats.beta.ppf(0.025, wins, n - wins + 1), 0.0),
            "high": np.where(wins < n, stats.beta.ppf(0.975, wins + 1, n - wins), 1.0),
            "inversion": self.inversion(unit).to_numpy(),
            "advantage": scores - np.diag(scores)[:, None],
        }
        index = pd.MultiIndex.from_product([self.names, self.names], names=["simulated", "fitted"])
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index)

    def __repr__(self) -> str:
        rounds, subjects = self.group.shape[1], self.subject.shape[-1]
        head = f"Best by {self.by} in {rounds} rounds of {subjects} people"
        return f"{head}\n{self.matrix().to_string(float_format='{:.2f}'.format)}"


def confusion(
    models: Sequence[Model] | Mapping[str, Model],
    params: Mapping[str, Any] | None = None,
    *,
    key: Any,
    rounds: int = 10,
    subjects: int = 50,
    blocks: int = 1,
    trials: int = 100,
    task: Any = None,
    missed: float = 0.0,
    fit: Fit = _fit_em,
    by: str | None = None,
    draws: int = 500,
) -> Confusion:
    """Let every model make data, fit all models to them, and count which one is the best.

    Parameters
    ----------
    models
        At least two, for the same responses; with names of your own if given as a mapping.
    params
        By the name of a model, who takes part; see `recovery`. The typical population of a model that is not named.
    key
        Seed or JAX random key.
    rounds, subjects, blocks, trials
        How many groups each model makes, and of what size.
    task
        What people do; each model's own task if not given. The data have to have the columns of all models.
    missed
        Probability that a response is missed.
    fit
        ``fit(model, data)``; `fit_em` if not given.
    by
        ``"integrated_bic"``, ``"lme"``, ``"bic"`` or ``"aic"``; if not given, the first if fits have a prior, else ``"bic"``.
    draws
        Of the integrated BIC.

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
    named = dict(models) if isinstance(models, Mapping) else {model.name: model for model in models}
    _distinct(models, named)
    unknown = [name for name in params or {} if name not in named]
    if unknown:
        raise ValueError(f"params are given for {', '.join(unknown)}, but the models are {', '.join(named)}")
    experiment = Experiment(_some(subjects, "subjects"), blocks, trials, task, missed)
    silent, key = _Silence(fit), as_key(key)
    scores = []
    for m, (name, model) in enumerate(named.items()):
        groups = experiment.rounds(model, (params or {}).get(name), _some(rounds), jax.random.fold_in(key, m))
        for data in groups:
            _same_responses(named, data)
            # The same draws for all models: their scores are compared.
            scores.append([score(silent(other, data), by, draws, 0) for other in named.values()])
    silent.report(f"confusion of {', '.join(named)}", stacklevel=2)
    n = len(named)
    group = np.array([[one for _, one, _ in row] for row in scores]).reshape(n, rounds, n)
    subject = np.array([[one for _, _, one in row] for row in scores]).reshape(n, rounds, n, subjects)
    return Confusion(tuple(named), scores[0][0][0], group, subject)


def _distinct(models: Sequence[Model] | Mapping[str, Model], named: Mapping[str, Model]) -> None:
    if len(named) != len(models):
        raise ValueError(
            f"several models have the same name: {', '.join(model.name for model in models)}; give a mapping of names"  # type: ignore[union-attr]
        )
    if len(named) < 2:
        raise ValueError(f"{len(named)} model was given; a comparison needs at least two")
    responses = {model.responses for model in named.values()}
    if len(responses) > 1:
        raise ValueError(
            f"the models explain different columns: {', '.join(map(str, sorted(responses)))}; their evidence cannot be compared"
        )


def _same_responses(named: Mapping[str, Model], data: Dataset) -> None:
    if len({data.fingerprint(model) for model in named.values()}) > 1:
        raise ValueError(
            f"after missed trials, other responses count for some of {', '.join(named)} than for others, so that their "
            "evidence cannot be compared; use missed=0"
        )


def score(fit: PointFit, by: str | None, draws: int, key: Any) -> tuple[str, float, np.ndarray]:
    """The criterion, the score of the group and of each subject (S,): in nats, larger is better."""
    from pyem import selection

    by = by or ("bic" if fit.log_evidence is None else "integrated_bic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        if by == "integrated_bic":
            found = selection.integrated_bic(fit, draws=draws, key=key)
            return by, -0.5 * found.value, found.log_evidence
        if by == "lme":
            evidence = selection.lme(fit)
            return by, evidence.value, evidence.subject
        if by in ("aic", "bic"):
            criterion = getattr(selection, by)(fit)
            return by, -0.5 * criterion.total, -0.5 * criterion.subject
    raise ValueError(f"by={by!r}; choose one of {', '.join(selection.CRITERIA)}")
