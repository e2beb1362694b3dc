"""The iteration of hierarchical Bayesian inference: people under each model, then groups and frequencies, to a fixed point."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from pyem.infer.fixed_point import StableNewton
from pyem.infer.hbi_updates import (
    GroupPosterior,
    HyperPrior,
    expected_log_frequency,
    foreseen,
    frequency_divergence,
    group_divergence,
    responsibilities,
    updated_group,
)
from pyem.infer.laplace import TOL
from pyem.numerics.dirichlet import softmax
from pyem.numerics.threads import n_cores
from pyem.population.posterior import EStep, Laplace
from pyem.results.hbi import EARLY, FELL

SETTLED = 1e-4
"""Change of the bound, in nats, at which the iteration with equal frequencies ends if its steps are short."""
LEFT = 1e-12
"""Largest number of nats that a search leaves to its last step: the quadratic model is all but exact there."""
ROUGH = 1e-7
"""Nats left by searches for which only the bound is asked, and by those after the published rule has stopped."""
SHARE = 1e-3
"""Nats left by a search, as a share of the square of the last change, where that is less than `LEFT`."""
FAST = EARLY
"""Change of a plain step below which steps are extrapolated, which the published iteration ends with. Larger ones still decide
between several fixed points."""
GROWS = 3.0
"""Factor by which a step after an extrapolated one may be longer while the bound falls; beyond it the step is taken back."""
LOST = 1.0
"""Nats by which the bound may fall in a step that leads to where the next one is shorter, as plain steps make it fall, too."""
ROUNDING = 1e-6
"""Nats by which the bound may seem to fall."""
LONGEST, SHORTEST = 0.25, 0.02
"""Longest and shortest limit of an extrapolated step: means in sds of the group, log sds, and log odds of frequencies."""
BESIDE = 0.01
"""Step of the differences that give slopes, in the same units as `LONGEST`."""
ANEW = 1.5
"""Factor by which a plain step may be longer than the one before without the slopes being computed again."""


@dataclasses.dataclass(frozen=True)
class State:
    """Groups and frequencies at one point of the iteration."""

    groups: tuple[GroupPosterior, ...]
    alpha: np.ndarray

    @property
    def coordinates(self) -> np.ndarray:
        """Unbounded coordinates of the state: means and log sds of the groups, and log odds of the frequencies."""
        groups = [part for one in self.groups for part in (one.mean, -0.5 * np.log(one.precision))]
        return np.concatenate([*groups, np.log(self.alpha[:-1] / self.alpha[-1])])

    @property
    def units(self) -> np.ndarray:
        """Unit of each coordinate: sds of the group for its means, and else 1."""
        groups = [part for one in self.groups for part in (1 / np.sqrt(one.precision), np.ones(len(one.mean)))]
        return np.concatenate([*groups, np.ones(len(self.alpha) - 1)])

    @property
    def owners(self) -> list[int | None]:
        """Index of the model whose people depend on each coordinate; None for frequencies, on which nobody's mode depends."""
        return [k for k, one in enumerate(self.groups) for _ in range(2 * len(one.mean))] + [None] * (
            len(self.alpha) - 1
        )

    def at(self, coordinates: np.ndarray, prior: HyperPrior) -> State:
        """Return the state at other coordinates, with the same number of people."""
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
    """The result of one iteration."""

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
    """Whether all models are held equally frequent."""

    def look(self, state: State, threads: int = 1, left: float = LEFT) -> Step:
        """Find people's posteriors, the probabilities of their models, and the bound.

        Models are searched in so many threads; nats that are `left` are what a search leaves to its last step.
        """
        search = functools.partial(self._search, left=left)
        if threads == 1:
            return self._weighed(state, list(map(search, self.esteps, state.groups)))
        jobs = [_pool().submit(search, *each) for each in zip(self.esteps[1:], state.groups[1:], strict=True)]
        first = search(self.esteps[0], state.groups[0])
        return self._weighed(state, [first, *(job.result() for job in jobs)])

    def _search(self, estep: EStep, group: GroupPosterior, left: float) -> Laplace:
        return estep(group.prior(self.n_subjects), left)

    def _weighed(self, state: State, found: list[Laplace]) -> Step:
        columns = []
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

    def move(self, step: Step) -> State:
        """Update groups and frequencies given people."""
        parts = zip(step.weight.T, step.laplace, self.middles, strict=True)
        groups = tuple(updated_group(weight, laplace, middle, self.prior) for weight, laplace, middle in parts)
        return State(groups, self.prior.concentration + step.weight.sum(0))

    def slopes(self, state: State, step: Step, new: State) -> np.ndarray:
        """Derivatives of the coordinates of the `new` state with respect to those of `state`, by differences.

        People follow their groups as they would with quadratic likelihoods, so that nobody is searched for.
        """
        start, end, units = state.coordinates, new.coordinates, BESIDE * state.units
        columns = []
        for c, k in enumerate(state.owners):
            beside = state.at(start + units * (np.arange(len(start)) == c), self.prior)
            found = list(step.laplace)
            if k is not None:
                found[k] = foreseen(step.laplace[k], state.groups[k], beside.groups[k])
            columns.append((self.move(self._weighed(beside, found)).coordinates - end) / units[c])
        return np.column_stack(columns)

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
        """Iterate from `state` to a fixed point, or until the bound moves by less than `settled`, with models in `threads`.

        Steps are those of the published iteration until they are short, later than the published rule stops. Then they are
        extrapolated, unless `accelerate` is False: between models that explain the same people, they become ever shorter.
        """
        path: list[tuple[State, Step, float]] = []
        fast, change = _Fast(self.prior, accelerate * FAST), np.inf
        for n in range(max_iter):
            rough = self.null or fast.begun
            step = self.look(state, threads, max(TOL, min(ROUGH if rough else LEFT, SHARE * change**2)))
            new = self.move(step)
            moved = _moved(state, new)
            if path and fast.too_far(path[-1], step, moved):
                state = fast.plain
                continue
            change, before = moved, path[-1][1].bound if path else -np.inf
            path.append((state, step, change))
            if report:
                report(n + 1, f"iteration {n + 1}, bound {step.bound:.3f}, change {change:.1e}")
            # Bounds that rise and then fall stand still on the way.
            still = change < FAST and abs(step.bound - before) < settled
            if (change < tol or still) and fast.stable:
                break
            state = fast.following(state, new, change, lambda at=state, step=step, new=new: self.slopes(at, step, new))
        return Run(path, change < tol)


