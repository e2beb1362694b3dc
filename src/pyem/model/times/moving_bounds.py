"""First passage of a Wiener process between two bounds that move: one solver for any smooth bound.

The bounds are ``+h(time)`` and ``-h(time)``. On the scale of the bounds, ``y = x / h``, and of the time ``tau``, the integral
of ``1 / h**2``, the process without drift is a Wiener process between -1 and 1 but for a potential, ``h'' h**3 y**2 / 2``: the
slope of the bounds and the factor of the scale are exact. So bounds that are straight lines have a solution in closed form;
for all others the potential is solved for on a grid, as the ratio of the density to that without it, which is smooth. Before
the bounds are felt the density is Gaussian, which the grid starts from; and as long as one bound only can have been met, its
density is that of `pyem.model.times.early_passage`. Drift, and its variance between trials, multiply the density exactly
(Girsanov).

References
----------
Smith, P. L. (2000). Stochastic dynamic models of response time and accuracy: a foundational primer. Journal of Mathematical
Psychology, 44(3), 408-463. https://doi.org/10.1006/jmps.1999.1260

Buonocore, A., Giorno, V., Nobile, A. G., & Ricciardi, L. M. (1990). On the two-boundary first-crossing-time problem for
diffusion processes. Journal of Applied Probability, 27(1), 102-114. https://doi.org/10.2307/3214599
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.model.times import wiener_series as series
from pyem.model.times.early_passage import log_reached
from pyem.model.times.tails import log_positive

LAST = 10.0
"""Time in seconds at which the grid ends; the change of the bounds is taken to end there too."""
STEPS = 128
MODES = 32
STRONGEST = 30.0
"""Largest strength of the potential in one step."""
SMALLEST = 0.02
"""Least share of their first distance to which bounds may close."""
_UNSEEN = 1e-4
"""Share of the flux through a bound, for modes of length one, below which rounding and neglected terms are too large."""
_SHARP = 7.0
"""Precision on the scale of the bounds above which the modes do not represent the density."""
_CLEAR = 7.5
"""Distance from a bound, in standard deviations, at which the bound has no effect."""
Bound = Callable[[Array], Array]
"""Function from seconds since the start to the distance of a bound, as a share of the first distance."""


class Moving(NamedTuple):
    """Solution on the grid for moving bounds.

    Attributes
    ----------
    tau
        The integral of ``1 / h**2``, at each point.
    ratio
        Logarithm of what the potential makes of the density at the lower and the upper bound, (2, point).
    """

    tau: Array
    ratio: Array


class Height(NamedTuple):
    """A bound at some time: its distance, its slope, and its curvature."""

    h: Array
    slope: Array
    curve: Array


def height(bound: Bound, half: Array, time: Array) -> Height:
    """The distance ``h`` of a bound, with its derivatives; a bound that has nearly closed is led smoothly to where it ends."""
    time = jnp.maximum(time, 0.0)
    ones = jnp.ones_like(time)
    ended = lambda at: half * _ended(bound(at))  # noqa: E731
    first = lambda at: jax.jvp(ended, (at,), (ones,))  # noqa: E731
    (h, slope), (_, curve) = jax.jvp(first, (time,), (ones,))
    return Height(h, slope, curve)


def _ended(share: Array) -> Array:
    """Limit a share of the distance smoothly, so that it never falls below the smallest one.

    With two derivatives, so that likelihoods of responses that a bound leaves no time for show the way back.
    """
    u = jnp.clip(share / (2 * SMALLEST), 0.0, 1.0)
    return jnp.where(share > 2 * SMALLEST, share, 2 * SMALLEST * (0.5 + u**3 - 0.5 * u**4))


def solved(bound: Bound, half: Array, start: Array) -> Moving:
    """The solution for bounds at the distance `half` in the beginning, and a start at the share `start` of it, from -1 to 1."""
    x, weight = np.polynomial.legendre.leggauss(4)
    edges = LAST * (np.arange(STEPS + 1) / STEPS) ** 2
    width = np.diff(edges)
    at = height(bound, half, jnp.asarray(edges[:-1, None] + width[:, None] * (x + 1) / 2))
    over = lambda values: (values * weight).sum(1) * width / 2  # noqa: E731
    steps, pulls = over(at.h**-2), over(0.5 * at.h * at.curve)
    tau = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])
    begin, later = height(bound, half, jnp.zeros(())), height(bound, half, jnp.asarray(edges[1:]))
    free = _free(later, begin, start, jnp.asarray(edges[1:]))
    found, known = _late(steps, pulls, start, free)
    ends = jnp.array([-1.0, 1.0])[:, None]
    plain = series.log_density(tau[1:], 0.0, 2.0, jnp.stack([1 + start, 1 - start])[:, None] / 2)
    early = _early(bound, half, start, jnp.asarray(edges[1:]), tau[1:], ends)
    ratio = jnp.where(known & (free.precision < _SHARP), found - plain, early)
    return Moving(tau, jnp.concatenate([jnp.zeros((2, 1)), ratio], axis=1))


class Free(NamedTuple):
    """Density before the bounds have an effect, at each point of the grid: a Gaussian on the scale of the bounds.

    Attributes
    ----------
    mean, precision, log_size
        Moments of the Gaussian, and the logarithm of its integral.
    holds
        Whether no bound has been felt by then.
    """

    mean: Array
    precision: Array
    log_size: Array
    holds: Array


def _free(at: Height, first: Height, start: Array, time: Array) -> Free:
    """Free density `time` after the start, for bounds that were `first` and are now `at`."""
    begin = start * first.h
    precision = at.h**2 / time - at.h * at.slope
    sharp = jnp.where(precision > 1.0, precision, 1.0)
    mean = at.h * begin / time / sharp
    exponent = 0.5 * sharp * mean**2 - 0.5 * begin**2 / time - 0.5 * first.h * first.slope * start**2
    log_size = exponent + 0.5 * jnp.log(at.h * first.h / (time * sharp))
    clear = (precision > 1.0) & ((1 - jnp.abs(mean)) * jnp.sqrt(sharp) > _CLEAR)
    return Free(mean, sharp, log_size, jnp.cumprod(clear.astype(int)) > 0)


def _late(steps: Array, pulls: Array, start: Array, free: Free) -> tuple[Array, Array]:
    """Log-densities at the lower and the upper bound, (2, point), and where the remaining modes represent them.

    In each step what is of first order in the potential is exact, and the rest is split from the diffusion.
    """
    rates, squares, rotation, flux = _modes()
    diagonal, mixing = _mixing(rates, squares, rotation)
    k = np.arange(1, MODES + 1) * math.pi / 2

    def step(carry: tuple[Array, Array], inputs: tuple[Array, Array, Free]) -> Any:
        modes, log_size = carry
        time, pull, free = inputs
        half = jnp.exp(-0.5 * (rates - rates[0]) * time)
        left = half**2 * modes
        once = pull * (diagonal * left + (mixing @ left - half**2 * (mixing @ modes)) / time)
        more = jnp.expm1(pull * squares) - pull * squares
        modes = left + once + half * (rotation @ (more * (rotation.T @ (half * modes))))
        spread = jnp.exp(-0.5 * k**2 / free.precision) * jnp.sin(k * (free.mean + 1))
        modes = jnp.where(free.holds, spread, modes)
        log_size = jnp.where(free.holds, free.log_size, log_size - rates[0] * time)
        size = jnp.sqrt((modes**2).sum())
        modes, log_size = modes / size, log_size + jnp.log(size)
        out = jnp.asarray(flux) @ modes
        return (modes, log_size), (log_positive(out) + log_size, out > _UNSEEN)

    # Limited so that no exponential overflows; the steps cannot follow stronger potentials anyway.
    pulls = jnp.clip(pulls, -STRONGEST, STRONGEST)
    first = (jnp.sin(k * (start + 1)), jnp.zeros(()))
    _, (found, seen) = lax.scan(step, first, (steps, pulls, free))
    return found.T, seen.T


def _early(bound: Bound, half: Array, start: Array, time: Array, tau: Array, ends: Array) -> Array:
    """Log ratio of densities at both bounds, (2, point), while only one bound can have been met."""
    at, begin = height(bound, half, time), height(bound, half, jnp.zeros(()))
    far, bend = (lambda s: height(bound, half, s).h), (lambda s: height(bound, half, s).curve)
    real = log_reached(far, bend, start * half, time)
    share = 1 - start * ends
    scaled = jnp.log(share) - 1.5 * jnp.log(tau) - share**2 / (2 * tau) - 0.5 * math.log(2 * math.pi)
    return real - scaled - _scale(at, begin, start)


def _scale(at: Height, begin: Height, start: Array) -> Array:
    """Logarithm of the factor that the change of scale gives a density."""
    bend = 0.5 * (begin.h * begin.slope * start**2 - at.h * at.slope)
    return bend - 1.5 * jnp.log(at.h) - 0.5 * jnp.log(begin.h)


def _modes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rates of the sine modes, the spectrum of ``y**2`` among them and its rotation, and the flux of each through both ends."""
    k = np.arange(1, MODES + 1)
    x, weight = np.polynomial.legendre.leggauss(4 * MODES)
    waves = np.sin(k[:, None] * math.pi * (x + 1) / 2)
    squares, rotation = np.linalg.eigh((waves * weight * x**2) @ waves.T)
    slope = k * math.pi / 4
    return (k * math.pi) ** 2 / 8, squares, rotation, np.stack([slope, -slope * np.cos(k * math.pi)])


