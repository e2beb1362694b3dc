"""Restriction of a group and of posteriors to the parameters in which people differ."""

from __future__ import annotations

import dataclasses

import numpy as np

from pyem.population.population import Population
from pyem.population.posterior import Moments


def people_only(population: Population) -> Population:
    """Group of the parameters in which people differ, without a prior; the group itself if these are all."""
    random = population.random
    if random.all():
        return population
    own = np.ix_(random, random)
    columns = {name: getattr(population, name)[:, random] for name in ("free", "coef", "weight")}
    unit = None if population.unit is None else population.unit[random]
    scatter = None if population.scatter is None else population.scatter[random]
    square = {"cov": population.cov[own], "pattern": population.estimated[own], "held": population.given_sd[random]}
    return dataclasses.replace(population, unit=unit, scatter=scatter, hyper=None, **columns, **square)


def moments_only(moments: Moments, random: np.ndarray) -> Moments:
    """Posterior moments of the parameters that are `random`, (P,)."""
    if random.all():
        return moments
    return moments._replace(mode=moments.mode[:, random], cov=moments.cov[:, random][:, :, random])
