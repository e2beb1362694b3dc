"""A sure amount or a coin flip, with its outcome shown before a rating."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record
from pyem.task.offers import Offers


@dataclasses.dataclass(frozen=True)
class CoinFlips:
    """A sure amount, ``certain``, or an even chance of a ``gain`` or a ``loss``; then the ``outcome`` is shown.

    Parameters
    ----------
    gain, loss, certain
        Amounts, one of which is drawn on each trial.

    Examples
    --------
    >>> CoinFlips().certain
    (-20.0, 0.0, 20.0)
    """

    gain: tuple[float, ...] = (30.0, 50.0, 80.0, 110.0)
    loss: tuple[float, ...] = (-60.0, -30.0, 0.0)
    certain: tuple[float, ...] = (-20.0, 0.0, 20.0)

    @property
    def n_options(self) -> int:
        """Number of options."""
        return 2

    def init(self, key: Array) -> Any:
        """Return an empty state: trials are independent."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw the offers of one trial."""
        levels = (("gain", self.gain), ("loss", self.loss), ("certain", self.certain))
        return Offers(levels).present(state, key)

    def between(self, state: Any, response: str, trial: Record, key: Array) -> dict[str, Any]:
        """Return the outcome of the choice."""
        flipped = jnp.where(jax.random.bernoulli(key), trial.gain, trial.loss)
        return {"outcome": jnp.where(trial.choice == 1, flipped, trial.certain)}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return nothing, as nothing follows the rating."""
        return state, {}
