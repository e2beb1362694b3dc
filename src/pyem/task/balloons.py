"""Balloons that may burst with every pump."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Balloons:
    """Balloons that burst at a pump that is drawn from 1 to `largest`, all alike; a trial is one decision to pump or to bank.

    Parameters
    ----------
    largest
        No balloon survives so many pumps.

    References
    ----------
    Lejuez, C. W., et al. (2002). Evaluation of a behavioral measure of risk taking: The Balloon Analogue Risk Task (BART).
    Journal of Experimental Psychology: Applied, 8(2), 75-84. https://doi.org/10.1037/1076-898X.8.2.75

    Examples
    --------
    >>> Balloons(largest=128).largest
    128
    """

    largest: int = 32

    n_options = 2

    def init(self, key: Array) -> Any:
        """Draw the pump at which this balloon bursts; no pumps so far."""
        return jnp.zeros((), jnp.int32), self._bursts(key)

    def _bursts(self, key: Array) -> Array:
        return jax.random.randint(key, (), 1, self.largest + 1)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing: everything follows from earlier responses."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return whether the pump burst the balloon; a new one follows a burst and banking."""
        pumps, limit = state
        pumps = (pumps + trial.choice).astype(pumps.dtype)
        burst = (trial.choice == 1) & (pumps >= limit)
        over = burst | (trial.choice == 0)
        return (jnp.where(over, 0, pumps), jnp.where(over, self._bursts(key), limit)), {"burst": burst.astype(float)}
