"""Studies by simulation: recovery of parameters, calibration, recovery of models."""

from __future__ import annotations

import dataclasses
import warnings
from functools import partial

import numpy as np
import pytest
from scipy import stats

import pyem
from pyem import models, plot, study
from pyem.errors import FitWarning, UndefinedCriterion
from pyem.numerics.jit import TRACES
from pyem.selection import CRITERIA, Settings
from pyem.study import experiment, model_recovery
from pyem.study.model_recovery import Confusion, confusion
from pyem.study.parameter_recovery import recovery

MEAN = models.get("glm", predictors=1)
"""A mean and a residual sd."""
LEVEL = pyem.fix(MEAN, sigma=1.0)
"""One Gaussian parameter: its posterior is known, and the Laplace approximation exact."""
SIZE = {"subjects": 40, "trials": 12}


@pytest.fixture(scope="module")
def means() -> study.Recovery:
    return recovery(MEAN, key=1, rounds=3, **SIZE)


# -- parameters ---------------------------------------------------------------------------------------------------------


def test_the_table_of_a_recovery(means):
    table = means.table()
    assert means.truth.shape == means.estimate.shape == means.z.shape == (3, 40, 2)
    assert means.status.shape == (3, 40)
    assert list(table.index) == ["b0", "sigma"]
    r = [stats.pearsonr(means.truth[k, :, 0], means.estimate[k, :, 0])[0] for k in range(3)]
    np.testing.assert_allclose(table.loc["b0", ["r", "r_low", "r_high"]], [np.mean(r), min(r), max(r)], rtol=1e-12)
    gap = means.estimate[..., 1] - means.truth[..., 1]
    np.testing.assert_allclose(table.loc["sigma", "bias"], gap.mean(), rtol=1e-12)
    np.testing.assert_allclose(table.loc["sigma", "rmse"], np.sqrt((gap**2).mean()), rtol=1e-12)
    np.testing.assert_allclose(table.loc["b0", "coverage"], (np.abs(means.z[..., 0]) < 1.959964).mean(), rtol=1e-12)
    assert "3 rounds of 40 people" in repr(means)


def test_every_round_has_other_people_and_the_same_key_the_same(means):
    assert len(np.unique(means.truth[..., 0])) == 120
    again = recovery(MEAN, key=1, rounds=3, **SIZE)
    np.testing.assert_array_equal(again.truth, means.truth)
    np.testing.assert_array_equal(again.estimate, means.estimate)
    other = recovery(MEAN, key=2, rounds=1, **SIZE)
    assert not np.isin(other.truth, means.truth).any()


def test_estimates_are_near_the_truth(means):
    # A mean of 12 trials with sd 1 against people with sd 1: r = sqrt(1 / (1 + 1 / 12)) = .96.
    assert means.table().loc["b0", "r_low"] > 0.9
    cross = means.cross()
    np.testing.assert_allclose(np.diag(cross)[0], means.table().loc["b0", "r"], atol=0.05)
    assert np.abs(cross.loc["b0", "sigma"]) < 0.35


def test_rounds_share_a_compilation():
    model = dataclasses.replace(MEAN, name="compiled once")
    recovery(model, key=3, rounds=4, **SIZE)
    assert {kind: n for (name, kind), n in TRACES.items() if name == model.name} == {"modes": 1, "log_lik_draws": 1}


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_given_people_take_part_in_every_round():
    params = np.column_stack([np.linspace(-1, 1, 40), np.full(40, 0.8)])
    found = recovery(MEAN, params, key=4, rounds=2, trials=12)
    np.testing.assert_allclose(found.truth, np.stack([params, params]), rtol=1e-12)
    assert not np.array_equal(found.estimate[0], found.estimate[1])
    # A parameter that is the same for all correlates with nothing.
    assert np.isnan(found.table().loc["sigma", "r"])


