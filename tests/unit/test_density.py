"""The likelihood for samplers: the engine's values and gradients, whatever JAX does to the function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem.engine import differentiable as density
from pyem.engine import evaluate as engine
from pyem.engine import layout


@pytest.fixture(scope="module")
def model():
    return pyem.models.get("rw1a1b")


@pytest.fixture(scope="module")
def data(model):
    return pyem.simulate(model, subjects=7, blocks=3, trials=20, key=3, missed=0.1)


@pytest.fixture(params=[512, 9], ids=["one chunk", "several chunks"])
def laid(request, model, data, monkeypatch):
    monkeypatch.setattr(layout, "CHUNK_LANES", request.param)
    monkeypatch.setattr(layout, "_batches", type(layout._batches)())
    monkeypatch.setattr(density, "_laid_out", type(density._laid_out)())
    out = density.people(model, data)
    assert (out.subject[0].shape[0] > 1) == (request.param == 9)
    return out


def test_value_and_gradient_are_the_engines(model, data, laid):
    value, grad, hess = engine.value_grad_hess(model, data, data.truth)
    weight = np.arange(1.0, 8.0)
    with jax.enable_x64(True):
        x = jnp.asarray(data.truth.T)
        shift = jnp.asarray([1.0, 0.0])[:, None] * jnp.ones_like(x)
        log_lik = lambda x: density.log_lik(model, laid, x)  # noqa: E731
        total = lambda x: (log_lik(x) * weight).sum()  # noqa: E731
        along = lambda t: log_lik(x + t * shift).sum()  # noqa: E731

        @jax.jit
        def everything(x):
            # Also under vmap over chains, in forward mode, and the derivative of the derivative.
            twice = jax.vmap(jax.grad(total))(jnp.stack([x, x + 0.1]))
            return (
                log_lik(x),
                jax.grad(total)(x),
                twice,
                jax.jvp(log_lik, (x,), (shift,))[1],
                jax.grad(jax.grad(along))(0.0),
            )

        found, slopes, twice, slope, bent = everything(x)
        np.testing.assert_allclose(found, value, rtol=1e-12)
        for one in (slopes, twice[0]):
            np.testing.assert_allclose(one.T, grad * weight[:, None], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(slope, grad[:, 0], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(bent, hess[:, 0, 0].sum(), rtol=1e-9)


def test_many_parameters_use_reverse_mode_where_lanes_are_not_few(data, monkeypatch):
    monkeypatch.setattr(density, "FEW_LANES", 0)
    model = pyem.with_lapse(pyem.with_stickiness(pyem.models.get("rw2a1b")))
    assert model.n_params > density.FORWARD
    x = np.tile(model.typical[0], (data.n_subjects, 1)) + 0.1
    _, grad, _ = engine.value_grad_hess(model, data, x)
    with jax.enable_x64(True):
        laid = density.people(model, data)
        found = jax.jit(jax.grad(lambda x: density.log_lik(model, laid, x).sum()))(jnp.asarray(x.T))
    np.testing.assert_allclose(found.T, grad, rtol=1e-9, atol=1e-9)


def test_values_of_trials(model, data, laid):
    del laid
    people = density.people(model, data, by_trial=True)
    row, lane = (place.ravel() for place in np.indices(data.valid.shape))
    places = density.trial_places(model, data, lane, row).reshape(data.valid.shape)
    out = engine.trial_values(model, data, data.truth)["log_lik"]
    weight = np.random.default_rng(0).normal(size=out.shape)

    def total(x):
        values = density.trial_log_lik(model, people, x)[places]
        return (values * weight).sum(), values

    with jax.enable_x64(True):
        x = jnp.asarray(data.truth.T)
        compiled = jax.jit(jax.value_and_grad(total, has_aux=True))
        (_, values), slope = compiled(x)
        np.testing.assert_allclose(values, out, rtol=1e-10, atol=1e-12)
        for k, s in ((0, 2), (1, 6)):
            step = 1e-6 * np.eye(2)[:, k][:, None] * np.eye(7)[s]
            finite = (compiled(x + step)[0][0] - compiled(x - step)[0][0]) / 2e-6
            np.testing.assert_allclose(slope[k, s], finite, rtol=1e-5, atol=1e-6)


def test_program_does_not_grow_with_people(model):
    def n_equations(subjects):
        data = pyem.simulate(model, subjects=subjects, blocks=2, trials=20, key=1)
        with jax.enable_x64(True):
            laid = density.people(model, data)
            closed = jax.make_jaxpr(jax.grad(lambda x: density.log_lik(model, laid, x).sum()))(
                jnp.asarray(data.truth.T)
            )
        return str(closed).count(" = ")

    assert n_equations(4) == n_equations(40)
