"""Results are there completely or not at all, and nothing that somebody may need is replaced."""

import os
import signal
import subprocess
import sys

import pytest

from pyem.cli import report
from tests.cli.run import DATA_OPTIONS, ROOT, left, pyem_command

STOPPED_WHILE_WRITING = """
import sys, time
from pyem.cli import program, report

write_fit = report.write_fit

def slow(folder, fit):
    write_fit(folder, fit)
    print("WRITING", flush=True)
    time.sleep(60)

report.write_fit = slow
program.main()
"""


def words(data_file, out):
    return ["fit", data_file, "--model", "rw1a1b", *DATA_OPTIONS, "--out", out, "--no-figures"]


# -- interrupted --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_run_that_is_stopped_half_way_leaves_nothing(data_file, tmp_path, number, code):
    command = [sys.executable, "-c", STOPPED_WHILE_WRITING, *map(str, words(data_file, tmp_path / "results"))]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYEM_CACHE_DIR": ""},
    )
    for line in process.stdout:
        if "WRITING" in line:
            break
    assert len(left(tmp_path)) == 1, "while it writes there is a folder of another name"
    assert not (tmp_path / "results").exists()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in said
    assert left(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("No space left on device"), RuntimeError("a bug")])
def test_an_error_half_way_leaves_nothing(data_file, tmp_path, monkeypatch, error):
    def fail(folder, content):
        assert (folder / "group.csv").exists()
        raise error

    monkeypatch.setattr(report, "write_log", fail)
    from typer.testing import CliRunner

    from pyem.cli import app

    result = CliRunner().invoke(app, [str(word) for word in words(data_file, tmp_path / "results")])
    assert result.exit_code == (130 if error is KeyboardInterrupt else 1)
    assert left(tmp_path) == []


def test_earlier_results_survive_a_run_that_fails(data_file, tmp_path, monkeypatch):
    out = tmp_path / "results"
    pyem_command(*words(data_file, out))
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def fail(folder, content):
        raise OSError("No space left on device")

    monkeypatch.setattr(report, "write_log", fail)
    assert "No space left" in pyem_command(*words(data_file, out), "--force", code=1).stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert left(tmp_path) == ["results"]


# -- folders that exist or cannot be made -------------------------------------------------------------------------------


def test_results_are_replaced_only_with_force(data_file, tmp_path):
    out = tmp_path / "results"
    pyem_command(*words(data_file, out))
    log = (out / "run.json").read_bytes()
    refused = pyem_command(*words(data_file, out), code=1)
    assert "exists and is not empty; give another --out, or --force" in refused.stderr
    assert (out / "run.json").read_bytes() == log
    (out / "group.csv").write_text("touched")
    pyem_command(*words(data_file, out), "--force")
    assert (out / "group.csv").read_text().startswith("kind,parameter,estimate")
    assert left(tmp_path) == ["results"]


def test_force_replaces_figures_that_were_drawn_later(data_file, tmp_path):
    out = tmp_path / "results"
    pyem_command(*words(data_file, out))
    pyem_command("plot", out, "--format", "pdf", "--by-block")
    assert "trace.pdf" in left(out)
    pyem_command(*words(data_file, out), "--force")
    assert "trace.pdf" not in left(out)


@pytest.mark.parametrize("with_log", [True, False])
def test_force_does_not_touch_files_of_other_people(data_file, tmp_path, with_log):
    out = tmp_path / "results"
    if with_log:
        pyem_command(*words(data_file, out))
    out.mkdir(exist_ok=True)
    (out / "thesis.txt").write_text("years of work")
    refused = pyem_command(*words(data_file, out), "--force", code=1)
    assert "holds 'thesis.txt', which pyem did not write there" in refused.stderr
    assert (out / "thesis.txt").read_text() == "years of work"


def test_an_empty_folder_and_missing_parents_are_fine(data_file, tmp_path):
    (tmp_path / "empty").mkdir()
    pyem_command(*words(data_file, tmp_path / "empty"))
    pyem_command(*words(data_file, tmp_path / "a" / "b" / "c"))
    assert "group.csv" in left(tmp_path / "empty")
    assert "group.csv" in left(tmp_path / "a" / "b" / "c")


def test_a_folder_that_cannot_be_made(data_file, tmp_path):
    (tmp_path / "file").write_text("mine")
    below = pyem_command(*words(data_file, tmp_path / "file" / "results"), code=1)
    assert "is a file; give another folder with --out" in below.stderr
    itself = pyem_command(*words(data_file, tmp_path / "file"), "--force", code=1)
    assert "is a file; give a folder with --out" in itself.stderr
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="the root user may write anywhere")
def test_a_folder_without_permission(data_file, tmp_path):
    tmp_path.chmod(0o500)
    refused = pyem_command(*words(data_file, tmp_path / "results"), code=1)
    tmp_path.chmod(0o700)
    assert "no permission to write in" in refused.stderr


def test_no_permission_is_told_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    refused = pyem_command("fit", tmp_path / "none.csv", "--model", "rw1a1b", "--out", tmp_path / "results", code=1)
    assert "no permission to write in" in refused.stderr


# -- figures by another process -----------------------------------------------------------------------------------------


def test_figures_are_drawn_here_if_the_other_process_dies():
    numbers = {"title": "x", "log_evidence": [1.0, 2.0], "change": [0.1, 0.01]}
    with report.Artist() as artist:
        artist.draw("first.png", "trace", numbers)
        artist._process.kill()
        artist._process.wait()
        artist.draw("second.png", "trace", numbers)
        figures = artist.figures()
    assert sorted(figures) == ["first.png", "second.png"]
    assert figures["first.png"] == figures["second.png"]
    assert figures["first.png"].startswith(b"\x89PNG")


def test_figures_of_the_other_process_are_the_same_as_here():
    from pyem.draw import figures as draw

    numbers = {"title": "x", "log_evidence": [1.0, 2.0], "change": [0.1, 0.01]}
    with report.Artist() as artist:
        artist.draw("a.png", "trace", numbers)
        assert artist.figures() == {"a.png": draw.render("trace", numbers)}
    assert artist._process.poll() is not None