def test_people_are_drawn_from_the_group_of_a_fit():
    age = np.random.default_rng(5).normal(40, 10, 300)
    truth = np.column_stack([0.1 * (age - 40) + 0.2 * np.random.default_rng(6).normal(size=300)])
    data = pyem.simulate(LEVEL, truth, key=5, trials=12, covariates={"age": age})
    group = pyem.Group(covariates=["age"])
    fit = pyem.fit_em(LEVEL, data, group=group)
    found = recovery(LEVEL, fit, key=6, subjects=300, trials=12, fit=partial(pyem.fit_em, group=group))
    np.testing.assert_allclose(found.truth.std(), truth.std(), rtol=0.15)
    values, covariates = experiment.people(LEVEL, fit, 500, np.random.default_rng(7))
    assert np.isin(covariates["age"], age).all()
    slope = np.polyfit(covariates["age"], values[:, 0], 1)[0]
    np.testing.assert_allclose(slope, 0.1, atol=0.01)


def test_equal_estimates_of_people_who_differ_are_told():
    with pytest.warns(pyem.FitWarning, match=r"everybody has the same estimate of beta \(1 of 1 round\), as the sd"):
        study = pyem.recovery(pyem.models.get("rw1a1b"), key=1, subjects=6, trials=15)
    assert study.table().coverage["beta"] == 0


def test_calibration_of_an_exact_posterior():
    found = recovery(LEVEL, key=8, subjects=600, trials=12, fit=pyem.fit_map)
    table = found.calibration()
    assert table.loc["b0", "n"] == 600
    assert table.loc["b0", "p"] > 1e-3
    for share in (50, 80, 95):
        inside = round(600 * table.loc["b0", f"coverage_{share}"])
        assert stats.binomtest(inside, 600, share / 100).pvalue > 1e-3


def test_calibration_finds_a_wrong_prior():
    found = recovery(LEVEL, key=8, subjects=600, trials=12, fit=partial(pyem.fit_map, mean=3.0, sd=0.3))
    table = found.calibration()
    assert table.loc["b0", "p"] < 1e-10
    assert table.loc["b0", "coverage_95"] < 0.5


def test_one_warning_for_a_whole_study():
    short = partial(pyem.fit_em, max_iter=2, standard_errors=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recovery(MEAN, key=9, rounds=3, fit=short, **SIZE)
    ours = [w for w in caught if w.category is FitWarning]
    assert len(ours) == 1
    assert "recovery of 'glm[" not in str(ours[0].message)
    assert str(ours[0].message).startswith("recovery of 'glm': 3 of 3 fits did not converge")
    assert ours[0].filename == __file__


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rounds": 0}, "rounds=0; at least one"),
        ({"subjects": 0}, "subjects=0; at least one"),
        ({"params": np.ones((3, 2)), "subjects": 4}, "subjects=4, but params has 3 rows"),
        ({"params": np.ones((3, 4))}, r"params has shape \(3, 4\); expected \(3 subjects, 2 parameters of 'glm'\)"),
    ],
)
def test_wrong_recoveries(given, message):
    with pytest.raises(ValueError, match=message):
        recovery(MEAN, given.pop("params", None), key=1, **given)


def test_a_fit_without_a_group_has_no_people_to_draw():
    fit = pyem.fit_map(LEVEL, pyem.simulate(LEVEL, subjects=40, trials=12, key=1))
    with pytest.raises(ValueError, match=r"cannot be drawn from a fit of 'glm\[sigma=1\]' by map"):
        recovery(LEVEL, fit, key=1)


# -- models -------------------------------------------------------------------------------------------------------------


def by_hand() -> Confusion:
    """Two models, four rounds, three people; scores as they please."""
    group = np.array(
        [[[0, -1], [0, -2], [0, 3], [0, -1]], [[-4, 0], [-2, 0], [-1, 0], [-1, 0]]],
        float,
    )
    subject = np.zeros((2, 4, 2, 3))
    subject[0, :, 0] = [1.0, 1.0, -1.0]
    subject[1, :, 1] = [1.0, -1.0, -1.0]
    return Confusion(("one", "other"), "lme", group, subject)


def test_confusion_and_inversion_matrices():
    found = by_hand()
    assert found.wins().tolist() == [[3, 1], [0, 4]]
    assert found.matrix().to_numpy().tolist() == [[0.75, 0.25], [0.0, 1.0]]
    np.testing.assert_allclose(found.inversion().to_numpy(), [[1.0, 0.2], [0.0, 0.8]])
    assert found.matrix().index.name == "simulated"
    assert found.matrix().columns.name == "best"
    assert found.wins("subject").tolist() == [[8, 4], [8, 4]]
    with pytest.raises(ValueError, match="choose 'group' or 'subject'"):
        found.wins("person")


