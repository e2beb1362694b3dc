"""Predictive checks of choices and their response times: observed against simulated, by condition, as tables and figures."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.engine.ranges import seen_times
from pyem.simulation.predictive import Predicted, predictions
from pyem.study.ez_check import ez_table, far_from_simulated
from pyem.study.time_summaries import BINS, QUANTILES, TIMES, Sorting, sorted_trials, summaries

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

KINDS = ("quantile_probability", "distribution", "conditional_accuracy", "delta")


@dataclasses.dataclass(frozen=True, eq=False)
class ResponseTimeCheck:
    """Observed against simulated response times, as means over people, by condition.

    All tables have ``observed``, and ``mean``, ``low``, ``high`` (95 %) of the simulations. A person without five responses of
    a kind in a condition has no quantiles of them.

    Parameters
    ----------
    predicted
        The simulations.
    quantile_probability
        A row for each condition, response and quantile: the response time, and the ``share`` of the response (with
        ``share_mean``, ``share_low``, ``share_high``).
    distribution
        Defective distribution functions: by condition, response and ``time``, the probability of that response by then.
    conditional_accuracy
        Share of right responses by condition and fifth of the response times, with the mean ``time`` there.
    delta
        By condition but the first, and quantile: difference of right response times to the first condition, with the mean
        ``time`` of the two.
    ez
        By person, condition and parameter: EZ-diffusion estimates (`pyem.ez_diffusion`, here from the times of all responses)
        of the observed and of the simulated responses, a check on fits of any model. `summary` names whose are far apart.

    References
    ----------
    Ratcliff, R., & McKoon, G. (2008). The diffusion decision model: theory and data for two-choice decision tasks. Neural
    Computation, 20(4), 873-922. https://doi.org/10.1162/neco.2008.12-06-420
    """

    predicted: Predicted
    quantile_probability: pd.DataFrame
    distribution: pd.DataFrame
    conditional_accuracy: pd.DataFrame
    delta: pd.DataFrame
    ez: pd.DataFrame

    def outside(self) -> pd.Series:
        """Share of the observed values of each table that lie outside the band of their simulations; about 0.05 by chance."""
        import pandas as pd

        parts = {}
        for kind in (*KINDS, "ez"):
            table = getattr(self, kind).dropna(subset=["observed", "low"])
            away = (table.observed < table.low - 1e-9) | (table.observed > table.high + 1e-9)
            parts[kind] = float(away.mean()) if len(table) else np.nan
        return pd.Series(parts, name="outside")

    def summary(self) -> str:
        """Description of the results, as text."""
        model = self.predicted.model.name
        lines = [
            f"{self.predicted.source} predictive check of response times, {model}, {self.predicted.n_draws} simulations"
        ]
        for kind, share in self.outside().items():
            told = "nothing to compare" if np.isnan(share) else f"{100 * share:.0f} % of values outside their 95 % band"
            lines.append(f"{str(kind).replace('_', ' ')}: {told}")
        return "\n".join([*lines, *filter(None, [far_from_simulated(self.ez)])])

    def __repr__(self) -> str:
        return self.summary()

    def plot(self, kind: str = "quantile_probability") -> Figure:
        """Draw one of the figures ``"quantile_probability"``, ``"distribution"``, ``"conditional_accuracy"`` or ``"delta"``.

        Raises
        ------
        ValueError
            If there is no such figure, or nothing to draw in it.
        """
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r}; choose {', '.join(map(repr, KINDS))}")
        table = getattr(self, kind)
        if not len(table):
            raise ValueError(
                f"kind={kind!r} compares conditions, and there is one only; give by= a column of conditions"
            )
        from pyem.draw import response_times

        title = f"{self.predicted.source.capitalize()} predictive check of response times,\n{self.predicted.model.name}"
        return getattr(response_times, kind)(title=title, table={name: table[name].to_numpy() for name in table})


def response_time_check(
    predicted: Predicted, *, by: str | None = None, correct: str | None = None
) -> ResponseTimeCheck:
    """Compare simulated with observed choices and response times: quantiles, distributions, accuracy by time, delta plots.

    Parameters
    ----------
    predicted
        Result of `posterior_predictive` or `prior_predictive`, for a model with response times.
    by
        Column of conditions, one of those that ``columns=`` of `Dataset.read` named.
    correct
        Column with the right response of each trial, in the codes of the choice. If not given, it is ``stimulus`` where the
        model is shown it; else option 1 stands for the right one, as in data coded by accuracy.

    Raises
    ------
    ValueError
        If the model has no choices with response times, or there is no such column.

    Examples
    --------
    >>> import pyem
    >>> data = pyem.simulate(pyem.models.get("lnr"), subjects=4, trials=40, key=1)
    >>> fit = pyem.fit_map(pyem.models.get("lnr"), data)
    >>> check = response_time_check(pyem.posterior_predictive(fit, draws=20, key=2))
    >>> list(check.quantile_probability.columns)[:4]
    ['condition', 'response', 'quantile', 'share']
    """
    model, data = predictions(predicted, "response_time_check").model, predicted.data
    sorting = sorted_trials(model, data, by, correct)
    choice, rt = model.joint[0]
    seen = seen_times(data, rt)
    times = np.linspace(0, np.nanquantile(seen, 0.99), TIMES + 1)[1:] if np.isfinite(seen).any() else np.ones(TIMES)
    observed = summaries(sorting, data.fields[choice][None], data.fields[rt][None], times)
    simulated = summaries(sorting, predicted.responses[choice], predicted.responses[rt], times)
    tables = _tables(sorting, {k: v[0] for k, v in observed.items()}, simulated, times)
    tables["ez"] = ez_table(
        sorting,
        data,
        (data.fields[choice], data.fields[rt]),
        (predicted.responses[choice], predicted.responses[rt]),
    )
    return ResponseTimeCheck(predicted, **tables)


def _tables(
    sorting: Sorting, observed: dict[str, np.ndarray], simulated: dict[str, np.ndarray], times: np.ndarray
) -> dict[str, pd.DataFrame]:
    conditions, responses = list(sorting.conditions), list(sorting.names)
    against = lambda name, prefix="": _against(observed[name], simulated[name], prefix)  # noqa: E731
    spread = lambda values: {k: np.repeat(v.ravel(), len(QUANTILES)) for k, v in values.items()}  # noqa: E731
    quantiles = _frame({"condition": conditions, "response": responses, "quantile": QUANTILES})
    shares = {name.rstrip("_"): values for name, values in spread(against("share", "share_")).items()}
    shares = {"share" if name == "share_observed" else name: values for name, values in shares.items()}
    bins = {"condition": conditions, "fifth": range(1, BINS + 1)}
    deltas = {"condition": conditions[1:], "quantile": QUANTILES}
    rest = {
        "distribution": (
            _frame({"condition": conditions, "response": responses, "time": times}),
            against("distribution"),
        ),
        "conditional_accuracy": (_frame(bins).assign(time=observed["when"].ravel()), against("accuracy")),
        "delta": (_frame(deltas).assign(time=observed["middle"].ravel()), against("shift")),
    }
    made = {name: frame.assign(**{k: v.ravel() for k, v in values.items()}) for name, (frame, values) in rest.items()}
    rts = {name: values.ravel() for name, values in against("quantile").items()}
    return {"quantile_probability": quantiles.assign(**shares, **rts)} | made


def _frame(axes: dict[str, Any]) -> pd.DataFrame:
    """A row for each combination, the last axis fastest."""
    import pandas as pd

    return pd.DataFrame(list(itertools.product(*axes.values())), columns=list(axes))


def _against(observed: np.ndarray, simulated: np.ndarray, prefix: str) -> dict[str, np.ndarray]:
    """Compare observed values with the mean and central 95 % of simulated ones, the first axis; NaN where nobody has any."""
    known = np.isfinite(simulated).any(0)
    filled = np.where(known, simulated, 0.0)
    # NumPy has no quantiles of empty axes.
    low, high = np.nanquantile(filled, [0.025, 0.975], axis=0) if filled.size else (filled[0], filled[0])
    found = {"mean": np.nanmean(filled, axis=0), "low": low, "high": high}
    return {f"{prefix}observed": observed} | {f"{prefix}{k}": np.where(known, v, np.nan) for k, v in found.items()}
