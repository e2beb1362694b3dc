"""Rewriting of programs so that their LAPACK calls cannot wait for each other.

On a CPU, JAX shares the matrices of one call out to the threads of its pool, and waits for them in one of these threads.
Where as many calls run at once as there are threads, of one program or of several, each waits for a thread that another
one holds, and none ever ends. A call for a single matrix is run where it is made, so that programs are rewritten to make only
such calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun

_CORE_AXES = {
    "cholesky": 2,
    "eig": 2,
    "eigh": 2,
    "geqp3": 2,
    "geqrf": 2,
    "hessenberg": 2,
    "householder_product": 2,
    "lu": 2,
    "qr": 2,
    "schur": 2,
    "svd": 2,
    "triangular_solve": 2,
    "tridiagonal": 2,
    "tridiagonal_solve": 1,
}
"""Primitives that call LAPACK, with the number of axes that their first argument has for a single matrix."""


def one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """Rewrite a traceable `function` of arrays to call LAPACK for one matrix at a time; without such calls it stays as it is.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> matrices = jnp.stack([jnp.eye(2), 4 * jnp.eye(2)])
    >>> print(jax.jit(one_by_one(jnp.linalg.cholesky))(matrices)[:, 0, 0])
    [1. 2.]
    """

    def call(*args: Any) -> Any:
        # Traced once: what is found is evaluated as it is, and its loops are not traced again.
        program, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        out = jaxpr_as_fun(_rewritten(program))(*jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), out)

    return call


def calls_lapack(program: Jaxpr) -> bool:
    """Whether a program calls LAPACK for several matrices at once anywhere.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> several = lambda h: lax.fori_loop(0, 3, lambda _, h: jnp.linalg.inv(h), h)
    >>> [calls_lapack(jax.make_jaxpr(several)(jnp.ones(shape)).jaxpr) for shape in [(5, 2, 2), (2, 2)]]
    [True, False]
    """
    return any(_is_shared_out(eqn) or any(map(calls_lapack, _programs(eqn.params.values()))) for eqn in program.eqns)


def _is_shared_out(eqn: Any) -> bool:
    return eqn.primitive.name in _CORE_AXES and math.prod(_batch(eqn)) > 1


def _batch(eqn: Any) -> tuple[int, ...]:
    """Leading axes over which a primitive is repeated, which all its arguments and results share."""
    return eqn.invars[0].aval.shape[: -_CORE_AXES[eqn.primitive.name]]


def _programs(params: Any) -> list[Jaxpr]:
    """Programs among the parameters of a primitive, such as the body of a loop and the branches of a choice."""
    out: list[Jaxpr] = []
    for one in params:
        if isinstance(one, ClosedJaxpr):
            out.append(one.jaxpr)
        elif isinstance(one, Jaxpr):
            out.append(one)
        elif isinstance(one, tuple):
            out += _programs(one)
    return out


def _rewritten(param: Any) -> Any:
    """Rewrite the programs in a parameter of a primitive with their LAPACK calls one by one."""
    # Since JAX 0.12 programs with constants and those without are of one kind.
    if isinstance(param, ClosedJaxpr) and param.jaxpr is not param:
        return param.replace(jaxpr=_rewritten(param.jaxpr))
    if isinstance(param, Jaxpr):
        return param.replace(eqns=[_one_by_one(eqn) for eqn in param.eqns]) if calls_lapack(param) else param
    return jax.tree.map(_rewritten, param) if isinstance(param, tuple) else param


def _one_by_one(eqn: Any) -> Any:
    """Rewrite one line of a program."""
    if not _is_shared_out(eqn):
        return eqn.replace(params={name: _rewritten(one) for name, one in eqn.params.items()})
    batch = _batch(eqn)

    def mapped(*values: Any) -> Any:
        flat = [value.reshape(-1, *value.shape[len(batch) :]) for value in values]
        found = lax.map(lambda each: eqn.primitive.bind(*each, **eqn.params), flat)
        return jax.tree.map(lambda one: one.reshape(*batch, *one.shape[1:]), found)

    # Compiled code inside the program becomes one line again.
    (line,) = jax.make_jaxpr(jax.jit(mapped))(*(var.aval for var in eqn.invars)).jaxpr.eqns
    return line.replace(invars=eqn.invars, outvars=eqn.outvars)
