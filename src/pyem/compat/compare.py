"""Comparison of models of the pyEM form, and tests of whether an experiment can tell them apart."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyem.compat.api import EMModel
from pyem.compat.groupdist import GroupRule
from pyem.compat.identify import BEST_COLUMNS, Scored, identification, identified_wins
from pyem.compat.outputs import with_posterior
from pyem.compat.stats import calc_BICint, calc_LME, pseudo_r2_from_nll, trials_of
from pyem.errors import warn

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = {
    "LME": "LME (largest is best)",
    "BICint": "BICint (smallest is best)",
    "R2": "pseudoR^2 (largest is best)",
}


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """Scores of one model; None where one cannot be computed.

    Parameters
    ----------
    name
        Name of the model.
    LME
        Laplace-approximated log model evidence, in nats.
    BICint
        Integrated BIC.
    R2
        Pseudo R2.
    """

    name: str
    LME: float | None = None
    BICint: float | None = None
    R2: float | None = None


def compare_models(
    models: Sequence[Any],
    model_names: Sequence[str] | None = None,
    metric_order: Sequence[str] = ("LME", "BICint", "R2"),
    bicint_kwargs: Mapping[str, Any] | None = None,
    r2_kwargs: Mapping[str, Any] | None = None,
) -> list[ComparisonRow]:
    """Scores of fitted models, the best first.

    Parameters
    ----------
    models
        `EMModel` objects, or tuples ``(name, out, all_data, fit_func)`` where ``out`` is an ``_out`` dict or the
        ``__dict__`` of a `FitResult`; it may also have ``param_names``.
    model_names
        Names of the models; ``Model_1``, ``Model_2``, ... if not given.
    metric_order
        Rows are sorted by the first of these that any model has.
    bicint_kwargs
        Settings of `calc_BICint`.
    r2_kwargs
        ``noptions`` of `pseudo_r2_from_nll`, and ``ntrials_total`` if it is not the size of the first subject's first field;
        without them there is no pseudo R2.
    """
    names = default_names(models) if model_names is None else list(model_names)
    if len(names) != len(models):
        raise ValueError(f"there are {len(models)} models, but {len(names)} names")
    given = model_names is not None
    rows = []
    for name, model in zip(names, models, strict=True):
        fitted = _fitted(name if given else None, name, model)
        rows.append(ComparisonRow(fitted.name, _lme(fitted), _bicint(fitted, bicint_kwargs), _r2(fitted, r2_kwargs)))
    return _sorted(rows, metric_order)


def default_names(models: Sequence[Any]) -> list[str]:
    """Names for models that have none."""
    return [f"Model_{k + 1}" for k in range(len(models))]


class _Fitted(NamedTuple):
    """A fitted model, given in either form."""

    name: str
    out: Mapping[str, Any]
    all_data: Sequence[Any] | None
    fit_func: Any
    param_names: Sequence[str] | None
    group: GroupRule | None


def _fitted(given: str | None, name: str, model: Any) -> _Fitted:
    if isinstance(model, EMModel):
        return _Fitted(name, model.fitted_output(), model.all_data, model.fit_func, model.param_names, model.group)
    own, out, *rest = model
    all_data, fit_func = (*rest, None, None)[:2]
    return _Fitted(given or str(own), out, all_data, fit_func, out.get("param_names"), None)


def _lme(fitted: _Fitted) -> float | None:
    out = fitted.out
    there = "inv_h" in out and "NPL" in out and not out.get("individual_fit")
    return calc_LME(out["inv_h"], out["NPL"])[1] if there else None


def _bicint(fitted: _Fitted, settings: Mapping[str, Any] | None) -> float | None:
    group = with_posterior(fitted.out).get("posterior")
    if group is None or fitted.all_data is None or fitted.fit_func is None or fitted.out.get("individual_fit"):
        return None
    # One name for each parameter, as the penalty counts them.
    names = list(fitted.param_names or [f"parameter {k}" for k in range(len(group["mu"]))])
    heavy = fitted.group is not None and fitted.group.family != "gaussian"
    more = {**({"group": fitted.group} if heavy else {}), **(settings or {})}
    return calc_BICint(fitted.all_data, names, group["mu"], group["sigma"], fitted.fit_func, **more)


def _r2(fitted: _Fitted, settings: Mapping[str, Any] | None) -> float | None:
    out = fitted.out
    nll = out["NLL"] if "NLL" in out else out["NPL"] - out["NLPrior"] if {"NPL", "NLPrior"} <= set(out) else None
    if not settings or nll is None:
        return None
    trials = {} if fitted.all_data is None else {"ntrials_total": trials_of(fitted.all_data[0])}
    return pseudo_r2_from_nll(nll, **{**trials, **settings})


BEST = {"LME": -1.0, "BICint": 1.0, "R2": -1.0}
"""Factor for each score, so that the smallest product is best."""


def _sorted(rows: list[ComparisonRow], order: Sequence[str]) -> list[ComparisonRow]:
    if strange := [metric for metric in order if metric not in BEST]:
        raise ValueError(f"metric_order names {strange[0]!r}; choose of {', '.join(BEST)}")
    for metric in order:
        values = [getattr(row, metric) for row in rows]
        if any(value is not None for value in values):
            keys = [np.inf if v is None or np.isnan(v) else BEST[metric] * v for v in values]
            return [rows[k] for k in np.argsort(keys, kind="stable")]
    return rows


class ModelComparison:
    """Compare models of the pyEM form, and find out whether the experiment can tell them apart.

    Parameters
    ----------
    models
        `EMModel` objects.
    model_names
        Their names; ``Model_1``, ``Model_2``, ... if not given.
    """

    def __init__(self, models: Sequence[EMModel], model_names: Sequence[str] | None = None) -> None:
        self.models = list(models)
        self.model_names = [str(name) for name in (default_names(models) if model_names is None else model_names)]
        if len(self.model_names) != len(self.models):
            raise ValueError(f"there are {len(self.models)} models, but {len(self.model_names)} names")
        if len(set(self.model_names)) < len(self.model_names):
            raise ValueError(f"model_names {self.model_names} has a name twice; give each model its own")
        self.comparison_results: pd.DataFrame | None = None
        self.identifiability_matrix: pd.DataFrame | None = None
        self._rounds: int | None = None

    def compare(self, **settings: Any) -> pd.DataFrame:
        """Scores of the fitted models, a row for each, the best first; columns that some model lacks are left out.

        Parameters
        ----------
        **settings
            Options of `compare_models`.
        """
        import pandas as pd

        rows = compare_models(self.models, self.model_names, **settings)
        scores = {label: [getattr(row, name) for row in rows] for name, label in COLUMNS.items()}
        frame = pd.DataFrame(scores, index=pd.Index([row.name for row in rows], name="name"), dtype=float)
        self.comparison_results = frame.dropna(axis=1, how="any")
        return self.comparison_results.copy()

    def identify(
        self,
        mi_inputs: Sequence[str],
        nrounds: int = 10,
        nsubjects: int = 100,
        *,
        sim_kwargs: Mapping[str, Any] | None = None,
        fit_kwargs: Mapping[str, Any] | None = None,
        bicint_kwargs: Mapping[str, Any] | None = None,
        r2_kwargs: Mapping[str, Any] | None = None,
        seed: int | None = None,
        verbose: int = 0,
    ) -> pd.DataFrame:
        """Simulate people with every model, fit all models to them, and count which one wins.

        Every simulated person's unconstrained parameters are standard normal. The models of this object stay as they are.

        Parameters
        ----------
        mi_inputs
            Names of the entries of a simulation that the fit functions take, in order.
        nrounds, nsubjects
            Rounds, and people of a round.
        sim_kwargs, fit_kwargs, bicint_kwargs, r2_kwargs
            Settings of the simulations, of `EMModel.fit`, and of the scores.
        seed
            Seed of the parameters, of simulations that take a ``seed``, and of the integrated BIC.
        verbose
            1 prints a line a round.

        Returns
        -------
        pd.DataFrame
            A row for each pair: ``Simulated, Estimated``; ``LME, BICint, pseudoR2``, means over rounds; ``bestlme, bestbic,
            bestR2``, rounds that the estimated model won. ``identifiability_matrix`` has those columns that are complete.

        Raises
        ------
        ValueError
            If a simulation gives no dict, or lacks an entry.
        RuntimeError
            If a simulation fails.
        AttributeError
            If a model has none.
        """
        score = functools.partial(self._scored, fit_kwargs, bicint_kwargs, r2_kwargs)
        table = identification(
            self.models, self.model_names, score, mi_inputs, nrounds, nsubjects, sim_kwargs, seed, verbose
        )
        self.identifiability_matrix, self._rounds = table.dropna(axis=1, how="any"), nrounds
        return table

    identifiability_analysis = identify

    def _scored(
        self,
        fit_kwargs: Mapping[str, Any] | None,
        bicint_kwargs: Mapping[str, Any] | None,
        r2_kwargs: Mapping[str, Any] | None,
        data: list[list[Any]],
        seed: int,
    ) -> list[Scored]:
        """Scores of all models on simulated data, in their order."""
        draws = {"seed": seed, **(bicint_kwargs or {})}
        rows = []
        for name, model in zip(self.model_names, self.models, strict=True):
            fresh = EMModel(data, model.fit_func, model.param_names, model.param_xform, model.simulate_func)
            fresh.fit(**{"verbose": 0, **(fit_kwargs or {})})
            fitted = _fitted(None, name, fresh)
            lme, bic, r2 = _lme(fitted), _tried(_bicint, fitted, draws), _tried(_r2, fitted, r2_kwargs)
            rows.append(tuple(np.nan if value is None else float(value) for value in (lme, bic, r2)))
        return rows

    def plot_identifiability(
        self,
        df: pd.DataFrame | None = None,
        metric: str = "LME",
        *,
        nrounds: int | None = None,
        cmap: str = "viridis",
        annotate: bool = True,
        figsize: tuple[float, float] = (8, 6),
        show: bool = True,
    ) -> Figure:
        """The proportion of rounds that each model won (columns), for each model that simulated (rows).

        Parameters
        ----------
        df
            Result of `identify`; the last one of this object if None.
        metric
            ``"LME"``, ``"BICint"`` or ``"pseudoR2"``, in small or large letters.
        nrounds
            Rounds of which proportions are taken; those of the last `identify`, or those that anyone won.
        cmap, annotate, figsize, show
            Colours, whether to write the proportions, size in inches, and whether to show the figure.
        """
        from pyem.compat.plotting import plot_shares

        column = BEST_COLUMNS.get(metric.lower())
        if column is None:
            raise ValueError(f"metric={metric!r}; choose one of LME, BICint, pseudoR2")
        frame = self.identifiability_matrix if df is None else df
        if frame is None:
            raise RuntimeError("Run identify() first or pass a dataframe.")
        if column not in frame:
            raise ValueError(
                f"metric={metric!r}: the dataframe has no column {column!r}, as the scores are not complete"
            )
        rounds = self._rounds if nrounds is None and df is None else nrounds
        simulated, estimated, shares = identified_wins(frame, column, rounds)
        return plot_shares(
            shares, simulated, estimated, f"best {metric}", cmap=cmap, annotate=annotate, figsize=figsize, show=show
        )


def _tried(score: Callable[..., float | None], fitted: _Fitted, settings: Mapping[str, Any] | None) -> float | None:
    """A score for an identification, or None if it fails, so that the other scores of many rounds are not lost."""
    try:
        return score(fitted, settings)
    except Exception as error:
        warn(f"identify: {score.__name__.strip('_')} of {fitted.name!r} failed: {error}")
        return None
