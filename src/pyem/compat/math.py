"""Transforms between the real line and natural ranges, and the return value of a fit function.

All take numbers, lists, NumPy arrays and JAX arrays.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

LARGE = 1e7
"""Return value of a fit function where it is not finite."""
EDGE = 1e-12
"""Least distance of a natural value from its bounds, so that it is finite on the unconstrained scale."""


def array_module(*values: Any) -> Any:
    """Return ``jax.numpy`` if a value is JAX's, else NumPy; JAX is not loaded for this."""
    jax = sys.modules.get("jax")
    if jax is not None and any(isinstance(value, jax.Array) for value in values):
        return sys.modules["jax.numpy"]
    return np


def _array(x: Any) -> tuple[Any, Any]:
    if isinstance(x, list | tuple):
        parts = array_module(*x)
        return parts, parts.asarray(x)
    xp = array_module(x)
    return xp, x if xp is not np else np.asarray(x, float)[()]


def norm2alpha(x: Any) -> Any:
    """The logistic function: from the real line to (0, 1).

    Examples
    --------
    >>> float(norm2alpha(0.0))
    0.5
    """
    xp, x = _array(x)
    return xp.exp(-xp.logaddexp(0.0, -x))


def alpha2norm(alpha: Any) -> Any:
    """The logit: from (0, 1) to the real line. Values are moved to 1e-12 from the bounds first, so that it is finite.

    Examples
    --------
    >>> round(float(alpha2norm(norm2alpha(1.5))), 10), round(float(alpha2norm(0.0)), 2)
    (1.5, -27.63)
    """
    return beta2norm(alpha, 1.0)


def norm2beta(x: Any, max_val: float = 20.0) -> Any:
    """The logistic function scaled to (0, `max_val`).

    Examples
    --------
    >>> float(norm2beta(0.0))
    10.0
    """
    return max_val * norm2alpha(x)


def beta2norm(beta: Any, max_val: float = 20.0) -> Any:
    """The inverse of `norm2beta`. Values are moved to 1e-12 from the bounds first, so that it is finite.

    Examples
    --------
    >>> round(float(beta2norm(norm2beta(-0.7))), 10)
    -0.7
    """
    xp, beta = _array(beta)
    inside = xp.clip(beta, EDGE, max_val - EDGE)
    return xp.log(inside) - xp.log(max_val - inside)


def softmax(evs: Any, beta: Any) -> Any:
    """Probabilities of the options (last axis) with values `evs` at inverse temperature `beta`.

    Examples
    --------
    >>> [round(float(p), 4) for p in softmax([1.0, 0.0], 2.0)]
    [0.8808, 0.1192]
    """
    xp = array_module(evs, beta)
    logits = xp.asarray(beta) * xp.asarray(evs)
    weights = xp.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def calc_fval(negll: Any, params: Any, prior: Any = None, output: str = "npl") -> Any:
    """Return value of a fit function: the negative log-likelihood or log-posterior; 1e7 where it is not finite.

    Parameters
    ----------
    negll
        Negative log-likelihood, in nats.
    params
        Unconstrained parameters, (P,).
    prior
        Anything with ``logpdf``, or a dict with ``"logpdf"``; None for a flat prior.
    output
        ``"npl"``: `negll` minus the log prior density. ``"nll"``: `negll`.

    Examples
    --------
    >>> from pyem.compat.priors import GaussianPrior
    >>> calc_fval(10.0, [0.0], output="nll")
    10.0
    >>> round(calc_fval(10.0, [0.0], prior=GaussianPrior([0.0], [1.0])), 4)
    10.9189
    """
    if output not in ("npl", "nll"):
        raise ValueError(f"output={output!r}; expected 'npl' or 'nll'")
    value = negll if prior is None or output == "nll" else negll - log_density(prior, params)
    xp = array_module(value)
    if xp is not np:
        return xp.where(xp.isfinite(value), value, LARGE)
    return value if np.isfinite(value) else LARGE


def log_density(prior: Any, params: Any) -> Any:
    """Log-density of `params` under `prior`, an object with ``logpdf`` or a dict with ``"logpdf"``."""
    logpdf = prior["logpdf"] if isinstance(prior, dict) else prior.logpdf
    value = logpdf(params)
    return value.sum() if getattr(value, "ndim", 0) else value
