"""Lattices of points, coarse ones for everybody and finer ones for some, before they are put where people are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyem.numerics.lattice import TURNS, cell_variance, lattice


class Rule(NamedTuple):
    """Number of points of a lattice, its reach, and how much its tails are stretched."""

    n: int
    radius: float
    stretch: float

    def times(self, factor: float, dim: int) -> Rule:
        """Return the rule with `factor` times as many points, which reach farther and lie closer."""
        return self._replace(n=round(factor * self.n), radius=self.radius * factor ** (0.4 / dim))


RULES = {
    1: Rule(64, 6.0, 0.3),
    2: Rule(128, 5.5, 0.4),
    3: Rule(384, 5.0, 0.4),
    4: Rule(512, 4.5, 0.4),
    5: Rule(768, 4.3, 0.4),
}
"""Rule of the lattice for each number of parameters; for more parameters there are only mixtures."""
PLAIN, MIXED, FINEST = 0, 1, 5
"""Levels of care: the plain lattice, a mixture, and the finest of the finer lattices that follow."""
TIMES, BETTER = 4, 2
"""Factor by which each level from the second on has more points, and least factor by which it is more exact."""
FINE_TURNS = 4
"""Number of turns of fine lattices, whose errors are too small to add up."""


def rule_of(dim: int, nodes: int | None) -> Rule | None:
    """Return the lattice for `dim` parameters, with `nodes` points if given; None if there is none for so many parameters."""
    rule = RULES.get(dim)
    return rule if rule is None or nodes is None else rule.times(nodes / rule.n, dim)


class Lattices:
    """Lattices of each level, turned and shifted in several ways, which people share.

    Parameters
    ----------
    dim
        Number of parameters.
    rule
        The plain lattice.
    people
        Number of people.
    seed
        Seed of the turns and shifts.
    """

    def __init__(self, dim: int, rule: Rule, people: int, seed: int) -> None:
        self.dim, self.rule, self._people, self._seed = dim, rule, people, seed
        self._made: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def rule_at(self, level: int) -> Rule:
        """Return the rule of a level's lattice."""
        return self.rule if level == PLAIN else self.rule.times(points_at(level), self.dim)

    def cell(self, level: int) -> float:
        """Variance of a place within the cell of a point, along each axis."""
        rule = self.rule_at(level)
        return cell_variance(rule.n, self.dim, rule.radius)

    def of(self, people: np.ndarray, level: int, turn: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, K, P) of `people` (n,) and log volumes (n, K); another `turn` has others for each person."""
        z, log_volume = self._sets(level)
        which = (people + turn) % len(z)
        return z[which], log_volume[which]

    def _sets(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        if level not in self._made:
            rule, rng = self.rule_at(level), np.random.default_rng([self._seed, level])
            # One more than people, so that another turn is another set for everybody.
            sets = min(self._people + 1, TURNS if level == PLAIN else FINE_TURNS)
            self._made[level] = lattice(rule.n, self.dim, rule.radius, rule.stretch, sets, rng)
        return self._made[level]


def points_at(level: int) -> int:
    """Number of points of a level, as a multiple of the plain lattice's or, for a mixture, of the first mixture's.

    Examples
    --------
    >>> [points_at(level) for level in range(4)]
    [1, 1, 4, 16]
    """
    return TIMES ** max(level - 1, 0)
