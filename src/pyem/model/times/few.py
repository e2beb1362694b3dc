"""Functions of a few numbers, with derivatives by these numbers instead of by all parameters behind them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array

Function = Callable[..., Array]
"""Function of some arrays of one shape, element by element."""


class Known(Protocol):
    """The derivatives of a function of a few numbers."""

    @property
    def first(self) -> tuple[Array, ...]:
        """The gradient."""
        ...

    @property
    def second(self) -> tuple[tuple[Array, ...], ...]:
        """The Hessian, row by row."""
        ...


def by_inputs(function: Function) -> Function:
    """Differentiate `function` by its inputs up to the second order, whatever parameters these depend on.

    The chain rule then needs a few products for each parameter, and pair of parameters, in place of a pass through all of the
    function. It can be differentiated any number of times; from the third derivative on, what is differentiated is the second.

    Parameters
    ----------
    function
        A function of some arrays of one shape, element by element.

    Returns
    -------
    Callable
        The function, whose arguments are broadcast to one shape, and may be plain numbers.

    Examples
    --------
    >>> product = by_inputs(lambda x, y: x * jnp.exp(y))
    >>> [float(g) for g in jax.grad(product, argnums=(0, 1))(3.0, 0.0)]
    [1.0, 3.0]
    """

    def slopes(*inputs: Array) -> tuple[Array, ...]:
        return tuple(_slope(function, k)(*inputs) for k in range(len(inputs)))

    def bends(*inputs: Array) -> tuple[tuple[Array, ...], ...]:
        n = len(inputs)
        half = [[_slope(_slope(function, j), k)(*inputs) for k in range(j + 1)] for j in range(n)]
        return tuple(tuple(half[max(j, k)][min(j, k)] for k in range(n)) for j in range(n))

    return _with_rules(function, slopes, lambda *inputs: (slopes(*inputs), bends(*inputs)))


def with_slopes(known: Callable[..., Known]) -> Callable[[Function], Function]:
    """A decorator like `by_inputs`, for a function whose first and second derivatives by its inputs are `known`.

    What is worked out by hand is many times less to compute, and to compile, than what is derived line by line.

    Parameters
    ----------
    known
        A function of the same inputs.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def known(x):
    ...     return SimpleNamespace(first=(jnp.cos(x),), second=((-jnp.sin(x),),))
    >>> sine = with_slopes(known)(jnp.sin)
    >>> [float(jax.grad(sine)(0.0)), float(jax.grad(jax.grad(sine))(0.0))]
    [1.0, -0.0]
    """

    def decorate(function: Function) -> Function:
        # What is worked out for the first order is all that is needed for both: one function, which is compiled once.
        @jax.jit
        def orders(*inputs: Array) -> tuple[tuple[Array, ...], Any]:
            found = known(*inputs)
            return found.first, found.second

        return _with_rules(function, lambda *inputs: orders(*inputs)[0], orders)

    return decorate


def _with_rules(
    function: Function,
    first: Callable[..., tuple[Array, ...]],
    orders: Callable[..., tuple[tuple[Array, ...], Any]],
) -> Function:
    """Give `function` derivatives by its inputs, which are traced once for all places where they are needed.

    `first` returns those of the first order, and `orders` those of the first and of the second.
    """
    plain, bends = jax.jit(function), jax.jit(lambda *inputs: orders(*inputs)[1])

    @jax.custom_jvp
    def value(*inputs: Array) -> Array:
        return plain(*inputs)

    @jax.custom_jvp
    @jax.jit
    def slopes(*inputs: Array) -> tuple[Array, ...]:
        return first(*inputs)

    # Both orders share most of what they are made of, and so are one function.
    @jax.custom_jvp
    @jax.jit
    def both(*inputs: Array) -> tuple[tuple[Array, ...], Any]:
        return orders(*inputs)

    def chained(bent: Any, ways: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(_along(row, ways) for row in bent)

    @value.defjvp
    def _(inputs: tuple[Array, ...], ways: tuple[Array, ...]) -> tuple[Array, Array]:
        return value(*inputs), _along(slopes(*inputs), ways)

    @slopes.defjvp
    def _(inputs: tuple[Array, ...], ways: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        slope, bent = both(*inputs)
        return slope, chained(bent, ways)

    @both.defjvp
    def _(inputs: tuple[Array, ...], ways: tuple[Array, ...]) -> tuple[Any, Any]:
        bent, third = jax.jvp(bends, inputs, ways)
        return (slopes(*inputs), bent), (chained(bent, ways), third)

    @functools.wraps(function)
    def call(*inputs: Array) -> Array:
        return value(*jnp.broadcast_arrays(*map(jnp.asarray, inputs)))

    return call


def _slope(function: Function, k: int) -> Function:
    """Derivative by the input `k` alone: only what one derivative needs is computed."""

    def slope(*inputs: Array) -> Array:
        one = lambda x: function(*inputs[:k], x, *inputs[k + 1 :])  # noqa: E731
        return jax.jvp(one, (inputs[k],), (jnp.ones_like(inputs[k]),))[1]

    return slope


def _along(slopes: tuple[Array, ...], ways: tuple[Array, ...]) -> Array:
    total = slopes[0] * ways[0]
    for slope, way in zip(slopes[1:], ways[1:], strict=True):
        total = total + slope * way
    return total
