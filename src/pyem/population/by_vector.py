"""Derivatives of quantities that depend on a group, by the group's `vector`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyem.population.population import Population


def derivative(
    population: Population, function: Callable[[Population], np.ndarray], *, step: float = 1e-4
) -> np.ndarray:
    """Derivative of a function of the population by its `vector`, with one row for each entry, by central differences."""
    vector = population.vector
    moves = step * _sizes(population)
    ends = [[function(population.with_vector(vector + sign * move)) for sign in (1, -1)] for move in np.diag(moves)]
    return np.array([(up - down) / (2 * size) for (up, down), size in zip(ends, moves, strict=True)])


def _sizes(population: Population) -> np.ndarray:
    """Unit of each entry of a population's `vector`; smaller where people hardly differ."""
    unit = np.ones(len(population.cov)) if population.unit is None else population.unit
    return by_entry(population, np.minimum(unit, np.sqrt(np.diag(population.cov))))


def by_entry(population: Population, unit: np.ndarray) -> np.ndarray:
    """The `unit` (P,) of each parameter for each entry of a population's `vector`; 1 for logarithms."""
    of_coef = np.broadcast_to(unit, population.free.shape)[population.free]
    # So is the diagonal of the Cholesky factor.
    rows, columns = (np.asarray(part) for part in population.lower)
    return np.concatenate([of_coef, np.where(rows == columns, 1.0, unit[rows])])