def _mixing(rates: np.ndarray, squares: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part of ``y**2`` that keeps each mode, and the part that mixes modes, over the difference of their rates."""
    matrix = (rotation * squares) @ rotation.T
    gap = rates[:, None] - rates
    return np.diag(matrix), np.where(gap == 0, 0.0, matrix / np.where(gap == 0, 1.0, gap))


def log_density(
    bound: Bound, moving: Moving, half: Array, start: Array, time: Array, v: Array, sv: Array | None = None
) -> Array:
    """Log-density, in nats, of reaching the lower and the upper bound at one `time`, first axis.

    Impossible times have no infinity, but what leads back, as of `pyem.model.times.wiener_series.log_density`.
    """
    at, begin = height(bound, half, time), height(bound, half, jnp.zeros(()))
    tau, ratio = _between(bound, moving, half, time)
    w = jnp.stack([1 + start, 1 - start]) / 2
    plain = series.log_density(tau, 0.0, 2.0, w)
    path = jnp.array([-1.0, 1.0]) * at.h - start * begin.h
    seconds = jnp.maximum(time, 0.0)
    spread = 1.0 if sv is None else 1 + sv**2 * seconds
    pushed = v * path - 0.5 * v**2 * seconds + (0.0 if sv is None else 0.5 * (sv * path) ** 2)
    moved = ratio + _scale(at, begin, start) + pushed / spread - 0.5 * jnp.log(spread)
    # An impossible time stays impossible, whatever the other terms say.
    possible = tau > series.EARLIEST * (2 * w) ** 2
    return plain + jnp.where(possible, moved, jnp.clip(moved, -500.0, 500.0))


def _between(bound: Bound, moving: Moving, half: Array, time: Array) -> tuple[Array, Array]:
    """Values of ``tau`` and the ratios between points of the grid: an integral from the last point, and polynomials."""
    inside = jnp.clip(time, 0.0, LAST)
    place = jnp.sqrt(jnp.maximum(inside, 1e-12) / LAST) * STEPS
    cell = jnp.clip(lax.stop_gradient(place).astype(int), 0, STEPS - 1)
    edge = LAST * (cell / STEPS) ** 2
    tau = moving.tau[cell]
    for x, weight in zip(*np.polynomial.legendre.leggauss(4), strict=True):
        at = edge + (inside - edge) * (x + 1) / 2
        tau = tau + (inside - edge) * weight / 2 * height(bound, half, at).h ** -2
    tau = tau + (time - inside) / height(bound, half, inside).h ** 2
    low = jnp.clip(cell - 1, 0, STEPS - 3)
    weights = jnp.stack([_lagrange(k, place - low) for k in range(4)])
    return tau, lax.dynamic_slice_in_dim(moving.ratio, low, 4, -1) @ weights


def _lagrange(k: int, u: Array) -> Array:
    others = [j for j in range(4) if j != k]
    return math.prod((u - j for j in others), start=jnp.ones_like(u)) / math.prod(k - j for j in others)
