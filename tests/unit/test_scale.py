"""Units do not matter: of rewards, of what a regression explains and is explained by, and of covariates."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

import pyem
from pyem import Dataset, models
from pyem.engine.scale import chosen_range, scaled
from pyem.errors import DataError
from pyem.results.group_rows import group_covariance
from pyem.results.identity import follow, on_scale, scale_of
from pyem.study.predictive_checks import middle_of

RW = models.get("rw1a1b")


@pytest.fixture(scope="module")
def learners():
    return pyem.simulate(RW, subjects=6, blocks=2, trials=40, key=5)


def paid(data: Dataset, factor: float, shift: float = 0.0) -> Dataset:
    """The same people, paid in other units."""
    return dataclasses.replace(data, fields={**data.fields, "reward": data.fields["reward"] * factor + shift})


# -- rewards --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rw1a1b", "rw2a1b", "wsls", "rw_forget", "rwck"])
def test_the_unit_of_rewards_does_not_matter(learners, name):
    model = models.get(name)
    before = pyem.fit_map(model, learners)
    assert before.model is model
    for factor, shift in ((10.0, 0.0), (0.1, 0.0), (1.0, 50.0), (1e6, -3.0)):
        fit = pyem.fit_map(model, paid(learners, factor, shift))
        assert fit.model.reward_range == pytest.approx((shift, factor + shift))
        np.testing.assert_allclose(fit.params, before.params, rtol=1e-6)
        np.testing.assert_allclose(fit.log_lik, before.log_lik, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_a_group_in_other_units_is_the_same_and_says_what_beta_is(learners, tmp_path):
    before, fit = pyem.fit_em(RW, learners), pyem.fit_em(RW, paid(learners, 10.0))
    np.testing.assert_allclose(fit.params, before.params, rtol=1e-6)
    np.testing.assert_allclose(fit.table()["beta_per_unit"], fit.params[:, 0] / 10)
    assert "beta_per_unit" not in before.table()
    assert "reward from 0 to 10; beta per range of 10" in fit.summary()
    assert "scale:" not in before.summary()
    again = pyem.load(fit.save(tmp_path / "fit.nc"))
    assert again.model == fit.model
    assert again.model.reward_range == (0.0, 10.0)
    # Refitted to some of the people, or to people who won nothing, the range stays.
    assert pyem.fit_map(again.model, paid(learners, 0.0)).model.reward_range == (0.0, 10.0)
    # At natural parameters the likelihood is on the same scale.
    np.testing.assert_allclose(pyem.log_lik(RW, fit.data, fit.params), fit.log_lik)


def test_latents_are_in_the_units_of_the_rewards(learners):
    plain, points = (pyem.fit_map(RW, data).latents() for data in (learners, paid(learners, 100.0)))
    np.testing.assert_allclose(points["prediction_error"], 100 * plain["prediction_error"], rtol=1e-6, atol=1e-6)
    assert points["value0"].iloc[0] == 50.0


def test_rewards_outside_the_stated_range_are_told_of(learners):
    with pytest.warns(
        pyem.FitWarning, match=r"reward of these data lie between 0 and 10, but .* reward_range=\(0, 1\)"
    ):
        pyem.fit_map(models.get("rw1a1b", scale="none"), paid(learners, 10.0))


@pytest.mark.parametrize("name", [name for name in models.names() if models.get(name).from_zero])
def test_losses_on_a_scale_of_sizes_are_no_surprise(name):
    model = models.get(name)
    size = [[[0.0, 0.5, 1.0, 0.0]]]
    fields = {column: size if column in model.outcomes else [[[0, 1, 0, 1]]] for column in model.columns}
    data = pyem.Dataset.from_arrays(fields | {model.outcomes[-1]: [[[-2.0, 0.0, 1.0, -1.0]]]})
    with warnings.catch_warnings():
        warnings.simplefilter("error", pyem.FitWarning)
        known = scaled(model, data)
        assert scaled(known, data).reward_range == known.reward_range == (0.0, 2.0)
    with pytest.warns(pyem.FitWarning, match="lie between 0 and 3"):
        scaled(known, pyem.Dataset.from_arrays(fields | {model.outcomes[-1]: [[[-3.0, 0.0, 1.0, 0.0]]]}))


def test_a_design_leaves_that_to_the_fit(learners):
    given = models.get("rw1a1b", scale="none")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pyem.FitWarning)
        bound = pyem.regress(given, "alpha ~ 1").bind(paid(learners, 10.0), None)
    with pytest.warns(pyem.FitWarning, match="lie between 0 and 10"):
        scaled(bound.model, bound.data)


def test_people_at_the_bound_of_beta_are_told_of():
    rng = np.random.default_rng(1)
    choice = np.tile([0, 1], (6, 1, 20))
    far = np.where(rng.random(choice.shape) < 0.02, 1000.0, choice)
    fit = dataclasses.replace(
        pyem.fit_map(RW, Dataset.from_arrays({"choice": choice, "reward": far})), x=np.tile([9.0, 0.0], (6, 1))
    )
    assert any("beta of 6 of 6 subjects is at its upper bound, 20" in text for text in fit.problems())


def test_start_is_in_units_of_the_rewards(learners):
    low, given = models.get("rw1a1b", start=0.0), models.get("rw1a1b", start=-3.0)
    first, other = pyem.fit_map(low, learners), pyem.fit_map(given, paid(learners, 10.0, -3.0))
    np.testing.assert_allclose(first.params, other.params, rtol=1e-6)


@pytest.mark.parametrize(
    ("seen", "from_zero", "expected"),
    [
        (None, False, (0.0, 1.0)),
        ((0.0, 0.0), False, (0.0, 1.0)),
        ((5.0, 5.0), False, (0.0, 5.0)),
        ((-2.0, -2.0), False, (-2.0, 0.0)),
        ((0.2, 0.8), False, (0.2, 0.8)),
        ((-1.0, 1.0), False, (-1.0, 1.0)),
        ((-2.0, 1.0), True, (0.0, 2.0)),
        ((50.0, 51.0), True, (50.0, 51.0)),
    ],
)
def test_the_range_that_is_taken(seen, from_zero, expected):
    assert chosen_range(seen, from_zero=from_zero) == expected


@pytest.mark.parametrize("options", [{"reward_range": (1, 1)}, {"reward_range": (0, np.inf)}, {"scale": "automatic"}])
def test_a_range_that_is_none(options):
    with pytest.raises(ValueError, match=r"reward_range=|scale="):
        models.get("rw1a1b", **options)


def test_a_model_plays_its_task_in_its_units():
    points = models.get("rw1a1b", reward_range=(0, 100))
    data, plain = (pyem.simulate(model, [[3.0, 0.4]] * 6, blocks=2, trials=40, key=3) for model in (points, RW))
    np.testing.assert_array_equal(data.fields["reward"], 100 * plain.fields["reward"])
    np.testing.assert_allclose(data.log_lik, plain.log_lik)
    payoffs = {"reward": 10 + 80 * np.random.default_rng(0).random((1, 2, 40, 2))}
    played = pyem.simulate(RW, [[3.0, 0.4]] * 6, blocks=2, trials=40, key=3, task=pyem.task.Design(payoffs=payoffs))
    assert played.model is not None
    assert played.model.reward_range == (payoffs["reward"].min(), payoffs["reward"].max())
    with pytest.warns(pyem.FitWarning, match="the task paid between 0 and 100, but 'rw1a1b' was simulated as if"):
        pyem.simulate(RW, subjects=6, trials=40, key=3, task=pyem.task.Rescaled(pyem.task.Bandit(), 0, 100))


def test_a_win_is_above_the_middle_of_the_range():
    outcomes = np.array([0.0, 1.0, 1.0, 1.0])
    for factor, shift in ((1.0, 0.0), (10.0, 50.0), (0.1, -2.0)):
        won = outcomes * factor + shift > middle_of(outcomes * factor + shift)
        assert won.tolist() == [False, True, True, True]


# -- regressions ----------------------------------------------------------------------------------------------------------

SUBJECTS, TRIALS = 6, 40
X = np.stack([np.ones((SUBJECTS, TRIALS)), np.random.default_rng(0).normal(3, 1, (SUBJECTS, TRIALS))], axis=-1)[:, None]
RATE = 0.3 + 0.4 * X[..., 1] + np.random.default_rng(1).normal(0, 0.3, (SUBJECTS, 1, 1))


def rows(x: np.ndarray, y: np.ndarray) -> Dataset:
    return Dataset.from_arrays({"predictors": x, "y": y})


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize("fit", [pyem.fit_map, pyem.fit_em, pyem.fit_mle])
@pytest.mark.parametrize("name", ["glm", "glm_ar"])
def test_units_of_a_linear_regression_do_not_matter(name, fit):
    model = models.get(name, predictors=2)
    y = 500 + 80 * (RATE + np.random.default_rng(2).normal(size=RATE.shape))
    before = fit(model, rows(X, y))
    assert 400 < pyem.fit_map(models.get("glm", predictors=2), rows(X, y)).params[:, 0].mean() < 600
    for of_y, of_x in ((1e-3, 1.0), (1.0, 1e3), (1e6, 1e-6)):
        after = fit(model, rows(X * [1.0, of_x], y * of_y))
        units = np.array([of_y, of_y / of_x, *[1.0] * (name == "glm_ar"), of_y])
        np.testing.assert_allclose(after.params, before.params * units, rtol=1e-6)
        np.testing.assert_allclose(after.sd, before.sd * units, rtol=1e-5)
        counted = before.data.n_responses(model)
        np.testing.assert_allclose(after.log_lik, before.log_lik - counted * np.log(of_y), rtol=1e-8)
        if fit is pyem.fit_em:
            one, other = (each.group_table().loc["mean", ["estimate", "se"]] for each in (before, after))
            np.testing.assert_allclose(other.iloc[:2], one.iloc[:2] * units[:2, None], rtol=1e-5)
            assert before.population is not None
            np.testing.assert_allclose(
                after.log_evidence - after.log_lik, before.log_evidence - before.log_lik, atol=1e-6
            )


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize("name", ["logit", "poisson"])
def test_units_of_the_predictors_of_other_regressions_do_not_matter(name):
    rng = np.random.default_rng(3)
    y = rng.poisson(np.exp(RATE)) if name == "poisson" else (rng.random(RATE.shape) < 1 / (1 + np.exp(-RATE + 1.5))) * 1
    model = models.get(name, predictors=2)
    for fit in (pyem.fit_map, pyem.fit_em):
        before, after = (fit(model, rows(X * [1.0, unit], y)) for unit in (1.0, 1e4))
        np.testing.assert_allclose(after.params * [1.0, 1e4], before.params, rtol=1e-6)


def test_typical_weights_are_those_of_the_pooled_data():
    y = 500 + 80 * RATE
    fit = pyem.fit_map(models.get("glm", predictors=["one", "age"]), rows(X, y))
    mean, sd = fit.model.typical
    age = X[..., 1]
    assert mean == pytest.approx([y.mean(), 0, np.log(y.std())])
    assert sd[1:] == pytest.approx([2.5 * y.std() / age.std(), 1])
    assert sd[0] == pytest.approx(2.5 * y.std() * np.hypot(1, age.mean() / age.std()))
    assert f"one {mean[0]:.4g} (sd {sd[0]:.4g})" in fit.summary()
    # What one asks for oneself is in the units of the parameters.
    narrow = pyem.fit_map(models.get("glm", predictors=["one", "age"]), rows(X, y), mean=[500.0, 0.0, 4.0], sd=1e-3)
    np.testing.assert_allclose(narrow.x, np.tile([500.0, 0.0, 4.0], (SUBJECTS, 1)), atol=0.1)
    assert models.get("glm", predictors=2, scale="none").autoscale is None


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (2 * X[..., 1] - 3, r"the predictors of 'one', 'x', 'new' of model 'glm' are collinear"),
        (np.full(X.shape[:3], 5.0), r"the predictors of 'one', 'new' of model 'glm' are constant"),
        (np.zeros(X.shape[:3]), r"the predictor of 'new' of model 'glm' is 0 in every trial"),
    ],
)
def test_predictors_that_tell_nothing_are_named(column, text):
    data = rows(np.concatenate([X, column[..., None]], axis=-1), RATE)
    with pytest.raises(DataError, match=text):
        pyem.fit_em(models.get("glm", predictors=["one", "x", "new"]), data)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("poisson", -1.0, "column 'y' has -1 for subject 1, but model 'poisson' explains counts"),
        ("poisson", 0.5, "column 'y' has 0.5 for subject 1, but model 'poisson' explains counts"),
        ("logit", 2.0, "column 'y' has code 2 for subject 1, but model 'logit' has 2 options; recode it as 0 and 1"),
        ("logit", 0.5, "column 'y' has numbers, but model 'logit' needs codes of 2"),
    ],
)
def test_responses_that_a_regression_cannot_explain(name, value, text):
    y = np.random.default_rng(4).integers(0, 2, RATE.shape).astype(float)
    y[1, 0, 3] = value
    with pytest.raises(DataError, match=text):
        pyem.fit_map(models.get(name, predictors=2), rows(X, y))


# -- covariates -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize("covariance", ["diagonal", pytest.param("full", marks=pytest.mark.slow)])
def test_the_unit_of_a_covariate_does_not_matter(covariance):
    rng = np.random.default_rng(0)
    cortisol, people = rng.normal(size=20), pyem.simulate(RW, subjects=20, blocks=2, trials=40, key=1)

    def effects(factor, shift=0.0):
        data = dataclasses.replace(people, covariates={"c": cortisol * factor + shift})
        fit = pyem.fit_em(RW, data, group=pyem.Group(covariance=covariance, covariates=["c"]))
        assert fit.population is not None
        known = group_covariance(fit.population, fit.information)
        assert np.isfinite(known[~fit.population.at_floor][:, ~fit.population.at_floor]).all()
        table = fit.group_table().loc["effect of c", ["estimate", "se", "z", "p"]].to_numpy(float)
        return table * [factor, abs(factor), np.sign(factor), 1], fit.group_table().loc["mean", "se"]

    before, of_mean = effects(1.0)
    assert np.isfinite(before).all()
    for factor, shift in ((1e-12, 0.0), (1e12, 0.0), (-3.0, 1e3)):
        after, se = effects(factor, shift)
        np.testing.assert_allclose(after, before, rtol=1e-6)
        np.testing.assert_allclose(se, of_mean, rtol=1e-6)


@pytest.mark.slow
def test_an_effect_that_is_none_is_seldom_significant():
    """A true 5 % gives 2.8 to 7.6 % of 400 data sets in 98 of 100 tests."""
    from benchmarks.calibration import false_positives

    for subjects in (8, 12):
        share = false_positives(RW, groups=400, subjects=subjects)
        assert share.between(0.028, 0.076).all()


@pytest.mark.slow
def test_many_covariates_do_not_take_minutes():
    rng = np.random.default_rng(0)
    names = {f"c{k}": rng.normal(size=300) for k in range(200)}
    data = pyem.simulate(RW, subjects=300, blocks=2, trials=24, key=1, covariates=names)
    without = pyem.fit_em(RW, data)
    fit = pyem.fit_em(RW, data, group=pyem.Group(covariates=list(names)))
    # As many weights as people, more or less, so that the sds are 0; where means do not settle there, it says so.
    assert fit.converged or any("went to 0" in words for words in fit.problems())
    assert fit.trace["log_evidence"][-1] > without.trace["log_evidence"][-1] + 400
    # Each iteration takes some tenths of a second.
    assert len(fit.trace["log_evidence"]) < 100


@pytest.mark.parametrize("name", [name for name in models.names() if models.get(name).autoscale is not None])
def test_a_model_on_the_scale_of_data_stays_there_and_is_known_from_a_file(name):
    model = models.get(name)
    rng = np.random.default_rng(1)
    widths = {"predictors": 3}
    x = rng.uniform(1, 300, (40, sum(widths.get(column, 1) for column in model.inputs)))
    y = rng.integers(0, 2, 40).astype(float) * 200
    assert model.autoscale is not None
    placed = model.autoscale(model, x, y)
    assert placed != model
    assert placed.autoscale(placed, x, y) == placed
    assert on_scale(follow(placed.recipe or ((placed.name, ()),)), scale_of(placed)) == placed
