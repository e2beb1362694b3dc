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
from pyem.model.times.outliers import with_share
from pyem.model.transform import Interval

SOLUTION, LEARNED = "_bounds", "value"
"""Entries of the state of a block: the solution for its bounds, and the learned values."""


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
        Parameters of the bound. They, `a` and `z` are the same on all trials of a block.
    name
        Name of the bound.

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


def moving_bound(bound: str | MovingBound) -> MovingBound:
    """Return a bound given by name, or a user's own bound.

    Raises
    ------
    ValueError
        If it is neither.
    """
    moving = BOUNDS.get(bound) if isinstance(bound, str) else bound
    if not isinstance(moving, MovingBound):
        raise ValueError(f"bound={bound!r}; choose {', '.join(map(repr, BOUNDS))}, or give a pyem.MovingBound")
    return moving


@dataclasses.dataclass(frozen=True)
class MovingStart:
    """Initial state of a block: the solution for its bounds."""

    bound: MovingBound

    def __call__(self, p: Record) -> dict[str, Any]:
        """Solve for the bounds, from parameters that are the same on all trials of a block."""
        return {SOLUTION: tuple(solved(functools.partial(self.bound.function, p), p.a / 2, 2 * p.z - 1))}


@dataclasses.dataclass(frozen=True)
class MovingDiffusion:
    """The distribution of a choice and its time, from the parameters and the solution for the bounds."""

    bound: MovingBound
    by_stimulus: bool = False
    p_outlier: float | Literal["free"] = 0.0

    def __call__(self, p: Record, state: dict[str, Any], trial: Record) -> Any:
        """Policy of a model without learning."""
        return self.at(p, p.v * (2 * trial.stimulus - 1) if self.by_stimulus else p.v, state)

    def at(self, p: Record, v: Any, state: dict[str, Any]) -> Any:
        """The distribution at drift `v`, in the state of a block."""
        bound = functools.partial(self.bound.function, p)
        dist = Collapsing(v, p.a, p.z, p.t, bound, Moving(*state[SOLUTION]), p.get("sv"))
        return with_share(dist, p, self.p_outlier)


def once_a_block(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """Mark `a` and `z` of a diffusion between moving bounds as the same on all trials of a block."""
    return tuple(dataclasses.replace(one, per_block=one.name in ("a", "z")) for one in parameters)


@dataclasses.dataclass(frozen=True)
class LearningStart:
    """Initial state of a block with learning: that of `base`, and the solution for the bounds."""

    base: Callable[[Record], Any] | None
    bound: MovingBound

    def __call__(self, p: Record) -> dict[str, Any]:
        """Solve for the bounds, from parameters that are the same on all trials of a block."""
        return _beside(() if self.base is None else self.base(p), MovingStart(self.bound)(p))


@dataclasses.dataclass(frozen=True)
class LearningUpdate:
    """Update of the learned values by `base`; the solution for the bounds stays the same."""

    base: Callable[..., Any]

    def __call__(self, p: Record, state: dict[str, Any], trial: Record) -> tuple[dict[str, Any], Any]:
        """Return the state after the trial, and the latents."""
        learned, seen = self.base(p, state[LEARNED], trial)
        return _beside(learned, state), seen


def _beside(learned: Any, state: dict[str, Any]) -> dict[str, Any]:
    told = {"diverged": learned["diverged"]} if isinstance(learned, dict) and "diverged" in learned else {}
    return {LEARNED: learned, SOLUTION: state[SOLUTION]} | told
