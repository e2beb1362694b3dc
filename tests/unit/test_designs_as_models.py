"""Designs by formula wherever a model goes: simulation, dry runs, recovery, confusion, checks, and models made of them."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

import pyem
from pyem.infer.collapsed import alike
from pyem.infer.setup import prepare
from pyem.population.posterior import Laplace

PEOPLE, BLOCKS, TRIALS = 5, 2, 20
MODEL = pyem.models.get("rw1a1b")
DESIGN = pyem.regress(MODEL, "alpha ~ drug + dx", "beta ~ load")
RNG = np.random.default_rng(0)
CONDITIONS = {
    "drug": ["off", "on"],
    "dx": np.array(["c", "p", "c", "p", "c"])[:, None],
    "load": RNG.normal(size=(PEOPLE, BLOCKS, TRIALS)),
}
PARAMS = np.tile([5.0, 0.3, 0.4, 0.8], (PEOPLE, 1))
SIZE = {"subjects": PEOPLE, "blocks": BLOCKS, "trials": TRIALS}


@functools.cache
def data() -> pyem.Simulation:
    return pyem.simulate(DESIGN, PARAMS, conditions=CONDITIONS, blocks=BLOCKS, trials=TRIALS, key=1)


@functools.cache
def fitted() -> pyem.PointFit:
    return pyem.fit_em(DESIGN, data())


def plain() -> pyem.Dataset:
    """The data as a table would have them, without the columns of a design."""
    return without_columns(data())


def without_columns(given: pyem.Dataset) -> pyem.Dataset:
    fields = {name: values for name, values in given.fields.items() if not name.startswith("column ")}
    kept = {f.name: getattr(given, f.name) for f in dataclasses.fields(pyem.Dataset)}
    present = {name: given.present[name] for name in fields}
    return pyem.Dataset(**(kept | {"fields": fields, "present": present, "covariates": {}}))


def test_the_likelihood_at_natural_parameters_is_that_of_the_simulation():
    expected = data().log_lik
    np.testing.assert_allclose(pyem.log_lik(DESIGN, plain(), PARAMS), expected, atol=1e-9)
    np.testing.assert_allclose(pyem.log_lik(data().model, data(), PARAMS), expected, atol=1e-9)
    # At the very end of a range: everybody's first outcome is all that is remembered.
    ends = pyem.log_lik(pyem.regress(MODEL, "alpha ~ 1"), plain(), [5.0, 1.0])
    np.testing.assert_allclose(ends, pyem.log_lik(MODEL, plain(), [5.0, 1.0]), atol=1e-9)


def rescaled(unit: float, given: pyem.Dataset) -> pyem.Dataset:
    """Data with the load in another unit."""
    return dataclasses.replace(given, fields=given.fields | {"load": given.fields["load"] * unit})


def told(design: pyem.Regression, given: pyem.Dataset, fit: Any = pyem.fit_em) -> list[np.ndarray]:
    """What must not depend on the unit: evidence of people, means of cells with their intervals, z and p of effects."""
    found = fit(design, given)
    if fit is not pyem.fit_em:
        return [found.log_evidence, found.x / np.sqrt(np.diagonal(found.cov, axis1=1, axis2=2))]
    means = found.marginal_means("alpha").table()[["mean", "mean_low", "mean_high"]]
    return [found.log_evidence, means.to_numpy(float), found.effects()[["z", "p"]].to_numpy(float)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_units_and_coding_change_nothing_even_where_people_hardly_differ():
    before = told(DESIGN, plain())
    assert fitted().population.at_floor.any()
    for unit in (1e-12, 1e3, 1e12):
        for one, other in zip(before, told(DESIGN, rescaled(unit, plain())), strict=True):
            np.testing.assert_allclose(other, one, atol=1e-8, rtol=0)
    sums = pyem.regress(MODEL, "alpha ~ C(drug, contr.sum) + C(dx, contr.sum)", "beta ~ load")
    evidence, means, _ = told(sums, plain())
    np.testing.assert_allclose(evidence, before[0], atol=1e-8)
    np.testing.assert_allclose(means[:, 0], before[1][:, 0], atol=1e-8)
    np.testing.assert_allclose(means, before[1], atol=1e-6)


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize(
    "family", ["student_t", *(pytest.param(one, marks=pytest.mark.slow) for one in ("laplace", "cauchy"))]
)
def test_errors_of_means_do_not_depend_on_units_where_heavy_tailed_groups_have_no_width(family):
    fits = [
        pyem.fit_em(DESIGN, rescaled(unit, plain()), group=pyem.Group(family), max_iter=3) for unit in (1.0, 1e-6, 1e8)
    ]
    for other in fits[1:]:
        np.testing.assert_allclose(other.effects()["z"], fits[0].effects()["z"], atol=1e-6)


def coordinates(design: pyem.Regression, given: pyem.Dataset, unit: float) -> np.ndarray:
    """Origin and units of the group's coordinates in which samplers move, for a load of unit 1."""
    bound = design.bind(rescaled(unit, given))
    spec, args = prepare(bound.model, bound.data, bound.group, None, None, None, None, "standardized")
    center, scale = np.array(args.center), np.array(args.scale)
    names, n = list(bound.model.names), int(np.sum(spec.free))
    place = names.index("beta[load]")
    center[place], scale[place] = center[place] * unit, scale[place] * unit
    if place in spec.estimated:
        center[n + list(spec.estimated).index(place)] += np.log(unit)
    return np.concatenate([center, scale])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize(
    ("beta", "atol"),
    # Of lattices, on which the search ends, rounding picks another one.
    [("beta ~ load", 0.01), ("beta ~ load + (1 | subject)", 1e-9)],
)
def test_samplers_move_in_the_same_coordinates_whatever_the_unit(beta, atol):
    params = np.array(
        [[3, 0.6, 0.1, 0.2], [9, -0.5, 0.3, 1.5], [5, 0.3, 0.6, 0.9], [7, 1, 0.85, -0.3], [2, 0, 0.4, 0.6]]
    )
    given = pyem.simulate(DESIGN, params, conditions=CONDITIONS, blocks=BLOCKS, trials=TRIALS, key=1)
    design = pyem.regress(MODEL, "alpha ~ dx", beta)
    before = coordinates(design, without_columns(given), 1.0)
    for unit in (1e-8, 1e8):
        np.testing.assert_allclose(coordinates(design, without_columns(given), unit), before, atol=atol)


