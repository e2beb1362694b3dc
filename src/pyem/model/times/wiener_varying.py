"""First passage of a Wiener process whose start and non-decision time differ between trials, by few well-placed nodes.

Both are uniform, and drift is Gaussian, which is integrated exactly. All is in units of the separation of the bounds: the root
of the standardised time, ``sqrt(time) / a``, the drift ``v a``, and the start as a share. Nodes are equally dense in the root
of the time, where the density has no pole at 0, and leave out what is negligible: times too short for the nearest start, and
starts too far away for the time. So none is lost where the density is nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from pyem.model.times import jets
from pyem.model.times.few import with_jets
from pyem.model.times.jets import Jet
from pyem.model.times.means import nodes
from pyem.model.times.wiener_series import EARLIEST, below_earliest
from pyem.model.times.wiener_standard import slopes_by_start

NODES_T, NODES_Z, NODES = 8, 5, 15
"""Number of Gauss-Legendre nodes of the time and of the start if both differ between trials, and of either if it does alone."""
FEW, MANY = 12.0, 30.0
"""Nats by which what is left out lies below the largest density, for few nodes and for many."""
PASSAGE = 0.5
"""Share by which the ends of what is averaged over pass smoothly from those of the parameters to those of what matters. With an
edge there, log-densities would have edges as high as the nodes are inexact, and third derivatives, as differences, any size."""
_AWAY = 1e-9
"""Least distance of a start from its bound by which times are left out."""
_NEAREST = 0.01
"""Least distance of a start from its bound, as a share of the mean one, by which times are judged impossible."""


def log_density(
    time: ArrayLike, v: ArrayLike, a: ArrayLike, w: ArrayLike, sv: ArrayLike | None, sz: Array | None, st: Array | None
) -> Array:
    """Log-density, in nats, of reaching the lower bound at `time`.

    Parameters
    ----------
    time
        Seconds since the mean start. Where no response can be so fast, the log-density goes on as a parabola.
    v, a, w
        Drift, separation of the bounds, and the mean share of it between the lower bound and the start.
    sv
        Standard deviation of the drift between trials.
    sz, st
        Widths of the uniform starts, as a share of `a`, at most ``2 w`` and ``2 (1 - w)``, and of the uniform times.

    Examples
    --------
    >>> round(float(log_density(0.5, 0.0, 1.0, 0.5, None, jnp.asarray(0.2), None)), 3)
    -1.339
    """
    time, v, a, w = (jnp.asarray(value, jnp.result_type(float)) for value in (time, v, a, w))
    between = (a > 0) & (w > 0) & (w < 1)
    a, w = jnp.where(between, a, 1.0), jnp.where(between, w, 0.5)
    width_z = jnp.zeros_like(w) if sz is None else jnp.where(between, sz, 0.0)
    near, far = w - width_z / 2, w + width_z / 2
    unit = (a * jnp.maximum(near, _NEAREST * w)) ** 2
    last = time if st is None else time + st / 2
    impossible = below_earliest(last / unit) - below_earliest(jnp.asarray(EARLIEST))
    last = jnp.maximum(last, EARLIEST * unit)
    h, k = v * a, jnp.zeros_like(a) if sv is None else (jnp.asarray(sv) * a) ** 2
    end = jnp.sqrt(last) / a
    if st is None:
        found = _over_starts(end, h, k, near, far)
    elif sz is None:
        found = _over_times(end, st / a**2, h, k, w)
    else:
        found = _over_both(end, st / a**2, h, k, near, far)
    return jnp.where(between, found - 2 * jnp.log(a) + impossible, -jnp.inf)


# -- means over starts and times ----------------------------------------------------------------------------------------------


@with_jets
def _over_starts(end: Jet, h: Jet, k: Jet, near: Jet, far: Jet) -> Jet:
    """The log-density at the root `end` of the standardised time, averaged over starts."""
    return _mean_over_starts(NODES, MANY, end, h, k, near, far) - jets.log(end)


@with_jets
def _over_times(end: Jet, width: Jet, h: Jet, k: Jet, w: Jet) -> Jet:
    """The log-density averaged over standardised times, whose latest root is `end` and whose range is `width`."""
    return _mean_over_times(NODES, MANY, _at_start, end, width, h, k, w)


@with_jets
def _over_both(end: Jet, width: Jet, h: Jet, k: Jet, near: Jet, far: Jet) -> Jet:
    return _mean_over_times(NODES_T, FEW, partial(_mean_over_starts, NODES_Z, FEW), end, width, h, k, near, far)


def _mean_over_times(
    n: int, nats: float, log_of: Callable[..., Jet], end: Jet, width: Jet, h: Jet, k: Jet, near: Jet, *far: Jet
) -> Jet:
    """The mean over times, by `n` nodes, of what ``log_of(root, h, k, near, *far)`` is the logarithm of."""
    s = end * end
    # The nearest start needs longer than this, by the exponent of the first image; one at the bound itself, hardly any time.
    away = jets.where(near.value > _AWAY, near, _AWAY)
    squared, rest = away * away, s * (h * h * s + 2 * nats) * (k * s + 1.0)
    least = squared * s / (squared + rest)
    passage = PASSAGE * least * rest / (squared + rest)
    earliest = s - width
    late = earliest.value >= least.value + passage.value
    first = jets.sqrt(jets.larger(least, earliest, passage))
    # What the mean over roots is multiplied by to be one over times.
    share = jets.where(late, 2.0 / (first + end), 2.0 * (end - first) / jets.where(late, 1.0, width))
    outer = (first, end, h, k, near, *far)
    begin, stop, *rest = jets.anew(outer)
    x, p = nodes(jnp.ndim(end.value), n)
    logs = log_of(begin + (stop - begin) * x, *rest)
    return jets.log_sum_exp(logs + jnp.log(p)).through(outer) + jets.log(share)


def _mean_over_starts(n: int, nats: float, *outer: Jet) -> Jet:
    """Logarithm of the mean over starts, by `n` nodes, of the density times the root of the time."""
    root, h, k, near, far = jets.anew(outer)
    s = root * root
    moved = jets.larger(0.0, near + h * s, root)
    # The farthest start that matters, and the share of starts up to it.
    end = jets.sqrt(moved * moved + 2 * nats * s * (k * s + 1.0)) - h * s
    passage = PASSAGE * (end - near)
    cut = far.value > end.value - passage.value
    last = -1.0 * jets.larger(-1.0 * end, -1.0 * far, passage)
    share = jets.where(cut, last - near, 1.0) / jets.where(cut, far - near, 1.0)
    inner = (root, h, k, near, jets.where(cut, last, far))
    root, h, k, begin, stop = jets.anew(inner)
    y, p = nodes(jnp.ndim(root.value), n)
    logs = _at_start(root, h, k, begin + (stop - begin) * y)
    return (jets.log_sum_exp(logs + jnp.log(p)).through(inner) + jets.log(share)).through(outer)


def _at_start(*outer: Jet) -> Jet:
    """Logarithm of the density times the root of the time."""
    values = (jet.value for jet in outer)
    return _node(*values).through(outer) if any(jet.first for jet in outer) else Jet(_log_node(*values))


# -- one node -----------------------------------------------------------------------------------------------------------------


def _log_node(root: Array, h: Array, k: Array, w: Array) -> Array:
    """Logarithm of the density times the root of the time."""
    s = root**2
    d = 1 + k * s
    tilt = (0.5 * k * w**2 - h * w - 0.5 * h**2 * s) / d - 0.5 * jnp.log(d)
    return jnp.log(root) + slopes_by_start(s, w).log_f + tilt


def _node(root: Array, h: Array, k: Array, w: Array) -> Jet:
    """`_log_node` with its gradient and Hessian by the root of the time, drift, its variance and the start."""
    s = root**2
    f, d = slopes_by_start(s, w), 1 + k * s
    n, m, e = 0.5 * k * w**2 - h * w - 0.5 * h**2 * s, -(w + h * s), k * w - h
    value = jnp.log(root) + f.log_f + n / d - 0.5 * jnp.log(d)
    d2, d3 = d * d, d * d * d
    by_s = 0.5 * f.ww - 0.5 * (h**2 + k) / d - n * k / d2
    by_k = 0.5 * (w**2 - s) / d - n * s / d2
    first = {0: 1 / root + 2 * root * by_s, 1: m / d, 2: by_k, 3: f.w + e / d}
    by_ss = 0.25 * (f.wwww - f.ww**2) + (h**2 + 0.5 * k) * k / d2 + 2 * n * k**2 / d3
    by_sk = (0.5 * (s - w**2) * k + 0.5 * h**2 * s - n) / d2 + 2 * n * s * k / d3 - 0.5 / d
    second = {
        (0, 0): -1 / s + 2 * by_s + 4 * s * by_ss,
        (1, 0): -2 * root * (h / d + m * k / d2),
        (2, 0): 2 * root * by_sk,
        (3, 0): 2 * root * (0.5 * (f.www - f.ww * f.w) - k * e / d2),
        (1, 1): -s / d,
        (2, 1): -m * s / d2,
        (3, 1): -1 / d,
        (2, 2): (0.5 * s**2 - w**2 * s) / d2 + 2 * n * s**2 / d3,
        (3, 2): w / d - e * s / d2,
        (3, 3): f.ww - f.w**2 + k / d,
    }
    return Jet(value, first, second)
