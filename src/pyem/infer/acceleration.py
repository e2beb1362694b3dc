"""Steps of the group's parameters towards the maximum of the marginal likelihood that do not slow down near its edge.

A step of EM is short wherever the data say little about how people differ: the step of a variance shrinks with its square, and
that of a mean with the variance. Where people hardly differ, plain EM, however accelerated, therefore takes thousands of steps.
A Newton step from the same E-step, with Louis' information, is as long as it has to be. Covariances move by their Cholesky
factor: as a function of it the likelihood is smooth at a standard deviation of 0, and stationary there.
"""

from __future__ import annotations

import numpy as np

from pyem.infer.standard_errors import score_and_information
from pyem.population.population import Population
from pyem.population.posterior import Found

LONGEST = 0.5
"""No regression weight or entry of the Cholesky factor moves farther in one step."""
SHRINK = 0.1
"""A standard deviation falls to no less than this share of what it was in one step."""
KNOWN = 1e-10
"""A combination of parameters about which a smaller share of the complete information is observed stays where it is."""


class Ascent:
    """Newton steps or steps of EM, extrapolated, in coordinates that are fixed when it is made.

    Parameters
    ----------
    population
        Where it begins. The most variable parameters come first in the Cholesky factor: when a variance vanishes, or a
        correlation reaches 1, only entries of its end do, and the others remain well defined.
    newton
        Whether to take Newton steps, or those of EM.
    """

    def __init__(self, population: Population, *, newton: bool = True) -> None:
        self.newton = newton
        # Without correlations, the factor is diagonal whatever the order.
        self._order = _pivots(population.cov) if population.correlated else np.arange(len(population.cov))
        self._back = np.argsort(self._order)
        self._anderson = Anderson()

    @property
    def extrapolated(self) -> bool:
        """Whether the last step differs from the plain Newton step or EM step, because it was extrapolated."""
        return self._anderson.active

    def __call__(self, population: Population, image: Population, laplace: Found) -> tuple[Population, float]:
        """The next population to try, and how far the step leads from the present one before it is extrapolated.

        Parameters
        ----------
        population, image
            Where the iteration is, and what the M-step makes of it: the weights of a heavy-tailed family are taken from there.
        laplace
            The subjects' posteriors under `population`.

        Returns
        -------
        Population, float
            The largest change is of a regression weight or an entry of the Cholesky factor, in sd units, or of the logarithm of
            a weight.
        """
        same = image.weight is population.weight
        reweighted = 0.0 if same else np.abs(np.log(image.weight / population.weight)).max()
        population, laplace = population.reordered(self._order), laplace.reordered(self._order)
        image = image.reordered(self._order)
        roots = population.roots
        target = limited(roots, newton_step(population, laplace), population) if self.newton else image.roots
        after = limited(roots, self._anderson(roots, target), population)
        return image.with_roots(after).reordered(self._back), float(max(np.abs(target - roots).max(), reweighted))


def newton_step(population: Population, laplace: Found) -> np.ndarray:
    """Return the `roots` that a Newton step from a population leads to, given the subjects' posteriors under it."""
    score, matrix = score_and_information(population, laplace)
    scale = 1 / np.sqrt(np.maximum(_expected(population, laplace.n_usable), 1e-300))
    scaled, slope = scale[:, None] * matrix * scale, scale * score
    step = _solved(scaled, slope)
    if step is None and population.correlated:
        # Next to the information of the group about what hardly varies, that of the data about the rest looks like nothing.
        units = _units(population, max(laplace.n_usable, 1))
        step = _solved(units.T @ matrix @ units, units.T @ score)
        step = None if step is None else units @ step / scale
    return population.roots + scale * (_uphill(scaled, slope) if step is None else step)


def _solved(matrix: np.ndarray, slope: np.ndarray) -> np.ndarray | None:
    """The step of a Newton iteration where all curvatures are well known; None where not."""
    try:
        # For many parameters a factor takes a tenth of the time of eigenvectors.
        np.linalg.cholesky(matrix - KNOWN * np.eye(len(matrix)))
        return np.linalg.solve(matrix, slope)
    except np.linalg.LinAlgError:
        return None


def _uphill(matrix: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """A step that leads uphill where the curvature has the wrong sign, of the length of a Newton step."""
    share, axes = np.linalg.eigh(matrix)
    known = np.abs(share) > KNOWN
    return axes @ np.where(known, (axes.T @ slope) / np.where(known, np.abs(share), 1.0), 0.0)


def _expected(population: Population, n: int) -> np.ndarray:
    """Diagonal of the information of `roots` that is expected of `n` people who are known exactly."""
    precision = np.diag(population.precision)
    squares = (population.design**2).mean(0)
    of_coef = (squares[:, None] * precision)[population.free]
    of_chol = precision[population.lower[0]]
    ends = np.where(population.is_diagonal, 1 / population.root_slope**2, 0.0)
    return n * (np.concatenate([of_coef, of_chol]) + ends)


def _units(population: Population, n: int) -> np.ndarray:
    """Directions of `roots`, (G, direction), in each of which `n` people who are known exactly have an information of 1."""
    free, (rows, columns) = population.free, population.lower
    squares, white = (population.design**2).mean(0), np.linalg.inv(population.chol)
    out = np.zeros((len(population.is_diagonal),) * 2)
    place = np.cumsum(free).reshape(free.shape) - 1
    for k, there in enumerate(free):
        # A root of the precision of these, which exists however narrow the group is.
        root = np.linalg.qr(white[:, there], mode="r")
        out[np.ix_(place[k, there], place[k, there])] = np.linalg.inv(root) / np.sqrt(n * squares[k])
    for column in np.unique(columns):
        there = np.flatnonzero(columns == column)
        entries, at = rows[there], int(free.sum()) + there
        # A logarithm of an sd is told by two people as well as a regression weight by one.
        twice = np.where(entries == column, 2.0, 1.0)
        out[np.ix_(at, at)] = population.chol[np.ix_(entries, entries)] / np.sqrt(n * twice)
    return out


def limited(before: np.ndarray, after: np.ndarray, population: Population) -> np.ndarray:
    """Return `after`, or a point on the way to it, so that no step is too long and no standard deviation vanishes at once."""
    step = after - before
    size = np.abs(step).max()
    if not np.isfinite(size):
        return before
    after = before + step * min(1.0, LONGEST / max(size, 1e-300))
    return np.where(population.is_diagonal, np.maximum(after, np.maximum(SHRINK * before, population.least)), after)


def _pivots(cov: np.ndarray) -> np.ndarray:
    """Parameters in the order of their variance, given those before them."""
    order, rest = [], cov.copy()
    for _ in range(len(cov)):
        variance = np.diag(rest).copy()
        variance[order] = -np.inf
        pick = int(np.argmax(variance))
        order.append(pick)
        rest = rest - np.outer(rest[:, pick], rest[pick]) / max(rest[pick, pick], 1e-300)
    return np.array(order)


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
