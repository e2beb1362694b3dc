"""Dirichlet learning against plain loops, within and across blocks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import pyem
from pyem import Dataset, Interval, Parameter, Positive
from pyem.aif import DiscretePOMDP, Episodes, Learning, TMaze, join_blocks
from pyem.engine.evaluate import log_lik, trial_values
from pyem.engine.layout import batch
from tests.aif.plain import Plain, columns, random_trials, weight

RATE = Parameter("rate", Positive())
FORGETTING = Parameter("forgetting", Interval(0, 1))
A_DEPS, B_DEPS = [[0, 1]], [[0], [1]]


def rate(p):
    return p.rate


def forgetting(p):
    return p.forgetting


def counts(seed):
    rng = np.random.default_rng(seed)
    return {
        "A": [rng.uniform(0.5, 2, (3, 2, 2))],
        "B": [rng.uniform(0.5, 2, (2, 2, 2)), None],
        "D": [None, rng.uniform(0.5, 2, 2)],
    }


class Counts:
    """Prior counts, whatever the parameters."""

    def __init__(self, values):
        self.values = values

    def __call__(self, p):
        return self.values


def learner(kinds, *, novelty=False, across=False, seed=0):
    rng = np.random.default_rng(seed)
    arrays = {
        "A": [columns(rng, 3, 2, 2)],
        "B": [columns(rng, 2, 2, 2), np.eye(2)[..., None]],
        "C": [rng.normal(size=3)],
        "D": [columns(rng, 2), columns(rng, 2)],
    }
    prior = counts(seed)
    agent = DiscretePOMDP(
        **arrays,
        A_dependencies=A_DEPS,
        B_dependencies=B_DEPS,
        policy_len=2,
        use_param_info_gain=novelty,
        learning=Learning(
            **{kind: Counts(prior[kind]) for kind in kinds}, rate=rate, forgetting=forgetting, across_blocks=across
        ),
    )
    return agent.model("learner", [RATE, FORGETTING], task=None), arrays, prior


def expected_of(c):
    return c / c.sum(0)


def plain_log_lik(kinds, arrays, prior, eta, omega, blocks, *, novelty=False, across=False):
    """Log-probability of every action, by a loop over the blocks of one subject."""
    policies = [(a, b) for a in range(2) for b in range(2)]
    now = {kind: [None if c is None or kind not in kinds else c.copy() for c in prior[kind]] for kind in "ABD"}
    out = []
    for observations, actions in blocks:
        if not across:
            now = {kind: [None if c is None or kind not in kinds else c.copy() for c in prior[kind]] for kind in "ABD"}
        q, before, last = None, None, None
        for t, (seen, action) in enumerate(zip(observations, actions, strict=True)):
            world = {
                kind: [k if c is None else expected_of(c) for k, c in zip(arrays[kind], now[kind], strict=True)]
                for kind in "ABD"
            }
            agent = Plain(world["A"], world["B"], arrays["C"], world["D"], np.ones(4), A_DEPS, B_DEPS, policies)
            if novelty:
                agent.pA, agent.pB = now["A"], now["B"]
            if t == 0:
                q = agent.start()
            q = agent.observe(q, seen)
            _, log_p = agent.plan(q)
            out.append(0.0 if action is None else log_p[action])
            weights = np.exp(log_p) if action is None else np.eye(2)[action]
            here = agent.marginals(q)
            joint = q.reshape(2, 2)
            evidence = {kind: [None if c is None else np.zeros_like(c) for c in now[kind]] for kind in "ABD"}
            if now["A"][0] is not None and seen[0] is not None:
                evidence["A"][0][seen[0]] = joint
            if now["B"][0] is not None and t > 0:
                evidence["B"][0] = np.einsum("s,t,u->stu", here[0], before[0], last)
            if now["D"][1] is not None and t == 0:
                evidence["D"][1] = here[1]
            for kind in "ABD":
                for k, c in enumerate(now[kind]):
                    if c is not None:
                        now[kind][k] = prior[kind][k] + (1 - omega) * (c - prior[kind][k]) + eta * evidence[kind][k]
            moved = Plain(
                world["A"],
                [k if c is None else expected_of(c) for k, c in zip(arrays["B"], now["B"], strict=True)],
                arrays["C"],
                world["D"],
                np.ones(4),
                A_DEPS,
                B_DEPS,
                policies,
            )
            q = moved.mixed(q, log_p, action)
            before, last = here, weights
    return out


BLOCKS = [random_trials(k, 5, (3,), 2, missing=0.2 * (k % 2)) for k in range(4)]


def as_data():
    clean = lambda values: [np.nan if v is None else v for v in values]  # noqa: E731
    return Dataset.from_arrays(
        {
            "o0": [[clean([o[0] for o in seen]) for seen, _ in BLOCKS]],
            "action": [[clean(actions) for _, actions in BLOCKS]],
        }
    )


@pytest.mark.parametrize("kinds", ["A", "B", "AB"])
def test_learning_within_a_block(kinds):
    model, arrays, prior = learner(kinds)
    x = model.unconstrained(np.array([[0.7, 0.1]]))
    expected = plain_log_lik(kinds, arrays, prior, 0.7, 0.1, BLOCKS)
    found = trial_values(model, as_data(), x)["log_lik"].T.ravel()
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert "counts" not in batch(model, as_data()).shards[0].trials


def test_novelty_of_likelihoods_and_transitions():
    model, arrays, prior = learner("AB", novelty=True)
    x = model.unconstrained(np.array([[0.7, 0.1]]))
    expected = plain_log_lik("AB", arrays, prior, 0.7, 0.1, BLOCKS, novelty=True)
    np.testing.assert_allclose(trial_values(model, as_data(), x)["log_lik"].T.ravel(), expected, atol=1e-10)


def test_learning_across_blocks():
    model, arrays, prior = learner("ABD", across=True)
    assert model.inputs[0] == "start"
    x = model.unconstrained(np.array([[0.7, 0.05]]))
    expected = plain_log_lik("ABD", arrays, prior, 0.7, 0.05, BLOCKS, across=True)
    data = join_blocks(as_data())
    assert (data.n_lanes, data.n_trials) == (1, 20)
    np.testing.assert_allclose(trial_values(model, data, x)["log_lik"].ravel(), expected, atol=1e-10)
    kept = plain_log_lik("ABD", arrays, prior, 0.7, 0.05, BLOCKS)
    assert np.abs(np.array(kept) - expected).max() > 1e-3


def test_blocks_of_unequal_length_are_joined_in_order():
    data = as_data()
    valid = data.valid.copy()
    valid[3:, 1] = False
    ragged = dataclasses.replace(data, valid=valid, present={k: v & valid for k, v in data.present.items()})
    joined = join_blocks(ragged)
    assert joined.n_trials == 18
    np.testing.assert_array_equal(np.flatnonzero(joined.fields["start"][:18, 0]), [0, 5, 8, 13])
    expected = [v for lane, n in zip(range(4), (5, 3, 5, 5), strict=True) for v in ragged.fields["o0"][:n, lane]]
    np.testing.assert_array_equal(joined.fields["o0"][:18, 0], expected)


def test_a_maze_that_is_learned_over_blocks():
    task = TMaze()
    prior = [None, np.asarray(task.A[1]) * 0 + 0.25 + 8 * np.full((3, 5, 2), 1 / 3) * (np.asarray(task.A[1]) > 0), None]
    agent = DiscretePOMDP(
        A=task.A,
        B=task.B,
        C=[np.zeros(5), [0, 1.2, -1.2], np.zeros(3)],
        D=task.D,
        A_dependencies=task.A_dependencies,
        learning=Learning(A=Counts(prior), rate=rate, across_blocks=True),
    )
    model = agent.model("maze learner", [RATE], task=Episodes(task, 5))
    data = pyem.simulate(model, [[1.0], [3.0]], trials=60, key=4)
    assert data.fields["start"].sum(0).tolist() == [12, 12]
    np.testing.assert_allclose(log_lik(model, data, data.truth), data.log_lik, rtol=1e-10)
    assert (data.fields["o0"][::5] == 0).all()


def test_information_weight_is_that_of_the_closed_form():
    from pyem.aif.planning import information_weight

    c = np.random.default_rng(0).uniform(0.2, 5, (3, 4))
    np.testing.assert_allclose(np.asarray(information_weight(c)), weight(c), rtol=1e-5)


def test_nothing_to_learn_is_refused():
    with pytest.raises(ValueError, match="needs prior counts of A, B or D"):
        Learning()
