"""Sequences of models without a state in pieces: laid out otherwise, they mean the same."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import pyem
from pyem.engine import differentiable, evaluate
from pyem.engine.layout import batch
from pyem.engine.pieces import has_no_state
from pyem.engine.regress import on_data

DELAYS = pyem.models.get("sd_hyperbolic")


@pytest.fixture(scope="module")
def people() -> pyem.Dataset:
    """Blocks of unequal length, the longest of 70 trials, with missed responses, and a column of conditions."""
    whole = pyem.simulate(DELAYS, subjects=3, blocks=2, trials=70, key=1, missed=0.1).to_frame()
    whole["late"] = whole.block.astype(int)
    short = (whole.subject == 0) & (whole.block == 1) & (whole.trial > 20)
    columns = {name: name for name in (*DELAYS.columns, "late")}
    return pyem.Dataset.from_frame(whole[~short], subject="subject", block="block", trial="trial", columns=columns)


def test_a_lane_in_pieces_has_the_likelihood_of_its_trials(people):
    x = np.random.default_rng(2).normal(size=(3, DELAYS.n_params))
    rows = batch(DELAYS, people).shards[0].trials.learn.shape
    assert rows[1] < 70 < rows[1] * rows[2]
    # Single trials are asked for by their place, so that these are never cut.
    assert batch(DELAYS, people, by_trial=True).shards[0].trials.learn.shape[1] >= 70
    trials = evaluate.trial_values(DELAYS, people, x)["log_lik"].sum(0)
    expected = np.bincount(people.lane_subject, trials)
    np.testing.assert_allclose(evaluate.log_lik(DELAYS, people, x), expected, rtol=1e-12)
    with jax.enable_x64(True):
        laid = differentiable.people(DELAYS, people)
        assert laid.chunks[0].trials.learn.shape[1] < 70
        np.testing.assert_allclose(differentiable.log_lik(DELAYS, laid, x.T), expected, rtol=1e-12)


def test_pieces_have_the_conditions_of_their_block(people):
    model, bound = on_data(pyem.regress(DELAYS, "k ~ late"), people)[:2]
    x = np.random.default_rng(3).normal(size=(3, model.n_params))
    trials = evaluate.trial_values(model, bound, x)["log_lik"].sum(0)
    np.testing.assert_allclose(evaluate.log_lik(model, bound, x), np.bincount(people.lane_subject, trials), rtol=1e-12)


def test_models_with_a_state_and_likelihoods_of_whole_blocks_stay_whole():
    assert has_no_state(DELAYS)
    for name in ("rw1a1b", "hgf", "bart"):
        assert not has_no_state(pyem.models.get(name))
