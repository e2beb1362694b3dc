"""Other ranges of parameters, and other transforms from the real line to them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pyem.errors import require_kind
from pyem.model.derivation import Either, derived, free_parameter, redesigned
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.transform import Interval, Positive, Probit, Real, Transform

Range = tuple[float, float] | str


def with_range(model: Either, **ranges: Range) -> Either:
    """Give parameters other ranges, ``with_range(model, beta=(0, 50))``, or a probit in place of a logit.

    A pair is the lowest and the highest value: two finite numbers, ``(0, inf)`` or ``(-inf, inf)``. The word ``"probit"`` keeps
    the range and takes the normal distribution function to it, ``"logit"`` the logistic one; a pair keeps the function. The
    typical person stays the same where the new range has room, and people differ from one another as much as before.
    `pyem.models.get` takes the same arguments.

    Raises
    ------
    ValueError
        If there is no such free parameter, it has several values, or the range is none.

    Examples
    --------
    >>> from pyem.models import get
    >>> model = with_range(get("rw1a1b"), beta=(0, 50), alpha="probit")
    >>> [parameter.transform for parameter in model.parameters]
    [Interval(low=0.0, high=50.0), Probit(low=0, high=1)]
    """
    require_kind("design", model)
    if not isinstance(model, Model):
        return model.modified("with_range", ranges)
    if model.design is not None:
        return redesigned(model, with_range(model.design.base, **ranges))
    moved = {name: _moved(model, name, span) for name, span in ranges.items()}
    told = ", ".join(
        f"{name} {span if isinstance(span, str) else '..'.join(f'{end:g}' for end in span)}"
        for name, span in ranges.items()
    )
    scale = model.autoscale and _Scale(
        model.autoscale, tuple((one, moved[one.name]) for one in model.parameters if one.name in moved)
    )
    return derived(
        model,
        "with_range",
        tuple((name, span if isinstance(span, str) else tuple(map(float, span))) for name, span in ranges.items()),
        name=f"{model.name}[{told}]",
        parameters=tuple(moved.get(one.name, one) for one in model.parameters),
        autoscale=scale,
    )


def _moved(model: Model, name: str, span: Range) -> Parameter:
    parameter = free_parameter(model, name)
    if parameter.size is not None:
        raise ValueError(
            f"{name!r} of model {model.name!r} has several values; only single ones can have another range"
        )
    if parameter.values is not None:
        raise ValueError(f"{name!r} of model {model.name!r} has one of a few values, which no range can change")
    if isinstance(span, str):
        return _onto(parameter, _linked(parameter, span))
    ends = tuple(map(float, span)) if is_pair(span) else ()
    if ends == (-math.inf, math.inf):
        return _onto(parameter, Real())
    if ends == (0.0, math.inf):
        return _onto(parameter, Positive())
    if len(ends) != 2 or not -math.inf < ends[0] < ends[1] < math.inf:
        raise ValueError(
            f"{name}={span!r}: a range is a pair of numbers, the lower one first, (0, inf) or (-inf, inf); or "
            "'probit' or 'logit'"
        )
    kind = Probit if isinstance(parameter.transform, Probit) else Interval
    return _onto(parameter, kind(*ends))


def is_pair(span: Any) -> bool:
    """Whether `span` is two numbers, in order or not.

    Examples
    --------
    >>> is_pair((0, 50)), is_pair("ab")
    (True, False)
    """
    return np.shape(span) == (2,) and all(isinstance(end, int | float | np.number) for end in span)


def _linked(parameter: Parameter, link: str) -> Transform:
    low, high = parameter.transform.bounds
    if link not in ("probit", "logit") or not math.isfinite(high - low):
        raise ValueError(
            f"{parameter.name}={link!r}: choose 'probit' or 'logit', of a parameter with two bounds (it has {low:g}, {high:g})"
        )
    return (Probit if link == "probit" else Interval)(low, high)


def _onto(parameter: Parameter, transform: Transform) -> Parameter:
    """Give the parameter another transform, with the same typical people in natural units as far as the range allows."""
    old = parameter.transform
    mean = np.array([float(parameter.mean)])  # type: ignore[arg-type]
    new = np.asarray(transform.inv(np.asarray(old(mean))))
    if not np.isfinite(new[0]):
        return dataclasses.replace(parameter, transform=transform, mean=0.0, sd=1.0)
    slope = float(np.exp(np.asarray(old.log_det(mean)) - np.asarray(transform.log_det(new)))[0])
    return dataclasses.replace(parameter, transform=transform, mean=float(new[0]), sd=float(parameter.sd) * slope)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class _Scale:
    """Function that converts a typical population taken from data to other transforms of the parameters."""

    base: Callable[..., Model]
    pairs: tuple[tuple[Parameter, Parameter], ...]

    def __call__(self, model: Model, *data: Any) -> Model:
        own = {new.name: old for old, new in self.pairs}
        plain = dataclasses.replace(model, parameters=tuple(own.get(one.name, one) for one in model.parameters))
        placed = self.base(plain, *data).parameters
        to = {new.name: new.transform for _, new in self.pairs}
        return dataclasses.replace(
            model, parameters=tuple(_onto(one, to[one.name]) if one.name in to else one for one in placed)
        )
