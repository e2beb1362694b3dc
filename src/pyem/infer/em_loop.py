"""Hierarchical expectation maximisation: one loop for every engine that offers an E-step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from pyem.infer.acceleration import Ascent, limited, newton_step
from pyem.infer.glances import Seen
from pyem.infer.laplace import LAST
from pyem.infer.standard_errors import score_and_information
from pyem.population.group import Group
from pyem.population.mstep import evidence as total_evidence
from pyem.population.mstep import sums
from pyem.population.population import Population
from pyem.population.posterior import EStep, Found, Laplace
from pyem.results.point_problems import STOOD_STILL, STUCK, WANDERED


@dataclasses.dataclass(frozen=True)
class EMRun:
    """The result of the loop, and the path to it."""

    population: Population
    laplace: Laplace
    converged: bool
    message: str
    trace: dict[str, np.ndarray]
    """``log_evidence``, ``change`` and ``vector`` of the group at every iteration."""
    estep: EStep
    """The E-step that ended the loop, in its last state."""
    seen: Seen | None = None
    """Likelihoods seen by the last look for better modes; None if there was no look."""


Report = Callable[[int, float, float], None]
"""Function called after each iteration with its number, the log evidence and the change of the group."""

MStep = Callable[[Population, Any], Population]
"""Function that makes the next group from the last one and from the result of the E-step under it."""

Settled = Callable[[Population, Any], bool]
"""Function called after each iteration with the group and the result of the E-step; returns whether the loop may end."""

Under = Callable[[Any, Population, float], Found]
"""Function that makes an E-step under a population, to within a given number of nats."""


def by_prior(estep: EStep, population: Population, tol: float) -> Found:
    """Make an E-step that takes a prior for each person."""
    return estep(population.prior, tol)


DRIFT, DRIFTED = 25, 1e-3
"""Iterations, and nats within which the log evidence stays in them, where a parameter drifts along a flat likelihood."""


FELL = 0.02
"""Nats a person by which the log evidence may fall in a fast step; one that loses more is taken back."""

SLOW, FEW_TIMES = 0.5, 3.0
"""Fast steps begin up to so many times farther away where a plain step is longer than this share of the last one."""
OPEN = 0.7
"""Share of the group's variance that people's data may leave open for `SLOW` to apply: near an sd of 0 there are saddles."""

LONG_REST = 120
"""Plain steps in a row that each lose evidence, after which fast ones may lose more than `FELL`, too."""

WANDER, TURNS = 60, 4
"""Iterations without any headway from which on no fixed point is looked for, if the evidence turned up or down so often."""


EXACT = 2 * LAST
"""Least number of nats that an E-step leaves along the way; the last one is more exact, and looks at corners of kinks too."""


class Elsewhere(Protocol):
    """Looks for better modes of people than the E-step has found."""

    def __call__(self, population: Population, found: Any, change: float, *, ended: bool) -> EStep | None:
        """An E-step that starts from better modes, or None; `change` is that of the group, `ended` whether it is the last."""
        ...


class Keeper(Protocol):
    """Keeps where the loop stands; see `pyem.infer.checkpoint`."""

    def load(self, estep: EStep, elsewhere: Any) -> tuple[int, tuple[Any, ...]] | None:
        """The iteration to go on with, and the loop's values before it; None at the beginning."""
        ...

    def save(self, iteration: int, values: tuple[Any, ...], estep: EStep, elsewhere: Any) -> None:
        """Save the state of the loop."""
        ...


