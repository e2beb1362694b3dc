"""Which model is best, and could the experiment tell: comparison and identifiability of models of the pyEM form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.compat.api import EMModel
from pyem.compat.fields import seed_of
from pyem.compat.outputs import data_of, with_posterior
from pyem.compat.stats import calc_BICint, calc_LME, pseudo_r2_from_nll, trials_of

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
    """Scores of one model; NaN where one cannot be computed.

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
    LME: float
    BICint: float
    R2: float


def compare_models(
    models: Sequence[Any],
    model_names: Sequence[str] | None = None,
    *,
    bicint_kwargs: Mapping[str, Any] | None = None,
    r2_kwargs: Mapping[str, Any] | None = None,
) -> list[ComparisonRow]:
    """Scores of fitted models.

    Parameters
    ----------
    models
        Fitted `EMModel` objects, or tuples ``(name, out, all_data, fit_func)`` where ``out`` is an ``_out`` dict or the
        ``__dict__`` of a `FitResult`.
    model_names
        Names of the `EMModel` objects.
    bicint_kwargs
        Settings of `calc_BICint`.
    r2_kwargs
        ``noptions`` of `pseudo_r2_from_nll`, and ``ntrials_total`` if it is not the size of the first subject's first field;
        without them there is no pseudo R2.
    """
    names = list(model_names) if model_names is not None else []
    if model_names is not None and len(names) != len(models):
        raise ValueError(f"there are {len(models)} models, but {len(names)} names")
    rows = []
    for k, model in enumerate(models):
        if isinstance(model, EMModel):
            name = names[k] if names else f"Model {k + 1}"
            rows.append(_row(name, model._result(), model.all_data, model.fit_func, bicint_kwargs, r2_kwargs))
        else:
            name, out, *rest = model
            all_data, fit_func = (*rest, None, None)[:2]
            rows.append(_row(names[k] if names else str(name), out, all_data, fit_func, bicint_kwargs, r2_kwargs))
    return rows


def _row(
    name: str,
    out: Mapping[str, Any],
    all_data: Sequence[Any] | None,
    fit_func: Any,
    bicint_kwargs: Mapping[str, Any] | None,
    r2_kwargs: Mapping[str, Any] | None,
) -> ComparisonRow:
    lme = bic = r2 = float("nan")
    if "inv_h" in out and "NPL" in out and not out.get("individual_fit"):
        lme = calc_LME(out["inv_h"], out["NPL"])[1]
    group = with_posterior(out).get("posterior")
    if group is not None and all_data is not None and fit_func is not None and not out.get("individual_fit"):
        # One placeholder name a parameter: the penalty counts them.
        placeholders = [f"parameter {k}" for k in range(len(group["mu"]))]
        bic = calc_BICint(all_data, placeholders, group["mu"], group["sigma"], fit_func, **(bicint_kwargs or {}))
    if r2_kwargs and "NLL" in out:
        trials = {} if all_data is None else {"ntrials_total": trials_of(all_data[0])}
        r2 = pseudo_r2_from_nll(out["NLL"], **{**trials, **r2_kwargs})
    return ComparisonRow(name, lme, bic, r2)


