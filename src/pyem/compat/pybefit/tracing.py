"""Functions of what NumPyro evaluates by itself, what it vectorises, and what JAX compiles as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

from pyem.numerics.jit import compiled


def is_compiled(x: Any) -> bool:
    """Whether JAX is compiling what `x` is part of; ``Predictive`` alone only vectorises it."""
    # JAX tells the two apart by the kind of tracer only, which has no public name.
    while type(x).__name__ == "BatchTracer":
        x = x.val
    return isinstance(x, Tracer)


def double(x: Any) -> contextlib.AbstractContextManager[Any]:
    """Double precision, whatever the program runs in; what JAX compiles as a whole has one precision, that of the whole.

    Raises
    ------
    ValueError
        If `x` is part of what is compiled in single precision.
    """
    if not is_compiled(x):
        return jax.enable_x64(True)
    if jnp.result_type(float) != jnp.float64:
        raise ValueError(
            "agents are evaluated in double precision; within jax.jit, or in an MCMC of one's own, call numpyro.enable_x64() "
            "before anything else (run_nuts and run_svi see to it themselves); Predictive of several samples needs it, too, or "
            "parallel=True"
        )
    return contextlib.nullcontext()


def evaluated_alone(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """`function` with a program of its own, of value and gradient, for where it is evaluated by itself.

    NumPyro looks at a program a few times, one operation after another, before it compiles it.
    """
    alone = compiled(quick=True)(jax.value_and_grad(function))

    @jax.custom_jvp
    def value(z: Array) -> Array:
        return function(z) if is_compiled(z) else alone(z)[0]

    @value.defjvp
    def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        (z,), (change,) = primals, tangents
        known, slope = (jax.value_and_grad(function) if is_compiled(z) else alone)(z)
        return known, (slope * change).sum()

    return value
