"""Comparison and identification of models of the pyEM form."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest

import pyem
from pyem import EMModel
from pyem.core import compare
from pyem.core.compare import ComparisonRow, ModelComparison, compare_models
from pyem.errors import FitWarning
from pyem.models.rl import rw1a1b_fit, rw1a1b_sim, rw2a1b_fit, rw2a1b_sim
from pyem.numerics.jit import TRACES
from pyem.utils.math import norm2alpha, norm2beta
from pyem.utils.stats import calc_BICint, calc_LME, pseudo_r2_from_nll

matplotlib.use("Agg")

S, SETTINGS = 12, {"nblocks": 2, "ntrials": 20}
R2 = {"ntrials_total": 40, "noptions": 2}
BIC = {"nsamples": 60}


def models(data):
    one = EMModel(data, rw1a1b_fit, ["beta", "alpha"], [norm2beta, norm2alpha], rw1a1b_sim)
    two = EMModel(data, rw2a1b_fit, ["beta", "up", "down"], [norm2beta, norm2alpha, norm2alpha], rw2a1b_sim)
    return [one, two]


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(1)
    params = np.column_stack([rng.uniform(2, 8, S), rng.uniform(0.2, 0.8, S)])
    sim = rw1a1b_sim(params, seed=3, **SETTINGS)
    both = models([[c, r] for c, r in zip(sim["choices"], sim["rewards"], strict=True)])
    for model in both:
        model.fit(verbose=0)
    return both


@pytest.fixture(scope="module")
def identified(fitted):
    comparison = ModelComparison(fitted, ["one", "two"])
    before = [model._out for model in fitted]
    frame = comparison.identify(
        ["choices", "rewards"],
        nrounds=2,
        nsubjects=S,
        sim_kwargs=SETTINGS,
        bicint_kwargs=BIC,
        r2_kwargs=R2,
        fit_kwargs={"mstep_maxit": 50},
        seed=4,
    )
    assert [model._out for model in fitted] == before
    assert list(comparison.identifiability_matrix) == list(frame)
    return comparison, frame


# -- compare ------------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_formulas(fitted):
    np.random.seed(2)  # noqa: NPY002 - the draws of the integrated BIC
    frame = ModelComparison(fitted, ["one", "two"]).compare(bicint_kwargs=BIC, r2_kwargs=R2)
    assert list(frame.index) == ["one", "two"]
    assert list(frame.columns) == [
        "LME (largest is best)",
        "BICint (smallest is best)",
        "pseudoR^2 (largest is best)",
    ]
    np.random.seed(2)  # noqa: NPY002 - the same draws
    for name, model in zip(frame.index, fitted, strict=True):
        out = model._out
        group = out["posterior"]
        assert frame.loc[name, frame.columns[0]] == pytest.approx(calc_LME(out["inv_h"], out["NPL"])[1])
        bic = calc_BICint(model.all_data, model.param_names, group["mu"], group["sigma"], model.fit_func, **BIC)
        assert frame.loc[name, frame.columns[1]] == pytest.approx(bic)
        assert frame.loc[name, frame.columns[2]] == pytest.approx(pseudo_r2_from_nll(out["NLL"], **R2))


def test_the_integrated_bic_of_a_comparison_keeps_its_penalty(fitted):
    """With one trial the penalty's logarithm is 0: the difference is the number of parameters times log(n)."""
    values = {}
    for n in (1, 40):
        np.random.seed(0)  # noqa: NPY002 - the same draws
        values[n] = [row.BICint for row in compare_models(fitted, bicint_kwargs={**BIC, "ntrials_total": n})]
    penalties = np.subtract(values[40], values[1])
    np.testing.assert_allclose(penalties, [2 * np.log(40), 3 * np.log(40)], rtol=1e-9)


def test_scores_that_no_model_has_are_left_out(fitted):
    frame = ModelComparison(fitted).compare(bicint_kwargs=BIC)
    assert list(frame.index) == ["Model_1", "Model_2"]
    assert "pseudoR^2 (largest is best)" not in frame
    assert frame.shape == (2, 2)


