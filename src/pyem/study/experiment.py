"""Simulated groups of people, and fits of them that do not warn each time."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.regress import Regression, source_of
from pyem.errors import FitWarning, Unavailable, counted, warn
from pyem.infer.em import fit_em
from pyem.infer.progress import unless_asked
from pyem.model.model import Model
from pyem.numerics.rng import as_key
from pyem.population.posterior import Status
from pyem.results.fit import Fit, is_fit
from pyem.results.hbi import HBIFit
from pyem.simulation.conditions import planned
from pyem.simulation.play import Simulation, simulate, typical_people

Fitter = Callable[[Any, Dataset], Fit]
"""Function with which a study fits: ``fit_em``, ``fit_map``, or one with settings, ``functools.partial(fit_map, sd=2.0)``."""
Z95 = 1.959963984540054


# Studies do not use the group's standard errors, which cost as much as the fit.
fit_quickly: Fitter = partial(fit_em, standard_errors=False)


# -- simulated rounds ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """Experiment of a study: amount and task, or the design of real data. For `recovery` and `confusion`.

    Parameters
    ----------
    subjects, blocks, trials
        Numbers of people, blocks and trials. By default as many people as in the study, and one block of 100 trials.
    task
        Task; by default the model's own.
    missed
        Probability that a response is missed.
    data
        Data whose people, blocks, trials, stimuli and gaps are used instead of `subjects`, `blocks` and `trials`.
    payoffs
        Field of `data` with the payments of all options, for each outcome. See `pyem.simulate`.
    conditions
        Values of columns, such as those that a design (`pyem.regress`) depends on. See `pyem.simulate`.

    Raises
    ------
    ValueError
        If numbers or conditions are given together with data, or payoffs without.

    Examples
    --------
    >>> import pyem
    >>> experiment = Experiment(subjects=30, blocks=4, trials=24, missed=0.05)
    >>> pyem.recovery(pyem.models.get("rw1a1b"), key=1, design=experiment).truth.shape
    (1, 30, 2)
    """

    subjects: int | None = None
    blocks: int | None = None
    trials: int | None = None
    task: Any = None
    missed: float = 0.0
    data: Dataset | None = None
    payoffs: Mapping[str, str] | None = None
    conditions: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.data is not None and self.conditions is not None:
            raise ValueError("conditions are those of the data of the design; leave one of the two out")
        if self.data is not None and (self.subjects, self.blocks, self.trials) != (None, None, None):
            raise ValueError("subjects, blocks and trials are those of the data of the design; leave them out")
        if self.data is None and self.payoffs is not None:
            raise ValueError("payoffs= names fields of the data of a design; give data= too, or leave it out")

    def n_subjects(self, params: Any, default: int) -> int:
        """Number of people: that of the data, of the experiment or of their parameters, else `default`."""
        said = self.subjects if self.data is None else self.data.n_subjects
        if params is None or is_fit(params):
            return at_least_one(default if said is None else said, "subjects")
        given = len(np.asarray(params))
        if said not in (None, given):
            what = f"subjects={said}" if self.data is None else f"the design has {said} subjects"
            remedy = "leave subjects out" if self.data is None else "give a row for each"
            raise ValueError(f"{what}, but params has {given} rows; {remedy}")
        return at_least_one(given, "subjects")

    def of_fit(self, model: Any, params: Any) -> Experiment:
        """Use the design of a fit's data if `params` is a fit and a design by formula has no other."""
        told = self.data is not None or self.conditions is not None
        if told or source_of(model) is None or not is_fit(params):
            return self
        if (self.subjects, self.blocks, self.trials) != (None, None, None):
            raise ValueError(
                f"the people of a fit of {model.name} have their own conditions and trials; leave subjects, blocks and trials "
                "out, or give conditions= and no fit"
            )
        return dataclasses.replace(self, data=params.data)

    def drawn(self, model: Model | Regression, subjects: int) -> Model:
        """Model of people's parameters: for a design by formula, that of its effects."""
        source = source_of(model)
        if source is None:
            assert isinstance(model, Model)
            return model
        if self.data is not None:
            return source.bind(self.data, None).model
        return planned(source, self.conditions or {}, subjects, self.blocks or 1, self.trials or 100).bound.model

    def round(self, model: Model | Regression, params: Any, subjects: int, k: int, key: Any) -> Simulation:
        """Simulate group number `k` of so many people; groups differ in their people unless `params` is an array."""
        drawn = self.drawn(model, subjects)
        this = jax.random.fold_in(as_key(key), k)
        rng = np.random.default_rng(np.asarray(jax.random.key_data(this)).ravel())
        values, covariates = people(drawn, params, subjects, rng, self.data)
        return simulate(
            model,
            values,
            key=this,
            blocks=self.blocks,
            trials=self.trials,
            task=self.task,
            missed=self.missed,
            covariates=covariates or None,
            design=self.data,
            payoffs=self.payoffs,
            conditions=self.conditions,
        )


