"""Studies of power and calibration: counts that follow from closed forms."""

import dataclasses
from functools import partial

import numpy as np
import pytest
from scipy import stats

import pyem
from pyem import plot
from pyem.study.calibration_study import uniform_p

LEVEL = pyem.fix(pyem.models.get("glm", predictors=1), sigma=1.0)
"""One Gaussian parameter, of known noise."""
SIZE = {"subjects": 5, "trials": 12}


# -- calibration ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", [pyem.fit_map, partial(pyem.fit_map, mean=2.0)])
def test_truths_come_from_the_prior_of_the_method(fit):
    study = pyem.calibration(LEVEL, key=1, rounds=60, fit=fit, **SIZE)
    assert study.own_prior
    assert study.passed()
    assert study.ranks["b0 of a person"].shape == (60,)
    assert "ranks are uniform" in repr(study)
    assert len(plot.plot_ranks(study).axes) == 1


def narrow(model, data):
    """A posterior with a third of its spread."""
    fit = pyem.fit_map(model, data)
    return dataclasses.replace(fit, cov=fit.cov / 9)


def test_a_posterior_that_is_too_narrow_is_found():
    study = pyem.calibration(LEVEL, key=1, rounds=60, fit=narrow, **SIZE)
    assert not study.passed()
    assert study.table().loc["b0 of a person", "coverage_80"] < 0.6


def test_p_of_uniform_ranks_is_uniform():
    rng = np.random.default_rng(3)
    p = [uniform_p(rng.integers(0, 20, 40), 19) for _ in range(300)]
    # Ranks are discrete, so that p is uniform or a little larger.
    assert stats.binomtest(sum(one < 0.05 for one in p), 300, 0.05, "greater").pvalue > 1e-3
    assert min(p) < 0.05
    assert uniform_p(rng.binomial(19, 0.5, 40), 19) < 0.01


def test_a_method_without_a_prior_is_judged_in_the_typical_population():
    study = pyem.calibration(LEVEL, key=2, rounds=2, fit=pyem.fit_em, **SIZE)
    assert not study.own_prior
    assert set(study.ranks) == {"b0 of a person", "mean of b0", "sd of b0"}


# -- power ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def effects():
    pair = [pyem.Effect(LEVEL, "b0", 3.0), pyem.Effect(LEVEL, "b0", 1.0, kind="covariate", name="slope")]
    return pyem.power(pair, pyem.Experiment(blocks=1), key=1, n=[5, 10], trials=12, rounds=4)


def test_power_of_effects_by_people_and_trials(effects):
    table = effects.table()
    assert list(table.index) == [(n, 12, name) for n in (5, 10) for name in ("b0, d = 3", "slope")]
    row, found = table.loc[(10, 12, "slope")], effects.rounds[10, 12, "slope"]
    assert row["power"] == found["found"].mean() == (found["p"] < 0.05).mean()
    np.testing.assert_allclose(row["se"], np.sqrt(row["power"] * (1 - row["power"]) / 4))
    exact = stats.binomtest(int(found["found"].sum()), 4).proportion_ci(method="exact")
    np.testing.assert_allclose(row[["low", "high"]].astype(float), exact)
    precision = effects.precision().loc[(10, 12, "b0, d = 3")]
    np.testing.assert_allclose(precision["width"], effects.rounds[10, 12, "b0, d = 3"]["width"].mean())
    # Interval of a difference of means of 5 and 5 people: 2 t_{8} sqrt(2 / 5) standard deviations, and noise of 12 trials.
    assert 1.5 < precision["width"] < 6
    assert abs(precision["bias"]) < 1.5
    assert "Power to find b0, d = 3, slope" in repr(effects)
    assert len(plot.plot_power(effects).axes) == len(plot.plot_precision(effects).axes) == 2


def test_power_of_models_is_how_often_the_right_one_is_the_best():
    pair = {"one": LEVEL, "other": pyem.models.get("glm", predictors=1)}
    study = pyem.power(pair, key=1, n=5, trials=12, rounds=3, by="bic")
    confusion = pyem.confusion(pair, key=1, subjects=5, trials=12, rounds=3, by="bic")
    wins = np.diag(confusion.wins())
    np.testing.assert_array_equal(study.table()["found"], wins)
    with pytest.raises(ValueError, match="a study of models has no intervals"):
        study.precision()


def test_an_effect_of_conditions_is_within_people():
    effect = pyem.Effect(LEVEL, "b0", 2.0, kind="conditions", spread=0.1)
    study = pyem.power(effect, pyem.Experiment(blocks=2), key=1, n=[5], trials=[12], rounds=3)
    found = study.rounds[5, 12, "b0, d = 2"]
    # Differences of two means of 12 numbers with noise of sd 1, and hardly any of the effect, of 5 people.
    np.testing.assert_allclose(found["estimate"], 2.0, atol=4 * (2 / 12 / 5 + 0.01 / 5) ** 0.5)
    assert found["found"].all()
    with pytest.raises(ValueError, match="an even number is needed"):
        pyem.power(effect, pyem.Experiment(blocks=3), key=1, n=[5], trials=[12], rounds=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pyem.Effect(LEVEL, "alpha", 1.0), "no parameter 'alpha'; choose one of b0"),
        (lambda: pyem.Effect(LEVEL, "b0", float("nan")), "finite numbers"),
        (lambda: pyem.Effect(LEVEL, "b0", 1.0, kind="both"), "choose 'groups', 'covariate' or 'conditions'"),
        (lambda: pyem.Effect(LEVEL, "b0", 1.0, people=3), "a fit of .* with a group is expected"),
        (lambda: pyem.power([pyem.Effect(LEVEL, "b0", 1.0)] * 2, key=1), "several effects are called"),
        (lambda: pyem.power([pyem.Effect(LEVEL, "b0", 1.0), LEVEL], key=1), "effects and models"),
        (lambda: pyem.power([], key=1), "two models are expected"),
        (lambda: pyem.power([LEVEL], key=1), "at least two"),
        (
            lambda: pyem.power(pyem.Effect(LEVEL, "b0", 1.0), pyem.Experiment(subjects=3), key=1),
            "n=.* and not in the design",
        ),
        (lambda: pyem.power(pyem.Effect(LEVEL, "b0", 1.0), key=1, n=[1]), "n=1; at least 2"),
        (lambda: pyem.power(pyem.Effect(LEVEL, "b0", 1.0), key=1, trials=[]), "at least one number"),
    ],
)
def test_studies_that_cannot_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- effects of a design by formula -----------------------------------------------------------------------------------------

