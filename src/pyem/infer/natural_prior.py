"""Prior densities of natural parameters on the unconstrained scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.model.model import Model


class NaturalPrior:
    """A log prior density of natural parameters as one of unconstrained parameters; equal for equal arguments."""

    def __init__(self, model: Model, log_prior: Callable[[Any], Any]) -> None:
        self._key = (model, log_prior)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NaturalPrior) and self._key == other._key

    def split_values(self) -> tuple[NaturalPrior, Any]:
        """The same without the values of the model's fixed parameters, and these; see `Model.split_values`."""
        model, values = self._key[0].split_values()
        return NaturalPrior(model, self._key[1]), values

    def join_values(self, values: Any) -> NaturalPrior:
        """The inverse of `split_values`."""
        return NaturalPrior(self._key[0].join_values(values), self._key[1])

    def __call__(self, x: Any) -> Any:
        """Log-density at the unconstrained parameters (P,) of one subject."""
        model, log_prior = self._key
        start, jacobian = 0, jnp.zeros(())
        for parameter in model.parameters:
            stop = start + len(parameter.names)
            jacobian = jacobian + parameter.transform.log_det(x[start:stop]).sum()
            start = stop
        return log_prior(model.record(x)) + jacobian


def natural_log_prior(model: Model, log_prior: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """Log-density (S,) at unconstrained parameters (S, P)."""
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(NaturalPrior(model, log_prior))(jnp.asarray(x)))