def test_the_table_of_a_confusion():
    table = by_hand().table()
    assert table.loc[("one", "other"), ["wins", "n", "share"]].tolist() == [1, 4, 0.25]
    low, high = stats.binomtest(1, 4).proportion_ci(0.95, "exact")
    np.testing.assert_allclose(table.loc[("one", "other"), ["low", "high"]].to_numpy(float), [low, high], rtol=1e-10)
    np.testing.assert_allclose(table["advantage"], [0, -0.25, -2, 0])
    assert table.loc[("other", "one"), ["low", "inversion"]].tolist() == [0.0, 0.0]
    assert "by lme in 4 rounds of 3 people" in repr(by_hand())


def test_a_model_that_never_wins_has_no_inversion():
    found = dataclasses.replace(by_hand(), group=np.tile([1.0, 0.0], (2, 4, 1)))
    inversion = found.inversion().to_numpy()
    np.testing.assert_allclose(inversion[:, 0], 0.5)
    assert np.isnan(inversion[:, 1]).all()


@pytest.fixture(scope="module")
def carry_over() -> tuple[dict[str, pyem.Model], Confusion]:
    """Models with and without a part of the last y. People of the first hardly differ in phi, of which EM warns."""
    pair = {"fresh": MEAN, "carried": models.get("glm_ar", predictors=1)}
    params = {"carried": np.tile([0.3, 0.7, 1.0], (40, 1)) + np.random.default_rng(1).normal(0, 0.1, (40, 3))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return pair, confusion(pair, params, key=1, rounds=2, by="lme", **SIZE)


def test_models_that_differ_are_told_apart(carry_over):
    _, found = carry_over
    assert found.by == "lme"
    assert found.wins().tolist() == [[2, 0], [0, 2]]
    assert found.group.shape == (2, 2, 2)
    assert found.subject.shape == (2, 2, 2, 40)
    # The evidence of the group is the sum of its people's, less the price of its means and sds.
    price = 0.5 * np.array([4, 6]) * np.log(40)
    np.testing.assert_allclose(found.group, found.subject.sum(3) - price, rtol=1e-12)


def test_people_alone_by_a_criterion_that_prices_their_parameters(carry_over):
    pair, _ = carry_over
    found = confusion(pair, key=2, rounds=1, fit=partial(pyem.fit_mle, starts=1), **SIZE)
    assert found.by == "bic"
    assert found.wins("subject").sum(1).tolist() == [40, 40]
    # Each person pays log(12) / 2 for phi, so that the simpler model wins most of its own.
    assert found.matrix("subject").loc["fresh", "fresh"] > 0.7


def test_data_that_count_differently_are_not_compared(carry_over):
    pair, _ = carry_over
    with pytest.raises(ValueError, match="after missed trials, other responses count"):
        confusion(pair, key=1, rounds=1, missed=0.3, **SIZE)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([MEAN], {}, "1 model was given; a comparison needs at least two"),
        ([MEAN, MEAN], {}, "several models have the same name: glm, glm"),
        ([MEAN, models.get("bias")], {}, "the models explain different columns"),
        ([MEAN, models.get("glm_ar")], {"params": {"glm_r": None}}, "params are given for glm_r, but the models are"),
        ([MEAN, models.get("glm_ar")], {"rounds": 0}, "rounds=0"),
    ],
)
def test_wrong_confusions(given, options, message):
    with pytest.raises(ValueError, match=message):
        confusion(given, options.pop("params", None), key=1, **options)


