"""Reading and changing one entry of a few, by an index that differs from lane to lane.

Arrays of indices make the compiler gather and scatter, one number at a time. Where there are few entries, looking at all of
them is quicker, by a third for value, gradient and Hessian of two options, and is compiled sooner.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

FEW = 16
"""Number of entries above which gathering one is faster than looking at all of them."""


def entry(values: Array, k: Array) -> Array:
    """Entry `k` of values (n,), as ``values[k]``, for an index that the caller knows to be from 0 to n - 1.

    Examples
    --------
    >>> float(entry(jnp.array([3.0, 5.0]), 1))
    5.0
    """
    if not _looks(values, k):
        return values[k]
    return jnp.where(_here(values, k), values, jnp.zeros((), values.dtype)).sum()


def with_entry(values: Array, k: Array, new: ArrayLike) -> Array:
    """Return the values (n,) with entry `k` replaced by `new`: a number, or the same entry of an array (n,).

    Examples
    --------
    >>> values = jnp.array([3.0, 5.0])
    >>> with_entry(values, 1, 2.0).tolist(), with_entry(values, 1, values + 1).tolist()
    ([3.0, 2.0], [3.0, 6.0])
    """
    if not _looks(values, k):
        new = jnp.asarray(new)
        return values.at[k].set(new[k] if new.ndim else new)
    return jnp.where(_here(values, k), new, values)


def _here(values: Array, k: Array) -> Array:
    return jnp.arange(values.shape[0]) == k


def _looks(values: Array, k: Array) -> bool:
    return jnp.ndim(values) == 1 and jnp.ndim(k) == 0 and values.shape[0] <= FEW
