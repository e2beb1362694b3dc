"""Coordinates in which groups are proposed: standard deviations by their inverse hyperbolic sine in place of the logarithm.

The density of a standard deviation that may be 0 is finite there. Of its logarithm that is an exponential tail, from which a
proposal that looks like a Gaussian draws too rarely. The inverse hyperbolic sine of a standard deviation ends at 0, where
draws beyond it are left out, and is the logarithm where the standard deviation is large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyem.infer.hierarchy import Hierarchy

Density = Callable[[np.ndarray], np.ndarray]
"""Log-density (D,) at coordinates of groups (D, G)."""

LEAST = 1e-12
"""Least inverse hyperbolic sine, so that it has a logarithm."""


class ProposalCoordinates(NamedTuple):
    """The inverse hyperbolic sine of standard deviations, in units of their own; other coordinates as they are.

    Coordinates `v` are those of a `Hierarchy` (in which standard deviations have logarithms), `u` those of proposals.
    """

    sds: slice
    """Coordinates of standard deviations."""
    center: np.ndarray
    """Logarithms of their units in coordinates `v`, (sd,): coordinates of standard deviations of which the sine is 1."""
    scale: np.ndarray
    """Units of coordinates `v`, in logarithms of standard deviations, (sd,)."""

    @classmethod
    def around(cls, spec: Hierarchy, scale: np.ndarray, v: np.ndarray) -> ProposalCoordinates:
        """Take the standard deviations at coordinates `v` (G,) as their units; `scale` (G,) are the units of coordinates."""
        first = int(np.sum(spec.free))
        sds = slice(first, first + len(spec.estimated))
        return cls(sds, np.asarray(v)[sds], np.asarray(scale)[sds])

    def of(self, v: np.ndarray) -> np.ndarray:
        """Coordinates `u` (..., G) at coordinates `v` (..., G)."""
        u = np.array(v, float)
        u[..., self.sds] = np.arcsinh(np.exp(self.scale * (u[..., self.sds] - self.center)))
        return u

    def back(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates `v` (D, G) at `u` (D, G), and the log-Jacobian (D,); minus infinity beyond standard deviations of 0."""
        sds = u[:, self.sds]
        size = np.maximum(np.abs(sds), LEAST)
        v = np.array(u, float)
        # The logarithm of sinh, without overflow.
        v[:, self.sds] = self.center + (size + np.log(-np.expm1(-2 * size)) - np.log(2)) / self.scale
        log_jacobian = -(np.log(np.tanh(size)) + np.log(self.scale)).sum(1)
        return v, np.where((sds > 0).all(1), log_jacobian, -np.inf)

    def moments(self, v: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (G,) and covariance (G, G) of coordinates `u`, roughly, from those of `v`."""
        u = self.of(v)
        slope = np.ones(len(v))
        slope[self.sds] = self.scale * np.tanh(u[self.sds])
        return u, cov * np.outer(slope, slope)

    def density(self, of: Density) -> Density:
        """A log-density by coordinates `v` as one by coordinates `u`."""

        def at(u: np.ndarray) -> np.ndarray:
            v, log_jacobian = self.back(u)
            inside = np.isfinite(log_jacobian)
            out = np.full(len(u), -np.inf)
            if inside.any():
                out[inside] = of(v[inside]) + log_jacobian[inside]
            return out

        return at
