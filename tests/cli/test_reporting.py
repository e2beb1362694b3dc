"""`pyem report`: the numbers of saved fits, and the command that made them, in one file."""

import json
import re
import shutil

import numpy as np
import pytest

import pyem
from pyem.cli import reading
from pyem.cli.reporting import origin_of
from tests.cli.run import left, pyem_command


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two models of a few people, each on their own."""
    folder = tmp_path_factory.mktemp("fits")
    pyem.simulate(pyem.models.get("rw1a1b"), subjects=5, blocks=2, trials=16, key=1).to_frame().to_csv(
        folder / "data.csv", index=False
    )
    words = ("--model", "rw1a1b", "--model", "bias", "--block", "block", "--method", "map", "--no-figures")
    pyem_command("fit", folder / "data.csv", *words, "--out", folder / "results")
    return folder / "results"


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "report.html"
    return out, pyem_command("report", results, "--out", out, "--title", "Study <1>", "--draws", 0)


def test_a_report_of_a_folder_has_its_command_data_and_numbers(page, results):
    out, done = page
    text, log = out.read_text(encoding="utf-8"), json.loads((results / "run.json").read_text())
    assert f"written to {out}" in done.stdout.replace("\n", "")
    assert "<h1>Study &lt;1&gt;</h1>" in text
    assert "pyem fit " in text
    assert log["data"]["sha256"] in text
    for name in ("rw1a1b", "bias"):
        shown = pyem.to_apa(pyem.load(results / name / "fit.nc").table())
        for row in shown.itertuples(index=False):
            assert "".join(f"<td>{cell}</td>" for cell in map(str, row)) in text
    assert left(out.parent) == ["report.html"]


def script_in(results, out):
    """The script in a report of results."""
    pyem_command("report", results, "--out", out, "--draws", 0)
    (script,) = re.findall(r"```\w*\n(import pyem\n.*?)```", out.read_text(encoding="utf-8"), re.DOTALL)
    return script


def test_the_script_of_a_report_reads_the_data_and_fits_again(results, tmp_path):
    made = {}
    exec(script_in(results, tmp_path / "report.md"), made)
    for name, fit in made["fits"].items():
        np.testing.assert_allclose(fit.params, pyem.load(results / name / "fit.nc").params, rtol=1e-10)
    assert set(made["fits"]) == {"rw1a1b", "bias"}


def test_a_report_reads_no_table_again_unless_an_older_version_fitted(results, tmp_path, monkeypatch):
    new, old, asked = tmp_path / "new", tmp_path / "old", []
    for folder in (new, old):
        shutil.copytree(results, folder)
    log = json.loads((old / "run.json").read_text())
    lines = log.pop("reading")
    (old / "run.json").write_text(json.dumps(log))
    real = reading.table_of
    monkeypatch.setattr(reading, "table_of", lambda request: asked.append(request) or real(request))
    assert origin_of([new]).reading == "\n".join(lines)
    assert not asked
    assert origin_of([old]).reading == "\n".join(lines)
    assert len(asked) == 1


def test_a_script_does_not_read_other_data(results, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    log = tmp_path / "results" / "run.json"
    log.write_text(log.read_text().replace(str(results.parent / "data.csv"), str(tmp_path / "moved.csv")))
    assert "data = ...  # the same Dataset" in script_in(tmp_path / "results", tmp_path / "report.md")


def test_an_existing_report_is_not_replaced(page):
    out, _ = page
    before = out.read_bytes()
    refused = pyem_command("report", out.parent, "--out", out, code=1)
    assert "give another path, or --force" in refused.output
    assert out.read_bytes() == before


def test_what_cannot_be_reported_is_refused_before_anything_is_read(tmp_path, results):
    assert "give the file one of these endings" in pyem_command(
        "report", results, "--out", tmp_path / "report.pdf", code=1
    ).output.replace("\n", " ")
    assert "no saved fit" in pyem_command("report", tmp_path, "--out", tmp_path / "r.html", code=1).output
    assert left(tmp_path) == []