def test_tuples_are_compared_too(fitted):
    one = fitted[0]
    result = one.fit(verbose=0)
    rows = compare_models(
        [("as dict", one._out, one.all_data, one.fit_func), ("as result", vars(result), one.all_data, one.fit_func)],
        bicint_kwargs={"nsamples": 2000},
        r2_kwargs=R2,
    )
    assert all(isinstance(row, ComparisonRow) for row in rows)
    assert [row.name for row in rows] == ["as dict", "as result"]
    assert rows[0].LME == rows[1].LME
    assert rows[0].R2 == rows[1].R2
    # Both have Monte-Carlo error.
    assert rows[0].BICint == pytest.approx(rows[1].BICint, abs=5)
    alone = compare_models([("no data", one._out, None, None)])[0]
    assert alone.BICint is None
    assert np.isfinite(alone.LME)


def test_fits_of_single_people_have_no_evidence(fitted):
    one = fitted[0]
    row = compare_models([("alone", one.scipy_minimize(seed=0), one.all_data, one.fit_func)], r2_kwargs=R2)[0]
    assert row.LME is row.BICint is None
    assert np.isfinite(row.R2)


def test_rows_are_sorted_by_the_first_score_that_there_is(fitted, monkeypatch):
    """The integrated BIC is looked up in the module under its older name, with the names of the parameters."""
    asked = {}

    def stub(all_data, param_names, mu, sigma, fit_func, nsamples=2000):
        asked[tuple(param_names)] = nsamples
        return {2: 7.0, 3: 3.0}[len(param_names)]

    monkeypatch.setattr("pyem.core.compare.calc_BICint", stub)
    by_bic = compare_models(fitted, metric_order=("BICint", "LME"))
    assert [(row.name, row.BICint) for row in by_bic] == [("Model_2", 3.0), ("Model_1", 7.0)]
    assert asked == {("beta", "alpha"): 2000, ("beta", "up", "down"): 2000}
    by_lme = compare_models(fitted, ["one", "two"])
    assert [row.LME for row in by_lme] == sorted((row.LME for row in by_lme), reverse=True)
    frame = ModelComparison(fitted, ["one", "two"]).compare(metric_order=["R2", "BICint"])
    assert frame.index.name == "name"
    assert list(frame.index) == ["two", "one"]
    tuples = [("three", {**fitted[1]._out, "param_names": ["a", "b", "c"]}, fitted[1].all_data, fitted[1].fit_func)]
    assert compare_models(tuples)[0].BICint == 3.0
    assert ("a", "b", "c") in asked
    with pytest.raises(ValueError, match="metric_order names 'AIC'"):
        compare_models(fitted, metric_order=["AIC"])


def test_names_and_models_go_together(fitted):
    with pytest.raises(ValueError, match="there are 2 models, but 1 names"):
        ModelComparison(fitted, ["one"])
    with pytest.raises(ValueError, match=r"Call fit\(\) first"):
        ModelComparison(models(fitted[0].all_data)).compare()


# -- identify -----------------------------------------------------------------------------------------------------------


def test_every_round_has_one_winner_of_each_score(identified):
    _, frame = identified
    assert list(frame.columns) == [
        "Simulated",
        "Estimated",
        "LME",
        "BICint",
        "pseudoR2",
        "bestlme",
        "bestbic",
        "bestR2",
    ]
    assert list(zip(frame["Simulated"], frame["Estimated"], strict=True)) == [
        ("one", "one"),
        ("one", "two"),
        ("two", "one"),
        ("two", "two"),
    ]
    wins = frame.groupby("Simulated")[["bestlme", "bestbic", "bestR2"]].sum()
    np.testing.assert_array_equal(wins, 2)
    assert np.isfinite(frame[["LME", "BICint", "pseudoR2"]].to_numpy()).all()
    # With a seed and without a pseudo-R2 to choose from, the better likelihood of the larger model is no surprise.
    larger = frame[frame["Estimated"] == "two"]
    assert larger["bestR2"].sum() >= 3