class _Fast:
    """Newton steps that replace plain steps once these are shorter than a limit."""

    def __init__(self, prior: HyperPrior, below: float) -> None:
        self._prior, self._below = prior, below
        self._steps: StableNewton | None = None
        self._longest, self._change = LONGEST, np.inf
        self.plain: Any = None
        """The state to which the last plain step led."""

    @property
    def begun(self) -> bool:
        """Whether the last step was extrapolated."""
        return self._steps is not None

    @property
    def stable(self) -> bool:
        """Whether plain steps return to the present fixed point after a small move, as far as is known."""
        return self._steps is None or self._steps.stable

    def too_far(self, last: tuple[State, Step, float], step: Step, change: float) -> bool:
        """Whether the last step was extrapolated, and led to a lower bound from which the next step is longer."""
        if self._steps is None:
            return False
        fell = last[1].bound - step.bound
        if fell <= (LOST if change < last[2] else FELL) and (fell <= ROUNDING or change <= GROWS * last[2]):
            return False
        self._steps, self._longest = None, max(SHORTEST, self._longest / 4)
        return True

    def following(self, state: State, new: State, change: float, slopes: Callable[[], np.ndarray]) -> State:
        """The next state, given this one and where the plain step leads."""
        self.plain, before, self._change = new, self._change, change
        if change >= self._below:
            self._steps = None
            return new
        if self._steps is None or change > ANEW * before:
            self._steps = StableNewton(slopes(), state.units)
        else:
            self._longest = min(LONGEST, 2 * self._longest)
        return new.at(self._steps(state.coordinates, new.coordinates, self._longest), self._prior)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Threads for models, which are searched side by side; made once, because a search takes a millisecond."""
    return ThreadPoolExecutor(n_cores(), thread_name_prefix="pyem-hbi")


@dataclasses.dataclass(frozen=True)
class Run:
    """The path of an iteration: states, what was found under each, and by how much the next one differed."""

    path: list[tuple[State, Step, float]]
    converged: bool

    @property
    def last(self) -> tuple[State, Step]:
        """The last state, and what was found there."""
        return self.path[-1][:2]

    @property
    def bound(self) -> float:
        """Lower bound of the log evidence at the end, in nats."""
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
