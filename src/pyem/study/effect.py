"""An effect on a parameter of the group, to be found by a study of power."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import numpy as np

from pyem.engine.regress import Regression, regress
from pyem.errors import Unavailable
from pyem.infer.em import fit_em
from pyem.model.model import Model
from pyem.numerics.rng import as_key, generator
from pyem.population.group import Group
from pyem.results.fit import is_fit
from pyem.simulation.play import simulate
from pyem.study.experiment import Experiment, Silence, to_fit

COVARIATE = "effect"
"""Name of the simulated covariate."""


@dataclasses.dataclass(frozen=True)
class Effect:
    """An effect of a given size on a parameter: between groups of people, of a covariate, or between two conditions.

    Parameters
    ----------
    model
        The model.
    parameter
        The parameter of which people's mean differs.
    size
        Size in sds of people on the unconstrained scale: of two groups Cohen's d, of a covariate the change for one
        standard deviation of it. 0 tells how often an effect is found where there is none.
    kind
        ``"groups"``: half of the people have it; ``"covariate"``: it grows with a standard normal covariate; ``"conditions"``:
        everybody has it in every second block.
    spread
        Differences between people in an effect of conditions, in standard deviations of people.
    people
        A fit with a group, of whose mean and spread people are; the model's typical population if not given.
    name
        Name in tables.

    Raises
    ------
    ValueError
        If there is no such parameter or kind, the size is no finite number, or the fit has no group of this model.

    Examples
    --------
    >>> import pyem
    >>> Effect(pyem.models.get("rw1a1b"), "alpha", 0.5).name
    'alpha, d = 0.5'
    """

    model: Model
    parameter: str
    size: float
    kind: Literal["groups", "covariate", "conditions"] = "groups"
    spread: float = 0.25
    people: Any = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.parameter not in self.model.names:
            raise ValueError(
                f"model {self.model.name!r} has no parameter {self.parameter!r}; choose one of {', '.join(self.model.names)}"
            )
        if self.kind not in ("groups", "covariate", "conditions"):
            raise ValueError(f"kind={self.kind!r}; choose 'groups', 'covariate' or 'conditions'")
        if not np.isfinite(self.size) or not 0 <= self.spread < np.inf:
            raise ValueError(
                f"size={self.size}, spread={self.spread}; finite numbers of standard deviations are expected, and no spread "
                "below 0"
            )
        require_people(self.people, self.model)
        letter = "slope" if self.kind == "covariate" else "d"
        object.__setattr__(self, "name", self.name or f"{self.parameter}, {letter} = {self.size:g}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the effect in tables."""
        return (self.name,)

    @property
    def in_sds(self) -> tuple[float, ...]:
        """Size of the effect in standard deviations of people on the unconstrained scale."""
        return (self.size,)

    @property
    def population(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of people without the effect, unconstrained, (P,) each."""
        if self.people is None:
            return self.model.typical
        population = self.people.population
        return population.mean.mean(0), np.sqrt(np.diag(population.cov))

    @property
    def design(self) -> Regression:
        """The model with the effect of conditions."""
        return regress(self.model, f"{self.parameter} ~ {COVARIATE}")

    def in_conditions(self, n: int, names: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
        """Parameters (n, P) of people in conditions, by the names of the design; effects are on the unconstrained scale."""
        mean, sd = self.population
        j = self.model.names.index(self.parameter)
        columns = dict(
            zip(self.model.names, self.model.natural(mean + sd * rng.normal(size=(n, len(mean)))).T, strict=True)
        )
        columns[f"{self.parameter}[{COVARIATE}]"] = sd[j] * (self.size + self.spread * rng.normal(size=n))
        return np.column_stack([columns[name] for name in names])

    def people_of(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Unconstrained parameters (n, P), and the covariate (n,)."""
        mean, sd = self.population
        groups = rng.permutation(np.arange(n) % 2) - 0.5
        covariate = groups if self.kind == "groups" else rng.normal(size=n)
        j = self.model.names.index(self.parameter)
        shift = np.outer(covariate, self.size * sd[j] * np.eye(len(mean))[j])
        return mean + sd * rng.normal(size=(n, len(mean))) + shift, covariate


def require_people(people: Any, model: Model) -> None:
    """Raise an `Unavailable` if `people` is neither None nor a fit of `model` with a group."""
    if people is None:
        return
    if not is_fit(people) or people.population is None or people.model.names != model.names:
        raise Unavailable(f"people={people!r:.60}; a fit of {model.name!r} with a group is expected, by fit_em")


fit_effects: Callable[..., Any] = fit_em
"""Fit by EM with standard errors, which the test of an effect needs."""


@dataclasses.dataclass(frozen=True)
class EffectRound:
    """The work of a round: simulate people with and without the effect, fit them, and test it."""

    effect: Effect
    experiment: Experiment
    subjects: int
    key: Any
    fit: Callable[..., Any]

    def __call__(self, k: int) -> dict[str, np.ndarray]:
        """P value, estimate, width and coverage of the interval of the effect in round `k`."""
        key, effect, plan = jax.random.fold_in(as_key(self.key), k), self.effect, self.experiment
        rng = generator(key)
        made = self._in_conditions if effect.kind == "conditions" else self._between_people
        size = {"blocks": plan.blocks, "trials": plan.trials, "task": plan.task, "missed": plan.missed, "key": key}
        row, counts = made(rng, size)
        sd = effect.population[1][effect.model.names.index(effect.parameter)]
        low, high = row["low"] / sd, row["high"] / sd
        covers = low <= effect.size <= high
        values = {"p": row["p"], "estimate": row["estimate"] / sd, "width": high - low, "covers": covers}
        return {name: np.array(float(value)) for name, value in values.items()} | {"counts": counts}

    def _between_people(self, rng: np.random.Generator, size: dict[str, Any]) -> tuple[dict[str, float], np.ndarray]:
        effect = self.effect
        x, covariate = effect.people_of(self.subjects, rng)
        data = simulate(effect.model, effect.model.natural(x), covariates={COVARIATE: covariate}, **size)
        silent = Silence(partial(self.fit, group=Group(covariates={COVARIATE: [effect.parameter]})))
        fit = silent(to_fit(effect.model, data), data)
        return tested(fit.group_table().loc[(f"effect of {COVARIATE}", effect.parameter)]), silent.counts

    def _in_conditions(self, rng: np.random.Generator, size: dict[str, Any]) -> tuple[dict[str, float], np.ndarray]:
        effect, blocks = self.effect, size["blocks"] or 2
        if blocks % 2:
            raise ValueError(f"blocks={blocks}; an even number is needed, half of them for each of two conditions")
        conditions = {COVARIATE: [-0.5, 0.5] * (blocks // 2)}
        plan = Experiment(self.subjects, blocks, size["trials"], conditions=conditions)
        params = effect.in_conditions(self.subjects, plan.drawn(effect.design, self.subjects).names, rng)
        words: dict[str, Any] = {**size, "blocks": blocks}
        data = simulate(effect.design, params, conditions=conditions, **words)
        silent = Silence(self.fit)
        table = silent(to_fit(effect.design, data), data).effects().reset_index()
        return tested(table[table["effect"] == COVARIATE].iloc[0]), silent.counts


def tested(row: Any) -> dict[str, float]:
    """Estimate, interval and two-sided p of an effect; with draws, p is twice the probability of the other sign."""
    p = row["p"] if "p" in row else 2 * min(row["above_0"], 1 - row["above_0"])
    return {"p": float(p)} | {name: float(row[name]) for name in ("estimate", "low", "high")}
