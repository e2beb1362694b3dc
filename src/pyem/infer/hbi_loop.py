"""The iteration of hierarchical Bayesian inference: people under each model, then groups and frequencies, to a fixed point."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from pyem.infer.acceleration import Anderson
from pyem.infer.hbi_updates import (
    GroupPosterior,
    HyperPrior,
    expected_log_frequency,
    frequency_divergence,
    group_divergence,
    responsibilities,
    updated_group,
)
from pyem.numerics.dirichlet import softmax
from pyem.population.posterior import EStep, Laplace
from pyem.results.hbi import FELL

SETTLED = 1e-5
"""Nats by which the bound with equal frequencies moves where it is not looked at any further."""
LEFT = 1e-13
"""Nats that a search for a person's mode leaves to its last step, which is exact there."""
FAST, FAST_NULL = 3e-3, 0.03
"""Change of a plain step below which steps are extrapolated: larger ones still decide between several fixed points."""
GROWS = 3.0
"""An extrapolated step is taken back where the next one is so many times longer, or the bound falls as plain steps may not."""
REST = 10
"""Plain steps after a step that was taken back; twice as many each time."""


@dataclasses.dataclass(frozen=True)
class State:
    """Where the iteration is."""

    groups: tuple[GroupPosterior, ...]
    alpha: np.ndarray

    @property
    def coordinates(self) -> np.ndarray:
        """What it is made of, without bounds: means and log sds of groups, and log odds of frequencies."""
        groups = [part for one in self.groups for part in (one.mean, -0.5 * np.log(one.precision))]
        return np.concatenate([*groups, np.log(self.alpha[:-1] / self.alpha[-1])])

    def at(self, coordinates: np.ndarray, prior: HyperPrior) -> State:
        """The same number of people elsewhere."""
        sizes = [len(one.mean) for one in self.groups for _ in range(2)]
        *parts, odds = np.split(coordinates, np.cumsum(sizes))
        people = self.alpha.sum() - len(self.alpha) * prior.concentration
        # No frequency is below that of a model that nobody belongs to.
        n = np.maximum(softmax(np.append(odds, 0.0)[None])[0] * self.alpha.sum() - prior.concentration, 0.0)
        n *= people / n.sum()
        shapes = prior.shape + n / 2
        pairs = zip(parts[::2], parts[1::2], n, shapes, strict=True)
        groups = [GroupPosterior(m, prior.beta + k, a, a * np.exp(2 * log_sd)) for m, log_sd, k, a in pairs]
        return State(tuple(groups), prior.concentration + n)


@dataclasses.dataclass(frozen=True)
class Step:
    """What one iteration found."""

    laplace: tuple[Laplace, ...]
    evidence: np.ndarray
    weight: np.ndarray
    bound: float


