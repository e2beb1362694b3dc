"""Parts that models of choices between two offers share: a value of each, and a logistic choice between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Positive
from pyem.task.offers import Offers

ADVANTAGE = 4.0
"""Typical inverse temperature times the typical size of the amounts."""
TAU = Parameter("tau", Positive(), "inverse temperature, per unit of value", mean=-1.5)

Worth = Callable[[Record, Record], tuple[Array, Array]]
"""Function ``worth(p, trial)`` that returns the values of the first and the second offer."""


Rates = Callable[[float, dict[str, np.ndarray]], dict[str, tuple[float, float]]]
"""Function ``rates(size, columns)`` that returns typical means and sds of unconstrained parameters, from the size of the
amounts and all columns."""


@dataclasses.dataclass(frozen=True)
class OfferScale:
    """Typical means of parameters that have units, from all offers in the data.

    The inverse temperature is typically 4 / size, where the size is the standard deviation of all amounts; rates are such that
    half of a typical amount is lost at a typical delay, or the like. Estimates do not depend on the units of amounts and delays
    where utility is linear in amounts.

    Parameters
    ----------
    amounts
        Columns of amounts.
    rates
        Typical populations of other parameters.
    """

    amounts: tuple[str, ...]
    rates: Rates | None = None

    def __call__(self, model: Model, x: np.ndarray, y: np.ndarray) -> Model:
        """Return `model` with the typical population of the pooled offers (N, K), in the order of its inputs."""
        columns = dict(zip(model.inputs, np.asarray(x, float).T, strict=True))
        amounts = np.concatenate([columns[name] for name in self.amounts])
        size = float(amounts.std()) if amounts.size else 0.0
        if not size > 0:
            # There were no offers, or all were the same.
            return model
        found = {"tau": (np.log(ADVANTAGE / size), 1.0)} | (self.rates(size, columns) if self.rates else {})
        typical = {name: tuple(map(float, pair)) for name, pair in found.items() if np.isfinite(pair).all()}
        known = [typical.get(one.name, (one.mean, one.sd)) for one in model.parameters]
        placed = [
            dataclasses.replace(one, mean=mean, sd=sd)  # type: ignore[arg-type]
            for one, (mean, sd) in zip(model.parameters, known, strict=True)
        ]
        return dataclasses.replace(model, parameters=tuple(placed))


def middle_of(values: np.ndarray) -> float:
    """Median of the values that are not 0; NaN if there are none."""
    there = np.abs(values[values != 0])
    return float(np.median(there)) if there.size else float("nan")


def power(base: Any, exponent: Any) -> Array:
    """Compute ``base ** exponent`` of a base that is not negative, with finite derivatives where it is 0."""
    there = base > 0
    return jnp.where(there, jnp.exp(exponent * jnp.log(jnp.where(there, base, 1.0))), 0.0)


@dataclasses.dataclass(frozen=True)
class _Policy:
    worth: Worth

    def __call__(self, p: Record, state: Any, trial: Record) -> Categorical:
        return Categorical(p.tau * jnp.stack(jnp.broadcast_arrays(*self.worth(p, trial))))


@dataclasses.dataclass(frozen=True)
class _Values:
    """Update without learning; its latents are the values of the offers."""

    worth: Worth
    offers: tuple[str, str]

    def __call__(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Array]]:
        values = self.worth(p, trial)
        return state, {f"value_{name}": value for name, value in zip(self.offers, values, strict=True)}


def _nothing(p: Record) -> tuple[()]:
    return ()


def between(
    name: str,
    offers: tuple[str, str],
    parameters: tuple[Parameter, ...],
    worth: Worth,
    levels: dict[str, tuple[float, ...]],
    *,
    amounts: tuple[str, ...],
    rates: Rates | None = None,
    doc: str,
    reference: str,
    input_codes: tuple[tuple[str, int], ...] = (),
) -> Model:
    """Make a model of choices between two offers: P(second) = 1 / (1 + exp(-tau (value of second - value of first))).

    Parameters
    ----------
    name
        Identifier.
    offers
        Names of the options 0 and 1.
    parameters
        All but the inverse temperature, which comes last.
    worth
        The values of both offers.
    levels
        The columns that describe the offers, and the values of each that a simulated task draws from.
    amounts, rates
        See `OfferScale`.
    doc, reference, input_codes
        See `pyem.Model`.
    """
    return Model(
        name,
        (*parameters, TAU),
        _Policy(worth),
        init=_nothing,
        update=_Values(worth, offers),
        options=2,
        inputs=tuple(levels),
        input_codes=input_codes,
        updates="shown",
        autoscale=OfferScale(amounts, rates),
        task=Offers(tuple(levels.items())),
        doc=doc,
        reference=reference,
    )


def worth_of(model: Model) -> Worth | None:
    """Function that gives the values of the offers in a model made by `between`; None for other models."""
    return model.policy.worth if isinstance(model.policy, _Policy) else None
