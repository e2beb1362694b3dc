"""The parameters of a group among draws: the name of each, its place, and its row in a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pyem.model.model import Model
from pyem.population.group import Group
from pyem.population.patterns import covariance_pattern
from pyem.results.group_rows import natural_mean


class Place(NamedTuple):
    """Place of a group's parameter among the draws."""

    kind: str
    """``"mean"``, ``"effect of <covariate>"``, ``"sd"`` or ``"correlation"``."""
    parameter: str
    name: str
    """Name of the array of draws."""
    index: tuple[int, ...]
    """Index in that array, after chain and draw."""

    @property
    def label(self) -> str:
        """Description of the parameter."""
        return f"correlation {self.parameter}" if self.kind == "correlation" else f"{self.kind} of {self.parameter}"


def group_places(names: tuple[str, ...], group: Group, free: np.ndarray) -> list[Place]:
    """Every parameter of a group that is estimated, in the order of its table."""
    estimated, held = covariance_pattern(group, names)
    labels = ["mean", *(f"effect of {name}" for name, _ in group.covariates)]
    out = [
        Place(label, name, "coef", (k, j))
        for k, label in enumerate(labels)
        for j, name in enumerate(names)
        if free[k, j]
    ]
    out += [Place("sd", name, "sd", (j,)) for j, name in enumerate(names) if np.isnan(held[j])]
    lower = zip(*np.nonzero(np.tril(estimated, -1)), strict=True)
    return out + [Place("correlation", f"{names[j]}, {names[i]}", "corr", (int(i), int(j))) for i, j in lower]


def place_row(model: Model, posterior: Mapping[str, np.ndarray], place: Place, *, gaussian: bool) -> dict[str, object]:
    """Mean, sd and 95 % interval of a parameter's draws; for a mean on the natural scale too.

    Of a `gaussian` group, that is the median of people and their mean, else the median only.
    """
    draws = posterior[place.name][(slice(None), slice(None), *place.index)]
    low, high = np.quantile(draws, [0.025, 0.975])
    row: dict[str, object] = {"kind": place.kind, "parameter": place.parameter}
    row |= {"estimate": draws.mean(), "se": draws.std(), "low": low, "high": high}
    if place.kind == "mean":
        means, k = posterior["coef"][:, :, 0], place.index[1]
        row |= _natural_row(model, means, k)
        if gaussian and "sd" in posterior:
            row["natural_mean"] = np.median(natural_mean(model, means, posterior["sd"])[..., k])
        return row
    return row if place.kind == "sd" else row | {"above_0": (draws > 0).mean()}


def _natural_row(model: Model, means: np.ndarray, k: int) -> dict[str, float]:
    low, middle, high = np.quantile(model.natural(means)[..., k], [0.025, 0.5, 0.975])
    return {"natural": middle, "natural_low": low, "natural_high": high}
