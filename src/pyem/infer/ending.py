"""Status of each subject after a search, in natural units where an estimate is at an end of its parameter's range."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyem.model.model import Model
from pyem.population.posterior import Status

UNFINISHED = 1e-8
"""Nats left to gain above which a search counts as unfinished, however it ended."""
NEAR_END = 1e-4
"""Distance from an end of a range, as a share of the range, below which a natural value counts as at that end."""
SAME = 1e-6
"""Nats by which a likelihood may change on the way to the end of a range and still count as flat."""
VAGUE = 1e6
"""Variance of an unconstrained parameter above which the likelihood is flat in it."""


def ended_as(positive: np.ndarray, decrement: np.ndarray, stuck: np.ndarray, *, tol: float) -> np.ndarray:
    """A `Status` for each subject (S,), before anything is known of ends of ranges.

    Parameters
    ----------
    positive, decrement, stuck
        (S,): whether the curvature is positive definite, what is left to gain, and whether no step was better.
    tol
        Tolerance of the search.
    """
    unfinished = decrement > max(tol, UNFINISHED)
    status = np.where(positive, int(Status.CONVERGED), int(Status.FLAT))
    return np.where(unfinished, np.where(stuck, int(Status.STUCK), int(Status.MAX_STEPS)), status)


def flat_somewhere(model: Model, status: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """(S,): subjects whose likelihood is flat at the mode, or so nearly that it may be an end of a parameter's range."""
    return (status == Status.FLAT) | (_vague(cov) & np.isfinite(model.limits)).any(1)


def _vague(cov: np.ndarray) -> np.ndarray:
    """(S, P): parameters about which the data say next to nothing."""
    return np.abs(np.diagonal(cov, axis1=1, axis2=2)) > VAGUE


def at_an_end(
    model: Model,
    x: np.ndarray,
    log_lik: np.ndarray,
    cov: np.ndarray,
    mute: np.ndarray,
    look: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Find those of the `mute` (S,) subjects (see `flat_somewhere`) who have a parameter at an end of its range.

    On the unconstrained scale, a likelihood is flat near an end of a range. It is at the end in natural units, or where the
    likelihood stays the same to the end but not to the other end; the same to both ends, it does not depend on the parameter.

    Parameters
    ----------
    x, log_lik, cov
        Modes (S, P), the likelihood there (S,), and their covariance (S, P, P).
    look
        Log-likelihood (S,) at other parameters (S, P).
    """
    near = mute & _near_an_end(model, x).any(1)
    flat = mute[:, None] & ~near[:, None] & np.isfinite(model.limits) & _vague(cov)
    out = near.copy()
    # The first flat parameter of every subject, then the second: few subjects have more than one.
    for k in range(int(flat.sum(1).max())):
        which = flat & (flat.cumsum(1) == k + 1)
        ends = [np.where(which, end, x) for end in (-model.limits, model.limits)]
        low, high = (np.abs(look(end) - log_lik) < SAME for end in ends)
        out |= which.any(1) & (low != high)
    return out


def _near_an_end(model: Model, x: np.ndarray) -> np.ndarray:
    """(S, P): natural values at a finite end of a finite range."""
    low, high = np.array([p.transform.bounds for p in model.parameters for _ in p.names]).T
    with np.errstate(invalid="ignore"):
        gap = np.minimum(model.natural(x) - low, high - model.natural(x))
        return np.isfinite(high - low) & (gap <= NEAR_END * (high - low))
