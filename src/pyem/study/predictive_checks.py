"""Predictive checks: observed against simulated behaviour, by block and trial and person by person."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.cells import MOST, Cell, cells_of
from pyem.data.dataset import Dataset
from pyem.engine.scale import chosen_range
from pyem.model.model import Model
from pyem.results.options import shown_option
from pyem.simulation.predictive import Predicted, predictions
from pyem.study.time_checks import ResponseTimeCheck, response_time_check

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ROWS = 40
"""Largest number of points of a block's curve."""
Statistic = Callable[[np.ndarray, "Context"], np.ndarray]
"""Function of responses (..., trial, lane) and a `Context` that returns a value for each trial, NaN where it has none."""


@dataclasses.dataclass(frozen=True, eq=False)
class Context:
    """Data that a statistic may use besides the responses.

    Parameters
    ----------
    responded
        Whether a response is in the likelihood, (trial, lane).
    before
        The responses that those of this trial were drawn given: observed ones, one step ahead, else the same simulation's;
        (..., trial, lane).
    outcome
        The first outcome of the model, likewise, or None.
    option
        Code of the option that ``choice`` counts, or None where responses are not categorical.
    threshold
        An outcome above this, the middle of the range of those observed, is a win.
    """

    responded: np.ndarray
    before: np.ndarray
    outcome: np.ndarray | None
    option: int | None
    threshold: float


def _choice(responses: np.ndarray, context: Context) -> np.ndarray:
    """Whether the option was taken."""
    return np.where(context.responded, responses == context.option, np.nan)


def _value(responses: np.ndarray, context: Context) -> np.ndarray:
    return np.where(context.responded, responses, np.nan)


def _stay(responses: np.ndarray, context: Context) -> np.ndarray:
    """Whether the last response was repeated, where there were both."""
    out = np.full(responses.shape, np.nan)
    both = context.responded[1:] & context.responded[:-1]
    out[..., 1:, :] = np.where(both, responses[..., 1:, :] == context.before[..., :-1, :], np.nan)
    return out


def _after(responses: np.ndarray, context: Context, win: bool) -> np.ndarray:
    stay = _stay(responses, context)
    assert context.outcome is not None
    won = np.zeros(np.broadcast_shapes(stay.shape, context.outcome.shape), bool)
    won[..., 1:, :] = context.outcome[..., :-1, :] > context.threshold
    return np.where(won == win, stay, np.nan)


def _win_stay(responses: np.ndarray, context: Context) -> np.ndarray:
    """Whether a response that won was repeated."""
    return _after(responses, context, True)


def _lose_shift(responses: np.ndarray, context: Context) -> np.ndarray:
    """Whether a response that did not win was not repeated."""
    return 1 - _after(responses, context, False)


def _change(responses: np.ndarray, context: Context) -> np.ndarray:
    """Distance of the response from the last one."""
    out = np.full(responses.shape, np.nan)
    both = context.responded[1:] & context.responded[:-1]
    out[..., 1:, :] = np.where(both, np.abs(responses[..., 1:, :] - context.before[..., :-1, :]), np.nan)
    return out


def default_statistics(model: Model) -> dict[str, Statistic]:
    """Statistics that are used by default."""
    if model.options is None:
        return {"value": _value, "change": _change}
    some: dict[str, Statistic] = {"choice": _choice, "stay": _stay}
    return some | ({"win_stay": _win_stay, "lose_shift": _lose_shift} if model.outcomes else {})


