"""Functions of a few numbers, with derivatives by these numbers instead of by all parameters behind them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.times import jets

Function = Callable[..., Array]
"""Function of some arrays of one shape, element by element."""


class Known(Protocol):
    """A function of a few numbers, and its derivatives by them."""

    @property
    def value(self) -> Array:
        """The function."""
        ...

    @property
    def first(self) -> tuple[Array, ...]:
        """The gradient."""
        ...

    @property
    def second(self) -> tuple[tuple[Array, ...], ...]:
        """The Hessian, row by row."""
        ...


class Derived(NamedTuple):
    """A function of a few numbers, with its gradient and its Hessian, row by row."""

    value: Array
    first: tuple[Array, ...]
    second: tuple[tuple[Array, ...], ...]


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

    return _with_rules(
        function,
        lambda *inputs: (function(*inputs), slopes(*inputs)),
        lambda *inputs: (function(*inputs), slopes(*inputs), bends(*inputs)),
    )


def with_slopes(known: Callable[..., Known]) -> Callable[[Function], Function]:
    """A decorator like `by_inputs`, for a function whose first and second derivatives by its inputs are `known`.

    What is worked out by hand is many times less to compute, and to compile, than what is derived line by line.

    Parameters
    ----------
    known
        A function of the same inputs that returns the value with its derivatives, which share most of what they are made of.

    Examples
    --------
    >>> def known(x):
    ...     return Derived(jnp.sin(x), (jnp.cos(x),), ((-jnp.sin(x),),))
    >>> sine = with_slopes(known)(jnp.sin)
    >>> [float(jax.grad(sine)(0.0)), float(jax.grad(jax.grad(sine))(0.0))]
    [1.0, -0.0]
    """

    def decorate(function: Function) -> Function:
        # The first order takes from it what it needs, so that it is traced once for both.
        @jax.jit
        def orders(*inputs: Array) -> tuple[Array, tuple[Array, ...], Any]:
            found = known(*inputs)
            return found.value, found.first, found.second

        return _with_rules(function, lambda *inputs: orders(*inputs)[:2], orders)

    return decorate


def with_jets(function: Callable[..., jets.Jet]) -> Function:
    """A function of arrays, from one of jets that carry its derivatives through.

    Parameters
    ----------
    function
        A function of some jets, element by element; of jets that carry no derivative it need not find any.

    Examples
    --------
    >>> product = with_jets(lambda x, y: x * x * y)
    >>> [float(g) for g in jax.grad(product, argnums=(0, 1))(3.0, 2.0)]
    [12.0, 9.0]
    """

    @jax.jit
    def orders(*values: Array) -> tuple[Array, tuple[Array, ...], Any]:
        found = function(*jets.inputs(*values))
        full = lambda part: jnp.broadcast_to(part, found.value.shape)  # noqa: E731
        n = range(len(values))
        first = tuple(full(found.first.get(i, 0.0)) for i in n)
        return (
            found.value,
            first,
            tuple(tuple(full(found.second.get((max(i, j), min(i, j)), 0.0)) for j in n) for i in n),
        )

    return _with_rules(
        lambda *values: function(*jets.constants(*values)).value, lambda *values: orders(*values)[:2], orders
    )


def _with_rules(
    function: Function,
    first: Callable[..., tuple[Array, tuple[Array, ...]]],
    orders: Callable[..., tuple[Array, tuple[Array, ...], Any]],
) -> Function:
    """Give `function` derivatives by its inputs, which are traced once for all places where they are needed.

    `first` returns the value and the derivatives of the first order, and `orders` these and those of the second: what one
    order is made of, the next one is as well, so that each is one function with those below it.

    JAX forgets these rules where the reverse mode of a `lax.scan` around the function is differentiated once more; what is
    inside is then gone through line by line.
    """
    plain, bends = jax.jit(function), jax.jit(lambda *inputs: orders(*inputs)[2])

    @jax.custom_jvp
    def value(*inputs: Array) -> Array:
        return plain(*inputs)

    @jax.custom_jvp
    @jax.jit
    def one(*inputs: Array) -> tuple[Array, tuple[Array, ...]]:
        return first(*inputs)

    @jax.custom_jvp
    @jax.jit
    def two(*inputs: Array) -> tuple[Array, tuple[Array, ...], Any]:
        return orders(*inputs)

    def chained(bent: Any, ways: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(_along(row, ways) for row in bent)

    @value.defjvp
    def _(inputs: tuple[Array, ...], ways: tuple[Array, ...]) -> tuple[Array, Array]:
        found, slope = one(*inputs)
        return found, _along(slope, ways)

    @one.defjvp
    def _(inputs: tuple[Array, ...], ways: tuple[Array, ...]) -> tuple[Any, Any]:
        found, slope, bent = two(*inputs)
        return (found, slope), (_along(slope, ways), chained(bent, ways))

    @two.defjvp
    def _(inputs: tuple[Array, ...], ways: tuple[Array, ...]) -> tuple[Any, Any]:
        found, slope, _ = two(*inputs)
        bent, third = jax.jvp(bends, inputs, ways)
        return (found, slope, bent), (_along(slope, ways), chained(bent, ways), third)

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
