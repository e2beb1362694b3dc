"""The prior of a group's parameters in a search for the mode of their posterior, in the units of that search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyem.infer.units import Units
from pyem.model.model import Model
from pyem.population.hyper import GroupPrior, require_smooth
from pyem.population.population import Population
from pyem.population.priors import hyper_priors


def group_prior(
    model: Model, population: Population, covariates: dict[str, np.ndarray], priors: Mapping[str, Any]
) -> GroupPrior:
    """The prior of a group from the argument that all verbs share; see `pyem.population.priors.hyper_priors`.

    Parameters
    ----------
    model, population
        Model and population of the search, in its units.
    covariates
        Covariates in the units of the table.
    priors
        Distributions of means, effects and sds on the unconstrained scale, and the concentration of correlations.

    Raises
    ------
    ValueError
        If a name is unknown, or a density ends within the range of a parameter.
    """
    units, plain = Units.of(model, population, covariates), dataclasses.replace(model, standard=())
    known = hyper_priors(plain, units.population(population), priors)
    require_smooth(plain, known)
    return GroupPrior.of(known, population, units.shift, units.scale, units.rows)
