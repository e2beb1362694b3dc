"""Marginal means of a parameter in conditions and groups, and their differences."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.formulas import Coded, constant_in, variables
from pyem.engine.binding import Part
from pyem.engine.regress import again
from pyem.errors import list_of, shown
from pyem.model.model import Model
from pyem.model.transform import Positive, Transform
from pyem.results.effects import INTERVAL, Combined, Weights, scale_of, value_of
from pyem.results.open_ends import open_ended

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.fit import Fit


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class MarginalMeans:
    """Means of a parameter in the cells of a design, for the typical person of each.

    Parameters
    ----------
    parameter
        Its name.
    cells
        Value of each column in each cell.
    found
        Unconstrained means with their covariance.
    transform
        Transform from the unconstrained to the natural scale.
    scale
        The unconstrained scale, in words.
    sd
        Standard deviation between people on that scale, over the cells.
    """

    parameter: str
    cells: tuple[Mapping[str, Any], ...]
    found: Combined
    transform: Transform
    scale: str
    sd: float

    def table(self) -> pd.DataFrame:
        """A row for each cell: the mean in natural units with its 95 % interval, and on the unconstrained scale.

        Columns: ``mean``, ``mean_low``, ``mean_high`` in natural units (of the person in the middle of the cell); ``estimate``,
        ``se``, ``low``, ``high`` on the unconstrained scale.
        """
        import pandas as pd

        rows = []
        for k, cell in enumerate(self.cells):
            row = self.found.row(k, test=False)
            mean, low, high = self._natural(np.array([row["estimate"], row["low"], row["high"]]))
            if isinstance(self.transform, Positive):
                low, high = open_ended(mean, low, high)
            rows.append(dict(cell) | {"mean": mean, "mean_low": low, "mean_high": high} | row)
        frame = pd.DataFrame(rows)
        return frame.set_index(list(self.cells[0])) if self.cells[0] else frame

    def pairs(self) -> pd.DataFrame:
        """A row for each pair of cells: the first less the second.

        Columns: ``difference`` and ``ratio`` of the means in natural units with 95 % intervals; ``estimate``, ``se``, ``low``,
        ``high``, ``z``, ``p`` of the difference on the unconstrained scale, ``p_holm`` corrected for the number of pairs (Holm,
        1979); ``d``, the difference in standard deviations between people. For draws ``above_0``, the posterior
        probability of a positive difference, takes the place of z and p.

        References
        ----------
        Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics, 6(2),
        65-70.
        """
        import pandas as pd

        pairs = list(itertools.combinations(range(len(self.cells)), 2))
        if not pairs:
            raise ValueError(f"there is one mean of {self.parameter} only, so no pair; name columns: by=[...]")
        sign = np.zeros((len(pairs), len(self.cells)))
        for n, (i, j) in enumerate(pairs):
            sign[n, i], sign[n, j] = 1.0, -1.0
        draws = None if self.found.draws is None else self.found.draws @ sign.T
        gaps = Combined(sign @ self.found.estimate, sign @ self.found.cov @ sign.T, self.found.df, draws)
        rows = []
        for n, (i, j) in enumerate(pairs):
            row: dict[str, Any] = {"first": _words(self.cells[i]), "second": _words(self.cells[j])}
            rows.append(row | self._contrast(i, j) | gaps.row(n, test=True) | {"d": gaps.estimate[n] / self.sd})
        frame = pd.DataFrame(rows)
        if "p" in frame:
            frame.insert(frame.columns.get_loc("p") + 1, "p_holm", holm(frame["p"].to_numpy()))  # type: ignore[operator]
        return frame.set_index(["first", "second"])

    def _contrast(self, i: int, j: int) -> dict[str, float]:
        """Difference and ratio of two means in natural units, with intervals."""
        from scipy.special import stdtrit

        one, other = self._natural(self.found.estimate[[i, j]])
        out = {"difference": one - other, "ratio": one / other if other else np.nan}
        if self.found.draws is not None:
            a, b = self._natural(self.found.draws[:, [i, j]]).T
            ends = {"difference": np.quantile(a - b, INTERVAL), "ratio": np.quantile(a / b, INTERVAL)}
        else:
            cov = self.found.cov[np.ix_([i, j], [i, j])]
            slope = np.exp(self._log_slope(self.found.estimate[[i, j]])) * [1.0, -1.0]
            margin = float(stdtrit(self.found.df, INTERVAL[1]))
            half = margin * np.sqrt(slope @ cov @ slope)
            # The ratio by its logarithm, so that its interval is of one sign.
            relative = slope / np.array([one, other]) if one * other > 0 else np.full(2, np.nan)
            factor = np.exp(margin * np.sqrt(relative @ cov @ relative))
            ends = {
                "difference": (one - other - half, one - other + half),
                "ratio": open_ended(out["ratio"], out["ratio"] / factor, out["ratio"] * factor),
            }
        for name, (low, high) in ends.items():
            out |= {f"{name}_low": float(low), f"{name}_high": float(high)}
        order = ("difference", "difference_low", "difference_high", "ratio", "ratio_low", "ratio_high")
        return {name: float(out[name]) for name in order}

    def _natural(self, x: np.ndarray) -> np.ndarray:
        return _in_64_bits(self.transform, x)

    def _log_slope(self, x: np.ndarray) -> np.ndarray:
        return _in_64_bits(self.transform.log_det, x)

    def __repr__(self) -> str:
        head = f"marginal means of {self.parameter} (estimate on the scale {self.scale})"
        return head + "\n" + self.table().to_string(float_format=lambda value: f"{value:.4g}")


def _in_64_bits(function: Any, x: np.ndarray) -> np.ndarray:
    import jax

    with jax.enable_x64(True):
        return np.asarray(function(np.asarray(x, float)), float)


def _words(cell: Mapping[str, Any]) -> str:
    return ", ".join(str(value) for value in cell.values())


def holm(p: np.ndarray) -> np.ndarray:
    """P values corrected for their number by Holm's procedure.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04])).tolist()
    [0.02, 0.04]
    """
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty(len(p))
    out[order] = np.minimum(raised, 1.0)
    return out


# -- the cells ------------------------------------------------------------------------------------------------------------


def marginal_means_of(
    fit: Fit, weights: Weights, parameter: str, by: str | Sequence[str] | None, at: Mapping[str, Any] | None
) -> MarginalMeans:
    """Means of a parameter in each combination of the columns `by`; see `PointFit.marginal_means`."""
    model = fit.model
    value = value_of(model, parameter) if parameter in _values(fit) else None
    if value is None:
        raise ValueError(f"model {model.name!r} has no parameter {parameter!r}; it has {', '.join(_values(fit))}")
    scale = scale_of(model, parameter)
    bound = None if model.design is None else again(model, fit.data)
    if bound is None or parameter not in bound.codes:
        pick = np.zeros((1, *weights.population.coef.shape))
        pick[0, 0, model.names.index(parameter)] = 1.0
        sd = float(np.sqrt(weights.population.cov[model.names.index(parameter)][model.names.index(parameter)]))
        return MarginalMeans(parameter, ({},), weights.combined(pick), value.transform, scale, sd)
    code = bound.codes[parameter]
    parts = [part for part in bound.parts if part.effect.parameter == parameter]
    cells, grid = _grid(code, by, dict(at or {}))
    pick, within, known = _picked(fit, weights, code, parts, grid)
    sizes = len(grid) // len(cells)
    mean = lambda a: a.reshape(len(cells), sizes, *a.shape[1:]).mean(1)  # noqa: E731
    # The grid has all rows of the first cell, then those of the second.
    differ = weights.population.random & ~weights.population.vanished
    cov = weights.population.cov * np.outer(differ, differ)
    spread = np.einsum("cp,pq,cq->c", mean(within), cov, mean(within))
    sd = float(np.sqrt(max(spread.mean(), 0.0)))
    sd = sd if sd > 0 else np.nan
    found = weights.combined(mean(pick)).moved(mean(known))
    return MarginalMeans(parameter, tuple(cells), found, value.transform, scale, sd)


def _values(fit: Fit) -> tuple[str, ...]:
    base = fit.model.design.base if fit.model.design else fit.model
    return base.names


def _grid(code: Coded, by: str | Sequence[str] | None, at: dict[str, Any]) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Cells, and all rows over which the others are averaged in each of them."""
    import pandas as pd

    frame = code.rows.frame
    levels = {name: _levels(code, name) for name in frame.columns}
    wanted = (
        [by] if isinstance(by, str) else list(by) if by is not None else [n for n, known in levels.items() if known]
    )
    wanted += [name for name, values in at.items() if np.size(values) > 1 and name not in wanted]
    for name in [*wanted, *at]:
        if name not in levels:
            known = list_of(list(levels)) or "nothing"
            raise ValueError(f"the formula does not name {name!r}; it depends on {known}")
    for name, values in at.items():
        levels[name] = _values_at(frame.loc[:, name], list(np.atleast_1d(values)))
    if plain := [name for name in wanted if not levels[name]]:
        raise ValueError(f"{plain[0]!r} is a number; say at which values: at={{{plain[0]!r}: [...]}}")
    cells = [dict(zip(wanted, values, strict=True)) for values in itertools.product(*(levels[n] for n in wanted))]
    others = {name: known or [_middle(code, name)] for name, known in levels.items() if name not in wanted}
    rest = [dict(zip(others, values, strict=True)) for values in itertools.product(*others.values())]
    rows = pd.DataFrame([cell | more for cell in cells for more in rest], columns=list(frame.columns))
    for name in frame.columns:
        if frame[name].dtype == "category":
            rows[name] = pd.Categorical(rows[name].map(str), categories=frame[name].cat.categories)
        else:
            rows[name] = rows[name].astype(float)
    return cells, rows


