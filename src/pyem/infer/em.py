"""Hierarchical expectation maximisation: one loop for every engine that offers an E-step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pyem.group import Population
from pyem.laplace import EStep, Laplace


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
        Extrapolate the sequence of group parameters (Anderson acceleration), with a return to the plain step whenever the
        next plain change grows. The fixed point is the same.
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
    anderson = Anderson()
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
        population = plain.with_vector(anderson(population.vector, plain.vector)) if accelerate else plain
    assert laplace is not None
    trace = {"log_evidence": np.array(evidence), "change": np.array(changes), "vector": np.array(vectors)}
    trace["evaluated"] = np.array(iteration + 1)
    if converged:
        # What is reported belongs together: the group that the last E-step used, and its modes to full precision.
        laplace = estep(population.prior, 1e-16)
    return EMRun(population, laplace, converged, message, trace)


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
