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


def averages(table: ArrayLike, q: ArrayLike) -> Array:
    """Compute ``table @ q.T`` of (k, j) and (n, j): each row of `table` averaged over each row of `q`, (k, n).

    Few terms are added up along the first axis, which the compiler does for many results at once.

    Examples
    --------
    >>> averages(jnp.array([[1.0, 3.0], [2.0, 2.0]]), jnp.array([[0.5, 0.5]])).tolist()
    [[2.0], [2.0]]
    """
    table, q = jnp.asarray(table), jnp.asarray(q)
    if q.shape[1] > SHORT:
        return table @ q.T
    return (table.T[:, :, None] * q.T[:, None, :]).sum(0)
