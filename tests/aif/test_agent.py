"""Agents of any structure against a plain NumPy agent: filters, planning, missing values, habits, precision, read-outs."""

from __future__ import annotations

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem import Dataset, Interval, Normal, Parameter, Positive, Real
from pyem.aif import DiscretePOMDP, TMaze
from pyem.engine.evaluate import log_lik, trial_values, value_grad_hess
from pyem.engine.layout import batch
from tests.aif.plain import Plain, random_pomdp, random_trials

MIX = Parameter("mix", Interval(0, 1), "how far the agent's likelihood is from the given one")
GAMMA, ALPHA = Parameter("gamma", Positive()), Parameter("alpha", Positive())


class Mixed:
    """The first modality's likelihood mixed with a uniform one."""

    def __init__(self, A):
        self.A = A

    def __call__(self, p):
        return [p.mix * self.A[0] + (1 - p.mix) / self.A[0].shape[0], *self.A[1:]]


def gamma_of(p):
    return p.gamma


def alpha_of(p):
    return p.alpha


def build(seed=0, *, exact=True, horizon=2, policies=None, habits=False, timed=False, **options):
    """An agent with three parameters, and the plain one at the same parameters."""
    arrays, A_deps, B_deps = random_pomdp(seed, timed=timed)
    n_actions = 4
    chosen = policies or list(itertools.product(range(n_actions), repeat=horizon))
    E = np.random.default_rng(seed + 9).gamma(1.0, size=len(chosen)) if habits else np.ones(len(chosen))
    agent = DiscretePOMDP(
        **(arrays | {"A": Mixed(arrays["A"])}),
        E=E if habits else None,
        A_dependencies=A_deps,
        B_dependencies=B_deps,
        policy_len=horizon,
        policies=policies,
        gamma=gamma_of,
        alpha=alpha_of,
        inference="exact" if exact else "mean_field",
        **options,
    )
    model = agent.model("random agent", [MIX, GAMMA, ALPHA])

    def plain(x):
        mix, gamma, alpha = model.natural(x)
        A = [mix * arrays["A"][0] + (1 - mix) / 3, arrays["A"][1]]
        return Plain(A, *(arrays[k] for k in "BCD"), E, A_deps, B_deps, chosen, exact=exact, gamma=gamma, alpha=alpha)

    return model, plain


def as_data(trials):
    """Blocks of (observations, actions), one subject each."""
    longest = max(len(actions) for _, actions in trials)
    fields = {"o0": [], "o1": [], "action": []}
    for observations, actions in trials:
        padding = [np.nan] * (longest - len(actions))
        clean = lambda values: [np.nan if v is None else v for v in values] + padding  # noqa: B023, E731
        fields["o0"].append([clean([o[0] for o in observations])])
        fields["o1"].append([clean([o[1] for o in observations])])
        fields["action"].append([clean(actions)])
    return Dataset.from_arrays(fields, codes={"action": [0, 1, 2, 3]})