class ModelComparison:
    """Compare models of the pyEM form, and find out whether the experiment can tell them apart.

    Parameters
    ----------
    models
        `EMModel` objects.
    model_names
        Their names; ``Model 1``, ``Model 2``, ... if not given.
    """

    def __init__(self, models: Sequence[EMModel], model_names: Sequence[str] | None = None) -> None:
        self.models = list(models)
        names = model_names if model_names is not None else [f"Model {k + 1}" for k in range(len(self.models))]
        self.model_names = [str(name) for name in names]
        if len(self.model_names) != len(self.models):
            raise ValueError(f"there are {len(self.models)} models, but {len(self.model_names)} names")
        if len(set(self.model_names)) < len(self.model_names):
            raise ValueError(f"model_names {self.model_names} has a name twice; give each model its own")
        self.identifiability: pd.DataFrame | None = None

    def compare(
        self,
        *,
        bicint_kwargs: Mapping[str, Any] | None = None,
        r2_kwargs: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Scores of the fitted models, a row for each; columns that no model has are left out.

        See `compare_models` for the settings.
        """
        import pandas as pd

        rows = compare_models(self.models, self.model_names, bicint_kwargs=bicint_kwargs, r2_kwargs=r2_kwargs)
        scores = {label: [getattr(row, name) for row in rows] for name, label in COLUMNS.items()}
        frame = pd.DataFrame(scores, index=pd.Index([row.name for row in rows], name="Model"))
        return frame.dropna(axis=1, how="all")

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
            Which entries of a simulation the fit functions take, in order.
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
            bestR2``, rounds that the estimated model won.

        Raises
        ------
        TypeError
            If a simulation gives no dict.
        """
        import pandas as pd

        if nrounds < 1 or nsubjects < 1:
            raise ValueError(f"nrounds={nrounds}, nsubjects={nsubjects}; at least one of each is needed")
        rng = np.random.default_rng(seed_of(seed))
        scores = np.full((3, len(self.models), nrounds, len(self.models)), np.nan)
        for k, (name, simulated) in enumerate(zip(self.model_names, self.models, strict=True)):
            for r in range(nrounds):
                data = _simulated(simulated, name, mi_inputs, nsubjects, sim_kwargs, rng)
                draws = {"seed": int(rng.integers(2**31 - 1)), **(bicint_kwargs or {})}
                rows = self._fitted(data, fit_kwargs, draws, r2_kwargs)
                scores[:, k, r] = np.array([(row.LME, row.BICint, row.R2) for row in rows]).T
                if verbose:
                    best = self.model_names[int(np.argmax(scores[0, k, r]))]
                    print(f"identify: {name}, round {r + 1} of {nrounds}: best LME {best}", flush=True)
        table = []
        for k, name in enumerate(self.model_names):
            wins = [_wins(scores[0, k]), _wins(-scores[1, k]), _wins(scores[2, k])]
            means = scores[:, k].mean(1)
            for j, estimated in enumerate(self.model_names):
                score = dict(zip(("LME", "BICint", "pseudoR2"), means[:, j], strict=True))
                best = dict(zip(("bestlme", "bestbic", "bestR2"), (win[j] for win in wins), strict=True))
                table.append({"Simulated": name, "Estimated": estimated, **score, **best})
        self.identifiability = pd.DataFrame(table)
        return self.identifiability.copy()

    identifiability_analysis = identify

    def _fitted(
        self,
        data: list[list[Any]],
        fit_kwargs: Mapping[str, Any] | None,
        bicint_kwargs: Mapping[str, Any] | None,
        r2_kwargs: Mapping[str, Any] | None,
    ) -> list[ComparisonRow]:
        fresh = []
        for model in self.models:
            copy = EMModel(data, model.fit_func, model.param_names, model.param_xform, model.simulate_func)
            copy.fit(**{"verbose": 0, **(fit_kwargs or {})})
            fresh.append(copy)
        return compare_models(fresh, self.model_names, bicint_kwargs=bicint_kwargs, r2_kwargs=r2_kwargs)

    def plot_identifiability(
        self,
        df: pd.DataFrame | None = None,
        metric: str = "LME",
        figsize: tuple[float, float] | None = None,
        cmap: str = "Blues",
        show: bool = True,
    ) -> Figure:
        """The proportion of rounds that each model won (columns), for each model that simulated (rows).

        Parameters
        ----------
        df
            What `identify` returned; the last one of this object if None.
        metric
            ``"LME"``, ``"BICint"`` or ``"pseudoR2"``.
        figsize, cmap, show
            Size in inches, colours, and whether to show the figure.
        """
        import matplotlib.pyplot as plt

        from pyem.compat.plotting import show_figure

        columns = {"LME": "bestlme", "BICint": "bestbic", "pseudoR2": "bestR2"}
        if metric not in columns:
            raise ValueError(f"metric={metric!r}; choose one of {', '.join(columns)}")
        frame = self.identifiability if df is None else df
        if frame is None:
            raise ValueError("there is nothing to plot yet; call identify() first, or pass its result as df")
        simulated, estimated = (list(dict.fromkeys(frame[name])) for name in ("Simulated", "Estimated"))
        counts = frame.pivot(index="Simulated", columns="Estimated", values=columns[metric])
        wins = counts.loc[simulated, estimated].to_numpy(float)
        with np.errstate(invalid="ignore"):
            shares = wins / wins.sum(1, keepdims=True)
        size = figsize or (1.6 + 1.1 * len(estimated), 1.3 + 1.0 * len(simulated))
        figure, ax = plt.subplots(figsize=size, layout="constrained")
        image = ax.imshow(shares, cmap=cmap, vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(shares):
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else "black")
        ax.set_xticks(range(len(estimated)), estimated)
        ax.set_yticks(range(len(simulated)), simulated)
        ax.set_xlabel("estimated")
        ax.set_ylabel("simulated")
        ax.set_title(f"best {metric}")
        figure.colorbar(image, ax=ax, label="proportion of rounds", shrink=0.85)
        if show:
            show_figure(figure)
        return figure


def _wins(scores: np.ndarray) -> np.ndarray:
    """How many rounds each model won, from scores (round, model) of which the largest is best."""
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
    params = model._natural(rng.standard_normal((n_subjects, len(model.param_names))))
    options = dict(sim_kwargs or {})
    if "seed" not in options and _takes_seed(model.simulate_func):
        options["seed"] = int(rng.integers(2**31 - 1))
    sim = model.simulate(params, **options)
    if not isinstance(sim, Mapping):
        raise ValueError(
            f"simulate_func of model {name!r} did not return a dict but {type(sim).__name__}; identify needs named entries"
        )
    return data_of(sim, inputs)


def _takes_seed(function: Any) -> bool:
    import inspect

    try:
        return "seed" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