def _values_at(column: pd.Series, values: list[Any]) -> list[Any]:
    """Return the values that `at` gives a column; raise where they are no levels of it, or no numbers."""
    if column.dtype == "category":
        known = list(column.cat.categories)
        expected, wrong = f"its levels are {list_of(known)}", [value for value in values if str(value) not in known]
    else:
        expected, wrong = "it is a number", [value for value in values if not _is_finite(value)]
    if wrong:
        raise ValueError(f"at={{{column.name!r}: {shown(wrong[0])}}}: {column.name!r} has no such value; {expected}")
    return values


def _is_finite(value: Any) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False


def _levels(code: Coded, name: str) -> list[Any]:
    """Values of a factor, or of a number that has two; none for other numbers."""
    column = code.rows.frame[name]
    if column.dtype == "category":
        return list(column.cat.categories)
    distinct = np.unique(column)
    if len(distinct) > 2 and not _is_factor(code, name, len(distinct)):
        return []
    return [int(value) if float(value).is_integer() else float(value) for value in distinct]


def _is_factor(code: Coded, name: str, n: int) -> bool:
    """Whether a formula takes the `n` values of a number as levels: ``C(session)``."""
    factors = {piece.expr for term in code.terms for piece in (*term.within, *term.person) if not piece.number}
    return any(variables(code.written(factor)) == (name,) and len(code.levels(factor)) == n for factor in factors)


