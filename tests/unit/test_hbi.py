"""Hierarchical Bayesian inference against a plain reimplementation of the published equations, and against the truth."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, expit, gammaln

import pyem
from pyem import Categorical, Model, Normal, Parameter
from pyem.errors import Unavailable
from pyem.infer.hbi_updates import GroupPosterior, foreseen
from pyem.numerics.jit import TRACES
from pyem.population.posterior import Laplace, Status

RNG = np.random.default_rng(5)


def of_bias(p, state, trial):
    return Categorical(jnp.stack([0.0 * p.b, p.b]))


def of_cue(p, state, trial):
    return Categorical(jnp.stack([-p.c * (2 * trial.cue - 1), 0.0 * p.c]))


B, C = Parameter("b", sd=2.0), Parameter("c", mean=0.5, sd=2.0)
MODELS = {
    "bias": Model("to_one_side", (B,), of_bias, options=2),
    "cue": Model("to_the_cue", (C,), of_cue, options=2, inputs=("cue",)),
}
PEOPLE, TRIALS = 12, 30
CUE = RNG.integers(2, size=(PEOPLE, TRIALS))
TRUTH = np.arange(PEOPLE) % 3 != 0
"""Who follows the cue."""
X = np.where(TRUTH, 1.4, -0.3) + 0.4 * RNG.normal(size=PEOPLE)
CHOICE = np.where(
    RNG.random((PEOPLE, TRIALS)) < expit(X)[:, None],
    np.where(TRUTH[:, None], CUE, 1),
    np.where(TRUTH[:, None], 1 - CUE, 0),
)
DATA = pyem.Dataset.from_arrays({"choice": CHOICE[:, None], "cue": CUE[:, None]})
NUMBERS = {"choice": CHOICE.sum(1), "cue": (CHOICE == CUE).sum(1)}


@pytest.fixture(scope="module")
def fit():
    return pyem.fit_hbi(MODELS, DATA, tol=1e-11, accelerate=False)


# -- the published equations --------------------------------------------------------------------------------------------


def mode_of(yes, mean, precision):
    """Newton's method for a logistic count with a Gaussian prior: mode, variance and log joint of every person."""
    x = np.full(len(yes), float(mean))
    for _ in range(60):
        p = expit(x)
        x -= (precision * (x - mean) - yes + TRIALS * p) / (precision + TRIALS * p * (1 - p))
    p = expit(x)
    joint = yes * np.log(p) + (TRIALS - yes) * np.log1p(-p)
    joint += 0.5 * np.log(precision / (2 * np.pi)) - 0.5 * precision * (x - mean) ** 2
    return x, 1 / (precision + TRIALS * p * (1 - p)), joint


def published(n, b=1.0, v=0.5, s=0.01, alpha0=1.0):
    """`n` iterations in plain NumPy, one parameter a model: the frequencies' posterior, means, precisions, and the bound."""
    yes, start, sd = [NUMBERS["choice"], NUMBERS["cue"]], [0.0, 0.5], 2.0
    alpha, half = np.full(2, alpha0 + PEOPLE / 2), PEOPLE / 2
    a, beta, nu = list(start), [b + half] * 2, [v + half / 2] * 2
    sigma = [nu[0] * sd**2] * 2
    path = []
    for _ in range(n):
        found = [mode_of(yes[k], a[k], nu[k] / sigma[k]) for k in range(2)]
        rho = np.empty((PEOPLE, 2))
        for k, (_, variance, joint) in enumerate(found):
            laplace = joint + 0.5 * np.log(2 * np.pi) + 0.5 * np.log(variance)
            expected = 0.5 * (digamma(nu[k]) - np.log(nu[k])) - 0.5 / beta[k]
            rho[:, k] = laplace + expected + digamma(alpha[k]) - digamma(alpha.sum())
        r = np.exp(rho - rho.max(1, keepdims=True))
        r /= r.sum(1, keepdims=True)
        bound = (r * rho).sum() - (r * np.log(r)).sum() + gammaln(2 * alpha0) - 2 * gammaln(alpha0)
        bound += -gammaln(alpha.sum()) + gammaln(alpha).sum()
        bound += ((alpha0 - alpha) * (digamma(alpha) - digamma(alpha.sum()))).sum()
        for k in range(2):
            # Expected log prior of mean and precision, and the entropy of their posterior.
            tau, log_tau = nu[k] / sigma[k], digamma(nu[k]) - np.log(sigma[k])
            prior = (
                0.5 * np.log(b / (2 * np.pi)) + 0.5 * log_tau - 0.5 * b * (1 / beta[k] + tau * (a[k] - start[k]) ** 2)
            )
            prior += v * np.log(s) - gammaln(v) + (v - 1) * log_tau - s * tau
            entropy = 0.5 * (1 + np.log(2 * np.pi / beta[k])) - 0.5 * log_tau
            entropy += nu[k] - np.log(sigma[k]) + gammaln(nu[k]) + (1 - nu[k]) * digamma(nu[k])
            bound += prior + entropy
        path.append((alpha.copy(), list(a), [nu[k] / sigma[k] for k in range(2)], r, bound))
        alpha = alpha0 + r.sum(0)
        for k, (x, variance, _) in enumerate(found):
            total = r[:, k].sum()
            mean = (r[:, k] * x).sum() / total
            spread = (r[:, k] * (x**2 + variance)).sum() / total - mean**2
            a[k] = (total * mean + b * start[k]) / (b + total)
            beta[k], nu[k] = b + total, v + total / 2
            sigma[k] = s + 0.5 * (total * spread + b * total / (b + total) * (mean - start[k]) ** 2)
    return path


