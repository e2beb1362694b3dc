"""`check`: each rung of the ladder has a model that falls from it, and a message that says what to do."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions
import pytest
from scipy import stats

import pyem
from pyem import Categorical, Dataset, Interval, Model, Normal, Parameter, Positive, models
from pyem.engine.validate import validate
from pyem.models import learning as rl
from pyem.study import dry_runs, sampler

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
    assert set(RUNGS) == {"shapes", "value", "indices", "gradient", "purity", "sampling", "simulation"}
    assert str(report).startswith("check of rw1a1b\nok   shapes: columns choice, reward; parameters beta, alpha\n")


def test_columns_of_the_same_kinds_are_tried_once():
    """Traces are most of the time of a fit of little data, and a study has thousands; values are looked at each time."""
    calls = []

    def policy(p, q, trial):
        calls.append(trial)
        return GOOD.policy(p, q, trial)

    counting = model(policy=policy)
    for n, traced in ((12, True), (7, False)):
        before = len(calls)
        data = Dataset.from_arrays({"choice": np.ones((2, 1, n), int), "reward": np.ones((2, 1, n))})
        validate(counting, data)
        assert (len(calls) > before) == traced
    before = len(calls)
    with pytest.raises(pyem.errors.DataError, match="code 2 for subject"):
        validate(counting, Dataset.from_arrays({"choice": np.full((2, 1, 12), 2), "reward": np.ones((2, 1, 12))}))
    assert len(calls) == before


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
    assert "'rw4a1b' has 4 options; say which values are its codes" in message
    assert "codes={'option_right': [<all 4 values; the data have 0, 4>]}" in message


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


class OddAtZero(NamedTuple):
    """A yes or no whose derivative is wrong at even odds, and at these only."""

    logit: Any

    def log_prob(self, value):
        yes = jnp.asarray(value, float)
        return yes * self.logit - jnp.maximum(self.logit, 0.0) - jnp.log1p(jnp.exp(-jnp.abs(self.logit)))

    def sample(self, key):
        return jax.random.bernoulli(key, jax.nn.sigmoid(self.logit)).astype(int)


ODDS = Model(
    "odds", (Parameter("b"),), lambda p, state, trial: OddAtZero(p.b * trial.x), responses=("y",), inputs=("x",)
)
NUMBERS = Dataset.from_arrays({"y": RNG.integers(2, size=(4, 1, 30)), "x": RNG.normal(size=(4, 1, 30))})


def test_a_derivative_that_is_wrong_where_fits_start():
    message = fails_at("gradient", ODDS, NUMBERS)
    assert "at b = 0;" in message
    assert "a function has a wrong derivative at this very point" in message
    # Nothing is wrong with it anywhere else.
    assert pyem.check(dataclasses.replace(ODDS, parameters=(Parameter("b", mean=0.3),)), NUMBERS)


def test_a_kink_where_fits_start_is_none():
    def policy(p, state, trial):
        return Normal(jnp.maximum(p.b, 0.0) * trial.x, 1.0)

    data = Dataset.from_arrays({"y": RNG.normal(size=(4, 1, 30)), "x": RNG.normal(size=(4, 1, 30))})
    assert pyem.check(Model("kink", (Parameter("b"),), policy, responses=("y",), inputs=("x",)), data)
    one_side = lambda p, state, trial: Normal(jnp.where(p.b > 0, p.b, 0.0) * trial.x, 1.0)  # noqa: E731
    assert pyem.check(Model("side", (Parameter("b"),), one_side, responses=("y",), inputs=("x",)), data)


def test_a_step_where_fits_start_is_one():
    def policy(p, state, trial):
        return Normal(p.b * trial.x + 0.5 * (p.b > 0), 1.0)

    data = Dataset.from_arrays({"y": RNG.normal(size=(4, 1, 30)), "x": RNG.normal(size=(4, 1, 30))})
    assert "jumps" in fails_at(
        "gradient", Model("step", (Parameter("b"),), policy, responses=("y",), inputs=("x",)), data
    )


def test_rounding_of_responses_that_are_all_but_impossible_is_no_jump():
    narrow = Model("narrow", (Parameter("b"),), lambda p, state, trial: Normal(p.b, 1e-8), responses=("y",))
    data = Dataset.from_arrays({"y": RNG.normal(size=(4, 1, 30))})
    report = pyem.check(narrow, data)
    assert "agrees with finite differences" in str(report)


# -- purity of whole numbers --------------------------------------------------------------------------------------------


def test_rounding_in_single_precision_is_no_side_effect():
    def policy(p, state, trial):
        return numpyro.distributions.Binomial(total_count=trial.n, probs=p.q)

    counts = np.random.default_rng(0).binomial(25, 0.5, (5, 1, 40))
    data = Dataset.from_arrays({"y": counts, "n": np.full(counts.shape, 25)})
    report = pyem.check(
        Model("counts", (Parameter("q", Interval(0, 1)),), policy, responses=("y",), inputs=("n",)), data
    )
    assert report, str(report)


# -- sampling -----------------------------------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """A normal distribution that draws what it likes."""

    loc: Any
    scale: Any
    shift: float = 0.0
    spread: float = 1.0

    def log_prob(self, value):
        return Normal(self.loc, self.scale).log_prob(value)

    def sample(self, key):
        return self.loc + self.scale * (self.shift + self.spread * jax.random.normal(key))


LINE = Dataset.from_arrays({"y": RNG.normal(size=(4, 2, 30)), "x": RNG.normal(size=(4, 2, 30))})


def line(make, *, sd=None):
    """A regression whose distribution `make` makes."""
    parameters = (Parameter("b"), *(() if sd else (Parameter("sd", Positive()),)))
    policy = lambda p, state, trial: make(p.b * trial.x + p.b, sd or p.sd)  # noqa: E731
    return Model("line", parameters, policy, responses=("y",), inputs=("x",))


def test_a_sampler_of_the_density_climbs_on():
    details = {rung.name: rung.detail for rung in pyem.check(line(Drawn), LINE).rungs}
    assert details["sampling"] == "what is drawn has the density that the likelihood says"


@pytest.mark.parametrize(
    ("wrong", "sd", "message"),
    [
        (functools.partial(Drawn, shift=0.1), None, "the mean derivative of log_prob by b"),
        (functools.partial(Drawn, spread=1.1), None, "the mean derivative of log_prob by sd"),
        # No parameter says how wide it is, but the score of the mean is twice as wide as it should be.
        (functools.partial(Drawn, spread=1.5), 1.0, "the derivative of log_prob by b has 2."),
        (functools.partial(Drawn, spread=0.7), 1.0, "the derivative of log_prob by b has 0."),
    ],
    ids=["mean", "sd", "wide", "narrow"],
)
def test_a_sampler_of_something_else(wrong, sd, message):
    assert message in fails_at("sampling", line(wrong, sd=sd), LINE)


def test_choices_that_are_drawn_otherwise():
    class Hot(NamedTuple):
        logits: Any

        def log_prob(self, value):
            return jax.nn.log_softmax(self.logits)[value]

        def sample(self, key):
            return jax.random.categorical(key, 0.8 * self.logits)

    message = fails_at("sampling", model(policy=lambda p, q, trial: Hot(p.beta * q)))
    assert "sample(key) of the distribution of 'choice' does not draw what its log_prob says" in message
    assert "once in 1e+06 checks" in message


class Exponent(NamedTuple):
    """Draws that a right sampler makes, and a log-density without its constant or with a floor."""

    loc: Any
    scale: Any

    def log_prob(self, value):
        return -0.5 * ((value - self.loc) / self.scale) ** 2

    def sample(self, key):
        return self.loc + self.scale * jax.random.normal(key)


class Waited(NamedTuple):
    """A waiting time, or whole numbers of them before it ends: both are normalised."""

    rate: Any
    whole: bool

    def log_prob(self, value):
        return -self.rate * value + (jnp.log(-jnp.expm1(-self.rate)) if self.whole else jnp.log(self.rate))

    def sample(self, key):
        time = jax.random.exponential(key) / self.rate
        return jnp.floor(time) if self.whole else time


def test_a_density_without_its_constant():
    # It changes no estimate and no derivative.
    assert "of 'y' that log_prob gives integrates to 2.5" in fails_at("sampling", line(Exponent, sd=1.0), LINE)


@pytest.mark.parametrize("whole", [False, True], ids=["numbers", "counts"])
def test_densities_of_a_user_that_are_normalised(whole):
    waits = Model("waits", (Parameter("rate", Positive()),), lambda p, s, t: Waited(p.rate, whole), responses=("y",))
    data = Dataset.from_arrays(
        {"y": np.floor(RNG.exponential(size=(4, 1, 30))) if whole else RNG.exponential(size=(4, 1, 30))}
    )
    assert "density" in sampler.check_sampler(waits, data)
    fixed = pyem.fix(waits, rate=0.7)
    assert sampler.check_sampler(fixed, data).startswith("skipped in part")


def test_probabilities_with_a_floor():
    class Floored(NamedTuple):
        logits: Any

        def log_prob(self, value):
            return jnp.log(jax.nn.softmax(self.logits)[value] + 1e-3)

        def sample(self, key):
            return jax.random.categorical(key, self.logits)

    message = fails_at("sampling", model(policy=lambda p, q, trial: Floored(p.beta * q)))
    assert "the probabilities of the 2 options of 'choice' sum to 1.002, but must sum to 1" in message


def test_a_distribution_that_cannot_be_drawn_from_is_told():
    class Density(NamedTuple):
        loc: Any
        scale: Any

        def log_prob(self, value):
            return Normal(self.loc, self.scale).log_prob(value)

    details = {rung.name: rung.detail for rung in pyem.check(line(Density), LINE).rungs}
    assert details["sampling"].startswith("skipped: the distribution of 'y' has no sample(key)")


def test_rare_choices_are_no_false_alarm():
    """Of a choice that is made once in a million times none is drawn, but the information knows of it."""
    rare = Model(
        "rare", (Parameter("b", mean=14.0, sd=0.1),), lambda p, s, t: Categorical(jnp.array([0.0, p.b])), options=2
    )
    data = Dataset.from_arrays({"choice": np.ones((4, 1, 30), int)})
    assert "density" in sampler.check_sampler(rare, data)


def test_scores_of_right_distributions_are_standard():
    """The z of every parameter of several models: none beyond 4.5, all together chi-squared at 1e-4."""
    z = []
    for name in ("rw1a1b", "glm", "poisson"):
        simulated = pyem.simulate(models.get(name), subjects=4, trials=40, key=3)
        for scores in sampler.sampled_scores(models.get(name), simulated).values():
            z.extend(scores.first / np.sqrt(np.maximum(scores.squares, scores.information)))
    assert np.abs(z).max() < 4.5
    assert stats.chi2.ppf(1e-4, len(z)) < (np.array(z) ** 2).sum() < stats.chi2.isf(1e-4, len(z))


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
