"""Random numbers from NumPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def generator(key: Any) -> np.random.Generator:
    """Make a NumPy generator from an integer seed or a JAX random key.

    Raises
    ------
    TypeError
        If it is neither.
    """
    plain = plain_key(key)
    return np.random.default_rng(plain % 2**64 if isinstance(plain, int) else plain.ravel().tolist())


def seed_of(key: Any) -> int:
    """Make a whole number from an integer seed or a JAX random key.

    Raises
    ------
    TypeError
        If it is neither.
    """
    plain = plain_key(key)
    return plain if isinstance(plain, int) else int(plain.ravel()[-1])


def plain_key(key: Any) -> Any:
    """Convert a seed or JAX random key to a whole number or an array of two, which can be written to files.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return int(key)
    return np.asarray(jax.random.key_data(as_key(key)))


def gaussian_draws(mean: np.ndarray, cov: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` draws (S, n, P) from every subject's Gaussian: mean (S, P), covariance (S, P, P).

    Examples
    --------
    >>> gaussian_draws(np.zeros((3, 2)), np.tile(np.eye(2), (3, 1, 1)), 5, generator(0)).shape
    (3, 5, 2)
    """
    return mean[:, None] + rng.normal(size=(len(mean), n, mean.shape[1])) @ np.swapaxes(root(cov), 1, 2)


def root(cov: np.ndarray) -> np.ndarray:
    """Matrices (S, P, P) with ``root @ root' = cov``; a negative eigenvalue, which rounding can make, counts as 0."""
    values, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.maximum(values, 0))[:, None]


def as_key(key: Any) -> Array:
    """Make a JAX random key from an integer seed or a key.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return jax.random.key(int(key))
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    if isinstance(key, jax.Array | np.ndarray) and key.shape == (2,):
        return jax.random.wrap_key_data(jnp.asarray(key, jnp.uint32))
    raise TypeError(f"key must be a whole number or a JAX random key, but was {key!r}")
