"""A first E-step under any prior; those that follow are under the group's distribution."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.compat.math import log_density
from pyem.compat.priors import GaussianPrior
from pyem.population.posterior import EStep, Laplace
from pyem.population.posterior import GaussianPrior as PriorOfEach


class TracedPrior:
    """A prior's log-density as a traceable function; equal for the same prior object."""

    def __init__(self, prior: Any) -> None:
        self.prior = prior

    def __hash__(self) -> int:
        return id(self.prior)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TracedPrior) and self.prior is other.prior

    def __call__(self, x: Any) -> Any:
        """Log-density at `x` (P,)."""
        terms = getattr(self.prior, "smooth_terms", None) or getattr(self.prior, "terms", None)
        value = terms(x) if terms else log_density(self.prior, x)
        return jnp.sum(jnp.asarray(value))

    def traces(self, n: int) -> bool:
        """Whether JAX can differentiate the prior."""
        with jax.enable_x64(True):
            try:
                out = jax.eval_shape(self, jax.ShapeDtypeStruct((n,), np.float64))
            except Exception:
                # A prior of SciPy or plain Python: its moments have to do.
                return False
        return out.shape == ()


class _FirstUnder:
    """An E-step under a given log-density as long as the group is where it started."""

    def __init__(self, estep: Any, log_density: Any, start: PriorOfEach) -> None:
        self._estep = estep
        self._given = log_density
        self._start = start

    def __call__(self, prior: PriorOfEach, tol: float) -> Laplace:
        """Every person's mode and curvature."""
        moved = zip(prior[:2], self._start[:2], strict=True)
        if any(not np.array_equal(now, then) for now, then in moved):
            return self._estep(prior, tol)
        return self._estep.general(self._given, tol)


def under_prior(estep: Any, prior: Any, start: PriorOfEach) -> EStep:
    """Wrap `estep`: `prior` itself holds until the group has moved to another valid place, unless `prior` is Gaussian."""
    if isinstance(prior, GaussianPrior | dict):
        return estep
    traced = TracedPrior(prior)
    if not getattr(estep, "exact", True):
        return _FirstUnder(estep, lambda x: float(np.sum(log_density(prior, x))), start)
    return _FirstUnder(estep, traced, start) if traced.traces(len(start.precision)) else estep
