"""Simulated groups of people, and fits of them that do not warn each time."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import FitWarning, Unavailable, counted
from pyem.infer.em import fit_em
from pyem.infer.progress import unless_asked
from pyem.model.model import Model
from pyem.population.posterior import Status
from pyem.results.fit import Fit, is_fit
from pyem.simulation.play import Simulation, simulate

Fitter = Callable[[Model, Dataset], Fit]
"""How a study fits: ``fit_em``, ``fit_map``, or one of them with settings, ``functools.partial(fit_map, sd=2.0)``."""
Z95 = 1.959963984540054


# Nobody looks at the group's standard errors in a study, and they cost as much as the fit.
fit_quickly: Fitter = partial(fit_em, standard_errors=False)


# -- simulated rounds ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Experiment:
    """How much data people give, and how they miss some of it. See `pyem.simulate`."""

    subjects: int
    blocks: int
    trials: int
    task: Any
    missed: float

    def rounds(self, model: Model, params: Any, n: int, key: Any) -> Iterator[Simulation]:
        """`n` groups of people, all different unless `params` are given as an array."""
        for k in range(n):
            this = jax.random.fold_in(key, k)
            rng = np.random.default_rng(np.asarray(jax.random.key_data(this)).ravel())
            values, covariates = people(model, params, self.subjects, rng)
            yield simulate(
                model,
                values,
                key=this,
                blocks=self.blocks,
                trials=self.trials,
                task=self.task,
                missed=self.missed,
                covariates=covariates,
            )


def people(
    model: Model, params: Any, subjects: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Natural parameters (S, P) and covariates of the people of one round.

    Raises
    ------
    ValueError
        If a fit is of another model or has no group to draw people from (then it is an `Unavailable`), or parameters have
        another shape.
    """
    if params is None:
        mean, sd = model.typical
        return model.natural(mean + sd * rng.normal(size=(subjects, model.n_params))), {}
    if is_fit(params):
        if params.population is None or params.model.names != model.names:
            raise Unavailable(
                f"people of {model.name!r} cannot be drawn from a fit of {params.model.name!r} by {params.method}"
                f"{' without a group' if params.population is None else ''}; give a fit of the same model that has a group, by "
                "fit_em, fit_nuts or fit_svi, or by fit_grid with group=Group()"
            )
        population = params.population
        # Real people's covariates, with people drawn around the mean that these predict.
        who = rng.integers(len(population.mean), size=subjects)
        drawn = population.group.sample(population.mean[who], population.cov, 1, rng)[:, 0]
        return model.natural(drawn), {name: value[who] for name, value in params.data.covariates.items()}
    values = np.asarray(params, float)
    if values.shape != (subjects, model.n_params):
        raise ValueError(
            f"params has shape {values.shape}; expected ({counted(subjects, 'subject')}, "
            f"{counted(model.n_params, 'parameter')} of {model.name!r})"
        )
    return values, {}


@dataclasses.dataclass
class Silence:
    """Fits whose warnings are counted, so that a study gives one and not hundreds."""

    fit: Fitter
    fits: int = 0
    unconverged: int = 0
    irregular: int = 0

    def __call__(self, model: Model, data: Dataset) -> Fit:
        """Fit, and count what would have been warned of."""
        with warnings.catch_warnings(), unless_asked():
            warnings.simplefilter("ignore", FitWarning)
            found = self.fit(model, data)
        self.fits += 1
        self.irregular += int((found.status != Status.CONVERGED).sum())
        self.unconverged += int(found.population is not None and not found.converged)
        return found

    def report(self, study: str, *, stacklevel: int) -> None:
        """Warn once of all that was counted."""
        if self.unconverged or self.irregular:
            warnings.warn(
                f"{study}: {self.unconverged} of {counted(self.fits, 'fit')} did not converge, and "
                f"{counted(self.irregular, 'person', 'people')} had no regular mode; they are part of the result",
                FitWarning,
                stacklevel=stacklevel + 1,
            )


def n_subjects_of(params: Any, subjects: int | None, default: int = 100) -> int:
    """How many people take part."""
    if params is None or is_fit(params):
        return at_least_one(default if subjects is None else subjects, "subjects")
    given = len(np.asarray(params))
    if subjects not in (None, given):
        raise ValueError(f"subjects={subjects}, but params has {given} rows; leave subjects out")
    return at_least_one(given, "subjects")


def at_least_one(n: int, what: str = "rounds") -> int:
    """`n`, or a ValueError if it is below 1."""
    if n < 1:
        raise ValueError(f"{what}={n}; at least one is needed")
    return n
