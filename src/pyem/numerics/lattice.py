"""Points to integrate over: lattices of good packings in up to five dimensions, and quasi-random points in any."""

from __future__ import annotations

import functools
import math

import numpy as np

TURNS = 256
"""Number of different turns and shifts of a lattice; if there are more people, they share them."""
MARGIN = 1.8
"""Bound of the distance, for cells of volume 1, of a shift inside a cell or of a hole between points."""
_SMALL, _LARGE = 1e-12, 1 - 1e-12


def lattice(
    n: int, dim: int, radius: float, stretch: float, people: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The `n` points of a lattice nearest to the origin, turned and shifted at random for each person.

    Parameters
    ----------
    n
        Number of points.
    dim
        Dimension, at most 5: intervals, hexagons, body-centred cubes, and the duals of D4 and D5.
    radius
        Radius of the ball that the points fill, before it is stretched.
    stretch
        Points move outwards along each axis by ``sinh(stretch z) / stretch``, so that they reach far into the tails.
    people, rng
        Number of such sets, and generator of random numbers.

    Returns
    -------
    points, log_weight
        (people, n, dim) and (people, n): the sum of ``exp(log_weight) f(points)`` is about the integral of `f`.

    References
    ----------
    Conway, J. H., & Sloane, N. J. A. (1999). Sphere packings, lattices and groups (3rd ed.). Springer.
    https://doi.org/10.1007/978-1-4757-6568-7

    Examples
    --------
    >>> z, log_weight = lattice(128, 2, 5.5, 0.4, 3, np.random.default_rng(0))
    >>> density = np.exp(log_weight - (z**2).sum(2) / 2) / (2 * np.pi)
    >>> bool(np.allclose(density.sum(1), 1, atol=1e-4))
    True
    """
    size = _size(n, dim, radius)
    base, generator = _points(dim, n)
    sets = min(people, TURNS)
    shift = rng.uniform(-0.5, 0.5, size=(sets, dim)) @ generator.T
    # Subtract the nearest point of the lattice, which leaves the lattice the same.
    shift -= base[((shift[:, None] - base[None]) ** 2).sum(2).argmin(1)]
    shifted = base[None] + shift[:, None]
    nearest = np.argpartition((shifted**2).sum(2), n - 1, axis=1)[:, :n]
    kept = np.take_along_axis(shifted, nearest[:, :, None], 1)
    turns = np.linalg.qr(rng.normal(size=(sets, dim, dim)))[0]
    z = size * kept @ np.swapaxes(turns, 1, 2)
    log_weight = np.full(z.shape[:2], dim * math.log(size)) + np.log(np.cosh(stretch * z)).sum(2)
    who = np.arange(people) % sets
    return (np.sinh(stretch * z) / stretch)[who], log_weight[who]


CELLS = {1: 1 / 12, 2: 0.080188, 3: 0.078543, 4: 0.076603, 5: 0.075625}
"""Second moments of the cells of these lattices per dimension, for cells of volume 1."""


def cell_variance(n: int, dim: int, radius: float) -> float:
    """Variance along any axis of a uniform distribution over the cell of a point, before it is stretched.

    References
    ----------
    Conway, J. H., & Sloane, N. J. A. (1999). Sphere packings, lattices and groups (3rd ed.), chapter 21. Springer.
    https://doi.org/10.1007/978-1-4757-6568-7

    Examples
    --------
    >>> round(cell_variance(128, 2, 5.5), 4)
    0.0595
    """
    return CELLS[dim] * _size(n, dim, radius) ** 2


def _size(n: int, dim: int, radius: float) -> float:
    """Edge of a cube as large as the part of a ball that each of `n` points has."""
    return (math.pi ** (dim / 2) / math.gamma(dim / 2 + 1) * radius**dim / n) ** (1 / dim)


def unstretched(z: np.ndarray, stretch: float) -> np.ndarray:
    """Distance (...) from the origin before stretching, of stretched points (..., dim)."""
    return np.sqrt((np.arcsinh(stretch * z) ** 2).sum(-1)) / stretch


@functools.cache
def _points(dim: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Lattice points (m, dim) around the origin with cells of volume 1, more than `n` of them, and their generator."""
    generator = _generator(dim)
    radius = (n * math.gamma(dim / 2 + 1) / math.pi ** (dim / 2)) ** (1 / dim) + MARGIN
    # Coefficients of a point are bounded by its length times that of a row of the inverse.
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(generator), axis=1)).astype(int)
    axes = np.meshgrid(*[np.arange(-k, k + 1) for k in reach], indexing="ij")
    points = np.stack(axes, -1).reshape(-1, dim) @ generator.T
    return points[(points**2).sum(1) <= radius**2], generator


def _generator(dim: int) -> np.ndarray:
    """Generator (dim, dim) of the lattice whose dual packs spheres most densely; its columns span a cell of volume 1."""
    if dim not in range(1, 6):
        raise ValueError(f"dim={dim}; there are lattices for 1 to 5 dimensions, use quasi_random for more")
    if dim == 1:
        return np.eye(1)
    if dim == 2:
        columns = np.array([[1, 0.5], [0, math.sqrt(3) / 2]])
    elif dim == 3:
        columns = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1.0]])
    else:
        checkerboard = np.eye(dim) - np.eye(dim, k=1)
        checkerboard[-1, -2] = 1.0
        columns = np.linalg.inv(checkerboard)
    return columns / abs(np.linalg.det(columns)) ** (1 / dim)


def quasi_random(n: int, dim: int, seed: int) -> np.ndarray:
    """Scrambled Sobol points (n, dim) in the unit cube, away from its faces; `n` is a power of 2 or even points are lost.

    Examples
    --------
    >>> quasi_random(8, 2, 0).shape
    (8, 2)
    """
    from scipy.stats import qmc

    whole = 1 << max(n - 1, 0).bit_length()
    # Newer versions of SciPy say `rng`, the oldest that we support does not know it.
    points = qmc.Sobol(dim, seed=seed)  # type: ignore[call-arg]
    return np.clip(points.random(whole)[:n], _SMALL, _LARGE)


def normal_and_t(u: np.ndarray, df: float) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal and Student-t points (..., dim) from points (..., dim + 1) of the unit cube.

    Examples
    --------
    >>> z, t = normal_and_t(quasi_random(8, 3, 0), 5.0)
    >>> z.shape == t.shape == (8, 2)
    True
    """
    from scipy.special import gammaincinv, ndtri

    z = ndtri(u[..., :-1])
    return z, z / np.sqrt(2 * gammaincinv(df / 2, u[..., -1:]) / df)


def turned(u: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Points `u` (n, dim) of the unit cube, moved by each shift (people, dim) around its faces: (people, n, dim)."""
    return np.clip((u[None] + shift[:, None]) % 1.0, _SMALL, _LARGE)
