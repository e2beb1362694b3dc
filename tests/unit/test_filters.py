"""Which rows of a table count, and what is said of the others."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest

from pyem import DataError, Dataset
from pyem.data.conditions import fulfilled

NAN = float("nan")

FRAME = pd.DataFrame(
    {
        "subject": ["01", "01", "02", "02", "03", "03"],
        "phase": ["warm up", "main", "main", "main", "warm up", None],
        "practice": [True, False, False, True, None, False],
        "flag": [1, 0, 0, 1, 0, 0],
        "rt ms": [300.0, 450.0, NAN, 800.0, 1200.0, 90.0],
        "choice": [0, 1, 1, 0, 1, 0],
    }
)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("phase == 'main'", [1, 2, 3]),
        ("phase != 'main'", [0, 4, 5]),
        ("phase == 'main' and not practice", [1, 2]),
        ("not practice", [1, 2, 4, 5]),
        ("not flag", [1, 2, 4, 5]),
        ("flag == True", [0, 3]),
        ("`rt ms` < 500", [0, 1, 5]),
        ("100 < `rt ms` <= 800", [0, 1, 3]),
        ("`rt ms` / 1000 > 0.4 + 0.1", [3, 4]),
        ("subject in ['01', '03']", [0, 1, 4, 5]),
        ("subject not in ('01',)", [2, 3, 4, 5]),
        ("phase in ['main'] or (practice and choice == 0)", [0, 1, 2, 3]),
        ("choice != -1", [0, 1, 2, 3, 4, 5]),
        ("subject == '02'", [2, 3]),
        ("choice == flag", [5]),
    ],
)
@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_conditions(where: str, rows: list[int], kind: str) -> None:
    frame = FRAME if kind == "pandas" else pl.from_pandas(FRAME)
    expected = [3] if where == "choice == flag" else rows
    found = np.flatnonzero(fulfilled(nw.from_native(frame, eager_only=True), where)).tolist()
    assert found == (
        [k for k in range(6) if FRAME.choice[k] == FRAME.flag[k]] if where == "choice == flag" else expected
    )


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("phas == 'main'", "there is no column 'phas'.*did you mean 'phase'"),
        ("phase == main", "there is no column 'main'.*text is put in quotes"),
        ("phase = 'main'", "cannot be understood; write it as in where="),
        ("", "expected a condition on columns of the table as text"),
        (3, "expected a condition on columns of the table as text"),
        ("subject == 1", "subject is text, but 1 is not: put what is text in quotes"),
        ("1 == subject", "subject is text, but 1 is not"),
        ("choice == '1'", "'1' is text, but choice is not"),
        ("choice", None),
        ("`rt ms`", "`rt ms` holds neither truth values nor 0 and 1; compare it with something"),
        ("phase", "phase holds neither truth values nor 0 and 1"),
        ("phase + 1 > 2", "phase is text, with which nothing can be computed"),
        ("choice in 3", "3 is no list"),
        ("phase.str.len() > 2", "is not understood"),
        ("__import__('os').system('true')", "is no condition"),
        ("choice is 3", "is compared in a way that is not known"),
        ("lambda: 1", "is no condition"),
        ("(" * 300 + "choice == 1" + ")" * 300, "cannot be understood"),
    ],
)
def test_conditions_that_cannot_be_used(where: Any, said: str | None) -> None:
    table = nw.from_native(FRAME, eager_only=True)
    if said is None:
        assert fulfilled(table, where).tolist() == (FRAME.choice == 1).tolist()
        return
    with pytest.raises(DataError, match=said):
        fulfilled(table, where)


def read(frame: Any = FRAME, **options: Any) -> Dataset:
    return Dataset.from_frame(frame, subject="subject", columns={"choice": "choice"}, **options)


def test_rows_are_left_out_before_anything_is_inferred_and_reported() -> None:
    frame = FRAME.assign(choice=[7, 1, 0, 1, 7, 7])
    data = read(frame, where="phase == 'main'")
    assert data.codes["choice"] == (0, 1)
    assert data.subjects.tolist() == ["01", "02"]
    assert data.notes[0] == ("where phase == 'main': 3 of 6 rows are left out, and with them 1 of 3 people")
    fewer = read(frame, where="phase == 'main'", exclude=["01"])
    assert fewer.subjects.tolist() == ["02"]
    assert fewer.notes[1] == "excluded '01': 1 of 6 rows are left out, and with them 1 of 3 people"
    # Rows are told by their number in the table that was given.
    with pytest.raises(DataError, match=r"for subject '02' \(row 4\)"):
        read(frame.assign(choice=[7, 1, 0, 0.5, 7, 7]), where="phase == 'main'")


def test_conditions_come_before_rows_are_joined() -> None:
    """The practice trial has two choices, which joining refuses; its feedback row says nothing of the phase."""
    rows = [(1, 0, None, "practice"), (1, 1, None, "practice"), (2, 1, None, "main"), (2, None, 1, "main")]
    rows += [(3, 0, None, "main"), (3, None, 0, None)]
    frame = pd.DataFrame(rows, columns=["t", "choice", "reward", "phase"]).assign(subject=["a", *["b"] * 5])
    frame.loc[0, "subject"] = "b"
    frame.loc[6] = [None, None, None, None, None]
    options = {"subject": "subject", "columns": {"choice": "choice", "reward": "reward"}, "join_rows_by": "t"}
    with pytest.raises(DataError, match="column 'choice' has two values in one trial"):
        Dataset.from_frame(frame[:6], **options)
    data = Dataset.from_frame(frame, where="phase == 'main'", **options)
    assert data.to_frame(labels=False)["choice"].tolist() == [1, 0]
    assert data.present["reward"][:, 0].tolist() == [True, False]
    told = "\n".join(data.notes)
    assert "where phase == 'main': 4 of 7 rows are left out, and with them 0 of 1 person" in told
    assert "where phase == 'main': in 1 trial it holds in some rows and not in others" in told
    with pytest.raises(DataError, match=r"two values in one trial: .* in row 3 and .* in row 4"):
        Dataset.from_frame(frame.assign(choice=[0, 1, 1, 0, 0, None, None]), where="phase == 'main'", **options)


def test_people_who_are_left_out() -> None:
    assert read(FRAME.assign(subject=[1, 1, 2, 2, 3, 3]), exclude=[2, "3"]).subjects.tolist() == [1]
    with pytest.raises(DataError, match="exclude= names '2', who is not in the table; its people are '01', '02', '03'"):
        read(exclude=["2"])
    with pytest.raises(DataError, match="no row of the table is left"):
        read(where="choice == 9")
    assert read(exclude=()).n_subjects == 3
    assert read(exclude="03").subjects.tolist() == ["01", "02"]


def test_rows_of_nobody() -> None:
    end = pd.DataFrame({"subject": [None, ""], "choice": [NAN, NAN]})
    instruction = pd.DataFrame({"subject": [None], "phase": ["read this"], "choice": [NAN]})
    data = read(pd.concat([FRAME.iloc[:2], instruction, FRAME.iloc[2:], end], ignore_index=True))
    assert data.n_trials == 6
    assert data.notes[:2] == (
        "dropped 2 rows at the end of the table, which are of nobody",
        "dropped 1 row without a person and without a value of the model's columns, such as instructions, the first in row 3",
    )
    np.testing.assert_array_equal(data.fields["choice"], read().fields["choice"])
    lost = pd.concat([FRAME, pd.DataFrame({"subject": [None], "choice": [1]})], ignore_index=True)
    with pytest.raises(DataError, match=r"column 'subject' has no value in row 7 \(1 such rows in all\)"):
        read(lost)


@pytest.mark.parametrize(
    ("numbers", "note"),
    [
        ([1, 2, 3, 4, 5, 6], None),
        ([10, 20, 30, 40, 50, 60], None),
        ([0, 1, 2, 0, 1, 2], None),
        (
            [1, 2, 5, 1, 2, 3],
            "trial numbers jump for 1 subject: 2 trials are not in the table, the first before trial 5 for",
        ),
        ([310, 455, 1200, 1333, 2210, 2222], None),
    ],
)
def test_gaps_in_trial_numbers(numbers: list[int], note: str | None) -> None:
    frame = FRAME.assign(t=numbers, subject=["a"] * 3 + ["b"] * 3)
    found = [text for text in read(frame, trial="t").notes if "jump" in text]
    assert (not found) if note is None else (len(found) == 1 and found[0].startswith(note))


def test_numbers_that_run_through_interleaved_blocks_have_no_gaps() -> None:
    frame = FRAME.assign(t=[1, 2, 3, 4, 5, 6], pair=["x", "y", "y", "x", "x", "y"], subject="a")
    assert not any("jump" in note for note in read(frame, block="pair", trial="t").notes)
