"""Compilation for the loops over trials, with the options that suit their many small operations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

_CPU_OPTIONS: dict[str, Any] = {
    # Calls into a library of kernels cost more than operations on a few hundred lanes themselves: without them value,
    # gradient and Hessian of a model with three parameters take a third of the time.
    "xla_cpu_experimental_ynn_fusion_type": "",
}


@functools.cache
def _options() -> dict[str, Any]:
    """Those of the options that this version of the compiler knows."""
    if jax.default_backend() != "cpu":
        return {}
    known = {}
    for name, value in _CPU_OPTIONS.items():
        try:
            jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
        except (jax.errors.JaxRuntimeError, ValueError):
            continue
        known[name] = value
    return known


def compiled(*static: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator like ``jax.jit``, with the arguments at the positions `static` taken as constants."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.cache
        def jitted() -> Callable[..., Any]:
            # Made on first use: the options depend on the backend, which an import must not start.
            return jax.jit(function, static_argnums=static, compiler_options=_options())

        @functools.wraps(function)
        def call(*args: Any) -> Any:
            return jitted()(*args)

        return call

    return decorate
