"""Recovery of models by simulation: confusion and inversion matrices."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.regress import Regression, block_model, on_data
from pyem.errors import FitWarning, counted
from pyem.model.model import Model
from pyem.numerics.rng import as_key
from pyem.selection import Criterion, Settings, named, require, usual
from pyem.selection import Unit as LeftOut
from pyem.study.experiment import Experiment, Fitter, Silence, at_least_one, experiment_of, fit_quickly

if TYPE_CHECKING:
    import pandas as pd

Unit = Literal["group", "subject"]


# -- models -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Confusion:
    """Which model explains best what each model made. M models, R rounds, S subjects.

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
        scores = self.group if unit == "group" else self.subject
        # What is not a number is no better than anything, although NumPy takes it for the largest.
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
    by: str | None = None,
    draws: int = 500,
    unit: LeftOut = "trial",
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
        What people do; each model's own task if not given. The data have to have the columns of all models.
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
        draws for integrals, and what cross-validation leaves out.

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
    named_models = dict(models) if isinstance(models, Mapping) else {model.name: model for model in models}
    _distinct(models, named_models)
    unknown = [name for name in params or {} if name not in named_models]
    if unknown:
        raise ValueError(f"params are given for {', '.join(unknown)}, but the models are {', '.join(named_models)}")
    criterion = None if by is None else named(by)
    experiment = experiment_of(
        design, subjects=subjects, blocks=blocks, trials=trials, task=task, missed=missed, conditions=conditions
    )
    subjects = experiment.n_subjects(None, 50)
    # The same draws for all models: their scores are compared.
    silent, key, settings = Silence(fit), as_key(key), Settings(draws, 0, unit)
    scores = []
    for m, (name, model) in enumerate(named_models.items()):
        who, this = (params or {}).get(name), jax.random.fold_in(key, m)
        for data in experiment.rounds(model, who, subjects, at_least_one(rounds), this):
            _same_responses(named_models, data)
            fits = {other: silent(fitted, data) for other, fitted in named_models.items()}
            criterion = criterion or usual(fits, settings)
            scores.append(_in_nats(criterion, fits, settings))
    silent.report(f"confusion of {', '.join(named_models)}", stacklevel=2)
    assert criterion is not None
    n = len(named_models)
    group = np.array([group for group, _ in scores]).reshape(n, rounds, n)
    subject = np.array([subject for _, subject in scores]).reshape(n, rounds, n, subjects)
    return Confusion(tuple(named_models), criterion.name, group, subject)


def _in_nats(criterion: Criterion, fits: Mapping[str, Any], settings: Settings) -> tuple[list[float], list[np.ndarray]]:
    """The score of the group, and of each subject (S,), for every fit: larger is better."""
    require(criterion, fits, settings)
    assert criterion.nats is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        found = [criterion.evaluate(fit, settings) for fit in fits.values()]
    return [criterion.nats * one.total for one in found], [criterion.nats * one.subject for one in found]


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
    """A digest of the responses that count for a model."""
    made, columns = on_data(model, data)
    return columns.fingerprint(made)
