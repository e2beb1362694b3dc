"""Free parameters of models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from pyem.model.transform import OneOf, Real, Transform


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A free parameter of a model.

    Parameters
    ----------
    name
        The field's usual name, for example ``"alpha"``.
    transform
        Bijection from the real line to the natural range.
    doc
        One line on what it means, with its unit.
    mean, sd
        A typical population on the unconstrained scale. Simulations without given values draw from it and fits start
        at its mean; no fit uses it as a prior unless asked.
        Vector parameters may have a tuple of them, one for each value.
    size
        Number of values, for vector parameters such as regression weights; None for a single number.
    values
        The few values that a discrete parameter may have, such as the capacity of working memory, in place of a transform.
        `pyem.fit_mle` and `pyem.fit_map` try all of them for every person, `pyem.fit_em` sums over them; other methods ask for
        it to be fixed.
    per_reward
        Whether the value is per range of the outcomes, as an inverse temperature is (see `Model.reward_range`).
    per_block
        Whether the model takes it to be the same on all trials of a block, so that no formula may say otherwise.

    Examples
    --------
    >>> from pyem.model.transform import Interval
    >>> Parameter("alpha", Interval(0, 1), "learning rate").name
    'alpha'
    >>> Parameter("capacity", values=(2, 3, 4, 5)).transform.bounds
    (2.0, 5.0)
    """

    name: str
    transform: Transform = dataclasses.field(default_factory=Real)
    doc: str = ""
    mean: float | tuple[float, ...] = 0.0
    sd: float | tuple[float, ...] = 1.0
    size: int | None = None
    per_reward: bool = False
    per_block: bool = False
    values: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.values is None:
            return
        values = tuple(float(value) for value in self.values)
        if self.size is not None or not isinstance(self.transform, Real | OneOf):
            raise ValueError(
                f"parameter {self.name!r} has values={self.values}, so that it is one number without a transform"
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "transform", OneOf(values))
        if self.mean == 0.0 and 0.0 not in values:
            object.__setattr__(self, "mean", values[(len(values) - 1) // 2])

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each value."""
        return (self.name,) if self.size is None else tuple(f"{self.name}{k}" for k in range(self.size))


def placed(parameters: Sequence[Parameter], values: Sequence[Any]) -> tuple[Parameter, ...]:
    """Give the parameters another typical population: the means of all values, then the sds.

    Examples
    --------
    >>> placed([Parameter("alpha")], [1.0, 0.5])[0].sd
    (0.5,)
    """
    sizes = [len(parameter.names) for parameter in parameters]
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    means, sds = values[: sum(sizes)], values[sum(sizes) :]
    return tuple(
        dataclasses.replace(one, mean=tuple(means[start : start + n]), sd=tuple(sds[start : start + n]))
        for one, start, n in zip(parameters, starts, sizes, strict=True)
    )


def along(
    parameters: tuple[Parameter, ...], x: np.ndarray, apply: Callable[[Transform, np.ndarray], Any]
) -> np.ndarray:
    """Apply a function to the values of each parameter, which are along the first axis of `x`, and put that axis last."""
    out, start = np.empty_like(x), 0
    with jax.enable_x64(True), np.errstate(all="ignore"):
        for parameter in parameters:
            block = slice(start, start + len(parameter.names))
            out[block] = np.asarray(apply(parameter.transform, x[block]))
            start = block.stop
    return np.moveaxis(out, 0, -1)
