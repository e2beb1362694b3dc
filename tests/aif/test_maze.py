"""The T-maze against its closed form: decisions of an agent that is told everything but the rewarded side."""

import jax.numpy as jnp
import numpy as np

import pyem
from pyem.aif.maze import MAZE_DEPENDENCIES, TMaze, maze_cues, maze_outcomes
from pyem.aif.pomdp import DiscretePOMDP
from pyem.engine.evaluate import log_lik, value_grad_hess

PREFERENCE = 1.2
TASK = TMaze()


def observed(p):
    return [jnp.eye(5), maze_outcomes(p.r), maze_cues(1.0)]


MODEL = DiscretePOMDP(
    A=observed,
    B=TASK.B,
    C=lambda p: [jnp.zeros(5), PREFERENCE * jnp.array([0.0, 1.0, -1.0]), jnp.zeros(3)],
    D=TASK.D,
    A_dependencies=MAZE_DEPENDENCIES,
    policy_len=2,
).model("maze", [pyem.Parameter("r", pyem.Interval(0.5, 1.0))], observations=("o0", "o1", "o2"), task=TASK)

# Where each request leads from each place (centre, left, right, cue, middle); what is not next door stays.
MOVES = np.tile(np.arange(5)[:, None], (1, 5))
for a, b in ((0, 3), (0, 4), (4, 1), (4, 2)):
    MOVES[a, b], MOVES[b, a] = b, a


def entropy(p):
    p = np.array([p, 1 - p])
    p = p[p > 0]
    return -(p * np.log(p)).sum()


def worth(place, q, r):
    if place == 3:
        return entropy(q)
    if place in (1, 2):
        p = q * r + (1 - q) * (1 - r) if place == 1 else (1 - q) * r + q * (1 - r)
        return entropy(p) - entropy(r) + PREFERENCE * (2 * p - 1)
    return 0.0


def log_choice(place, q, r):
    ahead = [
        worth(MOVES[place, u], q, r) + np.logaddexp.reduce([worth(MOVES[MOVES[place, u], v], q, r) for v in range(5)])
        for u in range(5)
    ]
    return np.array(ahead) - np.logaddexp.reduce(ahead)


def closed_form(data, r):
    total = np.zeros(data.n_subjects)
    for lane, subject in enumerate(data.lane_subject):
        evidence, told = 0, None
        for t in range(data.valid.shape[0]):
            place, outcome, cue, action = (int(data.fields[name][t, lane]) for name in ("o0", "o1", "o2", "action"))
            if place in (1, 2) and outcome:
                good = outcome == 1
                evidence += 1 if good == (place == 1) else -1
            told = cue if cue else told
            odds = evidence * np.log(r[subject] / (1 - r[subject]))
            q = 1 / (1 + np.exp(-odds)) if told is None else float(told == 1)
            total[subject] += log_choice(place, q, r[subject])[action]
    return total


def test_likelihood_is_the_closed_form():
    data = pyem.simulate(MODEL, subjects=4, blocks=12, trials=5, key=1)
    r = data.true_params[:, 0]
    np.testing.assert_allclose(log_lik(MODEL, data, data.truth), closed_form(data, r), atol=1e-9)


def test_simulated_decisions_have_the_probability_that_the_likelihood_says():
    data = pyem.simulate(MODEL, subjects=4, blocks=12, trials=5, key=2)
    np.testing.assert_allclose(log_lik(MODEL, data, data.truth), data.log_lik, atol=1e-9)


def test_gradient_agrees_with_finite_differences():
    data = pyem.simulate(MODEL, subjects=4, blocks=12, trials=5, key=3)
    _, grad, _ = value_grad_hess(MODEL, data, data.truth)
    up, down = (log_lik(MODEL, data, data.truth + step) for step in (1e-5, -1e-5))
    np.testing.assert_allclose(grad[:, 0], (up - down) / 2e-5, atol=1e-6)
