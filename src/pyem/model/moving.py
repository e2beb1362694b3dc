"""Diffusion between bounds that move, as a rule of decision: solved once for each block, and looked up on each trial."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from jax import Array

from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.times.collapsing import Collapsing
from pyem.model.times.moving_bounds import Moving, solved
from pyem.model.times.outliers import WithOutliers
from pyem.model.transform import Interval


@dataclasses.dataclass(frozen=True)
class MovingBound:
    """Bounds of a diffusion decision model that move in time; give it to ``pyem.models.response_times.ddm(bound=...)``.

    Parameters
    ----------
    function
        ``function(p, time)``: the distance of the bounds from the middle between them, as a share of that in the beginning, at
        `time` seconds after the start of the decision; `p` has the parameters of the model. In `jax.numpy`, with a slope and a
        curvature, 1 at time 0; bounds end at a fiftieth. The same object each time, as models are compared by value.
    parameters
        Those of the bound. They, `a` and `z` are the same on all trials of a block.
    name
        What the bound is called.

    Examples
    --------
    >>> from pyem import Parameter, Positive
    >>> half_life = Parameter("half", Positive(), "seconds until half of the distance is left")
    >>> bound = MovingBound(lambda p, time: 1 / (1 + time / p.half), (half_life,), "hyperbolic")
    >>> from pyem.models.response_times import ddm
    >>> ddm(bound=bound).names
    ('v', 'a', 'z', 't', 'half')
    """

    function: Callable[[Record, Array], Array]
    parameters: tuple[Parameter, ...]
    name: str = "own"

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "parameters", tuple(dataclasses.replace(one, per_block=True) for one in self.parameters)
        )


def _angle(p: Record, time: Array) -> Array:
    return 1 - 2 * jnp.tan(p.theta) * time / p.a


def _exponential(p: Record, time: Array) -> Array:
    return jnp.exp(-p.rate * time)


THETA = Parameter(
    "theta",
    Interval(0, 1.5),
    "angle of the bounds, in radians: their distance from the middle shrinks by tan(theta) a second",
)
RATE = Parameter("rate", Interval(0, 5), "rate at which the bounds collapse, a second", mean=-2.2, sd=0.5)
BOUNDS = {
    "angle": MovingBound(_angle, (dataclasses.replace(THETA, mean=-1.4, sd=0.5),), "angle"),
    "exponential": MovingBound(_exponential, (RATE,), "exponential"),
}


@dataclasses.dataclass(frozen=True)
class MovingStart:
    """The state of a block: the solution for its bounds."""

    bound: MovingBound

    def __call__(self, p: Record) -> tuple[Array, ...]:
        """Of the parameters that are the same on all trials of a block."""
        return tuple(solved(functools.partial(self.bound.function, p), p.a / 2, 2 * p.z - 1))


@dataclasses.dataclass(frozen=True)
class MovingDiffusion:
    """The distribution of a choice and its time, from the parameters and the solution for the bounds."""

    bound: MovingBound
    by_stimulus: bool = False
    p_outlier: float | Literal["free"] = 0.0

    def __call__(self, p: Record, state: tuple[Array, ...], trial: Record) -> Any:
        """The policy of a model without learning."""
        v = p.v * (2 * trial.stimulus - 1) if self.by_stimulus else p.v
        bound = functools.partial(self.bound.function, p)
        dist = Collapsing(v, p.a, p.z, p.t, bound, Moving(*state), p.get("sv"))
        if self.p_outlier == 0:
            return dist
        return WithOutliers(dist, p.p_outlier if self.p_outlier == "free" else self.p_outlier)
