"""Trials that are laid down beforehand: replays of a data set, and courses of an experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Replay:
    """The columns of a real design, trial by trial: shown columns, and the payment of each option.

    Parameters
    ----------
    shown
        (name, one value for each trial) for each column that is shown.
    payoffs
        (name, a tuple with one value for each option, for each trial) for each outcome.

    Examples
    --------
    >>> Replay(payoffs=(("reward", ((1.0, 0.0), (0.0, 1.0))),)).payoffs[0][0]
    'reward'
    """

    shown: tuple[tuple[str, tuple[float, ...]], ...] = ()
    payoffs: tuple[tuple[str, tuple[tuple[float, ...], ...]], ...] = ()

    def __post_init__(self) -> None:
        for name, columns in (("shown", self.shown), ("payoffs", self.payoffs)):
            pairs = columns if isinstance(columns, tuple | list) else [columns]
            if not all(
                isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
            ):
                raise ValueError(
                    f"Replay has {name}={type(columns).__name__}; expected pairs of a column and its values, one for each "
                    "trial, such as shown=(('cue', (0, 1, 1)),) and payoffs=(('reward', ((1, 0), (0, 1), (1, 0))),); of a "
                    "data set these are columns of its to_frame()"
                )

    def init(self, key: Array) -> Any:
        """Start with no trials so far."""
        return jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Return the columns of this trial; a simulation longer than the design repeats it."""
        return {name: jnp.asarray(values)[state % len(values)] for name, values in self.shown}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return the payment of the chosen option on this trial."""
        paid = {name: jnp.asarray(values)[state % len(values), trial.choice] for name, values in self.payoffs}
        return state + 1, paid


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """A course of the experiment for each person and block: shown columns, and the payment of each option.

    Only for `simulate`, which needs to compile nothing anew for another design of the same shape.

    Parameters
    ----------
    shown
        Values of each column that is shown, (subject, block, trial, ...). One subject's stand for all.
    payoffs
        Payment of every option, (subject, block, trial, option, ...), for each outcome.

    Examples
    --------
    >>> Design(payoffs={"reward": np.ones((1, 4, 24, 2))}).lanes(3, 4, 24)["payoffs"]["reward"].shape
    (24, 2, 12)
    """

    shown: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    payoffs: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def lanes(self, subjects: int, blocks: int, trials: int) -> dict[str, dict[str, np.ndarray]]:
        """Arrays of the design as (trial, ..., lane).

        Raises
        ------
        ValueError
            If an array is not of the size of the experiment.
        """

        def arrange(name: str, values: Any) -> np.ndarray:
            array = np.asarray(values)
            if array.ndim < 3 or array.shape[0] not in (1, subjects) or array.shape[1:3] != (blocks, trials):
                raise ValueError(
                    f"the design of {name!r} has shape {array.shape}, but the experiment has {subjects} subjects, "
                    f"{blocks} blocks and {trials} trials; expected (subjects or 1, blocks, trials, ...)"
                )
            everyone = np.broadcast_to(array, (subjects, *array.shape[1:]))
            return np.moveaxis(everyone.reshape(-1, *array.shape[2:]), 0, -1)

        return {
            "shown": {name: arrange(name, values) for name, values in self.shown.items()},
            "payoffs": {name: arrange(name, values) for name, values in self.payoffs.items()},
        }


@dataclasses.dataclass(frozen=True)
class _Replayed:
    """The task of one lane of a `Design`, which is part of its state."""

    def init(self, key: Any) -> Any:
        return jnp.zeros((), jnp.int32), key

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        n, given = state
        return {name: values[n] for name, values in given["shown"].items()}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        n, given = state
        paid = {name: values[n, trial.choice] for name, values in given["payoffs"].items()}
        return (n + 1, given), paid


REPLAYED = _Replayed()
