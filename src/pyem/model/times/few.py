"""Functions of a few numbers whose derivatives are taken by these numbers, and not by all parameters behind them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def by_inputs(function: Callable[..., Array]) -> Callable[..., Array]:
    """`function` of a few arrays of one shape, element by element, differentiated by its inputs up to the second order.

    Where the inputs depend on many parameters, the chain rule then needs a few products for each parameter, and pair of
    parameters, in place of a pass through all of the function. What is differentiated again is the second derivative.

    Examples
    --------
    >>> product = by_inputs(lambda x, y: x * jnp.exp(y))
    >>> [float(g) for g in jax.grad(product, argnums=(0, 1))(3.0, 0.0)]
    [1.0, 3.0]
    """

    @jax.custom_jvp
    def value(*inputs: Array) -> Array:
        return function(*inputs)

    @jax.custom_jvp
    def slopes(*inputs: Array) -> tuple[Array, ...]:
        return tuple(_slopes(function, inputs))

    def bends(*inputs: Array) -> Array:
        return _slopes(lambda *inputs: _slopes(function, inputs), inputs)

    @value.defjvp
    def _(inputs: tuple[Array, ...], ways: tuple[Array, ...]) -> tuple[Array, Array]:
        return value(*inputs), _along(slopes(*inputs), ways)

    @slopes.defjvp
    def _(inputs: tuple[Array, ...], ways: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        return slopes(*inputs), tuple(_along(row, ways) for row in bends(*inputs))

    @functools.wraps(function)
    def call(*inputs: Array) -> Array:
        return value(*jnp.broadcast_arrays(*map(jnp.asarray, inputs)))

    return call


def _slopes(function: Callable[..., Array], inputs: tuple[Array, ...]) -> Array:
    """The derivative by each input, as a new first axis."""
    n = len(inputs)
    ways = [
        jnp.eye(n, dtype=inputs[k].dtype)[k].reshape(n, *[1] * inputs[k].ndim) * jnp.ones_like(inputs[k])
        for k in range(n)
    ]
    return jax.vmap(lambda *ways: jax.jvp(function, inputs, ways)[1])(*ways)


def _along(slopes: Any, ways: tuple[Array, ...]) -> Array:
    total = slopes[0] * ways[0]
    for slope, way in zip(slopes[1:], ways[1:], strict=True):
        total = total + slope * way
    return total
