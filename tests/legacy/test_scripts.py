"""What scripts do besides the plain way: changed settings, odd containers, broken functions, results that are edited."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from pyem import EMModel
from pyem.core.compare import ModelComparison
from pyem.core.engines import JaxEngine, ScipyEngine, engine_of
from pyem.core.priors import IndependentPrior, UniformPrior
from pyem.errors import FitWarning
from pyem.models.bayes import bayes_sim
from pyem.models.glm import glm_fit, glm_sim
from pyem.models.rl import rw1a1b_fit, rw1a1b_model, rw1a1b_sim, rw3a1b_sim, rw4a1b_fit, rw4a1b_sim
from pyem.utils.math import calc_fval, norm2alpha, norm2beta
from pyem.utils.plotting import plot_choices
from pyem.utils.stats import calc_BICint

Y = [[np.random.default_rng(s).normal(s, 1.0, 6)] for s in range(6)]
NAMES, XFORM = ["beta", "alpha"], [norm2beta, norm2alpha]


@pytest.fixture(scope="module")
def people():
    params = np.column_stack([np.geomspace(1.0, 12.0, 8), np.tile([0.1, 0.8], 4)])
    sim = rw1a1b_sim(params, nblocks=3, ntrials=24, seed=3)
    return [[c, r] for c, r in zip(sim["choices"], sim["rewards"], strict=True)]


@pytest.fixture(scope="module")
def fitted(people):
    model = EMModel(people, rw1a1b_fit, NAMES, XFORM)
    model.fit(verbose=0)
    return model


# -- functions that read from outside ---------------------------------------------------------------------------------

SETTINGS = {"scale": 1.0}


def scaled_fit(params, y, prior=None, output="npl"):
    nll = 0.5 * ((y - SETTINGS["scale"] * params[0]) ** 2).sum()
    return {"params": params, "nll": nll} if output == "all" else calc_fval(nll, params, prior=prior, output=output)


def test_a_variable_that_was_changed_counts_in_the_next_fit(monkeypatch):
    model = EMModel(Y, scaled_fit, ["mean"])
    first = model.fit(verbose=0)
    assert isinstance(engine_of(scaled_fit, Y, 1), JaxEngine)
    monkeypatch.setitem(SETTINGS, "scale", 2.0)
    second = model.fit(verbose=0)
    np.testing.assert_allclose(2 * second.posterior_mu, first.posterior_mu, atol=1e-5)
    np.testing.assert_allclose(second.NLL, model.get_outfit()["nll"], rtol=1e-10)
    args = (["mean"], second.posterior_mu, second.posterior_sigma)
    plain = calc_BICint(
        Y, *args, lambda x, y, output: {"nll": float(scaled_fit(x, y, output="nll"))}, nsamples=20, seed=1
    )
    assert calc_BICint(Y, *args, scaled_fit, nsamples=20, seed=1) == pytest.approx(plain, rel=1e-10)


# -- jax.numpy where it cannot be traced as a whole -------------------------------------------------------------------


def jax_mean_fit(params, y, prior=None, output="npl"):
    nll = 0.5 * jnp.square(jnp.asarray(y) - params[0]).sum()
    return {"params": params, "nll": nll} if output == "all" else calc_fval(nll, params, prior=prior, output=output)


def numpy_mean_fit(params, y, prior=None, output="npl"):
    return calc_fval(0.5 * float(np.square(y - params[0]).sum()), params, prior=prior, output=output)


def text_fit(params, y, prior=None, output="npl"):
    return jax_mean_fit(params, [float(value) for value in y], prior, output)


@pytest.mark.parametrize("kind", ["many shapes", "text"])
def test_functions_of_jax_numpy_are_evaluated_in_double_precision(kind):
    data = [[np.random.default_rng(s).normal(s, 1.0, 10 + s)] for s in range(10)]
    function, given = jax_mean_fit, data
    if kind == "text":
        function, given = text_fit, [[np.array(list(map(repr, y.tolist())), object)] for (y,) in data]
    assert isinstance(engine_of(function, given, 1), ScipyEngine)
    model = EMModel(given, function, ["mean"])
    result, expected = model.fit(verbose=0, njobs=1), EMModel(data, numpy_mean_fit, ["mean"]).fit(verbose=0)
    np.testing.assert_allclose(result.inv_h, expected.inv_h, rtol=1e-5)
    np.testing.assert_allclose(result.m, expected.m, atol=1e-5)
    assert np.asarray(model.get_outfit()["nll"]).dtype == np.float64
    assert not jax.config.jax_enable_x64


def test_a_long_loop_of_plain_python_stays_plain():
    def loop(params, y, prior=None, output="npl"):
        nll = 0.0
        for value in np.tile(y, 60):
            nll = nll + 0.5 * (value - params[0]) ** 2
        return calc_fval(nll, params, prior=prior, output=output)

    engine = engine_of(loop, Y, 1)
    assert isinstance(engine, ScipyEngine)
    assert not engine.one_process


# -- functions that give nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda params, y, prior=None, output="npl": None, "returned None; has it a return statement"),
        (lambda params, y, prior=None, output="npl": float("nan"), "no finite negative log-likelihood"),
        (lambda params, y, prior=None, output="npl": 1e7, "no finite negative log-likelihood"),
    ],
)
def test_a_function_without_values_is_no_fit(function, words):
    with pytest.raises(ValueError, match=words):
        EMModel(Y, function, ["mean"]).fit(verbose=0, njobs=1)


def test_subjects_without_a_likelihood_are_named():
    broken = [*Y[:3], [np.array([np.nan, 1.0])], *Y[3:]]
    with pytest.warns(FitWarning, match=r"for 1 of 7 subjects \(at 3 in all_data\)"):
        result = EMModel(broken, numpy_mean_fit, ["mean"]).fit(verbose=0)
    others = EMModel(Y, numpy_mean_fit, ["mean"]).fit(verbose=0)
    np.testing.assert_allclose(result.posterior_mu, others.posterior_mu, atol=1e-4)


# -- containers -------------------------------------------------------------------------------------------------------


def test_lists_and_tables_are_data(people):
    X, y = (part[0] for part in glm_sim(np.array([[0.5, -1.0]]), ntrials=30, seed=1))
    expected = glm_fit([0.1, 0.2], X, y, output="nll")
    for data in ((X.tolist(), y.tolist()), (list(X), list(y)), (pd.DataFrame(X), pd.Series(y))):
        assert glm_fit([0.1, 0.2], *data, output="nll") == pytest.approx(expected, rel=1e-12)
    sim = rw4a1b_sim(np.array([[4.0, 0.2, 0.3, 0.4, 0.5]]), nblocks=6, ntrials=20, seed=1)
    arrays = [sim[name][0] for name in ("choices", "outcomes_self", "outcomes_other", "option_pairs")]
    lists = [np.asarray(array).tolist() for array in arrays]
    x = [0.1, 0.2, -0.3, 0.4, -0.5]
    assert rw4a1b_fit(x, *lists, output="nll") == pytest.approx(rw4a1b_fit(x, *arrays, output="nll"), rel=1e-12)


def test_missing_values_of_pandas_are_missing(people):
    choices, rewards = people[0]
    gone, empty = choices.copy(), rewards.astype(object)
    gone[1, 3], empty[1, 3] = None, np.nan
    expected = rw1a1b_fit([0.3, 0.1], gone, empty.astype(float), output="nll")
    gone[1, 3] = empty[1, 3] = pd.NA
    assert rw1a1b_fit([0.3, 0.1], gone, empty, output="nll") == expected


def test_blocks_of_different_lengths_are_refused_with_the_remedy(people):
    choices, rewards = people[0]
    ragged = [list(block[: 24 - 2 * b]) for b, block in enumerate(choices)]
    with pytest.raises(ValueError, match="choices has blocks of different lengths; fill the shorter ones up with None"):
        rw1a1b_fit([0.0, 0.0], ragged, rewards)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: rw1a1b_sim([[5.0, 0.5]], outcomes=np.zeros((4, 24, 2))),
            "outcomes has shape .* nblocks=3 and ntrials=24",
        ),
        (lambda: rw3a1b_sim([[5.0, 0.5, 0.1, 0.1]], outcomes=np.zeros((3, 20, 2, 3))), "outcomes has shape"),
        (lambda: rw1a1b_sim([[5.0, 0.5]], ntrials=24.5), "ntrials=24.5; expected a whole number"),
        (lambda: glm_sim([[5.0, 0.5]], ntrials=0), "ntrials=0; expected a whole number"),
        (
            lambda: EMModel(Y, numpy_mean_fit, ["a"]).fit(optim_method="nonsense"),
            "choose a method of scipy.optimize.minimize",
        ),
        (lambda: IndependentPrior([object()]), "it needs logpdf"),
        (lambda: ModelComparison([EMModel(Y, glm_fit, ["a"])] * 2, ["one", "one"]), "a name twice"),
    ],
)
def test_what_cannot_be_is_said_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_whole_numbers_of_any_type_are_trials():
    assert rw1a1b_sim([[5.0, 0.5]], ntrials=24.0, nblocks=np.int64(2), seed=1)["choices"].shape == (1, 2, 24)


# -- results ----------------------------------------------------------------------------------------------------------


def test_what_is_done_to_a_result_is_not_done_to_the_model(people):
    model = EMModel(people, rw1a1b_fit, NAMES, XFORM)
    result = model.fit(verbose=0)
    before = model.subject_params()
    result.m[0] = norm2beta(result.m[0])
    np.testing.assert_array_equal(model.subject_params(), before)
    params = np.full((3, 1), 0.6)
    assert bayes_sim(params, seed=1)["params"] is not params


def test_the_dict_of_a_result_is_an_output(fitted, people):
    other = EMModel(people, rw1a1b_fit, NAMES, XFORM)
    other._out = fitted.EMfit(verbose=0)
    np.testing.assert_array_equal(other.posterior()["mu"], fitted.posterior()["mu"])
    assert np.isfinite(other.compute_integrated_bic(nsamples=20))


def test_transforms_of_one_number_are_transforms(fitted, people):
    scalar = EMModel(people, rw1a1b_fit, NAMES, [lambda x: 20 / (1 + math.exp(-x)), lambda x: x if x > 0 else 0.0])
    scalar._out = fitted._out
    natural, m = scalar.subject_params(), fitted._out["m"]
    np.testing.assert_allclose(natural[:, 0], norm2beta(m[0]))
    np.testing.assert_array_equal(natural[:, 1], np.maximum(m[1], 0))
    none = EMModel(people, rw1a1b_fit, NAMES, [None, norm2alpha])
    none._out = fitted._out
    np.testing.assert_array_equal(none.subject_params()[:, 0], m[0])


def test_a_seed_repeats_an_identification():
    models = [EMModel(None, rw1a1b_model.fit, NAMES, XFORM, rw1a1b_model.sim)] * 2
    settings = {"nrounds": 1, "nsubjects": 10, "sim_kwargs": {"nblocks": 2, "ntrials": 20}, "seed": 1}
    one, two = (ModelComparison(models, ["a", "b"]).identify(["choices", "rewards"], **settings) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_trials_of_a_pseudo_r2_are_counted(fitted):
    columns = [
        ModelComparison([fitted]).compare(r2_kwargs={"noptions": 2, **trials}).iloc[0, -1]
        for trials in ({}, {"ntrials_total": 72})
    ]
    assert columns[0] == columns[1]


def test_letters_are_plotted(people):
    letters = np.stack([choices for choices, _ in people])
    lines = [plot_choices(data).lines[0].get_ydata() for data in (letters, (letters == "A").astype(float))]
    np.testing.assert_array_equal(*lines)
    missed = (letters == "A").astype(object)
    missed[0, 0, 3] = None
    drawn = plot_choices(missed).lines[0].get_ydata()
    np.testing.assert_array_equal(np.delete(drawn, 3), np.delete(lines[0], 3))
    assert drawn[3] == pytest.approx(np.nanmean(np.nanmean(missed.astype(float), axis=1), axis=0)[3])
    with pytest.raises(ValueError, match="'C'"):
        plot_choices(np.where(letters == "B", "C", "A"))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_uniform_prior_by_differences_gives_no_warnings():
    result = EMModel(Y, numpy_mean_fit, ["mean"]).fit(verbose=0, njobs=1, prior=UniformPrior([-3.0], [6.0]))
    reference = EMModel(Y, numpy_mean_fit, ["mean"]).fit(verbose=0)
    np.testing.assert_allclose(result.posterior_mu, reference.posterior_mu, atol=1e-4)
