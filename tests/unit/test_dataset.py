"""Data sets from long tables and arrays: lanes, masks, order, notes, and back to a table."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.stats

import pyem
import pyem.engine
from pyem import Dataset, Model, Parameter

NAN = float("nan")
RW = pyem.models.get("rw1a1b")
COLUMNS = {"choice": "resp", "reward": "win"}

# Two people; blocks of different lengths, interleaved; a missed response and a missing outcome.
LONG = pd.DataFrame(
    {
        "id": ["b", "b", "b", "a", "a", "b", "a", "b"],
        "part": [2, 1, 2, 1, 1, 1, 1, 2],
        "t": [1, 1, 2, 1, 2, 2, 3, 3],
        "resp": [1, 0, NAN, 0, 1, 1, 1, 0],
        "win": [0.5, 1.0, 0.0, 0.0, NAN, 1.0, 0.25, 1.0],
        "age": [30, 30, 30, 41, 41, 30, 41, 30],
    }
)


def from_long(frame: Any = LONG, **changes: Any) -> Dataset:
    options: dict[str, Any] = {
        "subject": "id",
        "columns": COLUMNS,
        "block": "part",
        "trial": "t",
        "covariates": ["age"],
    }
    return Dataset.from_frame(frame, **(options | changes))


def same_arrays(one: Dataset, other: Dataset) -> None:
    """The same to the last bit, what fills the gaps included."""
    for name in ("valid", "lane_subject", "lane_block", "subjects"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("fields", "present", "covariates"):
        assert list(getattr(one, name)) == list(getattr(other, name))
        for key, values in getattr(one, name).items():
            np.testing.assert_array_equal(values, getattr(other, name)[key], err_msg=f"{name} {key}")
            assert values.dtype == getattr(other, name)[key].dtype, (name, key)
    assert one.codes == other.codes


# -- lanes --------------------------------------------------------------------------------------------------------------


def test_lanes_of_a_small_table() -> None:
    data = from_long()
    assert data.subjects.tolist() == ["b", "a"]
    assert data.lane_subject.tolist() == [0, 0, 1]
    assert data.lane_block.tolist() == [1, 2, 1]
    assert data.valid.T.tolist() == [[True, True, False], [True, True, True], [True, True, True]]
    assert data.present["choice"].T.tolist() == [[True, True, False], [True, False, True], [True, True, True]]
    assert data.present["reward"].T.tolist() == [[True, True, False], [True, True, True], [True, False, True]]
    seen = lambda name: [data.fields[name][:, k][data.present[name][:, k]].tolist() for k in range(3)]  # noqa: E731
    assert seen("choice") == [[0, 1], [1, 0], [0, 1, 1]]
    assert seen("reward") == [[1.0, 1.0], [0.5, 0.0, 1.0], [0.0, 0.25]]
    assert data.covariates["age"].tolist() == [30.0, 41.0]
    assert data.trial is not None
    assert data.trial[data.valid].tolist() == [1, 1, 1, 2, 2, 2, 3, 3]
    assert (data.n_subjects, data.n_lanes, data.n_trials) == (2, 3, 8)


def test_padding_and_gaps_hold_values_that_were_seen() -> None:
    data = from_long()
    assert data.fields["choice"].dtype == np.int32
    for values in data.fields.values():
        assert np.isfinite(values).all()
    for name, values in data.fields.items():
        assert set(np.unique(values)) <= set(np.unique(values[data.present[name]]))


def test_masks_of_missed_responses_and_missing_outcomes() -> None:
    data = from_long()
    responded, learn = data.masks(RW)
    assert responded["choice"].T.tolist() == [[True, True, False], [True, False, True], [True, True, True]]
    assert learn.T.tolist() == [[True, True, False], [True, False, True], [True, False, True]]
    assert data.n_responses(RW).tolist() == [4, 3]


def twofold(**settings: Any) -> Model:
    both = lambda p, state, trial: {"choice": pyem.Categorical(p.b * state), "second": pyem.Categorical(p.b * state)}  # noqa: E731

    def learn(p: Any, q: Any, trial: Any) -> Any:
        return q.at[trial.second].add(0.5 * (trial.reward - q[trial.second])), {}

    settings = {"outcomes": ("reward",), "init": lambda p: jnp.zeros(2), "update": learn} | settings
    return Model("twofold", (Parameter("b", mean=1.0),), both, responses=("choice", "second"), **settings)


def test_a_trial_teaches_if_no_response_is_missing() -> None:
    fields = {"choice": [[[0, 1, -1, 0]]], "second": [[[1.0, NAN, 1.0, 0.0]]], "reward": [[[1.0, 1.0, 1.0, NAN]]]}
    data = Dataset.from_arrays(fields)
    for how, expected in {"responded": [0], "shown": [0, 1, 2], "always": [0, 1, 2, 3]}.items():
        responded, learn = data.masks(twofold(updates=how))
        assert np.flatnonzero(learn[:, 0]).tolist() == expected
        assert np.flatnonzero(responded["choice"][:, 0]).tolist() == [0, 1, 3]
        assert np.flatnonzero(responded["second"][:, 0]).tolist() == [0, 2, 3]
    # A model may say that it knows what to do without.
    _, learn = data.masks(twofold(optional=("second",)))
    assert np.flatnonzero(learn[:, 0]).tolist() == [0, 1]


def test_nothing_is_learned_about_a_response_that_was_missed() -> None:
    rng = np.random.default_rng(5)
    second = rng.integers(0, 2, (3, 1, 12)).astype(float)
    second[..., 4:8] = NAN
    data = Dataset.from_arrays(
        {"choice": rng.integers(0, 2, (3, 1, 12)), "second": second, "reward": np.ones((3, 1, 12))}
    )
    q = np.asarray(pyem.engine.trial_values(twofold(), data, np.ones((3, 1)))["state"])
    assert (q[8] == q[4]).all()
    assert (q[9] != q[8]).any()


def test_a_block_counts_a_trial_whose_responses_are_all_there() -> None:
    model = Model(
        "whole", (Parameter("b"),), log_likelihood=lambda p, t: -((t.y + t.z - p.b) ** 2), responses=("y", "z")
    )
    data = Dataset.from_arrays({"y": [[[1.5, NAN, 2.5]]], "z": [[[0.5, 0.5, NAN]]]})
    responded, _ = data.masks(model)
    assert [mask[:, 0].tolist() for mask in responded.values()] == [[True, False, False]] * 2
    assert data.n_responses(model).tolist() == [1]
    np.testing.assert_allclose(pyem.engine.log_lik(model, data, np.zeros((1, 1))), [-4.0])


@pytest.mark.parametrize("kind", [int, float, np.int8])
def test_whole_numbers_lose_no_digits_and_may_be_indices(kind: Any) -> None:
    def policy(p: Any, state: Any, trial: Any) -> Any:
        rate = np.array([2.0, 3.0, 5.0])
        return numpyro.distributions.Poisson(jnp.asarray(rate)[trial.stimulus] * p.b)

    model = Model("counts", (Parameter("b", pyem.Positive()),), policy, responses=("y",), inputs=("stimulus",))
    rng = np.random.default_rng(6)
    stimulus, y = rng.integers(0, 3, (4, 1, 50)), rng.poisson(3, (4, 1, 50))
    data = Dataset.from_arrays({"stimulus": stimulus, "y": y.astype(kind)})
    expected = scipy.stats.poisson(np.array([2.0, 3.0, 5.0])[stimulus]).logpmf(y).sum((1, 2))
    np.testing.assert_allclose(pyem.engine.log_lik(model, data, np.zeros((4, 1))), expected, rtol=1e-14)
    assert pyem.check(model, data)
    table = data.to_frame()
    again = Dataset.from_frame(table, subject="subject", columns={"stimulus": "stimulus", "y": "y"})
    np.testing.assert_allclose(pyem.engine.log_lik(model, again, np.zeros((4, 1))), expected, rtol=1e-14)


@pytest.mark.parametrize(
    "frame",
    [
        pl.from_pandas(LONG),
        pa.Table.from_pandas(LONG),
        LONG.convert_dtypes(),
        LONG.astype({"id": "category", "part": "category"}),
        LONG.astype({"id": object, "resp": object, "t": float, "part": float}),
        LONG.set_index(np.arange(100, 108)),
        LONG.iloc[:, ::-1],
    ],
    ids=["polars", "arrow", "nullable", "categorical", "object", "other index", "other columns"],
)
def test_every_kind_of_table_gives_the_same_data(frame: Any) -> None:
    same_arrays(from_long(frame), from_long())


def test_order_of_rows_does_not_matter_where_trials_are_numbered() -> None:
    data = from_long()
    for seed in range(5):
        shuffled = from_long(LONG.sample(frac=1, random_state=seed))
        people = [shuffled.subjects.tolist().index(label) for label in data.subjects]
        frame = shuffled.select(people).to_frame()
        pd.testing.assert_frame_equal(frame, data.to_frame())


def test_without_trial_numbers_the_order_of_rows_counts() -> None:
    data = from_long(trial=None)
    same_arrays(data, from_long())
    assert data.trial is None
    assert from_long(LONG[::-1], trial=None).fields["reward"][:, 1].tolist() == [1.0, 0.0, 0.5]


def test_without_blocks_a_subject_is_one_lane() -> None:
    data = from_long(block=None, trial=None)
    assert data.lane_subject.tolist() == [0, 1]
    assert data.valid.sum(0).tolist() == [5, 3]


def test_several_block_columns() -> None:
    frame = LONG.assign(day=[1, 1, 1, 1, 2, 2, 2, 1])
    data = from_long(frame, block=["day", "part"])
    assert data.lane_block.tolist() == ["1/1", "1/2", "2/1", "1/1", "2/1"]
    assert data.valid.sum(0).tolist() == [1, 3, 1, 1, 2]
    assert from_long(frame, block=("part",)).lane_block.tolist() == [1, 2, 1]


def test_blocks_are_sorted_by_number_inside_text() -> None:
    frame = pd.DataFrame({"id": 1, "part": ["run10", "run9", "run1"], "resp": [0, 1, 1]})
    data = from_long(frame, trial=None, covariates=(), columns={"choice": "resp"})
    assert data.lane_block.tolist() == ["run1", "run9", "run10"]


@pytest.mark.parametrize(
    ("labels", "found"),
    [([3, 1], [3, 1]), ([3.0, 1.0], [3, 1]), (["s3", "s1"], ["s3", "s1"]), ([0.5, 0.25], [0.5, 0.25])],
)
def test_labels_of_subjects(labels: list, found: list) -> None:
    frame = pd.DataFrame({"id": np.repeat(labels, 2), "resp": [0, 1, 1, 0]})
    data = Dataset.from_frame(frame, subject="id", columns={"choice": "resp"})
    assert data.subjects.tolist() == found
    assert data.describe().index.tolist() == found


def test_trial_numbers_may_be_floats() -> None:
    data = from_long(LONG.assign(t=LONG.t + 0.5))
    assert data.trial is not None
    assert data.trial[:2, 0].tolist() == [1.5, 2.5]
    assert from_long(LONG.assign(t=LONG.t.astype(float))).trial.dtype.kind == "i"  # type: ignore[union-attr]


# -- fields -------------------------------------------------------------------------------------------------------------


def test_vectors() -> None:
    frame = pd.DataFrame({"id": [1, 1, 2], "x1": [0.5, NAN, 2.0], "x2": [1.0, 1.5, 2.5], "y": [0.1, 0.2, 0.3]})
    data = Dataset.from_frame(frame, subject="id", columns={"predictors": ["x1", "x2"], "y": "y"})
    assert data.fields["predictors"].shape == (2, 2, 2)
    assert data.fields["predictors"][0].T.tolist() == [[0.5, 1.0], [2.0, 2.5]]
    # One missing value makes the vector missing.
    assert data.present["predictors"].T.tolist() == [[True, False], [True, False]]
    assert Dataset.from_frame(frame, subject="id", columns={"x": ["x2"]}).fields["x"].shape == (2, 1, 2)


def test_integers_stay_integers_though_some_are_missing() -> None:
    frame = pd.DataFrame({"id": 1, "stimulus": [3, None, 5], "size": [1.0, 2.0, 3.0], "resp": [0, 1, 0]})
    columns = {"choice": "resp", "stimulus": "stimulus", "size": "size"}
    data = Dataset.from_frame(frame, subject="id", columns=columns)
    assert data.fields["stimulus"].dtype == np.int32
    assert data.fields["size"].dtype == np.float64
    big = Dataset.from_frame(frame.assign(stimulus=2**40), subject="id", columns=columns)
    assert big.fields["stimulus"].dtype == np.float64


def test_text_is_coded_in_any_field() -> None:
    frame = pd.DataFrame({"id": 1, "cue": ["face", "house", None, "face"], "resp": [0, 1, 1, 0]})
    data = Dataset.from_frame(frame, subject="id", columns={"choice": "resp", "cue": "cue"})
    assert data.codes == {"choice": (0, 1), "cue": ("face", "house")}
    assert data.fields["cue"][data.present["cue"]].tolist() == [0, 1, 0]


def test_options_shown_share_their_codes() -> None:
    frame = pd.DataFrame({"id": 1, "left": ["A", "C", "B"], "right": ["D", "A", None], "resp": [0, 1, 1]})
    columns = {"option_left": "left", "option_right": "right", "choice": "resp"}
    data = Dataset.from_frame(frame, subject="id", columns=columns)
    assert data.codes["option_left"] == data.codes["option_right"] == ("A", "B", "C", "D")
    assert data.fields["option_left"][:, 0].tolist() == [0, 2, 1]
    assert data.fields["option_right"][:2, 0].tolist() == [3, 0]
    given = Dataset.from_frame(frame, subject="id", columns=columns, codes={"option_right": ["D", "C", "B", "A"]})
    assert given.fields["option_left"][:, 0].tolist() == [3, 1, 2]


def test_codes_given_for_numbers_that_are_not_coded_by_name() -> None:
    frame = pd.DataFrame({"id": 1, "cue": [10, 20, 10]})
    plain = Dataset.from_frame(frame, subject="id", columns={"cue": "cue"})
    assert plain.fields["cue"][:, 0].tolist() == [10, 20, 10]
    inferred = Dataset.from_frame(frame, subject="id", columns={"cue": "cue"}, codes={"cue": None})
    assert inferred.fields["cue"][:, 0].tolist() == [0, 1, 0]
    given = Dataset.from_frame(frame, subject="id", columns={"cue": "cue"}, codes={"cue": [20, 10]})
    assert given.fields["cue"][:, 0].tolist() == [1, 0, 1]


@pytest.mark.parametrize("first", [0, 1])
def test_codes_from_0_and_from_1_mean_the_same(first: int) -> None:
    data = from_long(LONG.assign(resp=LONG.resp + first))
    np.testing.assert_array_equal(data.fields["choice"], from_long().fields["choice"])
    assert data.codes["choice"] == (first, first + 1)
    assert f"choice (column 'resp'): {first} is 0, {first + 1} is 1" in data.notes


# -- covariates ---------------------------------------------------------------------------------------------------------


def covariate(values: Any) -> Dataset:
    frame = pd.DataFrame({"id": ["a", "a", "b", "b"], "resp": [0, 1, 1, 0], "group": values})
    return Dataset.from_frame(frame, subject="id", columns={"choice": "resp"}, covariates="group")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1.5, 1.5, 2.5, 2.5], [1.5, 2.5]),
        ([True, True, False, False], [1.0, 0.0]),
        (["patient", "patient", "control", "control"], [1.0, 0.0]),
        (pd.Categorical(["old"] * 2 + ["young"] * 2, ["young", "old"], ordered=True), [1.0, 0.0]),
        (["12", "12", "7", "7"], [12.0, 7.0]),
        ([NAN, 3.0, 4.0, NAN], [3.0, 4.0]),
    ],
    ids=["numbers", "booleans", "text", "ordered", "digits", "once each"],
)
def test_covariates(values: Any, found: list[float]) -> None:
    assert covariate(values).covariates["group"].tolist() == found


def test_notes_of_covariates() -> None:
    assert "covariate group: 'control' is 0, 'patient' is 1" in covariate(["patient"] * 2 + ["control"] * 2).notes
    assert (
        "covariate group: 2 empty cells took the value that the subject has elsewhere"
        in covariate([NAN, 3.0, 4.0, NAN]).notes
    )


# -- notes --------------------------------------------------------------------------------------------------------------


def test_notes_of_a_small_table() -> None:
    assert from_long().notes == (
        "blocks were sorted by column 'part': those for subject 'b' (row 2) (1 subjects in all) are interleaved or out of "
        "order in the table",
        "choice (column 'resp'): 0 is 0, 1 is 1",
        "choice (column 'resp') is missing in 1 of 8 trials: they are left out of the likelihood",
        "reward (column 'win') is missing in 1 trials that have a choice: a model that learns from it learns nothing from "
        "them; for one that is shown it they are left out of the likelihood; one that explains it leaves out reward, and what "
        "else was done there counts",
    )


def test_nothing_to_note() -> None:
    frame = pd.DataFrame({"id": [1, 1, 2], "t": [1, 2, 1], "y": [0.5, 0.25, 1.0]})
    assert Dataset.from_frame(frame, subject="id", trial="t", columns={"y": "y"}).notes == ()


def test_a_missed_response_needs_no_outcome() -> None:
    frame = pd.DataFrame({"id": 1, "resp": [0, NAN, 1], "win": [1, NAN, 0]})
    data = Dataset.from_frame(frame, subject="id", columns=COLUMNS, missing_outcome="error")
    assert data.notes[1:] == (
        "choice (column 'resp') is missing in 1 of 3 trials: they are left out of the likelihood",
    )


@pytest.mark.parametrize("response", ["y", "rt", "response"])
def test_responses_of_other_models(response: str) -> None:
    frame = pd.DataFrame({"id": 1, "value": [0.1, NAN, 0.3], "x": [NAN, NAN, 1.0]})
    columns = {"x": "x", response: "value"}
    notes = Dataset.from_frame(frame, subject="id", columns=columns).notes
    assert notes[0].startswith(f"x (column 'x') is missing in 1 trials that have a {response}: ")
    assert notes[1] == f"{response} (column 'value') is missing in 1 of 3 trials: they are left out of the likelihood"


def test_a_response_of_an_unusual_name() -> None:
    frame = pd.DataFrame({"id": [1, 1, 2], "bet": [0.1, 0.2, 0.3], "pot": [NAN, 2.0, NAN]})
    data = Dataset.from_frame(frame, subject="id", columns={"pot": "pot", "bet": "bet"})
    assert data.notes == (
        "pot (column 'pot') is missing in 2 trials: a model that learns from it learns nothing from them; for one that is "
        "shown it they are left out of the likelihood; one that explains it leaves out pot, and what else was done there "
        "counts",
    )


def test_a_column_without_any_value_is_kept() -> None:
    data = from_long(LONG.assign(win=NAN))
    assert not data.present["reward"].any()
    assert "reward (column 'win') is missing in all 7 trials that have a choice" in data.notes[-1]
    frame = pl.DataFrame({"id": [1, 1], "bet": [None, None]})
    assert (
        Dataset.from_frame(frame, subject="id", columns={"bet": "bet"})
        .notes[0]
        .startswith("bet (column 'bet') is missing in all 2 trials: ")
    )


# -- what it says of itself ---------------------------------------------------------------------------------------------


def test_repr() -> None:
    assert repr(from_long()).splitlines()[:4] == [
        "Dataset: 2 subjects, 3 blocks, 8 trials (2 to 3 in a block)",
        "  choice: 0, 1, 1 missing",
        "  reward: 0 to 1, 1 missing",
        "  age: covariate, 30 to 41",
    ]
    assert [line for line in repr(from_long()).splitlines() if "note:" in line] == [
        f"  note: {note}" for note in from_long().notes
    ]
    vectors = Dataset.from_arrays({"x": np.ones((1, 1, 4, 3)), "y": np.full((1, 1, 4), NAN)})
    assert repr(vectors).splitlines() == [
        "Dataset: 1 subjects, 1 blocks, 4 trials (4 in a block)",
        "  x: 3 values, 1 to 1",
        "  y: no values, 4 missing",
    ]
    assert repr(pyem.simulate(RW, subjects=1, trials=3, key=1)).startswith("Simulation: 1 subjects, 1 blocks, 3 trials")


def test_describe() -> None:
    table = from_long().describe()
    assert table.index.tolist() == ["b", "a"]
    assert table.to_dict("list") == {
        "blocks": [2, 1],
        "trials": [5, 3],
        "missing_choice": [1, 0],
        "missing_reward": [0, 1],
        "age": [30.0, 41.0],
    }
    assert table.attrs["codes"] == {"choice": [0, 1]}
    assert table.attrs["notes"] == list(from_long().notes)


# -- there and back -----------------------------------------------------------------------------------------------------


def again(data: Dataset, frame: pd.DataFrame) -> Dataset:
    columns = {
        name: name if array.ndim == 2 else [f"{name}{k}" for k in range(array.shape[1])]
        for name, array in data.fields.items()
    }
    return Dataset.from_frame(
        frame,
        subject="subject",
        block="block",
        trial="trial",
        columns=columns,
        codes=data.codes,
        covariates=list(data.covariates),
    )


MANY = pd.DataFrame(
    {
        "id": ["b", "a", "b", "a", "b", "a", "a"],
        "part": ["y", "z", "x", "x", "y", "x", "x"],
        "resp": ["left", None, "right", "left", "left", "right", "right"],
        "win": [1.0, NAN, 0.0, 1.0, NAN, 0.0, 1.0],
        "cue": [3, 4, NAN, 3, 3, 4, 4],
        "x1": [0.5, NAN, 1.5, 2.5, 3.5, 4.5, 5.5],
        "x2": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        "sex": ["f", "m", "f", "m", "f", "m", "m"],
    }
)


@pytest.mark.parametrize("way", ["frame", "csv", "codes"])
@pytest.mark.parametrize("trial", [None, "t"])
def test_to_frame_and_back(way: str, trial: str | None, tmp_path: Any) -> None:
    frame = MANY.assign(t=[2, 1, 1, 3, 1, 2, 1])
    columns = {"choice": "resp", "reward": "win", "cue": "cue", "predictors": ["x1", "x2"]}
    data = Dataset.from_frame(
        frame,
        subject="id",
        block="part",
        trial=trial,
        columns=columns,
        covariates=["sex"],
        codes={"choice": ["right", "left"]},
    )
    if way == "codes":
        back = again(without_codes(data), data.to_frame(labels=False))
        assert back.codes.pop("choice") == (0, 1)  # type: ignore[attr-defined]
        same_arrays(back, without_codes(data))
        return
    long = data.to_frame()
    if way == "csv":
        long.to_csv(tmp_path / "long.csv", index=False)
        long = pd.read_csv(tmp_path / "long.csv")
    back = again(data, long)
    same_arrays(back, data)
    if trial:
        np.testing.assert_array_equal(back.trial, data.trial)  # type: ignore[arg-type]


def without_codes(data: Dataset) -> Dataset:
    return dataclasses.replace(data, codes={})


def test_to_frame_is_the_table_that_was_read() -> None:
    frame = LONG.rename(columns={"id": "subject", "part": "block", "t": "trial", "resp": "choice", "win": "reward"})
    back = from_long().to_frame()
    expected = frame.sort_values(
        ["subject", "block", "trial"], key=lambda c: c.map({"b": 0, "a": 1}) if c.name == "subject" else c
    )
    pd.testing.assert_frame_equal(back, expected.reset_index(drop=True), check_dtype=False)


def test_simulated_data_and_back() -> None:
    data = pyem.simulate(
        RW, subjects=3, blocks=2, trials=7, missed=0.2, key=3, covariates={"age": np.array([1.0, 2.0, 4.0])}
    )
    back = again(data, data.to_frame())
    assert back.codes == {"choice": (0, 1)}
    for name in ("choice", "reward"):
        np.testing.assert_array_equal(back.present[name], data.present[name])
        kept = data.present[name]
        np.testing.assert_array_equal(back.fields[name][kept], data.fields[name][kept])
    np.testing.assert_array_equal(back.covariates["age"], data.covariates["age"])


# -- arrays -------------------------------------------------------------------------------------------------------------


def test_arrays() -> None:
    choice = np.array([[[0, 1, -1], [1, 1, 0]], [[1, NAN, 0], [0, 0, 0]]])
    reward = np.array([[[0.5, NAN, 1], [0, 1, 0]], [[1, 1, 0], [0, 0, NAN]]])
    data = Dataset.from_arrays(
        {"choice": choice, "reward": reward},
        subjects=["p", "q"],
        covariates={"age": [20, 30]},
        codes={"choice": ["left", "right"]},
    )
    assert data.lane_subject.tolist() == [0, 0, 1, 1]
    assert data.lane_block.tolist() == [0, 1, 0, 1]
    assert data.present["choice"].T.tolist() == [[True, True, False], [True] * 3, [True, False, True], [True] * 3]
    assert data.fields["choice"][data.present["choice"]].dtype == np.int32
    assert data.fields["reward"].T[0, 0] == 0.5
    assert np.isfinite(data.fields["reward"]).all()
    assert data.subjects.tolist() == ["p", "q"]
    assert data.covariates["age"].tolist() == [20.0, 30.0]
    same_arrays(again(data, data.to_frame()), data)


def test_arrays_of_vectors_and_booleans() -> None:
    x = np.arange(24.0).reshape(2, 1, 4, 3)
    x[0, 0, 1, 2] = NAN
    data = Dataset.from_arrays({"x": x, "choice": np.ones((2, 1, 4), bool), "cue": np.array([[[1, NAN, 3, 4]]] * 2)})
    assert data.fields["x"].shape == (4, 3, 2)
    assert data.present["x"][:, 0].tolist() == [True, False, True, True]
    assert data.fields["choice"].dtype == np.int32
    assert data.fields["cue"].dtype == np.int32
    kept = data.present["x"]
    long = again(dataclasses.replace(data, codes={"choice": (0, 1)}), data.to_frame(labels=False))
    np.testing.assert_array_equal(
        np.moveaxis(long.fields["x"], -1, 1)[kept], np.moveaxis(data.fields["x"], -1, 1)[kept]
    )


# -- parts of it --------------------------------------------------------------------------------------------------------


def test_select() -> None:
    data = from_long()
    only = data.select([1])
    assert only.subjects.tolist() == ["a"]
    assert only.lane_subject.tolist() == [0]
    assert only.covariates["age"].tolist() == [41.0]
    same_arrays(data.select([0, 1]), data)
    same_arrays(data.select(np.array([False, True])), only)
    same_arrays(data.select([-1]), only)
    thrice = data.select([1, 0, 1])
    assert thrice.lane_subject.tolist() == [0, 1, 1, 2]
    assert thrice.n_responses(RW).tolist() == [3, 4, 3]
    np.testing.assert_array_equal(thrice.fields["reward"][:, [1, 2]], data.fields["reward"][:, [0, 1]])


def test_select_keeps_the_truth_of_a_simulation() -> None:
    data = pyem.simulate(RW, subjects=4, blocks=2, trials=5, key=1)
    part = data.select([3, 1])
    assert isinstance(part, pyem.Simulation)
    np.testing.assert_array_equal(part.truth, data.truth[[3, 1]])
    np.testing.assert_array_equal(part.log_lik, data.log_lik[[3, 1]])
    np.testing.assert_array_equal(part.true_params, data.true_params[[3, 1]])


# -- counts and digests -------------------------------------------------------------------------------------------------


def timed(inputs: tuple[str, ...] = ()) -> Model:
    normal = lambda p, state, trial: {"choice": pyem.Categorical(p.b * np.arange(2)), "rt": pyem.Normal(p.b, 1.0)}  # noqa: E731
    return Model("timed", (Parameter("b"),), normal, responses=("choice", "rt"), inputs=inputs)


def test_a_choice_and_its_time_are_one_response() -> None:
    frame = LONG.assign(rt=[0.5, NAN, 0.7, 0.4, 0.5, NAN, 0.6, 0.9])
    data = from_long(frame, columns={"choice": "resp", "rt": "rt", "reward": "win"})
    # The missed trial of b has a time: it counts too.
    assert data.n_responses(timed()).tolist() == [5, 3]
    assert data.n_responses(timed(inputs=("reward",))).tolist() == [5, 2]


def test_fingerprint_is_that_of_the_responses() -> None:
    data, rw2 = from_long(), pyem.models.get("rw2a1b")
    known = data.fingerprint(RW)
    assert data.fingerprint(rw2) == known
    assert from_long(LONG.assign(win=1 - LONG.win)).fingerprint(RW) == known
    assert from_long(pl.from_pandas(LONG)).fingerprint(RW) == known
    others = [
        LONG.assign(resp=1 - LONG.resp),
        LONG.assign(resp=LONG.resp.fillna(1)),
        LONG.assign(id=LONG.id.replace("a", "c")),
        LONG[:-1],
    ]
    assert len({known, *(from_long(frame).fingerprint(RW) for frame in others)}) == 5


def test_fingerprint_of_vectors() -> None:
    line = Model("line", (Parameter("b"),), lambda p, s, t: pyem.Normal(p.b, 1.0), responses=("pair",))
    one = Dataset.from_arrays({"pair": np.arange(12.0).reshape(2, 1, 3, 2)})
    other = Dataset.from_arrays({"pair": np.arange(12.0).reshape(2, 1, 3, 2)[..., ::-1]})
    assert one.fingerprint(line) != other.fingerprint(line)


def test_codes_of_arrays_that_count_from_1_are_those_of_the_same_file():
    choice = np.array([[[1, 3, NAN, 1]], [[1, 1, 3, 3]]])
    shown = {"option_left": np.full((2, 1, 4), 2), "option_right": np.full((2, 1, 4), 1)}
    data = Dataset.from_arrays({"choice": choice, "cue": choice, **shown})
    assert data.codes == {"choice": (1, 2, 3), "option_left": (1, 2), "option_right": (1, 2)}
    assert data.fields["choice"].T.tolist() == [[0, 2, 0, 0], [0, 0, 2, 2]]
    assert data.present["choice"].T.tolist() == [[True, True, False, True], [True] * 4]
    assert data.fields["option_left"].tolist() == [[1, 1]] * 4
    assert data.fields["option_right"].tolist() == [[0, 0]] * 4
    np.testing.assert_array_equal(data.fields["cue"][0], [1, 1])
    assert data.notes[0].startswith("choice: 1 is 0, 2 is 1, 3 is 2; if 0 is an option, too")
    assert "codes={'choice': [0, 1, 2, 3]}" in data.notes[0]
    table = pd.DataFrame({"id": np.repeat(["a", "b"], 4), "choice": choice.ravel()})
    file = Dataset.from_frame(table, subject="id", columns={"choice": "choice"})
    np.testing.assert_array_equal(file.fields["choice"], data.fields["choice"])
    assert file.codes["choice"] == data.codes["choice"]


@pytest.mark.parametrize("codes", [{}, {"choice": [0, 1, 2]}], ids=["one", "named"])
def test_codes_of_arrays_stay_where_it_is_told_or_cannot_be_told_that_they_count_from_0(codes):
    choice = np.array([[[1, 1, 2 if codes else 1, 1]]])
    data = Dataset.from_arrays({"choice": choice}, codes=codes)
    np.testing.assert_array_equal(data.fields["choice"][:, 0], choice[0, 0])
    assert data.notes == ()
