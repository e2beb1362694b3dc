"""What the command line says about the file it reads is what Python is told."""

import dataclasses

import pandas as pd
import pytest

import pyem
from pyem.cli.clustered import opened
from pyem.cli.reading import read_data
from pyem.cli.runs import Request
from pyem.cli.spreadsheet import csv_bytes
from tests.cli.run import pyem_command

RW = pyem.models.get("rw1a1b")

FILE = """sep=;
id;phase;key;won;size
001;main;left;yes;0,5
001;main;right;no;0,5
001;warm up;left;yes;0,5
1;main;none;yes;1,5
1;main;left;no;1,5
=2;main;left;no;2,5
;;;;
"""
OPTIONS = (
    *("--subject", "id", "--column", "choice=key", "--column", "reward=won"),
    *("--codes", "choice=left, right", "--values", "reward=no:0, yes:1", "--missing", "choice=none, 0"),
    *("--where", "phase == 'main'", "--exclude", "=2", "--covariate", "size"),
)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.csv").write_text(FILE)
    return tmp_path / "a.csv"


def test_a_wide_table_is_told_with_the_remedy_by_every_reader(tmp_path):
    wide = pd.DataFrame({"id": ["a", "b"]} | {f"drug_{k}": [0, 1] for k in range(60)})
    wide.to_csv(tmp_path / "wide.csv", index=False)
    remedy = r"there is a column for each trial \('drug_0', 'drug_1', ...\).*pandas.wide_to_long"
    request = Request(str(tmp_path / "wide.csv"), ("rw1a1b",), subject="id")
    for reader in (read_data, opened):
        with pytest.raises(pyem.DataError, match=rf"rw1a1b needs the column 'choice'.*'drug_28', \.\.\.; {remedy}"):
            reader(request, [RW])
    said = {"subject": "id", "columns": {"choice": "choice", "reward": "won"}}
    for read in (pyem.Dataset.read, pyem.Dataset.open):
        with pytest.raises(pyem.DataError, match=remedy):
            read(tmp_path / "wide.csv", **said)


def test_the_command_reads_what_python_reads(path, monkeypatch):
    asked = []
    monkeypatch.setattr("pyem.cli.fitting._run", lambda request, *_, **__: asked.append(request))
    pyem_command("fit", path, "--model", "rw1a1b", *OPTIONS)
    (request,) = asked
    data = read_data(request, [RW])
    same = pyem.Dataset.read(
        path,
        subject="id",
        columns={"choice": "key", "reward": "won"},
        codes={"choice": ["left", "right"]},
        values={"reward": {"no": 0, "yes": 1}},
        missing={"choice": ["none", 0]},
        where="phase == 'main'",
        exclude=["=2"],
        covariates=["size"],
    )
    pd.testing.assert_frame_equal(data.to_frame(), same.to_frame())
    assert data.subjects.tolist() == ["001", "1"]
    assert data.covariates["size"].tolist() == [0.5, 1.5]
    assert data.notes[0] == same.notes[0] == "the first line of the file says that its columns are separated by ';'"
    # The log asks for the same again, in words and as values.
    assert Request.from_dict(dataclasses.asdict(request)) == request
    import shlex

    pyem_command(*shlex.split(request.command())[1:])
    assert asked[1] == request


@pytest.mark.parametrize(
    "words", [("--values", "reward=yes"), ("--values", "reward=yes:much"), ("--missing", "choice")]
)
def test_wrong_usage(path, words):
    assert "Usage: pyem fit" in pyem_command("fit", path, "--model", "rw1a1b", *words, code=2).stderr


def test_codes_that_all_models_share_are_counted_from_0(tmp_path):
    lines = "".join(f"{who},{1 + t % 2},{2 * (t % 3 > 0) - 1}\n" for who in "ab" for t in range(6))
    (tmp_path / "a.csv").write_text("subject,choice,reward\n" + lines)
    wins = pyem.models.get("aif_bandit")
    request = Request(data=str(tmp_path / "a.csv"), models=("aif_bandit",))
    assert "reward (column 'reward'): -1 is 0, 1 is 1" in read_data(request, [wins]).notes
    # Where another model takes the same column for a quantity it stays one.
    assert "reward" not in read_data(request, [wins, RW]).codes


def test_no_name_is_a_formula():
    frame = pd.DataFrame(
        {"name": ["=1+1", "+x", "-5", "@a", "s1", None], "value": [-1.5, 2, 3, 4, 5, 6]},
        index=pd.Index(["=A1", "b", "-c", "d", "+1", "f"], name="subject"),
    )
    lines = csv_bytes(frame, index=True).decode().splitlines()
    assert lines[0] == "subject,name,value"
    assert [line.split(",")[0] for line in lines[1:]] == ["'=A1", "b", "'-c", "d", "+1", "f"]
    assert [line.split(",")[1] for line in lines[1:]] == ["'=1+1", "'+x", "-5", "'@a", "s1", ""]
    assert lines[1].endswith(",-1.5")
    rows = pd.MultiIndex.from_product([["=mean"], ["alpha", "-beta"]], names=["kind", "parameter"])
    two = csv_bytes(pd.DataFrame({"x": [1, 2]}, index=rows), index=True).decode()
    assert two.splitlines()[1:] == ["'=mean,alpha,1", "'=mean,'-beta,2"]
