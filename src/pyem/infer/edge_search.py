"""The maximum where people do not differ in some parameter, or some parameters determine another.

Points for a group that is that narrow are as close to each other as its people are, and so they do not tell where its mean
should be. The marginal likelihood is smooth in the variance, though: its slopes under two groups that are somewhat wider tell
that under the narrow one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from pyem.engine.nodes import NodeEStep, Nodes
from pyem.population.by_vector import derivative
from pyem.population.edges import determined
from pyem.population.group import Group
from pyem.population.population import MIN_SD, Population

Slope = Callable[[Population], np.ndarray]
"""The gradient of the log marginal likelihood by the group's `vector`, for groups near the one that points were made for."""
Look = Callable[[Population], Slope]
"""Function that makes points for a group and returns the `Slope` on them."""

NEARER = 0.5
"""Variance of the second of two groups, as a share of the variance of the first."""
CLOSE = 1e-4
"""Nats that a Newton step promises below which the search ends: a hundredth of a standard error."""
STEPS = 12
"""Largest number of Newton steps."""
LONGEST = 2.0
"""Longest Newton step, in standard errors."""
KNOWN = 1e-6
"""Curvature, as a share of that of each parameter alone, below which a combination of parameters counts as not informed."""


@dataclasses.dataclass(frozen=True)
class Edge:
    """Directions in which a group has no width.

    Parameters
    ----------
    none
        (P,): parameters in which people do not differ.
    fixed
        (P,): parameters that vary, but that those before them determine: a correlation of 1.
    sd
        (P,): the width in these that points can tell.
    """

    none: np.ndarray
    fixed: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, population: Population, sd: np.ndarray) -> Edge:
        """Find the directions in which a group has no width."""
        none = population.vanished
        fixed = determined(population.cov, population.chol, 1.5 * population.smallest) & ~none
        return cls(none, fixed & population.correlated, sd)

    @property
    def any(self) -> bool:
        """Whether there is a direction without width."""
        return bool(self.narrow.any())

    @property
    def narrow(self) -> np.ndarray:
        """(P,): coordinates in the Cholesky factor's order without width."""
        return self.none | self.fixed

    def estep(self, parts: Sequence[Nodes], population: Population) -> NodeEStep:
        """The E-step on points for a group, whose narrow directions are Gaussian: of heavy tails nothing is left there."""
        group = population.group
        if group.family == "gaussian":
            return NodeEStep(parts, group)
        return NodeEStep(parts, _PartlyGaussian(group, self.narrow))  # pyright: ignore[reportArgumentType]

    def extrapolated(self, population: Population, function: Callable[[Population], np.ndarray]) -> np.ndarray:
        """A function of the group where the variance at the edge is 0, from two wider ones: it is nearly linear in that."""
        if not self.any:
            return function(population)
        wide, near = (function(self.widened(population, share)) for share in (1.0, NEARER))
        return (near - NEARER * wide) / (1 - NEARER)

    def widened(self, population: Population, share: float) -> Population:
        """The group with a `share` of the variance that points can tell in these directions; with 0, as narrow as may be."""
        least = population.smallest if share == 0 else np.sqrt(share) * self.sd
        cov = population.cov.copy()
        cov[self.none], cov[:, self.none] = 0.0, 0.0
        cov[self.none, self.none] = least[self.none] ** 2
        if self.fixed.any():
            chol = np.linalg.cholesky(cov)
            chol[self.fixed, self.fixed] = least[self.fixed]
            cov = chol @ chol.T
        return dataclasses.replace(population, cov=cov)


@dataclasses.dataclass(frozen=True)
class _PartlyGaussian:
    """The distribution of a group, as an E-step needs it, in which some standardised parameters are Gaussian."""

    group: Group
    gaussian: np.ndarray

    @property
    def family(self) -> str:
        """Family of the distribution of the other parameters."""
        return self.group.family

    def standard_log_prob(self, z: np.ndarray) -> np.ndarray:
        """Log-density of standardised parameters, whose first axis is the parameter."""
        normal = Group().standard_log_prob(z[self.gaussian])
        return normal if self.gaussian.all() else normal + self.group.standard_log_prob(z[~self.gaussian])

    def weights(self, distance: np.ndarray) -> np.ndarray:
        """Expected precision weights (S, P) from squared standardised distances (S, P)."""
        out = np.ones_like(distance)
        if not self.gaussian.all():
            out[:, ~self.gaussian] = self.group.weights(distance[:, ~self.gaussian])
        return out


def at_edge(population: Population, edge: Edge, look: Look) -> tuple[Population, bool]:
    """The group at the maximum given that it has no width at an `edge`, and whether it was found, from one that may be far.

    Parameters
    ----------
    population
        Population to start from.
    edge
        Directions in which the population is narrow.
    look
        Makes points, and slopes on them.
    """
    found = dataclasses.replace(population, least=MIN_SD)
    free = ~edge.widened(found, 0.0).at_floor
    for _ in range(STEPS):
        wide = edge.widened(found, 1.0)
        slope = look(wide)
        score, information = edge.extrapolated(found, slope), _information(wide, slope)
        step = _newton(information[np.ix_(free, free)], score[free])
        if step is None:
            break
        vector = wide.vector
        vector[free] += step
        found = edge.widened(wide.with_vector(vector), 0.0)
        if score[free] @ step < CLOSE:
            return found, True
    return found, False


def expected_score(estep: NodeEStep) -> Slope:
    """The gradient on points: that of the people's log-density in the group, expected over their posteriors."""
    return lambda population: population.score(estep(population.prior))


def _information(population: Population, slope: Slope) -> np.ndarray:
    matrix = -derivative(population, slope)
    return (matrix + matrix.T) / 2


def _newton(information: np.ndarray, score: np.ndarray) -> np.ndarray | None:
    """The Newton step, no longer than it can be trusted; None where the curvature is not that of a maximum."""
    size = np.sqrt(np.abs(np.diag(information)))
    if not (np.isfinite(information).all() and np.isfinite(score).all() and (size > 0).all()):
        return None
    white = information / np.outer(size, size)
    values, axes = np.linalg.eigh(white)
    if values[0] <= KNOWN:
        return None
    step = (axes / values) @ (axes.T @ (score / size))
    length = np.sqrt(max(float(step @ white @ step), 0.0))
    return step / size * min(1.0, LONGEST / max(length, 1e-300))
