"""EMModel: what it takes, what it returns, what it says when something is wrong."""

from __future__ import annotations

import dataclasses
import inspect

import matplotlib
import numpy as np
import pandas as pd
import pytest

from pyem import EMModel, FitResult
from pyem.core import priors
from pyem.core.em import EMConfig, EMfit
from pyem.core.groupdist import make_group
from pyem.core.optim import OptimConfig, single_subject_minimize
from pyem.core.posterior import parameter_recovery
from pyem.errors import FitWarning
from pyem.models.rl import rw1a1b_fit, rw1a1b_sim
from pyem.utils.math import calc_fval, norm2alpha, norm2beta
from pyem.utils.plotting import plot_choices, plot_scatter

matplotlib.use("Agg")

S, B, T = 16, 3, 20
NAMES, XFORM = ["beta", "alpha"], [norm2beta, norm2alpha]
RNG = np.random.default_rng(2)
PARAMS = np.column_stack([RNG.uniform(2, 8, S), RNG.uniform(0.1, 0.8, S)])


@pytest.fixture(scope="module")
def data():
    sim = rw1a1b_sim(PARAMS, nblocks=B, ntrials=T, seed=1)
    return [[c, r] for c, r in zip(sim["choices"], sim["rewards"], strict=True)]


def make(data, **options):
    return EMModel(data, rw1a1b_fit, NAMES, **{"param_xform": XFORM, "simulate_func": rw1a1b_sim} | options)


@pytest.fixture(scope="module")
def fitted(data):
    model = make(data)
    return model, model.fit(verbose=0)


# -- the constructor, and parameters ----------------------------------------------------------------------------------


def test_as_many_transforms_as_names():
    with pytest.raises(ValueError, match=r"param_xform length \(1\) must match param_names length \(2\)"):
        make(None, param_xform=[norm2beta])


def test_transforms_are_found_by_name_and_index(data):
    model = make(data)
    assert model.get_param_transform("alpha") is norm2alpha
    assert model.get_param_transform(0) is norm2beta
    with pytest.raises(ValueError, match="Parameter 'x' not found in param_names"):
        model.get_param_transform("x")
    with pytest.raises(ValueError, match="Index 5 out of range for param_xform"):
        model.get_param_transform(5)
    with pytest.raises(ValueError, match="param_xform was not provided to the model"):
        make(data, param_xform=None).get_param_transform("alpha")


# -- fit --------------------------------------------------------------------------------------------------------------


def test_shapes_of_a_fit(fitted):
    model, result = fitted
    assert isinstance(result, FitResult)
    assert result.convergence is True
    shapes = {name: np.shape(value) for name, value in vars(result).items()}
    assert shapes == {
        "m": (2, S),
        "inv_h": (2, 2, S),
        "posterior_mu": (2,),
        "posterior_sigma": (2,),
        "NPL": (S,),
        "NLPrior": (S,),
        "NLL": (S,),
        "convergence": (),
    }
    assert list(model._out) == ["m", "inv_h", "posterior", "NPL", "NLPrior", "NLL", "convergence"]
    assert model._out["posterior"]["mu"] is not None


def test_what_a_fit_reports_belongs_together(fitted, data):
    _, result = fitted
    prior = priors.GaussianPrior(result.posterior_mu, result.posterior_sigma)
    for s in range(S):
        x = result.m[:, s]
        assert result.NLL[s] == pytest.approx(rw1a1b_fit(x, *data[s], output="nll"), abs=1e-9)
        assert result.NLPrior[s] == pytest.approx(-prior.logpdf(x), abs=1e-9)
        assert result.NPL[s] == pytest.approx(rw1a1b_fit(x, *data[s], prior=prior), abs=1e-9)
        for k in range(2):
            step = 1e-4 * np.eye(2)[k]
            around = [rw1a1b_fit(x + way * step, *data[s], prior=prior) for way in (1, -1)]
            assert abs(around[0] - around[1]) / 2e-4 < 1e-3
    second_moment = (result.m**2).mean(1) + np.diagonal(result.inv_h).mean(0)
    np.testing.assert_allclose(result.posterior_mu, result.m.mean(1), atol=1e-5)
    np.testing.assert_allclose(result.posterior_sigma, second_moment - result.m.mean(1) ** 2, atol=1e-5)


