"""NUTS on the group's parameters alone, with people integrated out over points that stay.

For posteriors of a group that importance sampling does not cover. A gradient is a sum over points, and costs no likelihood.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.infer.group_posterior import Coordinates, GroupPosterior
from pyem.infer.hierarchy import Hierarchy, Position
from pyem.infer.node_sets import Stacked
from pyem.infer.nuts import Settings, sample
from pyem.model.model import Model
from pyem.numerics.rng import as_key

CHAINS, WARMUP = 4, 300
"""Number of chains, and of warm-up iterations, of the sampler."""
SETTINGS = Settings(WARMUP, 0.9, 8)


class PointArgs(NamedTuple):
    """Arguments of the density of `OnPoints` besides the position."""

    points: Stacked
    at: Coordinates
    mean: Any
    """Centre of the places where the chains begin, (G,)."""
    root: Any
    """Factor of the covariance of the places where the chains begin, (G, G)."""


@dataclasses.dataclass(frozen=True)
class OnPoints:
    """The posterior of a group with independent parameters. Static under jit; `PointArgs` are traced."""

    spec: Hierarchy

    @property
    def model(self) -> Model:
        """The model of the people."""
        return self.spec.model

    def split_values(self) -> tuple[OnPoints, Any]:
        """Split off the values of the model's fixed parameters: this posterior without them, and the values themselves."""
        spec, values = self.spec.split_values()
        return OnPoints(spec), values

    def join_values(self, values: Any) -> OnPoints:
        """Put the values of fixed parameters back: the inverse of `split_values`."""
        return OnPoints(self.spec.join_values(values))

    def start(self, args: PointArgs, key: Array, size: Any = 1.0) -> Position:
        """A random position, from roughly the posterior."""
        return {"group": size * jax.random.normal(key, args.mean.shape)}

    def log_density(self, args: PointArgs, position: Position) -> Array:
        """Log of the group's posterior density."""
        coef, sd, _, log_det = self.spec.unpack(args.at.center + args.at.scale * coordinates(args, position["group"]))
        people = _log_evidence(self.spec, args.points, args.at.design @ coef, coef, sd)
        return people + self.spec.log_hyper_prior(args.at.priors, coef, sd, None) + log_det


def coordinates(args: PointArgs, z: Any) -> Any:
    """Coordinates of groups (..., G) at positions of the sampler."""
    return args.mean + z @ args.root.T


def _log_evidence(spec: Hierarchy, points: Stacked, mean: Any, coef: Array, sd: Array) -> Array:
    """Log evidence of all people on the points of the nearest set; extrapolated where the group is narrower than they tell.

    See `pyem.engine.many_groups.log_evidence_narrower`.
    """
    held = jnp.maximum(sd, points.least)
    where = jnp.concatenate([jnp.log(held), coef[0] / points.unit])
    nearest = jnp.argmin(((points.where - where) ** 2).sum(1))
    z = (points.x[nearest] - mean[:, None]) / held
    joint = points.log_weight[nearest] + spec.group.standard_log_prob(jnp.moveaxis(z, -1, 0)) - jnp.log(held).sum()
    slope = 0.5 * ((z**2 - 1) * ((sd / held) ** 2 - 1)).sum(-1)
    return (jax.nn.logsumexp(joint, axis=1) + (jax.nn.softmax(joint, axis=1) * slope).sum(1)).sum()


def nuts_on_points(
    posterior: GroupPosterior, points: Stacked, mean: np.ndarray, cov: np.ndarray, *, draws: int, key: int
) -> np.ndarray:
    """Draws (chain, draw, G) of a group's coordinates, `draws` in each of four chains.

    Parameters
    ----------
    posterior
        The posterior, of a group with independent parameters.
    points
        Points of everybody.
    mean, cov
        Roughly those of the posterior.
    """
    with jax.enable_x64(True):
        root = np.linalg.cholesky(cov + 1e-10 * np.eye(len(mean)))
        args = PointArgs(jax.tree.map(jnp.asarray, points), posterior.at, jnp.asarray(mean), jnp.asarray(root))
        run = sample(OnPoints(posterior.spec), SETTINGS, args, key=as_key(key), chains=CHAINS, draws=draws)
        return np.asarray(coordinates(args, run["position"]["group"]))