def test_an_approximation_counts_as_exact_only_where_points_say_the_same_of_everybody():
    found = fitted()
    laplace = Laplace(found.x, found.cov, found.log_lik, np.zeros(PEOPLE), np.zeros(PEOPLE, int))
    value, error = found.log_evidence, np.full(PEOPLE, 1e-4)
    assert alike(laplace, value, value + 1e-3, error)
    assert not alike(laplace, value, value + 1e-2, error)
    assert not alike(laplace._replace(status=np.arange(PEOPLE) + 5), value, value, error)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_exact_integration_of_people_who_hardly_differ_ends_where_the_approximation_does():
    design = pyem.regress(MODEL, "alpha ~ drug + dx", "beta ~ load")
    laplace = pyem.fit_em(design, plain())
    fits = [pyem.fit_em(design, rescaled(unit, plain()), integrate="exact") for unit in (1.0, 1e8)]
    for fit in fits:
        assert fit.converged, fit.message
        np.testing.assert_allclose(fit.log_evidence, laplace.log_evidence, atol=1e-9)
        np.testing.assert_allclose(fit.effects()["z"], laplace.effects()["z"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_common_effects_of_people_who_do_not_differ_at_all_are_those_of_the_approximation():
    """Two sds are 0: once one is, points see that the other is. The approximation leaves both a thousandth."""
    design = pyem.regress(MODEL, "alpha ~ drug + dx + (1 | subject)", "beta ~ load + (1 | subject)")
    laplace = pyem.fit_em(design, plain())
    fits = [pyem.fit_em(design, rescaled(unit, plain()), integrate="exact") for unit in (1.0, 1e8)]
    for fit in fits:
        assert fit.converged, fit.message
        assert fit.population.vanished[fit.population.random].all()
        assert 0 < fit.log_evidence.sum() - laplace.log_evidence.sum() < 1e-4
        np.testing.assert_allclose(fit.effects()["z"], laplace.effects()["z"], atol=0.01)
        np.testing.assert_allclose(
            fit.marginal_means("alpha").table()["se"], laplace.marginal_means("alpha").table()["se"], rtol=0.01
        )
    one, other = (fit.log_evidence for fit in fits)
    np.testing.assert_allclose(other, one, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize(
    ("formulas", "fit"),
    [
        (("alpha ~ drug + dx + (1 | subject)", "beta ~ load + (1 | subject)"), pyem.fit_em),
        (("alpha ~ drug", "beta ~ load"), pyem.fit_map),
        (("alpha ~ drug", "beta ~ load + (1 | subject)"), pyem.fit_map),
    ],
)
def test_units_change_nothing_in_other_searches(formulas, fit):
    design = pyem.regress(MODEL, *formulas)
    params = PARAMS * [[1, 1, k, 1] for k in (0.25, 0.5, 1, 1.5, 2)]
    differing = pyem.simulate(DESIGN, params, conditions=CONDITIONS, blocks=BLOCKS, trials=TRIALS, key=1)
    # In the data of the other tests people hardly differ.
    for given in (differing, data()):
        before = told(design, without_columns(given), fit)
        for unit in (1e-12, 1e3, 1e12):
            after = told(design, rescaled(unit, without_columns(given)), fit)
            for one, other in zip(before, after, strict=True):
                np.testing.assert_allclose(other, one, atol=1e-6, rtol=0)


def test_check_climbs_its_ladder():
    report = pyem.check(DESIGN, plain())
    assert report, str(report)
    assert report.rungs[-1].detail == "simulated choices have the probability that the likelihood says"


def test_people_are_simulated_on_the_trials_of_data():
    for model, design in ((DESIGN, plain()), (data().model, plain()), (data().model, data())):
        again = pyem.simulate(model, PARAMS, design=design, key=2)
        np.testing.assert_array_equal(again.fields["load"], data().fields["load"])
        np.testing.assert_allclose(pyem.log_lik(DESIGN, again, PARAMS), again.log_lik, atol=1e-9)
    with pytest.raises(ValueError, match="conditions are those of the data"):
        pyem.simulate(DESIGN, PARAMS, design=plain(), conditions=CONDITIONS, key=2)
    with pytest.raises(pyem.DataError, match=r"depends on drug, dx, load; give the values in conditions="):
        pyem.simulate(data().model, PARAMS, key=2)


def test_columns_of_other_models_are_kept_with_simulated_people():
    other = pyem.simulate(MODEL, PARAMS[:, [0, 2]], conditions=CONDITIONS, blocks=BLOCKS, trials=TRIALS, key=3)
    assert DESIGN.bind(other).model.names == data().model.names
    np.testing.assert_allclose(pyem.log_lik(MODEL, other, other.true_params), other.log_lik, atol=1e-9)


@pytest.mark.parametrize("words", [{**SIZE, "conditions": CONDITIONS}, {"design": data}, {"design": pyem.Experiment}])
def test_parameters_are_recovered_in_their_conditions(words):
    given = dict(words)
    if given.get("design") is data:
        given["design"] = plain()
    elif "design" in given:
        given["design"] = pyem.Experiment(**SIZE, conditions=CONDITIONS)
    study = pyem.recovery(DESIGN, key=1, fit=fit_map, **given)
    assert study.truth.shape == (1, PEOPLE, 4)
    assert list(study.table().index) == ["beta", "beta[load]", "alpha", "alpha[drug]"]
    assert np.isfinite(study.estimate).all()


def fit_map(model, data):
    import warnings

    with warnings.catch_warnings():
        # People on their own have no effect of the diagnosis.
        warnings.simplefilter("ignore", pyem.FitWarning)
        return pyem.fit_map(model, data)


def test_people_of_a_fit_are_in_the_conditions_of_its_data():
    study = pyem.recovery(DESIGN, fitted(), key=1, fit=fit_map)
    mean = fitted().population.mean
    assert study.truth.shape == (1, PEOPLE, 4)
    assert np.abs(study.model.unconstrained(study.truth[0]) - mean).max() < 6 * np.sqrt(fitted().population.cov.max())
    with pytest.raises(ValueError, match="their own conditions"):
        pyem.recovery(DESIGN, fitted(), key=1, subjects=3)
    with pytest.raises(ValueError, match="depend on dx"):
        pyem.recovery(DESIGN, fitted(), key=1, conditions=CONDITIONS, **SIZE)
    with pytest.raises(pyem.DataError, match="give the values in conditions"):
        pyem.recovery(DESIGN, key=1, subjects=3)


def test_designs_are_told_from_other_models():
    pair = [pyem.regress(MODEL, "alpha ~ drug"), MODEL]
    study = pyem.confusion(pair, key=1, rounds=1, conditions=CONDITIONS, by="aic", fit=fit_map, **SIZE)
    assert study.names == ("rw1a1b(alpha ~ drug)", "rw1a1b")
    assert np.isfinite(study.group).all()


def test_latents_and_predictions_are_those_of_the_conditions():
    fit = fitted()
    latents = fit.latents()
    assert latents.groupby("subject").log_prob.sum().to_numpy() == pytest.approx(fit.log_lik)
    predicted = pyem.posterior_predictive(fit, draws=4, key=1)
    check = pyem.predictive_check(predicted)
    assert check.group.loc["choice", "observed"] == pytest.approx(latents.choice.eq(0).mean(), abs=1e-6)
    split = pyem.predictive_check(predicted, by=["drug", "dx"])
    means = latents.assign(chose=latents.choice.eq(0)).groupby(["drug", "dx"])["chose"].mean()
    found = split.group.xs("choice", level="statistic")["observed"]
    assert found.to_dict() == pytest.approx(means.to_dict(), abs=1e-6)
    per_person = (
        latents[latents.drug == latents.drug[0]].groupby("subject").choice.apply(lambda part: part.eq(0).mean())
    )
    rows = split.people[(split.people.drug == latents.drug[0]) & (split.people.statistic == "choice")]
    assert rows.set_index("subject").observed.to_dict() == pytest.approx(per_person.to_dict(), abs=1e-6)
    curve = split.curves[split.curves.trial == 1].set_index(["drug", "dx"])["observed"]
    first = latents[latents.trial == latents.trial.min()]
    expected = first.assign(chose=first.choice.eq(0)).groupby(["drug", "dx"])["chose"].mean()
    assert curve.to_dict() == pytest.approx(expected.to_dict(), abs=1e-6)
    assert [axes.get_title() for axes in split.plot().axes][: len(means)] == [", ".join(key) for key in means.index]
    played = pyem.posterior_predictive(fit, draws=2, key=1, task=MODEL.task, design=plain())
    assert played.responses["choice"].shape == (2, TRIALS, PEOPLE * BLOCKS)
    assert pyem.prior_predictive(DESIGN, plain(), draws=2, key=1).params.shape == (2, PEOPLE, 4)


# -- models of models -----------------------------------------------------------------------------------------------------


def test_effects_are_held_at_a_value():
    design = pyem.regress(MODEL, "alpha ~ drug", "beta ~ load")
    held = pyem.fix(design, **{"alpha[drug]": 0.8, "beta[load]": 0.3})
    assert held.bind(plain()).model.names == ("beta", "alpha")
    value = pyem.log_lik(held, plain(), PARAMS[:, [0, 2]])
    np.testing.assert_allclose(value, data().log_lik, atol=1e-9)
    # So are those of a model that was bound to data, and parameters without a formula.
    bound = pyem.fix(design.bind(plain()).model, **{"alpha[drug]": 0.8})
    assert bound.names == ("beta", "beta[load]", "alpha")
    np.testing.assert_allclose(pyem.log_lik(bound, plain(), PARAMS[:, :3]), data().log_lik, atol=1e-9)
    assert pyem.fix(pyem.regress(MODEL, "alpha ~ drug"), beta=5.0).bind(plain()).model.names == ("alpha", "alpha[drug]")


def test_effects_are_equal_to_others():
    two = pyem.models.get("rw2a1b")
    design = pyem.tie(
        pyem.regress(two, "alpha_pos ~ drug", "alpha_neg ~ drug"), **{"alpha_neg[drug]": "alpha_pos[drug]"}
    )
    assert design.bind(plain()).model.names == ("beta", "alpha_pos", "alpha_pos[drug]", "alpha_neg")
    same = pyem.tie(pyem.regress(two, "alpha_pos ~ drug", "alpha_neg ~ drug"), **{"alpha_neg": "alpha_pos"})
    one = pyem.tie(same, **{"alpha_neg[drug]": "alpha_pos[drug]"})
    expected = pyem.log_lik(pyem.regress(MODEL, "alpha ~ drug"), plain(), PARAMS[:, [0, 2, 3]])
    np.testing.assert_allclose(pyem.log_lik(one, plain(), PARAMS[:, [0, 2, 3]]), expected, atol=1e-9)


def test_a_fit_with_a_held_effect_is_saved_and_has_its_marginal_means(tmp_path):
    design = pyem.fix(pyem.regress(MODEL, "alpha ~ drug"), **{"alpha[drug]": 0.8})
    fit = pyem.fit_em(design, plain())
    means = fit.marginal_means("alpha").table()
    assert means["estimate"].to_numpy() == pytest.approx(fit.population.coef[0, 1] + np.array([0.0, 0.8]))
    again = pyem.load(fit.save(tmp_path / "fit.nc"))
    assert again.model == fit.model
    assert again.marginal_means("alpha").table().equals(means)


def test_a_design_may_have_lapses():
    lapsing = pyem.with_lapse(pyem.regress(MODEL, "alpha ~ drug"))
    assert lapsing.bind(plain()).model.names == ("beta", "alpha", "alpha[drug]", "lapse")
    sticky = pyem.with_stickiness(pyem.regress(MODEL, "alpha ~ drug").bind(plain()).model)
    assert sticky.names == ("beta", "alpha", "alpha[drug]", "stickiness")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: pyem.fix(d, **{"alpha[dose]": 0.0}), ValueError, r"no single value 'alpha\[dose\]'"),
        (lambda d: pyem.fix(d, alpha=0.4), pyem.ModelError, "cannot depend on dx"),
        (lambda d: pyem.fix(pyem.regress(MODEL, "alpha ~ 1"), alpha=1.4), ValueError, "outside the range"),
        (lambda d: pyem.tie(d, **{"alpha[drug]": "alpha"}), ValueError, "same range"),
    ],
)
def test_what_cannot_be_held_or_tied_is_told(change, error, message):
    with pytest.raises(error, match=message):
        change(DESIGN).bind(plain())


