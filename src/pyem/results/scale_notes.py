"""Notes on the scale of a fit: the range of the outcomes, and the typical population of parameters with units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyem.model.model import Model

if TYPE_CHECKING:
    from pyem.results.fit import Fit

MOST = 6
"""Largest number of parameters whose typical population is listed."""


def scale_notes(fit: Fit) -> list[str]:
    """Notes on the units of a fit for its reader; empty if there is nothing to say."""
    return [*_outcomes(fit), *_outliers(fit.model), *_typical(fit.model)]


def per_unit(model: Model, values: np.ndarray) -> dict[str, np.ndarray]:
    """Natural parameters (..., P) per unit of the outcomes, if they are per range of them; empty if the range is 1."""
    low, high = model.range
    if model.reward_range is None or high - low == 1:
        return {}
    rates = {name for parameter in model.parameters if parameter.per_reward for name in parameter.names}
    return {f"{name}_per_unit": values[..., k] / (high - low) for k, name in enumerate(model.names) if name in rates}


def _outcomes(fit: Fit) -> list[str]:
    low, high = fit.model.range
    if fit.model.reward_range is None or (low, high) == (0.0, 1.0):
        return []
    found = per_unit(fit.model, np.nanmedian(fit.params, axis=0))
    rates = [name.removesuffix("_per_unit") for name in found]
    told = f"; {', '.join(rates)} per range of {high - low:g}" if rates else ""
    medians = ", ".join(f"{name} {value:.4g}" for name, value in zip(rates, found.values(), strict=True))
    return [
        f"scale: {', '.join(fit.model.outcomes)} from {low:g} to {high:g}{told}"
        + (f"; median of people per unit: {medians}" if medians else "")
    ]


def _outliers(model: Model) -> list[str]:
    if model.longest_outlier is None:
        return []
    return [f"scale: outliers are any response at any time up to {dict(model.told)['longest_outlier']:g} s"]


def _typical(model: Model) -> list[str]:
    if model.autoscale is None:
        return []
    mean, sd = model.typical
    each = [f"{name} {m:.4g} (sd {s:.4g})" for name, m, s in zip(model.names, mean, sd, strict=True)]
    more = f", and {len(each) - MOST} more" if len(each) > MOST else ""
    return [
        f"scale: typical population of unconstrained parameters, from the pooled data: {', '.join(each[:MOST])}{more}"
    ]
