"""The library's models with the ranges of parameters that pyEM gives them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.transform import Interval, Transform

RATE = Interval(0, 1)
WIDE = Interval(0, 20)


def in_ranges(model: Model, transforms: Mapping[str, Transform]) -> Model:
    """Return `model` with other transforms of some parameters, and typical people at the same natural values.

    Examples
    --------
    >>> from pyem.models import get
    >>> in_ranges(get("crra"), {"tau": WIDE}).parameters[1].transform.bounds
    (0, 20)
    """
    changed = tuple(_moved(one, transforms[one.name]) if one.name in transforms else one for one in model.parameters)
    return dataclasses.replace(model, parameters=changed, autoscale=None, recipe=())


def _moved(parameter: Parameter, transform: Any) -> Parameter:
    natural = np.asarray(parameter.transform(np.asarray(parameter.mean, float)))
    low, high = transform.bounds
    # A range may end before the typical value.
    inside = np.clip(natural, low + 0.001 * (high - low), high - 0.001 * (high - low))
    return dataclasses.replace(parameter, transform=transform, mean=float(transform.inv(inside)))
