"""Given priors of people on their own: Gaussian on the unconstrained scale, or densities of natural parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyem.data.dataset import Dataset
from pyem.model.model import Model
from pyem.numerics.jit import compiled
from pyem.population.group import Group
from pyem.population.population import Population, populate
from pyem.population.posterior import Laplace
from pyem.population.priors import NaturalPriors, natural_priors, unconstrained_gaussian


class NaturalPrior:
    """A log prior density of natural parameters as one of unconstrained parameters; equal for equal arguments."""

    def __init__(self, model: Model, log_prior: Callable[[Any], Any]) -> None:
        self._key = (model, log_prior)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NaturalPrior) and self._key == other._key

    def split_values(self) -> tuple[NaturalPrior, Any]:
        """Split off the values of the model's fixed parameters: this prior without them, and the values themselves."""
        model, values = self._key[0].split_values()
        return NaturalPrior(model, self._key[1]), values

    def join_values(self, values: Any) -> NaturalPrior:
        """Put the values of fixed parameters back: the inverse of `split_values`."""
        return NaturalPrior(self._key[0].join_values(values), self._key[1])

    def under(self, model: Model) -> NaturalPrior:
        """Return this prior under a model with other values of its fixed parameters."""
        return NaturalPrior(model, self._key[1])

    def __call__(self, x: Any) -> Any:
        """Log-density at the unconstrained parameters (P,) of one subject."""
        model, log_prior = self._key
        # Values of parameters in standard units are stretched on their way to natural ones.
        start, jacobian, plain = 0, jnp.log(model.units[1]).sum(), model.in_units(x)
        for parameter in model.parameters:
            stop = start + len(parameter.names)
            jacobian = jacobian + parameter.transform.log_det(plain[start:stop]).sum()
            start = stop
        return log_prior(model.record(x)) + jacobian


class PriorFunction:
    """`NaturalPriors` as a function of one person's unconstrained parameters, equal for equal priors."""

    def __init__(self, model: Model, priors: NaturalPriors) -> None:
        self._model, self._priors = model, priors

    @property
    def _key(self) -> tuple[Any, ...]:
        leaves, tree = jax.tree.flatten(self._priors)
        return self._model, tree, tuple(np.asarray(leaf).tobytes() for leaf in leaves)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PriorFunction) and self._key == other._key

    def split_values(self) -> tuple[PriorFunction, Any]:
        """Split off the numbers of the priors and of the model's fixed parameters, and return both parts."""
        model, values = self._model.split_values()
        bare = jax.tree.map(lambda leaf: np.zeros_like(leaf), self._priors)
        return PriorFunction(model, bare), (values, self._priors)

    def join_values(self, values: Any) -> PriorFunction:
        """Put the numbers back: the inverse of `split_values`."""
        fixed, priors = values
        return PriorFunction(self._model.join_values(fixed), priors)

    def under(self, model: Model) -> PriorFunction:
        """Return this prior under a model with other values of its fixed parameters."""
        return PriorFunction(model, self._priors)

    def __call__(self, x: Any) -> Any:
        """Log prior density at unconstrained parameters (P,)."""
        return self._priors.log_prob(self._model, jnp.asarray(x)[:, None])[0]


@compiled(0, quick=True)
def _densities(function: Callable[[Any], Any], x: Any) -> Any:
    return jax.vmap(function)(x)


class PersonPrior(NamedTuple):
    """One prior for every person: a Gaussian, as a population, or else a function of unconstrained parameters (P,)."""

    population: Population | None
    function: NaturalPrior | PriorFunction | None

    def modes(self, estep: Any) -> Laplace:
        """Find everybody's mode and curvature with an E-step."""
        if self.population is not None:
            return estep(self.population.prior)
        # The SciPy engine asks for plain numbers.
        return estep.general(self.function if getattr(estep, "exact", True) else Plain(self.function))

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log prior density (..., S) at unconstrained parameters (..., S, P)."""
        if self.population is not None:
            return self.population.log_prior(x)
        with jax.enable_x64(True):
            flat = jnp.asarray(x).reshape(-1, x.shape[-1])
            return np.asarray(_densities(self.function, flat)).reshape(x.shape[:-1])


class Plain:
    """A traceable log-density as a function of NumPy arrays."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self._compiled: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"function": self.function, "_compiled": None}

    def __call__(self, x: np.ndarray) -> float:
        """Return the log-density at parameters (P,)."""
        self._compiled = self._compiled or jax.jit(self.function)
        with jax.enable_x64(True):
            return float(self._compiled(jnp.asarray(x)))


def given_prior(
    model: Model,
    data: Dataset,
    *,
    priors: Mapping[str, Any] | None,
    mean: Any,
    sd: Any,
    log_prior: Callable[[Any], Any] | None,
) -> PersonPrior:
    """The prior of people on their own from the arguments that all verbs share.

    Raises
    ------
    ValueError
        If it is given in two ways, or a mean or sd is not usable.
    """
    if log_prior is not None:
        if priors is not None or mean is not None or sd is not None:
            raise ValueError("give either log_prior, or priors (and mean and sd for the other parameters), not both")
        return PersonPrior(None, NaturalPrior(model, log_prior))
    if priors:
        return PersonPrior(None, PriorFunction(model, natural_priors(model, priors, mean=mean, sd=sd)))
    centre, spread = unconstrained_gaussian(model, mean, sd)
    population = populate(Group(), names=model.names, mean=centre, sd=spread, covariates={}, n_subjects=data.n_subjects)
    # A given sd is no estimate to be kept from 0, and may be small because the parameter's unit is large.
    return PersonPrior(dataclasses.replace(population, cov=np.diag(spread**2)), None)
