"""Fits of active-inference agents: every method against exact quadrature, and beside reinforcement learning."""

from __future__ import annotations

import numpy as np
import pytest

import pyem
from pyem import models

MAZE = models.get("aif_tmaze")


@pytest.fixture(scope="module")
def few():
    """Three agents with 500 decisions each."""
    return pyem.simulate(MAZE, subjects=3, blocks=100, trials=5, key=5)


@pytest.fixture(scope="module")
def exact(few):
    return pyem.fit_grid(MAZE, few, group=None, mean=0, sd=1)


def test_the_mode_is_where_the_posterior_says(few, exact):
    fit = pyem.fit_map(MAZE, few, mean=0, sd=1)
    peak = np.argmax(exact.marginals[:, 0], axis=1)
    axes = exact.axes[:, 0]
    assert fit.converged
    assert (np.abs(fit.x[:, 0] - axes[np.arange(3), peak]) <= axes[:, 1] - axes[:, 0]).all()
    # Laplace's intervals are known to be too narrow here, by about a tenth, and the modes are not the means.
    ratio = np.sqrt(fit.cov[:, 0, 0] / exact.cov[:, 0, 0])
    assert ((ratio > 0.7) & (ratio < 1.02)).all()


@pytest.mark.slow
def test_long_nuts_agrees_with_exact_quadrature(few, exact):
    fit = pyem.fit_nuts(MAZE, few, group=None, warmup=500, draws=5000, chains=4, key=1)
    assert fit.converged
    np.testing.assert_allclose(fit.x, exact.x, rtol=0, atol=0.02)
    np.testing.assert_allclose(fit.params, exact.params, rtol=0, atol=0.02)
    np.testing.assert_allclose(np.sqrt(fit.cov[:, 0, 0]), np.sqrt(exact.cov[:, 0, 0]), rtol=0.03)
    np.testing.assert_allclose(fit.sd, exact.sd, rtol=0.03)


@pytest.mark.slow
def test_variational_inference_agrees_with_exact_quadrature(few, exact):
    fit = pyem.fit_svi(MAZE, few, group=None, draws=20_000, particles=10, integration_draws=8192, key=1)
    shown = pyem.plot.plot_trace(fit).axes[0].lines[0]
    np.testing.assert_array_equal(shown.get_ydata(), -fit.trace["elbo"])
    np.testing.assert_allclose(fit.x, exact.x, rtol=0, atol=0.05)
    np.testing.assert_allclose(np.sqrt(fit.cov[:, 0, 0]), np.sqrt(exact.cov[:, 0, 0]), rtol=0.1)


@pytest.mark.slow
def test_groups_of_agents():
    """EM finds the group; its exact version spreads it at least as far."""
    data = pyem.simulate(MAZE, subjects=40, blocks=60, trials=5, key=6)
    em = pyem.fit_em(MAZE, data)
    whole = pyem.fit_grid(MAZE, data, group=pyem.Group())
    assert em.converged
    assert whole.converged
    mean, sd = data.truth.mean(), data.truth.std()
    for fit in (em, whole):
        assert abs(fit.population.coef[0, 0] - mean) < 0.5
    spread = [np.sqrt(fit.population.cov[0, 0]) for fit in (em, whole)]
    assert spread[0] < spread[1]
    assert abs(spread[1] - sd) < 0.5
    assert np.corrcoef(whole.x[:, 0], data.truth[:, 0])[0, 1] > 0.5


@pytest.mark.slow
def test_active_inference_and_reinforcement_learning_explain_the_same_data():
    """One data set, fitted by agents of both kinds, compared in one table."""
    bandit, rw = models.get("aif_bandit"), models.get("rw1a1b")
    data = pyem.simulate(bandit, subjects=12, trials=80, key=7)
    table = pyem.compare_fits({model.name: pyem.fit_em(model, data) for model in (bandit, rw)})
    assert set(table.index) == {"aif_bandit", "rw1a1b"}
    assert np.isfinite(table[["lme", "integrated_bic"]].to_numpy(float)).all()