def compare(model, plain, trials, seed=3):
    data = as_data(trials)
    x = 0.7 * np.random.default_rng(seed).normal(size=(len(trials), model.n_params))
    found = trial_values(model, data, x)["log_lik"]
    for k, (observations, actions) in enumerate(trials):
        expected = plain(x[k]).log_lik(observations, actions)
        np.testing.assert_allclose(found[: len(actions), k], expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(log_lik(model, data, x), found.sum(0), rtol=1e-10)


TRIALS = [random_trials(k, 6, (3, 2), 4) for k in range(3)]
GAPS = [random_trials(k + 10, 6, (3, 2), 4, missing=0.35) for k in range(3)]


@pytest.mark.parametrize("exact", [True, False])
def test_agent_of_several_modalities_and_crossed_factors(exact):
    model, plain = build(1, exact=exact)
    compare(model, plain, TRIALS)


@pytest.mark.parametrize("exact", [True, False])
def test_missing_observations_and_actions(exact):
    model, plain = build(2, exact=exact)
    compare(model, plain, GAPS)


def test_habits_and_some_policies_only():
    policies = [(0, 1, 2), (0, 3, 3), (1, 1, 1), (1, 2, 0), (2, 0, 1), (3, 3, 0)]
    model, plain = build(3, horizon=3, policies=policies, habits=True)
    compare(model, plain, TRIALS)


def test_preferences_that_change_along_the_policy():
    model, plain = build(4, timed=True)
    compare(model, plain, TRIALS)


def test_terms_that_are_left_out():
    for options in ({"use_utility": False}, {"use_states_info_gain": False}):
        model, plain = build(5, horizon=1, **options)

        def partial(x, plain=plain, options=options):
            agent = plain(x)
            agent.utility = options.get("use_utility", True)
            agent.information = options.get("use_states_info_gain", True)
            return agent

        compare(model, partial, TRIALS)


def test_an_action_that_no_policy_begins_with_is_all_but_impossible():
    model, _ = build(3, horizon=1, policies=[(0,), (2,)])
    data = as_data([([[0, 0], [1, 1]], [1, 0])])
    value, grad, hess = value_grad_hess(model, data, np.zeros((1, 3)))
    assert -60 < value[0] < -30
    assert np.isfinite(grad).all()
    assert np.isfinite(hess).all()


def test_a_missed_action_may_be_the_one_that_the_task_takes():
    model, plain = build(6, missed=3)
    observations, actions = GAPS[0]
    data = as_data([(observations, actions)])
    x = np.array([[0.2, -0.1, 0.3]])
    agent = plain(x[0])
    q, expected = agent.start(), []
    for seen, action in zip(observations, actions, strict=True):
        q = agent.observe(q, seen)
        expected.append(0.0 if action is None else agent.plan(q)[1][action])
        q = agent.move(q, 3 if action is None else action)
    np.testing.assert_allclose(trial_values(model, data, x)["log_lik"][:, 0], expected, atol=1e-10)


def test_a_missed_action_is_marginalised_by_hand():
    """What is believed after an action that is not known is the average over the actions it may have been.

    Each action is weighed by the policy that it came from and by what is observed next.
    """
    model, plain = build(9)
    observations, actions = random_trials(21, 3, (3, 2), 4)
    x = np.array([[0.3, 0.1, -0.2]])
    data = as_data([(observations, [None, *actions[1:]])])
    agent = plain(x[0])
    first = agent.observe(agent.start(), observations[0])
    log_p = agent.plan(first)[1]
    seen, weights = [], []
    for u in range(4):
        moved = agent.move(first, u)
        like = np.array(
            [
                np.prod(
                    [
                        a[(o, *(s[f] for f in deps))]
                        for a, o, deps in zip(agent.A, observations[1], agent.A_deps, strict=True)
                    ]
                )
                for s in agent.states
            ]
        )
        weights.append(np.exp(log_p[u]) * (moved @ like))
        seen.append(moved * like / (moved @ like))
    belief = np.average(seen, axis=0, weights=weights)
    found = trial_values(model, data, x)
    np.testing.assert_allclose(found["log_lik"][1, 0], agent.plan(belief)[1][actions[1]], atol=1e-10)
    for f, marginal in enumerate(agent.marginals(belief)):
        np.testing.assert_allclose(found["latents"][f"belief{f}"][1, :, 0], marginal, atol=1e-12)


def test_a_missing_observation_is_marginalised_by_hand():
    """Beliefs without an observation are those with each outcome, averaged by how likely the outcome is."""
    model, plain = build(9)
    observations, actions = random_trials(22, 1, (3, 2), 4)
    x = np.array([[0.3, 0.1, -0.2]])
    agent = plain(x[0])
    each = [agent.observe(agent.start(), [o, observations[0][1]]) for o in range(3)]
    given = agent.observe(agent.start(), [None, observations[0][1]])
    chances = [agent.average(agent.A[0], agent.A_deps[0], given)[o] for o in range(3)]
    expected = np.average(each, axis=0, weights=chances)
    found = trial_values(model, as_data([([[None, observations[0][1]]], actions)]), x)
    for f, marginal in enumerate(agent.marginals(expected)):
        np.testing.assert_allclose(found["latents"][f"belief{f}"][0, :, 0], marginal, atol=1e-12)
    np.testing.assert_allclose(found["log_lik"][0, 0], agent.plan(expected)[1][actions[0]], atol=1e-10)


def test_blocks_of_unequal_length():
    model, plain = build(2)
    compare(model, plain, [random_trials(k, n, (3, 2), 4, missing=0.2) for k, n in ((1, 6), (2, 2), (3, 4))])


def test_derivatives_are_those_of_finite_differences():
    model, _ = build(7)
    data, x, step = as_data(GAPS), np.full((3, 3), 0.2), 1e-5
    _, grad, hess = value_grad_hess(model, data, x)
    for k, shift in enumerate(step * np.eye(3)):
        slope = (log_lik(model, data, x + shift) - log_lik(model, data, x - shift)) / (2 * step)
        np.testing.assert_allclose(grad[:, k], slope, rtol=1e-6, atol=1e-7)
        bend = (value_grad_hess(model, data, x + shift)[1] - value_grad_hess(model, data, x - shift)[1]) / (2 * step)
        np.testing.assert_allclose(hess[:, k], bend, rtol=1e-5, atol=1e-6)


def test_beliefs_and_expected_free_energies_are_latents():
    model, plain = build(8)
    data, x = as_data(TRIALS[:1]), np.array([[0.5, 0.1, -0.2]])
    latents = trial_values(model, data, x)["latents"]
    agent = plain(x[0])
    q = agent.observe(agent.start(), TRIALS[0][0][0])
    for f, marginal in enumerate(agent.marginals(q)):
        np.testing.assert_allclose(latents[f"belief{f}"][0, :, 0], marginal, atol=1e-12)
    np.testing.assert_allclose(latents["neg_efe"][0, :, 0], agent.plan(q)[0], atol=1e-10)


# -- contexts -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("inference", ["exact", pytest.param("mean_field", marks=pytest.mark.slow)])
def test_contexts_are_shared_in_the_maze_whatever_is_missing(inference):
    model = pyem.models.get("aif_tmaze", inference=inference)
    data = pyem.simulate(model, subjects=4, blocks=120, trials=5, key=1, missed=0.03)
    gone = np.random.default_rng(0).uniform(size=data.valid.shape) < 0.03
    data = pyem.Simulation(**{**vars(data), "present": {**data.present, "o1": data.present["o1"] & ~gone}})
    laid = batch(model, data).shards[0].trials
    assert "counts" in laid
    assert laid.node.shape[1] < 150
    plain = dataclasses.replace(model, share=False)
    for mine, other in zip(
        value_grad_hess(model, data, data.truth), value_grad_hess(plain, data, data.truth), strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-9)


def test_equal_agents_share_a_compilation():
    first, second = (
        DiscretePOMDP(A=[np.eye(2)], B=[np.stack([np.eye(2), np.eye(2)[::-1]], axis=-1)], alpha=alpha_of)
        for _ in range(2)
    )
    assert first == second
    assert first.model("a", [ALPHA]) == second.model("a", [ALPHA])
    assert hash(first.model("a", [ALPHA])) == hash(second.model("a", [ALPHA]))


# -- read-outs ----------------------------------------------------------------------------------------------------------


def rated(p, mind, trial):
    return {"rating": Normal(p.level + p.slope * mind.belief[1][0], 0.5)}


def test_a_rating_is_a_second_response():
    task = TMaze()
    agent = DiscretePOMDP(
        A=task.A, B=task.B, C=[np.zeros(5), [0, 1.2, -1.2], np.zeros(3)], D=task.D, A_dependencies=task.A_dependencies
    )
    parameters = [Parameter("level", Real()), Parameter("slope", Real())]
    model = agent.model("rater", parameters, readouts=rated, readout_columns=["rating"], task=task)
    assert model.responses == ("action", "rating")
    truth = np.array([[0.5, 2.0], [-1.0, 0.5]])
    data = pyem.simulate(model, truth, blocks=30, trials=5, key=2)
    np.testing.assert_allclose(log_lik(model, data, truth), data.log_lik, rtol=1e-9)
    # The belief does not depend on these parameters: the fit is a regression of the ratings on it.
    fit = pyem.fit_mle(model, data)
    belief = trial_values(model, data, truth)["latents"]["belief1"][:, 0]
    for s in range(2):
        lanes = data.lane_subject == s
        X = np.stack([np.ones(lanes.sum() * 5), belief[:, lanes].ravel()], axis=1)
        expected, *_ = np.linalg.lstsq(X, data.fields["rating"][:, lanes].ravel(), rcond=None)
        np.testing.assert_allclose(fit.params[s], expected, atol=1e-6)


# -- what is refused ----------------------------------------------------------------------------------------------------

FLIP = [np.stack([np.eye(2), np.eye(2)[::-1]], axis=-1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"A": [np.ones((2, 2))], "B": FLIP}, r"A\[0\] is no probability at typical parameters: it sums to 2"),
        ({"A": [np.eye(3)], "B": FLIP}, r"A\[0\] has shape \(3, 3\), but with dependencies \(0,\)"),
        ({"A": [np.eye(2)], "B": FLIP, "D": [[1, 0, 0]]}, r"D\[0\] has shape \(3,\), but factor 0 has 2 states"),
        ({"A": [np.eye(2)], "B": FLIP, "C": [[1, 0, 0]]}, r"C\[0\] has shape \(3,\), but should be \(2,\)"),
        ({"A": [np.eye(2)], "B": FLIP, "E": [1.0]}, "there are 2 policies; give one for each"),
        ({"A": [np.eye(2)], "B": FLIP, "policies": [[0], [2]]}, "policies hold actions from 0 to 1"),
        ({"A": [np.eye(2)], "B": FLIP, "policies": [[0], [0, 1]]}, "all of the same length"),
        ({"A": [np.eye(2)], "B": FLIP, "A_dependencies": [[1]]}, r"the factors are 0 to 0"),
        ({"A": [np.eye(2)], "B": FLIP, "B_dependencies": [[0], [0]]}, "one list of factors for each"),
        ({"A": [np.eye(2)], "B": FLIP, "missed": 5}, "choose 'marginalise' or an action from 0 to 1"),
        ({"A": [np.eye(2)], "B": FLIP, "use_param_info_gain": True}, "needs learning="),
        ({"A": [np.eye(2)], "B": FLIP, "inference": "fast"}, "choose 'exact' or 'mean_field'"),
        ({"A": [np.eye(2)], "B": FLIP, "policy_len": 0}, "at least one action"),
        ({"A": lambda p: [p.nothing], "B": FLIP}, "the model asks for 'nothing'"),
        (
            {"A": [np.full((2, 600), 0.5)], "B": [np.eye(600)[..., None]]},
            "600 joint states, too many for exact inference",
        ),
    ],
)
def test_an_agent_that_does_not_fit_together(options, message):
    with pytest.raises(ValueError, match=message):
        DiscretePOMDP(**options).model("wrong", [ALPHA])


