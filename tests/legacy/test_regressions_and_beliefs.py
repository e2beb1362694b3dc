"""The regressions and belief updating in the form of pyEM, against their formulas written out."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
from scipy import optimize, stats

from pyem import EMModel, models
from pyem.core.modelspec import ModelSpec
from pyem.core.priors import GaussianPrior
from pyem.models.bayes import bayes_fit, bayes_model, bayes_sim
from pyem.models.glm import (
    glm_ar_fit,
    glm_ar_model,
    glm_ar_sim,
    glm_decay_fit,
    glm_decay_model,
    glm_decay_sim,
    glm_fit,
    glm_model,
    glm_sim,
    logit_decay_fit,
    logit_decay_model,
    logit_decay_sim,
    logit_fit,
    logit_model,
    logit_sim,
)
from pyem.utils.math import norm2alpha

TRUE = np.array([[0.5, -1.0, 0.8], [0.0, 1.5, -0.3], [-0.5, 0.2, 1.0]])
T = 40
PARTS = {
    "glm": (glm_sim, glm_fit, glm_model, []),
    "glm_decay": (glm_decay_sim, glm_decay_fit, glm_decay_model, [0.6]),
    "glm_ar": (glm_ar_sim, glm_ar_fit, glm_ar_model, [0.4]),
    "logit": (logit_sim, logit_fit, logit_model, []),
    "logit_decay": (logit_decay_sim, logit_decay_fit, logit_decay_model, [0.6]),
}


def people(name: str, **options) -> tuple[np.ndarray, np.ndarray]:
    sim, _, _, extra = PARTS[name]
    return sim(np.column_stack([TRUE, *[np.full(len(TRUE), e) for e in extra]]), ntrials=T, seed=1, **options)


def predictor(name: str, params: np.ndarray, X: np.ndarray, Y: np.ndarray, lags: int = 2) -> np.ndarray:
    b = params[:3]
    if name.endswith("decay"):
        gamma = 1 / (1 + np.exp(-params[3]))
        rows = [sum(gamma**j * X[t - j] for j in range(lags + 1) if t >= j) for t in range(len(X))]
        return np.array(rows) @ b
    if name == "glm_ar":
        return np.array([X[t] @ b + (params[3] * Y[t - 1] if t else 0.0) for t in range(len(X))])
    return X @ b


def negative_log_lik(name: str, params: np.ndarray, X: np.ndarray, Y: np.ndarray, lags: int = 2) -> float:
    eta = predictor(name, params, X, Y, lags)
    if name.startswith("logit"):
        return -stats.bernoulli(1 / (1 + np.exp(-eta))).logpmf(Y).sum()
    return -stats.norm(eta, np.std(Y - eta)).logpdf(Y).sum()


@pytest.mark.parametrize("name", PARTS)
def test_the_bundle(name):
    sim, fit, spec, _ = PARTS[name]
    assert isinstance(spec, ModelSpec)
    assert spec.id == name
    assert spec.sim is sim
    assert spec.fit is fit
    assert pickle.loads(pickle.dumps(fit)) is fit
    assert fit.__name__ == f"{name}_fit"
    assert name in models.names()


@pytest.mark.parametrize("name", PARTS)
def test_simulations_are_a_tuple_of_designs_and_responses(name):
    X, Y = people(name)
    assert X.shape == (3, T, 3)
    assert Y.shape == (3, T)
    assert (X[..., 0] == 1).all()
    assert stats.kstest(X[..., 1:].ravel(), "norm").pvalue > 1e-3
    assert set(np.unique(Y)) <= {0, 1} or not name.startswith("logit")
    again = people(name)
    np.testing.assert_array_equal(again[0], X)
    np.testing.assert_array_equal(again[1], Y)
    assert people(name, nblocks=2)[1].shape == (3, 2 * T)


@pytest.mark.parametrize("name", ["glm", "glm_decay", "glm_ar"])
def test_residuals_of_a_simulation_are_standard_normal(name):
    sim, _, _, extra = PARTS[name]
    params = np.array([[0.5, -1.0, 0.8, *extra]])
    X, Y = sim(params, ntrials=2000, seed=2)
    on_their_scale = np.append(params[0, :3], np.log(extra[0] / (1 - extra[0])) if name == "glm_decay" else extra)
    residual = Y[0] - predictor(name, on_their_scale, X[0], Y[0])
    assert stats.kstest(residual, "norm").pvalue > 1e-3


@pytest.mark.parametrize("name", PARTS)
def test_values_are_those_of_the_formula(name):
    _, fit, _, extra = PARTS[name]
    X, Y = people(name)
    params = np.array([0.3, -0.7, 0.4, *([-0.2] if extra else [])])
    nll = negative_log_lik(name, params, X[0], Y[0])
    np.testing.assert_allclose(fit(params, X[0], Y[0], output="nll"), nll, rtol=1e-12)
    prior = GaussianPrior(np.zeros(len(params)), np.ones(len(params)))
    np.testing.assert_allclose(fit(params, X[0], Y[0], prior=prior), nll - prior.logpdf(params), rtol=1e-12)
    out = fit(params, X[0], Y[0], output="all")
    eta = predictor(name, params, X[0], Y[0])
    shown = ("predicted_p", 1 / (1 + np.exp(-eta))) if name.startswith("logit") else ("predicted_y", eta)
    more = {"gamma"} if name.endswith("decay") else set()
    assert set(out) == {"params", shown[0], "nll", "BIC"} | more
    np.testing.assert_allclose(out[shown[0]], shown[1], rtol=1e-12)
    np.testing.assert_allclose(out["BIC"], 2 * nll + len(params) * np.log(T), rtol=1e-12)
    natural = params.copy()
    if name.endswith("decay"):
        natural[3] = norm2alpha(params[3])
    np.testing.assert_allclose(out["params"], natural, rtol=1e-12)


def test_simulations_without_a_seed_are_equal():
    for name in ("glm", "logit_decay"):
        sim, _, _, extra = PARTS[name]
        one, two = (sim(np.column_stack([TRUE, *[np.full(3, e) for e in extra]]), 10) for _ in range(2))
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)
        assert one[1].dtype.kind == ("i" if name.startswith("logit") else "f")
    assert not np.array_equal(one[0], sim(np.column_stack([TRUE, np.full(3, 0.6)]), 10, "twostep", 5)[0])


def test_a_perfect_fit_is_finite_and_outputs_have_names():
    X = np.column_stack([np.ones(10), np.arange(10.0)])
    nll = glm_fit([1.0, 2.0], X, X @ [1.0, 2.0], output="nll")
    assert nll == pytest.approx(10 * (np.log(1e-8) + 0.5 * np.log(2 * np.pi)), rel=1e-9)
    for _, fit, _, extra in PARTS.values():
        with pytest.raises(ValueError, match="Unknown output 'x'; expected 'npl', 'nll', or 'all'"):
            fit([1.0, 2.0, *extra], X, np.zeros(10), output="x")


def test_a_shorter_decay():
    X, Y = people("glm_decay", decay="onestep")
    params = np.array([0.3, -0.7, 0.4, -0.2])
    nll = negative_log_lik("glm_decay", params, X[1], Y[1], lags=1)
    np.testing.assert_allclose(glm_decay_fit(params, X[1], Y[1], output="nll", decay="onestep"), nll, rtol=1e-12)
    assert glm_decay_fit(params, X[1], Y[1], output="nll") != pytest.approx(nll)
    out = glm_decay_fit(params, X[1], Y[1], output="all", decay="onestep")
    np.testing.assert_allclose(out["predicted_y"], predictor("glm_decay", params, X[1], Y[1], lags=1), rtol=1e-12)
    with pytest.raises(ValueError, match="choose 'onestep' or 'twostep'"):
        glm_decay_fit(params, X[1], Y[1], decay="threestep")


@pytest.mark.parametrize("phi", [0.9991, -1.0, 3.0])
def test_the_wall_around_phi(phi):
    X, Y = people("glm_ar")
    np.testing.assert_allclose(glm_ar_fit([0.3, -0.7, 0.4, phi], X[0], Y[0], output="nll"), 1e7, rtol=1e-12)
    assert glm_ar_fit([0.3, -0.7, 0.4, np.sign(phi) * 0.999], X[0], Y[0], output="nll") < 1e4


@pytest.mark.parametrize("name", PARTS)
def test_missing_responses_and_predictors_are_left_out(name):
    _, fit, _, extra = PARTS[name]
    X, Y = people(name)
    X, Y = X[0].copy(), Y[0].astype(float)
    Y[10], X[20, 1] = np.nan, np.nan
    params = np.array([0.3, -0.7, 0.4, *([-0.2] if extra else [])])
    eta = predictor(name, params, X, Y)
    here = ~np.isnan(eta) & ~np.isnan(Y)
    assert (~here).sum() == {"glm": 2, "logit": 2, "glm_ar": 3, "glm_decay": 4, "logit_decay": 4}[name]
    if name.startswith("logit"):
        nll = -stats.bernoulli(1 / (1 + np.exp(-eta[here]))).logpmf(Y[here]).sum()
    else:
        nll = -stats.norm(eta[here], np.std((Y - eta)[here])).logpdf(Y[here]).sum()
    np.testing.assert_allclose(fit(params, X, Y, output="nll"), nll, rtol=1e-12)
    out = fit(params, X, Y, output="all")
    np.testing.assert_allclose(out["BIC"], 2 * nll + len(params) * np.log(here.sum()), rtol=1e-12)


def test_parameters_on_their_bounds_can_be_simulated():
    X, Y = logit_decay_sim([[0.5, -1.0, 0.8, 0.0], [0.5, -1.0, 0.8, 1.0]], ntrials=T, seed=6)
    assert X.shape == (2, T, 3)
    assert not np.array_equal(Y[0], Y[1])
    with pytest.raises(ValueError, match=r"gamma = 1\.5 of subject 0 is outside its range, 0 to 1"):
        logit_decay_sim([[0.5, -1.0, 0.8, 1.5]])


def test_wrong_data_are_refused():
    X, Y = people("logit")
    with pytest.raises(ValueError, match=r"X has shape \(40, 3\) and Y \(39,\)"):
        logit_fit([0.0] * 3, X[0], Y[0][:-1])
    with pytest.raises(ValueError, match="Y has the value 2; a logistic regression expects 0 and 1"):
        logit_fit([0.0] * 3, X[0], Y[0] + 1)
    with pytest.raises(ValueError, match=r"logit_fit has 3 parameters .* but was given 4"):
        logit_fit([0.0] * 4, X[0], Y[0])
    with pytest.raises(ValueError, match="subject 0 has 3 columns of predictors and subject 1 has 2"):
        EMModel([[X[0], Y[0]], [X[1][:, :2], Y[1]]], logit_fit, ["b0", "b1", "b2"]).fit(verbose=0)


def posterior_mode(name: str, prior: GaussianPrior, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    objective = lambda x: negative_log_lik(name, x, X, Y) - prior.logpdf(x)  # noqa: E731
    return optimize.minimize(objective, np.zeros(len(prior.mu)), method="BFGS", options={"gtol": 1e-7}).x


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if extra else []) for name, (*_, extra) in PARTS.items()]
)
def test_a_group_is_fitted(name):
    sim, fit, _, extra = PARTS[name]
    rng = np.random.default_rng(3)
    n = 20
    true = np.column_stack([rng.normal([0.5, -1.0, 0.8], 0.5, (n, 3)), *[rng.uniform(0.2, 0.6, n) for _ in extra]])
    X, Y = sim(true, ntrials=T, seed=4)
    transforms = [lambda x: x] * 3 + ([norm2alpha] if name.endswith("decay") else [lambda x: x] * len(extra))
    names = ["b0", "b1", "b2", *(["gamma"] if name.endswith("decay") else ["phi"] * len(extra))]
    model = EMModel([[x, y] for x, y in zip(X, Y, strict=True)], fit, names, param_xform=transforms)
    result = model.fit(verbose=0)
    out = model.get_outfit()
    assert out["params"].shape == (n, len(names))
    assert all(np.corrcoef(out["params"][:, j], true[:, j])[0, 1] > 0.5 for j in range(3))
    prior = GaussianPrior(result.posterior_mu, result.posterior_sigma)
    for s in (0, n - 1):
        np.testing.assert_allclose(result.m[:, s], posterior_mode(name, prior, X[s], Y[s]), atol=2e-3)


@pytest.mark.slow
def test_an_option_of_a_fit_function_may_be_set_beforehand():
    X, Y = glm_decay_sim(np.tile([0.5, -1.0, 0.8, 0.7], (20, 1)), ntrials=T, decay="onestep", seed=5)
    data = [[x, y] for x, y in zip(X, Y, strict=True)]
    names = ["b0", "b1", "b2", "gamma"]
    one = EMModel(data, functools.partial(glm_decay_fit, decay="onestep"), names).fit(verbose=0)
    two = EMModel(data, glm_decay_fit, names).fit(verbose=0)
    assert one.NLL.sum() < two.NLL.sum() - 5


# -- belief updating ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fishing() -> dict[str, np.ndarray]:
    return bayes_sim([[0.6], [0.8]], seed=1)


def beliefs(lambda1: float, observations: np.ndarray) -> np.ndarray:
    """After each fish, (block, trial, pond)."""
    odds = np.full((3, 3), (1 - lambda1) / 2)
    np.fill_diagonal(odds, lambda1)
    out = np.empty((*observations.shape, 3))
    for b, block in enumerate(observations):
        belief = np.full(3, 1 / 3)
        for t, fish in enumerate(block):
            belief = odds[fish] * belief
            belief /= belief.sum()
            out[b, t] = belief
    return out


def test_what_a_simulation_of_ponds_returns(fishing):
    assert {"choices", "observations", "probabilities", "ponds", "params"} <= set(fishing)
    assert fishing["choices"].shape == fishing["observations"].shape == fishing["ponds"].shape == (2, 10, 15)
    assert fishing["probabilities"].shape == (2, 10, 16, 3)
    np.testing.assert_array_equal(fishing["probabilities"][:, :, 0], 1 / 3)
    assert (fishing["ponds"] == fishing["ponds"][:, :, :1]).all()
    for s, lambda1 in enumerate((0.6, 0.8)):
        np.testing.assert_allclose(
            fishing["probabilities"][s, :, 1:], beliefs(lambda1, fishing["observations"][s]), rtol=1e-12
        )
    assert bayes_sim([[0.6]], nblocks=2, ntrials=4, seed=1)["choices"].shape == (1, 2, 4)
    assert bayes_sim([[0.6]], nblocks=2, ntrials=4, n_fish=4, seed=1)["probabilities"].shape == (1, 2, 5, 4)


def test_the_number_of_fish_is_the_largest_code_of_anybody():
    rare, rest = np.zeros((1, 4), int), np.array([[0, 1, 2, 3]])
    x = np.log(0.7 / 0.3)
    belief = {n: [0.7**t / (0.7**t + (n - 1) * (0.3 / (n - 1)) ** t) for t in (1, 2, 3, 4)] for n in (2, 4)}
    for n, given in ((2, {}), (4, {"n_fish": 4})):
        nll = bayes_fit([x], rare, rare, output="nll", **given)
        assert nll == pytest.approx(-np.log(belief[n]).sum(), rel=1e-12)
    model = EMModel([[rare, rare], [rest, rest]], bayes_fit, ["lambda1"])
    result = model.fit(verbose=0, mstep_maxit=1)
    assert result.NLL[0] == pytest.approx(bayes_fit(result.m[:, 0], rare, rare, None, "nll", 4))
    np.testing.assert_allclose(model.outfit["nll"], result.NLL)
    with pytest.raises(ValueError, match="n_fish=3, but there is a fish or a choice with the code 3"):
        bayes_fit([x], rest, rest, n_fish=3)


def test_values_of_belief_updating(fishing):
    choices, observations = fishing["choices"][0], fishing["observations"][0]
    chosen = np.take_along_axis(beliefs(0.7, observations), choices[..., None], axis=2)
    x = np.log(0.7 / 0.3)
    np.testing.assert_allclose(bayes_fit([x], choices, observations, output="nll"), -np.log(chosen).sum(), rtol=1e-12)
    out = bayes_fit([x], choices, observations, output="all")
    np.testing.assert_allclose(out["params"], [0.7], rtol=1e-12)
    np.testing.assert_allclose(out["probabilities"], beliefs(0.7, observations), rtol=1e-12)
    as_letters = np.array(list("ABC"), object)
    nll = bayes_fit([x], as_letters[choices], as_letters[observations], output="nll")
    np.testing.assert_allclose(nll, out["nll"], rtol=1e-12)
    assert bayes_model.fit is bayes_fit
    assert bayes_model.sim is bayes_sim


def test_a_group_of_belief_updaters():
    true = np.linspace(0.4, 0.9, 30)[:, None]
    model = EMModel(None, bayes_fit, ["lambda1"], param_xform=[norm2alpha], simulate_func=bayes_sim)
    recovery = model.recover(true, ["choices", "observations"], fit_kwargs={"verbose": 0}, seed=2)
    assert recovery["correlation"][0] > 0.9