def run_em(
    estep: EStep,
    population: Population,
    *,
    max_iter: int = 500,
    tol: float = 1e-7,
    accelerate: bool = True,
    report: Report | None = None,
    settled: Settled | None = None,
    elsewhere: Elsewhere | None = None,
    mstep: MStep = Population.update,
    under: Under = by_prior,
    scale: np.ndarray | None = None,
    keeper: Keeper | None = None,
) -> EMRun:
    """Alternate E-steps and M-steps to a fixed point.

    Parameters
    ----------
    estep
        The Laplace approximation of all subjects under a prior, warm-started.
    population
        Population to start from.
    max_iter
        Iterations at most.
    tol
        Stop when no regression weight and no entry of the covariance's root is farther than this from where the next step
        leads, before it is extrapolated, or when the log evidence stays the same to rounding for five iterations.
    accelerate
        Once plain steps are small, take extrapolated Newton steps (`pyem.infer.acceleration`) instead, with a return to a plain
        step whenever the next one grows; where they make no headway, extrapolated plain steps. Fixed points are the same, and
        where there are several the plain beginning decides between them.
    report
        Told of every iteration.
    settled
        A further rule: the iteration goes on as long as it says False.
    elsewhere
        Asked after each iteration for an E-step to go on with from better modes.
    mstep
        The M-step. Accelerated steps need that of the population itself, or one with the same fixed points.
    under
        Function that calls the E-step.
    scale
        Typical sds (P,), for an end where a parameter would drift for ever along a flat likelihood: once the log evidence has
        stayed the same to 0.001 nats for 25 iterations while the data tell the mean of a parameter less exactly than that, or
        for 100 iterations although fast steps were tried. And no end is one where only steps of EM are short, as an sd is
        0, and fast steps that lose evidence are taken back.
    keeper
        Keeps where the loop stands before each iteration, and tells a later run where to go on.

    References
    ----------
    Huys, Q. J. M., et al. (2011). Disentangling the roles of approach, activation and valence in instrumental and
    pavlovian responding. PLoS Computational Biology, 7(4), e1002028. https://doi.org/10.1371/journal.pcbi.1002028

    Walker, H. F., & Ni, P. (2011). Anderson acceleration for fixed-point iterations. SIAM Journal on Numerical Analysis,
    49(4), 1715-1735. https://doi.org/10.1137/10078356X
    """
    ascent, tried, pace = None, False, _Pace(accelerate, _close(population.group))
    evidence, changes, vectors = [], [], []
    plain, change, still = population, np.inf, 0
    converged, message = False, f"not converged after {max_iter} iterations"
    laplace, first = None, 0
    if keeper is not None and (known := keeper.load(estep, elsewhere)) is not None:
        first, (ascent, tried, pace, evidence, changes, vectors, population, plain, change, still) = known
    for iteration in range(first, max_iter):
        if keeper is not None and iteration > first:
            values = (ascent, tried, pace, evidence, changes, vectors, population, plain, change, still)
            keeper.save(iteration, values, estep, elsewhere)
        laplace = under(estep, population, float(np.clip((0.03 * change) ** 2, EXACT, 1e-4)))
        value = laplace.total(total_evidence, population)
        image = mstep(population, laplace)
        moved = image.distance(population)
        fell = scale is not None and ascent and not pace.downhill and _fell(value, evidence, population, laplace)
        # An M-step that leaves the group unchanged cannot be accelerated.
        ascent = _ascent(ascent, pace.way(moved, population, laplace) if moved > 0 else None, population)
        following, moved = ascent(population, image, laplace) if ascent else (image, moved)
        if fell or (tried and not moved < 1.5 * change):
            # The fast step overshot: go on from the last plain one instead.
            population, ascent, tried = plain, None, False
            pace.overshot()
            continue
        plain, change = image, moved
        still = still + 1 if evidence and abs(value - evidence[-1]) < 1e-12 * abs(value) else 0
        evidence.append(value)
        changes.append(change)
        vectors.append(population.vector)
        if report:
            report(iteration + 1, value, change)
        agreed = settled is None or settled(population, laplace)
        ended = _ended(change, tol, still) if agreed else ""
        if agreed and not ended and scale is not None and _drifts(evidence, population, laplace, scale, pace.exhausted):
            ended = STOOD_STILL
        if ended and ended != STOOD_STILL and scale is not None and _creeps(ascent, population, laplace):
            if pace.crept:
                message = STUCK
                break
            pace.crept, ascent, tried, still = True, None, False, 0
            pace.again()
            continue
        other = None if elsewhere is None else elsewhere(population, laplace, change, ended=bool(ended))
        if other is not None:
            estep, ascent, tried, still = other, None, False, 0
            pace.again()
            continue
        if ended:
            converged, message = True, ended
            # A fast step that is as short as this squares the distance that is left.
            population = following if ascent is not None and ascent.newton and change < DRIFTED else population
            vectors[-1] = population.vector
            break
        if pace.idle and _wanders(changes, evidence):
            message = WANDERED
            break
        population, tried = following, ascent is not None and ascent.extrapolated
        pace.headway(change, evidence)
    assert laplace is not None
    trace = {"log_evidence": np.array(evidence), "change": np.array(changes), "vector": np.array(vectors)}
    trace["evaluated"] = np.array(iteration + 1)
    # The reported results belong together: a group, and the modes under it to full precision.
    population = population if converged else plain
    laplace = under(estep, population, LAST).whole()
    return EMRun(population, laplace, converged, message, trace, estep)


def _ascent(last: Ascent | None, way: str | None, population: Population) -> Ascent | None:
    """Return the accelerator that makes the next step; None for a plain step."""
    if way is None or (last and last.newton == (way == "newton")):
        return last if way else None
    return Ascent(population, newton=way == "newton")


def _ended(change: float, tol: float, still: int) -> str:
    """Explain why the iteration may end; empty if it may not."""
    if change < tol:
        return f"group parameters changed by less than {tol:g}"
    return "log evidence stayed the same to rounding" if still >= 5 else ""


def _fell(value: float, evidence: list[float], population: Population, laplace: Found) -> bool:
    """Whether the last step lost so much evidence that it leads elsewhere. Steps towards a mode under a prior may lose some.

    So may those of many weights: with hundreds of covariates Newton steps lose some nats, and end higher all the same.
    """
    few = population.hyper is None and len(population.coef) == 1
    return few and value < evidence[-1] - FELL * laplace.n_usable


