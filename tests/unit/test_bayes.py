"""Belief updating: the data it takes, what is learned without an answer, and recovery."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pyem
from pyem import Dataset, models, task
from pyem.engine import evaluate as engine
from pyem.errors import DataError

MODEL = models.get("bayes")


def one_block(observations: list[float], choices: list[float]) -> Dataset:
    return Dataset.from_arrays(
        {"observation": np.array(observations)[None, None], "choice": np.array(choices)[None, None]},
        codes={"observation": range(3), "choice": range(3)},
    )


def beliefs(data: Dataset, lambda1: float) -> np.ndarray:
    """After each observation, (trial, pond)."""
    values = engine.trial_values(MODEL, data, MODEL.unconstrained(np.array([[lambda1]])))
    return np.exp(values["log_probs"][0][..., 0])


def test_a_belief_is_the_power_of_what_was_seen():
    seen = [0, 0, 1, 0, 2]
    shown = beliefs(one_block(seen, [0] * 5), 0.7)
    chance = {True: 0.7, False: 0.15}
    joint = np.array([[np.prod([chance[s == pond] for s in seen[: t + 1]]) for pond in range(3)] for t in range(5)])
    np.testing.assert_allclose(shown, joint / joint.sum(1, keepdims=True), rtol=1e-12)


def test_a_fish_teaches_something_though_no_answer_was_given():
    answered, missed = one_block([0, 0, 1], [0, 0, 0]), one_block([0, 0, 1], [0, np.nan, 0])
    np.testing.assert_array_equal(beliefs(answered, 0.7), beliefs(missed, 0.7))
    assert missed.n_responses(MODEL).tolist() == [2]
    fit = pyem.fit_map(MODEL, missed)
    assert fit.latents()["surprise"].notna().all()
    assert fit.latents()["log_prob"].isna().tolist() == [False, True, False]


def test_beliefs_that_nearly_vanish_keep_their_derivatives():
    data = one_block([0] * 80, [1] * 80)
    value, grad, hess = engine.value_grad_hess(MODEL, data, np.array([[12.0]]))
    # Each fish makes pond 1 less likely by the log of lambda over the share of the others; the last belief is exp(-1015).
    n = np.arange(1, 81)
    log_odds = n * (12.0 + np.log(2))
    np.testing.assert_allclose(value, -(log_odds + np.log1p(2 * np.exp(-log_odds))).sum(), rtol=1e-12)
    np.testing.assert_allclose(grad, -(n / (1 + 2 * np.exp(-log_odds))).sum(), rtol=1e-10)
    assert np.isfinite(hess).all()


def test_observations_are_checked_and_may_be_text():
    frame = pd.DataFrame({"who": "a", "fish": [1, 2, 3, 1], "pond": [0, 1, 2, 1]})
    columns = {"observation": "fish", "choice": "pond"}
    data = Dataset.from_frame(frame, subject="who", columns=columns)
    with pytest.raises(
        DataError, match=r"column 'observation' has code 3 for subject 'a'.*say which values are its codes"
    ):
        pyem.fit_map(MODEL, data)
    coded = Dataset.from_frame(frame, subject="who", columns=columns, codes={"observation": [1, 2, 3]})
    named = frame.assign(fish=frame.fish.map({1: "blue", 2: "green", 3: "red"}))
    text = Dataset.from_frame(named, subject="who", columns=columns)
    x = np.zeros((1, 1))
    assert engine.log_lik(MODEL, coded, x) == engine.log_lik(MODEL, text, x) != 0


def test_the_task_shows_the_hidden_pond_most_often():
    people = pyem.simulate(MODEL, [[0.8]] * 50, key=1, blocks=10, trials=15)
    pond, fish = people.fields["pond"], people.fields["observation"]
    assert (pond == pond[0]).all()
    own = (pond == fish).sum()
    assert stats.binomtest(int(own), fish.size, 0.8).pvalue > 1e-3
    ponds = np.bincount(pond[0], minlength=3)
    assert stats.chisquare(ponds).pvalue > 1e-3
    # Who believes in the true odds finds the pond more often than by following the last fish alone.
    assert (people.fields["choice"] == pond)[-1].mean() > (fish == pond)[-1].mean()


def test_four_ponds():
    model = models.get("bayes", ponds=4)
    people = pyem.simulate(model, [[0.7]] * 3, key=2, trials=20)
    assert people.fields["choice"].max() == 3
    np.testing.assert_allclose(engine.log_lik(model, people, people.truth), people.log_lik, rtol=1e-12)
    assert model.task == task.Ponds(4)
    with pytest.raises(ValueError, match="at least 2 to tell apart"):
        models.get("bayes", ponds=1)


def test_recovery():
    truth = np.linspace(0.36, 0.9, 60)[:, None]
    people = pyem.simulate(MODEL, truth, key=3, blocks=10, trials=15)
    fit = pyem.fit_em(MODEL, people)
    assert np.corrcoef(fit.params[:, 0], truth[:, 0])[0, 1] > 0.9
    z = (fit.x - people.truth) / np.sqrt(fit.cov[:, :, 0])
    assert 0.5 < np.std(z) < 1.5
