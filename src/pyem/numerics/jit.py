"""Compilation for the loops over trials, with the options that suit their many small operations."""

from __future__ import annotations

import functools
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, Protocol, runtime_checkable

import jax

from pyem.numerics.lapack import one_by_one

_CPU_OPTIONS: dict[str, Any] = {
    # Calls into a library of kernels cost more than operations on a few hundred lanes themselves: without them value,
    # gradient and Hessian of a model with three parameters take a third of the time.
    "xla_cpu_experimental_ynn_fusion_type": "",
}


_QUICK_OPTIONS: dict[str, Any] = {
    # What runs a few times only is compiled in a third of the time without optimisation, and in half of that without the
    # fused loops that large data gain from.
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
}


_LIGHT_OPTIONS: dict[str, Any] = {
    # Optimised, but without the fused loops: compiled in three fifths of the time, and a sixth slower to run.
    "xla_backend_optimization_level": 2,
    "xla_cpu_use_fusion_emitters": False,
}

_Effort = Literal["full", "light", "quick"]
_EFFORTS: dict[_Effort, dict[str, Any]] = {"full": {}, "light": _LIGHT_OPTIONS, "quick": _QUICK_OPTIONS}


@functools.cache
def _options(effort: _Effort) -> dict[str, Any]:
    """Options of an effort that this version of the compiler supports, but for those that the environment sets itself."""
    if jax.default_backend() != "cpu":
        return {}
    set_already = {flag.lstrip("-").partition("=")[0] for flag in os.environ.get("XLA_FLAGS", "").split()}
    options = _CPU_OPTIONS | _EFFORTS[effort]
    wanted = {name: value for name, value in options.items() if name not in set_already}
    # Each trial is a compilation: one if all of them are known.
    return wanted if _is_known(wanted) else {name: value for name, value in wanted.items() if _is_known({name: value})}


def _is_known(options: dict[str, Any]) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return False
    return True


@runtime_checkable
class Valued(Protocol):
    """A static argument that contains numbers, such as a fixed parameter, which need not be constants of the compiled code."""

    def split_values(self) -> tuple[Any, Any]:
        """Split off the numbers: the argument without them, hashable, and the numbers, a pytree that may be empty."""
        ...

    def join_values(self, values: Any) -> Any:
        """Put the numbers back: the inverse of `split_values`, a method of its first result."""
        ...


_making = threading.Lock()

Asked = bool | Callable[..., bool]
"""A truth value, or a function of the arguments that returns one."""


def compiled(*static: int, quick: Asked = False, light: Asked = False) -> Callable[[Callable[..., Any]], Any]:
    """A decorator like ``jax.jit``, with the arguments at the positions `static` taken as constants.

    Numbers in a static argument that is `Valued` are traced: other numbers do not compile anything anew.

    `quick` is for functions that run a few times only, or little each time: compiled in less time, and slower to run.
    `light` is for those that run often but have little to do each time, which lie between. Both may be functions of the
    arguments. LAPACK is called for one matrix at a time, see `pyem.numerics.lapack`.

    As with ``jax.jit``, ``.lower(*args)`` only traces; ``.compile()`` of what it returns compiles what a call will use.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def joined(values: dict[int, Any], *args: Any) -> Any:
            return function(*(arg.join_values(values[k]) if k in values else arg for k, arg in enumerate(args)))

        @functools.cache
        def made(effort: _Effort) -> Any:
            # On first use: the options depend on the backend, which an import must not start.
            places = tuple(k + 1 for k in static)
            safe = _without_waiting(joined, places) if jax.default_backend() == "cpu" else joined
            return jax.jit(safe, static_argnums=places, compiler_options=_options(effort))

        def jitted(effort: _Effort) -> Any:
            # Threads that begin together would each make, and compile, one of their own.
            with _making:
                return made(effort)

        def suited(args: tuple[Any, ...]) -> Any:
            return jitted("quick" if _is_so(quick, args) else "light" if _is_so(light, args) else "full")

        @functools.wraps(function)
        def call(*args: Any) -> Any:
            return suited(args)(*_split(args, static))

        call.lower = lambda *args: suited(args).lower(*_split(args, static))  # type: ignore[attr-defined]
        call._cache_size = lambda: sum(jitted(effort)._cache_size() for effort in _EFFORTS)  # type: ignore[attr-defined]
        return call

    return decorate


def _without_waiting(function: Callable[..., Any], static: tuple[int, ...]) -> Callable[..., Any]:
    """Rewrite `function` with its LAPACK calls one by one, given the constants at the positions `static`."""

    # Under its own name, by which logs and caches of compiled programs know it.
    @functools.wraps(function)
    def call(*args: Any) -> Any:
        traced = [k for k in range(len(args)) if k not in static]

        def of_traced(*some: Any) -> Any:
            given = dict(zip(traced, some, strict=True))
            return function(*(given.get(k, arg) for k, arg in enumerate(args)))

        return one_by_one(of_traced)(*(args[k] for k in traced))

    return call


@functools.cache
def _is_valued(kind: type) -> bool:
    return issubclass(kind, Valued)


def _is_so(asked: Asked, args: tuple[Any, ...]) -> bool:
    return asked(*args) if callable(asked) else asked


def _split(args: tuple[Any, ...], static: tuple[int, ...]) -> tuple[Any, ...]:
    """Split off the numbers in static arguments, by position; the second part is all arguments without them."""
    values, left = {}, list(args)
    for k in static:
        if _is_valued(type(args[k])):
            left[k], numbers = args[k].split_values()
            if jax.tree.leaves(numbers):
                values[k] = numbers
    return values, *left


TRACES: Counter[tuple[str, str]] = Counter()
"""Number of times that each compiled function was traced for each model, for tests."""
