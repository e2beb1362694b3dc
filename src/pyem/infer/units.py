"""Searches in standard units, so that steps, limits and tolerances do not depend on units of parameters or covariates.

What is searched for is the same. Parameters are deviations from a typical population in its sds, covariates are standardised,
and what was found is given back in the units of the model and of the table.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pyem.infer.em_loop import EMRun
from pyem.model.model import Model
from pyem.population.population import Population
from pyem.population.posterior import Laplace


def in_standard_units(model: Model) -> Model:
    """Return the model as used in searches: parameters with units are deviations from the typical population in its sds."""
    which = with_units(model)
    return dataclasses.replace(model, standard=tuple(which.tolist())) if which.any() else model


def with_units(model: Model) -> np.ndarray:
    """(P,): whether a parameter has units of the data.

    These are all where the typical population comes from the data; of a design, what has no range, as the effects of columns
    have none. What has a range of its own has no unit.

    Examples
    --------
    >>> import pyem
    >>> bool(with_units(pyem.models.get("rw1a1b")).any()), bool(with_units(pyem.models.get("glm", predictors=["dose"])).all())
    (False, True)
    """
    base = model if model.design is None else model.design.base
    if base.autoscale is not None:
        return np.ones(model.n_params, bool)
    return np.isinf(model.limits) if model.design is not None else np.zeros(model.n_params, bool)


def standardised(covariates: dict[str, np.ndarray], *, centred: bool = True) -> dict[str, np.ndarray]:
    """Standardise covariates (S,) to a mean of 0 and a variance of 1; constant ones stay as they are.

    Those that are not centred keep their 0, and have a mean square of 1.

    Examples
    --------
    >>> standardised({"cortisol": np.array([1e-9, 3e-9])})["cortisol"].round(6).tolist()
    [-1.0, 1.0]
    """
    return {name: _standard(np.asarray(values, float), centred) for name, values in covariates.items()}


def _standard(values: np.ndarray, centred: bool) -> np.ndarray:
    # Squares of numbers near the limits of floating point would overflow.
    size = np.abs(values).max() if values.size else 0.0
    if not size or np.ptp(values) == 0:
        return values
    unit = values / size
    gap = unit - unit.mean() if centred else unit
    return gap / np.sqrt((gap**2).mean())


@dataclasses.dataclass(frozen=True)
class Units:
    """Conversion from standard units to those of the model and the table.

    Parameters
    ----------
    shift, scale
        (P,): parameters are the first plus the second times what was searched for.
    rows
        (K,): units of the rows of the design, 1 for the intercept and the sds of the covariates.
    design
        (S, K): the design in the units of the covariates.
    """

    shift: np.ndarray
    scale: np.ndarray
    rows: np.ndarray
    design: np.ndarray

    @classmethod
    def of(cls, model: Model, population: Population, covariates: dict[str, np.ndarray]) -> Units:
        """Make the conversion for a search with `model` and with a population of standardised covariates."""
        shift, scale = model.units
        raw = [np.asarray(covariates[name], float) for name, _ in population.group.covariates]
        centred = population.group.centred
        columns = [one - one.mean() if centred else one for one in raw]
        design = np.stack([np.ones(len(population.design)), *columns], axis=1)
        sizes = np.abs(design).max(0)
        rows = sizes * np.sqrt(((design / sizes) ** 2).mean(0))
        return cls(shift, scale, rows, design)

    def population(self, found: Population) -> Population:
        """Convert a group to the units of the model and the table."""
        coef = found.coef * self.scale / self.rows[:, None]
        coef[0] += self.shift * found.free[0]
        cov = found.cov * np.outer(self.scale, self.scale)
        unit = found.unit if (self.scale == 1).all() else self.scale
        made = dataclasses.replace(found, coef=coef, cov=cov, design=self.design, unit=unit)
        return with_given_sd(made, 1 / self.scale)

    def information(self, found: Population, matrix: np.ndarray) -> np.ndarray:
        """Convert the information on a group's `vector` to the units of the model and the table."""
        by_coef = np.broadcast_to(self.scale / self.rows[:, None], found.free.shape)[found.free]
        # The diagonal of the Cholesky factor is stored as logarithms, which a change of units only shifts.
        rows, columns = (np.asarray(part) for part in found.lower)
        slope = np.concatenate([by_coef, np.where(rows == columns, 1.0, self.scale[rows])])
        return matrix / slope[:, None] / slope

    def run(self, found: EMRun) -> EMRun:
        """Convert the result of a search for a group to the units of the model and the table."""
        if len(self.rows) == 1 and not self.shift.any() and (self.scale == 1).all():
            return found
        vectors = np.array([self.population(found.population.with_vector(v)).vector for v in found.trace["vector"]])
        return dataclasses.replace(
            found,
            population=self.population(found.population),
            laplace=laplace_in_units(self.shift, self.scale, found.laplace),
            trace={**found.trace, "vector": vectors},
        )


def with_given_sd(population: Population, scale: np.ndarray) -> Population:
    """Divide the given standard deviations of a population by a scale (P,)."""
    given = population.given_sd > 0
    if not given.any():
        return population
    held = population.given_sd / scale
    cov = population.cov.copy()
    cov[given, given] = held[given] ** 2
    return dataclasses.replace(population, held=held, cov=cov)


def laplace_in_units(shift: np.ndarray, scale: np.ndarray, found: Laplace, common: np.ndarray | None = None) -> Laplace:
    """Convert posteriors to the units of the model; `common` parameters (P,) are part of no integral."""
    if not shift.any() and (scale == 1).all():
        return found
    of_people = scale if common is None else scale[~common]
    return found._replace(
        mode=shift + scale * found.mode,
        cov=found.cov * np.outer(scale, scale),
        log_det=found.log_det - 2 * np.log(of_people).sum(),
    )
