"""Coordinates for samplers, made from the group's posterior with the people integrated out over points.

In them the posterior is nearly standard normal, so that little is left to adapt, and they take no derivatives to find.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.data.dataset import Dataset
from pyem.infer.adaptive import adaptive_importance
from pyem.infer.exact import Exact
from pyem.infer.group_posterior import group_posterior, lopsided, mode_of
from pyem.infer.group_start import located
from pyem.infer.hierarchy import Anchor, GroupArgs, Hierarchy, Parametrization, group_layout, likelihood_of
from pyem.infer.placing import places
from pyem.infer.units import Units, in_standard_units
from pyem.model.model import Model
from pyem.numerics.rng import generator
from pyem.population.group import Group
from pyem.population.population import Population

NARROW = 0.3
"""Sd, as a share of the group's typical sd, below which points say too little about each person's likelihood."""
FEW = 5
"""Largest number of parameters for which there are lattices of points."""


def args_from_points(
    model: Model,
    data: Dataset,
    group: Group,
    priors: Mapping[str, Any] | None,
    population: Population,
    parametrization: Parametrization,
) -> tuple[Hierarchy, GroupArgs] | None:
    """The posterior of a group in coordinates made from its mean and sds, with the people integrated out.

    None where points do not tell the posterior: of heavy tails, common parameters, given sds, more than five parameters, groups
    that hardly differ, and where somebody's data have no regular likelihood. `population` is a group of the same kind.
    """
    if group.family != "gaussian" or group.common or group.sd or model.n_params > FEW:
        return None
    # Given priors are in the units of the model.
    inner = model if priors else in_standard_units(model)
    made = places(inner, data, nodes=None, rng=generator(0))
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            exact = located(inner, data, group, made, priors, 0, False)
    except (
        np.linalg.LinAlgError
    ):  # likelihoods that are nowhere finite, for one; the search from EM tells of them in words
        return None
    sd = np.sqrt(np.diag(exact.population.cov))
    if not (exact.converged and exact.moments.usable.all() and (sd > NARROW * inner.typical[1]).all()):
        return None
    spec, args = group_layout(model, data, group, priors, population, parametrization)
    units = Units.of(inner, exact.population, dict(data.covariates))
    center, scale = _in_units(units, exact.population, spec, *_group_coordinates(inner, exact, priors))
    precision, shift = likelihood_of(exact.moments, exact.population)
    precision = precision / np.outer(units.scale, units.scale)
    shift = shift / units.scale + precision @ units.shift
    with jax.enable_x64(True):
        anchor = Anchor(*(jnp.asarray(a) for a in (np.moveaxis(precision, 0, -1), shift.T, exact.population.weight.T)))
        return spec, args._replace(anchor=anchor, center=jnp.asarray(center), scale=jnp.asarray(scale))


def _in_units(
    units: Units, population: Population, spec: Hierarchy, center: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Origin and units of the group's coordinates in the units of the model and the table."""
    free, n = population.free, int(population.free.sum())
    factor = np.broadcast_to(units.scale / units.rows[:, None], free.shape)[free]
    origin = np.zeros(free.shape)
    origin[0] = units.shift
    center, scale = center.copy(), scale.copy()
    center[:n], scale[:n] = origin[free] + factor * center[:n], factor * scale[:n]
    center[n : n + len(spec.estimated)] += np.log(units.scale[spec.estimated])
    return center, scale


def _group_coordinates(model: Model, exact: Exact, priors: Mapping[str, Any] | None) -> tuple[np.ndarray, np.ndarray]:
    """Roughly the posterior mean and sd of the group's coordinates (G,)."""
    posterior = group_posterior(model, exact.population, exact.moments, priors)
    density = posterior.log_density(exact.estep.parts)
    about = lopsided(density, *mode_of(density, posterior.vector(exact.population)))
    found = adaptive_importance(density, *about, seed=0)
    mean = found.weight @ found.v
    spread = np.sqrt(found.weight @ (found.v - mean) ** 2)
    center, scale = (np.asarray(part) for part in (posterior.at.center, posterior.at.scale))
    return center + scale * mean, scale * spread
