"""Log-probabilities of options from their logits, at any size of the logits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


@jax.custom_jvp
def _log_logistic(x: Array) -> Array:
    # The derivative of `jax.nn.log_sigmoid` takes two exponentials, and this one a logistic function.
    return jnp.minimum(x, 0.0) - jnp.log1p(jnp.exp(-jnp.abs(x)))


@_log_logistic.defjvp
def _log_logistic_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _log_logistic(primals[0]), jax.nn.sigmoid(-primals[0]) * tangents[0]


def log_softmax(logits: Array) -> Array:
    """Normalised log-probabilities of the options, last axis, in nats.

    A compiler may round a product of a parameter and a value in another way where it is subtracted than where the largest
    is looked for. At logits of 1e21 the two differ by 1e5, whose exponential is no number; so nothing here relies on it that
    the largest less itself is 0.

    Examples
    --------
    >>> [round(float(p), 4) for p in log_softmax(jnp.array([0.0, 0.0, 0.0]))]
    [-1.0986, -1.0986, -1.0986]
    """
    if logits.shape[-1] == 2:
        ahead = logits[..., 0] - logits[..., 1]
        return jnp.stack([_log_logistic(ahead), _log_logistic(-ahead)], axis=-1)
    below = _below_largest(_below_largest(logits))
    return below - jnp.log(jnp.exp(below).sum(axis=-1, keepdims=True))


def log_softmax_of(logits: Array, k: Array) -> Array:
    """Log-probability of option `k`, from 0 to n - 1, of logits (2,): as ``log_softmax(logits)[k]``, with half the work.

    Examples
    --------
    >>> round(float(log_softmax_of(jnp.array([0.0, 0.0]), 1)), 4)
    -0.6931
    """
    ahead = logits[0] - logits[1]
    return _log_logistic(jnp.where(k == 0, ahead, -ahead))


def _below_largest(values: Array) -> Array:
    return values - jax.lax.stop_gradient(values.max(axis=-1, keepdims=True))
