"""Families of models, groups, conditions and averages, where nobody's model is in doubt: then posteriors are counts."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem import plot
from pyem.numerics.dirichlet import exceedance

NAMES = ["a", "b", "c"]


def decisive(counts, names=NAMES):
    """Log evidence of so many people of each model, 400 nats apart."""
    own = np.repeat(np.arange(len(counts)), counts)
    return pd.DataFrame(-400.0 + 400.0 * np.eye(len(counts))[own], columns=names)


def log_beta(alpha):
    return sum(math.lgamma(value) for value in alpha) - math.lgamma(sum(alpha))


def logistic(value):
    return 1 / (1 + math.exp(-value))


def test_each_family_is_as_probable_as_another_however_many_models_it_has():
    found = pyem.random_effects_bms(decisive([6, 3, 2]), families={"one": ["a"], "more": ["b", "c"]})
    np.testing.assert_allclose(found.alpha, [1 + 6, 0.5 + 3, 0.5 + 2], atol=1e-9)
    assert found.log_evidence == pytest.approx(log_beta([7, 3.5, 2.5]) - log_beta([1, 0.5, 0.5]), abs=1e-9)
    families = found.families
    np.testing.assert_allclose(families.alpha, [7, 6], atol=1e-9)
    np.testing.assert_allclose(families.exceedance, exceedance([7, 6]))
    # Equally frequent families, and within the second its models by their own frequencies.
    null = 11 * math.log(0.5) + log_beta([3.5, 2.5]) - log_beta([0.5, 0.5])
    assert families.log_evidence_null == pytest.approx(null, abs=1e-8)
    assert families.omnibus_risk == pytest.approx(logistic(null - found.log_evidence), abs=1e-9)
    assert families.names == ("one", "more")
    np.testing.assert_allclose(families.people()["more"], [0] * 6 + [1] * 5, atol=1e-9)


def test_families_of_one_model_each_are_the_models():
    table = np.random.default_rng(1).normal(0, 2, (12, 3))
    alone = pyem.random_effects_bms(table)
    found = pyem.random_effects_bms(table, families={"x": ["3"], "y": ["1"], "z": ["2"]})
    np.testing.assert_allclose(found.families.protected_exceedance, alone.protected_exceedance[[2, 0, 1]], atol=1e-8)
    np.testing.assert_allclose(found.families.log_evidence_null, alone.log_evidence_null, atol=1e-8)


@pytest.mark.parametrize(
    ("families", "message"),
    [
        ({"x": ["a", "b"], "y": ["d"]}, "there is no model 'd'; 'c' is in no family"),
        ({"x": ["a", "b"], "y": ["b", "c"]}, "a model is in two families"),
        ({"x": NAMES}, "at least two families"),
        ({"x": NAMES, "y": []}, "family 'y' has no model"),
    ],
)
def test_families_that_cannot_be(families, message):
    with pytest.raises(ValueError, match=message):
        pyem.random_effects_bms(decisive([2, 2, 2]), families=families)


# -- groups and conditions ------------------------------------------------------------------------------------------------


def test_groups_differ_by_the_ratio_of_evidences():
    table = pd.concat([decisive([5, 2, 0]), decisive([1, 1, 4])], ignore_index=True)
    groups = ["p"] * 7 + ["q"] * 6
    found = pyem.between_groups(table, groups)
    flat = log_beta([1, 1, 1])
    apart = log_beta([6, 3, 1]) + log_beta([2, 2, 5]) - 2 * flat - (log_beta([7, 4, 5]) - flat)
    assert found.log_bayes_factor == pytest.approx(apart, abs=1e-8)
    assert found.probability == pytest.approx(logistic(apart), abs=1e-9)
    by_label = pyem.between_groups(table, dict(enumerate(groups)))
    assert by_label.probability == found.probability
    np.testing.assert_allclose(found.table().loc[("q", "c"), "people"], 4)


def test_the_same_model_in_every_condition_is_one_of_two_families():
    first, second = (
        decisive([4, 3], ["a", "b"]),
        decisive([4, 3], ["a", "b"]).iloc[[0, 1, 2, 6, 4, 5, 3]].reset_index(drop=True),
    )
    found = pyem.between_conditions({"day 1": first, "day 2": second})
    # Five people keep their model, two change it, and a family's prior counts one.
    assert found.frequency == pytest.approx(6 / 9)
    assert found.exceedance == pytest.approx(exceedance([6, 3])[0])
    assert found.profiles.names == ("a / a", "a / b", "b / a", "b / b")
    np.testing.assert_allclose(found.people()["same"], [1, 1, 1, 0, 1, 1, 0], atol=1e-9)
    one_family = pyem.between_conditions(
        {"day 1": decisive([2, 2, 2]), "day 2": decisive([2, 2, 2]).iloc[[2, 3, 0, 1, 4, 5]].reset_index(drop=True)},
        families={"ab": ["a", "b"], "c": ["c"]},
    )
    assert one_family.frequency == pytest.approx(7 / 8)


def test_a_factor_changes_the_model_of_those_who_differ_between_its_levels():
    stays, changed = decisive([4, 3], ["a", "b"]), decisive([4, 3], ["a", "b"]).iloc[::-1].reset_index(drop=True)
    sets = {("x", "gain"): stays, ("x", "loss"): stays, ("y", "gain"): changed, ("y", "loss"): changed}
    found = pyem.between_conditions(sets, factors=["drug", "stake"])
    table = found.factor_table()
    # Six people change their model with the drug, and nobody with the stake; a family's prior counts one.
    np.testing.assert_allclose(table.changes, [7 / 9, 1 / 9])
    np.testing.assert_allclose(table.exceedance, [exceedance([2, 7])[1], exceedance([8, 1])[1]], atol=1e-9)
    assert (table.protected_exceedance - 0.5).abs().lt((table.exceedance - 0.5).abs()).all()
    np.testing.assert_allclose(found.factors["drug"].people()["different"], [1, 1, 1, 0, 1, 1, 1], atol=1e-9)
    assert found.table().index.get_level_values("condition").unique().tolist() == [
        "x, gain",
        "x, loss",
        "y, gain",
        "y, loss",
    ]
    # With two levels of one factor it is the test of the conditions.
    one = pyem.between_conditions({("x",): stays, ("y",): changed}, factors=["drug"])
    assert one.factor_table().loc["drug", "changes"] == pytest.approx(1 - one.frequency)
    # Where a cell of the design is missing, the pairs that are there count.
    del sets["y", "loss"]
    assert pyem.between_conditions(sets, factors=["drug", "stake"]).factor_table().changes["stake"] == pytest.approx(
        1 / 9
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t: pyem.between_conditions({"x": t, "y": t}, factors=["a"]),
            "condition 'x' has to say the level of each",
        ),
        (lambda t: pyem.between_conditions({("x",): t, ("y",): t}, factors=["a", "b"]), r"\(a, b\) as a tuple"),
        (lambda t: pyem.between_conditions({("x", 1): t, ("y", 1): t}, factors=["a", "b"]), "differ in b only"),
        (lambda t: pyem.between_conditions({("x", 1): t, ("y", 1): t}, factors=["a", "a"]), "names of the factors"),
        (lambda t: pyem.between_groups(t, ["p"] * 6), "all subjects are of the group 'p'"),
        (lambda t: pyem.between_groups(t, ["p", "q"]), "2 groups are given for 6 subjects"),
        (lambda t: pyem.between_groups(t, ["p", None, "q", "q", "q", "q"]), "the group of 1 is missing"),
        (lambda t: pyem.between_groups(t, {0: "p"}), "no group is given for 1, 2"),
        (lambda t: pyem.between_conditions({"x": t}), "1 condition was given"),
        (lambda t: pyem.between_conditions({"x": t, "y": t.iloc[:3]}), "'y' has other subjects than 'x'"),
        (lambda t: pyem.between_conditions({"x": t, "y": t[["b", "a", "c"]]}), "in the same order"),
        (lambda t: pyem.between_conditions(dict.fromkeys("abcdefgh", t)), "6561 combinations"),
        (lambda t: pyem.random_effects_bms(t.set_axis(["a", "a", "b"], axis=1)), "several models have the same name"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call(decisive([2, 2, 2]))


# -- averages and figures -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fits():
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=5, blocks=2, trials=20, key=1)
    return {"both": pyem.fit_map(model, data), "one": pyem.fit_map(pyem.fix(model, alpha=0.3), data)}


def test_a_parameter_is_averaged_over_the_models_that_have_it(fits):
    weights = np.column_stack([np.linspace(0, 1, 5), np.linspace(1, 0, 5)])
    found = pyem.model_average(fits, weights=weights, draws=20_000)
    assert found.names == ("beta", "alpha")
    np.testing.assert_allclose(found.known[:, 0], 1)
    np.testing.assert_allclose(found.known[:, 1], weights[:, 0])
    both, one = (fit.draws(20_000, key=7).params for fit in fits.values())
    expected = weights[:, 0] * both[..., 0].mean(0) + weights[:, 1] * one[..., 0].mean(0)
    np.testing.assert_allclose(found.mean[:, 0], expected, rtol=0.02)
    # Whose model has no alpha, has none to average.
    assert np.isnan(found.mean[0, 1])
    assert np.isnan(found.low[0, 1])
    np.testing.assert_allclose(found.low[4, 1], np.quantile(both[:, 4, 1], 0.025), rtol=0.1)
    middle = np.concatenate([both[:, 2, 0], one[:, 2, 0]])
    np.testing.assert_allclose(
        [found.sd[2, 0], found.high[2, 0]], [middle.std(), np.quantile(middle, 0.975)], rtol=0.05
    )
    assert list(found.table()) == ["beta", "beta_sd", "beta_known", "alpha", "alpha_sd", "alpha_known"]


def test_averages_take_the_weights_of_random_effects_and_leave_out_what_is_asked(fits):
    found = pyem.model_average(fits, by="lme")
    np.testing.assert_allclose(found.weights, pyem.random_effects_bms(fits, by="lme").attribution)
    np.testing.assert_allclose(pyem.model_average(fits, models=["one"]).known[:, 0], 1)
    narrow = pyem.model_average(fits, weights=[0.9, 0.1], window=0.2)
    np.testing.assert_allclose(narrow.weights, np.tile([1.0, 0.0], (5, 1)))
    with pytest.raises(ValueError, match="there is no model 'two'"):
        pyem.model_average(fits, models=["two"])
    with pytest.raises(ValueError, match="weights have shape"):
        pyem.model_average(fits, weights=np.ones(3))


def test_evidence_of_fits_is_each_subjects_part_in_nats(fits):
    bic = pyem.random_effects_bms(fits, by="bic")
    np.testing.assert_allclose(
        bic.attribution,
        pyem.random_effects_bms(np.column_stack([-pyem.bic(fit).subject / 2 for fit in fits.values()])).attribution,
    )
    assert list(bic.table().index) == ["both", "one"]
    fewer = dataclasses.replace(fits["one"], data=fits["one"].data.select([0, 1, 2, 3]))
    with pytest.raises(ValueError, match="other people or responses count for 'one'"):
        pyem.random_effects_bms({**fits, "one": fewer})


def test_figures_of_frequencies():
    table = decisive([2, 2, 2])
    found = pyem.random_effects_bms(table, families={"x": ["a"], "y": ["b", "c"]})
    assert len(plot.plot_frequencies(found).axes) == 4
    assert len(plot.plot_frequencies(pyem.between_groups(table, list("ppqqrr"))).axes) == 6
    assert len(plot.plot_frequencies(pyem.between_conditions({"x": table, "y": table})).axes) == 4
    panel = plot.plot_responsibilities(found).axes[0]
    assert len(panel.patches) == 18
    assert [text.get_text() for text in panel.get_legend().get_texts()] == NAMES