def test_emfit_is_fit_as_a_dict(data):
    out = make(data).EMfit(verbose=0)
    assert set(out) == set(FitResult.__dataclass_fields__)


def test_a_fit_says_the_same_twice_and_from_anywhere(fitted, data):
    _, result = fitted
    again = make(data).fit(verbose=0)
    np.testing.assert_array_equal(again.m, result.m)
    for start in (
        {"prior_mu": [0.5, -0.5], "prior_sigma": [4.0, 4.0]},
        {"prior": priors.GaussianPrior([-1.0, 0.0], [9.0, 9.0])},
        {"prior": {"mu": [0.0, 0.0], "sigma": [10.0, 10.0], "logpdf": None}},
        {"seed": 3},
    ):
        other = make(data).fit(verbose=0, **start)
        np.testing.assert_allclose(other.posterior_mu, result.posterior_mu, atol=1e-4)
        np.testing.assert_allclose(other.posterior_sigma, result.posterior_sigma, atol=1e-4)


FIRST_PRIORS = [
    priors.UniformPrior([-4.0, -4.0], [3.0, 3.0]),
    priors.IndependentPrior([priors.GaussianPrior(-1.0, 1.0), priors.LaplacePrior(0.0, 1.0)]),
    priors.LaplacePrior([-1.0, 0.0], [1.0, 1.0]),
    priors.StudentTPrior([-1.0, 0.0], [1.0, 1.0], df=4),
    priors.CauchyPrior([-1.0, 0.0], [1.0, 1.0]),
]


