"""Forced choices, transfer phases, and simulations in the design of a data set."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem import DataError, Dataset
from pyem.simulation import simulate

MODEL = pyem.models.get("rw1a1b")
BETA, ALPHA = 3.0, 0.3
COLUMNS = {"choice": "choice", "reward": "reward", "payoffs": ["left", "right"]}


@functools.cache
def table() -> pd.DataFrame:
    """Five people with two blocks of 20 trials: some choices are forced, some teach nothing, some are missed."""
    rng = np.random.default_rng(3)
    index = pd.MultiIndex.from_product([[f"s{k}" for k in range(5)], [1, 2], range(20)], names=["id", "run", "t"])
    frame = index.to_frame(index=False)
    frame["left"], frame["right"] = rng.integers(0, 2, (2, len(frame)))
    frame["choice"] = rng.integers(0, 2, len(frame)).astype(float)
    frame["reward"] = np.where(frame.choice == 0, frame.left, frame.right)
    frame["free"] = (rng.random(len(frame)) < 0.7).astype(int)
    frame["phase"] = np.where(frame.t < 15, "learn", "transfer")
    frame.loc[frame.index[::17], "choice"] = np.nan
    return frame


@functools.cache
def data() -> Dataset:
    return Dataset.from_frame(
        table(), subject="id", block="run", trial="t", columns=COLUMNS, count="free", teach={"phase": ["learn"]}
    )


def by_hand(frame: pd.DataFrame) -> pd.Series:
    """Log-likelihood of each person: a plain loop over trials."""
    total: dict[str, float] = dict.fromkeys(frame.id.unique(), 0.0)
    for (person, _), block in frame.groupby(["id", "run"], sort=False):
        q = np.full(2, 0.5)
        for row in block.itertuples():
            if np.isnan(row.choice):
                continue
            chosen = int(row.choice)
            if row.free:
                total[person] += BETA * q[chosen] - np.log(np.exp(BETA * q).sum())
            if row.phase == "learn":
                q[chosen] += ALPHA * (row.reward - q[chosen])
    return pd.Series(total)


def test_forced_choices_teach_and_do_not_count_and_transfer_does_the_reverse():
    np.testing.assert_allclose(pyem.log_lik(MODEL, data(), [BETA, ALPHA]), by_hand(table()), rtol=1e-12)
    counts = table()[table().choice.notna() & (table().free == 1)].groupby("id").size()
    assert data().n_responses(MODEL).tolist() == counts.tolist()
    latents = pyem.fit_map(MODEL, data()).latents()
    free = (table().free == 1) & table().choice.notna()
    assert (latents.log_prob.notna() == free).all()
    assert (latents.prediction_error.notna() == (table().choice.notna() & (table().phase == "learn"))).all()


def test_they_survive_a_table_a_selection_and_blocks_that_are_joined():
    again = Dataset.from_frame(
        data().to_frame(),
        subject="subject",
        block="block",
        trial="trial",
        columns={"choice": "choice", "reward": "reward"},
        count="counted",
        teach="teaches",
    )
    np.testing.assert_array_equal(again.counted, data().counted)
    np.testing.assert_array_equal(again.teaches, data().teaches)
    assert data().select([3, 0]).n_responses(MODEL).tolist() == data().n_responses(MODEL)[[3, 0]].tolist()
    joined = pyem.aif.join_blocks(data())
    assert joined.n_responses(MODEL).tolist() == data().n_responses(MODEL).tolist()


def test_stickiness_knows_a_forced_choice():
    frame = pd.DataFrame({"id": "a", "choice": [1, 1], "reward": [0.5, 0.5], "free": [0, 1]})
    one = Dataset.from_frame(
        frame, subject="id", columns={"choice": "choice", "reward": "reward"}, count="free", codes={"choice": [0, 1]}
    )
    # The values stay equal; what was forced last is chosen again with the probability of a logistic function of 2.
    found = pyem.log_lik(pyem.with_stickiness(MODEL), one, [1.0, 0.5, 2.0])
    np.testing.assert_allclose(found, -np.log1p(np.exp(-2.0)))


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (
            "phase",
            "'phase' has 'learn' for subject 's0' .row 1., where 1 .yes. or 0 .no. is expected; .*'phase': .'learn'",
        ),
        ({"phase": ["main"]}, "names 'main' of column 'phase', which has 'learn', 'transfer'"),
        (["free"], "expected a column of 0 and 1"),
        ("choice", "'choice' has no value for subject 's0' .row 1"),
        ("nothing", "there is no column 'nothing'"),
    ],
)
def test_what_does_not_say_yes_or_no_is_refused(says, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_frame(table(), subject="id", block="run", columns=COLUMNS, count=says)


def test_arrays_say_it_too():
    choice = np.zeros((2, 1, 3))
    made = Dataset.from_arrays({"choice": choice, "reward": choice}, count=[[[1, 0, 1]], [[1, 1, 1]]])
    assert made.n_responses(MODEL).tolist() == [2, 3]
    with pytest.raises(DataError, match=r"count= has shape \(2, 3\)"):
        Dataset.from_arrays({"choice": choice}, count=np.ones((2, 3)))


def test_a_simulation_has_the_design_of_the_data():
    made = simulate(MODEL, [[BETA, ALPHA]] * 5, key=1, design=data())
    real = data()
    assert made.subjects.tolist() == real.subjects.tolist()
    for name in ("choice", "reward"):
        np.testing.assert_array_equal(made.present[name], real.present[name])
    forced = real.present["choice"] & ~real.counted
    np.testing.assert_array_equal(made.fields["choice"][forced], real.fields["choice"][forced])
    assert (made.fields["choice"] != real.fields["choice"])[~forced].mean() > 0.2
    paid = np.take_along_axis(real.fields["payoffs"], made.fields["choice"][:, None], 1)[:, 0]
    np.testing.assert_array_equal(made.fields["reward"][real.valid], paid[real.valid])
    np.testing.assert_allclose(made.log_lik, pyem.log_lik(MODEL, made, [BETA, ALPHA]))
    assert simulate(MODEL, key=2, design=made, missed=0.5).n_responses(MODEL).sum() < made.n_responses(MODEL).sum()


def test_a_design_without_responses_or_payoffs_says_what_it_does():
    bare = Dataset.from_frame(table()[["id", "run", "t", "left"]], subject="id", block="run", columns={"cue": "left"})
    made = simulate(MODEL, key=1, design=bare)
    assert made.n_responses(MODEL).tolist() == [40] * 5
    assert any("the design has no payoffs" in note for note in made.notes)
    with pytest.raises(ValueError, match="subjects=3: the design says how many there are"):
        simulate(MODEL, key=1, design=bare, subjects=3)
    with pytest.raises(DataError, match="is shown 'predictors' before it responds, but the design has only 'cue'"):
        simulate(pyem.models.get("glm"), key=1, design=bare)


def test_recovery_and_confusion_share_an_experiment():
    alone = functools.partial(pyem.fit_map)
    study = pyem.recovery(MODEL, key=1, design=data(), fit=alone)
    assert study.truth.shape == (1, 5, 2)
    other = pyem.recovery(MODEL, key=1, design=pyem.Experiment(data=data(), payoffs={"reward": "payoffs"}), fit=alone)
    np.testing.assert_array_equal(study.estimate, other.estimate)
    with pytest.raises(ValueError, match="blocks: the Experiment says that"):
        pyem.recovery(MODEL, key=1, design=pyem.Experiment(), blocks=2)
    with pytest.raises(ValueError, match="are those of the data of the design"):
        pyem.recovery(MODEL, key=1, design=data(), trials=20)
    with pytest.raises(ValueError, match="the design has 5 subjects, but params has 3 rows"):
        pyem.recovery(MODEL, np.ones((3, 2)), key=1, design=data())


def test_predictions_in_other_data_of_the_same_people():
    fit = pyem.fit_map(MODEL, data())
    predicted = pyem.posterior_predictive(
        fit, key=1, draws=3, design=data().select([4, 1]), payoffs={"reward": "payoffs"}
    )
    assert predicted.responses["choice"].shape == (3, 20, 4)
    np.testing.assert_array_equal(predicted.x, fit.draws(3, key=1).x[:, [4, 1]])
    with pytest.raises(ValueError, match="the design has 1 person without a fit, 'x'"):
        pyem.posterior_predictive(
            fit, key=1, design=Dataset.from_arrays({"choice": [[[0, 1]]], "reward": [[[0, 1]]]}, subjects=["x"])
        )
