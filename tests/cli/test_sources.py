"""Data from several files, with a table of people, forced choices and trials over several rows, on the command line."""

import json
import shlex

import pandas as pd

from tests.cli.run import left, pyem_command

MODEL = ("--model", "rw1a1b", "--no-figures")


def test_files_of_people_and_their_table_give_what_one_file_gives(one, frame, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for person, part in frame.groupby("id"):
        part.drop(columns=["id", "age"]).to_csv(folder / f"sub-{person}_beh.csv", index=False)
    frame[["id", "age"]].drop_duplicates().sort_values("age").to_csv(tmp_path / "people.csv", index=False)
    options = ("--subject", "id", "--block", "run", "--trial", "trial", "--column", "choice=response", "--column")
    options = (*options, "reward=feedback", "--pattern", "sub-{id}_*.csv", "--people", tmp_path / "people.csv")
    done = pyem_command("fit", folder, *MODEL, *options, "--covariate", "age", "--out", tmp_path / "a")
    assert "16 files were read" in done.stdout.replace("\n", " ")
    assert (tmp_path / "a" / "group.csv").read_bytes() == (one[0] / "group.csv").read_bytes()
    log = json.loads((tmp_path / "a" / "run.json").read_text())
    assert log["data"]["file"] == [*(f"sub-{k}_beh.csv" for k in range(16)), "people.csv"]
    # The command of the log names the folder; a list of files does as well.
    words = shlex.split(log["command"])[1:]
    words[1:2] = [str(file) for file in sorted(folder.iterdir())]
    pyem_command(*words, "--out", tmp_path / "b", "--no-figures")
    pyem_command("repeat", tmp_path / "b", "--out", tmp_path / "c", "--no-figures")
    for name in "bc":
        assert (tmp_path / name / "group.csv").read_bytes() == (one[0] / "group.csv").read_bytes()
    (folder / "sub-3_beh.csv").unlink()
    refused = pyem_command("repeat", tmp_path / "a", "--out", tmp_path / "d", "--no-figures", code=1)
    assert "is not the file that was fitted" in refused.stderr
    assert left(tmp_path) == ["a", "b", "c", "data", "people.csv"]


def test_joined_rows_and_forced_choices_are_told_and_logged(frame, tmp_path):
    file = tmp_path / "rows.csv"
    choices = frame.assign(feedback=None, kind=["free", "forced", "free"] * (len(frame) // 3))
    pd.concat([choices, frame.assign(response=None)]).to_csv(file, index=False)
    options = ("--subject", "id", "--block", "run", "--trial", "trial", "--column", "choice=response")
    options = (*options, "--column", "reward=feedback", "--method", "map")
    refused = pyem_command("fit", file, *MODEL, *options, "--out", tmp_path / "a", code=1)
    assert "trial 0 (column 'trial') is there twice" in refused.stderr
    done = pyem_command(
        "fit", file, *MODEL, *options, "--join-rows-by", "trial", "--count", "kind=free", "--out", tmp_path / "a"
    )
    said = " ".join(done.stdout.split())
    assert "1920 rows are 960 trials" in said
    assert "320 of 960 trials are left out of the likelihood" in said
    request = json.loads((tmp_path / "a" / "run.json").read_text())["request"]
    assert (request["join_rows_by"], request["count"]) == (["trial"], {"kind": ["free"]})
