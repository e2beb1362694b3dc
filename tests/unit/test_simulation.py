"""Simulated people: what is random and what is not, missed responses, and what is refused."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import numpyro.distributions
import pytest

import pyem
from pyem import Model, Normal, Parameter, models
from pyem.engine import log_lik
from pyem.numerics.rng import as_key
from pyem.task.bandits import Bandit, DriftingBandit
from pyem.task.social import PairedBandit

MODEL = models.get("rw1a1b")
PARAMS = np.array([[3.0, 0.3], [5.0, 0.6], [1.0, 0.1]])


def play(key=1, **how):
    return pyem.simulate(MODEL, PARAMS, key=key, blocks=2, trials=30, **how)


def same(one, other):
    return all(np.array_equal(one.fields[name], other.fields[name]) for name in one.fields)


# -- what comes out -----------------------------------------------------------------------------------------------------


def test_people_blocks_and_trials_are_as_asked():
    data = play(covariates={"age": [20, 30, 40]})
    assert (data.n_subjects, data.n_lanes, data.n_trials) == (3, 6, 180)
    np.testing.assert_array_equal(data.lane_subject, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(data.lane_block, [0, 1] * 3)
    np.testing.assert_array_equal(data.covariates["age"], [20.0, 30.0, 40.0])
    np.testing.assert_allclose(data.true_params, PARAMS, rtol=1e-12)
    assert set(data.fields) == {"choice", "reward"}
    assert data.fields["choice"].shape == (30, 6)


def test_the_key_decides_everything():
    data = play(key=1)
    assert same(data, play(key=1))
    assert same(data, play(key=jax.random.key(1)))
    assert same(data, play(key=np.int64(1)))
    assert same(data, play(key=jax.random.PRNGKey(1)))
    assert not same(data, play(key=2))


def test_nobody_repeats_anybody():
    data = pyem.simulate(MODEL, np.repeat(PARAMS[:1], 3, axis=0), key=1, blocks=2, trials=30)
    for array in data.fields.values():
        assert len(np.unique(array, axis=1).T) == 6


def test_people_without_given_parameters_are_typical():
    model = models.get("rwck")
    data = pyem.simulate(model, key=3, subjects=400, trials=2)
    mean, sd = model.typical
    z = (data.truth - mean) / sd
    assert np.abs(z.mean(0)).max() < 4 / np.sqrt(400)
    np.testing.assert_allclose(z.std(0), 1.0, atol=0.15)
    assert np.array_equal(data.truth, pyem.simulate(model, key=3, subjects=400, trials=2).truth)
    assert not np.array_equal(data.truth, pyem.simulate(model, key=4, subjects=400, trials=2).truth)


def test_a_block_starts_afresh():
    # Someone who repeats what paid best would never leave the first option again, had it stayed in mind.
    data = pyem.simulate(MODEL, [[19.9, 0.99]] * 200, key=5, blocks=2, trials=30, task=Bandit((1.0, 0.0)))
    first = data.fields["choice"][0].reshape(200, 2)
    assert (data.fields["choice"][-1] == 0).mean() > 0.95
    for block in (0, 1):
        assert 70 < first[:, block].sum() < 130


def test_the_log_likelihood_at_the_first_trial_is_that_of_a_coin():
    data = pyem.simulate(MODEL, PARAMS, key=1, trials=1)
    np.testing.assert_allclose(data.log_lik, np.log(0.5), rtol=1e-14)


def test_selected_people_keep_their_truth():
    data = play()
    some = data.select([2, 0])
    np.testing.assert_array_equal(some.truth, data.truth[[2, 0]])
    np.testing.assert_array_equal(some.log_lik, data.log_lik[[2, 0]])
    np.testing.assert_array_equal(some.fields["choice"], data.fields["choice"][:, [4, 5, 0, 1]])


# -- missed responses ---------------------------------------------------------------------------------------------------


def test_missed_responses_are_as_frequent_as_asked():
    data = pyem.simulate(MODEL, np.repeat(PARAMS, 20, axis=0), key=6, blocks=2, trials=30, missed=0.25)
    here = data.present["choice"]
    assert abs(here.mean() - 0.75) < 4 * np.sqrt(0.25 * 0.75 / here.size)
    assert data.present["reward"].all()
    assert data.valid.all()
    np.testing.assert_array_equal(data.n_responses(MODEL), here.sum(0).reshape(-1, 2).sum(1))


def test_no_response_is_missed_unless_asked():
    assert play().present["choice"].all()


def test_a_missed_trial_teaches_nothing():
    # One good option and certain learning: after the first answered trial people know it all, but not before.
    task = Bandit((1.0, 1.0))
    data = pyem.simulate(MODEL, [[19.9, 0.99]] * 300, key=7, trials=12, missed=0.6, task=task)
    chosen, here = data.fields["choice"], data.present["choice"]
    before = here.cumsum(0) - here
    knows_nothing, knows = before == 0, before >= 1
    assert 0.4 < chosen[knows_nothing].mean() < 0.6
    first = chosen[here.argmax(0), np.arange(300)]
    again = (chosen == first)[knows & here.any(0)]
    assert again.mean() > 0.99


def counted(p, state, trial):
    return {"y": Normal(1000.0 * state, 0.1), "z": Normal(p.b, 1.0)}


COUNTED = Model(
    "counted",
    (Parameter("b"),),
    counted,
    init=lambda p: 0.0,
    update=lambda p, n, trial: (n + 1, {}),
    responses=("y", "z"),
)
"""Its first response says how often it has learned."""


def test_with_one_response_missed_people_learn_nothing_however_they_are_simulated():
    z = np.array([[[0.1, 0.2, np.nan, np.nan, 0.3, 0.4]]])
    fit = pyem.fit_map(COUNTED, pyem.Dataset.from_arrays({"y": 1000.0 * np.arange(6)[None, None], "z": z}))
    for how in ({}, {"payoffs": {}}):
        predicted = pyem.posterior_predictive(fit, draws=2, key=1, **how)
        times = (predicted.responses["y"][:, :, 0] / 1000).round()
        np.testing.assert_array_equal(times, [[0, 1, 2, 2, 2, 3]] * 2)


@dataclasses.dataclass(frozen=True)
class Counting:
    """Small whole numbers of 32 bits are shown."""

    def init(self, key):
        return ()

    def present(self, state, key):
        return {"n": jax.random.randint(key, (), 20, 40, dtype=np.int32)}

    def respond(self, state, trial, key):
        return state, {}


def test_a_simulated_count_has_the_probability_that_the_likelihood_says():
    binomial = lambda p, state, trial: numpyro.distributions.Binomial(trial.n, logits=p.b + 0.1)  # noqa: E731
    model = Model("sum", (Parameter("b"),), binomial, responses=("y",), inputs=("n",), task=Counting())
    data = pyem.simulate(model, subjects=4, trials=30, key=1)
    np.testing.assert_allclose(log_lik(model, data, data.truth), data.log_lik, rtol=1e-13)


# -- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"blocks": 0}, {"trials": 0}, {"missed": 1.0}, {"missed": -0.1}, {"trials": -5}])
def test_numbers_that_make_no_sense(how):
    with pytest.raises(ValueError, match="at least one of each, and 0 <= missed < 1"):
        pyem.simulate(MODEL, PARAMS, key=1, **how)


@pytest.mark.parametrize("subjects", [None, 0, -2])
def test_nobody_to_simulate(subjects):
    with pytest.raises(ValueError, match="say how many people to simulate, or give their params"):
        pyem.simulate(MODEL, key=1, subjects=subjects)


def test_another_number_of_people_than_of_parameters():
    with pytest.raises(ValueError, match="subjects=4, but params has 3 rows; leave subjects out"):
        pyem.simulate(MODEL, PARAMS, key=1, subjects=4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([[3.0, 1.2]], "alpha = 1.2 is outside the open range"),
        ([[3.0, 1.0]], "alpha = 1 is outside the open range"),
        ([[25.0, 0.5]], "beta = 25 is outside the open range"),
        ([[np.nan, 0.5]], "beta = nan is outside the open range"),
        ([[3.0, 0.5, 0.5]], "'rw1a1b' has 2 parameters, but was given 3 values"),
        ([3.0, 0.5], r"params has shape \(2,\); expected \(subjects, 2 parameters\)"),
    ],
)
def test_parameters_that_cannot_be(params, message):
    with pytest.raises(ValueError, match=message):
        pyem.simulate(MODEL, params, key=1)


@pytest.mark.parametrize("key", [True, 1.0, "one", None, np.zeros(3)])
def test_a_key_that_is_none(key):
    with pytest.raises(TypeError, match="key must be a whole number or a JAX random key"):
        as_key(key)


def test_the_key_must_be_given():
    with pytest.raises(TypeError, match="key"):
        pyem.simulate(MODEL, PARAMS)  # type: ignore[call-arg]


@pytest.mark.parametrize("task", [Bandit((0.8, 0.2, 0.2)), DriftingBandit(4)])
def test_a_task_with_another_number_of_options(task):
    with pytest.raises(
        ValueError, match=rf"has {task.n_options} options, but model 'rw1a1b' chooses among 2; give a task"
    ):
        play(task=task)


def test_a_task_for_another_model():
    with pytest.raises(pyem.ModelError, match="learns from 'reward', but its task PairedBandit answers with outcome_"):
        play(task=PairedBandit())


def test_a_task_that_does_not_show_what_a_model_is_shown():
    shown = dataclasses.replace(MODEL, name="shown", inputs=("available",))
    with pytest.raises(
        pyem.ModelError, match="shown 'available' before the response, but its task Bandit shows nothing"
    ):
        pyem.simulate(shown, PARAMS, key=1, task=Bandit())


def test_a_model_without_a_task():
    model = pyem.Model("taskless", MODEL.parameters, MODEL.policy, init=MODEL.init)
    with pytest.raises(ValueError, match="model 'taskless' has no task, so it cannot be simulated"):
        pyem.simulate(model, PARAMS, key=1)


def test_a_model_without_a_policy():
    model = pyem.Model("whole", MODEL.parameters, log_likelihood=lambda p, trials: 0.0)
    with pytest.raises(ValueError, match="model 'whole' has no policy, so it cannot be simulated"):
        pyem.simulate(model, PARAMS, key=1, task=Bandit())


def test_a_covariate_of_another_length():
    with pytest.raises(ValueError, match=r"covariate 'age' has shape \(2,\), but there are 3 subjects"):
        play(covariates={"age": [20, 30]})
