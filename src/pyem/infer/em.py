"""Hierarchical expectation maximisation: one loop for every engine that offers an E-step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pyem.group import Population
from pyem.laplace import EStep, GaussianPrior, Laplace


@dataclasses.dataclass(frozen=True)
class EMRun:
    """What the loop found, and the path to it."""

    population: Population
    laplace: Laplace
    converged: bool
    message: str
    trace: dict[str, np.ndarray]
    """``log_evidence``, ``change`` and ``vector`` of the group at every iteration."""


Report = Callable[[int, float, float], None]
"""Called after each iteration with its number, the log evidence and the change of the group."""

Settled = Callable[[Population, Laplace], bool]
"""Called after each iteration with the group and what the E-step found under it."""


def run_em(
    estep: EStep,
    population: Population,
    *,
    max_iter: int = 500,
    tol: float = 1e-7,
    accelerate: bool = True,
    report: Report | None = None,
    settled: Settled | None = None,
) -> EMRun:
    """Alternate E-steps and M-steps to a fixed point.

    Parameters
    ----------
    estep
        The Laplace approximation of all subjects under a prior, warm-started.
    population
        Where to start.
    max_iter
        Iterations at most.
    tol
        Stop when one plain iteration changes no regression weight and no entry of the covariance's Cholesky factor by
        more than this, or when the log evidence stays the same to rounding for five iterations.
    accelerate
        Extrapolate the sequence of group parameters (Anderson acceleration) once it moves slowly, with a return to the plain
        step whenever the next plain change grows, and for good where extrapolation makes no headway. Fixed points are the
        same, and where there are several the plain beginning decides between them.
    report
        Told of every iteration.
    settled
        A further rule: the iteration goes on as long as it says False.

    References
    ----------
    Huys, Q. J. M., et al. (2011). Disentangling the roles of approach, activation and valence in instrumental and
    pavlovian responding. PLoS Computational Biology, 7(4), e1002028. https://doi.org/10.1371/journal.pcbi.1002028

    Walker, H. F., & Ni, P. (2011). Anderson acceleration for fixed-point iterations. SIAM Journal on Numerical Analysis,
    49(4), 1715-1735. https://doi.org/10.1137/10078356X
    """
    anderson, pace = Anderson(), _Pace(accelerate)
    evidence, changes, vectors = [], [], []
    plain, change, still = population, np.inf, 0
    converged, message = False, f"not converged after {max_iter} iterations"
    laplace = None
    for iteration in range(max_iter):
        laplace = estep(population.prior, float(np.clip((0.03 * change) ** 2, 1e-16, 1e-4)))
        value = float(laplace.log_evidence(population.log_prior(laplace.mode))[laplace.usable].sum())
        image = population.update(laplace)
        if anderson.active and not image.distance(population) < 2 * change:
            # The extrapolation overshot: go on from the last plain step instead.
            population, anderson = plain, Anderson()
            pace.overshot()
            continue
        plain, change = image, image.distance(population)
        still = still + 1 if evidence and abs(value - evidence[-1]) < 1e-12 * abs(value) else 0
        evidence.append(value)
        changes.append(change)
        vectors.append(population.vector)
        if report:
            report(iteration + 1, value, change)
        agreed = settled is None or settled(population, laplace)
        if agreed and change < tol:
            converged, message = True, f"group parameters changed by less than {tol:g}"
            break
        if agreed and still >= 5:
            converged, message = True, "log evidence stayed the same to rounding"
            break
        fast = pace.extrapolate(change)
        population = plain.with_vector(anderson(population.vector, plain.vector)) if fast else plain
        if not fast:
            anderson = Anderson()
    assert laplace is not None
    trace = {"log_evidence": np.array(evidence), "change": np.array(changes), "vector": np.array(vectors)}
    trace["evaluated"] = np.array(iteration + 1)
    # What is reported belongs together: a group, and the modes under it to full precision.
    population = population if converged else plain
    laplace = estep(population.prior, 1e-16)
    return EMRun(population, laplace, converged, message, trace)


def run_em_global(
    make: Callable[[np.ndarray], EStep],
    start: np.ndarray,
    population: Population,
    run: Callable[[EStep, Population], EMRun],
    *,
    looks: int = 5,
) -> EMRun:
    """A run of EM that looks again, from other places, for better modes of people whose likelihood has several.

    A warm-started E-step stays with the mode it found first. Where the iteration has converged, every person's mode is
    sought again from both sides of the group's mean along each parameter; the iteration goes on from those that are better.

    Parameters
    ----------
    make
        Makes an E-step that starts from given parameters (S, P).
    start
        Where the first E-step starts, (S, P).
    population
        Where to start.
    run
        The iteration, such as `run_em`.
    looks
        At most so many times.
    """
    found = run(make(start), population)
    for _ in range(looks):
        better = _better_modes(make, found) if found.converged else None
        if better is None:
            break
        found = run(make(better), found.population)
    return found


def _better_modes(make: Callable[[np.ndarray], EStep], found: EMRun) -> np.ndarray | None:
    prior = found.population.prior
    best, value = found.laplace.mode, _joint(found.laplace, prior)
    first = value
    for way in np.concatenate([np.eye(best.shape[1]), -np.eye(best.shape[1])]):
        side = prior.mean + 1.5 * way * np.sqrt(np.diag(found.population.cov))
        laplace = make(side)(prior, 1e-6)
        there = np.where(laplace.usable, _joint(laplace, prior), -np.inf)
        take = there > value + 1e-4
        best, value = np.where(take[:, None], laplace.mode, best), np.where(take, there, value)
    return best if (value > first).any() else None


def _joint(laplace: Laplace, prior: GaussianPrior) -> np.ndarray:
    """(S,): what an E-step maximises, at its modes, up to a constant."""
    gap = np.sqrt(prior.weight) * (laplace.mode - prior.mean)
    return laplace.log_lik - 0.5 * np.einsum("sp,pq,sq->s", gap, prior.precision, gap)


class _Pace:
    """When to extrapolate: not in the first, large steps, and no more where it does not help.

    A Laplace approximation can have several fixed points, some of them unstable. Plain steps leave an unstable one, while
    extrapolation stays near it, as a Newton step would; large extrapolations can end in a collapsed variance.
    """

    def __init__(self, wanted: bool, below: float = 0.1, patience: int = 15) -> None:
        self.below = below
        self.patience = patience if wanted else 0
        self._begun = False
        self._best = np.inf
        self._waited = 0

    def overshot(self) -> None:
        """An extrapolation had to be taken back."""
        self._waited += 1

    def extrapolate(self, change: float) -> bool:
        """Whether to extrapolate after a plain step of size `change`."""
        self._begun = self._begun or change < self.below
        if not self._begun:
            return False
        if change < 0.7 * self._best:
            self._best, self._waited = change, 0
        else:
            self._waited += 1
        if self._waited >= self.patience:
            self.patience = 0
        return self.patience > 0


class Anderson:
    """Anderson acceleration of a fixed-point iteration, with a short memory and a bounded step."""

    def __init__(self, memory: int = 5, longest: float = 20.0) -> None:
        self.memory = memory
        self.longest = longest
        self.active = False
        self._points: list[np.ndarray] = []
        self._images: list[np.ndarray] = []

    def __call__(self, point: np.ndarray, image: np.ndarray) -> np.ndarray:
        """The next point to try, from a point and what the plain iteration makes of it."""
        self._points = [*self._points, point][-self.memory - 1 :]
        self._images = [*self._images, image][-self.memory - 1 :]
        self.active = len(self._points) > 1
        if not self.active:
            return image
        residuals = np.array(self._images) - np.array(self._points)
        by_step = np.diff(residuals, axis=0).T
        weights, *_ = np.linalg.lstsq(by_step, residuals[-1], rcond=1e-10)
        step = image - np.diff(self._images, axis=0).T @ weights - point
        limit = self.longest * np.linalg.norm(residuals[-1])
        size = np.linalg.norm(step)
        if not np.isfinite(size):
            self.active = False
            return image
        return point + step * min(1.0, limit / max(size, 1e-300))
