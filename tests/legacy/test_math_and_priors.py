"""Transforms, scores and priors of the pyEM interface against their formulas and SciPy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pyem.core import priors
from pyem.utils.math import alpha2norm, beta2norm, calc_fval, norm2alpha, norm2beta, softmax
from pyem.utils.stats import calc_BICint, calc_LME, pseudo_r2_from_nll, trials_of

X = np.array([-30.0, -2.0, 0.0, 0.7, 30.0])


def test_transforms_are_logistic_and_invert_each_other():
    np.testing.assert_allclose(norm2alpha(X), 1 / (1 + np.exp(-X)), rtol=1e-14)
    np.testing.assert_allclose(norm2beta(X), 20 / (1 + np.exp(-X)), rtol=1e-14)
    np.testing.assert_allclose(norm2beta(X, max_val=5.0), 5 / (1 + np.exp(-X)), rtol=1e-14)
    np.testing.assert_allclose(alpha2norm(norm2alpha(X[1:4])), X[1:4], rtol=1e-12)
    np.testing.assert_allclose(beta2norm(norm2beta(X[1:4], 7.0), 7.0), X[1:4], rtol=1e-12)


def test_values_on_a_bound_come_from_somewhere_finite():
    np.testing.assert_allclose(alpha2norm([0.0, 1.0]), [np.log(1e-12), -np.log(1e-12)], rtol=1e-4)
    assert round(float(alpha2norm(0.0)), 2) == -27.63
    np.testing.assert_allclose(beta2norm([-1.0, 0.0, 20.0, 21.0]), np.array([-1, -1, 1, 1]) * np.log(20e12), rtol=1e-3)


def test_transforms_keep_the_kind_of_their_argument():
    assert np.ndim(norm2alpha(0.5)) == 0
    assert norm2alpha([0.0, 1.0]).shape == (2,)
    assert isinstance(norm2alpha(jnp.zeros(3)), type(jnp.zeros(3)))
    # At the far ends there is no overflow, and what is small is not rounded to 0.
    with np.errstate(over="raise"):
        assert 0 < norm2alpha(-700.0) < 1e-300
        assert norm2alpha(800.0) == 1.0


def test_softmax_is_normalised_and_does_not_overflow():
    p = softmax(np.array([[1.0, 2.0, 3.0], [1e4, 0.0, 0.0]]), 2.0)
    np.testing.assert_allclose(p.sum(1), 1)
    np.testing.assert_allclose(p[0], np.exp([2.0, 4.0, 6.0]) / np.exp([2.0, 4.0, 6.0]).sum())


class Flat:
    def logpdf(self, x):
        return -np.inf


def test_calc_fval_subtracts_the_log_prior_and_caps_what_is_not_finite():
    prior = priors.GaussianPrior([0.0, 1.0], [1.0, 4.0])
    x = np.array([0.3, -0.2])
    expected = 5.0 - stats.norm.logpdf(x, [0.0, 1.0], [1.0, 2.0]).sum()
    assert calc_fval(5.0, x, prior=prior) == pytest.approx(expected)
    assert calc_fval(5.0, x, prior={"logpdf": prior.logpdf}) == pytest.approx(expected)
    assert calc_fval(5.0, x, prior=prior, output="nll") == 5.0
    assert calc_fval(5.0, x) == 5.0
    assert calc_fval(5.0, x, prior=Flat()) == 1e7
    assert calc_fval(np.inf, x, prior=prior) == 1e7
    assert calc_fval(np.nan, x, output="nll") == 1e7
    with pytest.raises(ValueError, match="output='all'"):
        calc_fval(5.0, x, output="all")


# -- scores -------------------------------------------------------------------------------------------------------------


def test_lme_is_the_laplace_approximation_with_a_penalty():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(6, 3, 3))
    inv_h = np.moveaxis(roots @ np.swapaxes(roots, 1, 2), 0, -1)
    npl = rng.uniform(50, 60, 6)
    lap, lme, good = calc_LME(inv_h, npl)
    expected = [-npl[s] + 0.5 * np.log(np.linalg.det(inv_h[:, :, s])) + 1.5 * np.log(2 * np.pi) for s in range(6)]
    np.testing.assert_allclose(lap, expected)
    assert lme == pytest.approx(sum(expected) - 3 * np.log(6))
    np.testing.assert_array_equal(good, np.ones(6))


def test_lme_of_a_subject_without_curvature_is_the_mean_of_the_others():
    inv_h = np.stack([np.eye(2), np.diag([1.0, -1.0]), 2 * np.eye(2)], axis=-1)
    lap, lme, good = calc_LME(inv_h, np.array([10.0, 11.0, 12.0]))
    np.testing.assert_array_equal(good, [1, 0, 1])
    assert lap[1] == pytest.approx((lap[0] + lap[2]) / 2)
    assert lme == pytest.approx(lap.sum() - 2 * np.log(3))
    none = calc_LME(-np.ones((1, 1, 2)), np.array([10.0, 11.0]))
    np.testing.assert_array_equal(none[0], [0.0, 0.0])
    np.testing.assert_array_equal(none[2], [0, 0])
    assert none[1] == pytest.approx(-np.log(2))


def test_integrated_bic_of_a_stub_is_its_formula():
    def stub(params, choices, *, output):
        return {"nll": float(choices.sum() + params[0] ** 2), "other": None}

    data = [[np.ones((2, 5))], [np.zeros((2, 5))]]
    value = calc_BICint(data, ["a", "b"], [0.0, 0.0], [1.0, 4.0], stub, nsamples=40_000)
    # The mean of exp(-x**2) of a standard normal x is 1 / sqrt(3).
    assert value == pytest.approx(-2 * (-10 - np.log(3)) + 2 * np.log(10), abs=0.05)
    fixed = calc_BICint(data, ["a", "b"], [0.0, 0.0], [0.0, 0.0], stub, nsamples=3, ntrials_total=7)
    assert fixed == pytest.approx(20 + 2 * np.log(7))


def test_subjects_without_an_integral_are_left_out_of_the_integrated_bic():
    stub = lambda params, y, output="all": {"nll": 1e7 if y[0] < 0 else 2.0}  # noqa: E731
    data = [[np.ones(4)], [-np.ones(4)]]
    with pytest.warns(RuntimeWarning, match=r"1 of 2 subjects is not finite \(at 1 in all_data\)"):
        assert calc_BICint(data, ["a"], [0.0], [1.0], stub, 3, "all", "nll", None, 1) == pytest.approx(4 + np.log(4))


@pytest.mark.parametrize(("group", "scale"), [("student_t", 8 / 6), ("cauchy", 100.0), ("laplace", 1.0)])
def test_integrated_bic_draws_from_the_family_of_the_group(group, scale):
    """Of a parameter's distribution function at 1, where pyEM's variance stands for a scale of 1."""
    stub = lambda params, y, output="all": {"nll": -np.log(1e-9 + (params[0] <= 1.0))}  # noqa: E731
    value = calc_BICint([[np.ones(1)]], ["a"], [0.0], [scale], stub, nsamples=20_000, seed=1, group=group)
    below = {
        "student_t": stats.t(8).cdf(1),
        "cauchy": stats.cauchy.cdf(1),
        "laplace": stats.laplace(0, 0.5**0.5).cdf(1),
    }
    # Four standard errors of the share of draws.
    assert np.exp(-value / 2) == pytest.approx(below[group], abs=4 * np.sqrt(0.2 / 20_000))


def test_integrated_bic_counts_every_parameter_and_refuses_too_few_names():
    stub = lambda params, y, output="all": {"nll": 1.0}  # noqa: E731
    with pytest.raises(ValueError, match="there are 0 param_names"):
        calc_BICint([[np.zeros(4)]], [], [0.0], [1.0], stub)


def test_integrated_bic_follows_the_global_seed():
    stub = lambda params, y, output="all": {"nll": params[0] ** 2}  # noqa: E731
    values = []
    for _ in range(2):
        np.random.seed(4)  # noqa: NPY002 - how scripts of pyEM are made reproducible
        values.append(calc_BICint([[np.zeros(4)]], ["a"], [0.0], [1.0], stub, nsamples=10))
    assert values[0] == values[1]
    assert calc_BICint([[np.zeros(4)]], ["a"], [0.0], [1.0], stub, nsamples=10) != values[0]


def test_trials_are_those_of_the_first_field():
    import pandas as pd

    assert trials_of([np.zeros((4, 24)), np.zeros(3)]) == 96
    assert trials_of(pd.DataFrame({"a": range(7), "b": range(7)})) == 7
    assert trials_of([{"x": np.zeros((2, 3))}]) == 6
    with pytest.raises(ValueError, match="Unrecognized data structure in all_data"):
        trials_of(3)


def test_pseudo_r2_is_its_formula():
    nll = np.array([30.0, 40.0, 80.0])
    assert pseudo_r2_from_nll(nll, 100, 4) == pytest.approx(1 - 40 / (100 * np.log(4)))
    assert pseudo_r2_from_nll(nll, 100, 4, metric="mean") == pytest.approx(1 - 50 / (100 * np.log(4)))
    assert pseudo_r2_from_nll(nll, 100, 4, metric="mode") == pseudo_r2_from_nll(nll, 100, 4, metric="mean")


# -- priors -------------------------------------------------------------------------------------------------------------

LOC, SCALE = np.array([0.5, -1.0]), np.array([0.7, 2.0])
POINTS = [np.array([0.0, 0.0]), np.array([1.1, -3.0])]
CASES = {
    "gaussian": (priors.GaussianPrior(LOC, SCALE**2), stats.norm(LOC, SCALE), SCALE**2),
    "uniform": (priors.UniformPrior(LOC - 4, LOC + 2), stats.uniform(LOC - 4, 6.0), np.full(2, 3.0)),
    "laplace": (priors.LaplacePrior(LOC, SCALE), stats.laplace(LOC, SCALE), 2 * SCALE**2),
    "student": (priors.StudentTPrior(LOC, SCALE, 5.0), stats.t(5.0, LOC, SCALE), SCALE**2 * 5 / 3),
    "a df each": (
        priors.StudentTPrior(LOC, SCALE, np.array([5.0, 2.01])),
        stats.t([5.0, 2.01], LOC, SCALE),
        SCALE**2 * [5 / 3, 100],
    ),
    "cauchy": (priors.CauchyPrior(LOC, SCALE), stats.cauchy(LOC, SCALE), 100 * SCALE**2),
}


@pytest.mark.parametrize("name", CASES)
def test_priors_have_the_densities_and_moments_of_their_names(name):
    prior, reference, variance = CASES[name]
    for x in POINTS:
        value = prior.logpdf(x)
        assert type(value) is float
        assert value == pytest.approx(reference.logpdf(x).sum(), rel=1e-12)
        np.testing.assert_allclose(np.asarray(prior.terms(jnp.asarray(x))).sum(), value, rtol=1e-6)
    mean, var = prior.init_moments()
    np.testing.assert_allclose(mean, LOC if name != "uniform" else LOC - 1)
    np.testing.assert_allclose(var, variance)
    assert prior["logpdf"](POINTS[0]) == prior.logpdf(POINTS[0])


def test_priors_are_like_dataclasses():
    prior = priors.StudentTPrior(loc=[0.5], scale=[2.0], df=3.0)
    assert repr(prior) == "StudentTPrior(loc=array([0.5]), scale=array([2.]), df=3.0)"
    with pytest.raises(TypeError, match="df"):
        priors.StudentTPrior([0.0], [1.0])
    np.testing.assert_array_equal(priors.GaussianPrior([0.0], [3.0]).variance, [3.0])
    assert isinstance(prior, priors.Prior)


def test_outside_its_range_a_uniform_prior_is_minus_infinity():
    assert priors.UniformPrior([0.0], [1.0]).logpdf([1.5]) == -np.inf


def test_independent_priors_are_put_together():
    prior = priors.IndependentPrior([priors.GaussianPrior(0.0, 4.0), priors.CauchyPrior(1.0, 0.5)])
    x = np.array([0.3, -1.0])
    expected = stats.norm.logpdf(0.3, 0, 2) + stats.cauchy.logpdf(-1.0, 1.0, 0.5)
    assert prior.logpdf(x) == pytest.approx(expected)
    mean, variance = prior.init_moments()
    np.testing.assert_allclose(mean, [0.0, 1.0])
    np.testing.assert_allclose(variance, [4.0, 25.0])
    with pytest.raises(ValueError, match="x length must match number of component priors"):
        prior.logpdf([0.0])


def test_the_default_prior_is_wide_and_near_zero():
    prior = priors.default_prior(3, seed=1)
    np.testing.assert_array_equal(prior.sigma, [100.0] * 3)
    assert 0 < np.abs(prior.mu).max() < 1
    np.testing.assert_array_equal(prior.mu, priors.default_prior(3, seed=1).mu)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: priors.GaussianPrior([0.0], [0.0]), r"sigma \(variance\) must be positive"),
        (lambda: priors.GaussianPrior([0.0], [-1.0]), "sigma"),
        (lambda: priors.GaussianPrior([np.nan], [1.0]), "mu"),
        (lambda: priors.GaussianPrior([0.0, 1.0], [1.0]), "mu has 2 values and sigma has 1"),
        (lambda: priors.UniformPrior([1.0], [1.0]), "hi must exceed lo"),
        (lambda: priors.LaplacePrior([0.0], [0.0]), "scale must be positive"),
        (lambda: priors.StudentTPrior([0.0], [1.0], df=0), "scale and df must be positive"),
        (lambda: priors.StudentTPrior([0.0], [-1.0], df=2.0), "scale and df must be positive"),
        (lambda: priors.CauchyPrior([0.0], [-2.0]), "scale must be positive"),
        (lambda: priors.IndependentPrior([]), "at least one"),
        (lambda: priors.IndependentPrior([3.0]), "needs logpdf"),
        (
            lambda: priors.IndependentPrior([priors.GaussianPrior([0.0, 0.0], [1.0, 1.0])]),
            "IndependentPrior component 0 must be a 1-D GaussianPrior, a prior",
        ),
        (lambda: priors.default_prior(0), "nparams=0"),
        (lambda: priors.GaussianPrior([0.0], [1.0]).logpdf([0.0, 1.0]), "for 1 parameters, but was given 2"),
    ],
)
def test_bad_priors_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
