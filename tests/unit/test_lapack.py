"""Programs in which LAPACK is called for one matrix at a time."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pyem.numerics.jit import compiled
from pyem.numerics.lapack import calls_lapack, one_by_one


def everything(h, v):
    """LAPACK called directly, in a loop, in one that ends, in a choice, and by what is solved with its own derivative."""
    low = jnp.linalg.cholesky(h)
    values, vectors = jnp.linalg.eigh(h)
    looped, _ = lax.scan(lambda c, _: (c + 0.1 * jnp.linalg.inv(c), None), h, length=2)
    ended = lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, jnp.linalg.solve(c[1], h)), (0, h))[1]
    chosen = lax.cond(v[0, 0] > 0, lambda h: jnp.linalg.qr(h)[0], lambda h: h, h)
    rest = jnp.linalg.svd(h, compute_uv=False), jnp.linalg.slogdet(h)[1]
    return {"low": low, "eigen": (values, vectors), "loops": (looped, ended), "chosen": chosen, "rest": rest}


def matrices(n=5, size=3):
    root = np.random.default_rng(1).normal(size=(n, size, size))
    return root @ np.swapaxes(root, 1, 2) + np.eye(size), root[:, :, 0]


def test_values_and_derivatives_are_those_of_all_matrices_at_once():
    args = matrices()
    both = lambda h, v: jax.jvp(everything, (h, v), (jnp.ones_like(h), v))  # noqa: E731
    quick = {"xla_backend_optimization_level": 0}
    with jax.enable_x64(True):
        program = jax.make_jaxpr(one_by_one(both))(*args).jaxpr
        assert calls_lapack(jax.make_jaxpr(both)(*args).jaxpr)
        assert not calls_lapack(program)
        found, expected = (jax.jit(one, compiler_options=quick)(*args) for one in (one_by_one(both), both))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), found, expected)


def test_whatever_is_compiled_calls_it_so(monkeypatch):
    """The function is traced once, with its constants, and gives what it gave."""
    traced, rewritten = [], []
    monkeypatch.setattr("pyem.numerics.jit.one_by_one", lambda function: rewritten.append(1) or one_by_one(function))

    @compiled(0)
    def solved(power, h, v):
        traced.append(power)
        return jnp.linalg.solve(h, v[..., None])[..., 0] ** power, {"v": v}

    h, v = matrices()
    with jax.enable_x64(True):
        found, rest = solved(2, h, v)
    np.testing.assert_allclose(found, np.linalg.solve(h, v[..., None])[..., 0] ** 2, rtol=1e-10)
    np.testing.assert_array_equal(rest["v"], v)
    assert traced == [2]
    assert rewritten == [1]


OWN_MODEL = """
    import jax.numpy as jnp, numpy as np, pyem
    from pyem.engine.evaluate import value_grad_hess
    from pyem.engine.layout import batch

    def policy(p, q, trial):
        spread = jnp.exp(p.a) * jnp.outer(q, q) + jnp.diag(jnp.arange(1.0, 9))
        several = sum(jnp.linalg.eigh(spread + k * jnp.eye(8) * q)[0][:2] for k in range(4))
        return pyem.Categorical(logits=p.b * several + jnp.linalg.cholesky(spread)[:2, 0])

    def update(p, q, trial):
        return q.at[trial.choice].add(0.3 * (trial.reward - q[trial.choice])), {}

    names = pyem.Parameter("a"), pyem.Parameter("b")
    model = pyem.Model("own", names, policy, init=lambda p: jnp.full(8, 0.5), update=update, options=2, outcomes=("reward",))
    data = pyem.simulate(pyem.models.get("rw1a1b"), key=1, subjects=100, blocks=2, trials=30)
    for _ in range(5):
        found = value_grad_hess(model, data, np.zeros((100, 2)))
    print(len(batch(model, data).shards), np.isfinite(found[2]).all())
"""


@pytest.mark.slow
def test_an_own_model_that_calls_lapack_does_not_wait_for_ever():
    """Four calls at once in each of two programs: two pool threads, all of which would wait for the others."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OWN_MODEL)], capture_output=True, text=True, timeout=180, check=True
    )
    assert ran.stdout.split() == [str(min(2, len(os.sched_getaffinity(0)))), "True"]
