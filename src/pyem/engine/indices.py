"""Reads and writes beyond the ends of arrays in the functions of a model, which JAX does not report.

JAX takes the last place for an index that is too large, counts a negative one from the end, and passes over what is written
beyond the end. A model's functions are therefore traced and run once more, one operation after the other, with an eye on
every index. What was read or written beyond the ends becomes NaN, so that only what has an effect is reported: what
``jnp.where`` puts aside is not.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend import core

CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2", "checkpoint", "custom_lin")
"""Operations that call another function with the same arguments."""


@dataclasses.dataclass(frozen=True)
class Access:
    """A place in a function where an index is used.

    Parameters
    ----------
    kind
        ``"reads"`` or ``"writes"``.
    size
        Length of the axis.
    place
        Place in the code, in words.
    """

    kind: str
    size: int
    place: str


def watched(function: Callable[..., Any], *args: Any) -> tuple[Array, list[tuple[Array, Array]], list[Access]]:
    """Whether indices beyond the ends change the result of `function`, and which indices are beyond.

    Returns
    -------
    Array, list, list
        A truth value; (a truth value, the index) for each access; and what these are.
    """
    closed = jax.make_jaxpr(function)(*args)
    watch = _Watch()
    leaves = jax.tree.leaves(args)
    out = watch.run(closed.jaxpr, closed.consts, leaves)
    plain = jax.tree.leaves(function(*args))
    hurt = [
        (jnp.isnan(a) & ~jnp.isnan(b)).any()
        for a, b in zip(out, plain, strict=True)
        if jnp.issubdtype(jnp.asarray(b).dtype, jnp.inexact)
    ]
    return functools.reduce(jnp.logical_or, hurt, watch.lost), watch.flags, watch.found


class _Watch:
    """Runs a traced function one operation after the other, and records its use of indices."""

    def __init__(self) -> None:
        self.flags: list[tuple[Array, Array]] = []
        self.found: list[Access] = []
        self.lost: Array = jnp.zeros((), bool)

    def run(self, jaxpr: Any, consts: Any, args: Any) -> list[Any]:
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        values |= dict(zip(jaxpr.invars, args, strict=True))
        made: dict[Any, Any] = {}
        below: dict[Any, Array] = {}
        read = lambda v: v.val if isinstance(v, core.Literal) else values[v]  # noqa: E731
        for equation in jaxpr.eqns:
            given = [read(v) for v in equation.invars]
            out = self._operation(equation, given, below)
            values |= dict(zip(equation.outvars, out, strict=True))
            made |= dict.fromkeys(equation.outvars, equation)
            self._negative(equation, made, read, below)
        return [read(v) for v in jaxpr.outvars]

    def _operation(self, equation: Any, given: list[Any], below: dict[Any, Array]) -> list[Any]:
        name = equation.primitive.name
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        if name in CALLS and inner is not None:
            return self.run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), given)
        if name == "scan":
            return self._scan(equation.params, given)
        if name == "cond":
            return self._cond(equation.params, given)
        if name == "while":
            return self._while(equation.params, given)
        out = equation.primitive.bind(*given, **equation.params)
        out = list(out) if equation.primitive.multiple_results else [out]
        seen = _INDEXED.get(name) or (_written if name.startswith("scatter") else None)
        return out if seen is None else [self._poisoned(seen(equation, given), equation, given, out[0], below)]

    def _poisoned(self, seen: Any, equation: Any, given: list[Any], out: Array, below: dict[Any, Array]) -> Array:
        kind, axes = seen
        wrong = jnp.zeros((), bool)
        for k, index, last, size, variable in axes:
            before: Any = below.get(variable, index)
            # For several axes, each has its own place in the last dimension.
            before = before[..., k] if before.ndim == index.ndim + 1 else before
            said = jnp.where(before < 0, before, index) if before.shape == index.shape else index
            bad = (said < 0) | (index > last)
            self.flags.append((bad.any(), said.ravel()[jnp.argmax(bad.ravel())].astype(int)))
            self.found.append(Access(kind, size, place_of(equation)))
            wrong = wrong | bad.any()
        if jnp.issubdtype(out.dtype, jnp.inexact):
            return jnp.where(wrong, jnp.nan, out)
        # Whole numbers have no NaN to mark a meaningless value.
        self.lost = self.lost | wrong
        return out

    def _negative(
        self, equation: Any, made: dict[Any, Any], read: Callable[[Any], Any], below: dict[Any, Array]
    ) -> None:
        """Remember an index before it is counted from the end, under the name of what it becomes."""
        name, source = equation.primitive.name, equation.invars
        if name == "select_n" and len(source) == 3 and (test := made.get(_hashable(source[0]))) is not None:
            if test.primitive.name == "lt" and test.invars[0] is source[1] and _is_zero(test.invars[1]):
                below[equation.outvars[0]] = jnp.asarray(read(source[1]))
        elif (
            name in ("convert_element_type", "broadcast_in_dim", "reshape", "squeeze") and _hashable(source[0]) in below
        ):
            before = below[_hashable(source[0])]
            shape = equation.outvars[0].aval.shape
            if before.size == np.prod(shape):
                below[equation.outvars[0]] = before.reshape(shape)
        elif name == "concatenate":
            parts = [below.get(_hashable(v), jnp.asarray(read(v))) for v in source]
            if any(_hashable(v) in below for v in source):
                below[equation.outvars[0]] = jnp.concatenate(parts, equation.params["dimension"])

    def _scan(self, params: dict[str, Any], given: list[Any]) -> list[Any]:
        n_consts, n_carry, inner = params["num_consts"], params["num_carry"], params["jaxpr"]
        consts, first, rest = given[:n_consts], given[n_consts : n_consts + n_carry], given[n_consts + n_carry :]
        found: list[Access] = []

        def body(carry: Any, xs: Any) -> Any:
            watch = _Watch()
            out = watch.run(inner.jaxpr, inner.consts, [*consts, *carry, *xs])
            found[:], lost = watch.found, watch.lost
            kept = [jnp.asarray(new, old.dtype) for new, old in zip(out[:n_carry], carry, strict=True)]
            return kept, (out[n_carry:], watch.flags, lost)

        first = [jnp.asarray(value) for value in first]
        carry, (out, flags, lost) = lax.scan(body, first, rest, length=params["length"], reverse=params["reverse"])
        self.lost = self.lost | lost.any()
        for (bad, value), access in zip(flags, found, strict=True):
            self.flags.append((bad.any(), value[jnp.argmax(bad)]))
            self.found.append(access)
        return [*carry, *out]

    def _cond(self, params: dict[str, Any], given: list[Any]) -> list[Any]:
        """Run all branches; only the branch that is taken has an effect."""
        which, args, outs = given[0], given[1:], []
        for k, branch in enumerate(params["branches"]):
            watch = _Watch()
            outs.append(watch.run(branch.jaxpr, branch.consts, args))
            self.flags += [(bad & (which == k), value) for bad, value in watch.flags]
            self.found += watch.found
            self.lost = self.lost | (watch.lost & (which == k))
        return [lax.select_n(which, *map(jnp.asarray, values)) for values in zip(*outs, strict=True)]

    def _while(self, params: dict[str, Any], given: list[Any]) -> list[Any]:
        """Run a loop as long as it goes on without a watch; this makes NaN of values without meaning."""
        n_test, n_body = params["cond_nconsts"], params["body_nconsts"]
        for_test, for_body, first = given[:n_test], given[n_test : n_test + n_body], given[n_test + n_body :]
        test, plain = (core.jaxpr_as_fun(params[name]) for name in ("cond_jaxpr", "body_jaxpr"))
        found: list[Access] = []

        def step(carry: list[Any]) -> Any:
            watch = _Watch()
            out = watch.run(params["body_jaxpr"].jaxpr, params["body_jaxpr"].consts, [*for_body, *carry])
            found[:] = watch.found
            kept = [jnp.asarray(new, jnp.asarray(old).dtype) for new, old in zip(out, carry, strict=True)]
            return kept, watch.flags, watch.lost

        def body(state: Any) -> Any:
            carry, watched, flags, lost = state
            out, new, gone = step(watched)
            both = [(a | b, jnp.where(a, v, w)) for (a, v), (b, w) in zip(flags, new, strict=True)]
            return plain(*for_body, *carry), out, both, lost | gone

        first = [jnp.asarray(value) for value in first]
        _, flags, lost = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(step, first))
        _, out, flags, lost = lax.while_loop(
            lambda state: test(*for_test, *state[0])[0], body, (first, first, flags, lost)
        )
        self.flags, self.found, self.lost = [*self.flags, *flags], [*self.found, *found], self.lost | lost
        return out


def _hashable(variable: Any) -> Any:
    return None if isinstance(variable, core.Literal) else variable


def _is_zero(variable: Any) -> bool:
    return isinstance(variable, core.Literal) and np.ndim(variable.val) == 0 and variable.val == 0


def _gathered(equation: Any, given: list[Any]) -> Any:
    numbers, sizes, shape = equation.params["dimension_numbers"], equation.params["slice_sizes"], given[0].shape
    # Reads with mode="fill" or "clip" define the result for an index beyond the end, but not for a negative one.
    told = "PROMISE" not in str(equation.params["mode"])
    return "reads", [
        (k, given[1][..., k], np.inf if told else shape[d] - sizes[d], shape[d], _hashable(equation.invars[1]))
        for k, d in enumerate(numbers.start_index_map)
    ]


def _sliced(equation: Any, given: list[Any]) -> Any:
    sizes, shape = equation.params["slice_sizes"], given[0].shape
    return "reads", [
        (0, jnp.asarray(given[1 + d]), shape[d] - sizes[d], shape[d], _hashable(equation.invars[1 + d]))
        for d in range(len(shape))
        if sizes[d] < shape[d]
    ]


def _updated(equation: Any, given: list[Any]) -> Any:
    part, shape = given[1].shape, given[0].shape
    return "writes", [
        (0, jnp.asarray(given[2 + d]), shape[d] - part[d], shape[d], _hashable(equation.invars[2 + d]))
        for d in range(len(shape))
        if part[d] < shape[d]
    ]


def _written(equation: Any, given: list[Any]) -> Any:
    numbers = equation.params["dimension_numbers"]
    inserted = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    window = iter(numbers.update_window_dims)
    width = {d: 1 if d in inserted else given[2].shape[next(window)] for d in range(given[0].ndim)}
    return "writes", [
        (k, given[1][..., k], given[0].shape[d] - width[d], given[0].shape[d], _hashable(equation.invars[1]))
        for k, d in enumerate(numbers.scatter_dims_to_operand_dims)
    ]


_INDEXED = {"gather": _gathered, "dynamic_slice": _sliced, "dynamic_update_slice": _updated}


@functools.lru_cache
def _own_folders() -> tuple[str, ...]:
    return jax.__path__[0], __file__.rpartition("engine")[0]


def place_of(equation: Any) -> str:
    """Line of the user's code that an operation comes from; empty if it is not known."""
    trace = equation.source_info.traceback
    if trace is None:
        return ""
    for frame in trace.frames:
        if not frame.file_name.startswith(_own_folders()):
            return f"{frame.file_name.rpartition('/')[2]}, line {frame.line_num}, in {frame.function_name}"
    return ""