CROSSED = pyem.regress(LEVEL, "b0 ~ drug * diagnosis + age")
COLUMNS = {"within": {"drug": ["active", "placebo"]}, "between": {"diagnosis": ["a", "b"], "age": "normal"}}


def test_effects_by_formula_are_found_and_estimated_where_they_are():
    sizes = {"b0[drug]": 2.0, "b0[diagnosis]": 0.0, "b0[age]": 3.0}
    effects = pyem.DesignEffects(CROSSED, sizes, **COLUMNS, spread=0.1)
    study = pyem.power(effects, key=1, n=[10], trials=[6], rounds=4)
    table, precision = study.table(), study.precision()
    assert list(table.index) == [(10, 6, name) for name in ("b0[drug] = 2", "b0[diagnosis] = 0", "b0[age] = 3")]
    assert table.loc[(10, 6, "b0[age] = 3"), "found"] == 4
    # Differences of two means of 6 numbers with noise of sd 1 and hardly any of the effect, of 5 people in the reference group.
    np.testing.assert_allclose(
        study.rounds[10, 6, "b0[drug] = 2"]["estimate"], 2.0, atol=4 * (2 / 6 / 5 + 0.01 / 5) ** 0.5
    )
    assert (precision["bias"].abs() < 5 * precision["bias_se"] + 0.05).all()
    assert "Power to find b0[drug] = 2" in repr(study)


def test_conditions_are_crossed_within_people_and_balanced_between_them():
    design = pyem.regress(LEVEL, "b0 ~ drug * dose + diagnosis + load")
    effects = pyem.DesignEffects(
        design,
        {"b0[drug]": 1.0},
        within={"drug": ["on", "off"], "dose": ["low", "high"]},
        between={"diagnosis": ["a", "b", "c"]},
        trialwise={"load": [0, 1]},
    )
    made = effects.conditions(9, 8, 6, np.random.default_rng(1))
    cells = np.char.add(made["drug"], made["dose"])
    assert all(sorted(np.unique(row, return_counts=True)[1]) == [2, 2, 2, 2] for row in cells)
    assert len({tuple(row) for row in cells}) > 5
    assert sorted(np.unique(made["diagnosis"], return_counts=True)[1]) == [3, 3, 3]
    np.testing.assert_array_equal(made["load"].sum(-1), 3)
    with pytest.raises(ValueError, match="blocks=6; a multiple of 4 is expected"):
        effects.blocks(6)


def test_sizes_in_units_of_the_parameter_are_those_of_a_typical_person():
    model = pyem.models.get("rw1a1b")
    design = pyem.regress(model, "alpha ~ drug")
    of = lambda **words: pyem.DesignEffects(design, within={"drug": [0, 1]}, **words)  # noqa: E731
    mean, sd = (part[1] for part in model.typical)
    typical = 1 / (1 + np.exp(-mean))
    logit = np.log((typical + 0.1) / (0.9 - typical))
    assert of(sizes={"alpha[drug]": 0.1}, scale="natural").in_sds[0] == pytest.approx((logit - mean) / sd)
    assert of(sizes={"alpha[drug]": 0.1}, scale="unconstrained").in_sds[0] == pytest.approx(0.1 / sd)
    assert of(sizes={"alpha[drug]": 0.1}, scale="natural").names == ("alpha[drug] = 0.1 (natural)",)
    with pytest.raises(ValueError, match=r"from its typical value 0.378, alpha would leave its range"):
        of(sizes={"alpha[drug]": 0.7}, scale="natural")


@pytest.mark.parametrize(
    ("sizes", "words", "message"),
    [
        (
            {"b0[dose]": 1.0},
            COLUMNS,
            r"no effect b0\[dose\]; it has b0\[drug\], b0\[diagnosis\], b0\[drug:diagnosis\], b0\[age\]",
        ),
        ({"c[drug]": 1.0}, COLUMNS, r"no effect c\[drug\]"),
        ({}, COLUMNS, "finite numbers by effect"),
        ({"b0[drug]": 1.0}, COLUMNS | {"scale": "d"}, "choose 'sd', 'unconstrained' or 'natural'"),
        ({"b0[drug]": 1.0}, COLUMNS | {"within": {}}, "drug: each column .* needs its levels once"),
        ({"b0[drug]": 1.0}, COLUMNS | {"within": {"drug": ["on"]}}, "two different levels or more"),
        ({"b0[drug]": 1.0}, COLUMNS | {"trialwise": {"load": [0, 1]}}, "does not depend on load"),
    ],
)
def test_effects_that_cannot_be_by_formula(sizes, words, message):
    with pytest.raises(ValueError, match=message):
        pyem.DesignEffects(CROSSED, sizes, **words)


def test_values_of_conditions_are_no_differences_to_be_found():
    with pytest.raises(pyem.ModelError, match="with an intercept"):
        pyem.DesignEffects(pyem.by(LEVEL, b0="drug"), {"b0[active]": 1.0}, within={"drug": ["active", "placebo"]})
