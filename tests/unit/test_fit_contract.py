"""Every kind of result gives what `pyem.results.fit.Fit` says: newly made ones, saved and loaded ones, those of old files."""

import dataclasses
import functools
import json
import tempfile
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest

import pyem
from pyem.errors import Unavailable, UndefinedCriterion
from pyem.plot import all_numbers
from pyem.results.fit import KINDS, METHODS, Draws, Fit, is_fit

pytestmark = pytest.mark.filterwarnings("ignore::pyem.errors.FitWarning")

RW = pyem.models.get("rw1a1b")
OLD = Path(__file__).parents[1] / "data" / "saved_0.1.0"
EXPECTED = json.loads((OLD / "expected.json").read_text())
GRID = {"max_points": 33, "tol": 1e-3}
NUTS = {"draws": 10, "warmup": 20, "chains": 2, "key": 0}
PRIORS = {"alpha": dist.Beta(1, 1)}


@functools.cache
def people():
    truth = np.column_stack([np.linspace(1, 9, 6), np.linspace(0.1, 0.8, 6)])
    age = np.array([20.0, 31.0, 44.0, 25.0, 60.0, 38.0])
    return pyem.simulate(RW, truth, trials=30, key=1, missed=0.1, covariates={"age": age})


MAKE = {
    "mle": lambda: pyem.fit_mle(RW, people()),
    "map": lambda: pyem.fit_map(RW, people()),
    "map, own prior": lambda: pyem.fit_map(RW, people(), log_prior=lambda p: -p.beta / 5),
    "em": lambda: pyem.fit_em(RW, people()),
    "em, covariate": lambda: pyem.fit_em(RW, people(), group=pyem.Group(covariates=["age"], covariance="full")),
    "grid": lambda: pyem.fit_grid(RW, people(), group=None, **GRID),
    "grid, group": lambda: pyem.fit_grid(RW, people(), group=pyem.Group(), **GRID),
    "nuts": lambda: pyem.fit_nuts(RW, people(), **NUTS),
    "nuts, alone": lambda: pyem.fit_nuts(RW, people(), group=None, priors=PRIORS, **NUTS),
    "svi": lambda: pyem.fit_svi(RW, people(), max_steps=200, draws=20, key=0),
    "em, exact": lambda: pyem.fit_em(RW, people(), integrate="exact", boundary_avoiding=True),
    "bayes": lambda: pyem.fit_bayes(RW, people(), draws=20),
    "bayes, alone": lambda: pyem.fit_bayes(RW, people(), group=None, priors=PRIORS, draws=20),
}


