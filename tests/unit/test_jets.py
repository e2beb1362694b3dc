"""Derivatives that are carried through formulas, against automatic differentiation."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyem.engine.derivatives import derivatives, gradients
from pyem.model.times import jets
from pyem.model.times.few import with_jets

X = np.array([[0.7, 1.3, 2.1], [1.9, 0.4, 0.8], [0.3, 1.1, 2.5]])


def formula(m, x, y, z):
    """Every operation, with numbers on both sides; `m` has the functions of arrays, or of jets."""
    above = x > y if m is jnp else x.value > y.value
    near = m.where(above, m.sqrt(x * y + 2.0), 3.0 / (1.0 + z) - y)
    return near * 2 + m.log(z * z / x) + 0.5 * y - 1.0


def chained(m, x, y, z):
    """A function of things that are functions of the inputs, and a sum of exponentials over three numbers."""
    a, b = x * y, y + z * z
    shares = jnp.asarray([0.2, 0.5, 0.9])[:, None]
    if m is jnp:
        return jax.nn.logsumexp(a * b * shares - b, axis=0) * b
    u, v = jets.anew((a, b))
    return (jets.log_sum_exp(u * v * shares - v) * v).through((a, b))


@pytest.mark.parametrize("function", [formula, chained])
def test_jets_are_what_automatic_differentiation_finds(function):
    carried = with_jets(partial(function, jets))
    with jax.enable_x64(True):
        at = jnp.asarray(X)
        found, same = (derivatives(lambda x, f=f: f(*x), at) for f in (carried, partial(function, jnp)))
        along = lambda f: jax.jvp(jax.hessian(lambda x: f(*x).sum()), (at,), (jnp.ones_like(at),))  # noqa: E731
        (reverse, third), (_, expected) = along(carried), along(partial(function, jnp))
    for one, other in zip(found, same, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.einsum("iaja->ija", reverse), same.hess, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(third, expected, rtol=1e-11, atol=1e-11)


def test_the_larger_passes_smoothly_from_one_to_the_other():
    def passage(one, other, band):
        # The same as an integral of how the slope rises, by a rule that is exact for polynomials.
        t = jnp.clip((other - one) / band, -1.0, 1.0)
        x, p = (jnp.asarray(part)[:, None] for part in np.polynomial.legendre.leggauss(8))
        u = -1 + (t + 1) * (x + 1) / 2
        slope = 0.5 + 35 / 32 * (u - u**3 + 3 / 5 * u**5 - u**7 / 7)
        inside = one + band * (p * slope).sum(0) * (t + 1) / 2
        return jnp.where(other - one >= band, other, inside)

    with jax.enable_x64(True):
        one, other = jnp.asarray([[0.3, 0.3, 0.3, 0.3, 0.3], [0.0, 0.26, 0.3, 0.38, 0.7]])
        at = jnp.stack([one, other, jnp.full(5, 0.1)])
        found, same = (derivatives(lambda x, f=f: f(*x), at) for f in (with_jets(jets.larger), passage))
    for mine, expected in zip(found, same, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(found.value[jnp.asarray([0, 4])], [0.3, 0.7])
    assert (np.asarray(found.value) >= np.maximum(one, other)).all()
    assert (np.asarray(found.value) <= np.maximum(one, other) + 0.14 * 0.1).all()


def test_constants_carry_nothing_and_inputs_cost_nothing():
    x, y = jets.inputs(jnp.asarray(2.0), jnp.asarray(3.0))
    assert x.first == {0: 1.0}
    assert (x + y).second == {}
    (c,) = jets.constants(jnp.asarray(2.0))
    assert (jets.log(c) * c).first == {}
    assert jets.anew((c, c))[0].first == {}


@pytest.mark.parametrize("n", [2, 5])
def test_directions_in_turn_give_what_they_give_together(n):
    def function(x):
        return jnp.sin(x).prod(0) + jnp.exp(0.1 * x.sum(0)) * x[0]

    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(1).normal(size=(n, 200)))
        together, in_turn = (derivatives(function, x, in_turn=turn) for turn in (False, True))
        slopes = gradients(function, x, in_turn=True)
    for one, other in zip(together, in_turn, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(slopes[1], together.grad, rtol=1e-13, atol=1e-13)
