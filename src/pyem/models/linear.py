"""A linear predictor: columns of a design matrix times weights, for regressions of every kind of response."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
from jax import Array

from pyem.model.parameter import Parameter
from pyem.model.record import Record

Scale = Literal["auto", "none"]
"""Whether a fit takes the typical population of weights from the scale of the data."""


@dataclasses.dataclass(frozen=True)
class Linear:
    """The linear predictor of a trial: its predictors times the weights, by name or, of the vector ``b``, by number."""

    weights: tuple[str, ...] | int

    def __call__(self, p: Record, state: Any, trial: Record) -> Array:
        """The linear predictor of a trial."""
        return self.weigh(p, trial.predictors)

    def weigh(self, p: Record, predictors: Any) -> Array:
        """Linear predictor of any row of predictors."""
        b = p.b if isinstance(self.weights, int) else jnp.stack([p[name] for name in self.weights])
        predictors = jnp.atleast_1d(predictors)
        if predictors.shape != b.shape:
            n, named = len(predictors), "" if isinstance(self.weights, int) else f" ({', '.join(self.weights)})"
            raise ValueError(
                f"the data have {n} columns of predictors, but the model has {len(b)} weights{named}; "
                f"make the model with predictors={n}, or map {len(b)} columns to 'predictors'"
            )
        return (predictors * b).sum(0)


def weight_parameters(
    predictors: int | Sequence[str], sd: float
) -> tuple[tuple[str, ...] | int, tuple[Parameter, ...]]:
    """The names of the weights, or how many there are, and their parameters with a typical `sd`."""
    if isinstance(predictors, int):
        if predictors < 1:
            raise ValueError(f"predictors={predictors}; a regression needs at least one")
        return predictors, (Parameter("b", doc="weights of the predictors", sd=sd, size=predictors),)
    names = (predictors,) if isinstance(predictors, str) else tuple(predictors)
    if not names:
        raise ValueError("predictors is empty; name at least one, or say how many there are")
    return names, tuple(Parameter(name, doc=f"weight of {name}", sd=sd) for name in names)


def frozen(predictors: int | Sequence[str]) -> int | tuple[str, ...]:
    """Convert a number of predictors, or their names, to a hashable value."""
    return predictors if isinstance(predictors, int | str) else tuple(predictors)  # type: ignore[return-value]


def is_auto(scale: str) -> bool:
    """Whether `scale` is ``"auto"``; raises an error if it is not one of the two."""
    if scale not in ("auto", "none"):
        raise ValueError(
            f"scale={scale!r}; choose 'auto', or 'none' for typical populations that know nothing of the data"
        )
    return scale == "auto"
