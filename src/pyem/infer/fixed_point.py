"""Newton steps towards those fixed points of an iteration that its plain steps end in, too."""

from __future__ import annotations

import numpy as np

FLAT = 1e-6
"""Share of the way that a plain step must leave undone or add, in a direction; smaller shares are raised to it."""


class StableNewton:
    """Newton steps towards a fixed point, from slopes that are known once and learn from each step (Broyden's method).

    Newton's method ends in any fixed point, also in one that the iteration leaves from everywhere beside it: a saddle of what
    it maximises. In directions in which plain steps become longer, the way of the plain step is therefore taken, as far as
    Newton's method would go back, so that fixed points attract and repel as they do without extrapolation.

    Parameters
    ----------
    slopes
        Derivatives (D, D) of the plain step's end with respect to its beginning.
    units
        (D,): what is a step of length 1 in each coordinate.

    References
    ----------
    Dauphin, Y., Pascanu, R., Gulcehre, C., Cho, K., Ganguli, S., & Bengio, Y. (2014). Identifying and attacking the saddle
    point problem in high-dimensional non-convex optimization. Advances in Neural Information Processing Systems, 27.
    https://arxiv.org/abs/1406.2572

    Examples
    --------
    >>> iteration = lambda x: np.array([0.9, 1.1]) * x + 1
    >>> steps = StableNewton(np.diag([0.9, 1.1]), np.ones(2))
    >>> steps(np.zeros(2), iteration(np.zeros(2)), longest=1e9).round(6)
    array([10., 10.])
    """

    def __init__(self, slopes: np.ndarray, units: np.ndarray) -> None:
        self._slopes = slopes * units / units[:, None]
        self._units = units
        self._path: list[tuple[np.ndarray, np.ndarray]] = []
        self.stable = True
        """Whether plain steps shrink in every direction, as far as was known at the last step."""

    def __call__(self, point: np.ndarray, image: np.ndarray, longest: float) -> np.ndarray:
        """The next point, from a point and where the plain step leads; no coordinate moves farther than `longest` units."""
        self._path = [*self._path[-1:], (point / self._units, image / self._units)]
        if len(self._path) > 1:
            self._learn()
        step = self._step((image - point) / self._units)
        size = np.abs(step).max()
        return point + self._units * step * min(1.0, longest / max(size, 1e-300)) if np.isfinite(size) else image

    def _learn(self) -> None:
        """Update the slopes by the least change that explains the last step."""
        (before, led), (now, leads) = self._path
        way = now - before
        self._slopes = self._slopes + np.outer(leads - led - self._slopes @ way, way) / max(way @ way, 1e-300)

    def _step(self, plain: np.ndarray) -> np.ndarray:
        if not np.isfinite(self._slopes).all():
            return np.full_like(plain, np.nan)
        found = np.linalg.eig(self._slopes)
        slope, axes = np.asarray(found[0], complex), np.asarray(found[1], complex)
        part = np.linalg.lstsq(axes, plain.astype(complex), rcond=None)[0]
        growing = np.real(slope) > 1
        self.stable = not (np.real(slope) > 1 + FLAT).any()
        left = np.where(growing, slope - 1, 1 - slope)
        return np.real(axes @ (part / np.where(np.abs(left) < FLAT, FLAT, left)))