def _middle(code: Coded, name: str) -> float:
    """The mean of a number over people, each with the mean of their trials."""
    values, who = code.rows.frame[name].to_numpy(float), code.rows.who
    counts = np.bincount(who)
    return float((np.bincount(who, values)[counts > 0] / counts[counts > 0]).mean())


def _picked(
    fit: Fit, weights: Weights, code: Coded, parts: list[Part], grid: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors of the weights in each row, (row, K, P), coefficients of people, (row, P), and added constants, (row,)."""
    fields = [name for name, _ in weights.population.group.covariates]
    pick = np.zeros((len(grid), *weights.population.coef.shape))
    within, known = _within(fit.model, code, parts, grid)
    for part in parts:
        j = _place(fit.model, part.effect.name)
        if j is None:
            continue
        mine = code.part(part.within, grid)
        pick[:, 0, j] += mine * part.has_mean
        for field, pieces in part.people.items():
            pick[:, 1 + _index(fields, field), j] = mine * code.of_people(pieces, grid, centred=part.centred)
    return pick, within * weights.population.random, known


def _index(fields: list[str], name: str) -> int:
    """Index of a column of people; earlier fits wrote whole-number levels with a decimal point."""
    if name in fields:
        return fields.index(name)
    return [re.sub(r"=(-?\d+)\.0(?=\b)", r"=\1", field) for field in fields].index(name)


def _within(model: Model, code: Coded, parts: list[Part], grid: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Factors of each coefficient in each row, (row, P), and added constants of held coefficients, (row,)."""
    assert model.design is not None
    within, known = np.zeros((len(grid), model.n_params)), np.zeros(len(grid))
    for part in parts:
        j, mine = _place(model, part.effect.name), code.part(part.within, grid)
        if j is None:
            known += mine * model.design.held_values[part.effect.name]
        else:
            within[:, j] += mine
    return within, known


def _place(model: Model, name: str) -> int | None:
    """Index of the parameter for an effect, or for the one that it is equal to; None for a held one."""
    assert model.design is not None
    name = dict(model.design.tied).get(name, name)
    return None if name in dict(model.design.held) else model.names.index(name)


def people_in_cells(fit: Fit, parameter: str, means: MarginalMeans) -> np.ndarray:
    """Natural values (S, cell) of every person in the cells of marginal means; NaN where a person does not belong.

    A condition that varies within people is one that everybody has a value in, seen or not.
    """
    model = fit.model
    bound = None if model.design is None else again(model, fit.data)
    if bound is None or parameter not in bound.codes:
        return fit.params[:, [model.names.index(parameter)]]
    code, first = bound.codes[parameter], np.unique(bound.codes[parameter].rows.who, return_index=True)[1]
    columns = list(means.cells[0])
    parts = [part for part in bound.parts if part.effect.parameter == parameter]
    cells, grid = _grid(code, columns, {})
    within, known = _within(model, code, parts, grid)
    of_cell = within.reshape(len(cells), -1, model.n_params).mean(1)
    constant = known.reshape(len(cells), -1).mean(1)
    values = _in_64_bits(means.transform, np.nan_to_num(fit.x) @ of_cell.T + constant)
    frame = code.rows.frame
    own = [name for name in columns if constant_in(_codes(frame[name]), code.rows.who)]
    for k, cell in enumerate(cells):
        for name in own:
            values[frame[name].iloc[first].to_numpy() != cell[name], k] = np.nan
    return values


def _codes(column: Any) -> np.ndarray:
    return column.cat.codes.to_numpy() if column.dtype == "category" else column.to_numpy()
