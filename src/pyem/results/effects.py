"""The effects of a design with their errors, as a table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.codings import codings
from pyem.engine.regress import again
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.transform import Interval, Ordered, Positive, Probit, Real
from pyem.population.population import Population
from pyem.results.group_rows import freedom, group_covariance, required_group

if TYPE_CHECKING:
    import pandas as pd

INTERVAL = (0.025, 0.975)


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """The regression weights of a group, with their errors or draws.

    Parameters
    ----------
    population
        The group, whose ``coef`` (K, P) are the estimates.
    cov
        Covariance of those that are free, in the order of ``coef[free]``; NaN where unknown.
    df
        Degrees of freedom of intervals and tests.
    draws
        Draws from their posterior, (draw, K, P), or None.
    """

    population: Population
    cov: np.ndarray
    df: float
    draws: np.ndarray | None = None

    @classmethod
    def of_information(cls, population: Population | None, information: np.ndarray | None, method: str) -> Weights:
        """Make the record from the observed information on the group's `vector`."""
        group = required_group(population, method)
        n = int(group.free.sum())
        cov = group_covariance(group, information)[:n, :n]
        return cls(group, cov, freedom(group))

    @classmethod
    def of_draws(cls, population: Population | None, coef: np.ndarray | None, method: str) -> Weights:
        """Make the record from draws (draw, K, P)."""
        group = required_group(population, method)
        assert coef is not None
        return cls(group, np.atleast_2d(np.cov(coef[:, group.free].T)), np.inf, coef)

    def combined(self, weights: np.ndarray) -> Combined:
        """Sums of the weights, each multiplied by its own of `weights` (sum, K, P)."""
        flat = weights[:, self.population.free]
        draws = None if self.draws is None else self.draws[:, self.population.free] @ flat.T
        # Unknown entries do not matter where they are not used.
        used = (flat != 0).any(0)
        cov = flat[:, used] @ self.cov[np.ix_(used, used)] @ flat[:, used].T
        return Combined(flat @ self.population.coef[self.population.free], cov, self.df, draws)


@dataclasses.dataclass(frozen=True, eq=False)
class Combined:
    """Numbers with their covariance, or draws of them.

    Parameters
    ----------
    estimate, cov
        (n,) and (n, n).
    df
        Degrees of freedom.
    draws
        (draw, n), or None.
    """

    estimate: np.ndarray
    cov: np.ndarray
    df: float
    draws: np.ndarray | None

    def moved(self, by: np.ndarray) -> Combined:
        """Add constants (n,) to the numbers."""
        draws = None if self.draws is None else self.draws + by
        return dataclasses.replace(self, estimate=self.estimate + by, draws=draws)

    def row(self, k: int, *, test: bool) -> dict[str, float]:
        """Estimate, error and 95 % interval of one of them, and a test against 0."""
        from scipy.special import stdtr, stdtrit

        value, se = float(self.estimate[k]), float(np.sqrt(self.cov[k, k]))
        if self.draws is not None:
            low, high = np.quantile(self.draws[:, k], INTERVAL)
            out = {"estimate": value, "se": se, "low": float(low), "high": float(high)}
            return out | ({"above_0": float((self.draws[:, k] > 0).mean())} if test else {})
        margin = float(stdtrit(self.df, INTERVAL[1])) * se
        out = {"estimate": value, "se": se, "low": value - margin, "high": value + margin}
        if not test:
            return out
        z = value / se if se > 0 else np.nan
        return out | {"z": z, "p": 2 * float(stdtr(self.df, -abs(z)))}


def effects_table(model: Model, data: Dataset, weights: Weights) -> pd.DataFrame:
    """A row for each regression weight of a group: its parameter, error and scale, and the sd between people.

    Of a design, how the factors of the effect are coded, too.
    """
    import pandas as pd

    population = weights.population
    bound = None if model.design is None else again(model, data)
    coding = {} if bound is None else codings(bound.parts, bound.codes)
    labels = ["", *(name for name, _ in population.group.covariates)]
    sd = np.sqrt(np.diag(population.cov))
    places = [
        (k, j)
        for parameter in _parameters(model)
        for j in _of(model, parameter)
        for k in range(len(labels))
        if population.free[k, j]
    ]
    pick = np.zeros((len(places), *population.coef.shape))
    for n, (k, j) in enumerate(places):
        pick[n, k, j] = 1.0
    found, rows = weights.combined(pick), []
    for n, (k, j) in enumerate(places):
        parameter, label = effect_of(model, model.names[j])
        full = ":".join(part for part in (label, labels[k]) if part) or "Intercept"
        test = k > 0 or not is_value(model, model.names[j])
        row: dict[str, Any] = {"parameter": parameter, "effect": full} | found.row(n, test=test)
        varies = "" if population.random[j] else "common"
        row |= {"scale": scale_of(model, parameter), "sd": sd[j] if k == 0 and not varies else np.nan}
        rows.append(row | ({} if bound is None else {"coding": coding.get((model.names[j], labels[k]), "")}))
    frame = pd.DataFrame(rows).set_index(["parameter", "effect"])
    return frame.loc[:, sorted(frame, key=lambda name: name == "coding")]


def effect_of(model: Model, name: str) -> tuple[str, str]:
    """The parameter that an estimated value is an effect on, and its label; empty for an intercept.

    Examples
    --------
    >>> import pyem
    >>> effect_of(pyem.models.get("rw1a1b"), "alpha")
    ('alpha', '')
    """
    for effect in model.design.effects if model.design else ():
        if effect.name == name:
            return effect.parameter, effect.label
    return name, ""


def is_value(model: Model, name: str) -> bool:
    """Whether a group mean is the mean of a parameter, in a cell or where all columns are 0, and not of a difference."""
    return all(effect.natural for effect in (model.design.effects if model.design else ()) if effect.name == name)


def value_of(model: Model, name: str) -> Parameter:
    """The parameter of the model of a block that a value belongs to."""
    base = model.design.base if model.design else model
    return next(parameter for parameter in base.parameters if name in parameter.names)


def scale_of(model: Model, name: str) -> str:
    """Words for the unconstrained scale of a parameter, with its range."""
    transform = value_of(model, name).transform
    words = {Real: "identity", Positive: "log", Interval: "logit", Probit: "probit", Ordered: "ordered"}
    text = words.get(type(transform), "unconstrained")
    return f"{text} {transform.bounds}" if isinstance(transform, Interval | Probit) else text


def _parameters(model: Model) -> list[str]:
    return list(dict.fromkeys(effect_of(model, name)[0] for name in model.names))


def _of(model: Model, parameter: str) -> list[int]:
    return [j for j, name in enumerate(model.names) if effect_of(model, name)[0] == parameter]
