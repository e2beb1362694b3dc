"""`check`: each rung of the ladder has a model that falls from it, and a message that says what to do."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions
import pytest

import pyem
from pyem import Categorical, Dataset, Interval, Model, Parameter, models
from pyem.models import learning as rl
from pyem.study import dry_runs

RUNGS = [name for name, _ in dry_runs._LADDER]
GOOD = models.get("rw1a1b")
RNG = np.random.default_rng(50)
DATA = Dataset.from_arrays({"choice": RNG.integers(2, size=(3, 2, 12)), "reward": RNG.integers(2, size=(3, 2, 12))})


def model(**changes):
    """The Rescorla-Wagner model with something wrong."""
    return dataclasses.replace(GOOD, **{"name": "wrong", **changes})


def fails_at(rung, wrong, data=DATA):
    """The message of the rung that `wrong` falls from, which must be `rung`."""
    report = pyem.check(wrong, data)
    assert not report
    assert [r.name for r in report.rungs] == RUNGS[: RUNGS.index(rung) + 1], str(report)
    assert [r.passed for r in report.rungs] == [True] * RUNGS.index(rung) + [False]
    assert f"FAIL {rung}: {report.rungs[-1].detail}" in str(report)
    return report.rungs[-1].detail


def test_a_good_model_climbs_to_the_top():
    report = pyem.check(GOOD, DATA)
    assert report
    assert [r.name for r in report.rungs] == RUNGS
    assert set(RUNGS) == {"shapes", "value", "gradient", "purity", "simulation"}
    assert str(report).startswith("check of rw1a1b\nok   shapes: columns choice, reward; parameters beta, alpha\n")


# -- shapes -------------------------------------------------------------------------------------------------------------


def test_a_column_that_the_data_lack():
    message = fails_at("shapes", model(outcomes=("points",)))
    assert "needs the column 'points'; the data has 'choice', 'reward'" in message


def test_more_codes_than_options():
    data = Dataset.from_arrays({"choice": RNG.integers(3, size=(3, 2, 12)), "reward": np.ones((3, 2, 12))})
    assert "column 'choice' has code 2 for subject" in fails_at("shapes", GOOD, data)


def test_more_codes_than_options_of_a_second_response():
    both = lambda p, state, trial: {k: Categorical(p.b * np.arange(2)) for k in ("choice", "second")}  # noqa: E731
    twofold = Model("both", (Parameter("b"),), both, options=2, responses=("choice", "second"))
    data = Dataset.from_arrays({"choice": [[[0, 1]]], "second": [[[1, 2]]]})
    message = fails_at("shapes", twofold, data)
    assert "column 'second' has code 2 for subject 0, but model 'both' has 2 options" in message


def test_codes_of_vectors():
    pair = lambda p, state, trial: numpyro.distributions.Categorical(logits=p.b * jnp.eye(2)).to_event(1)  # noqa: E731
    twice = Model("twice", (Parameter("b"),), pair, options=2)
    data = Dataset.from_arrays({"choice": RNG.integers(2, size=(3, 2, 12, 2))})
    assert pyem.check(twice, data)
    data.fields["choice"][4, 1, 3] = 2
    message = fails_at(
        "shapes", twice, Dataset.from_arrays({"choice": np.moveaxis(data.fields["choice"], -1, 0)[:, None]})
    )
    assert "column 'choice' has code 2 for subject 3, but model 'twice' has 2 options" in message


def test_codes_of_inputs_out_of_range():
    paired = models.get("rw4a1b")
    fields = {name: np.zeros((2, 1, 4), int) for name in paired.columns}
    fields["option_right"][1, 0, 2] = 4
    message = fails_at("shapes", paired, Dataset.from_arrays(fields))
    assert "column 'option_right' has code 4" in message
    assert "'rw4a1b' has 4 options; recode it" in message


def test_a_policy_of_several_responses_at_once():
    wrong = model(policy=lambda p, q, trial: Categorical(jnp.stack([q, q])), name="two at once")
    assert "should be one number; policy(p, state, trial) must return" in fails_at("shapes", wrong)


def test_a_policy_that_is_no_distribution():
    message = fails_at("shapes", model(policy=lambda p, q, trial: p.beta * q))
    assert "should return a distribution" in message


def test_an_update_that_forgets_the_latents():
    message = fails_at("shapes", model(update=lambda p, q, trial: q))
    assert "should return the new state and a dict" in message


def test_a_state_that_changes_its_shape():
    message = fails_at("shapes", model(update=lambda p, q, trial: (q.sum(), {})))
    assert "that of init(p) has shape" in message


def test_a_python_if():
    def policy(p, q, trial):
        return Categorical(p.beta * q if p.beta > 1 else q)

    message = fails_at("shapes", model(policy=policy))
    assert "Use jnp.where instead of if" in message


def test_numpy_instead_of_jax_numpy():
    message = fails_at("shapes", model(policy=lambda p, q, trial: Categorical(np.asarray(p.beta) * np.asarray(q))))
    assert "jax.numpy instead of numpy" in message


def test_a_parameter_that_does_not_exist():
    message = fails_at("shapes", model(policy=lambda p, q, trial: Categorical(p.gamma * q)))
    assert "the model asks for 'gamma', but there are only beta, alpha" in message


def test_a_value_that_is_kept_outside():
    kept = []

    def policy(p, q, trial):
        kept.append(q)
        return Categorical(p.beta * kept[0])

    report = pyem.check(model(policy=policy), DATA)
    assert not report
    assert "must be pure" in report.rungs[-1].detail


# -- value --------------------------------------------------------------------------------------------------------------


def test_a_value_that_is_not_finite():
    def policy(p, q, trial):
        return Categorical(jnp.log(q - 0.5))

    message = fails_at("value", model(policy=policy))
    assert "the log-likelihood of subject '0' is nan at typical parameters; look for a logarithm" in message


# -- purity -------------------------------------------------------------------------------------------------------------


def test_a_side_effect():
    calls = []

    def policy(p, q, trial):
        calls.append(None)
        return Categorical(p.beta * q + len(calls) * jnp.array([0.01, 0.0]))

    message = fails_at("purity", model(policy=policy))
    assert "gives different values when evaluated twice" in message


def test_random_numbers():
    rng = np.random.default_rng(1)
    message = fails_at("purity", model(policy=lambda p, q, trial: Categorical(p.beta * q + rng.normal(size=2))))
    assert "no random numbers, no globals that change" in message


# -- gradient -----------------------------------------------------------------------------------------------------------


def test_a_derivative_that_is_not_finite():
    def policy(p, q, trial):
        return Categorical(p.beta * jnp.sqrt(jnp.maximum(q - 0.5, 0.0)))

    assert "the value is finite but a derivative is not" in fails_at("gradient", model(policy=policy))


def test_a_derivative_that_is_held_back():
    def policy(p, q, trial):
        return Categorical(jax.lax.stop_gradient(p.beta) * q)

    message = fails_at("gradient", model(policy=policy))
    assert "the derivative by beta is 0, but finite differences give" in message


def test_a_likelihood_with_jumps():
    def greedy(p, q, trial):
        best = jnp.arange(2) == q.argmax()
        return Categorical(jnp.log(jnp.where(best, 0.9, 0.1)) * p.beta / 10)

    message = fails_at("gradient", model(policy=greedy))
    assert "jumps by" in message
    assert "where alpha passes 0." in message
    assert "an argmax" in message


def test_a_small_jump_among_smooth_slopes():
    def policy(p, q, trial):
        return Categorical(p.beta * q + jnp.array([0.05, 0.0]) * (p.beta > 6.0))

    message = fails_at("gradient", model(policy=policy))
    assert "where beta passes 6;" in message


def test_kinks_are_no_jumps():
    def policy(p, q, trial):
        return Categorical(p.beta * q + jnp.array([1.0, 0.0]) * jnp.maximum(p.beta - 6.0, 0.0))

    assert pyem.check(model(policy=policy), DATA)


def test_a_parameter_without_effect_is_told():
    idle = Parameter("idle", Interval(0, 1))
    report = pyem.check(model(parameters=(*GOOD.parameters, idle)), DATA)
    assert report
    detail = {rung.name: rung.detail for rung in report.rungs}["gradient"]
    assert detail == "agrees with finite differences; no effect on these data: idle"


# -- simulation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [GOOD.task, None], ids=["task", "no task"])
def test_a_policy_that_depends_on_the_response(task):
    def policy(p, q, trial):
        return Categorical(p.beta * q.at[trial.choice].add(1.0))

    message = fails_at("simulation", model(policy=policy, task=task))
    assert "comes before the response and is shown the inputs only (none), but asks for 'choice'" in message
    assert "belongs into the state" in message


def test_a_task_without_the_outcome():
    message = fails_at("simulation", model(task=pyem.task.bandits.Bandit(outcome="points")))
    assert "'reward'" in message


def test_a_model_without_a_task_cannot_be_simulated():
    report = pyem.check(model(task=None), DATA)
    assert report
    assert report.rungs[-1].detail == "skipped: the model has no task to simulate"


def test_a_model_without_a_policy_cannot_be_simulated():
    def log_likelihood(p, trials):
        return -0.5 * (trials.y - p.mu) ** 2

    whole = Model("whole", (Parameter("mu"),), log_likelihood=log_likelihood, responses=("y",))
    report = pyem.check(whole, Dataset.from_arrays({"y": RNG.normal(size=(3, 1, 5))}))
    assert report
    assert report.rungs[-1].detail == "skipped: the model has no policy to simulate"


# -- fits look before they start ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", [pyem.fit_em, pyem.fit_map, pyem.fit_mle])
def test_a_fit_refuses_a_model_that_is_not_well_formed(fit):
    wrong = model(update=lambda p, q, trial: rl.delta_rule(p, q, trial)[0])
    with pytest.raises(pyem.ModelError, match=r"model 'wrong'.*should return the new state and a dict"):
        fit(wrong, DATA)