# Each is compiled anew, so that only two of them are in the quick suite.
@pytest.mark.parametrize(
    "prior",
    [pytest.param(p, id=type(p).__name__, marks=[pytest.mark.slow] * (k > 1)) for k, p in enumerate(FIRST_PRIORS)],
)
def test_the_first_e_step_is_under_the_prior_itself(data, prior):
    first = make(data[:4]).fit(verbose=0, mstep_maxit=1, prior=prior)
    assert not first.convergence
    if isinstance(prior, priors.UniformPrior):
        assert (prior.lo <= first.m.T).all()
        assert (prior.hi >= first.m.T).all()
    # Each mode is a maximum of likelihood times prior: no step in any direction improves it.
    for s in range(4):
        value = lambda x, s=s: rw1a1b_fit(x, *data[s], output="nll") - prior.logpdf(x)  # noqa: E731
        best = value(first.m[:, s])
        moved = [value(first.m[:, s] + 0.1 * np.array(d)) for d in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        assert min(moved) > best - 1e-4
        assert first.NLPrior[s] == pytest.approx(-prior.logpdf(first.m[:, s]), abs=1e-9)


@pytest.mark.parametrize("mstep", ["gaussian", "laplace", "student_t", "cauchy"])
def test_every_family_of_groups_converges(data, fitted, mstep):
    result = make(data).fit(verbose=0, mstep=mstep)
    assert result.convergence
    assert (result.posterior_sigma > 0).all()
    np.testing.assert_allclose(result.posterior_mu, fitted[1].posterior_mu, atol=0.3)
    np.testing.assert_allclose(result.NPL, result.NLL + result.NLPrior, atol=1e-9)


def test_families_have_the_degrees_of_freedom_asked_for():
    assert make_group("student_t", df=3.0).df == 3.0
    assert make_group("gaussian").family == "gaussian"
    with pytest.raises(ValueError, match="unknown mstep 'gamma'; choose one of gaussian, student_t, laplace, cauchy"):
        make_group("gamma")


@pytest.mark.parametrize("method", ["sum", "mean", "median"])
@pytest.mark.parametrize("custom", [None, "relative_npl", "running_average"])
def test_every_rule_of_convergence_ends_at_the_fixed_point(data, fitted, method, custom):
    result = make(data).fit(verbose=0, convergence_method=method, convergence_custom=custom)
    assert result.convergence
    np.testing.assert_allclose(result.posterior_mu, fitted[1].posterior_mu, atol=1e-4)


def test_a_rule_that_never_holds_runs_to_the_end(data):
    model = make(data)
    assert model.fit(verbose=0, convergence_crit=0.0, mstep_maxit=30).convergence is False
    # Changes are rounded first: to whole numbers they are 0 at once, but 0 is not less than 0.
    assert model.fit(verbose=0, convergence_crit=1e-9, convergence_precision=2, mstep_maxit=100).convergence is True


def test_few_iterations_do_not_converge(data):
    result = make(data).fit(verbose=0, mstep_maxit=2)
    assert result.convergence is False
    assert np.isfinite(result.NPL).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"prior": priors.GaussianPrior([0, 0], [1, 1]), "prior_mu": [0, 0]},
            "Specify either prior or prior_mu/prior_sigma, not both.",
        ),
        ({"prior_mu": [0.0, 0.0]}, "Provide both prior_mu and prior_sigma"),
        ({"prior_sigma": [1.0, 1.0]}, "Provide both prior_mu and prior_sigma"),
        ({"prior": priors.GaussianPrior([0.0], [1.0])}, "for 1 parameters, but the model has 2"),
        ({"mstep_maxit": 0}, "mstep_maxit must be >= 1"),
        ({"mstep": "wishart"}, "unknown mstep 'wishart'"),
        ({"convergence_method": "max"}, "convergence_method='max'"),
        ({"convergence_custom": "absolute"}, "convergence_custom='absolute'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(data, settings, words):
    with pytest.raises(ValueError, match=words):
        make(data).fit(verbose=0, **settings)


def test_data_and_parameters_are_needed(data):
    for ask in (lambda: make(None).fit(), lambda: make(None).scipy_minimize()):
        with pytest.raises(ValueError, match=r"all_data must be provided to fit the model\."):
            ask()
    with pytest.raises(ValueError, match="EMfit received empty `all_data`: "):
        make([]).fit()
    for nobody in ([], pd.DataFrame()):
        with pytest.raises(ValueError, match=r"all_data\[1\] is empty; "):
            make([data[0], nobody]).fit()
    with pytest.raises(ValueError, match="EMfit received empty `param_names`: "):
        EMModel(data, rw1a1b_fit, []).fit()
    with pytest.raises(ValueError, match="rw1a1b_fit has 2 parameters"):
        EMModel(data, rw1a1b_fit, ["beta"]).fit()
    with pytest.raises(ValueError, match=r"takes \[choices, rewards\] of each subject, but subject 1 has 1"):
        make([data[0], data[1][:1]]).fit()
    with pytest.raises(TypeError):
        make(data).fit(verbos=0)


def test_nothing_is_printed_unless_asked_for(data, capsys):
    make(data).fit(verbose=0)
    assert capsys.readouterr() == ("", "")
    make(data).fit(verbose=1)
    some = capsys.readouterr().out.splitlines()
    make(data).fit(verbose=2)
    every = capsys.readouterr().out.splitlines()
    assert 2 <= len(some) < len(every)
    assert "iteration 1, sum of NPL" in every[0]
    assert "converged" in some[-1]


# -- after the fit ----------------------------------------------------------------------------------------------------


def test_estimates_are_natural_where_there_are_transforms(fitted, data):
    model, result = fitted
    params = model.subject_params()
    np.testing.assert_allclose(params, np.column_stack([norm2beta(result.m[0]), norm2alpha(result.m[1])]))
    params[:] = 0
    assert (model.subject_params() != 0).all()
    plain = make(data, param_xform=None)
    plain._out = model._out
    np.testing.assert_array_equal(plain.subject_params(), result.m.T)
    plain.subject_params()[:] = 0
    np.testing.assert_array_equal(plain.subject_params(), result.m.T)


def test_what_the_fit_function_reports_is_stacked_and_kept(fitted, data):
    model, result = fitted
    out = model.get_outfit()
    assert model.outfit is out
    assert out["params"].shape == (S, 2)
    assert out["EV"].shape == (S, B, T + 1, 2)
    assert out["choices"].shape == (S, B, T)
    np.testing.assert_allclose(out["nll"], result.NLL)
    one = rw1a1b_fit(result.m[:, 3], *data[3], output="all")
    for name, value in one.items():
        if value is not None and np.asarray(value).dtype != object:
            np.testing.assert_allclose(out[name][3], value, atol=1e-12, err_msg=name)
    fresh = make(data)
    fresh.fit(verbose=0)
    before = fresh.get_outfit()
    fresh.fit(verbose=0)
    assert fresh.get_outfit() is not before


def reporting_fit(params, y, prior=None, output="npl"):
    nll = 0.5 * float(((y - params[0]) ** 2).sum())
    more = {"count": len(y), "pair": [1.0, 2.0], "text": "yes", "parts": {"a": 1}, "ragged": y}
    return {"params": params, "nll": nll, **more} if output == "all" else calc_fval(nll, params, prior, output)


def test_reports_become_arrays_by_what_they_are():
    model = EMModel([np.zeros(3), np.ones(3), np.ones(4)], reporting_fit, ["mean"])
    model.fit(verbose=0, mstep_maxit=1)
    out = model.outfit
    assert out["nll"].shape == (3,)
    assert out["count"].tolist() == [3, 3, 4]
    assert out["pair"].shape == (3, 2)
    assert [out[name].dtype for name in ("text", "parts", "ragged")] == [object] * 3
    assert [out[name].shape for name in ("text", "parts", "ragged")] == [(3,)] * 3


def test_an_output_that_was_set_by_hand_is_as_good_as_a_fit(fitted, data):
    model, _ = fitted
    other = make(data)
    other._out = {**model._out}
    np.testing.assert_allclose(other.compute_lme()[1], model.compute_lme()[1])
    np.testing.assert_array_equal(other.posterior()["mu"], model.posterior()["mu"])


@pytest.mark.parametrize(
    "ask",
    [
        lambda m: m.subject_params(),
        lambda m: m.get_outfit(),
        lambda m: m.outfit,
        lambda m: m.compute_lme(),
        lambda m: m.posterior(),
        lambda m: m.compute_integrated_bic(),
    ],
)
def test_without_a_fit_there_is_nothing_to_report(data, ask):
    with pytest.raises(RuntimeError, match=r"Call fit\(\) first\."):
        ask(make(data))


def test_the_posterior_is_a_copy(fitted):
    model, result = fitted
    posterior = model.posterior()
    np.testing.assert_array_equal(posterior["mu"], result.posterior_mu)
    posterior["mu"][:] = 99
    assert model.posterior()["mu"][0] != 99


def test_integrated_bic_of_many_draws_agrees_with_one_at_a_time(fitted, data):
    model, result = fitted
    value = model.compute_integrated_bic(nsamples=4000)
    few = make(data[:3])
    few._out = {**model._out}
    draws = np.random.default_rng(0).normal(size=(400, 2)) * np.sqrt(result.posterior_sigma) + result.posterior_mu
    by_hand = 0.0
    for s in range(3):
        log_lik = -np.array([rw1a1b_fit(x, *data[s], output="nll") for x in draws])
        by_hand -= 2 * (log_lik.max() + np.log(np.exp(log_lik - log_lik.max()).mean()))
    # Both have Monte-Carlo error.
    assert few.compute_integrated_bic(nsamples=8000) == pytest.approx(by_hand + 2 * np.log(B * T), abs=1.5)
    assert value > 0
    fixed = few.compute_integrated_bic(nsamples=2, ntrials_total=10)
    assert np.isfinite(fixed)


def test_maximum_likelihood_of_each_subject_alone(fitted, data):
    model, result = fitted
    out = model.scipy_minimize(seed=1)
    assert out["individual_fit"] is True
    assert out["m"].shape == (2, S)
    assert (out["NPL"] <= result.NLL + 1e-9).all()
    np.testing.assert_array_equal(out["NLPrior"], 0)
    assert "NLL" not in out
    assert out["convergence"] is True
    np.testing.assert_array_equal(out["posterior"]["mu"], out["m"])
    np.testing.assert_array_equal(out["posterior"]["sigma"][:, 2], np.diag(out["inv_h"][:, :, 2]))
    np.testing.assert_array_equal(model._out["m"], result.m)


# -- simulation and recovery ------------------------------------------------------------------------------------------


def test_simulate_calls_the_function(data):
    sim = make(data).simulate(PARAMS, nblocks=B, ntrials=T, seed=1)
    np.testing.assert_array_equal(sim["choices"][2], data[2][0])
    for ask in (lambda m: m.simulate(PARAMS), lambda m: m.recover(PARAMS, ["choices"])):
        with pytest.raises(AttributeError, match=r"No simulate_func provided\."):
            ask(make(data, simulate_func=None))


def test_recovery_carries_the_simulation_and_its_fit(data, capsys):
    model = make(None)
    out = model.recover(PARAMS, ["choices", "rewards"], fit_kwargs={"verbose": 0}, nblocks=B, ntrials=T, seed=1)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert "recover()" in said[0]
    assert set(out) == {
        "true_params",
        "estimated_params",
        "sim",
        "fit_result",
        "correlation",
        "recovery_model",
    }
    assert len(model.all_data) == S
    np.testing.assert_array_equal(model.all_data[3][0], data[3][0])
    np.testing.assert_array_equal(model._out["m"], out["fit_result"].m)
    np.testing.assert_array_equal(model.subject_params(), out["estimated_params"])
    expected = [np.corrcoef(PARAMS[:, k], out["estimated_params"][:, k])[0, 1] for k in range(2)]
    np.testing.assert_allclose(out["correlation"], expected)
    assert isinstance(out["recovery_model"], EMModel)


def test_recovery_says_what_is_wrong_with_a_simulation():
    model = make(None)
    with pytest.raises(TypeError, match=r"recover\(\) requires simulate_func to return a dict of named arrays"):
        model.recover(PARAMS, ["a"], simulate_func=lambda params: (1, 2))
    with pytest.raises(ValueError, match=r"Simulation output is missing expected keys: \['reward'\]; it has 'choices'"):
        model.recover(PARAMS, ["choices", "reward"], simulate_func=lambda params: {"choices": [1]})
    with pytest.raises(ValueError, match=r"Inconsistent lengths among requested inputs: \{'a': 2, 'b': 1\}"):
        model.recover(PARAMS, ["a", "b"], simulate_func=lambda params: {"a": [1, 2], "b": [1]})
    assert model.all_data is None


def test_parameter_recovery_is_correlation_and_error():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(30, 2))
    estimated = true + [0.5, 0] + 0.1 * rng.normal(size=(30, 2))
    out = parameter_recovery(true, estimated)
    np.testing.assert_allclose(out.corr, [np.corrcoef(true[:, k], estimated[:, k])[0, 1] for k in range(2)])
    np.testing.assert_allclose(out.rmse, np.sqrt(((true - estimated) ** 2).mean(0)))
    assert np.isnan(parameter_recovery(np.ones((3, 1)), [[1.0], [2.0], [3.0]]).corr[0])
    with pytest.raises(ValueError, match=r"\(30, 2\), but est_params \(30, 1\)"):
        parameter_recovery(true, estimated[:, :1])