def test_columns_that_do_not_fit():
    agent = DiscretePOMDP(A=[np.eye(2)], B=FLIP)
    with pytest.raises(ValueError, match="1 modalities, but 2 columns"):
        agent.model("wrong", [ALPHA], observations=("a", "b"))
    with pytest.raises(ValueError, match="not both"):
        agent.model("wrong", [ALPHA], observations=("a",), outcomes=("b",))
    with pytest.raises(ValueError, match="readouts together with their columns"):
        agent.model("wrong", [ALPHA], readouts=rated)
    data = Dataset.from_arrays({"o0": [[[0, 3]]], "action": [[[0, 1]]]})
    with pytest.raises(pyem.DataError, match="column 'o0' has code 3"):
        pyem.fit_map(agent.model("right", [ALPHA]), data)


def test_single_precision_agrees_with_double():
    model = pyem.models.get("aif_tmaze")
    data = pyem.simulate(model, subjects=2, blocks=50, trials=5, key=3)
    import jax

    from pyem import rollout

    trials = jax.tree.map(jnp.asarray, data.trials(model))
    lanes = rollout(model, jnp.asarray(data.truth.T, jnp.float32)[:, data.lane_subject], trials)
    assert lanes.dtype == jnp.float32
    single = np.bincount(data.lane_subject, np.asarray(lanes, float))
    np.testing.assert_allclose(single, data.log_lik, atol=1e-3)
