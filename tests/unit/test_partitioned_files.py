"""Tables that are opened in partitions: what the names of their files say, and decimal commas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pyem import DataError, Dataset
from tests.unit.test_partitioned import check_same

ASKED: dict[str, Any] = {"subject": "subject", "block": "session", "columns": {"choice": "key", "reward": "won"}}
PATTERN = "sub-{subject}_ses-{session}_*"


def rows(seed: int, n: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"key": rng.choice(["f", "j"], n), "won": rng.integers(0, 2, n) * 0.5})


def write(frame: pd.DataFrame, file: Path, **how: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        frame.to_parquet(file, index=False)
    else:
        frame.to_csv(file, index=False, **how)
    return file


def study(folder: Path, ending: str) -> Path:
    """Two sessions of three people, one of whom is called 01 and one NA."""
    for k, who in enumerate(("01", "1", "NA")):
        for session in (1, 2):
            write(rows(10 * k + session), folder / f"sub-{who}" / f"sub-{who}_ses-0{session}_beh.{ending}")
    return folder


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("pattern", [PATTERN, "bids"])
def test_names_of_files_tell_people_and_sessions(tmp_path: Path, ending: str, pattern: str) -> None:
    folder = study(tmp_path, ending)
    how = ASKED | {"pattern": pattern, "where": "session == '02' or subject != '1'"}
    data = Dataset.open(folder, **how, trials_at_once=10)
    assert data.n_partitions == 3
    assert data.subjects.tolist() == ["01", "1", "NA"]
    assert [part.describe().shape[0] for _, part in data.parts()] == [1, 1, 1]
    check_same(data, Dataset.read(folder, **how))
    by_name = {name: value for name, value in how.items() if name != "pattern"}
    files = str(folder / "sub-*" / f"sub-{{subject}}_ses-{{session}}_beh.{ending}")
    check_same(Dataset.open(files, **by_name), Dataset.read(files, **by_name))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_names_of_files_beside_columns(tmp_path: Path, ending: str) -> None:
    """Some files have the column, others only the name; a covariate is in the names, too."""
    for k, group in enumerate(("drug", "drug", "placebo")):
        frame = rows(k) if k else rows(k).assign(group=group)
        write(frame, tmp_path / f"sub-{k}_ses-1_{group}.{ending}")
    how = ASKED | {"pattern": "sub-{subject}_ses-{session}_{group}.*", "covariates": "group"}
    data = Dataset.open(tmp_path, **how)
    assert list(data.covariates) == ["group"]
    assert data.codes["group"] == ("drug", "placebo")
    check_same(data, Dataset.read(tmp_path, **how))
    write(rows(0).assign(group="placebo"), tmp_path / f"sub-0_ses-1_drug.{ending}")
    for read in (Dataset.open, Dataset.read):
        with pytest.raises(DataError, match=r"has 'group' 'drug' in its name and 'placebo' in its column 'group'"):
            read(tmp_path, **how)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("ses-{session}", r"fits pattern='ses-{session}'"),
        ("sub-{person}_*", r"has no column 'subject', 'session'.*give pattern="),
    ],
)
def test_patterns_that_do_not_fit(tmp_path: Path, pattern: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Dataset.open(study(tmp_path, "csv"), **ASKED, pattern=pattern)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_several_files_of_a_person_without_a_block(tmp_path: Path, ending: str) -> None:
    folder = study(tmp_path, ending)
    write(rows(99), folder / f"sub-7_ses-1_beh.{ending}")
    how = {name: value for name, value in ASKED.items() if name != "block"} | {"pattern": PATTERN}
    data = Dataset.open(folder, **how, trials_at_once=12)
    assert any("3 subjects have several files, whose trials are one sequence" in note for note in data.notes)
    check_same(data, Dataset.read(folder, **how))
    alone = Dataset.open(folder, **how, exclude=["1", "NA"])
    assert any("1 subject has several files" in note for note in alone.notes)
    assert not any("several files" in note for note in Dataset.open(folder, **how, exclude=["01", "1", "NA"]).notes)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas(tmp_path: Path, separator: str) -> None:
    frame = pd.concat([rows(k).assign(subject=f"p{k}", session=1) for k in range(4)])
    file = write(frame, tmp_path / "a.csv", sep=separator, decimal=",")
    how = ASKED | {"separator": separator, "decimal": ","}
    data = Dataset.open(file, **how, trials_at_once=12)
    check_same(data, Dataset.read(file, **how))
    plain = Dataset.from_frame(frame.astype({"session": str}), **ASKED)
    np.testing.assert_array_equal(data.partition(0).to_frame().reward, plain.to_frame().reward[:12])
    with pytest.raises(DataError, match=r"expected ',' or '.'"):
        Dataset.open(file, **ASKED | {"decimal": "comma"})
    # A point is no decimal point there, which is no reason to read something else.
    mixed = file.read_text().replace("0,5", "0.5", 1)
    file.write_text(mixed)
    with pytest.raises(DataError, match=r"cannot be read piece by piece|numbers are expected|has text"):
        Dataset.open(file, **how)


def test_files_that_may_have_decimal_commas_say_what_to_do(tmp_path: Path) -> None:
    frame = rows(1).assign(subject="p1", session=1)
    file = write(frame, tmp_path / "a.csv", sep=";")
    with pytest.raises(DataError, match=r"say decimal=',' or decimal='.'"):
        Dataset.open(file, **ASKED, separator=";")
    check_same(
        Dataset.open(file, **ASKED, separator=";", decimal="."), Dataset.read(file, **ASKED, separator=";", decimal=".")
    )