def test_recovery_is_plotted_three_panels_a_row():
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(0)
    true = rng.normal(size=(10, 4))
    model = EMModel(None, rw1a1b_fit, ["a", "b", "c", "d"])
    figure = model.plot_recovery({"true_params": true, "estimated_params": true + 0.1}, show=False)
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_xlabel() for ax in shown] == ["true a", "true b", "true c", "true d"]
    assert len({round(ax.get_position().y0, 2) for ax in shown}) == 2
    assert len(figure.axes) == 4
    assert shown[0].texts[0].get_text() == "Pearson r = 1.00"
    plt.close(figure)


def test_plots_show_the_data():
    import matplotlib.pyplot as plt

    ax = plot_scatter([1.0, 2.0, np.nan], "x", [2.0, 1.0, 3.0], "y", show_line=False)
    assert len(ax.collections[0].get_offsets()) == 3
    assert ax.texts[0].get_text() == "Pearson r = -1.00"
    assert not ax.lines
    choices = np.zeros((4, 2, 5))
    choices[:2] = 1
    np.testing.assert_allclose(plot_choices(choices).lines[0].get_ydata(), 0.5)
    with pytest.raises(ValueError, match="expected as many"):
        plot_scatter([1.0], "x", [1.0, 2.0], "y")
    plt.close("all")


