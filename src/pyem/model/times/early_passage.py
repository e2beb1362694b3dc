"""First passage of a Wiener process through a moving bound, as long as the other bound can be neglected.

The distance from the bound is a Wiener process whose drift is the slope of the bound. Against one without drift (Girsanov) it
is weighted by the exponential of minus the integral of the curvature times the distance. Given when it ends, the distance is
a bridge of the Bessel process of dimension three. Far from the bound this is Gaussian, so that two cumulants of the integral
are enough, and their sum is that of the free process; near it the integral is small. What is computed here is what differs.

References
----------
Salminen, P. (1988). On the first hitting time and the last exit time for a Brownian motion to/from a moving boundary. Advances
in Applied Probability, 20(2), 411-426.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

NODES = 6
"""Number of nodes of the integral over the time until the bound is reached."""


def log_reached(
    bound: Callable[[Array], Array], curvature: Callable[[Array], Array], start: Array, time: Array
) -> Array:
    """Log-densities, in nats, of reaching a lower and an upper bound at `time`, (2, time), each as if it were the only one.

    Parameters
    ----------
    bound, curvature
        Distance of both bounds from 0 at some times, and its second derivative.
    start
        Start between the bounds at time 0.
    time
        Seconds, above 0, as many as there are.
    """
    ways = jnp.array([-1.0, 1.0])[:, None]
    distance = bound(jnp.zeros(())) - ways * start
    gap = (bound(time) - ways * start) ** 2 / (2 * time)
    free = jnp.log(distance) - 1.5 * jnp.log(time) - gap - 0.5 * math.log(2 * math.pi)
    x, weight = np.polynomial.legendre.leggauss(NODES)
    share, weight = (x + 1) / 2, weight / 2
    sd = np.sqrt(share * (1 - share)) * jnp.sqrt(time)[:, None]
    bends = curvature(time[:, None] * share) * weight * time[:, None] * sd
    more, variance = _moments(jnp.maximum(distance[..., None] * (1 - share) / sd, 1e-6))
    second = jnp.einsum("ti,etij,tj->et", bends, _less(share, variance), bends)
    return free - (bends * more).sum(-1) + 0.5 * second


def _less(share: np.ndarray, variance: Array) -> Array:
    """Covariances of the standardised distance at two times, less those of a Gaussian bridge."""
    low, high = np.minimum(share[:, None], share), np.maximum(share[:, None], share)
    correlation = np.sqrt(low * (1 - high) / (high * (1 - low)))
    spread = jnp.sqrt(variance[..., :, None] * variance[..., None, :])
    # Far from the bound distances are correlated as those of a bridge, near it as their squares are.
    return jnp.asarray(correlation) * (spread * (spread + (1 - spread) * correlation) - 1)


def _moments(ratio: Array) -> tuple[Array, Array]:
    """Excess of a Gaussian vector's mean length over the length `ratio` of its mean, and the variance of its length.

    It has dimension three, and unit variances.
    """
    bell = math.sqrt(2 / math.pi) * jnp.exp(-0.5 * ratio**2)
    outside = lax.erfc(ratio * math.sqrt(0.5))
    more = bell + (1 - outside) / ratio - ratio * outside
    return more, jnp.maximum(3 - 2 * ratio * more - more**2, 1e-12)