def test_criteria_that_cannot_decide():
    pair = [MEAN, models.get("glm_ar", predictors=1)]
    with pytest.raises(
        ValueError, match="by='dic'; choose one of log_marginal_likelihood, integrated_bic, lme, aic, bic, loo, waic"
    ):
        confusion(pair, key=1, by="dic", **SIZE)
    with pytest.raises(ValueError, match="by='pseudo_r2' describes a fit and cannot decide between models"):
        confusion(pair, key=1, by="pseudo_r2", **SIZE)
    with pytest.raises(
        UndefinedCriterion, match=r"by='waic' needs draws from the posterior, but a fit by map has no draws"
    ):
        confusion(pair, key=1, by="waic", rounds=1, fit=pyem.fit_map, **SIZE)


def test_scores_are_in_nats():
    data = pyem.simulate(LEVEL, subjects=40, trials=12, key=1)
    fit = pyem.fit_map(LEVEL, data)
    settings = Settings(draws=200)
    (total,), (subject,) = model_recovery._in_nats(CRITERIA["integrated_bic"], {"level": fit}, settings)
    # Nothing of the group was estimated, and the Laplace approximation of a Gaussian is exact.
    np.testing.assert_allclose(total, subject.sum(), rtol=1e-12)
    error = pyem.integrated_bic(fit, draws=200, key=0).log_evidence_se
    z = (subject - fit.log_evidence) / error
    assert stats.kstest(z, "norm").pvalue > 1e-3
    for by in ("lme", "aic", "bic"):
        (total,), (subject,) = model_recovery._in_nats(CRITERIA[by], {"level": fit}, settings)
        np.testing.assert_allclose(total, subject.sum(), rtol=1e-12)
        assert total == pytest.approx(fit.log_lik.sum() if by != "lme" else fit.log_evidence.sum(), rel=0.3)


def test_a_score_that_is_no_number_wins_nothing():
    lost = dataclasses.replace(by_hand(), group=by_hand().group.copy())
    lost.group[0, 0] = [-5.0, np.nan]
    lost.group[0, 1] = np.nan
    assert lost.wins().tolist() == [[2, 1], [0, 4]]


# -- fits of every kind -------------------------------------------------------------------------------------------------

FEW = {"subjects": 6, "trials": 15}


def by_nuts(model, data):
    return pyem.fit_nuts(model, data, group=None, draws=60, warmup=60, chains=2, key=1)


@pytest.mark.parametrize(
    ("fit", "by"),
    [
        (pyem.fit_grid, "integrated_bic"),
        (partial(pyem.fit_grid, group=pyem.Group()), "integrated_bic"),
        (partial(pyem.fit_map, log_prior=lambda p: -0.5 * p.b[0] ** 2), "lme"),
        pytest.param(by_nuts, "loo", marks=pytest.mark.slow),
    ],
    ids=["grid", "grid with a group", "map with a log prior", "nuts"],
)
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_studies_take_every_kind_of_fit(fit, by):
    found = recovery(LEVEL, key=1, rounds=1, fit=fit, **FEW)
    assert np.isfinite(found.estimate).all()
    assert found.table().loc["b0", "r"] > 0.5
    assert (np.abs(found.z) < 5).all()
    pair = {"free": LEVEL, "noisy": pyem.fix(MEAN, sigma=4.0)}
    wins = confusion(pair, key=1, rounds=2, fit=fit, **FEW)
    assert wins.by == by
    assert np.isfinite(wins.group).all()
    assert wins.wins().tolist() == [[2, 0], [0, 2]]


# -- figures ------------------------------------------------------------------------------------------------------------


def test_figures_of_studies(means):
    recovered = plot.plot_recovery(means)
    assert len(recovered.axes[0].lines[1].get_xdata()) == 120
    assert recovered.axes[1].get_title().startswith("sigma: r = ")
    calibrated = plot.plot_calibration(means)
    curve = calibrated.axes[0].lines[-1]
    u = np.sort(means.below()[0])
    np.testing.assert_allclose(curve.get_ydata(), np.arange(1, len(u) + 1) / len(u) - u)
    confused = plot.plot_confusion(by_hand())
    assert [text.get_text() for text in confused.axes[0].texts] == ["0.75", "0.25", "0.00", "1.00"]
    assert [text.get_text() for text in confused.axes[1].texts] == ["1.00", "0.20", "0.00", "0.80"]
    with pytest.raises(ValueError, match=r"or the result of pyem\.recovery alone"):
        plot.plot_recovery(means.truth[0])
