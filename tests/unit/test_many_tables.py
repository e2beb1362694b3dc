"""Several files, tables of people, categories, and trials that are spread over several rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pyem import DataError, Dataset, Group
from pyem.data.many_files import entities, find_files
from pyem.population.group import spelled_out

COLUMNS = {"choice": "choice", "reward": "reward"}
TRIALS = pd.DataFrame({"choice": [0, 1, 1], "reward": [1.0, 0.0, 0.5]})


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    for person in ("2", "10", "01"):
        for session in ("1", "2"):
            folder = tmp_path / f"sub-{person}" / f"ses-{session}" / "beh"
            folder.mkdir(parents=True)
            file = folder / f"sub-{person}_ses-{session}_task-bandit_beh.tsv"
            TRIALS.to_csv(file, sep="\t", index=False)
    people = pd.DataFrame({"participant_id": ["sub-01", "sub-2", "sub-10", "sub-11"], "age": [20, 30, 40, 50]})
    people.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("", "bids"),
        ("", "sub-{subject}_ses-{session}_*.tsv"),
        ("", "sub-{subject}/ses-{session}/beh/sub-{subject}_*.tsv"),
        ("*/*/beh/*_beh.tsv", "bids"),
        ("**/sub-{subject}_ses-{session}_task-*.tsv", None),
    ],
)
def test_names_of_files_say_who_and_when(bids, path, pattern):
    found = Dataset.read(f"{bids}/{path}", pattern=pattern, subject="subject", block="session", columns=COLUMNS)
    assert found.subjects.tolist() == ["01", "2", "10"]
    assert found.n_lanes == 6
    assert found.lane_block.tolist() == ["1", "2"] * 3
    assert found.notes[0].startswith("6 files were read: 'sub-01_ses-1_task-bandit_beh.tsv'")


def test_a_list_of_files_and_what_it_should_have_told(bids, tmp_path):
    files = sorted(bids.rglob("*_beh.tsv"))
    found = Dataset.read(files[:2], pattern="bids", subject="subject", columns=COLUMNS)
    assert any("1 subject has several files, whose trials are one sequence" in note for note in found.notes)
    with pytest.raises(
        DataError, match=r"there is no column 'subject' in the 6 files.*pattern='sub-\{subject\}_\*\.tsv'"
    ):
        Dataset.read(files, subject="subject", columns=COLUMNS)
    with pytest.raises(DataError, match="is named twice"):
        find_files([files[0], files[0]])
    with pytest.raises(
        DataError, match=r"'participants\.tsv' does not fit|participants\.tsv' does not fit pattern='bids'"
    ):
        find_files([bids / "participants.tsv"], "bids")
    with pytest.raises(DataError, match=r"none of its 7 tables fits pattern='x-\{who\}\.csv'"):
        find_files(bids, "x-{who}.csv")
    with pytest.raises(DataError, match="no file is like"):
        find_files(f"{bids}/*.csv")


def test_files_that_differ_are_named(bids):
    files = sorted(bids.rglob("*_beh.tsv"))
    TRIALS.drop(columns="reward").to_csv(files[1], sep="\t", index=False)
    with pytest.raises(
        DataError, match=r"beh\.tsv' has no column 'reward', which others have \(1 of 6 files lack it\)"
    ):
        Dataset.read(bids, pattern="bids", subject="subject", block="session", columns=COLUMNS)
    TRIALS.assign(session="3").to_csv(files[1], sep="\t", index=False)
    with pytest.raises(DataError, match="has 'session' '2' in its name and '3' in its column"):
        Dataset.read(bids, pattern="bids", subject="subject", block="session", columns=COLUMNS)
    TRIALS.assign(reward=[1.0, np.inf, 0.0]).to_csv(files[1], sep="\t", index=False)
    with pytest.raises(DataError, match=r"for subject '01' \(row 2 of 'sub-01_ses-2_task-bandit_beh\.tsv'\)"):
        Dataset.read(bids, pattern="bids", subject="subject", block="session", columns=COLUMNS)


@pytest.mark.parametrize("path", ["", "*.csv"])
def test_a_link_to_a_file_that_is_not_there_is_not_left_out(tmp_path, path):
    (tmp_path / "a.csv").write_text("subject,choice,reward\n5,0,1\n5,1,0\n")
    (tmp_path / "b.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(DataError, match=r"b.csv' is a link to a file that is not there; fetch the file, or remove"):
        find_files(tmp_path / path)


def test_people_who_are_numbers_in_one_file_and_broken_ones_in_another_are_noted(tmp_path):
    for name, who in (("a", "5"), ("b", "5.0")):
        (tmp_path / f"{name}.csv").write_text(f"subject,choice,reward\n{who},0,1\n{who},1,0\n")
    data = Dataset.read(tmp_path, subject="subject", columns={"choice": "choice", "reward": "reward"})
    assert any(
        "subjects '5' and '5.0' differ in spaces, capitals, leading zeros or a .0 only" in note for note in data.notes
    )


def test_names_that_are_no_bids_are_not_taken_for_it():
    assert entities(Path("sub-01_task-x_events.tsv.gz"), "bids") == {"subject": "01", "task": "x"}
    assert entities(Path("sub-01_task-x_bold.tsv"), "bids") is None
    assert entities(Path("results_sub-01.csv"), "bids") is None
    assert entities(Path("a/sub-1/sub-2_x.csv"), "sub-{s}/sub-{s}_*.csv") is None


# -- people ---------------------------------------------------------------------------------------------------------------

LONG = pd.DataFrame({"id": np.repeat(list("abcdef"), 2), "choice": [0, 1] * 6, "reward": 1.0})
PEOPLE = pd.DataFrame({"id": list("gfedcba"), "dx": ["c", "p", "c", "q", "p", "c", "q"], "age": range(7)})


def test_people_of_a_bids_data_set(bids):
    found = Dataset.read(
        bids,
        pattern="bids",
        subject="subject",
        block="session",
        columns=COLUMNS,
        people=bids / "participants.tsv",
        covariates="age",
    )
    assert found.covariates["age"].tolist() == [20, 30, 40]
    assert any("1 of the table of people have no trials: '11'" in note for note in found.notes)


def test_categories_are_compared_with_a_reference():
    make = lambda **options: Dataset.from_frame(LONG, subject="id", columns=COLUMNS, people=PEOPLE, **options)  # noqa: E731
    found = make(covariates=["dx", "age"])
    assert {name: values.tolist() for name, values in found.covariates.items()} == {
        "dx[p]": [0, 0, 1, 0, 0, 1],
        "dx[q]": [1, 0, 0, 1, 0, 0],
        "age": [6, 5, 4, 3, 2, 1],
    }
    assert any("the reference is 'c'" in note for note in found.notes)
    assert list(make(covariates="dx", reference={"dx": "q"}).covariates) == ["dx[c]", "dx[p]"]
    assert spelled_out(Group(covariates={"dx": ["alpha"]}), found.covariates).covariates == (
        ("dx[p]", ("alpha",)),
        ("dx[q]", ("alpha",)),
    )
    with pytest.raises(DataError, match="but covariate 'dx' has 'c', 'p', 'q'; name one of these"):
        make(covariates="dx", reference={"dx": "x"})
    with pytest.raises(
        DataError, match=r"covariate 'dx' varies within a subject: it is 'b' for subject 'a' \(row 2\), and 'a'"
    ):
        Dataset.from_frame(LONG.assign(dx=list("abc") * 4), subject="id", columns=COLUMNS, covariates="dx")
    with pytest.raises(DataError, match="has 6 categories for 6 subjects"):
        Dataset.from_frame(LONG.assign(dx=LONG.id), subject="id", columns=COLUMNS, covariates="dx")


def test_numbers_are_categories_if_a_reference_is_named():
    frame = LONG.assign(site=np.repeat([1, 2, 3], 4))
    found = Dataset.from_frame(frame, subject="id", columns=COLUMNS, covariates="site", reference={"site": 2})
    assert {name: values.tolist() for name, values in found.covariates.items()} == {
        "site[1]": [1, 1, 0, 0, 0, 0],
        "site[3]": [0, 0, 0, 0, 1, 1],
    }


@pytest.mark.parametrize(
    ("people", "options", "message"),
    [
        (
            PEOPLE[PEOPLE.id != "b"],
            {},
            "1 subject with trials have no row, or an empty cell, .*: 'b'; .*Without trials are 'g'",
        ),
        (
            PEOPLE.assign(age=[1, 2, None, 4, 5, 6, 7]),
            {},
            "no row, or an empty cell, in the table of people: 'e' \\(empty: 'age' of 'e'\\)",
        ),
        (pd.concat([PEOPLE, PEOPLE.tail(1)]), {}, "subject 'a' has two rows in the table of people .7 and 8"),
        (
            PEOPLE.rename(columns={"id": "name"}),
            {},
            "has no column 'id', by which it is joined; it has 'name', 'dx', 'age'",
        ),
        (PEOPLE, {"covariates": ["sex"]}, "there is no covariate 'sex'; it has 'dx', 'age'"),
        (PEOPLE, {"covariates": []}, "no covariate of the table of people is named"),
        (
            PEOPLE.assign(reward=1),
            {"covariates": ["reward"]},
            "in the table of trials and in that of people|cannot be named",
        ),
        (PEOPLE, {"unmatched": "ignore"}, "expected 'error' or 'drop'"),
    ],
)
def test_people_who_are_missing_or_there_twice(people, options, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_frame(LONG, subject="id", columns=COLUMNS, people=people, **({"covariates": ["age"]} | options))


def test_people_who_are_missing_may_be_left_out():
    found = Dataset.from_frame(
        LONG, subject="id", columns=COLUMNS, people=PEOPLE[PEOPLE.id != "b"], covariates=["age"], unmatched="drop"
    )
    assert found.subjects.tolist() == list("acdef")
    assert any("left out: 'b'" in note for note in found.notes)


# -- rows -----------------------------------------------------------------------------------------------------------------

ROWS = pd.DataFrame(
    {
        "id": "a",
        "trial": [1, 1, 2, 2, 3, 3, None],
        "event": ["choice", "outcome"] * 3 + ["rest"],
        "choice": [0, None, 1, None, None, None, None],
        "reward": [None, 1.0, None, 0.0, None, None, None],
    }
)


def test_rows_that_belong_together_are_refused_and_joined():
    read = lambda frame, **options: Dataset.from_frame(frame, subject="id", columns=COLUMNS, **options)  # noqa: E731
    with pytest.raises(DataError, match=r"'choice' and 'reward' are never in the same row: .*join_rows_by='trial'"):
        read(ROWS)
    for frame in (ROWS, pl.from_pandas(ROWS)):
        found = read(frame, join_rows_by="trial", trial="trial")
        # The third trial was missed, and is there.
        assert found.fields["choice"][:2, 0].tolist() == [0, 1]
        assert found.present["choice"][:, 0].tolist() == [True, True, False]
        assert found.notes[0] == (
            "rows were joined by column 'trial': 6 rows are 3 trials; 1 row without a value of any column that is read was "
            "left out"
        )
    ordered = read(ROWS.drop(columns="trial"), join_rows_by="order")
    assert ordered.to_frame()[["choice", "reward"]].to_numpy().tolist() == [[0, 1], [1, 0]]
    with pytest.raises(
        DataError, match=r"column 'choice' has two values in one trial: 0\.0 in row 1 and 1\.0 in row 2"
    ):
        read(ROWS.assign(choice=[0, 1, 1, None, None, None, None]), join_rows_by="trial")
    with pytest.raises(DataError, match="there is no column 'number'"):
        read(ROWS, join_rows_by="number")
