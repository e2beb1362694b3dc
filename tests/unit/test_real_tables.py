"""Tables as people have them: right, or an error that says what to write; nothing is taken for what it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import pyem
from pyem import DataError, Dataset
from pyem.engine.validate import validate

NAN = float("nan")
RW = pyem.models.get("rw1a1b")
COLUMNS = {"choice": "choice", "reward": "reward"}


def table(**columns: Any) -> pd.DataFrame:
    """Two people with four trials each."""
    plain = {"subject": np.repeat(["s1", "s2"], 4), "choice": [0, 1, 1, 0] * 2, "reward": [1.0, 0.0, 0.5, 1.0] * 2}
    return pd.DataFrame(plain | {name: list(values) for name, values in columns.items()})


def read(frame: Any, **options: Any) -> Dataset:
    return Dataset.from_frame(frame, **({"subject": "subject", "columns": COLUMNS} | options))


def written(path: Path, text: str, encoding: str = "utf-8", **options: Any) -> Dataset:
    path.write_bytes(text.encode(encoding))
    return Dataset.read(path, **({"subject": "subject", "columns": COLUMNS} | options))


def refused(act: Callable[[], Any]) -> str:
    with pytest.raises(DataError) as caught:
        act()
    return str(caught.value)


# -- quantities ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("loss", "win"), "{'loss': 0, 'win': 1}"),
        (("win", "loss"), "{'loss': 0, 'win': 1}"),
        (("correct", "incorrect"), "{'incorrect': 0, 'correct': 1}"),
        (("yes", "no"), "{'no': 0, 'yes': 1}"),
        (("true", "False"), "{'False': 0, 'true': 1}"),
        (("gain", "Loss"), "{'Loss': 0, 'gain': 1}"),
        (("small", "big"), "{'small': 0, 'big': 1}"),
    ],
)
def test_words_are_worth_what_is_stated(words: tuple[str, str], values: str) -> None:
    frame = table(reward=words * 4)
    said = refused(lambda: read(frame))
    assert f"column 'reward' has the text {words[0]!r} for subject 's1' (row 1), where numbers are expected" in said
    # What the error spells out is ready to paste.
    assert f"values={{'reward': {values}}}" in said
    assert "codes=" not in said
    data = read(frame, values={"reward": eval(values)})
    assert data.fields["reward"][:, 0].tolist() == [eval(values)[word] for word in words * 2]
    assert "reward" not in data.codes
    low, high = eval(values)
    assert f"reward (column 'reward'): {low!r} is 0, {high!r} is 1" in data.notes


@pytest.mark.parametrize(
    ("cells", "remedy"),
    [
        (["-0,5", "1,25", "10,0", "0,5"], "or read the file with decimal=','"),
        (["5%", "10%", "5%", "0%"], "write plain numbers, without signs and units"),
        (["$0.50", "$1.00", "$0", "$2"], "write plain numbers, without signs and units"),
        (["300 ms", "250 ms", "1 ms", "2 ms"], "write plain numbers, without signs and units"),
        (["1.234,5", "2", "3", "4"], "write plain numbers, without signs and units"),
        (["low", "mid", "high", "mid"], "values={'reward': {'low': 0, 'mid': 1, 'high': 2}}"),
        ([0j, 1 + 0j, 0j, 1 + 0j], "has the complex '0j'"),
        (list(pd.to_timedelta([0, 1, 0, 1], unit="s")), "make numbers of it first"),
        (list(pd.to_datetime(["2024-05-01"] * 4)), "make numbers of it first"),
        (pd.Categorical(["low", "high", "low", "low"] * 2, ["low", "high"], ordered=True), "one of ordered categories"),
    ],
    ids=["comma", "percent", "currency", "unit", "thousands", "words", "complex", "time", "date", "ordered"],
)
@pytest.mark.parametrize("field", ["reward", "y", "difficulty"])
def test_text_is_no_quantity(cells: Any, remedy: str, field: str) -> None:
    cells = cells if len(cells) == 8 else [*cells, *cells]
    frame = table().assign(**{field: cells})
    columns = {"choice": "choice", field: field}
    said = refused(lambda: read(frame, columns=columns))
    assert f"column {field!r} has the" in said
    assert "for subject 's1' (row 1)" in said
    assert remedy.replace("reward", field) in said


def test_text_of_labels_is_coded_and_reported() -> None:
    frame = table(cue=["face", "house", None, "face"] * 2, cue2=["5%", "10%", "5%", "5%"] * 2)
    data = read(frame, columns=COLUMNS | {"cue": "cue"})
    assert data.codes["cue"] == ("face", "house")
    assert "cue (column 'cue'): 'face' is 0, 'house' is 1" in data.notes
    assert "without signs and units" in refused(lambda: read(frame, columns=COLUMNS | {"cue": "cue2"}))


def test_values_that_cannot_be_used() -> None:
    frame = table(reward=["win", "loss", "draw", "win"] * 2)
    tell = lambda worth: refused(lambda: read(frame, values=worth))  # noqa: E731
    assert "has 'draw' for subject 's1' (row 3), which is not among the values" in tell(
        {"reward": {"win": 1, "loss": 0}}
    )
    assert "expected a number for each word" in tell({"reward": {"win": "much"}})
    assert "expected a number for each word" in tell({"reward": {}})
    assert "values= names 'outcome', but the mapped columns are ['choice', 'reward']" in tell({"outcome": {"win": 1}})
    assert "expected what words are worth" in tell({"reward": ["win"]})
    both = refused(lambda: read(frame, values={"reward": {"win": 1}}, codes={"reward": ["win"]}))
    assert "values= and codes= both say what 'reward' means" in both
    numbers = read(table(reward=[1, 2, 2, 1] * 2), values={"reward": {1: 0.5, 2: -0.5}})
    assert numbers.fields["reward"][:, 0].tolist() == [0.5, -0.5, -0.5, 0.5]


def test_booleans_are_noted() -> None:
    data = read(table(reward=[True, False, True, True] * 2))
    assert "reward (column 'reward'): False is 0, True is 1" in data.notes


# -- codes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "cells", "codes", "labels"),
    [
        ("choice2", [1, 2, 2, 1], [0, 1, 1, 0], (1, 2)),
        ("second_choice", [-1, 1, 1, -1], [0, 1, 1, 0], (-1, 1)),
        ("action_1", ["1", "3", "2", "1"], [0, 2, 1, 0], (1, 2, 3)),
    ],
)
def test_every_choice_is_counted_from_0(field: str, cells: list, codes: list[int], labels: tuple) -> None:
    data = read(table().assign(**{field: cells * 2}), columns=COLUMNS | {field: field})
    assert data.fields[field][:, 0].tolist() == codes
    assert data.codes[field] == labels
    assert any(note.startswith(f"{field} (column {field!r}): {labels[0]} is 0") for note in data.notes)


def test_inputs_are_counted_from_0_where_it_is_asked_for() -> None:
    frame = table(cue=[4, 1, 3, 2] * 2)
    assert read(frame, columns=COLUMNS | {"cue": "cue"}).fields["cue"][:, 0].tolist() == [4, 1, 3, 2]
    data = read(frame, columns=COLUMNS | {"cue": "cue"}, codes={"cue": None})
    assert data.fields["cue"][:, 0].tolist() == [3, 0, 2, 1]
    assert "cue (column 'cue'): 1 is 0, 2 is 1, 3 is 2, 4 is 3" in data.notes


def outcomes(rewards: list) -> Dataset:
    return read(table(reward=rewards * 2))


def test_codes_that_a_model_cannot_have_are_told_by_what_they_probably_are() -> None:
    wins = pyem.models.get("aif_bandit")
    said = refused(lambda: validate(wins, outcomes([-1, 1, 1, -1])))
    assert "column 'reward' has code -1 for subject 's1', but model 'aif_bandit' has 2 options" in said
    assert "say which values are its codes, in order: codes={'reward': [-1, 1]}" in said
    validate(wins, read(table(reward=[-1, 1, 1, -1] * 2), codes={"reward": [-1, 1]}))
    arrays = Dataset.from_arrays({"choice": [[[2, 3, 2]]], "reward": [[[0, 1, 1]]]})
    assert "codes={'choice': [2, 3]}" in refused(lambda: validate(RW, arrays))
    pair = read(table(), columns={"choice": ["choice", "choice"], "reward": "reward"})
    assert "column 'choice' has 2 values in each trial, but model 'rw1a1b' explains one" in refused(
        lambda: validate(RW, pair)
    )


# -- markers of missing values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "marker"),
    [
        (["f", "j", "no response", "f"], "no response"),
        (["f", "j", "--", "f"], "--"),
        (["f", "j", "TIMEOUT", "f"], "TIMEOUT"),
        ([1, 2, 0, 1], 0),
        ([0, 1, 999, 0], 999),
        ([1, 2, 99, 1], 99),
        ([0, 1, -1, 0], -1),
        (["0", "1", "n.a.", "0"], "n.a."),
        ([0, 1, "miss", 0], "miss"),
    ],
)
def test_markers_of_missing_responses(cells: list, marker: Any) -> None:
    frame = table(choice=cells * 2)
    if all(isinstance(cell, int) for cell in cells) or isinstance(cells[0], str):
        said = refused(lambda: validate(RW, read(frame)))
        assert f"pass missing={{'choice': [{marker!r}]}} (--missing on the command line)" in said
        assert "options=" not in said
    data = read(frame, missing={"choice": [marker]})
    validate(RW, data)
    assert data.present["choice"].T.tolist() == [[True, True, False, True]] * 2
    assert f"column 'choice': 2 cells that are {marker!r} are taken as missing" in data.notes
    assert read(frame, missing={"choice": marker}).notes == data.notes
    others = read(table(choice=[cells[0], cells[1], None, cells[3]] * 2))
    assert data.codes == others.codes
    np.testing.assert_array_equal(data.fields["choice"], others.fields["choice"])


def test_markers_in_quantities_and_covariates() -> None:
    frame = table(reward=["1", "0.5", "none given", "1"] * 2, age=[30] * 4 + [999, 40, 999, 40])
    said = refused(lambda: read(frame))
    assert "has the text 'none given' for subject 's1' (row 3)" in said
    data = read(frame, missing={"reward": "none given", "age": [999]}, covariates=["age"])
    assert data.present["reward"].T.tolist() == [[True, True, False, True]] * 2
    assert data.covariates["age"].tolist() == [30.0, 40.0]
    assert refused(lambda: read(frame, missing={"rt": [0]})).startswith(
        "missing= names 'rt', but the mapped columns are"
    )
    assert "expected values by column" in refused(lambda: read(frame, missing=["none given"]))


def test_a_word_that_may_be_an_option_is_noted() -> None:
    data = read(table(choice=["go", "none", "go", "go"] * 2))
    assert data.codes["choice"] == ("go", "none")
    assert any(
        "'none' is taken as an option; if it marks a missed response, pass missing=" in note for note in data.notes
    )


# -- identifiers --------------------------------------------------------------------------------------------------------


def test_people_and_blocks_keep_the_names_of_the_file(tmp_path: Path) -> None:
    names = ["1", "01", "001", "NA", "5e3", "610000000000000000000001", "610000000000000000000002", "P1", '"P1 "']
    rows = [f"{name},{block},{t % 2},1" for name in names for block in ("010", "2") for t in range(2)]
    data = written(tmp_path / "a.csv", "subject,part,choice,reward\n" + "\n".join(rows), block="part")
    assert data.subjects.tolist() == [*names[:-1], "P1 "]
    assert data.lane_block.tolist() == ["2", "010"] * 9
    assert data.to_frame()["subject"].unique().tolist() == data.subjects.tolist()
    assert (
        "subjects '1' and '01' and '001' differ in spaces, capitals, leading zeros or a .0 only, and are kept apart (2 such "
        "cases in all)" in data.notes
    )


def test_people_of_tables_in_memory() -> None:
    long = [610000000000000000000001, 610000000000000000000002]
    data = read(table(subject=np.repeat(np.array(long, object), 4)))
    assert data.subjects.tolist() == list(map(str, long))
    assert read(table(subject=[2**60 + 1] * 4 + [2**60] * 4)).subjects.tolist() == [2**60 + 1, 2**60]
    said = refused(lambda: read(table(subject=np.repeat([6.1e23, 5.0], 4))))
    assert "column 'subject' has the number 6.1e+23 in row 1" in said
    assert "keep the column as text (dtype=str)" in said
    assert "has the number inf" in refused(lambda: read(table(subject=np.repeat([np.inf, 5.0], 4))))
    assert read(table(part=["9" * 5000, "10"] * 4), block="part").n_lanes == 4


def test_columns_may_be_named_by_numbers() -> None:
    frame = table().set_axis(range(3), axis=1)
    data = Dataset.from_frame(frame, subject=0, columns={"choice": 1, "reward": 2})  # type: ignore[arg-type, dict-item]
    np.testing.assert_array_equal(data.fields["reward"], read(table()).fields["reward"])


@pytest.mark.parametrize("columns", [None, ["choice", "reward"], "choice"])
def test_columns_that_are_no_mapping(columns: Any) -> None:
    assert "expected the model's columns and the table's, as in columns={'choice': 'response'}" in refused(
        lambda: read(table(), columns=columns)
    )
    assert "expected a list of labels in order" in refused(lambda: read(table(), codes={"choice": 2}))


# -- arrays -------------------------------------------------------------------------------------------------------------


def test_masked_arrays() -> None:
    choice = np.tile([0, 1], 4).reshape(1, 1, 8)
    data = Dataset.from_arrays({"choice": np.ma.masked_array(choice, choice == 1), "reward": choice * 1.0})
    assert data.present["choice"][:, 0].tolist() == [True, False] * 4
    nested = Dataset.from_arrays({"choice": [[np.ma.masked_equal([0, 1, 1], 1)]]})
    assert nested.present["choice"][:, 0].tolist() == [True, False, False]


def test_lists_of_unequal_length() -> None:
    data = Dataset.from_arrays({"choice": [[[0, 1]], [[1, None, 1], [0]]], "reward": [[[0, 1]], [[1, 0.5, 1], [1]]]})
    assert data.valid.T.tolist() == [[True, True, False], [True] * 3, [True, False, False]]
    assert data.lane_subject.tolist() == [0, 1, 1]
    assert data.present["choice"].T.tolist() == [[True, True, False], [True, False, True], [True, False, False]]
    assert data.fields["choice"].dtype == np.int32
    assert data.n_trials == 6
    unlike = lambda: Dataset.from_arrays({"choice": [[[0, 1, 1]], [[1]]], "reward": [[[0, 1]], [[1]]]})  # noqa: E731
    assert "have 3 and 2 trials in block 0 of subject 0" in refused(unlike)


@pytest.mark.parametrize("value", [None, "text", 3, [1, 2], [[0, 1]], [[[]]], {"a": 1}, []])
def test_what_is_no_array_of_trials(value: Any) -> None:
    refused(lambda: Dataset.from_arrays({"choice": value}))


@pytest.mark.parametrize(
    ("values", "labels", "codes"),
    [
        ([1, 2, 2], [1, 2], [0, 1, 1]),
        ([0, 1, 1], [1, 2], [0, 1, 1]),
        ([0, 1, 1], ["left", "right"], [0, 1, 1]),
        (["right", "left", "left"], ["left", "right"], [1, 0, 0]),
        ([-1, 1, 1], [-1, 1], [0, 1, 1]),
    ],
)
def test_values_of_arrays_are_codes_or_labels(values: list, labels: list, codes: list[int]) -> None:
    data = Dataset.from_arrays({"choice": [[values]]}, codes={"choice": labels})
    assert data.fields["choice"][:, 0].tolist() == codes
    assert data.present["choice"].all()
    assert data.codes["choice"] == tuple(labels)


def test_arrays_that_may_mean_two_things_are_refused() -> None:
    arrays = lambda values, labels: Dataset.from_arrays({"choice": [[values]]}, codes={"choice": labels})  # noqa: E731
    assert "which may be the labels [1, 2] or the codes 0 to 1" in refused(lambda: arrays([1, 1, 1], [1, 2]))
    assert "has 3, which is neither among the labels" in refused(lambda: arrays([1, 2, 3], [1, 2]))
    assert "if it marks a missing value" in refused(lambda: arrays([1, 2, 999], [1, 2]))
    data = Dataset.from_arrays({"choice": [[[1, 2, 999]]]}, codes={"choice": [1, 2]}, missing={"choice": 999})
    assert data.present["choice"][:, 0].tolist() == [True, True, False]


# -- labels of the file in what comes out -------------------------------------------------------------------------------


def test_labels_stand_beside_codes() -> None:
    data = read(table(choice=["left", None, "right", "left"] * 2))
    fit = pyem.fit_map(RW, data)
    rows = fit.latents()
    assert rows["choice_label"].fillna("").tolist() == ["left", "", "right", "left"] * 2
    assert rows["choice"].tolist()[2:4] == [1, 0]
    assert fit.to_arviz().constant_data["choice_label"].values.tolist() == ["left", "right", "left"] * 2
    assert "choice_label" not in pyem.fit_map(RW, read(table())).latents()


def test_kinds_of_tables_agree_on_filters_and_markers() -> None:
    frame = table(choice=[1, 2, 0, 1] * 2)
    pandas, polars = (read(one, missing={"choice": 0}, exclude=["s2"]) for one in (frame, pl.from_pandas(frame)))
    pd.testing.assert_frame_equal(pandas.to_frame(), polars.to_frame(), check_dtype=False)
