"""A choice and its response time as one joint response: missing times, outliers, deadlines, units, learning and deciding."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pyem
from pyem import Dataset, Wiener, models
from pyem.engine import evaluate
from pyem.engine.regress import on_data
from pyem.engine.scale import scaled
from pyem.engine.validate import validate
from pyem.model.distribution import option_count
from pyem.model.rollout import rollout
from pyem.model.times import outliers
from pyem.model.times.deadline import Deadline, GoNoGo
from pyem.model.times.outliers import WithOutliers
from pyem.results.identity import on_scale, scale_of
from pyem.study.fast_trials import faster_than_typical, outlier_note

TRUE = np.array([[0.8, 1.4, 0.45, 0.3], [1.6, 1.8, 0.55, 0.25]])


@pytest.fixture(scope="module")
def simulated() -> pyem.Simulation:
    return pyem.simulate(models.get("ddm"), TRUE, key=3, trials=200)


def test_a_pair_is_written_one_after_another():
    model = models.get("ddm")
    assert (model.responses, model.joint, model.optional) == (("choice", "rt"), (("choice", "rt"),), ("rt",))
    assert dataclasses.replace(model) == model
    assert model.columns == ("choice", "rt")


@pytest.mark.parametrize(
    ("name", "options"),
    [("ddm", {}), ("ddm_gonogo", {}), ("lnr", {"options": 3, "deadline": 1.0}), ("ddm", {"p_outlier": 0.05})],
)
def test_logits_of_a_pair_are_not_worked_out_where_only_their_number_is_asked_for(name, options, monkeypatch):
    model = models.get(name, **options)
    data = Dataset.from_arrays({"choice": np.ones((2, 1, 5), int), "rt": np.full((2, 1, 5), 0.7)})
    policy = model.policy(model.record(jnp.asarray(model.typical[0])), (), {"choice": 0, "rt": 0.5})  # type: ignore[misc]
    kinds = {type(policy), type(getattr(policy, "base", policy))}
    assert option_count(policy) == policy.logits.shape[-1]
    for kind in kinds:
        monkeypatch.setattr(kind, "logits", property(lambda _: pytest.fail("logits were worked out")))
    counted = jax.make_jaxpr(lambda x: rollout(model, x, data.trials(model)))(np.tile(model.typical[0], (2, 1)).T)
    assert counted.out_avals[0].shape == (2,)


def test_a_pair_counts_as_a_whole_and_the_choice_alone_where_the_time_is_missing(simulated):
    here = {"choice": simulated.present["choice"], "rt": simulated.present["rt"].copy()}
    here["rt"][:50] = False
    partly = dataclasses.replace(simulated, present=here)
    model = models.get("ddm")
    found = evaluate.trial_values(model, partly, simulated.truth)["log_lik"]
    with jax.enable_x64(True):
        dist = Wiener(*TRUE.T)
        choice, rt = (jnp.asarray(simulated.fields[name]) for name in ("choice", "rt"))
        both = np.asarray(jax.jit(dist.log_prob)((choice, rt)))
        alone = np.asarray(jnp.where(choice == 1, dist.logits[:, 1], dist.logits[:, 0]))
    np.testing.assert_allclose(found[50:], both[50:], rtol=1e-10)
    np.testing.assert_allclose(found[:50], alone[:50], rtol=1e-10)
    assert (partly.n_responses(model) == 200).all()


def test_simulated_choices_and_times_are_those_of_one_process(simulated):
    for person, at in enumerate(TRUE):
        choice, rt = simulated.fields["choice"][:, person], simulated.fields["rt"][:, person]
        assert (rt > at[3]).all()
        p = float(np.exp(Wiener(*at).logits[1]))
        assert abs(choice.mean() - p) < 4 * np.sqrt(p * (1 - p) / 200)


def test_milliseconds_and_times_that_are_none_are_refused():
    frame = pd.DataFrame({"id": [1] * 4, "choice": [0, 1, 1, 0], "rt": [650.0, 812.0, 544.0, 1203.0]})
    read = lambda frame: Dataset.from_frame(frame, subject="id", columns={"choice": "choice", "rt": "rt"})  # noqa: E731
    with pytest.raises(pyem.DataError, match=r"divide them by 1000: frame\['rt'\] / 1000"):
        pyem.fit_map(models.get("ddm"), read(frame))
    with pytest.raises(pyem.DataError, match=r"0 for subject 1.*above 0; leave the cell empty"):
        pyem.fit_map(models.get("ddm"), read(frame.assign(rt=[0.6, 0.0, 0.7, 0.8])))
    # One person of several, and one block of a person, whose times the median of all hides.
    seconds = [pd.DataFrame({"id": k, "choice": [0, 1, 1, 0], "rt": [0.65, 0.81, 0.54, 1.2]}) for k in (2, 3)]
    with pytest.raises(
        pyem.DataError, match=r"median of 731 in a block of subject 1 \(1 subject in all\).*those rows by 1000"
    ):
        pyem.fit_map(models.get("ddm"), read(pd.concat([*seconds, frame])))
    mixed = pd.concat([part.assign(id=1, part=k) for k, part in enumerate([*seconds, frame])])
    blocks = Dataset.from_frame(mixed, subject="id", block="part", columns={"choice": "choice", "rt": "rt"})
    with pytest.raises(pyem.DataError, match="in a block of subject 1"):
        pyem.fit_map(models.get("ddm"), blocks)
    # A single response that took long is none of these.
    slow = read(pd.concat([*seconds, frame.assign(rt=[0.65, 0.8, 0.5, 90.0])]))
    assert pyem.fit_map(models.get("ddm"), slow).converged


def test_single_milliseconds_among_seconds_are_told_of(recwarn):
    """With the row and the remedy, whoever the person; what took long, but would be no time of a decision, is not."""
    rng = np.random.default_rng(0)
    shape = (2, 2, 30)
    fields = {"choice": rng.integers(0, 2, shape), "rt": rng.uniform(0.4, 1.6, shape)}
    slow = {**fields, "rt": fields["rt"].copy()}
    # A break of a minute and a half, and a marker of what was not answered.
    slow["rt"][0, 0, 3], slow["rt"][1, 0, 5] = 90.0, 9999.0
    validate(models.get("ddm"), Dataset.from_arrays(slow, subjects=["a", "b"]))
    assert not recwarn.list
    slow["rt"][1, 1, 6] = 732.0
    data = Dataset.from_arrays(slow, subjects=["a", "b"])
    said = "'rt' has 732 for subject 'b' on trial 7 of block 1 \\(1 such response in all\\).*write 0.732.*leave the cell empty"
    with pytest.warns(pyem.FitWarning, match=said):
        validate(models.get("ddm"), data)
    # Once for the data of a model.
    recwarn.clear()
    validate(models.get("ddm"), data)
    assert not recwarn.list


def test_what_is_not_what_it_should_be_is_said():
    bare = dataclasses.replace(models.get("ddm"), name="bare", policy=lambda p, state, trial: pyem.Normal(p.v, p.a))
    data = pyem.simulate(models.get("ddm"), TRUE, key=3, trials=4)
    with pytest.raises(pyem.ModelError, match="one distribution of the pair"):
        pyem.fit_map(bare, data)
    with pytest.raises(ValueError, match="two options with one inverse temperature"):
        pyem.with_decision(models.get("ddm"))
    with pytest.raises(ValueError, match="formulas come after"):
        pyem.with_decision(pyem.regress(models.get("rw1a1b"), "beta ~ load"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="choose 'ddm'"):
        pyem.with_decision(models.get("rw1a1b"), "lbs")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"with_decision\(with_stickiness"):
        pyem.with_stickiness(models.get("ddm"))
    for bad in ({"p_outlier": 1.0}, {"deadline": -1.0}, {"coding": "side"}):
        with pytest.raises(ValueError, match=str(next(iter(bad)))):
            models.get("ddm", **bad)


density = jax.jit(lambda dist, choice, rt: jnp.exp(dist.log_prob((choice, rt))))
logits = jax.jit(lambda dist: dist.logits)
TIMES, WEIGHTS = np.polynomial.legendre.leggauss(400)


def test_outliers_deadlines_and_go_no_go_are_distributions():
    base, end = Wiener(1.0, 1.5, 0.4, 0.3), 1.2
    with jax.enable_x64(True):
        up_to = lambda last: (0.3 + (TIMES + 1) / 2 * (last - 0.3), WEIGHTS * (last - 0.3) / 2)  # noqa: E731
        rt, weight = up_to(end)
        late = Deadline(base, end)
        made = [float(weight @ density(late, c, rt)) for c in (0, 1)]
        np.testing.assert_allclose([*made, density(late, 2, rt)[0]], np.exp(logits(late)), atol=1e-8)
        assert abs(np.exp(logits(late)).sum() - 1) < 1e-12
        going = GoNoGo(base, end)
        np.testing.assert_allclose([1 - made[1], made[1]], np.exp(logits(going)), atol=1e-8)
        assert abs(float(density(going, 0, 9.0)) - float(np.exp(logits(going))[0])) < 1e-15
        mixed = WithOutliers(base, 0.1)
        rt, weight = up_to(10.0)
        mass = sum(float(weight @ density(mixed, c, rt)) for c in (0, 1))
        assert abs(mass + 0.1 * 0.03 - 1) < 1e-6
        assert abs(np.exp(logits(mixed)).sum() - 1) < 1e-12
        # No response in time is one of those that an outlier may be; the others come by the deadline, some before 0.3 s.
        rt, weight = up_to(end)
        for dist, timed, untimed in ((late, (0, 1), 2), (going, (1,), 0)):
            both = outliers.mixed(dist, 0.1, end)
            options = len(timed) + 1
            early = 0.1 / options * 0.3 / end
            mass = [float(weight @ density(both, c, rt)) + early for c in timed]
            np.testing.assert_allclose(mass, np.exp(logits(both))[list(timed)], atol=1e-7)
            assert abs(float(density(both, untimed, rt)[0]) - float(np.exp(logits(both))[untimed])) < 1e-12


@pytest.mark.slow
def test_outliers_deadlines_and_go_no_go_are_drawn_as_often_as_their_probability():
    base = Wiener(1.0, 1.5, 0.4, 0.3)
    with jax.enable_x64(True):
        for dist, options in ((Deadline(base, 1.2), 3), (GoNoGo(base, 1.2), 2), (WithOutliers(base, 0.1), 2)):
            drawn = jax.jit(jax.vmap(dist.sample))(jax.random.split(jax.random.key(1), 1000))
            share = np.bincount(np.asarray(drawn[0]), minlength=options) / 1000
            np.testing.assert_allclose(share, np.exp(dist.logits), atol=0.05)


def test_a_lapse_of_a_pair_is_an_outlier(simulated):
    lapsing = pyem.with_lapse(models.get("ddm"))
    params = np.c_[TRUE, [0.05, 0.05]]
    found = pyem.log_lik(lapsing, simulated, params)
    np.testing.assert_allclose(found, pyem.log_lik(models.get("ddm", p_outlier=0.05), simulated, TRUE), rtol=1e-12)


def test_outliers_come_up_to_the_deadline_the_latest_response_or_what_is_said(simulated):
    latest = float(simulated.fields["rt"].max())
    model = models.get("ddm", p_outlier=0.05)
    told = lambda model: (scaled(model, simulated).longest_outlier, outlier_note(model))  # noqa: E731
    assert told(model) == (latest, "outliers are any response at any time up to 10 s (longest_outlier)")
    assert told(models.get("ddm", p_outlier=0.05, longest_outlier=4))[0] == 4.0
    assert told(models.get("lba", p_outlier="free", deadline=2.0))[0] == 2.0
    assert told(pyem.with_lapse(models.get("ddm", deadline=2.0)))[0] == 2.0
    assert told(models.get("ddm")) == (None, "")
    learner = pyem.with_decision(models.get("rw1a1b"), p_outlier=0.05, longest_outlier=3.0)
    assert learner.longest_outlier == 3.0
    # An impossible response has the density of outliers only: a twentieth, spread over two options and the time.
    early = Dataset.from_arrays({"choice": [[[1, 0, 1]]], "rt": [[[0.1, 4.0, 0.7]]]})
    found = evaluate.trial_values(scaled(model, early), early, np.zeros((1, 4)))["log_lik"][0, 0]
    np.testing.assert_allclose(np.exp(found), 0.05 / 2 / 4.0, rtol=1e-10)
    designed = pyem.regress(model, "v ~ half")
    fields = {"choice": [[[1, 0, 1]], [[0, 1, 1]]], "rt": [[[0.1, 4.0, 0.7]], [[0.5, 0.4, 0.7]]]}
    halves = Dataset.from_arrays(fields | {"half": [[[0, 1, 0]], [[1, 0, 1]]]})
    assert on_data(designed, halves)[0].longest_outlier == 4.0


@pytest.mark.parametrize(
    ("made", "untimed"),
    [
        (lambda: models.get("ddm", deadline=1.0), 2),
        (lambda: models.get("ddm_gonogo", deadline=1.0), 0),
        (lambda: models.get("lnr", options=3, deadline=1.0), 3),
        (lambda: pyem.with_lapse(models.get("ddm", deadline=1.0, p_outlier=0.05)), 2),
        (lambda: pyem.regress(models.get("ddm", deadline=1.0), "v ~ half"), 2),
    ],
)
def test_a_response_after_the_deadline_is_named(made, untimed):
    """Its density would be that of a model without a deadline, and all densities would add to more than 1."""
    model, half = made(), np.zeros((2, 1, 3))
    half[:, 0, 1:] = 1.0
    choice, rt = [[[0, untimed, 1]], [[1, 1, 1]]], [[[0.5, 1.7, 1.0]], [[0.7, 1.4, 1.2]]]
    late = Dataset.from_arrays({"choice": choice, "rt": rt, "half": half}, subjects=["a", "b"])
    said = rf"column 'rt' has 1.4 for subject 'b' on trial 2 \(2 such .*deadline of 1 s.*'choice' with code {untimed}"
    with pytest.raises(pyem.DataError, match=said):
        validate(*on_data(model, late))
    rt[1][0] = [0.7, np.nan, 0.9]
    timely = Dataset.from_arrays({"choice": choice, "rt": rt, "half": half}, subjects=["a", "b"])
    validate(*on_data(model, timely))


def test_response_times_that_are_all_missing_are_told_of(recwarn):
    data = Dataset.from_arrays({"choice": [[[1, 0, 1]]], "rt": np.full((1, 1, 3), np.nan)})
    with pytest.warns(pyem.FitWarning, match=r"column 'rt' is empty on all trials.*a model of choices"):
        validate(models.get("ddm"), data)
    recwarn.clear()
    validate(models.get("ddm"), Dataset.from_arrays({"choice": [[[1, 0, 1]]], "rt": [[[np.nan, np.nan, 0.5]]]}))
    assert not recwarn


def test_where_outliers_end_is_refused_where_it_means_nothing():
    with pytest.raises(ValueError, match=r"longest_outlier=4 is for models with outliers; give p_outlier"):
        models.get("ddm", longest_outlier=4)
    with pytest.raises(ValueError, match=r"longest_outlier=4 is after the deadline, 2"):
        models.get("rdm", p_outlier=0.05, longest_outlier=4, deadline=2.0)
    for bad in (0.0, np.inf, "late"):
        with pytest.raises(ValueError, match=r"longest_outlier=.*seconds since the stimulus"):
            models.get("ddm_gonogo", p_outlier=0.05, longest_outlier=bad)


def test_files_of_before_there_was_a_choice_have_outliers_up_to_ten_seconds():
    model = models.get("ddm", p_outlier=0.05)
    known = dataclasses.replace(model, longest_outlier=2.5)
    assert on_scale(model, scale_of(known)) == known
    old = {name: value for name, value in scale_of(known).items() if name != "longest_outlier"}
    assert on_scale(model, old).longest_outlier == 10.0
    assert on_scale(models.get("ddm"), old) == models.get("ddm")


def test_learning_and_deciding_is_the_diffusion_of_the_values():
    learner = pyem.with_decision(models.get("rw1a1b"))
    assert learner.names == ("v", "alpha", "a", "z", "t")
    fields = {"choice": [[[1, 0, 1]]], "reward": [[[1.0, 0.0, 1.0]]], "rt": [[[0.7, np.nan, 0.9]]]}
    data = Dataset.from_arrays(fields)
    found = pyem.log_lik(learner, data, [3.0, 0.4, 1.5, 0.5, 0.2])[0]
    q, total = np.full(2, 0.5), 0.0
    for choice, reward, rt in zip(*(np.ravel(fields[name]) for name in ("choice", "reward", "rt")), strict=True):
        with jax.enable_x64(True):
            dist = Wiener(3.0 * (q[1] - q[0]), 1.5, 0.5, 0.2)
            total += float(dist.logits[int(choice)] if np.isnan(rt) else np.log(density(dist, int(choice), rt)))
        q[int(choice)] += 0.4 * (reward - q[int(choice)])
    assert abs(found - total) < 1e-10


@pytest.mark.slow
def test_fits_from_default_starts_find_what_made_the_data_and_are_saved(tmp_path):
    model = models.get("ddm")
    data = pyem.simulate(model, subjects=30, trials=200, key=5)
    fit = pyem.fit_em(model, data)
    assert fit.converged
    true = data.true_params
    for k in range(4):
        assert np.corrcoef(true[:, k], fit.params[:, k])[0, 1] > 0.8
    fit.save(tmp_path / "fit.h5")
    np.testing.assert_array_equal(pyem.load(tmp_path / "fit.h5").x, fit.x)
    assert pyem.check(model, data)
    predicted = pyem.posterior_predictive(fit, draws=5, key=1)
    assert (predicted.responses["rt"] > 0).all()


@pytest.mark.slow
def test_posteriors_of_the_diffusion_model_are_calibrated():
    """Simulation-based calibration (Talts et al., 2018): the truth has any rank among draws. The false-alarm rate is .001."""
    model = models.get("ddm")
    data = pyem.simulate(model, subjects=200, trials=60, key=11)
    mean, sd = model.typical
    fit = pyem.fit_bayes(model, data, group=None, mean=mean, sd=sd)
    rank = (fit.draws(200, key=1).x < data.truth).mean(0)
    for k in range(model.n_params):
        assert stats.kstest(rank[:, k], "uniform").pvalue > 1e-3 / model.n_params


def test_check_names_the_trial_that_is_faster_than_people_are():
    fields = {"choice": [[[1, 0]], [[1, 1]]], "rt": [[[0.7, 0.5]], [[0.9, 0.12]]]}
    said = faster_than_typical(models.get("ddm"), Dataset.from_arrays(fields, subjects=["a", "b"]))
    assert "the fastest 0.12 s of subject 'b' on trial 2" in said
    assert not faster_than_typical(models.get("ddm"), Dataset.from_arrays({"choice": [[[1]]], "rt": [[[0.5]]]}))
    assert not faster_than_typical(models.get("rw1a1b"), Dataset.from_arrays(fields))