@dataclasses.dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """Observed against simulated behaviour.

    Parameters
    ----------
    predicted
        The simulations.
    curves
        A row for each block and trial (in long blocks, for some consecutive trials: at most 40 rows): mean over people of the
        first statistic, ``observed``, and ``mean``, ``low``, ``high`` (95 %) of the simulations.
    people
        A row for each person and statistic: ``observed``, ``mean``, ``low``, ``high``, and ``p``, the part of simulations
        with a value as high as the observed one (equal ones count half): near 0 or 1 the model is wrong about this
        person.
    group
        Observed and simulated mean over people of each statistic.
    what
        Description of the curves.
    by
        Columns that all is split by.
    """

    predicted: Predicted
    curves: pd.DataFrame
    people: pd.DataFrame
    group: pd.DataFrame
    what: str
    by: tuple[str, ...] = ()

    def surprising(self, level: float = 0.05) -> pd.DataFrame:
        """People and statistics with a two-sided p-value below `level`; a share `level` of them is expected by chance."""
        return self.people.loc[2 * np.minimum(self.people.p, 1 - self.people.p) < level]

    def summary(self) -> str:
        """Description of the results, as text."""
        how = "one step ahead" if self.predicted.one_step else "by playing the task"
        lines = [
            f"{self.predicted.source} predictive check of {self.predicted.model.name}, {self.predicted.n_draws} simulations "
            f"{how}",
            self.group.to_string(float_format="{:.3f}".format),
        ]
        for name, part in self.people.groupby([*self.by, "statistic"], sort=False):
            low = int((2 * np.minimum(part.p, 1 - part.p) < 0.05).sum())
            lines.append(
                f"{_words(name)}: {low} of {part.p.notna().sum()} people outside the central 95 % of their simulations"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.summary()

    def response_times(self, *, by: str | None = None, correct: str | None = None) -> ResponseTimeCheck:
        """Compare the same simulations with the observed response times, by condition; see `response_time_check`."""
        return response_time_check(self.predicted, by=by, correct=correct)

    def plot(self) -> Figure:
        """Curves by block and trial with bands, and every person's statistics against their simulations."""
        from pyem.draw.predictive import predictive

        return predictive(**self.numbers())

    def numbers(self) -> dict[str, Any]:
        """Numbers for `pyem.draw.predictive.predictive`."""
        model, data = self.predicted.model, self.predicted.data
        who = "1 person" if data.n_subjects == 1 else f"{data.n_subjects} people"
        split = [(_words(key), part) for key, part in self.curves.groupby(list(self.by or ["block"]), sort=False)]
        blocks = (
            split
            if self.by
            else [(f"block {name}" if len(split) > 1 else "choices by trial", one) for name, one in split]
        )
        statistics = [(str(name), part) for name, part in self.people.groupby("statistic", sort=False)]
        columns = lambda part, names: {name: part[name].to_numpy(float) for name in names}  # noqa: E731
        return {
            "title": f"{self.predicted.source.capitalize()} predictive check, {model.name}, {who}",
            "what": self.what,
            "curves": {
                name: columns(part, ("trial", "observed", "mean", "low", "high"))
                for name, part in blocks[: MOST if self.by else 8]
            },
            "people": {name: columns(part, ("observed", "mean", "low", "high", "p")) for name, part in statistics},
        }


def predictive_check(
    predicted: Predicted,
    *,
    option: Any = None,
    statistics: Mapping[str, Statistic] | None = None,
    by: str | Sequence[str] | None = None,
) -> PredictiveCheck:
    """Compare simulated with observed behaviour, by block and trial and person by person.

    Parameters
    ----------
    predicted
        Result of `posterior_predictive` or `prior_predictive`.
    option
        Label of the option whose curve is drawn; if not given, the one whose outcomes were best on average or, where there is
        no outcome, that was chosen most often (as in `pyem.plot.plot_choice_curves`).
    statistics
        Functions of responses (..., trial, lane) and a `Context` that give a value for each trial, NaN where there is none. A
        person's statistic is their mean over trials; the first is drawn as a curve. By default how often the option is taken,
        the last response repeated, repeated after a win, and not repeated after no win (for numbers: their value and change).
        If the response is a vector, there is a statistic of each of its places: ``value0``, ``value1``, ...
    by
        Columns by whose levels the trials are split: conditions, stimuli, groups of people. They are fields with one value a
        trial, covariates, or ``"block"``. Curves and statistics are then of each combination of levels, with a column for each
        of `by` in the tables.

    Raises
    ------
    ValueError
        If there is no such option or column, or there are more than 12 combinations.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=5, trials=20, key=1)
    >>> predicted = pyem.posterior_predictive(pyem.fit_em(model, data), draws=50, key=2)
    >>> check = predictive_check(predicted)
    >>> list(check.group.index)
    ['choice', 'stay', 'win_stay', 'lose_shift']
    """
    import pandas as pd

    model, data = predictions(predicted, "predictive_check").model, predicted.data
    code, label = _option(predicted, option)
    chosen = _defined(dict(statistics or default_statistics(model)), model, data)
    lanes, simulated = _values(predicted, chosen, code)
    curves, people, group = [], [], []
    for labels, trials in _cells(data, by):
        parts = _of_cell(data, trials, lanes, simulated, by_block=by is None)
        for table, rows in zip((curves, people, group), parts, strict=True):
            for place, (column, level) in enumerate(labels.items()):
                rows.insert(place, column, level)
            table.append(rows)
    first = next(iter(lanes))
    what = first if label is None or first != "choice" else f"proportion of choices of {label}"
    cells = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    tables = [pd.concat(table, ignore_index=True) for table in (curves, people, group)]
    return PredictiveCheck(predicted, tables[0], tables[1], tables[2].set_index([*cells, "statistic"]), what, cells)


def _words(key: Any) -> str:
    """Levels of one cell of a table that was split by several columns."""
    return ", ".join(map(str, key))


def _cells(data: Dataset, by: str | Sequence[str] | None) -> list[Cell]:
    return [Cell({}, data.valid)] if by is None else cells_of(data, by)


def _of_cell(
    data: Dataset,
    trials: np.ndarray,
    lanes: dict[str, np.ndarray],
    simulated: list[dict[str, np.ndarray]],
    *,
    by_block: bool,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Curves, people and group for some of the trials (trial, lane)."""
    import pandas as pd

    inside = lambda values: np.where(trials, values, np.float32(np.nan))  # noqa: E731
    people, group = [], []
    for statistic in lanes:
        seen = _people(data, inside(lanes[statistic]))
        drawn = np.array([_people(data, inside(part[statistic])) for part in simulated])
        here = np.ones(len(seen), bool) if trials[data.valid].all() else np.isfinite(seen)
        if not here.any():
            continue
        rows = _against(seen[here], drawn[:, here])
        people.append(pd.DataFrame({"subject": data.subjects[here], "statistic": statistic} | rows))
        with np.errstate(invalid="ignore"):
            means = _against(np.atleast_1d(np.nanmean(seen)), np.nanmean(drawn[:, here], axis=1)[:, None])
        group.append(pd.DataFrame({"statistic": [statistic]} | means))
    first = next(iter(lanes))
    curves = _curves(data, inside(lanes[first]), [inside(part[first]) for part in simulated], by_block=by_block)
    return curves, pd.concat(people), pd.concat(group)


def _option(predicted: Predicted, option: Any) -> tuple[int | None, str | None]:
    model = predicted.model
    if model.options is None and option is None:
        return None, None
    if model.options is None:
        raise ValueError(f"model {model.name!r} has no options, but option={option!r} was given; leave it out")
    shown = shown_option(model, predicted.data, option)
    return shown.code, shown.label


def _values(
    predicted: Predicted, statistics: Mapping[str, Statistic], code: int | None
) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Values of each trial, (trial, lane), by statistic: those of the data, and those of every simulation."""
    model, data = predicted.model, predicted.data
    name = model.responses[0]
    observed, responded, outcome = data.fields[name], data.masks(model)[0][name], _outcome(model, data)
    threshold = 0.0 if outcome is None else middle_of(outcome[responded])
    seen = _sums(statistics, observed, Context(responded, observed, outcome, code, threshold))
    paid = None if outcome is None else predicted.outcomes.get(model.outcomes[0])
    simulated = []
    for d, responses in enumerate(predicted.responses[name]):
        context = Context(responded, observed, outcome, code, threshold)
        if not predicted.one_step:
            context = Context(responded, responses, None if paid is None else paid[d], code, threshold)
        simulated.append(_sums(statistics, responses, context))
    return seen, simulated


def middle_of(outcomes: np.ndarray) -> float:
    """Middle of the range of outcomes, as a model takes it from the data.

    Examples
    --------
    >>> middle_of(np.array([0.0, 100.0, 100.0])), middle_of(np.array([1.0, 1.0]))
    (50.0, 0.5)
    """
    low, high = chosen_range((float(outcomes.min()), float(outcomes.max())) if outcomes.size else None)
    return (low + high) / 2


def _outcome(model: Model, data: Dataset) -> np.ndarray | None:
    if not model.outcomes or data.fields[model.outcomes[0]].ndim != 2:
        return None
    return data.fields[model.outcomes[0]].astype(float)


def _defined(statistics: dict[str, Statistic], model: Model, data: Dataset) -> dict[str, Statistic]:
    """Statistics for which the data have the necessary columns."""
    if _outcome(model, data) is not None:
        return statistics
    return {name: function for name, function in statistics.items() if function not in (_win_stay, _lose_shift)}


def _sums(statistics: Mapping[str, Statistic], responses: np.ndarray, context: Context) -> dict[str, np.ndarray]:
    """Values of each trial, (trial, lane), small enough to keep; for vectors, of each place."""
    places = lambda values: np.moveaxis(values.reshape(len(values), -1, values.shape[-1]), 1, 0)  # noqa: E731
    out = {}
    for k, (mine, before) in enumerate(zip(places(responses), places(context.before), strict=True)):
        here = dataclasses.replace(context, before=before)
        for name, function in statistics.items():
            label = name if responses.ndim == 2 else f"{name}{k}"
            out[label] = np.asarray(function(mine, here), np.float32)
    return out


def _people(data: Dataset, values: np.ndarray) -> np.ndarray:
    """Mean over each person's trials, (S,)."""
    here = np.isfinite(values)
    total = np.bincount(data.lane_subject, np.where(here, values, 0.0).sum(0), data.n_subjects)
    count = np.bincount(data.lane_subject, here.sum(0), data.n_subjects)
    with np.errstate(invalid="ignore"):
        return total / count


def _against(observed: np.ndarray, simulated: np.ndarray) -> dict[str, np.ndarray]:
    """Compare observed values (n,) with simulated ones (draw, n)."""
    known = np.isfinite(simulated)
    n = known.sum(0)
    # Sums of single precision differ in the last digit; such values are equal.
    gap = np.where(known, simulated - observed, np.nan)
    more, same = (gap > 1e-6).sum(0), (np.abs(gap) <= 1e-6).sum(0)
    with np.errstate(invalid="ignore"):
        p = np.where(np.isfinite(observed) & (n > 0), (more + 0.5 * same) / n, np.nan)
    filled = np.where(n > 0, simulated, 0.0)
    low, high = np.nanquantile(filled, [0.025, 0.975], axis=0)
    return {"observed": observed, "mean": np.nanmean(filled, axis=0), "low": low, "high": high, "p": p}


def _curves(data: Dataset, observed: np.ndarray, simulated: list[np.ndarray], *, by_block: bool) -> pd.DataFrame:
    """Means over people by trial, or runs of trials, of each block or of all blocks together."""
    import pandas as pd

    def means(values: np.ndarray, lanes: np.ndarray, runs: list[np.ndarray]) -> np.ndarray:
        return np.array([np.nanmean(values[np.ix_(run, lanes)]) for run in runs])

    parts = []
    for block in pd.unique(data.lane_block) if by_block else [None]:
        lanes = np.flatnonzero(data.lane_block == block) if by_block else np.arange(data.n_lanes)
        here = np.isfinite(observed[:, lanes])
        rows = np.flatnonzero(here.any(1))
        width = -(-len(rows) // ROWS)
        runs = np.split(rows, range(width, len(rows), width)) if len(rows) else []
        drawn = np.array([means(values, lanes, runs) for values in simulated])
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        columns: dict[str, Any] = {"block": block} if by_block else {}
        columns |= {"trial": [run.mean() + 1 for run in runs], "n": [int(here[run].sum()) for run in runs]}
        columns |= {"observed": means(observed, lanes, runs), "mean": drawn.mean(0), "low": low, "high": high}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