def test_rounds_share_their_compilations(identified):
    comparison, _ = identified
    before = TRACES.total()
    comparison.identify(["choices", "rewards"], nrounds=1, nsubjects=S, sim_kwargs=SETTINGS, bicint_kwargs=BIC, seed=9)
    assert TRACES.total() == before


def test_a_seed_makes_simulations_reproducible(identified):
    comparison, _ = identified
    again = [
        comparison.identify(["choices", "rewards"], 1, S, sim_kwargs=SETTINGS, bicint_kwargs={"nsamples": 2}, seed=7)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(again[0]["LME"], again[1]["LME"])
    assert np.isnan(again[0]["pseudoR2"]).all()
    assert (again[0]["bestR2"] == 0).all()


def test_proportions_of_rounds_are_plotted(identified):
    import matplotlib.pyplot as plt

    comparison, _ = identified
    frame = pd.DataFrame(
        {
            "Simulated": ["b", "b", "a", "a"],
            "Estimated": ["b", "a", "b", "a"],
            "bestlme": [4, 0, 1, 3],
            "bestbic": [2, 2, 0, 4],
        }
    )
    figure = comparison.plot_identifiability(frame, metric="LME", show=False)
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.texts] == ["1.00", "0.00", "0.25", "0.75"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"]
    assert isinstance(comparison.plot_identifiability(metric="BICint", show=False), type(figure))
    shares = comparison.plot_identifiability(frame, metric="lme", nrounds=8, show=False).axes[0].texts
    assert [text.get_text() for text in shares] == ["0.50", "0.00", "0.12", "0.38"]
    with pytest.raises(ValueError, match="metric='AIC'"):
        comparison.plot_identifiability(metric="AIC")
    with pytest.raises(RuntimeError, match=r"Run identify\(\) first or pass a dataframe\."):
        ModelComparison([]).plot_identifiability()
    plt.close("all")


def test_progress_is_told_only_on_request(identified, capsys):
    comparison, _ = identified
    settings = {"sim_kwargs": SETTINGS, "bicint_kwargs": {"nsamples": 2}}
    comparison.identify(["choices", "rewards"], 1, S, **settings)
    assert capsys.readouterr().out == ""
    comparison.identify(["choices", "rewards"], 1, S, verbose=1, **settings)
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("simulate", "error", "words"),
    [
        (lambda params, **settings: (params, params), ValueError, r"Simulation from 'one' did not return a dict\."),
        (
            lambda params: {"rewards": params},
            ValueError,
            r"Simulation from 'one' is missing expected keys: \['choices'\]",
        ),
        (lambda params: 1 / 0, RuntimeError, "Simulation from 'one' failed: division by zero"),
        (None, AttributeError, "Model 'one' has no simulate_func; "),
    ],
)
def test_simulations_have_to_give_named_entries(fitted, simulate, error, words):
    one, two = models(fitted[0].all_data)
    one.simulate_func = simulate
    with pytest.raises(error, match=words):
        ModelComparison([one, two], ["one", "two"]).identify(["choices"], 1, 3)


def test_a_score_that_fails_is_missing_and_the_others_are_not(identified, monkeypatch):
    comparison, _ = identified

    def broken(*args, **settings):
        raise ZeroDivisionError("no integral")

    monkeypatch.setattr("pyem.core.compare.calc_BICint", broken)
    other = ModelComparison(comparison.models, comparison.model_names)
    settings = {"sim_kwargs": SETTINGS, "seed": 4, "fit_kwargs": {"verbose": 0, "mstep_maxit": 5}}
    with pytest.warns(FitWarning, match="bicint of '(one|two)' failed: no integral"):
        table = other.identify(["choices", "rewards"], 1, S, **settings)
    assert table["BICint"].isna().all()
    assert np.isfinite(table["LME"]).all()
    assert list(other.identifiability_matrix) == ["Simulated", "Estimated", "LME", "bestlme", "bestbic", "bestR2"]
    assert len(other.plot_identifiability(metric="lme", annotate=False, show=False).axes[0].texts) == 0


def test_names_of_the_older_page():
    assert pyem.compare is compare
    assert ModelComparison.identifiability_analysis is ModelComparison.identify