@dataclasses.dataclass(frozen=True)
class Iteration:
    """The updates of hierarchical Bayesian inference."""

    esteps: tuple[EStep, ...]
    middles: tuple[np.ndarray, ...]
    prior: HyperPrior
    n_subjects: int
    null: bool = False
    """All models are equally frequent."""

    def look(self, state: State, threads: int = 1) -> Step:
        """Posteriors of people, their models, and the bound."""
        found, columns = self._modes(state, threads), []
        for laplace, group in zip(found, state.groups, strict=True):
            value = laplace.log_evidence(group.log_density(laplace.mode)) + group.log_bias
            columns.append(np.where(laplace.usable, value, -np.inf))
        evidence = np.stack(columns, axis=1)
        equal = np.full(len(self.middles), -np.log(len(self.middles)))
        weight, total = responsibilities(evidence, equal if self.null else expected_log_frequency(state.alpha))
        divergence = 0.0 if self.null else frequency_divergence(state.alpha, self.prior.concentration)
        pairs = zip(state.groups, self.middles, strict=True)
        divergence += sum(group_divergence(group, middle, self.prior) for group, middle in pairs)
        return Step(tuple(found), evidence, weight, float(total.sum() - divergence))

    def _modes(self, state: State, threads: int) -> list[Laplace]:
        """Everybody's posterior under each model."""
        search = lambda estep, group: estep(group.prior(self.n_subjects), LEFT)  # noqa: E731
        if threads == 1:
            return list(map(search, self.esteps, state.groups))
        # Compilation is most of the first search, and goes on side by side; later ones are quicker without threads.
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(search, self.esteps, state.groups))

    def move(self, step: Step) -> State:
        """Groups and frequencies given people."""
        parts = zip(step.weight.T, step.laplace, self.middles, strict=True)
        groups = tuple(updated_group(weight, laplace, middle, self.prior) for weight, laplace, middle in parts)
        return State(groups, self.prior.concentration + step.weight.sum(0))

    def run(
        self,
        state: State,
        max_iter: int,
        tol: float,
        *,
        accelerate: bool = True,
        report: Any = None,
        threads: int = 1,
        settled: float = 0.0,
    ) -> Run:
        """To a fixed point, from `state`, or where the bound moves by less than `settled`; compiled in so many threads.

        Steps are those of the published iteration until they are short, later than the published rule stops. Then they are
        extrapolated, unless `accelerate` is False: between models that explain the same people, they become ever shorter.
        """
        path: list[tuple[State, Step, float]] = []
        fast, change = _Fast(self.prior, accelerate * (FAST_NULL if self.null else FAST)), np.inf
        for n in range(max_iter):
            step = self.look(state, 1 if n else threads)
            new = self.move(step)
            moved = _moved(state, new)
            if path and fast.too_far(path[-1], step, moved):
                state = fast.plain
                continue
            change, before = moved, path[-1][1].bound if path else -np.inf
            path.append((state, step, change))
            if report:
                report(n + 1, f"iteration {n + 1}, bound {step.bound:.3f}, change {change:.1e}")
            if change < tol or abs(step.bound - before) < settled:
                break
            state = fast.following(state, new, change)
        return Run(path, change < tol)


class _Fast:
    """Steps that are extrapolated by Anderson's method, once plain ones are below a length."""

    def __init__(self, prior: HyperPrior, below: float) -> None:
        self._prior, self._below = prior, below
        self._anderson: Anderson | None = None
        self._rest, self._pause = 0, REST
        self.plain: Any = None
        """Where the last plain step led."""

    def too_far(self, last: tuple[State, Step, float], step: Step, change: float) -> bool:
        """Whether the last step was extrapolated, and led to where the next one is longer, or the bound lower."""
        if self._anderson is None or not self._anderson.active:
            return False
        _, before, moved = last
        if change <= GROWS * moved and step.bound >= before.bound - FELL:
            return False
        self._anderson, self._rest, self._pause = None, self._pause, 2 * self._pause
        return True

    def following(self, state: State, new: State, change: float) -> State:
        """The next state, given this one and where the plain step leads."""
        self.plain = new
        self._rest -= 1
        if self._anderson is None and (self._rest > 0 or change >= self._below):
            return new
        self._anderson = self._anderson or Anderson()
        return new.at(self._anderson(state.coordinates, new.coordinates), self._prior)


@dataclasses.dataclass(frozen=True)
class Run:
    """The path of an iteration: states, what was found under each, and by how much the next one differed."""

    path: list[tuple[State, Step, float]]
    converged: bool

    @property
    def last(self) -> tuple[State, Step]:
        """Where it ended."""
        return self.path[-1][:2]

    @property
    def bound(self) -> float:
        """Of the log evidence, at the end, in nats."""
        return self.path[-1][1].bound

    def trace(self, names: list[str]) -> dict[str, np.ndarray]:
        """The path as arrays, a row for each iteration."""
        states, steps, changes = zip(*self.path, strict=True)
        out = {"bound": np.array([step.bound for step in steps]), "change": np.array(changes)}
        out["alpha"] = np.array([state.alpha for state in states])
        out["responsibilities"] = np.array([step.weight for step in steps])
        for k, name in enumerate(names):
            out[f"mean of {name}"] = np.array([state.groups[k].mean for state in states])
            out[f"precision of {name}"] = np.array([state.groups[k].precision for state in states])
        return out


def _moved(old: State, new: State) -> float:
    """Root mean square change of the groups' means in sds of the group, as the published rule has it, and of frequencies."""
    steps = [(b.mean - a.mean) * np.sqrt(b.precision) for a, b in zip(old.groups, new.groups, strict=True)]
    shares = new.alpha / new.alpha.sum() - old.alpha / old.alpha.sum()
    return float(max(np.sqrt(np.mean(np.concatenate(steps) ** 2)), np.abs(shares).max()))