@functools.cache
def made(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MAKE[kind]()


@functools.cache
def loaded(kind):
    with tempfile.TemporaryDirectory() as folder:
        return pyem.load(made(kind).save(f"{folder}/fit.nc"))


@functools.cache
def old(kind):
    return pyem.load(OLD / f"{kind}.nc")


ALL = [(made, kind) for kind in MAKE] + [(loaded, kind) for kind in MAKE] + [(old, kind) for kind in EXPECTED]


@pytest.fixture(params=ALL, ids=lambda pair: f"{pair[0].__name__}-{pair[1]}")
def fit(request):
    source, kind = request.param
    return source(kind)


# -- the contract ---------------------------------------------------------------------------------------------------------


def test_estimates_have_people_first(fit):
    s, p = fit.data.n_subjects, fit.model.n_params
    assert is_fit(fit)
    assert all(hasattr(type(fit), name) or name in fit.__dict__ for name in vars(Fit) if not name.startswith("_"))
    assert fit.method in METHODS
    assert fit.x.shape == fit.params.shape == fit.sd.shape == (s, p)
    assert fit.cov.shape == (s, p, p)
    assert fit.log_lik.shape == fit.status.shape == (s,)
    for values in (fit.log_prior, fit.log_evidence):
        assert values is None or values.shape == (s,)
    assert fit.population is None or fit.population.mean.shape == (s, p)
    assert fit.prior is None or [part.shape for part in fit.prior] == [(p,), (p, p)]
    assert isinstance(fit.converged, bool)
    assert isinstance(fit.message, str)
    assert dict(fit.settings) is not None
    assert all(isinstance(values, np.ndarray) for values in dict(fit.trace).values())
    good = fit.status == pyem.Status.CONVERGED
    assert (fit.quantile(0.1) <= fit.quantile(0.9))[good].all()
    with pytest.raises(ValueError, match="q=1"):
        fit.quantile(1)


def test_tables_are_labelled(fit):
    table = fit.table()
    assert table.index.tolist() == fit.data.subjects.tolist()
    np.testing.assert_array_equal(table[list(fit.model.names)], fit.params)
    np.testing.assert_array_equal(table["log_lik"], fit.log_lik)
    assert table["status"].tolist() == [pyem.Status(code).text for code in fit.status]
    assert ("log_evidence" in table) == (fit.log_evidence is not None)
    if fit.population is None:
        with pytest.raises(Unavailable, match=r"no group.*fit_"):
            fit.group_table()
    else:
        rows = fit.group_table()
        assert {"estimate", "se", "low", "high", "natural"} <= set(rows.columns)
        np.testing.assert_allclose(rows.loc["mean", "estimate"], fit.population.coef[0])


def test_latents_have_a_row_for_each_trial(fit):
    frame = fit.latents()
    assert len(frame) == fit.data.n_trials
    assert {"subject", "block", "trial", "choice", "reward", "log_prob", "p0", "value0"} <= set(frame.columns)
    assert frame["log_prob"].isna().sum() == (~fit.data.present["choice"]).sum()


def test_draws_are_draw_subject_parameter(fit):
    n, (s, p) = 7, fit.x.shape
    one, again, other = fit.draws(n, key=3), fit.draws(n, key=3), fit.draws(n, key=4)
    assert isinstance(one, Draws)
    assert len(one) == n
    assert one.x.shape == one.params.shape == (n, s, p)
    np.testing.assert_array_equal(one.x, again.x)
    assert not np.array_equal(one.x, other.x)
    np.testing.assert_array_equal(fit.draws(n).x, fit.draws(n, key=0).x)
    np.testing.assert_array_equal(one.params, fit.model.natural(one.x))
    irregular = ~np.isin(fit.status, (pyem.Status.CONVERGED, pyem.Status.MAX_STEPS))
    np.testing.assert_array_equal(np.isnan(one.x).any((0, 2)), irregular)
    assert bool(one.group) == (fit.population is not None)
    if one.group:
        assert one.group["coef"].shape == (n, *fit.population.coef.shape)
        assert one.group["sd"].shape == (n, p)
        assert ("corr" in one.group) == (fit.population.group.covariance == "full")
        assert all(np.isfinite(values).all() for values in one.group.values())
    with pytest.raises(ValueError, match="draws=0"):
        fit.draws(0)


def test_chains_are_chain_draw(fit):
    chains = fit.chains(6, key=2)
    assert chains.values["x"].shape[2:] == fit.x.shape
    assert all(values.shape[:2] == chains.values["x"].shape[:2] for values in chains.values.values())
    assert all(values.shape == chains.values["x"].shape[:2] for values in chains.stats.values())


def test_the_prior_is_drawn_or_it_is_said_who_keeps_one(fit):
    if fit.prior is None and fit.method not in ("nuts", "svi", "bayes"):
        with pytest.raises(Unavailable, match=f"a fit by {fit.method} keeps no prior .*fit_nuts"):
            fit.prior_draws(4, key=1)
        return
    drawn = fit.prior_draws(4, key=1)
    assert drawn.x.shape == (4, *fit.x.shape)
    assert np.isfinite(drawn.params).all()


def test_problems_are_words_and_the_summary_has_them(fit):
    problems, summary = fit.problems(), fit.summary()
    assert all(isinstance(text, str) and text for text in problems)
    assert all(f"PROBLEM: {text}" in summary for text in problems)
    assert repr(fit) == summary
    assert "<table" in fit._repr_html_()
    assert f"{fit.model.name} fitted by {METHODS[fit.method]} to {fit.data.n_subjects} subjects" in summary
    for s in np.flatnonzero(~np.isin(fit.status, (pyem.Status.CONVERGED, pyem.Status.MAX_STEPS))):
        assert any(f"{fit.data.subjects[s]} ({pyem.Status(fit.status[s]).text})" in text for text in problems)


@pytest.mark.parametrize("unit", [True, False, None, "auto", "trial", "block", "subject"])
def test_log_likelihoods_for_arviz_mean_the_same_for_all(fit, unit):
    few = {} if fit.method in ("nuts", "svi", "bayes") else {"draws": 5}
    found = fit.to_arviz(log_likelihood=unit, prior=0, posterior_predictive=0, **few)
    assert ("log_likelihood" in found) == bool(unit)
    assert found.posterior.sizes["subject"] == fit.data.n_subjects
    assert ("group_mean" in found.posterior) == (fit.population is not None)
    if unit:
        dims = {"block": "block", "subject": "subject"}.get(unit, "obs")
        assert found.log_likelihood.choice.dims == ("chain", "draw", dims)


def test_a_wrong_unit_is_refused(fit):
    with pytest.raises(ValueError, match="log_likelihood='people'; choose 'trial', 'block'"):
        fit.to_arviz(log_likelihood="people")


def test_consumers_take_any_fit(fit):
    predicted = pyem.posterior_predictive(fit, draws=3, key=1)
    assert predicted.responses["choice"].shape[0] == 3
    assert [name for name, _ in all_numbers(fit)][:3] == ["parameters", "estimates", "choice_curves"]
    kept = pyem.aif.plot_posteriors(fit, name="beta").axes[0].get_xticklabels()
    assert len(kept) == np.isfinite(fit.draws(2).x).all((0, 2)).sum()


def test_people_are_drawn_from_any_group(fit):
    options = {"key": 1, "subjects": 4, "trials": 12, "fit": pyem.fit_map}
    if fit.population is None:
        with pytest.raises(Unavailable, match=rf"a fit of 'rw.*' by {fit.method} without a group; give .* by fit_em"):
            pyem.recovery(fit.model, fit, **options)
        return
    assert pyem.recovery(fit.model, fit, **options).truth.shape == (1, 4, fit.model.n_params)


# -- files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MAKE)
def test_a_loaded_fit_answers_alike(kind):
    one, again = made(kind), loaded(kind)
    pd.testing.assert_frame_equal(one.table(), again.table(), check_exact=True)
    np.testing.assert_array_equal(one.draws(5, key=1).x, again.draws(5, key=1).x)
    for name, values in one.draws(5, key=1).group.items():
        np.testing.assert_array_equal(again.draws(5, key=1).group[name], values)
    assert one.summary() == again.summary()
    assert list(one.settings) == list(again.settings)


@pytest.mark.parametrize("kind", EXPECTED)
def test_files_of_the_first_version_hold_what_they_held(kind):
    fit, expected = old(kind), EXPECTED[kind]
    assert (type(fit).__name__, fit.method) == (expected["kind"], expected["method"])
    np.testing.assert_allclose(fit.params, expected["params"], rtol=1e-12)
    np.testing.assert_allclose(fit.log_lik, expected["log_lik"], rtol=1e-12)
    assert fit.settings == {}
    if expected["group"] is not None:
        np.testing.assert_allclose(fit.group_table()["estimate"], expected["group"], rtol=1e-12)


def test_settings_are_kept_as_far_as_files_can_hold_them(tmp_path):
    settings = {
        "tol": 1e-7,
        "key": np.array([0, 5], np.uint32),
        "mean": np.array([1.0, 2.0]),
        "group": pyem.Group(covariates=["age"]),
        "priors": PRIORS,
        "log_prior": len,
        "start": made("em"),
    }
    fit = dataclasses.replace(made("map"), settings=settings)
    again = pyem.load(fit.save(tmp_path / "fit.nc")).settings
    assert list(again) == list(settings)
    assert again["tol"] == 1e-7
    assert again["group"] == settings["group"]
    np.testing.assert_array_equal(again["mean"], settings["mean"])
    np.testing.assert_array_equal(again["key"], settings["key"])
    # What a file cannot hold is there in words.
    assert "function len" in repr(again["log_prior"])
    assert "Beta" in repr(again["priors"])
    assert repr(again["start"]) == "<PointFit>"


# -- how results are built ------------------------------------------------------------------------------------------------


def test_results_are_final_and_inherit_nothing():
    assert {pyem.PointFit, pyem.GridFit, pyem.SampleFit} <= set(KINDS.values())
    for kind in KINDS.values():
        assert kind.__mro__ == (kind, object)
        assert kind.__final__


def test_what_is_not_available_is_one_kind_of_error():
    assert issubclass(UndefinedCriterion, Unavailable)
    assert issubclass(Unavailable, ValueError)
    assert not is_fit(np.zeros((2, 2)))


# -- single faults --------------------------------------------------------------------------------------------------------


def test_the_point_of_a_grid_fit_is_shown():
    point = made("grid").point
    assert "fitted by quadrature on a grid" in repr(point)
    np.testing.assert_array_equal(point.x, made("grid").x)


def test_people_who_are_lost_on_a_grid_have_no_estimate():
    log_lik = lambda p, trials: jnp.where(trials.y[0] < 5, -((trials.y - p.level) ** 2).sum(), jnp.nan)  # noqa: E731
    model = pyem.Model("line", (pyem.Parameter("level"),), log_likelihood=log_lik, responses=("y",))
    data = pyem.Dataset.from_arrays({"y": np.array([[[0.1, 0.3]], [[9.0, 9.0]], [[1.0, 0.5]]])})
    fit = pyem.fit_grid(model, data, group=None, mean=0.0, sd=1.0)
    assert np.isnan(fit.params[:, 0]).tolist() == np.isnan(fit.sd[:, 0]).tolist() == [False, True, False]
    assert np.isnan(fit.draws(3).x).all((0, 2)).tolist() == [False, True, False]
    assert any("1 (likelihood not finite)" in text for text in fit.problems())
    with pytest.warns(pyem.FitWarning, match="1 of 3 subjects have no regular mode, so their draws are NaN: 1"):
        fit.to_arviz(draws=3)


def test_lost_people_and_narrow_groups_are_told_of():
    em = made("em")
    lost = dataclasses.replace(
        em, status=np.array([0, 2, 3, 0, 0, 1]), converged=False, message="stopped after 5 iterations"
    )
    text = "\n".join(lost.problems())
    assert "did not end (stopped after 5 iterations); raise max_iter" in text
    assert "3 subjects without a regular mode, of which 1 without a finite likelihood are left out of all sums" in text
    assert "1 (likelihood not finite), 2 (flat likelihood), 5 (not converged)" in text
    narrow = dataclasses.replace(em.population, cov=np.diag([em.population.cov[0, 0], 1e-8]))
    told = dataclasses.replace(em, population=narrow).problems()
    assert any("people do not differ in alpha: the sd of the group is 0" in one for one in told)


def test_one_sd_of_zero_leaves_the_errors_of_the_others():
    em = made("em")
    narrow = dataclasses.replace(em.population, cov=np.diag([em.population.cov[0, 0], 1e-8]))
    information = em.information.copy()
    information[3, :] = information[:, 3] = np.nan
    fit = dataclasses.replace(em, population=narrow, information=information)
    se = fit.group_table()["se"]
    assert np.isnan(se["sd", "alpha"])
    assert np.isfinite(se.drop(("sd", "alpha"))).all()
    drawn = fit.draws(200, key=0).group["sd"]
    assert np.ptp(drawn[:, 1]) < 1e-12
    assert np.ptp(drawn[:, 0]) > 0.01


def test_draws_of_a_group_have_the_errors_of_its_table():
    fit = made("em")
    drawn = fit.draws(4000, key=0).group
    mean = fit.group_table().loc["mean"]
    error = mean["se"].to_numpy(float) / np.sqrt(4000)
    assert (np.abs(drawn["coef"][:, 0].mean(0) - mean["estimate"]) < 4.5 * error).all()
    # The standard deviation of 4000 draws has a relative standard error of 1.1 %.
    np.testing.assert_allclose(drawn["coef"][:, 0].std(0), mean["se"], rtol=0.05)
