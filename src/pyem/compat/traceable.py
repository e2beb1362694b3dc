"""Fit functions written with ``jax.numpy``: recognised by tracing them, and made into models for the JAX engine."""

from __future__ import annotations

import dataclasses
import hashlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.compat.parts import Part
from pyem.data.dataset import Dataset
from pyem.infer.differences import WALL
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record

MAX_LEAVES = 64
"""Number of pieces of data above which they are taken for lists of numbers rather than arrays."""
MAX_OPERATIONS = 500
"""Number of operations (as of a Python loop over trials) above which second derivatives take too long to compile."""
MAX_SHAPES = 8
"""Number of shapes of data above which the other engine is quicker, as each shape is compiled anew."""


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Layout of one person's data: the arrays, and the parts that are the same for everybody."""

    tree: Any
    fixed: tuple[Any, ...]
    """Constants of the data, with `_ARRAY` in the places of arrays."""

    def build(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        rest = iter(arrays)
        leaves = [next(rest) if value is _ARRAY else value for value in self.fixed]
        return jax.tree.unflatten(self.tree, leaves)


class _Array:
    def __repr__(self) -> str:
        return "an array"


_ARRAY = _Array()


@dataclasses.dataclass(frozen=True)
class _LogLikelihood:
    """The function as a model's ``log_likelihood``: hashable, so that it is compiled once."""

    function: Callable[..., Any]
    layout: _Layout
    n_arrays: int
    program: str = ""
    """Digest of the traced operations: it changes with variables that the function reads from outside."""

    def __call__(self, p: Record, trials: Record) -> Any:
        # The whole of a person's data is one "trial", whatever its shape.
        arrays = [trials[f"data{k}"][0] for k in range(self.n_arrays)]
        return -self.at(p.x, arrays)

    def at(self, x: Any, arrays: Sequence[Any]) -> Any:
        """Negative log-likelihood at `x` (P,)."""
        value = self.function(x, *self.layout.build(arrays), prior=None, output="nll")
        return jnp.asarray(value, float).reshape(())

    def both(self, x: Any, arrays: Sequence[Any]) -> tuple[Any, Any]:
        """Negative log-likelihood, and the function's value under a standard normal prior."""
        joint = self.function(x, *self.layout.build(arrays), prior=_STANDARD, output="npl")
        return self.at(x, arrays), jnp.asarray(joint, float).reshape(())


def _taken_apart(data: tuple[Any, ...]) -> tuple[_Layout, list[np.ndarray]] | None:
    leaves, tree = jax.tree.flatten(data)
    if len(leaves) > MAX_LEAVES:
        return None
    arrays, fixed = [], []
    for leaf in leaves:
        if isinstance(leaf, str | bool | int):
            fixed.append(leaf)
            continue
        array = np.asarray(leaf) if isinstance(leaf, np.ndarray | np.generic | jax.Array | float) else None
        if array is None or array.dtype.kind not in "fiub":
            return None
        fixed.append(_ARRAY)
        arrays.append(array)
    return _Layout(tree, tuple(fixed)), arrays


class TooLong(Exception):
    """Raised for a function with too many operations to be differentiated twice, or with data of too many shapes."""


def traced_parts(function: Callable[..., Any], people: Sequence[tuple[Any, ...]], n_params: int) -> list[Part] | None:
    """The group as models for the JAX engine; None if the function cannot be traced, or tracing does not pay.

    The function is traced on abstract data and compared with what it returns for plain numbers: only a function that gives the
    same both ways is taken.

    Raises
    ------
    TooLong
        If it may be traceable, but would take too long to compile with its derivatives.
    """
    groups: dict[Any, list[int]] = {}
    pieces = []
    for s, data in enumerate(people):
        piece = _taken_apart(data)
        if piece is None:
            return None
        pieces.append(piece)
        layout, arrays = piece
        groups.setdefault((layout, tuple((a.shape, a.dtype.str) for a in arrays)), []).append(s)
        if len(groups) > MAX_SHAPES:
            raise TooLong
    parts = []
    for (layout, shapes), who in groups.items():
        likelihood = _LogLikelihood(function, layout, len(shapes))
        traced = _traced(likelihood, pieces[who[0]][1], people[who[0]], n_params)
        if traced is None:
            return None
        likelihood = dataclasses.replace(likelihood, program=_program(traced))
        parts.append(_part(likelihood, np.array(who), [pieces[s][1] for s in who], n_params))
    return parts


_known: weakref.WeakKeyDictionary[Any, dict[Any, bool | None]] = weakref.WeakKeyDictionary()
"""Whether each function can be traced, for each kind of data: True, False, or None if it is too long."""


def _traced(likelihood: _LogLikelihood, arrays: list[np.ndarray], data: tuple[Any, ...], n_params: int) -> Any:
    """Operations that the function consists of; None if it is one for the other engine."""
    shapes = tuple((array.shape, array.dtype.str) for array in arrays)
    key = (likelihood.layout, shapes, n_params)
    try:
        known = _known.setdefault(likelihood.function, {})
    except TypeError:
        # A function that cannot be referred to weakly is looked at every time.
        known = {}
    traced = None
    if known.get(key, True):
        try:
            with jax.enable_x64(True):
                traced = jax.make_jaxpr(likelihood.at)(_somewhere(n_params), arrays)
        except Exception:
            # Whatever error a function of NumPy, DataFrames or strings raises here, it is left to the other engine.
            known[key] = False
    if key not in known:
        known[key] = _found_out(likelihood, traced, arrays, data, n_params)
    if known[key] is None:
        raise TooLong
    return traced if known[key] else None


def _found_out(
    likelihood: _LogLikelihood, traced: Any, arrays: list[np.ndarray], data: tuple[Any, ...], n_params: int
) -> bool | None:
    if _operations(traced.jaxpr) > MAX_OPERATIONS:
        return None
    x = _somewhere(n_params)
    with jax.enable_x64(True):
        plain = np.asarray(likelihood.function(x, *data, prior=None, output="nll"), float)
        try:
            alone, joint = map(float, jax.jit(likelihood.both)(x, arrays))
        except Exception:
            # It can be traced for "nll" only.
            return False
    return bool(plain.size == 1 and _same(alone, plain) and _in_form(alone, joint, x))


def _somewhere(n_params: int) -> np.ndarray:
    return np.linspace(-0.4, 0.5, n_params)


def _same(compiled: float, plain: Any) -> bool:
    return bool(np.isclose(compiled, plain, rtol=1e-8, atol=1e-8, equal_nan=True).all())


def _in_form(alone: float, joint: float, x: np.ndarray) -> bool:
    """Whether a prior is only added; a function with a prior of its own needs the other engine."""
    return bool(alone >= WALL or np.isclose(joint, alone - _STANDARD.logpdf(x), rtol=1e-6, atol=1e-6))


def _program(traced: Any) -> str:
    """A digest of the operations and of the constants in them."""
    digest = hashlib.blake2b(str(traced.jaxpr).encode(), digest_size=16)
    for value in traced.consts:
        array = np.asarray(value)
        digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()


class _Standard:
    def logpdf(self, x: Any) -> Any:
        return -0.5 * (x**2).sum()


_STANDARD = _Standard()


def _operations(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        inner = [v for value in equation.params.values() for v in (value if isinstance(value, tuple) else (value,))]
        total += 1 + sum(_operations(getattr(v, "jaxpr", v)) for v in inner if hasattr(getattr(v, "jaxpr", v), "eqns"))
    return total


def _part(likelihood: _LogLikelihood, who: np.ndarray, arrays: list[list[np.ndarray]], n_params: int) -> Part:
    names = tuple(f"data{k}" for k in range(likelihood.n_arrays))
    n = len(who)
    stacked = [np.stack(column, axis=-1)[None] for column in zip(*arrays, strict=True)]
    fields = {name: _float(array) for name, array in zip(names, stacked, strict=True)}
    here = np.ones((1, n), bool)
    data = Dataset(
        fields=fields | {"response": np.zeros((1, n))},
        present=dict.fromkeys((*names, "response"), here),
        valid=here,
        lane_subject=np.arange(n),
        lane_block=np.zeros(n, int),
        subjects=who,
    )
    model = Model(
        getattr(likelihood.function, "__name__", "fit_func"),
        (Parameter("x", size=n_params),),
        log_likelihood=likelihood,
        responses=("response",),
        inputs=names,
    )
    return Part(who, model, data)


def _float(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def jitted(function: Callable[..., Any], data: tuple[Any, ...], n_params: int) -> Jitted | None:
    """Compile the function's value alone if it is written in ``jax.numpy``: plain Python is quicker without compilation."""
    x = _somewhere(n_params)
    with jax.enable_x64(True):
        plain = function(x, *data, prior=None, output="nll")
        if not isinstance(plain, jax.Array):
            return None
        try:
            whole = Jitted(function)
            compiled = whole(x, data, None)
            joint = float(function(x, *data, prior=_STANDARD, output="npl"))
        except Exception:
            # Only plain values pass through: text, tables, branches do not.
            return None
    return whole if _same(compiled, plain) and _in_form(float(plain), joint, x) else None


class Jitted:
    """A traceable function that is too long to differentiate; one person's value at a time is compiled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._compiled = jax.jit(lambda x, data: jnp.asarray(function(x, *data, prior=None, output="nll"), float))

    def __call__(self, x: np.ndarray, data: tuple[Any, ...], prior: Any) -> float:
        """Negative log-likelihood at `x` (P,)."""
        with jax.enable_x64(True):
            return float(self._compiled(x, data).reshape(()))
