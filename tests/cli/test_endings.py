"""How runs end that nobody watches to the end, and what is asked for by a slip of the finger."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pyem.cli import program
from pyem.cli.options import effect, quoted, shifts, split_list
from pyem.cli.runs import Request
from tests.cli.run import DATA_OPTIONS, left, pyem_command

FIT = ("--model", "rw1a1b", *DATA_OPTIONS, "--no-figures")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--out", "/"), 1, "'/' is the root of a disk"),
        (("--out", "."), 1, "is the folder you are in"),
        (("--tol", "nan"), 1, "tol=nan; a finite number of at least 0 is needed"),
        (("--tol", "-1"), 1, "tol=-1.0; a finite number of at least 0 is needed"),
        (("--group", "student_t", "--df", "nan"), 1, "df=nan"),
        (("--method", "mle", "--starts", "100000000"), 2, "should be less than or equal to 1000"),
        (("--method", "nuts", "--draws", "10000000000"), 2, "should be less than or equal to 1000000"),
        (("--method", "map", "--resume"), 1, "--resume is for --method em, nuts, svi"),
        (("--covariate", "STAI:trait"), 1, r"a colon in a column's name is written \:"),
    ],
)
def test_what_cannot_be_meant_is_answered_in_words(data_file, tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    target = () if "--out" in words else ("--out", "results")
    result = pyem_command("fit", data_file, *FIT, *words, *target, code=code)
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output
    assert left(tmp_path) == []


def test_too_little_memory_is_said(data_file, tmp_path, monkeypatch):
    from pyem.cli import runs

    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(runs, "run_fits", exhausted)
    result = pyem_command("fit", data_file, *FIT, "--out", tmp_path / "results", code=1)
    assert "there is not enough memory" in result.stderr


def test_separators_in_names_are_written_with_a_backslash():
    name = "STAI:trait, total"
    assert shifts([quoted(name), f"{quoted(name)}:alpha"]) == {name: []}
    assert effect(f"{quoted(name)}:alpha=0.5") == (name, "alpha", 0.5)
    request = Request("d.csv", ("rw1a1b",), columns={"reward": "won, pence"}, covariates={name: ["alpha"]})
    assert r"'STAI\:trait\, total:alpha'" in request.command()
    assert r"'reward=won\, pence'" in request.command()
    assert split_list(r"won\, pence") == "won, pence"


def test_a_covariate_whose_name_has_a_colon_is_fitted(frame, tmp_path):
    frame.rename(columns={"age": "STAI:trait"}).to_csv(tmp_path / "data.csv", index=False)
    words = ("fit", tmp_path / "data.csv", *FIT, "--covariate", r"STAI\:trait:alpha", "--out", tmp_path / "results")
    assert "effect of STAI:trait on alpha" in pyem_command(*words).stdout


# -- in a process of its own ----------------------------------------------------------------------------------------------


def started(*words, **options):
    """The command in a process of its own, which says when it begins."""
    program = "import pyem.__main__ as program; print('begins', flush=True); program.main()"
    environment = {**os.environ, "PYEM_CACHE_DIR": ""}
    command = [sys.executable, "-c", program, *map(str, words)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, **options)
    assert process.stdout.readline() == "begins\n"
    return process


@pytest.mark.slow
def test_results_are_written_although_nobody_reads_what_is_printed(data_file, tmp_path):
    out = tmp_path / "results"
    with started("fit", data_file, *FIT, "--out", out) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")
    assert {"fit.nc", "run.json"} <= set(left(out))


def test_a_pipe_without_a_reader_takes_what_is_printed():
    reads, writes = os.pipe()
    with open(writes, "w") as pipe:
        stream = program.patient(pipe)
        os.close(reads)
        print("a line", file=stream)
        stream.flush()
        with pytest.raises(BrokenPipeError):
            print("a line", file=pipe, flush=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), writes)


@pytest.mark.parametrize("seconds", [0.1, 0.4, 0.8])
def test_ctrl_c_is_answered_in_words_from_the_first_moment_on(data_file, tmp_path, seconds):
    with started("fit", data_file, *FIT, "--out", tmp_path / "results") as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert said == "interrupted: nothing was written\n"
    assert process.returncode == 130
    assert left(tmp_path) == []


@pytest.mark.slow
def test_a_killed_run_goes_on(data_file, tmp_path, monkeypatch):
    """`--resume` keeps where a fit stands beside the results, until these are written."""
    from pyem.infer.checkpoint import Kept

    write, times = Kept.write, []

    def then_die(self, known):
        write(self, known)
        times.append(1)
        if len(times) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Kept, "write", then_die)
    words = ("fit", data_file, *FIT, "--out", tmp_path / "results", "--resume")
    pyem_command(*words, code=130)
    assert left(tmp_path) == [".results.resume"]
    pyem_command(*words)
    assert left(tmp_path) == ["results"]
    pyem_command("fit", data_file, *FIT, "--out", tmp_path / "straight")
    for name in ("group.csv", "subjects.csv"):
        assert (tmp_path / "results" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
