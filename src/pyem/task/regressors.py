"""Random predictors, for regressions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class Regressors:
    """Random columns of a design matrix: the first is 1, the rest are standard normal. For given columns, see `Replay`.

    Parameters
    ----------
    n_predictors
        Number of columns, that of ones included.

    Examples
    --------
    >>> Regressors(3).n_predictors
    3
    """

    n_predictors: int = 3

    def init(self, key: Array) -> Any:
        """Return an empty state: trials are independent."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw one row of the design matrix."""
        rest = jax.random.normal(key, (self.n_predictors - 1,), float)
        return {"predictors": jnp.concatenate([jnp.ones(1), rest])}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return no outcome."""
        return state, {}
