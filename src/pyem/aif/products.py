"""Products of a few numbers, written as sums of products, which are faster than the call of a matrix product."""

from __future__ import annotations

import functools
import math
import operator

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

FEW = 256
"""Number of products up to which their sum is quicker than a matrix product (measured)."""
SHORT = 16
"""Number of terms of each sum up to which sums are quicker than a matrix product (measured)."""


def product(terms: str, *operands: ArrayLike) -> Array:
    """Compute ``jnp.einsum(terms, *operands)``; every letter is an axis, and no letter comes twice in an operand.

    Examples
    --------
    >>> product("ij,j->i", jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1.0, 10.0])).tolist()
    [21.0, 43.0]
    """
    given, after = terms.split("->")
    parts = [(label, jnp.asarray(operand)) for label, operand in zip(given.split(","), operands, strict=True)]
    sizes = {letter: n for label, part in parts for letter, n in zip(label, part.shape, strict=True)}
    if math.prod(sizes.values()) > FEW:
        return jnp.einsum(terms, *operands)
    letters = after + "".join(sorted(set(sizes) - set(after)))

    def spread(label: str, part: Array) -> Array:
        order = [label.index(letter) for letter in letters if letter in label]
        return part.transpose(order).reshape([sizes[letter] if letter in label else 1 for letter in letters])

    all_ = functools.reduce(operator.mul, (spread(label, part) for label, part in parts))
    return all_.sum(tuple(range(len(after), len(letters))))


def by_rows(q: ArrayLike, table: ArrayLike) -> Array:
    """Compute ``q @ table.T`` of (n, j) and (k, j): each row of `table` averaged over each row of `q`.

    Few terms are added up along the first axis, which the compiler does for many results at once.

    Examples
    --------
    >>> by_rows(jnp.array([[0.5, 0.5]]), jnp.array([[1.0, 3.0], [2.0, 2.0]])).tolist()
    [[2.0, 2.0]]
    """
    q, table = jnp.asarray(q), jnp.asarray(table)
    if q.shape[1] > SHORT:
        return q @ table.T
    return (q.T[:, :, None] * table.T[:, None, :]).sum(0)
