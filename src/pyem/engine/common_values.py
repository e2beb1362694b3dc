"""Change of people's points, and of the likelihood there, with parameters that have one value for everybody.

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
"""Degree of the polynomials for each number of common values; 2 for more."""
OFF = 0.1
"""Nats by which everybody's likelihood may be off where polynomials are used."""
NEARBY = 2.5
"""Distance to which quadratic polynomials are used, in posterior sds."""
NEAREST = 1.0
"""Least distance from their centre to which polynomials are used, in posterior sds."""


class Surface(NamedTuple):
    """Change of some people's points, and of their likelihood there, with common values.

    Coordinates of common values are in units of what all data leave open.
    """

    at: np.ndarray
    """Common values for which the points were made, (n, C)."""
    white: np.ndarray
    """Matrices (n, C, C) that turn differences of common values from these into coordinates."""
    move: np.ndarray
    """Matrices (n, C, Q) that turn differences of common values into moves of the points."""
    first: np.ndarray
    """Log-likelihood at the points, (n, K)."""
    bend: np.ndarray | None
    """Coefficients (n, M, K) of the change of the log-likelihood, one for each term of a polynomial; None if it is
    evaluated anew at all values."""
    degree: int
    """Degree of the polynomials; 0 if there are none."""
    reach: float
    """Distance from the centre to which the polynomials are used, in posterior sds of the common values."""
    share: float
    """One over the number of people: beyond `reach` they bring the density down together."""

    def of(self, rows: np.ndarray) -> Surface:
        """Select some of the people."""
        people = {name: getattr(self, name)[rows] for name in ("at", "white", "move", "first")}
        return self._replace(**people, bend=None if self.bend is None else self.bend[rows])

    def coordinates(self, n: int, common: np.ndarray) -> np.ndarray:
        """Coordinates (D, C) of common values (D, C), for one person."""
        return (common - self.at[n]) @ self.white[n]

    def moves(self, n: int, common: np.ndarray) -> np.ndarray:
        """Moves (D, Q) of one person's points."""
        return (common - self.at[n]) @ self.move[n]

    def rises(self, n: int, common: np.ndarray) -> np.ndarray:
        """Increase (D, K) of the log-likelihood at one person's points, at common values (D, C)."""
        if self.bend is None:
            raise ValueError("points without polynomials have to be evaluated at common values")
        z = self.coordinates(n, common)
        length = np.sqrt((z**2).sum(1))
        far = np.maximum(length, self.reach)
        off = 0.5 * self.share * (far**2 - self.reach**2)
        return terms(z * (self.reach / far)[:, None], self.degree) @ self.bend[n] - off[:, None]


def farthest(n_common: int, degree: int) -> float:
    """Distance from the centre to which the likelihood is evaluated, in posterior sds of so many common values.

    Quadratic polynomials are for searches, which take short steps.
    """
    return NEARBY if degree == 2 else math.sqrt(n_common) + 2.5


def degree_for(n_common: int) -> int:
    """Degree of polynomials in so many common values that approximate the likelihood well."""
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
    """Coordinates (J, C) of evaluations, and the matrix (M, J) that makes a polynomial of the increases found there."""
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
    """Distance from the centre to which polynomials hold that are `off` (J,) at the coordinates (J, C)."""
    length = np.sqrt((z**2).sum(1))
    poor = length[~(off < OFF)]
    return max(NEAREST, float(min(poor.min(initial=np.inf), length.max())))