# -- common to all --------------------------------------------------------------------------------------------------------


def test_what_a_method_cannot_do_with_common_parameters_is_told():
    design = pyem.regress(pyem.fix(MODEL, beta=5.0), "alpha ~ drug + (1 | subject)")
    with pytest.raises(
        ValueError, match=r"alpha\[drug\] would be common to all; use fit_em with integrate='exact', which"
    ):
        pyem.fit_grid(design, plain())
    with pytest.raises(ValueError, match=r"everything is common to all; use fit_nuts, or fit_mle with common="):
        pyem.fit_bayes(MODEL, plain(), group=pyem.Group(common=["beta", "alpha"]))
    with pytest.raises(ValueError, match="boundary_avoiding is not for groups with common parameters"):
        pyem.fit_em(design, plain(), boundary_avoiding=True)


def test_information_criteria_count_a_common_parameter_once():
    fit = pyem.fit_mle(pyem.regress(MODEL, "alpha ~ drug"), plain(), common=["beta", "alpha[drug]"], starts=1)
    assert np.ptp(fit.x[:, [0, 2]], axis=0) == pytest.approx([0, 0])
    # Everybody's alpha, and two values for all.
    parts = -2 * fit.log_lik.sum() + 2 * (PEOPLE + 2)
    assert pyem.aic(fit).total == pytest.approx(parts)
    n = fit.data.n_responses(fit.model)
    bic = pyem.bic(fit).total + 2 * fit.log_lik.sum()
    assert bic == pytest.approx(np.log(n).sum() + 2 * np.log(n.sum()))


@pytest.mark.slow
def test_a_variational_fit_has_common_parameters():
    fit = pyem.fit_svi(pyem.regress(MODEL, "alpha ~ drug + (1 | subject)", common="beta"), plain(), key=1, draws=200)
    assert "not corrected, because of common parameters" in fit.message
    effects = fit.effects()
    assert list(effects.index) == [("beta", "Intercept"), ("alpha", "Intercept"), ("alpha", "drug")]
    assert np.ptp(fit.draws(10, key=0).x[:, :, 0], axis=1) == pytest.approx(0, abs=1e-9)
    assert (effects["se"] > 0).all()
