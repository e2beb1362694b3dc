"""Parameters that depend on columns of the data: those of a block, and of a trial, computed from the estimated ones.

A lane is a block, and parameters are given for each lane: what is constant in a block therefore costs nothing per trial. The
model itself never learns of it. What differs from trial to trial costs one product per trial.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record
from pyem.model.transform import Transform

if TYPE_CHECKING:
    from pyem.model.model import Model

CONDITIONS = "conditions"
"""Name of the entry of the trials with the columns that are constant in a block, (1, column, lane)."""


@dataclasses.dataclass(frozen=True)
class Slope:
    """A parameter that differs from trial to trial.

    Parameters
    ----------
    parameter
        Its name.
    element
        Index of the value, if the parameter is a vector; None for a single number.
    transform
        Transform from the unconstrained to the natural value.
    rows
        Places of what is added up among the unconstrained values of a block.
    columns
        Column of the trial by which each of them is multiplied; an empty name for a constant.
    """

    parameter: str
    element: int | None
    transform: Transform
    rows: tuple[int, ...]
    columns: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name in a record of the unconstrained values."""
        return f"unconstrained {self.parameter}" + ("" if self.element is None else f"[{self.element}]")

    def value(self, p: Record, trial: Record) -> Array:
        """The natural value on a trial."""
        x = p[self.key]
        weights = [trial[name] if name else jnp.ones((), x.dtype) for name in self.columns]
        return self.transform((x * jnp.stack(jnp.broadcast_arrays(*weights)).astype(x.dtype)).sum(0))


def on_trial(model: Model, p: Record, trial: Record) -> Record:
    """The parameters of a lane on one trial."""
    values = {}
    for slope in model.slopes:
        value = slope.value(p, trial)
        if slope.element is not None:
            value = values.get(slope.parameter, p[slope.parameter]).at[slope.element].set(value)
        values[slope.parameter] = value
    for name, source in reversed(model.tied if values else ()):
        if source in values:
            values[name] = values[source]
    return p.with_values(**values) if values else p


@dataclasses.dataclass(frozen=True)
class BlockDesign:
    """Unconstrained parameters of a block, as sums of a person's parameters multiplied by columns.

    Parameters
    ----------
    inner
        The model of one block.
    terms
        ``(row, source, column)``: to the parameter of the block at `row` the person's at `source` is added, multiplied by
        the column of that place among `columns`, or by 1 where the place is -1.
    columns
        Names of the columns of the data, each constant in a block.
    base
        The model that the design was made of.
    effects
        The estimated effects, as `pyem.model.designed.Effect`.
    formulas
        Name and right side of each formula.
    levels
        Names of columns that are factors, each with its levels.
    inputs
        Further columns that a trial needs in order to count.
    held, tied
        Effects that are held at a natural value, and effects that are equal to others; see `pyem.fix` and `pyem.tie`.
    constants
        ``(name, row, column, value)``: as `terms`, of what is held: the unconstrained value is added.
    """

    inner: Model
    terms: tuple[tuple[int, int, int], ...]
    columns: tuple[str, ...]
    base: Model
    effects: tuple[Any, ...]
    formulas: tuple[tuple[str, ...], ...]
    levels: tuple[tuple[str, tuple[str, ...]], ...]
    inputs: tuple[str, ...] = ()
    held: tuple[tuple[str, float], ...] = ()
    tied: tuple[tuple[str, str], ...] = ()
    constants: tuple[tuple[str, int, int, float], ...] = ()

    def without_values(self) -> BlockDesign:
        """Return the parts on which the likelihood depends, without the values of `Model.split_values`."""
        bare = self.inner.split_values()[0]
        return dataclasses.replace(
            self, inner=bare, base=bare, effects=(), formulas=(), levels=(), inputs=(), held=(), tied=()
        )

    def with_values(self, values: Any) -> BlockDesign:
        """Put the values of `Model.split_values` back."""
        return dataclasses.replace(self, inner=self.inner.join_values(values))

    @property
    def held_values(self) -> dict[str, float]:
        """Values of held effects, on the unconstrained scale."""
        return {name: value for name, _, _, value in self.constants}

    def matrix(self, conditions: Array, n_params: int) -> Array:
        """Weights (parameter of the block, of the person, lane) at columns (1, column, lane)."""
        weights = jnp.zeros((self.inner.n_params, n_params, conditions.shape[-1]), conditions.dtype)
        for row, source, column in self.terms:
            weights = weights.at[row, source].add(conditions[0, column] if column >= 0 else 1.0)
        return weights

    def of_blocks(self, weights: Array, conditions: Array, x: Array) -> Array:
        """Unconstrained parameters of blocks (P, lane), from those of their people (P', lane) and the `matrix`."""
        y = (weights * x[None]).sum(1)
        for _, row, column, value in self.constants:
            y = y.at[row].add(value * (conditions[0, column] if column >= 0 else 1.0))
        return y


def in_blocks(model: Model, x: Array, trials: Record) -> tuple[Model, Array, Record]:
    """The model of a block, its parameters (P, lane) made of people's (P', lane), and the trials without the conditions.

    What has no design stays as it is.
    """
    if model.design is None:
        return model, x, trials
    weights = model.design.matrix(trials[CONDITIONS], x.shape[0])
    lanes = model.design.of_blocks(weights, trials[CONDITIONS], model.in_units(x))
    return model.design.inner, lanes, without_conditions(trials)


def without_conditions(trials: Record) -> Record:
    """The trials without the columns that are constant in a block."""
    return Record(**{name: value for name, value in trials.items() if name != CONDITIONS})
