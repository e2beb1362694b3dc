"""Log-probabilities of options from logits of any size."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from pyem.model.log_softmax import log_softmax, log_softmax_of

# The tests compile with little optimisation, and the fault that is looked for comes with much of it.
OPTIMISED = {"xla_backend_optimization_level": 3}


@pytest.fixture(autouse=True)
def _in_double_precision():
    with jax.enable_x64(True):
        yield


def everything(f, x: Array) -> list[np.ndarray]:
    return [np.asarray(g(x)) for g in (f, jax.jacobian(f), jax.hessian(f))]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_it_is_the_log_softmax_where_logits_are_of_usual_size(n):
    for x in np.random.default_rng(n).normal(size=(4, n)) * 5:
        for found, expected in zip(everything(log_softmax, x), everything(jax.nn.log_softmax, x), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_options_of_equal_worth_have_the_derivatives_of_any_others(n):
    _, slope, curvature = everything(log_softmax, jnp.zeros(n))
    np.testing.assert_allclose(slope, np.eye(n) - 1 / n, atol=1e-15)
    np.testing.assert_allclose(curvature, np.broadcast_to(1 / n**2 - np.eye(n) / n, (n, n, n)), atol=1e-15)


@pytest.mark.parametrize("n", [2, 3])
def test_an_option_that_cannot_be_chosen(n):
    logits = jnp.where(jnp.arange(n) == 0, -jnp.inf, 1.0)
    np.testing.assert_allclose(log_softmax(logits), np.where(np.arange(n) == 0, -np.inf, -np.log(n - 1)), atol=1e-15)
    assert np.isfinite(jax.jacobian(lambda b: log_softmax(jnp.where(jnp.arange(n) == 0, -jnp.inf, b))[1:])(1.0)).all()


@pytest.mark.parametrize("logits", [[0.0, 0.0], [3.0, -1.0], [-1e21, 1e21], [-np.inf, 0.0]])
def test_one_option_of_two_is_that_entry_of_both(logits):
    logits = jnp.array(logits)
    assert [float(log_softmax_of(logits, jnp.array(k))) for k in (0, 1)] == log_softmax(logits).tolist()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_huge_products_are_compiled_to_numbers(n):
    rng = np.random.default_rng(n)
    own, size, choice = rng.uniform(0, 40, (64, n)), rng.uniform(1, 40, 64), rng.integers(n, size=64)

    def total(x: Array) -> Array:
        k, tau = jnp.exp(x)
        each = jax.vmap(lambda own, size, choice: log_softmax(tau * (own - k * size**2))[choice])
        return each(own, size, choice).sum()

    compiled = jax.jit(lambda x: (total(x), jax.grad(total)(x), jax.hessian(total)(x)), compiler_options=OPTIMISED)
    for x in itertools.product([-20.0, 10.0, 15.0, 20.0], repeat=2):
        value, slope, curvature = map(np.asarray, compiled(jnp.array(x)))
        assert value <= 0
        assert np.isfinite(slope).all(), x
        assert np.isfinite(curvature).all(), x
