"""Responses that follow on others of the same trial."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem import Dataset, models
from pyem.task import Bandit, TwoStep

MODEL = models.get("two_step")


def table(**changes: list) -> pd.DataFrame:
    columns = {
        "choice1": [0, 1, 0, 1],
        "state2": [0, 1, 1, 0],
        "choice2": [1, 0, 0, 1],
        "reward": [1, 0, 0, 1],
    } | changes
    return pd.DataFrame({"subject": 1, "trial": range(4), **columns})


def data(**changes: list) -> Dataset:
    columns = {name: name for name in MODEL.columns}
    return Dataset.from_frame(table(**changes), subject="subject", trial="trial", columns=columns)


def test_columns_stand_in_the_order_of_a_trial():
    assert MODEL.columns == ("choice1", "state2", "choice2", "reward")
    assert MODEL.shown_between == ("state2",)


def test_a_missing_column_between_leaves_out_only_the_response_after_it():
    responded, learn = data(state2=[0, 1, None, 0]).masks(MODEL)
    assert responded["choice1"].ravel().tolist() == [True] * 4
    assert responded["choice2"].ravel().tolist() == [True, True, False, True]
    assert learn.ravel().tolist() == [True, True, False, True]


def test_two_responses_of_a_trial_count_as_one_trial():
    assert data().n_responses(MODEL).tolist() == [4]
    assert data(choice1=[0, None, 0, 1], choice2=[1, 0, None, 1]).n_responses(MODEL).tolist() == [4]


def test_between_names_a_response():
    with pytest.raises(ValueError, match="'choice3', but its responses are choice1, choice2"):
        dataclasses.replace(MODEL, between=(("choice3", ()),))


def test_a_response_that_depends_on_others_says_so():
    silent = dataclasses.replace(MODEL, name="silent", between=(), inputs=("state2",))
    with pytest.raises(pyem.ModelError, match="returned a function for 'choice2'"):
        pyem.log_lik(silent, data(), [[3.0, 3.0, 0.5, 0.5, 0.5, 0.5, 0.1]])


def test_a_task_must_show_what_stands_between():
    with pytest.raises(ValueError, match="Bandit does not show it"):
        pyem.simulate(MODEL, subjects=1, trials=2, key=1, task=Bandit())


def test_payoffs_do_not_tell_what_would_have_been_shown():
    some = data()
    with pytest.raises(ValueError, match="give a task"):
        pyem.prior_predictive(MODEL, some, draws=1, key=1, payoffs={"reward": "reward"})


def test_the_second_stage_follows_from_the_first_choice():
    played = pyem.simulate(MODEL, subjects=500, blocks=2, trials=12, key=14, task=TwoStep(0.7))
    common = played.fields["state2"] == played.fields["choice1"]
    assert abs(common.mean() - 0.7) < 4 * np.sqrt(0.7 * 0.3 / common.size)