def to_fit(model: Model | Regression, data: Simulation) -> Model | Regression:
    """Return the model to fit: the one that made the data, on its scale; a design by formula stays as it is."""
    source = source_of(model)
    if source is None:
        return data.model or model
    made = data.model and data.model.design
    return source if made is None else dataclasses.replace(source, model=made.base)


def experiment_of(design: Dataset | Experiment | None, **words: Any) -> Experiment:
    """Make the experiment from a study's `design`, or from single arguments.

    Raises
    ------
    ValueError
        If both say something.
    """
    said = {name: value for name, value in words.items() if not (value is None or (name == "missed" and value == 0))}
    if isinstance(design, Experiment):
        if said:
            raise ValueError(f"{', '.join(said)}: the Experiment says that; leave it out, or give no Experiment")
        return design
    return Experiment(**words, data=design)


def people(
    model: Model, params: Any, subjects: int, rng: np.random.Generator, design: Dataset | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Natural parameters (S, P) and covariates of the people of one round.

    Those of a design keep their own covariates where they were fitted in the same order.

    Raises
    ------
    ValueError
        If a fit is of another model or has no group to draw people from (then it is an `Unavailable`), or parameters have
        another shape.
    """
    if params is None:
        return model.natural(typical_people(model, subjects, rng)), {}
    if is_fit(params):
        if params.population is None or params.model.names != model.names:
            raise Unavailable(
                f"people of {model.name!r} cannot be drawn from a fit of {params.model.name!r} by {params.method}"
                f"{' without a group' if params.population is None else ''}; give a fit of the same model that has a group, by "
                "fit_em, fit_nuts or fit_svi, or by fit_grid with group=Group()"
            )
        population = params.population
        mine = design is not None and design.subjects.tolist() == params.data.subjects.tolist()
        if model.design is not None and population.group.covariates and not mine:
            raise ValueError(
                f"people of {model.name!r} depend on {', '.join(name for name, _ in population.group.covariates)}, which only "
                "the people of the fit are known by; give their data, design=fit.data, and no conditions"
            )
        # Real people's covariates, with people drawn around the mean that these predict.
        same = design is not None and design.subjects.tolist() == params.data.subjects.tolist()
        who = np.arange(subjects) if same else rng.integers(len(population.mean), size=subjects)
        drawn = population.group.sample(population.mean[who], population.cov, 1, rng)[:, 0]
        if model.discrete:
            # A Gaussian is no distribution of a few values: they are as frequent as among the people of the fit.
            shares = params.table()
            for name, values in model.discrete.items():
                p = shares[[f"P({name}={value:g})" for value in values]].mean().to_numpy()
                drawn[:, model.names.index(name)] = rng.choice(values, len(drawn), p=p / p.sum())
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
    """A fitting function whose warnings are counted, so that a study gives one and not hundreds."""

    fit: Callable[..., Any]
    fits: int = 0
    unconverged: int = 0
    irregular: int = 0

    def __call__(self, model: Any, data: Dataset) -> Any:
        """Fit, and count the warnings."""
        with warnings.catch_warnings(), unless_asked():
            warnings.simplefilter("ignore", FitWarning)
            found = self.fit(model, data)
        self.fits += 1
        parts = found.fits.values() if isinstance(found, HBIFit) else [found]
        self.irregular += sum(int((one.status != Status.CONVERGED).sum()) for one in parts)
        self.unconverged += int(any(one.population is not None for one in parts) and not found.converged)
        return found

    @property
    def counts(self) -> np.ndarray:
        """Numbers of fits, of fits that did not converge, and of people without a regular mode, for the result of a round."""
        return np.array([self.fits, self.unconverged, self.irregular])


def report(study: str, counts: Iterable[np.ndarray]) -> None:
    """Warn once of everything that was counted in the rounds of a study."""
    fits, unconverged, irregular = np.sum(list(counts), axis=0)
    if unconverged or irregular:
        warn(
            f"{study}: {unconverged} of {counted(fits, 'fit')} did not converge, and "
            f"{counted(irregular, 'person', 'people')} had no regular mode; they are part of the result"
        )


def at_least_one(n: int, what: str = "rounds") -> int:
    """Return `n`, or raise a ValueError if it is below 1."""
    if n < 1:
        raise ValueError(f"{what}={n}; at least one is needed")
    return n
