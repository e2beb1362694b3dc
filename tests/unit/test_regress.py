"""Parameters by formula: where terms go, what the likelihood is, and what the tables say of it."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem.engine.evaluate import log_lik, value_grad_hess
from pyem.infer.common import begin, without_common
from pyem.infer.common_evidence import Evidence
from pyem.infer.em_loop import run_em
from pyem.infer.laplace import JaxEStep
from pyem.infer.setup import prepare
from pyem.population.population import populate

DATA = Path(__file__).parents[3] / "shared" / "data"
PEOPLE, BLOCKS, TRIALS = 12, 2, 60
MODEL = pyem.models.get("rw1a1b")


@functools.cache
def table() -> pd.DataFrame:
    """People with two sessions, a diagnosis and an age; the drug raises the learning rate."""
    rng = np.random.default_rng(1)
    drug = np.tile([0, 1], PEOPLE)
    person = np.repeat(0.5 * rng.normal(size=PEOPLE), BLOCKS)
    response = np.repeat(rng.normal(size=PEOPLE), BLOCKS)
    alpha = 1 / (1 + np.exp(0.8 - (1.2 + response) * drug - 2 * person))
    beta = np.repeat(6 * np.exp(0.5 * rng.normal(size=PEOPLE)), BLOCKS)
    lanes = pyem.simulate(MODEL, np.stack([beta, alpha], 1), trials=TRIALS, key=2)
    frame = lanes.to_frame().rename(columns={"subject": "lane"})
    frame["id"], frame["session"] = frame.lane // BLOCKS, frame.lane % BLOCKS
    frame["drug"] = np.where(frame.session == 0, "placebo", "active")
    frame["dx"] = np.where(frame.id < PEOPLE // 2, "control", "patient")
    frame["age"] = 20.0 + 3 * (frame.id * 5 % PEOPLE)
    frame["load"] = rng.normal(size=len(frame))
    frame["site"] = "here"
    return frame


def read(frame: pd.DataFrame, *more: str) -> pyem.Dataset:
    codes = dict.fromkeys(("drug", "dx", *more))
    return named(frame, "choice", "reward", "drug", "dx", "load", *more, codes=codes, covariates=["age"])


def named(frame: pd.DataFrame, *columns: str, **more: Any) -> pyem.Dataset:
    """A data set of columns under their own names, those of people and blocks as in `table` if not said otherwise."""
    keys = {"subject": "id", "block": "session", "trial": "trial"} | more
    return pyem.Dataset.from_frame(frame, columns={name: name for name in columns}, **keys)


@functools.cache
def data() -> pyem.Dataset:
    return read(table())


TREATMENT = "C(drug, contr.treatment('placebo'))"


# -- where terms go -------------------------------------------------------------------------------------------------------


def test_each_term_goes_where_it_belongs():
    bound = pyem.regress(MODEL, f"alpha ~ {TREATMENT} * dx + age", "beta ~ load").bind(data())
    assert bound.model.names == ("beta", "beta[load]", "alpha", "alpha[drug]")
    assert dict(bound.group.covariates) == {
        "dx": ("alpha", "alpha[drug]"),
        "age (centred)": ("alpha",),
    }
    assert bound.group.covariance == (("alpha", "alpha[drug]"), ("beta", "beta[load]"))
    levels = {effect.name: effect.level for effect in bound.model.design.effects}
    assert levels == {"beta": "constant", "beta[load]": "trial", "alpha": "constant", "alpha[drug]": "block"}
    assert bound.model.inputs == ("column load",)
    assert bound.data.covariates["age (centred)"].mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("formula", "common", "blocks"),
    [
        ("alpha ~ drug + (1 | subject)", ("alpha[drug]",), "diagonal"),
        ("alpha ~ drug + (drug | subject)", (), (("alpha", "alpha[drug]"),)),
        ("alpha ~ drug + (drug || subject)", (), "diagonal"),
        ("alpha ~ drug + (0 + drug | subject)", None, None),
    ],
)
def test_bars_say_in_what_people_differ(formula, common, blocks):
    design = pyem.regress(MODEL, formula)
    if common is None:
        # Without a constant the two cells vary, which are no effects of this formula.
        with pytest.raises(pyem.DataError, match="add it outside the bar"):
            design.bind(data())
        return
    group = design.bind(data()).group
    assert (group.common, group.covariance) == (common, blocks)


def test_cells_have_the_names_of_levels_and_the_range_of_the_parameter():
    bound = pyem.by(MODEL, alpha="drug").bind(data())
    assert bound.model.names == ("beta", "alpha[active]", "alpha[placebo]")
    assert bound.model.natural(np.zeros(3)).tolist()[1:] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("alpha ~ nothing", "names 'nothing'.*map it"),
        ("alpha ~ site", "'site' has the one level 'here'"),
        ("alpha ~ drug + (age | subject)", "age is constant within everybody"),
        ("alpha ~ age + I(2 * age)", r"age, I\(2 \* age\) are collinear"),
        ("alpha ~ load + I(3 * load)", r"load, I\(3 \* load\) are collinear"),
        ("alpha ~ arm * drug", "no trial is in the cell drug 'placebo', arm 'c'"),
        ("alpha ~ arm * C(drug, contr.treatment('placebo'))", "no trial is in the cell drug 'placebo', arm 'c'"),
        ("alpha ~ C(session) * load + visit", r"session, visit are collinear among the effects"),
        ("alpha ~ C(drug, contr.treatment('sham'))", "'sham'.*is not among the provided levels"),
        ("alpha ~ C(drug, levels=['placebo', 'active', 'sham'])", "drug=sham, which is 0 in every trial"),
    ],
)
def test_what_cannot_be_estimated_is_named(formula, message):
    frame = table().copy()
    # Nobody of the third arm had the drug.
    frame["arm"] = np.where(frame.id % 3 == 0, "a", np.where(frame.id % 3 == 1, "b", "c"))
    frame.loc[frame.arm == "c", "drug"] = "active"
    with pytest.raises(pyem.DataError, match=message):
        pyem.regress(MODEL, formula).bind(
            read(frame.assign(visit=frame.session + 1.0), "site", "arm", "visit", "session")
        )


def test_what_is_common_to_all_is_an_effect_or_a_parameter():
    with pytest.raises(pyem.ModelError, match=r"names 'alpha\[dose\]'.*alpha\[drug\]"):
        pyem.regress(MODEL, "alpha ~ drug", common="alpha[dose]").describe(data())


def test_coding_is_stated_for_each_effect():
    design = pyem.regress(MODEL, "alpha ~ C(drug, contr.sum) * dx + age", "beta ~ C(session)")
    told = design.describe(read(table(), "session")).set_index("effect", append=True)["coding"]
    drug, dx = "C(drug, contr.sum): active = 1, placebo = -1", "dx: control = 0, patient = 1"
    assert told["alpha", "drug:dx"] == f"{drug}; {dx}"
    assert told["alpha", "age (centred)"] == "age: its mean 36.5 = 0"
    assert told["beta", "session"] == "C(session): 0 = 0, 1 = 1"
    assert told["alpha", "Intercept"] == ""


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("gamma ~ drug", "no parameter 'gamma'"),
        ("alpha drug", "no formula"),
        ("alpha ~ drug + (1 | site)", "people are what varies"),
        ("alpha ~ drug + (1 | subject", "not closed"),
        ("alpha ~ drug) + load", "not opened"),
        ("alpha ~ drug | subject", "bar stands in parentheses"),
        ("alpha ~ drug ~ load", "one ~ stands"),
        ("alpha ~ the drug", "backquotes"),
    ],
)
def test_what_is_no_formula_is_told(formula, message):
    with pytest.raises((pyem.ModelError, pyem.DataError), match=message):
        pyem.regress(MODEL, formula)


@functools.cache
def odd() -> pyem.Dataset:
    """The same people with columns whose names and levels are no words of Python, or have no value."""
    frame = table().copy()
    frame["the drug"], frame["a:b"] = frame.drug, frame.drug.map({"placebo": "x|y", "active": "(z"})
    frame["größe"], frame["empty"] = np.arange(len(frame)) % 5 + 1, ""
    return read(frame, "the drug", "a:b", "größe", "empty")


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("`the drug`", ("alpha", "alpha[the drug]")),
        ("0 + `the drug`", ("alpha[active]", "alpha[placebo]")),
        ("C(`the drug`, Sum) * `a:b`", None),
        ("C(`a:b`, contr.treatment('x|y')) + (1 | subject)", ("alpha", "alpha[a:b]")),
        ("`a:b` + (`a:b` || `subject`)", ("alpha", "alpha[a:b]")),
        ("load + {load**2}", ("alpha", "alpha[load]", "alpha[load ** 2]")),
        ("center(`größe`):`the drug`", None),
        ("größe", ("alpha", "alpha[größe]")),
    ],
)
def test_names_of_columns_may_be_anything(formula, names):
    design = pyem.regress(MODEL, f"alpha ~ {formula}")
    if names is None:
        assert set(design.columns) <= {"the drug", "a:b", "größe"}
        return
    bound = design.bind(odd())
    assert bound.model.names == ("beta", *names)
    assert design.describe(odd()).shape[0] == len(names)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("empty", "'empty' of the formula of 'alpha' has no value for subject '?0"),
        ("0", "no effect; write 1"),
        ("C(subject)", "12 effects of people's columns for 12 people"),
        ("offset(load)", "an offset is an effect that is held"),
        ("log(load)", r"log\(load\) has no finite value in some rows"),
        ("drug + (0 + drug | subject)", "with the same coding"),
    ],
)
def test_what_a_formula_cannot_say_is_told_with_the_remedy(formula, message):
    with pytest.raises(pyem.DataError, match=message):
        pyem.regress(MODEL, f"alpha ~ {formula}").bind(odd())


def test_everybody_may_have_an_effect_where_people_do_not_differ_otherwise():
    bound = pyem.regress(MODEL, "alpha ~ C(subject) + (0 | subject)").bind(odd())
    assert bound.common == ("alpha",)
    assert len(bound.group.covariates) == PEOPLE - 1


def test_missing_values_are_an_error_or_leave_their_trials_out():
    frame = table().copy()
    frame.loc[[3, 40], "load"] = np.nan
    gaps = read(frame)
    with pytest.raises(pyem.DataError, match=r"'load' of the formula of 'beta'.*2 such trials.*skip"):
        pyem.regress(MODEL, "beta ~ load").bind(gaps)
    bound = pyem.regress(MODEL, "beta ~ load", missing="skip").bind(gaps)
    counted = bound.data.n_responses(bound.model).sum()
    assert counted == data().n_responses(MODEL).sum() - 2


# -- the likelihood -------------------------------------------------------------------------------------------------------


def test_a_block_is_the_base_model_with_the_parameters_of_its_condition():
    bound = pyem.regress(MODEL, f"alpha ~ {TREATMENT}").bind(data())
    x = np.random.default_rng(3).normal(size=(PEOPLE, 3))
    lanes = pyem.Dataset.from_frame(
        table(), subject="lane", trial="trial", columns={"choice": "choice", "reward": "reward"}
    )
    by_lane = np.repeat(x[:, :2], BLOCKS, axis=0)
    by_lane[1::2, 1] += x[:, 2]
    expected = log_lik(MODEL, lanes, by_lane).reshape(PEOPLE, BLOCKS).sum(1)
    np.testing.assert_allclose(log_lik(bound.model, bound.data, x), expected, rtol=1e-12)


def test_a_column_of_trials_is_a_predictor():
    frame = table().assign(one=1.0, y=table().choice)
    read_as = lambda predictors: pyem.Dataset.from_frame(  # noqa: E731
        frame,
        subject="id",
        block="session",
        trial="trial",
        columns={"y": "y", "load": "load", "predictors": predictors},
    )
    one, two = pyem.models.get("logit", predictors=("a",)), pyem.models.get("logit", predictors=("a", "b"))
    bound = pyem.regress(one, "a ~ load").bind(read_as(["one"]))
    x = np.random.default_rng(4).normal(size=(PEOPLE, 2))
    plain = value_grad_hess(two, read_as(["one", "load"]), x)
    for mine, expected in zip(value_grad_hess(bound.model, bound.data, x), plain, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=1e-9)


def test_derivatives_are_slopes():
    bound = pyem.regress(MODEL, f"alpha ~ {TREATMENT}").bind(data())
    x, step = np.random.default_rng(5).normal(size=(PEOPLE, 3)), 1e-5
    _, grad, hess = value_grad_hess(bound.model, bound.data, x)
    for k, move in enumerate(step * np.eye(3)):
        up, down = (value_grad_hess(bound.model, bound.data, x + sign * move) for sign in (1, -1))
        np.testing.assert_allclose(grad[:, k], (up[0] - down[0]) / (2 * step), atol=1e-6)
        np.testing.assert_allclose(hess[:, :, k], (up[1] - down[1]) / (2 * step), atol=1e-5)


# -- simulation -----------------------------------------------------------------------------------------------------------


def test_simulated_people_have_the_probability_that_the_likelihood_says():
    design = pyem.regress(MODEL, "alpha ~ drug", "beta ~ load")
    load = np.random.default_rng(6).normal(size=(PEOPLE, BLOCKS, TRIALS))
    params = np.tile([6.0, 0.3, 0.4, 1.0], (PEOPLE, 1))
    sim = pyem.simulate(
        design, params, conditions={"drug": ["off", "on"], "load": load}, blocks=BLOCKS, trials=TRIALS, key=1
    )
    bound = design.bind(sim)
    np.testing.assert_allclose(log_lik(bound.model, bound.data, sim.truth), sim.log_lik, atol=1e-9)
    with pytest.raises(pyem.DataError, match="a value for each block"):
        pyem.simulate(design, params, conditions={"drug": [0, 1, 2], "load": load}, blocks=BLOCKS, trials=TRIALS, key=1)


# -- fits -----------------------------------------------------------------------------------------------------------------


@functools.cache
def fitted() -> pyem.PointFit:
    return pyem.fit_em(pyem.regress(MODEL, f"alpha ~ {TREATMENT} + dx"), data())


def test_effects_and_marginal_means_agree():
    fit = fitted()
    effects, means = fit.effects(), fit.marginal_means("alpha").table()
    drug = effects.loc[("alpha", "drug")]
    assert drug["scale"] == "logit (0, 1)"
    assert drug["z"] == pytest.approx(drug["estimate"] / drug["se"])
    assert 0 < drug["p"] < 1
    gap = means.loc[("active", "control"), "estimate"] - means.loc[("placebo", "control"), "estimate"]
    assert gap == pytest.approx(drug["estimate"], abs=1e-12)
    pairs = fit.marginal_means("alpha", by="drug").pairs()
    assert pairs["estimate"].iloc[0] == pytest.approx(drug["estimate"], abs=1e-12)
    assert pairs["se"].iloc[0] == pytest.approx(drug["se"], rel=1e-9)
    mean = fit.marginal_means("alpha", by="drug").table()["mean"]
    assert pairs["difference"].iloc[0] == pytest.approx(mean["active"] - mean["placebo"], abs=1e-12)


def test_numbers_that_are_levels_and_values_of_numbers_make_cells():
    frame = table().assign(arm=table().id % 3 + 1)
    fit = pyem.fit_em(pyem.regress(MODEL, f"alpha ~ {TREATMENT} + C(arm) + age"), read(frame, "arm"), tol=1e-2)
    effects, means = fit.effects()["estimate"]["alpha"], fit.marginal_means("alpha", by="arm").table()["estimate"]
    assert means.index.tolist() == [1, 2, 3]
    assert means[3] - means[1] == pytest.approx(effects["arm=3"], abs=1e-12)
    ages = fit.marginal_means("alpha", by="drug", at={"age": [30, 50]}).table()["estimate"]
    assert ages["placebo", 50] - ages["placebo", 30] == pytest.approx(20 * effects["age (centred)"], abs=1e-12)
    assert fit.effects()["coding"]["alpha", "arm=3"] == "C(arm): 1 = (0, 0), 2 = (1, 0), 3 = (0, 1)"


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ({"drug": "ill"}, r"'drug' has no such value; its levels are 'active', 'placebo'"),
        ({"age": "old"}, r"'age' has no such value; it is a number"),
        ({"age": [30, np.nan]}, r"\{'age': nan\}: 'age' has no such value"),
    ],
)
def test_marginal_means_are_at_levels_and_numbers_only(at, message):
    fit = pyem.fit_em(pyem.regress(MODEL, f"alpha ~ {TREATMENT} + age"), data(), tol=1e-2)
    with pytest.raises(ValueError, match=message):
        fit.marginal_means("alpha", by=list(at), at=at)


def test_samplers_begin_where_effects_are_whatever_the_unit_of_a_covariate():
    centers = []
    for formula in ("alpha ~ age", "alpha ~ I(age * 1000)"):
        bound = pyem.regress(MODEL, formula).bind(data())
        _, args = prepare(bound.model, bound.data, bound.group, None, None, None, None, "standardized")
        centers.append(np.array([args.center[2], args.scale[2]]))
    np.testing.assert_allclose(1000 * centers[1], centers[0], rtol=1e-6)
    # Ages differ by 10 years, and people by less than a logit.
    assert 0 < centers[0][1] < 0.1


def test_a_fit_has_the_same_effects_on_other_data_or_refuses_them():
    apart = read(table().assign(drug=np.where(table().id % 2, "placebo", "active")))
    with pytest.raises(pyem.DataError, match=r"the fit has the effects beta, alpha, alpha\[drug\]"):
        pyem.log_lik(fitted().model, apart, fitted().params)


def test_coding_and_the_order_of_levels_change_nothing():
    codings = (
        f"alpha ~ {TREATMENT} + dx + (1 | subject)",
        "alpha ~ C(drug, contr.sum) + C(dx, contr.treatment('patient')) + (1 | subject)",
    )
    fits = [pyem.fit_em(pyem.regress(MODEL, formula), data()) for formula in codings]
    assert fits[0].log_evidence.sum() == pytest.approx(fits[1].log_evidence.sum(), abs=1e-8)
    one, two = (fit.marginal_means("alpha").found.estimate for fit in fits)
    np.testing.assert_allclose(one, two, atol=1e-8)
    errors = [fit.marginal_means("alpha").table()["se"] for fit in fits]
    np.testing.assert_allclose(errors[0], errors[1], atol=1e-7)


def test_latents_say_in_which_condition_a_trial_was():
    latents = fitted().latents()
    assert list(latents.columns[:6]) == ["subject", "block", "trial", "drug", "dx", "choice"]
    expected = table().sort_values(["id", "session", "trial"])
    assert latents["drug"].tolist() == expected["drug"].tolist()
    assert latents["dx"].tolist() == expected["dx"].tolist()


def test_a_saved_fit_knows_its_levels(tmp_path):
    fit = fitted()
    again = pyem.load(fit.save(tmp_path / "fit.nc"))
    assert again.model == fit.model
    assert again.effects().equals(fit.effects())
    assert again.marginal_means("alpha").table().equals(fit.marginal_means("alpha").table())
    other = read(table().assign(drug=table().drug.replace("placebo", "sham")))
    with pytest.raises(pyem.DataError, match=r"'sham'.*knows the levels"):
        pyem.log_lik(again.model, other, fit.params)


def test_people_on_their_own_have_no_effects_of_people():
    design = pyem.regress(MODEL, f"alpha ~ {TREATMENT} + dx + (1 | subject)")
    with pytest.warns(pyem.FitWarning, match="dx on alpha is not estimated"):
        fit = pyem.fit_map(design, data())
    assert fit.params.shape == (PEOPLE, 3)
    assert np.ptp(fit.params[:, 2]) == 0
    assert np.isfinite(fit.log_evidence).all()


def test_a_common_value_without_a_group_is_the_best_for_all_together():
    fit = pyem.fit_mle(MODEL, data(), common="beta", starts=1)
    beta = fit.x[0, 0]
    assert (fit.x[:, 0] == beta).all()
    held = [MODEL.natural(np.array([beta + h, 0.0]))[0] for h in (-0.05, 0, 0.05)]
    around = [pyem.fit_mle(pyem.fix(MODEL, beta=value), data(), starts=1) for value in held]
    below, here, above = (one.log_lik.sum() for one in around)
    assert here == pytest.approx(fit.log_lik.sum(), abs=1e-6)
    assert here > max(below, above)
    curvature = (2 * here - below - above) / 0.05**2
    assert fit.cov[0, 0, 0] == pytest.approx(1 / curvature, rel=0.02)


# -- common to all --------------------------------------------------------------------------------------------------------


def test_the_gradient_of_the_evidence_is_its_slope():
    bound = pyem.regress(MODEL, f"alpha ~ {TREATMENT} + dx", common="beta").bind(data())
    model, group = bound.model, bound.group
    mean, sd = model.typical
    start = lambda group: populate(  # noqa: E731
        group, names=model.names, mean=mean, sd=sd, covariates=bound.data.covariates, n_subjects=PEOPLE
    )
    estep = JaxEStep(model, bound.data, np.tile(mean, (PEOPLE, 1)))
    run = run_em(estep, start(without_common(group)), max_iter=3)
    evidence = Evidence(model, bound.data, estep)
    at = begin(model, bound.data, start(group), run)
    vector, step = at.vector, 1e-4
    ends = [
        [evidence(at.with_vector(vector + sign * move)).value for sign in (1, -1)]
        for move in step * np.eye(len(vector))
    ]
    slopes = np.array([(up - down) / (2 * step) for up, down in ends])
    np.testing.assert_allclose(evidence(at).grad, slopes, atol=1e-5 * np.abs(slopes).max())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "cauchy", "common": "alpha"}, "needs a Gaussian group"),
        ({"sd": {"alpha": 0.0}}, "above 0"),
        ({"sd": {"alpha": 0.1}, "common": "alpha"}, "cannot be common"),
        ({"covariance": [("alpha", "beta"), ("alpha",)]}, "more than one place"),
    ],
)
def test_groups_that_mean_nothing_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        pyem.Group(**arguments)


def test_a_given_sd_stays():
    fit = pyem.fit_em(MODEL, data(), group=pyem.Group(sd={"beta": 0.25}))
    assert np.sqrt(np.diag(fit.population.cov))[0] == pytest.approx(0.25)
    assert len(fit.population.vector) == 3


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not DATA.exists(), reason="needs the published data beside the project")
def test_sleepstudy_as_published():
    frame = pd.read_csv(DATA / "sleepstudy_belenky2003.csv").rename(columns=str.lower)
    frame["one"] = 1.0
    sleep = pyem.Dataset.from_frame(
        frame, subject="subject", trial="days", columns={"y": "reaction", "predictors": ["one", "days"]}
    )
    model = pyem.models.get("glm", predictors=("intercept", "days"))
    group = pyem.Group(covariance=[("intercept", "days")], common="sigma")
    fit = pyem.fit_em(model, sleep, group=group)
    # Bates, Maechler, Bolker & Walker (2015) and the documentation of MixedModels.jl, maximum likelihood.
    assert fit.log_evidence.sum() == pytest.approx(-875.9697, abs=1e-3)
    table = fit.group_table()
    assert table.loc[("mean", "intercept"), "estimate"] == pytest.approx(251.4051, abs=1e-3)
    assert table.loc[("mean", "days"), "estimate"] == pytest.approx(10.4673, abs=1e-3)
    assert table.loc[("sd", "intercept"), "estimate"] == pytest.approx(23.7805, abs=1e-3)
    assert table.loc[("sd", "days"), "estimate"] == pytest.approx(5.7168, abs=1e-3)
    assert table.loc[("correlation", "intercept, days"), "estimate"] == pytest.approx(0.0813, abs=1e-3)
    assert table.loc[("mean", "sigma"), "natural"] == pytest.approx(25.5918, abs=1e-3)


@pytest.mark.slow
def test_nuts_agrees_with_em():
    design = pyem.regress(MODEL, f"alpha ~ {TREATMENT} + dx + (1 | subject)", common="beta")
    em, nuts = (
        pyem.fit_em(design, data()).effects(),
        pyem.fit_nuts(design, data(), key=1, chains=2, draws=500).effects(),
    )
    gap = ((em["estimate"] - nuts["estimate"]) / nuts["se"]).abs()
    # What people say themselves; the effect of a diagnosis in 12 people is drawn to 0 by its prior.
    assert gap[[("beta", "Intercept"), ("alpha", "drug")]].max() < 0.3


@functools.cache
def of_people() -> pyem.Dataset:
    """The table with the diagnosis and the clinic of people as covariates."""
    frame = table().assign(clinic=lambda frame: np.array(["north", "east", "south"])[frame.id % 3])
    codes = {"drug": None, "clinic": ["north", "east", "south"]}
    return named(frame, "choice", "reward", "drug", codes=codes, covariates=["age", "dx", "clinic"])


def test_words_of_people_are_levels_wherever_they_are_kept():
    formula = "alpha ~ drug * dx + age"
    as_field, as_covariate = (pyem.fit_em(pyem.regress(MODEL, formula), given) for given in (data(), of_people()))
    pd.testing.assert_frame_equal(as_covariate.effects(), as_field.effects())
    one, other = (fit.marginal_means("alpha", by=["dx", "drug"]).table() for fit in (as_covariate, as_field))
    pd.testing.assert_frame_equal(one, other)
    with pytest.raises(
        pyem.DataError, match="column 'dx' has 'unknown', but the fit knows the levels 'control', 'patient'"
    ):
        pyem.log_lik(as_covariate.model, renamed(), as_covariate.params)


def renamed() -> pyem.Dataset:
    """People with a diagnosis that a fit does not know."""
    frame = table().assign(dx=lambda frame: np.where(frame.dx == "patient", "unknown", "control"))
    return named(frame, "choice", "reward", "drug", codes={"drug": None}, covariates=["dx", "age"])


def test_categories_of_people_have_the_reference_that_was_named():
    given = of_people()
    assert given.codes["clinic"] == ("north", "east", "south")
    assert list(given.covariates) == ["age", "dx", "clinic[east]", "clinic[south]"]
    told = pyem.regress(MODEL, "alpha ~ clinic").describe(given)
    assert told["effect"].tolist()[1:] == ["clinic=east", "clinic=south"]
    assert told["coding"].iloc[1] == "clinic: north = (0, 0), east = (1, 0), south = (0, 1)"
    few = read_again(given.to_frame().query("dx == 'control' or clinic != 'south'"))
    with pytest.raises(pyem.DataError, match="no trial is in the cell dx 'patient', clinic 'south'"):
        pyem.regress(MODEL, "alpha ~ dx * clinic").describe(few)


def read_again(frame: pd.DataFrame) -> pyem.Dataset:
    """A data set made of the long table of another one."""
    codes = {name: of_people().codes[name] for name in ("choice", "drug", "dx", "clinic")}
    keys = {"subject": "subject", "block": "block", "codes": codes, "covariates": ["age", "dx", "clinic"]}
    return named(frame, "choice", "reward", "drug", **keys)


def test_the_long_table_has_words_and_numbers_as_they_were_given():
    given = of_people()
    back = read_again(given.to_frame())
    assert back.codes == given.codes
    for name, values in given.covariates.items():
        np.testing.assert_array_equal(back.covariates[name], values)
    assert (
        given.to_frame(labels=False)["clinic[east]"].tolist()
        == given.covariates["clinic[east]"][given_people(given)].tolist()
    )
    age = np.array([31.0, 44.0, 27.0, 52.0])
    conditions = {"drug": ["off", "on"], "dx": np.array(["a", "b", "a", "b"])[:, None], "age": age[:, None]}
    design = pyem.regress(MODEL, "alpha ~ drug * dx + age")
    played = pyem.simulate(design, subjects=4, blocks=2, trials=3, conditions=conditions, key=1).to_frame()
    assert played["age"].tolist() == np.repeat(age, 6).tolist()
    assert played["dx"].tolist() == np.repeat(["a", "b", "a", "b"], 6).tolist()


def given_people(given: pyem.Dataset) -> np.ndarray:
    """Index of the person of each row of the long table."""
    return given.lane_subject[np.nonzero(given.valid.T)[0]]


def test_words_of_covariates_that_were_replaced_say_nothing():
    x = np.tile([[5.0, 0.4]], (PEOPLE, 1))
    played = pyem.simulate(MODEL, x, design=of_people(), covariates={"dx": np.arange(float(PEOPLE))}, key=1)
    assert played.codes.keys() == {"choice", "drug"}
    assert played.to_frame()["dx"].unique().tolist() == list(range(PEOPLE))
    for replaced in ({}, {"dx": of_people().covariates["dx"]}):
        frame = dataclasses.replace(of_people(), covariates=replaced).to_frame()
        assert [name for name in ("dx", "clinic") if name in frame] == list(replaced)


@pytest.mark.parametrize("verb", [pyem.fit_em, pyem.fit_map, pyem.check, pyem.simulate, pyem.recovery])
def test_what_is_no_model_is_told(verb):
    size = {"key": 1} if verb in (pyem.simulate, pyem.recovery) else {"data": data()}
    with pytest.raises(
        pyem.ModelError, match=r"a model, or a design .* but a PointFit was given; its model is in .model"
    ):
        verb(fitted(), **size)
    with pytest.raises(pyem.ModelError, match=r"but 'rw1a1b' was given; pyem.models.get makes one by its name"):
        verb("rw1a1b", **size)
