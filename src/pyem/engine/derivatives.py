"""Values, gradients and Hessians of functions whose outputs depend on one column each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax


class Derivatives(NamedTuple):
    """Value, gradient and Hessian; the subject (or lane) is the last axis: (S,), (P, S), (P, P, S)."""

    value: Array
    grad: Array
    hess: Array


FORWARD, FORWARD_OF_FEW = 2, 3
"""Number of parameters up to which Hessians use forward mode alone; beyond it forward over reverse mode (measured). The second
holds for few lanes, whose time goes with the number of operations: nine models with three parameters take .54 to 1.02 of the
time so, and compile in two thirds of it; with a thousand lanes some take .8 and others 1.3."""
FEW_LANES = 128
"""Largest number of lanes that count as few."""


def derivatives(function: Callable[[Array], Array], x: Array, *, in_turn: bool = False) -> Derivatives:
    """Value, gradient and Hessian of ``function: (P, L) -> (L,)`` where output l depends on column l of `x` only.

    Forward mode in both orders needs no memory for a reverse sweep and compiles in half the time, but its work grows with
    the square of the number of parameters; forward over reverse grows linearly.

    All directions are gone through together, or `in_turn`. Together, what all have in common is one pass; but compilers
    compute cheap parts of it anew for each direction, and of a closed form nearly all is cheap.
    """
    basis = _basis(x)
    forward = FORWARD_OF_FEW if x.shape[-1] <= FEW_LANES else FORWARD
    first = gradients if x.shape[0] <= forward else reverse_gradients

    if in_turn:
        (value, grad), push = jax.linearize(lambda x: first(function, x), x)
        return Derivatives(value, grad, lax.map(lambda e: push(e)[1], basis))

    def along(e: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        return jax.jvp(lambda x: first(function, x), (x,), (e,))

    (value, grad), (_, hess) = jax.vmap(along, out_axes=((None, None), 0))(basis)
    return Derivatives(value, grad, hess)


def gradients(function: Callable[[Array], Array], x: Array, *, in_turn: bool = False) -> tuple[Array, Array]:
    """Value and gradient of ``function: (P, L) -> (L,)`` where output l depends on column l of `x` only."""
    if in_turn:
        value, push = jax.linearize(function, x)
        return value, lax.map(push, _basis(x))
    return jax.vmap(lambda e: jax.jvp(function, (x,), (e,)), out_axes=(None, 0))(_basis(x))


def reverse_gradients(function: Callable[[Array], Array], x: Array, *, in_turn: bool = False) -> tuple[Array, Array]:
    """Value and gradient as by `gradients`, in reverse mode, which has one direction however many parameters there are."""
    del in_turn
    value, pull = jax.vjp(function, x)
    return value, pull(jnp.ones_like(value))[0]


def _basis(x: Array) -> Array:
    """Basis vectors (P, P, L), the same in every lane."""
    return jnp.eye(x.shape[0], dtype=x.dtype)[:, :, None] * jnp.ones_like(x)
