"""The functions of pyEM around the first-passage density of the diffusion model, over the library's own distribution."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.compat.math import norm2alpha
from pyem.model.times import Wiener

A_CAP, T0_CAP, T0_SHIFT = 4.0, 0.5, 2.2
"""Largest separation of the bounds and non-decision time (seconds), and the unconstrained value of half the latter."""
SV_CAP, ST_CAP, SZ_CAP = 2.5, 0.4, 0.9
"""Largest variability between trials: sd of the drift, widths of the non-decision time (seconds) and of the start (share)."""
EPS_VAR = 1e-8
"""Width below which a distribution counts as a point."""


def a_xform(x: Any) -> Any:
    """Separation of the bounds, from the unconstrained scale.

    Examples
    --------
    >>> float(a_xform(0.0))
    2.0
    """
    return A_CAP * norm2alpha(x)


def t0_xform(x: Any) -> Any:
    """Non-decision time in seconds, from the unconstrained scale.

    Examples
    --------
    >>> float(t0_xform(2.2))
    0.25
    """
    return T0_CAP * norm2alpha(np.subtract(x, T0_SHIFT))


def sv_xform(x: Any) -> Any:
    """Standard deviation of the drift between trials, from the unconstrained scale."""
    return SV_CAP * norm2alpha(x)


def st_xform(x: Any) -> Any:
    """Width of the non-decision time between trials in seconds, from the unconstrained scale."""
    return ST_CAP * norm2alpha(x)


def sz_xform(x: Any) -> Any:
    """Width of the starting point between trials as a share of the separation, from the unconstrained scale."""
    return SZ_CAP * norm2alpha(x)


@functools.partial(jax.jit, static_argnums=5)
def _lower(rt: Any, v: Any, a: Any, z: Any, sv: Any, varies: bool) -> Any:
    return Wiener(v, a, z, 0.0, sv if varies else None).log_prob((jnp.zeros(jnp.shape(rt), int), rt))


def wfpt_sv_logpdf(rt: Any, v: Any, a: Any, z: Any, sv: Any = 0.0) -> Any:
    """Log-density of reaching the lower bound at a time, with a drift that varies between trials.

    Parameters
    ----------
    rt
        Time since the start, in seconds; where it is not above 0, the log-density is minus infinity.
    v, sv
        Drift and its standard deviation between trials. For the upper bound, give ``-v`` and ``1 - z``.
    a, z
        Separation of the bounds, and where the process starts as a share of it.

    Returns
    -------
    A float for numbers, else an array.

    References
    ----------
    Navarro, D. J., & Fuss, I. G. (2009). Fast and accurate calculations for first-passage times in Wiener diffusion models.
    Journal of Mathematical Psychology, 53(4), 222-230. https://doi.org/10.1016/j.jmp.2009.02.003

    Examples
    --------
    >>> round(wfpt_sv_logpdf(0.5, 1.0, 1.5, 0.5, sv=0.3), 4)
    -1.718
    """
    parts = np.broadcast_arrays(*(np.asarray(part, float) for part in (rt, v, a, z, sv)))
    there = parts[0] > 0
    with jax.enable_x64(True):
        found = np.asarray(_lower(np.where(there, parts[0], 1.0), *parts[1:], bool((parts[4] > 0).any())))
    out = np.where(there, found, -np.inf)
    return float(out) if out.ndim == 0 else out


def wfpt_logpdf(rt: Any, v: Any, a: Any, z: Any) -> Any:
    """Log-density of reaching the lower bound at a time; see `wfpt_sv_logpdf`.

    Examples
    --------
    >>> round(wfpt_logpdf(0.5, 0.0, 1.0, 0.5), 4), wfpt_logpdf(-0.1, 0.0, 1.0, 0.5)
    (-1.3227, -inf)
    """
    return wfpt_sv_logpdf(rt, v, a, z)


def wfpt_logf(tt: Any, w: Any, err: float = 1e-10) -> Any:
    """Log-density of scaled time without drift, between bounds at 0 and 1, from the start `w`; exact whatever `err` is.

    Examples
    --------
    >>> round(wfpt_logf(0.5, 0.5), 4)
    -1.3227
    """
    del err
    return wfpt_sv_logpdf(tt, 0.0, 1.0, w)


def marginal_logpdf(
    rt: Any,
    v: Any,
    a: Any,
    zc: Any,
    t0: Any,
    sv: Any,
    st: float,
    sz: float,
    n_st: int = 11,
    n_sz: int = 11,
) -> Any:
    """Log-density of a response time at the lower bound, averaged over non-decision times and starts between trials.

    Parameters
    ----------
    rt
        Response time, in seconds.
    v, a, zc, t0
        Drift, separation, and the centres of start and non-decision time.
    sv, st, sz
        Standard deviation of the drift, and widths of non-decision time (``t0 +- st / 2``) and start (``zc +- sz / 2``).
    n_st, n_sz
        Nodes of the Gauss-Legendre rules. A non-decision time beyond `rt` adds nothing.

    Examples
    --------
    >>> round(marginal_logpdf(0.8, 1.0, 1.5, 0.5, 0.3, 0.0, 0.0, 0.0), 4) == round(wfpt_logpdf(0.5, 1.0, 1.5, 0.5), 4)
    True
    """
    (times, of_t), (starts, of_z) = _rule(t0, st, n_st), _rule(zc, sz, n_sz)
    parts = np.broadcast_arrays(*(np.asarray(part, float) for part in (rt, v, a, sv)))
    rt, v, a, sv = (part[..., None, None] for part in parts)
    each = wfpt_sv_logpdf(rt - times[..., :, None], v, a, starts[..., None, :], sv)
    terms = each + np.log(of_t[:, None] * of_z)
    top = np.maximum(terms.max((-2, -1)), -1e300)
    with np.errstate(divide="ignore"):
        out = top + np.log(np.exp(terms - top[..., None, None]).sum((-2, -1)))
    return float(out) if out.ndim == 0 else out


def _rule(centre: Any, width: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes around a centre, last axis, and their weights, which add to 1; one node where there is no width."""
    centre = np.asarray(centre, float)[..., None]
    if width < EPS_VAR:
        return centre, np.ones(1)
    x, weights = np.polynomial.legendre.leggauss(n)
    return centre + width / 2 * x, weights / 2
