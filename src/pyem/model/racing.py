"""Races as rules of decision: each option has an accumulator, and the first one is the choice."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.times.deadline import Deadline
from pyem.model.times.lba import LBA
from pyem.model.times.lnr import LNR
from pyem.model.times.outliers import with_share
from pyem.model.times.race import Race, Racers
from pyem.model.times.rdm import RDM
from pyem.model.transform import Positive, Real

Kind = Literal["lba", "rdm", "lnr"]
T = Parameter("t", Positive(), "non-decision time, in seconds", mean=math.log(0.2), sd=0.3)
SPREAD = Parameter("s", Positive(), "standard deviation of the logarithm of an accumulator's time", mean=-0.7, sd=0.2)


def _bounds(gap: float, width: float) -> tuple[Parameter, ...]:
    return (
        Parameter("B", Positive(), "distance of the thresholds from the highest start", mean=math.log(gap), sd=0.3),
        Parameter("A", Positive(), "width of the start between trials, from 0", mean=math.log(width), sd=0.3),
    )


BOUNDS: dict[Kind, tuple[Parameter, ...]] = {"lba": _bounds(0.6, 0.5), "rdm": _bounds(0.9, 0.5), "lnr": (SPREAD,)}
"""Parameters of an accumulator besides those that drive it."""
DRIVES: dict[Kind, tuple[str, Any, str, tuple[float, float], float]] = {
    "lba": ("v", Real(), "mean drift, a second", (1.5, 2.8), 0.5),
    "rdm": ("v", Positive(), "drift, a second", (math.log(1.3), math.log(3.0)), 0.3),
    "lnr": ("m", Real(), "mean of the logarithm of the time in seconds", (-0.3, -0.9), 0.4),
}
"""Parameter that drives an accumulator: name, transform, meaning, typical values for a wrong and for the right option, and
spread."""
RACERS: dict[Kind, Callable[[Record, Array], Racers]] = {
    "lba": lambda p, drive: LBA(drive, p.B, p.A),
    "rdm": lambda p, drive: RDM(drive, p.B, p.A),
    "lnr": lambda p, drive: LNR(drive, p.s),
}


@dataclasses.dataclass(frozen=True)
class Racing:
    """The distribution of a choice and its time as a race, from the parameters of a model.

    Parameters
    ----------
    kind
        Kind of the accumulators.
    options
        Number of accumulators.
    by_stimulus
        Whether the column ``stimulus`` says which option is right, and accumulators are driven as the right or a wrong one.
    p_outlier, deadline
        See `pyem.models.racers.lba`.
    """

    kind: Kind
    options: int = 2
    by_stimulus: bool = False
    p_outlier: float | Literal["free"] = 0.0
    deadline: float | None = None

    trial_by_trial = True
    """Whether derivatives are taken of each trial by itself; densities of races differ for every response time."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters of the race except those that drive it."""
        return (*BOUNDS[self.kind], T)

    @property
    def drive(self) -> Parameter:
        """Parameter that drives the accumulators: one value for each, or one for wrong and one for right ones."""
        name, transform, doc, (wrong, right), sd = DRIVES[self.kind]
        size = 2 if self.by_stimulus else self.options
        whose = " of wrong options (0) and the right one (1)" if self.by_stimulus else " of each option's accumulator"
        return Parameter(name, transform, doc + whose, mean=(*[wrong] * (size - 1), right), sd=sd, size=size)

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        """Policy of a model without learning."""
        drive = p[DRIVES[self.kind][0]]
        if self.by_stimulus:
            drive = jnp.where(jnp.arange(self.options) == trial.stimulus, drive[1], drive[0])
        return self.at(p, drive)

    def at(self, p: Record, drive: Array) -> Any:
        """Distribution of choice and time when `drive` drives the accumulators, one value for each option."""
        dist: Any = Race(RACERS[self.kind](p, drive), p.t)
        if self.deadline is not None:
            dist = Deadline(dist, self.deadline)
        return with_share(dist, p, self.p_outlier)


BASES: dict[Kind, Parameter] = {
    "lba": Parameter("v0", Real(), "drift where nothing speaks for an option, a second", mean=2.0, sd=0.5),
    "rdm": Parameter("v0", Real(), "drift where nothing speaks for an option, a second", mean=2.0, sd=0.5),
    "lnr": Parameter(
        "m", Real(), "mean of the logarithm of the time, where nothing speaks for an option", mean=-0.5, sd=0.4
    ),
}
WEIGHT = Parameter(
    "v",
    Real(),
    "what a value adds to the drift of its option, per range of the rewards",
    mean=2.0,
    sd=1.0,
    per_reward=True,
)


def driven(kind: Kind, p: Record, logits: Array) -> Array:
    """Drives of the accumulators, from the evidence for each option: drifts grow with it, log-normal times shrink.

    Drifts of the racing diffusion model stay above 0: they are the softplus of the sum.
    """
    if kind == "lnr":
        return p.m - logits
    return jax.nn.softplus(p.v0 + logits) if kind == "rdm" else p.v0 + logits