def test_every_iteration_is_that_of_the_published_equations(fit):
    path = published(len(fit.trace["bound"]))
    for n, (alpha, means, precisions, r, bound) in enumerate(path):
        np.testing.assert_allclose(fit.trace["alpha"][n], alpha, rtol=0, atol=1e-6)
        np.testing.assert_allclose(fit.trace["responsibilities"][n], r, rtol=0, atol=1e-6)
        for k, name in enumerate(MODELS):
            assert fit.trace[f"mean of {name}"][n, 0] == pytest.approx(means[k], abs=1e-6)
            assert fit.trace[f"precision of {name}"][n, 0] == pytest.approx(precisions[k], abs=1e-6)
        assert fit.trace["bound"][n] == pytest.approx(bound, abs=1e-6)


def test_the_bound_never_falls_where_laplace_approximations_are_exact():
    x, z = RNG.normal(size=(2, 14, 20))
    y = np.where(np.arange(14)[:, None] < 9, 1.0 * x, -0.7 * z) + RNG.normal(size=x.shape)
    data = pyem.Dataset.from_arrays({"x": x[:, None], "z": z[:, None], "y": y[:, None]})
    slope = Parameter("b", sd=1.0)
    models = {
        name: Model(
            name,
            (slope,),
            lambda p, q, trial, name=name: Normal(p.b * trial[name], 1.0),
            responses=("y",),
            inputs=("x", "z"),
        )
        for name in ("x", "z")
    }
    fit = pyem.fit_hbi(models, data, accelerate=False)
    assert fit.converged
    assert len(fit.trace["bound"]) > 5
    assert np.diff(fit.trace["bound"]).min() > -1e-9


def test_extrapolated_steps_end_where_plain_ones_do(fit):
    fast = pyem.fit_hbi(MODELS, DATA, tol=1e-11)
    assert len(fast.trace["bound"]) < 0.7 * len(fit.trace["bound"])
    assert fast.bound == pytest.approx(fit.bound, abs=1e-7)
    assert fast.bound_null == pytest.approx(fit.bound_null, abs=1e-3)
    np.testing.assert_allclose(fast.responsibilities, fit.responsibilities, rtol=0, atol=1e-6)
    for name in MODELS:
        np.testing.assert_allclose(fast.groups[name]["mean"], fit.groups[name]["mean"], rtol=0, atol=1e-6)
    # Until the published rule stops they are the same.
    np.testing.assert_array_equal(fast.trace["bound"][: fast.early + 1], fit.trace["bound"][: fast.early + 1])
    assert fast.early == fit.early


def test_people_are_foreseen_under_another_group_where_likelihoods_are_quadratic():
    """The likelihood of a person is Gaussian around (0.5, -1) with a precision that is not diagonal."""
    middle, precision = np.array([0.5, -1.0]), np.array([[4.0, 1.0], [1.0, 3.0]])

    def found(group):
        hess = precision + np.diag(group.precision)
        mode = np.linalg.solve(hess, precision @ middle + group.precision * group.mean)
        log_lik = -0.5 * (mode - middle) @ precision @ (mode - middle)
        rows = (mode, np.linalg.inv(hess), log_lik, np.linalg.slogdet(hess)[1])
        return Laplace(*(np.array([row, row]) for row in rows), np.array([Status.CONVERGED, Status.FLAT]))

    one = GroupPosterior(np.array([0.0, 1.0]), 5.0, 4.0, np.array([2.0, 3.0]))
    other = GroupPosterior(np.array([1.0, 0.5]), 6.0, 5.0, np.array([1.0, 4.0]))
    there, truth = foreseen(found(one), one, other), found(other)
    for got, wanted, before in zip(there[:4], truth[:4], found(one)[:4], strict=True):
        np.testing.assert_allclose(got[0], wanted[0], rtol=1e-10)
        np.testing.assert_array_equal(got[1], before[1])


