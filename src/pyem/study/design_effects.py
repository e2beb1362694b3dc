"""Effects in a design by formula, to be found by a study of power."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from pyem.engine.binding import Bound
from pyem.engine.regress import Regression
from pyem.errors import DataError, ModelError
from pyem.numerics.rng import as_key, generator
from pyem.population.population import Population, populate
from pyem.results.effects import effect_of, is_value
from pyem.simulation.conditions import planned
from pyem.simulation.play import simulate
from pyem.study.effect import require_people, tested
from pyem.study.experiment import Experiment, Silence, to_fit

NORMAL = "normal"
"""Word for a column of standard normal numbers, one for each person."""
Levels = Mapping[str, Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class DesignEffects:
    """Effects of given sizes in a design by formula: of conditions, groups, covariates, stimuli, and their interactions.

    Parameters
    ----------
    design
        Design made by `pyem.regress`.
    sizes
        Of each effect that there is, by the parameter and the effect as `fit.effects()` names them: ``{"alpha[drug]": 0.5,
        "alpha[drug:diagnosis]": 0.3}``. Each is tested, and effects of the design that are not named are 0.
    within
        Columns that change between a person's blocks, with their levels: ``{"drug": ["placebo", "active"]}``. Everybody does
        every combination of them equally often, in an order of their own.
    between
        Columns that differ between people, with levels that are equally frequent, or ``"normal"`` for standard normal numbers.
    trialwise
        Columns that change between the trials of a block, with their levels.
    scale
        Of the sizes, for a change of 1 in what the formula makes of the columns (of two levels, from the first in alphabetical
        order to the second): ``"sd"``, standard deviations of people on the unconstrained scale; ``"unconstrained"``, units of
        that scale; ``"natural"``, units of the parameter, for a person with typical values of it.
    spread
        Differences between people in effects within people, in standard deviations of people.
    people
        A fit of the design's model with a group, of whose mean and spread people are; the typical population if not given.

    Raises
    ------
    ValueError
        If columns of the design have no levels or are not in it, or sizes are no finite numbers.

    Examples
    --------
    >>> import pyem
    >>> design = pyem.regress(pyem.models.get("rw1a1b"), "alpha ~ drug * diagnosis")
    >>> effects = DesignEffects(
    ...     design,
    ...     {"alpha[drug]": 0.5, "alpha[drug:diagnosis]": -0.5},
    ...     within={"drug": ["active", "placebo"]},
    ...     between={"diagnosis": ["control", "patient"]},
    ... )
    >>> effects.names
    ('alpha[drug] = 0.5', 'alpha[drug:diagnosis] = -0.5')
    """

    design: Regression
    sizes: Mapping[str, float]
    within: Levels = dataclasses.field(default_factory=dict)
    between: Mapping[str, Sequence[Any] | str] = dataclasses.field(default_factory=dict)
    trialwise: Levels = dataclasses.field(default_factory=dict)
    scale: Literal["sd", "unconstrained", "natural"] = "sd"
    spread: float = 0.25
    people: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.design, Regression):
            raise ModelError(
                f"design={self.design!r:.60}; a design by formula is expected: pyem.regress(model, 'alpha ~ drug')"
            )
        if self.scale not in ("sd", "unconstrained", "natural"):
            raise ValueError(f"scale={self.scale!r}; choose 'sd', 'unconstrained' or 'natural'")
        if not self.sizes or not all(np.isfinite(size) for size in self.sizes.values()):
            raise ValueError(
                f"sizes={dict(self.sizes)}; finite numbers by effect are expected, such as {{'alpha[drug]': 0.5}}"
            )
        if not 0 <= self.spread < np.inf:
            raise ValueError(f"spread={self.spread}; a finite number that is not below 0 is expected")
        self._require_columns()
        require_people(self.people, self.design.model)
        self.at(4, self.blocks(None), 8, np.random.default_rng(0))

    def _require_columns(self) -> None:
        given = [*self.within, *self.between, *self.trialwise]
        if unknown := [name for name in given if name not in self.design.columns]:
            raise ValueError(
                f"{self.design.name} does not depend on {', '.join(unknown)}; it has {', '.join(self.design.columns)}"
            )
        if missing := [name for name in self.design.columns if given.count(name) != 1]:
            raise ValueError(
                f"{', '.join(missing)}: each column of {self.design.name} needs its levels once, in within=, between= or "
                f"trialwise=, such as within={{{missing[0]!r}: ['off', 'on']}}"
            )
        for name, levels in {**self.within, **self.between, **self.trialwise}.items():
            normal = isinstance(levels, str) and levels == NORMAL and name in self.between
            if not normal and (isinstance(levels, str) or len(set(levels)) < 2 or len(set(levels)) < len(levels)):
                remedy = ", or 'normal'" if name in self.between else ""
                raise ValueError(f"{name}: levels {levels!r}; two different levels or more are expected{remedy}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the effects in tables."""
        unit = "" if self.scale == "sd" else f" ({self.scale})"
        return tuple(f"{name} = {size:g}{unit}" for name, size in self.sizes.items())

    @property
    def in_sds(self) -> tuple[float, ...]:
        """Sizes in standard deviations of people on the unconstrained scale."""
        return tuple(self._size(name) / self.people_sd(_base(name)) for name in self.sizes)

    def blocks(self, asked: int | None) -> int:
        """Number of blocks: that of the combinations of conditions, or a multiple of it that is asked for."""
        cells = int(np.prod([len(levels) for levels in self.within.values()]))
        blocks = asked or cells
        if blocks % cells:
            raise ValueError(
                f"blocks={blocks}; a multiple of {cells} is expected, of the combinations of {', '.join(self.within)}"
            )
        return blocks

    def conditions(self, n: int, blocks: int, trials: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The columns of `n` people, as `pyem.simulate` takes them."""
        out: dict[str, np.ndarray] = {}
        sizes = [len(levels) for levels in self.within.values()]
        cells = np.indices(sizes).reshape(len(sizes), -1).T
        order = np.array([rng.permutation(np.arange(blocks) % len(cells)) for _ in range(n)])
        for k, (name, levels) in enumerate(self.within.items()):
            out[name] = np.asarray(levels)[cells[order][..., k]]
        for name, levels in self.between.items():
            drawn = (
                rng.normal(size=n) if isinstance(levels, str) else np.asarray(levels)[_shuffled(n, len(levels), rng)]
            )
            out[name] = drawn[:, None]
        for name, levels in self.trialwise.items():
            each = [[_shuffled(trials, len(levels), rng) for _ in range(blocks)] for _ in range(n)]
            out[name] = np.asarray(levels)[np.array(each)]
        return out

    def at(
        self, n: int, blocks: int, trials: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Natural parameters (S, P) of `n` people in the design, and the columns of these people."""
        conditions = self.conditions(n, blocks, trials, rng)
        bound = planned(self.design, conditions, n, blocks, trials).bound
        population = self._population(bound, n)
        sd = np.sqrt(np.diag(population.cov)) * population.random
        x = population.design @ population.coef + sd * rng.normal(size=(n, len(sd)))
        return bound.model.natural(x), conditions

    def _population(self, bound: Bound, n: int) -> Population:
        """Means, effects and spread of people in the design."""
        names = bound.model.names
        assert bound.group is not None
        pairs = [self._of_people(bound, name) for name in names]
        mean, sd = (np.array(part) for part in zip(*pairs, strict=True))
        found = populate(bound.group, names=names, mean=mean, sd=sd, covariates=bound.data.covariates, n_subjects=n)
        coef, known = found.coef.copy(), _effects_at(bound, found)
        if unknown := [name for name in self.sizes if name not in known]:
            raise DataError(
                f"{self.design.name} has no effect {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
            )
        for name in self.sizes:
            coef[known[name]] = self._size(name)
        return dataclasses.replace(found, coef=coef)

    def _of_people(self, bound: Bound, name: str) -> tuple[float, float]:
        """Mean and sd of a value of people without effects."""
        parameter, label = effect_of(bound.model, name)
        mean, sd = self._typical(parameter)
        if not label:
            return mean, sd
        if is_value(bound.model, name):
            raise ModelError(
                f"{self.design.name} has a value of {parameter} in each condition and no difference to be tested; write "
                f"pyem.regress(model, '{parameter} ~ ...') with an intercept"
            )
        return 0.0, self.spread * sd

    def people_sd(self, parameter: str) -> float:
        """Standard deviation of people in a parameter, unconstrained."""
        return self._typical(parameter)[1]

    def _typical(self, parameter: str) -> tuple[float, float]:
        """Mean and sd of people in a parameter, unconstrained."""
        base = self.design.model
        j = base.names.index(parameter)
        if self.people is None:
            return float(base.typical[0][j]), float(base.typical[1][j])
        population = self.people.population
        return float(population.mean.mean(0)[j]), float(np.sqrt(population.cov[j, j]))

    def _size(self, name: str) -> float:
        """Size of an effect on the unconstrained scale."""
        size, base, parameter = self.sizes[name], self.design.model, _base(name)
        mean, sd = self._typical(parameter)
        if self.scale != "natural":
            return size * (sd if self.scale == "sd" else 1.0)
        j = base.names.index(parameter)
        at = np.array([self._typical(each)[0] for each in base.names])
        natural = base.natural(at[None])[0]
        shifted = natural.copy()
        shifted[j] += size
        try:
            return float(base.unconstrained(shifted[None])[0, j] - mean)
        except ValueError:
            raise ValueError(
                f"{name} = {size:g}: from its typical value {natural[j]:.3g}, {parameter} would leave its range; give a "
                "smaller size, or scale='sd'"
            ) from None


@dataclasses.dataclass(frozen=True)
class DesignRound:
    """The work of a round: simulate people in the design, fit them, and test each effect."""

    effect: DesignEffects
    experiment: Experiment
    subjects: int
    key: Any
    fit: Callable[..., Any]

    def __call__(self, k: int) -> dict[str, np.ndarray]:
        """P value, estimate, width and coverage of the interval of each effect in round `k`, (effect,) each."""
        key, effect, plan = jax.random.fold_in(as_key(self.key), k), self.effect, self.experiment
        rng = generator(key)
        blocks, trials = effect.blocks(plan.blocks), plan.trials or 100
        params, conditions = effect.at(self.subjects, blocks, trials, rng)
        words: dict[str, Any] = {
            "blocks": blocks,
            "trials": trials,
            "task": plan.task,
            "missed": plan.missed,
            "key": key,
        }
        data = simulate(effect.design, params, conditions=conditions, **words)
        silent = Silence(self.fit)
        table = silent(to_fit(effect.design, data), data).effects()
        rows = []
        for name, size in zip(effect.sizes, effect.in_sds, strict=True):
            row = tested(table.loc[_base(name), name.partition("[")[2][:-1]])
            sd = effect.people_sd(_base(name))
            low, high = row["low"] / sd, row["high"] / sd
            covers = float(low <= size <= high)
            rows.append({"p": row["p"], "estimate": row["estimate"] / sd, "width": high - low, "covers": covers})
        return {name: np.array([row[name] for row in rows]) for name in rows[0]} | {"counts": silent.counts}


def _base(name: str) -> str:
    """Name of the parameter in ``"alpha[drug]"``."""
    return name.partition("[")[0]


def _shuffled(n: int, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Indices (n,) of levels that are as equally frequent as can be, in random order."""
    return rng.permutation(np.arange(n) % levels)


def _effects_at(bound: Bound, population: Population) -> dict[str, tuple[int, int]]:
    """Place of each effect in the group's regression weights, by its name in `DesignEffects`."""
    labels = ["", *(name for name, _ in population.group.covariates)]
    out = {}
    for k, j in np.argwhere(population.free):
        parameter, label = effect_of(bound.model, bound.model.names[j])
        full = ":".join(part for part in (label, labels[k]) if part)
        if full:
            out[f"{parameter}[{full}]"] = (int(k), int(j))
    return out
