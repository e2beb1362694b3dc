"""Models of beliefs: published numbers, updates that diverge, and parameters that the data hardly inform."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem.engine.evaluate import log_lik
from pyem.population.posterior import Status
from pyem.results.latents import latents_at
from tests.oracle.case import log_softmax

DATA = Path(__file__).parents[3] / "shared" / "data"
PUBLISHED = pytest.mark.skipif(not DATA.exists(), reason="the published data sets are not beside this checkout")
HGF = pyem.models.get("hgf")
TASK = pyem.task.Contingency((0.9, 0.1, 0.7, 0.3), every=10)
PEOPLE = pyem.simulate(HGF, subjects=5, blocks=2, trials=40, task=TASK, key=1)
TOO_VOLATILE = np.array([6.0, 1.0, 1.0])
"""Unconstrained parameters with which the classic update diverges."""
CORNER = dataclasses.replace(
    HGF, parameters=tuple(dataclasses.replace(one, sd=3.0) for one in HGF.parameters), recipe=()
)
"""The same with a typical population that is so wide that the update diverges for some of it."""


@pytest.fixture(scope="module")
def iglesias():
    outcome = pd.read_csv(DATA / "hgf_binary_inputs.csv").inputs.to_numpy()
    choice = pd.read_csv(DATA / "hgf_binary_actions.csv").actions.to_numpy()
    return pyem.Dataset.from_arrays({"choice": choice[None, None], "outcome": outcome[None, None]})


# -- published numbers --------------------------------------------------------------------------------------------------


@PUBLISHED
@pytest.mark.real_data
def test_the_trajectory_is_the_published_one(iglesias):
    published = pd.read_csv(DATA / "hgf_binary3level_trajectory.csv")
    found = latents_at(pyem.models.get("hgf", sa2_0=1.0), iglesias, np.array([[-2.5, -6.0, 0.0]]))
    names = ["mu2", "mu3", "sa2", "sa3", "muhat1", "muhat2", "muhat3", "sahat1", "sahat2", "sahat3", "v2", "da1", "da2"]
    names += ["w2", "psi2", "psi3", "epsi2", "epsi3"]
    np.testing.assert_allclose(found[names], published[names], atol=5e-5, rtol=0)


@PUBLISHED
@pytest.mark.real_data
def test_the_evidence_and_the_estimates_are_the_published_ones_and_so_are_those_of_learning(iglesias):
    hgf = pyem.fit_map(HGF, iglesias, mean=(-3.0, -6.0, np.log(48)), sd=(4.0, 4.0, 1.0))
    np.testing.assert_allclose(hgf.params[0], [-2.3737, -6.3190, 6.5667], atol=5e-5)
    assert hgf.log_evidence[0] == pytest.approx(-50.4833, abs=5e-5)
    rw = pyem.fit_map(pyem.models.get("rw_belief"), iglesias, mean=(0.0, np.log(48)), sd=(1.0, 1.0))
    # The published zeta is 0.002 lower than the maximum found here, whose evidence is the published one; why is not known.
    np.testing.assert_allclose(rw.params[0], [0.2403, 6.1816], atol=3e-3)
    table = pyem.compare_fits({"hgf": hgf, "rw": rw}, by="lme")
    assert table["lme"].to_dict() == pytest.approx({"hgf": -50.4833, "rw": -50.5652}, abs=1e-3)


# -- inputs alone -------------------------------------------------------------------------------------------------------


def test_bayes_optimal_parameters_surprise_least():
    alone = pyem.models.get("hgf", response="bayes_optimal")
    fit = pyem.fit_map(alone, PEOPLE)
    surprise = fit.latents()["surprise"].groupby(fit.latents()["subject"]).sum()
    np.testing.assert_allclose(-surprise, fit.log_lik, rtol=1e-10)
    prior = lambda x: -0.5 * (((x - alone.typical[0]) / alone.typical[1]) ** 2).sum(-1)  # noqa: E731
    best = fit.log_lik + prior(fit.x)
    for shift in 0.05 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]):
        assert (log_lik(alone, PEOPLE, fit.x + shift) + prior(fit.x + shift) < best).all()


# -- updates without a value --------------------------------------------------------------------------------------------


def test_the_likelihood_is_zero_from_an_update_without_a_value_on_and_others_do_not_notice():
    x = np.tile(HGF.typical[0], (5, 1))
    whole = pyem.engine.evaluate.value_grad_hess(HGF, PEOPLE, x)
    x[2] = TOO_VOLATILE
    value, grad, hess = pyem.engine.evaluate.value_grad_hess(HGF, PEOPLE, x)
    assert value[2] == -np.inf
    assert np.isfinite(grad).all()
    assert np.isfinite(hess).all()
    others = [0, 1, 3, 4]
    for before, after in zip(whole, (value, grad, hess), strict=True):
        np.testing.assert_array_equal(before[others], after[others])
    x[2] = [-1.0, 0.0, 1.0]
    assert log_lik(HGF, PEOPLE, x)[2] == -np.inf
    assert np.isfinite(log_lik(pyem.models.get("hgf", update="ehgf"), PEOPLE, x)).all()


@pytest.mark.parametrize("changed", [pyem.with_lapse, pyem.with_stickiness])
def test_a_model_made_of_it_is_impossible_too(changed):
    model = changed(HGF)
    x = np.array([[*TOO_VOLATILE, 0.0], [*HGF.typical[0], 0.0]])
    value = log_lik(model, PEOPLE.select([2, 3]), x)
    assert value[0] == -np.inf
    assert np.isfinite(value[1])


def test_a_person_whose_update_diverges_has_a_status_that_says_so():
    start = HGF.natural(np.tile(HGF.typical[0], (5, 1)))
    start[2] = HGF.natural(TOO_VOLATILE)
    with pytest.warns(pyem.FitWarning, match=r"2 \(update diverged\)"):
        fit = pyem.fit_mle(HGF, PEOPLE, start=start, starts=1, max_iter=30)
    assert fit.status[2] == Status.DIVERGED
    assert (np.delete(fit.status, 2) != Status.DIVERGED).all()
    assert np.isnan(fit.params[2]).all()
    assert np.isfinite(np.delete(fit.params, 2, axis=0)).all()
    assert any("2 (update diverged)" in text for text in fit.problems())
    with pytest.raises(pyem.ModelError, match=r"diverges for all 5 subjects where the search starts.*update='ehgf'"):
        pyem.fit_mle(HGF, PEOPLE, start=np.tile(HGF.natural(TOO_VOLATILE), (5, 1)), starts=1, max_iter=30)


@pytest.mark.slow
def test_check_says_from_where_on_an_update_diverges():
    report = pyem.check(CORNER, PEOPLE)
    detail = {rung.name: rung.detail for rung in report.rungs}["gradient"]
    assert "the update diverges (likelihood zero) for" in detail
    assert "subjects where omega2 passes" in detail
    assert "jumps" not in str(report)


def test_check_says_that_an_update_diverges_where_fits_start():
    moved = tuple(
        dataclasses.replace(one, mean=mean, sd=1.0)
        for one, mean in zip(HGF.parameters, TOO_VOLATILE.tolist(), strict=True)
    )
    worse = str(pyem.check(dataclasses.replace(HGF, parameters=moved, recipe=()), PEOPLE))
    assert "FAIL value" in worse
    assert "the update diverges at typical parameters, on trial " in worse


def test_check_finds_states_that_are_not_finite_without_being_told():
    def update(p, q, trial):
        return q / jnp.where(q > 40 * p.scale, 0.0, 1.0) + p.scale, {}

    import jax.numpy as jnp

    scale = pyem.Parameter("scale", pyem.Positive(), "how fast it grows")
    model = pyem.Model(
        "grows",
        (scale,),
        lambda p, q, trial: pyem.Categorical(jnp.stack([q, 0.0 * q])),
        init=lambda p: jnp.zeros(()),
        update=update,
        options=2,
    )
    assert pyem.check(model, PEOPLE)
    quick = dataclasses.replace(
        model, update=lambda p, q, trial: (q / jnp.where(q > 9 * p.scale, 0.0, 1.0) + p.scale, {})
    )
    assert "diverges at typical parameters, on trial " in str(pyem.check(quick, PEOPLE))


# -- what the data hardly inform ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_em_on_a_flat_parameter_stops_by_the_evidence_and_says_that_the_data_do_not_inform_it():
    """What a nearly flat level 3 gives: evidence that stands still while a mean, or an sd, drifts."""
    people = pyem.simulate(HGF, subjects=12, trials=80, task=TASK, key=3)
    with pytest.warns(pyem.FitWarning, match="hardly tell people apart in omega3"):
        fit = pyem.fit_em(HGF, people)
    assert fit.converged
    assert "log evidence stayed the same" in fit.message
    assert any("hardly tell people apart in omega3" in text for text in fit.problems())
    with pytest.warns(pyem.FitWarning, match=r"these data hardly inform omega3.*pyem\.fix\(model, omega3=-6\)"):
        held = pyem.fit_em(HGF, people, group=pyem.Group(sd={"omega3": 1.0}))
    assert held.converged
    assert not any("inform omega2" in text or "inform zeta" in text for text in held.problems())


# -- options ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hgf", {"levels": 4}, "2 or 3"),
        ("hgf", {"update": "new"}, "'classic' or 'ehgf'"),
        ("hgf", {"response": "loud"}, "'unit_square', 'softmax'"),
        ("hgf", {"sa2_0": -1.0}, r"sa2_0=-1 is outside the range \(0, inf\)"),
        ("hgf_continuous", {"response": "loud"}, "'gaussian' or 'bayes_optimal'"),
        ("change_point", {"noise": -1.0}, "standard deviation above 0"),
        ("change_point", {"limits": (1.0, 0.0)}, r"limits=\(0, 300\)"),
        ("hmm_reversal", {"options": 1}, "at least 2"),
    ],
)
def test_options_that_mean_nothing_are_errors(name, options, message):
    with pytest.raises(ValueError, match=message):
        pyem.models.get(name, **options)


def test_units_of_predictions_set_where_fits_start():
    small = pyem.simulate(pyem.models.get("change_point"), subjects=3, trials=60, key=2)
    large = dataclasses.replace(small, fields={name: 300 * values for name, values in small.fields.items()})
    mean = [pyem.engine.scale.scaled(pyem.models.get("change_point"), one).typical[0] for one in (small, large)]
    np.testing.assert_allclose(mean[1] - mean[0], [0.0, np.log(300), 0.0, np.log(300)], rtol=1e-10)
    model = pyem.models.get("change_point", limits=(0, 300))
    assert model.natural(model.typical[0])[1] == pytest.approx(300 * np.exp(-2.3))


def test_a_belief_of_many_ponds_is_that_of_bayes_rule():
    model = pyem.models.get("bayes", ponds=6)
    seen = np.array([5, 5, 2])
    data = pyem.Dataset.from_arrays({"observation": seen[None, None], "choice": seen[None, None]})
    own = np.log(0.7 / (0.3 / 5))
    expected = sum(
        log_softmax([own * int((seen[: t + 1] == pond).sum()) for pond in range(6)])[seen[t]] for t in range(3)
    )
    assert pyem.log_lik(model, data, [[0.7]])[0] == pytest.approx(expected, rel=1e-10)