def test_the_bound_with_equal_frequencies_is_that_of_a_fixed_point_although_it_stands_still_on_the_way(fit):
    short = fit.bound_null
    long = pyem.fit_hbi(MODELS, DATA, tol=1e-9).bound_null
    assert short == pytest.approx(long, abs=1e-3)


# -- what it says -------------------------------------------------------------------------------------------------------


def test_people_are_given_to_their_model_and_groups_are_theirs(fit):
    right = fit.table().model.to_numpy() == np.where(TRUTH, "cue", "bias")
    assert right.mean() >= 0.9
    table = fit.models_table()
    off = np.abs(table.frequency - [1 - TRUTH.mean(), TRUTH.mean()])
    assert (off < 2 * table.frequency_sd).all()
    assert abs(fit.group_table().loc[("cue", "c"), "mean"] - X[TRUTH].mean()) < 0.4
    assert fit.fits["cue"].population.coef[0, 0] == pytest.approx(fit.groups["cue"]["mean"][0])
    assert sum(fit.frequency.values()) == pytest.approx(1)
    assert fit.exceedance["cue"] > fit.protected_exceedance["cue"] > 0.5
    assert 0 < fit.omnibus_risk < 1
    assert fit.early < len(fit.trace["bound"]) - 1
    assert fit.trace["change"][fit.early] < 0.01 <= fit.trace["change"][fit.early - 1]


def test_a_t_test_has_the_degrees_of_freedom_of_the_models_people(fit):
    row = fit.group_table().loc[("cue", "c")]
    found = fit.t_test("cue", "c", 0.0)
    assert found["df"] == pytest.approx(1 + np.nansum(fit.responsibilities[:, 1]))
    assert found["t"] == pytest.approx(row["mean"] / row["se"])
    assert fit.t_test("cue", "c", row["high"])["p"] == pytest.approx(0.05)
    with pytest.raises(ValueError, match=r"no parameter 'b' of a model 'cue'; bias has b; cue has c"):
        fit.t_test("cue", "b", 0.0)


def test_each_model_is_traced_once():
    once = {
        name: Model(f"{model.name}_once", model.parameters, model.policy, options=2) for name, model in MODELS.items()
    }
    once["cue"] = dataclasses.replace(once["cue"], inputs=("cue",))
    pyem.fit_hbi(once, DATA, starts=2)
    assert [TRACES[model.name, "modes"] for model in once.values()] == [1, 1]


def test_without_the_null_there_is_no_protected_exceedance():
    quick = pyem.fit_hbi(MODELS, DATA, null=False, tol=0.01)
    assert "protected_exceedance" not in quick.models_table()
    with pytest.raises(Unavailable, match="null=True"):
        _ = quick.omnibus_risk
    again = pyem.fit_hbi(MODELS, DATA, **dict(quick.settings))
    np.testing.assert_array_equal(again.responsibilities, quick.responsibilities)


def test_it_is_saved_and_read(tmp_path):
    models = {name: pyem.models.get(name) for name in ("bias", "wsls")}
    data = pyem.simulate(models["wsls"], subjects=5, blocks=2, trials=12, key=1)
    fit = pyem.fit_hbi(models, data)
    again = pyem.load(fit.save(tmp_path / "fit.nc"))
    assert again.table().equals(fit.table())
    assert again.group_table().equals(fit.group_table())
    assert again.summary() == fit.summary()
    assert again.fits["wsls"].model == models["wsls"]


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ({"bias": MODELS["bias"]}, {}, "at least two models by name"),
        (MODELS, {"rate": -1.0}, "rate"),
        (MODELS, {"max_iter": 0}, "max_iter"),
    ],
)
def test_what_means_nothing_is_an_error(models, options, message):
    with pytest.raises(ValueError, match=message):
        pyem.fit_hbi(models, DATA, **options)


def test_a_search_that_ended_too_soon_says_so():
    with pytest.warns(pyem.FitWarning, match="not converged after 2 iterations"):
        fit = pyem.fit_hbi(MODELS, DATA, max_iter=2, null=False)
    assert not fit.converged


def test_fits_whose_groups_are_of_some_people_are_not_compared_without_a_word(fit):
    with pytest.warns(pyem.FitWarning, match=r"group of 'bias', 'cue' is that of the people whose model it is"):
        pyem.compare_fits(fit.fits, draws=0)
