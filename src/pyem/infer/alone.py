"""The joint posterior of people on their own, with given priors, in coordinates in which samplers move freely."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.engine.differentiable import People, log_lik, people
from pyem.infer.hierarchy import Position
from pyem.infer.laplace import JaxEStep
from pyem.infer.natural_prior import PriorFunction
from pyem.model.model import Model
from pyem.population.priors import NaturalPriors


class AloneArgs(NamedTuple):
    """Arguments of the density of `Alone` besides the position."""

    people: People
    priors: NaturalPriors
    center: Array
    """Centre of each person's coordinates, (P, S)."""
    chol: Array
    """Cholesky factor of each person's covariance, (P, P, S)."""


@dataclasses.dataclass(frozen=True)
class Alone:
    """Independent people with given priors. Static under jit; `AloneArgs` are traced."""

    model: Model

    def split_values(self) -> tuple[Alone, Any]:
        """Split off the values of the model's fixed parameters: this posterior without them, and the values themselves."""
        model, values = self.model.split_values()
        return Alone(model), values

    def join_values(self, values: Any) -> Alone:
        """Put the values of fixed parameters back: the inverse of `split_values`."""
        return Alone(self.model.join_values(values))

    def log_density(self, args: AloneArgs, position: Position) -> Array:
        """Log of the joint density of the data and the coordinates."""
        x = self._x(args, position)
        log_det = jnp.log(jnp.diagonal(args.chol)).sum()
        return log_lik(self.model, args.people, x).sum() + args.priors.log_prob(self.model, x).sum() + log_det

    def values(self, args: AloneArgs, position: Position) -> dict[str, Array]:
        """Parameters of the people, ``x`` (S, P)."""
        return {"x": self._x(args, position).T}

    def _x(self, args: AloneArgs, position: Position) -> Array:
        return args.center + (args.chol * position["people"][None]).sum(1)

    def start(self, args: AloneArgs, key: Array, size: Any = 1.0) -> Position:
        """A random position, from roughly the posterior."""
        return {"people": size * jax.random.normal(key, args.center.shape)}


def alone_layout(model: Model, data: Dataset, priors: NaturalPriors) -> tuple[Alone, AloneArgs]:
    """The posteriors of people on their own in coordinates that know nothing of the data yet, shaped as by `alone_args`."""
    n, p = data.n_subjects, model.n_params
    with jax.enable_x64(True):
        chol = jnp.broadcast_to(jnp.eye(p)[:, :, None], (p, p, n))
        return Alone(model), AloneArgs(people(model, data), priors, jnp.zeros((p, n)), chol)


def alone_args(model: Model, data: Dataset, priors: NaturalPriors) -> tuple[Alone, AloneArgs]:
    """The posteriors of people on their own, in coordinates made from their modes."""
    spec, args = alone_layout(model, data, priors)
    mean, sd = (np.asarray(part) for part in priors.typical)
    estep = JaxEStep(model, data, np.tile(mean, (data.n_subjects, 1)), max_steps=50)
    laplace = estep.general(PriorFunction(model, args.priors), 1e-8)
    usable = np.isfinite(laplace.mode).all(axis=1)
    usable = np.asarray(usable & np.isfinite(laplace.cov).all(axis=(1, 2)))
    if not laplace.usable.any():
        raise ValueError(
            f"model {model.name!r} has no finite log-likelihood for any of the {data.n_subjects} subjects; see what "
            "pyem.check(model, data) says"
        )
    mode = np.where(usable[:, None], laplace.mode, mean)
    spread = np.diag(np.square(sd))
    cov = np.where(usable[:, None, None], laplace.cov, spread)
    # No posterior is much wider than the prior; a curvature of almost nothing is a flat direction.
    values, vectors = np.linalg.eigh((cov + np.swapaxes(cov, 1, 2)) / 2)
    values = np.clip(values, 1e-8, (3 * sd.max()) ** 2)
    chol = np.linalg.cholesky(np.einsum("spi,si,sqi->spq", vectors, values, vectors))
    with jax.enable_x64(True):
        return spec, args._replace(center=jnp.asarray(mode.T), chol=jnp.asarray(np.moveaxis(chol, 0, -1)))
