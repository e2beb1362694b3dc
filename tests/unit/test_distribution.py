"""Response distributions: densities against SciPy, samplers against densities."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import distributions as numpyro
from scipy import stats

from pyem import Categorical, Normal, Poisson
from pyem.model.distribution import log_probs

N = 20_000
FALSE_ALARM = 1e-3
"""Of each test of a sampler, if its seed had not been fixed."""


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


def samples(distribution):
    return np.asarray(jax.vmap(distribution.sample)(jax.random.split(jax.random.key(3), N)))


def test_categorical_density():
    logits = np.array([0.3, -1.0, 2.0])
    expected = np.log(np.exp(logits) / np.exp(logits).sum())
    np.testing.assert_allclose([Categorical(jnp.array(logits)).log_prob(k) for k in range(3)], expected, rtol=1e-14)


def test_normal_density():
    y = np.linspace(-3, 5, 7)
    np.testing.assert_allclose(Normal(1.0, 2.5).log_prob(y), stats.norm(1.0, 2.5).logpdf(y), rtol=1e-13)


def test_poisson_density():
    y = np.arange(9)
    np.testing.assert_allclose(Poisson(2.3).log_prob(y), stats.poisson(2.3).logpmf(y), rtol=1e-13)


def test_categorical_sampler():
    distribution = Categorical(jnp.array([0.3, -1.0, 2.0]))
    counts = np.bincount(samples(distribution), minlength=3)
    expected = N * np.exp(np.asarray(distribution.log_probs))
    assert stats.chisquare(counts, expected).pvalue > FALSE_ALARM


def test_normal_sampler():
    assert stats.kstest(samples(Normal(1.0, 2.5)), stats.norm(1.0, 2.5).cdf).pvalue > FALSE_ALARM


def test_poisson_sampler():
    counts = np.bincount(np.minimum(samples(Poisson(2.3)), 8), minlength=9)
    expected = N * np.append(stats.poisson(2.3).pmf(np.arange(8)), stats.poisson(2.3).sf(7))
    assert stats.chisquare(counts, expected).pvalue > FALSE_ALARM


def test_log_probs_of_ours_and_of_numpyro_are_the_same():
    logits = jnp.array([0.3, -1.0, 2.0])
    np.testing.assert_allclose(
        log_probs(Categorical(logits)), log_probs(numpyro.Categorical(logits=logits)), rtol=1e-14
    )


def test_log_probs_needs_a_categorical_distribution():
    with pytest.raises(TypeError, match="expected a categorical distribution with logits"):
        log_probs(Normal(0.0, 1.0))
