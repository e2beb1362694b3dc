"""Response distributions: densities against SciPy, samplers against densities."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import distributions as numpyro
from scipy import stats

import pyem
from pyem import Bernoulli, Binomial, Categorical, Model, Normal, Parameter, Poisson
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


# -- yes or no, and how many of several ---------------------------------------------------------------------------------

LOGITS = [-np.inf, -40.0, -1.5, 0.0, 0.3, 700.0, np.inf]
OUTCOMES = [(0, 5), (2, 5), (5, 5), (0, 1), (1, 1), (0, 0)]
"""Successes, and of how many."""


@pytest.mark.parametrize("p", [0.0, 1e-200, 0.3, 0.5, 1.0])
def test_binomial_density(p):
    for y, n in OUTCOMES:
        expected = stats.binom(n, p).logpmf(y)
        np.testing.assert_allclose(Binomial(n, probs=p).log_prob(y), expected, rtol=1e-13, atol=1e-13)
        with np.errstate(divide="ignore"):
            logit = np.log(p) - np.log1p(-p)
        np.testing.assert_allclose(Binomial(n, logits=logit).log_prob(y), expected, rtol=1e-13, atol=1e-13)
        if n == 1:
            np.testing.assert_allclose(Bernoulli(probs=p).log_prob(y), expected, rtol=1e-13, atol=1e-13)
            np.testing.assert_allclose(Bernoulli(logits=logit).log_prob(y), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("logit", LOGITS)
def test_derivatives_by_the_logit_are_exact_everywhere(logit):
    p = 1 / (1 + np.exp(-np.float64(logit)))
    for y, n in OUTCOMES:
        log_p = lambda x, y=y, n=n: Binomial(n, logits=x).log_prob(y)  # noqa: E731
        np.testing.assert_allclose(jax.grad(log_p)(logit), y - n * p, atol=1e-12)
        for second in (jax.grad(jax.grad(log_p)), jax.jacfwd(jax.jacfwd(log_p))):
            np.testing.assert_allclose(second(logit), -n * p * (1 - p), atol=1e-12)
        if n == 1:
            np.testing.assert_allclose(
                jax.grad(lambda x, y=y: Bernoulli(logits=x).log_prob(y))(logit), y - p, atol=1e-12
            )


@pytest.mark.parametrize(("y", "p"), [(0, 0.0), (5, 1.0), (0, 0.4), (2, 0.4), (5, 0.4)])
def test_derivatives_by_the_probability_are_exact_where_something_is_certain_too(y, p):
    slope = jax.grad(lambda p: Binomial(5, probs=p).log_prob(y))(p)
    np.testing.assert_allclose(slope, (y / p if y else 0.0) - ((5 - y) / (1 - p) if y < 5 else 0.0), rtol=1e-13)


@pytest.mark.parametrize(("y", "n"), [(6, 5), (-1, 5), (1.5, 5)])
def test_what_cannot_be_counted_is_impossible(y, n):
    assert Binomial(n, probs=0.5).log_prob(y) == Binomial(n, logits=0.1).log_prob(y) == -np.inf
    assert Bernoulli(probs=0.5).log_prob(y) == Bernoulli(logits=0.0).log_prob(y) == -np.inf
    assert np.isfinite(Poisson(0.5).log_prob(y)) == (y > 0)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("n", [0, 1, 6, 60])
def test_binomial_sampler(n, p):
    with np.errstate(divide="ignore"):
        logit = np.log(p) - np.log1p(-p)
    for distribution in (Binomial(n, probs=p), Binomial(n, logits=logit)):
        counts = np.bincount(samples(distribution), minlength=n + 1)
        expected = N * stats.binom(n, p).pmf(np.arange(n + 1))
        enough = expected > 5
        assert counts[expected == 0].sum() == 0
        if enough.sum() > 1:
            pooled = lambda a, enough=enough: np.append(a[enough], a[~enough].sum())  # noqa: E731
            left = np.append(np.ones(enough.sum(), bool), expected[~enough].sum() > 5)
            chi2 = ((pooled(counts) - pooled(expected)) ** 2 / np.maximum(pooled(expected), 1e-9))[left].sum()
            assert stats.chi2.sf(chi2, left.sum() - 1) > FALSE_ALARM


@pytest.mark.parametrize(
    "distribution", [Bernoulli(probs=0.3), Bernoulli(logits=np.log(3 / 7))], ids=["probs", "logits"]
)
def test_bernoulli_sampler(distribution):
    drawn = samples(distribution)
    assert set(drawn.tolist()) == {0, 1}
    assert stats.binomtest(int(drawn.sum()), N, 0.3).pvalue > FALSE_ALARM


@pytest.mark.parametrize("make", [Bernoulli, lambda **p: Binomial(3, **p)], ids=["Bernoulli", "Binomial"])
def test_either_the_log_odds_or_the_probability_is_given(make):
    with pytest.raises(ValueError, match=r"needs either logits= \(log-odds\) or probs=, but was given neither"):
        make()
    with pytest.raises(ValueError, match="but was given both"):
        make(probs=0.5, logits=0.0)


def test_they_pass_through_jax():
    drawn = jax.jit(lambda d: d.log_prob(1))(Binomial(3, logits=0.2))
    np.testing.assert_allclose(drawn, stats.binom(3, 1 / (1 + np.exp(-0.2))).logpmf(1), rtol=1e-13)


def test_a_fit_starts_well_at_even_odds():
    rate = np.linspace(0.05, 0.95, 10)
    y = (np.random.default_rng(1).random((10, 1, 40)) < rate[:, None, None]).astype(int)
    total = pyem.Dataset.from_arrays({"y": y.sum(2, keepdims=True), "n": np.full((10, 1, 1), 40)})
    each = pyem.Dataset.from_arrays({"y": y})
    one = Model("odds", [Parameter("b")], lambda p, s, t: Bernoulli(logits=p.b), responses=("y",))
    other = Model("share", [Parameter("b")], lambda p, s, t: Bernoulli(probs=jax.nn.sigmoid(p.b)), responses=("y",))
    summed = Model("sum", [Parameter("b")], lambda p, s, t: Binomial(t.n, logits=p.b), responses=("y",), inputs=("n",))
    modes = [pyem.fit_map(m, data).x[:, 0] for m, data in ((one, each), (other, each), (summed, total))]
    # At the mode what is expected, shrunk by the standard normal prior, is what was seen.
    np.testing.assert_allclose(40 / (1 + np.exp(-modes[0])) + modes[0], y.sum((1, 2)), rtol=1e-9)
    np.testing.assert_allclose(modes[1], modes[0], atol=1e-6)
    np.testing.assert_allclose(modes[2], modes[0], atol=1e-6)


def test_they_are_no_choice_among_options():
    for distribution in (Bernoulli(logits=np.zeros(2)), Binomial(3, probs=0.5), numpyro.Bernoulli(logits=0.0)):
        with pytest.raises(TypeError, match="expected a categorical distribution with logits"):
            log_probs(distribution)


# -- the ends of the range ----------------------------------------------------------------------------------------------


def test_nothing_is_counted_where_the_rate_is_0():
    assert Poisson(0.0).log_prob(0) == 0.0
    assert jax.grad(lambda rate: Poisson(rate).log_prob(0))(0.0) == -1.0
    assert Poisson(0.0).log_prob(2) == -np.inf
    # The logarithm of a rate may be known where the rate is too small for a number.
    np.testing.assert_allclose(Poisson(np.exp(-800.0), -800.0).log_prob(2), -1600 - np.log(2), rtol=1e-14)
    np.testing.assert_allclose(Poisson(np.exp(0.7), 0.7).log_prob(3), stats.poisson(np.exp(0.7)).logpmf(3), rtol=1e-13)


def test_all_but_the_mean_is_impossible_where_the_scale_is_0():
    assert Normal(1.0, 0.0).log_prob(2.0) == -np.inf


@pytest.mark.parametrize("kind", [np.int8, np.int32, bool])
def test_small_whole_numbers_lose_no_digits(kind):
    count = np.array(1, kind)
    assert Poisson(2.3).log_prob(count) == Poisson(2.3).log_prob(1.0)
    assert Binomial(np.array(9, np.int8), logits=0.4).log_prob(count) == Binomial(9.0, logits=0.4).log_prob(1.0)
    assert Bernoulli(probs=0.7).log_prob(count) == Bernoulli(probs=0.7).log_prob(1.0)


def test_a_code_may_be_a_floating_point_number():
    distribution = Categorical(jnp.array([0.3, -1.0, 2.0]))
    assert distribution.log_prob(2.0) == distribution.log_prob(2)