def _creeps(ascent: Ascent | None, population: Population, laplace: Found) -> bool:
    """Whether steps are short only because an sd is 0, where EM moves a mean by no more than the square of the sd."""
    if (ascent and ascent.newton) or not population.at_floor.any():
        return False
    roots = population.roots
    step = limited(roots, newton_step(population, laplace), population) - roots
    score, _ = score_and_information(population, laplace)
    return float(np.abs(score * step).max()) > DRIFTED


def _drifts(evidence: list[float], population: Population, laplace: Found, scale: np.ndarray, exhausted: bool) -> bool:
    """Whether the group drifts along a flat likelihood: it moves, the evidence stays the same, and no step changes that."""

    def still(n: int) -> bool:
        return len(evidence) > n and float(np.ptp(evidence[-n:])) < DRIFTED

    return still(DRIFT) and (bool(population.uninformed(laplace, scale).any()) or (exhausted and still(4 * DRIFT)))


def _wanders(changes: list[float], evidence: list[float]) -> bool:
    """Whether steps have not shortened for a long time, while the evidence went up and down without rising."""
    if len(changes) < 2 * WANDER:
        return False
    late, last = changes[-WANDER:], evidence[-WANDER:]
    turns = (np.diff(np.sign(np.diff(last))) != 0).sum()
    no_nearer = min(late) > 0.9 * min(changes[:-WANDER]) and max(last) < max(evidence[:-WANDER]) + DRIFTED
    return bool(no_nearer and turns >= TURNS)


class _Pace:
    """Choice of the next step: plain while steps are large, then Newton's, and extrapolated ones where Newton's do not help.

    A Laplace approximation can have several fixed points, some of them unstable. Plain steps leave an unstable one, while a
    Newton step stays near it; large steps can end in a collapsed variance. And where posteriors are far from Gaussian, Newton
    steps may circle around the fixed point. What does not help on the way there does near the end: after a rest of plain steps,
    which is twice as long each time, all is tried again.
    """

    crept = False
    """Whether the iteration once seemed to end only because an sd of 0 made its steps short."""

    def __init__(self, wanted: bool, below: float, patience: int = 15, overshots: int = 10, rest: int = 30) -> None:
        self.wanted = wanted
        self.below = below
        self.patience = patience
        self.overshots = overshots
        self._rest = rest
        self.again()

    def again(self) -> None:
        """Begin anew: plain steps while they are large, then Newton's."""
        self._refill()
        self.exhausted = False
        """Whether fast steps were tried and did not help."""
        self.downhill = False
        """Whether plain steps have lost evidence for long: fast steps to the same end lose it, too."""

    def _refill(self) -> None:
        self._ways = ["extrapolated", "newton"] if self.wanted else []
        self._begun = False
        self._moved = np.inf
        self._best = np.inf
        self._waited = self._overshot = self._plain = 0

    def way(self, moved: float, population: Population, laplace: Found) -> str | None:
        """The kind of the next step, None for a plain one, where a plain one would move by `moved`."""
        slow = SLOW * self._moved < moved < FEW_TIMES * self.below
        self._begun = self._begun or moved < self.below or (slow and _left_open(population, laplace) < OPEN)
        self._moved = moved
        return self._ways[-1] if self._begun and self._ways else None

    @property
    def idle(self) -> bool:
        """Whether fast steps are wanted, but did not help or never became possible because plain steps stayed too large."""
        return self.wanted and (self.exhausted or not self._begun)

    def headway(self, change: float, evidence: list[float]) -> None:
        """Take note of a step that begins at distance `change` from the fixed point, the last of those with an `evidence`."""
        if not (self._begun and self.wanted):
            return
        if not self._ways:
            self._plain += 1
            if self._plain >= self._rest:
                self.downhill = self._rest >= LONG_REST and bool((np.diff(evidence[-self._rest :]) < 0).all())
                self._rest *= 2
                self._refill()
            return
        if change < 0.7 * self._best:
            self._best, self._waited = change, 0
        else:
            self._waited += 1
        self._next_way(self._waited >= self.patience)

    def overshot(self) -> None:
        """Take note of a step that had to be taken back."""
        self._overshot += 1
        self._next_way(self._overshot >= self.overshots)

    def _next_way(self, over: bool) -> None:
        if over:
            self._ways.pop()
            self.exhausted |= not self._ways
            self._best, self._waited, self._overshot = np.inf, 0, 0


def _left_open(population: Population, laplace: Found) -> float:
    """The share of the group's variance that people's data leave open, in the direction of which they say least."""
    white = np.linalg.inv(population.chol)
    told = laplace.total(sums, population)
    return float(np.linalg.eigvalsh(white @ (told.spread / max(float(told.n), 1.0)) @ white.T)[-1])


def _close(group: Group) -> float:
    """Change of a plain step below which fast steps begin: likelihoods of rich families have more than one maximum."""
    if group.family != "gaussian":
        return 0.01
    return 0.03