# -- the functions under it -------------------------------------------------------------------------------------------


def test_emfit_takes_settings_by_name_or_together(data, fitted):
    out = EMfit(data, rw1a1b_fit, NAMES, verbose=0, mstep_maxit=100, max_restarts=1)
    np.testing.assert_allclose(out["posterior"]["mu"], fitted[1].posterior_mu, atol=1e-5)
    config = EMConfig(mstep_maxit=3, optim=OptimConfig(max_restarts=1))
    # What is said by name counts; what does not exist is ignored.
    with pytest.warns(FitWarning, match="no setting colour; ignored"):
        again = EMfit(data, rw1a1b_fit, NAMES, verbose=0, config=config, mstep_maxit=100, colour="red")
    np.testing.assert_array_equal(again["m"], out["m"])


def test_fields_of_configurations_are_in_the_order_of_the_page():
    names = "mstep_maxit convergence_method convergence_custom convergence_crit convergence_precision njobs optim seed mstep"
    assert [field.name for field in dataclasses.fields(EMConfig)] == names.split()
    assert EMConfig().optim == OptimConfig("BFGS", None, 2, 0.1)


def test_settings_of_an_older_era_are_ignored_and_others_refused(data, fitted):
    assert not {"estep_maxit", "convergence_type"} & set(inspect.signature(EMModel.fit).parameters)
    with pytest.warns(FitWarning, match="no estep_maxit"):
        result = make(data).fit(verbose=0, estep_maxit=50)
    np.testing.assert_array_equal(result.m, fitted[1].m)
    with pytest.raises(TypeError, match="'mstep_maxiter'"):
        make(data).fit(verbose=0, mstep_maxiter=50)
    with pytest.raises(TypeError, match="neither init_moments"):
        make(data).fit(verbose=0, prior=object())
    result.note = "results take new attributes"


def test_one_subject_alone(data, fitted):
    _, result = fitted
    prior = priors.GaussianPrior(result.posterior_mu, result.posterior_sigma)
    found = single_subject_minimize(rw1a1b_fit, data[5], 2, prior)
    assert found.success
    np.testing.assert_allclose(found.x, result.m[:, 5], atol=1e-5)
    np.testing.assert_allclose(found.inv_h, result.inv_h[:, :, 5], atol=1e-5)
    assert found.fval == pytest.approx(result.NPL[5])
    assert found.nl_prior == pytest.approx(result.NLPrior[5])
    x, _, fval, _, success, more = single_subject_minimize(rw1a1b_fit, data[5], 2, None, OptimConfig())
    assert success
    assert more.fun == fval <= rw1a1b_fit(result.m[:, 5], *data[5], output="nll")
    np.testing.assert_array_equal(more.x, x)
    with pytest.raises(ValueError, match="nparams=3"):
        single_subject_minimize(rw1a1b_fit, data[5], 3, prior)
