"""How people's points, and the likelihood there, change with parameters that have one value for everybody.

All data together tell a common value much better than those of one person do. Within what they leave open, the log-likelihood
at a point is smooth, and a polynomial of it. Points move along with where the person's posterior goes.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from pyem.numerics.lattice import quasi_random

DEGREES = {1: 6, 2: 5, 3: 4, 4: 4, 5: 3, 6: 3, 7: 3, 8: 3}
"""Degree of the polynomials, for each number of common values; 2 for more."""
OFF = 0.1
"""Nats that everybody's likelihood may be off where polynomials hold."""
NEARBY = 2.5
"""How far quadratic polynomials reach."""
NEAREST = 1.0
"""Polynomials are used so far from their centre at least, in posterior sds."""


class Surface(NamedTuple):
    """What changes with common values, for some people.

    Coordinates of common values are in units of what all data leave open.
    """

    at: np.ndarray
    """Common values for which the points were made, (n, C)."""
    white: np.ndarray
    """Coordinates are differences from these times this, (n, C, C)."""
    move: np.ndarray
    """Points move by the difference times this, (n, C, Q)."""
    first: np.ndarray
    """Log-likelihood at the points, (n, K)."""
    bend: np.ndarray | None
    """By how much it changes, for each term of a polynomial, (n, M, K); None where it is evaluated anew at all values."""
    degree: int
    """Of the polynomials; 0 without any."""
    reach: float
    """How far from the centre all this holds, in posterior sds of the common values."""
    share: float
    """One over the number of all people, who bring the density down together beyond that."""

    def of(self, rows: np.ndarray) -> Surface:
        """That of some of the people."""
        people = {name: getattr(self, name)[rows] for name in ("at", "white", "move", "first")}
        return self._replace(**people, bend=None if self.bend is None else self.bend[rows])

    def coordinates(self, n: int, common: np.ndarray) -> np.ndarray:
        """Those (D, C) of common values (D, C) of one person."""
        return (common - self.at[n]) @ self.white[n]

    def moves(self, n: int, common: np.ndarray) -> np.ndarray:
        """By how much the points of one person move, (D, Q)."""
        return (common - self.at[n]) @ self.move[n]

    def rises(self, n: int, common: np.ndarray) -> np.ndarray:
        """By how much the log-likelihood at the points of one person is larger at common values (D, C), (D, K)."""
        if self.bend is None:
            raise ValueError("points without polynomials have to be evaluated at common values")
        z = self.coordinates(n, common)
        length = np.sqrt((z**2).sum(1))
        far = np.maximum(length, self.reach)
        off = 0.5 * self.share * (far**2 - self.reach**2)
        return terms(z * (self.reach / far)[:, None], self.degree) @ self.bend[n] - off[:, None]


def farthest(n_common: int, degree: int) -> float:
    """How far from the centre the likelihood is looked at, in posterior sds of so many common values.

    Quadratic polynomials are for searches, which take short steps.
    """
    return NEARBY if degree == 2 else math.sqrt(n_common) + 2.5


def degree_for(n_common: int) -> int:
    """Degree of polynomials in so many common values that are close to the likelihood."""
    return DEGREES.get(n_common, 2)


def terms(z: np.ndarray, degree: int) -> np.ndarray:
    """All products (D, M) of at most `degree` of the coordinates (D, C), at least one.

    Examples
    --------
    >>> terms(np.array([[2.0, 3.0]]), 2).tolist()
    [[2.0, 3.0, 4.0, 6.0, 9.0]]
    """
    level = [(z[:, c], c) for c in range(z.shape[1])]
    out = list(level)
    for _ in range(degree - 1):
        level = [(term * z[:, c], c) for term, first in level for c in range(first, z.shape[1])]
        out += level
    return np.stack([term for term, _ in out], axis=1)


@functools.cache
def trials_of(n_common: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (J, C) at which the likelihood is evaluated, and what makes a polynomial (M, J) of what it rises by there."""
    n = math.comb(n_common + degree, degree) - 1
    from scipy.special import ndtri

    u = quasi_random(n, n_common + 1, 1)
    way = ndtri(u[:, :-1])
    way /= np.sqrt((way**2).sum(1, keepdims=True))
    # Towards the ends denser, as for polynomials they have to be.
    lengths = np.sin(0.5 * np.pi * (np.argsort(np.argsort(u[:, -1])) + 0.5) / n) ** (1 / math.sqrt(n_common))
    half = farthest(n_common, degree) * lengths[:, None] * way
    z = np.concatenate([half, -half])
    root = np.exp(-0.0625 * (z**2).sum(1))
    return z, np.linalg.pinv(root[:, None] * terms(z, degree)) * root


def holds(z: np.ndarray, off: np.ndarray) -> float:
    """How far from the centre polynomials hold that are `off` (J,) at the coordinates (J, C)."""
    length = np.sqrt((z**2).sum(1))
    poor = length[~(off < OFF)]
    return max(NEAREST, float(min(poor.min(initial=np.inf), length.max())))
