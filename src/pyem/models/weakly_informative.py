"""Typical populations of regression weights on the scale of data: weakly informative, and the same whatever the units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from pyem.errors import DataError
from pyem.model.model import Model
from pyem.model.parameter import Parameter

WIDTH = 2.5
"""Sd of a weight's typical population, in sds of the linear predictor for each sd of the column."""
CONSTANT = 1e-12
"""Least sd of a column, as a share of its size, for the column to count as varying."""
COLLINEAR = 1e-9
"""Size of a combination of columns, as a share of their size, below which they are collinear."""


@dataclasses.dataclass(frozen=True)
class WeaklyInformative:
    """Typical means and sds of a regression's parameters, from the columns and responses of all people together.

    A weight has the mean 0 and the sd ``2.5 sd(y) / sd(x)``, the intercept the mean of y; where other columns are far from 0,
    its sd is as much larger as they allow it to be elsewhere. The residual sd is typically sd(y). For yes or no and for counts
    the link's scale takes the place of that of y: its sd is 1. Without a column that is constant, root mean squares take the
    place of sds.

    Parameters
    ----------
    weights
        Names of the weights, in the order of the columns.
    family
        ``"gaussian"``, ``"binomial"`` or ``"poisson"``.
    carries_over
        Whether earlier trials are part of the linear predictor, so that the intercept is another share of the mean.

    References
    ----------
    Gelman, A., Jakulin, A., Pittau, M. G., & Su, Y.-S. (2008). A weakly informative default prior distribution for logistic and
    other regression models. Annals of Applied Statistics, 2(4), 1360-1383. https://doi.org/10.1214/08-AOAS191

    Westfall, J. (2017). Statistical details of the default priors in the Bambi library. https://arxiv.org/abs/1702.01201
    """

    weights: tuple[str, ...]
    family: Literal["gaussian", "binomial", "poisson"]
    carries_over: bool = False

    def __call__(self, model: Model, x: np.ndarray, y: np.ndarray) -> Model:
        """Return `model` with the typical population of the pooled columns (N, K) and responses (N,).

        Raises
        ------
        DataError
            If a column is constant beside another, or columns are collinear.
        """
        names = self.weights
        if len(names) != x.shape[1] or not len(y):
            # The model itself says what is wrong with the columns.
            return model
        constant = _checked(model, names, x)
        middle, size = self._response(y, centred=constant is not None)
        mean, sd = _weights(x, constant, middle, size)
        if self.carries_over and constant is not None:
            sd[constant] = np.hypot(sd[constant], abs(mean[constant]))
        known = dict(zip(names, zip(mean, sd, strict=True), strict=True)) | {"sigma": (np.log(size), 1.0)}
        return dataclasses.replace(model, parameters=tuple(_typical(one, known) for one in model.parameters))

    def _response(self, y: np.ndarray, *, centred: bool) -> tuple[float, float]:
        """Middle and size of the linear predictor."""
        if self.family == "binomial":
            return 0.0, 1.0
        if self.family == "poisson":
            return float(np.log(max(y.mean(), 0.5 / len(y)))), 1.0
        size = float(y.std() if centred else np.sqrt((y**2).mean()))
        # If all responses are equal, they show no size.
        return float(y.mean()), size if size > CONSTANT * np.abs(y).max() else float(np.abs(y).max()) or 1.0


def _checked(model: Model, names: tuple[str, ...], x: np.ndarray) -> int | None:
    """Check the columns; return the index of the constant column, or None."""
    size = np.abs(x).max(0)
    same = [k for k in range(x.shape[1]) if x[:, k].std() <= CONSTANT * size[k]]
    empty = [names[k] for k in same if size[k] == 0]
    if empty:
        raise DataError(
            f"the predictor of {', '.join(map(repr, empty))} of model {model.name!r} is 0 in every trial, so that its weight "
            "cannot be told; leave the column out"
        )
    if len(same) > 1:
        raise DataError(
            f"the predictors of {', '.join(repr(names[k]) for k in same)} of model {model.name!r} are constant: one constant "
            "column is the intercept, and the effects of others cannot be told from it; leave them out"
        )
    factor = np.linalg.qr(x / np.sqrt((x**2).mean(0)), mode="r")
    _, sizes, ways = np.linalg.svd(factor / np.sqrt(len(x)))
    if len(sizes) < x.shape[1] or sizes[-1] < COLLINEAR:
        involved = [name for name, part in zip(names, ways[-1], strict=True) if abs(part) > 1e-6]
        raise DataError(
            f"the predictors of {', '.join(map(repr, involved))} of model {model.name!r} are collinear: one is a linear "
            "combination of the others, so that their weights cannot be told apart; leave one out"
        )
    return same[0] if same else None


def _weights(x: np.ndarray, constant: int | None, middle: float, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Typical means and sds (K,) of the weights."""
    mean = np.zeros(x.shape[1])
    if constant is None:
        return mean, WIDTH * size / np.sqrt((x**2).mean(0))
    spread = x.std(0)
    spread[constant] = 1.0
    away = x.mean(0) / spread
    away[constant] = 1.0
    sd = WIDTH * size / spread
    mean[constant] = middle / x[0, constant]
    sd[constant] = WIDTH * size * np.sqrt((away**2).sum()) / abs(x[0, constant])
    return mean, sd


def _typical(parameter: Parameter, known: Mapping[str, tuple[float, float]]) -> Parameter:
    """Give the parameter the typical population of its values, where that is known."""
    found = [known[name] for name in parameter.names if name in known]
    if not found:
        return parameter
    if parameter.size is None:
        return dataclasses.replace(parameter, mean=float(found[0][0]), sd=float(found[0][1]))
    means, sds = ((tuple(float(v) for v in column)) for column in zip(*found, strict=True))
    return dataclasses.replace(parameter, mean=means, sd=sds)
