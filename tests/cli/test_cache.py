"""The cache belongs to the command line, is where it is told to be, and is never needed."""

import sys
from pathlib import Path

import pytest

import pyem
from pyem.cli import cache
from tests.cli.run import DATA_OPTIONS, left, python

FIT = "from pyem.cli import main; main()"


@pytest.fixture
def no_variables(monkeypatch):
    for name in (cache.VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")


def test_the_folder_is_the_usual_one_of_the_system(no_variables, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.cache_folder() == Path("/home/someone/.cache/pyem")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/someone")
    assert cache.cache_folder() == Path("/var/cache/someone/pyem")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.cache_folder() == Path("/home/someone/Library/Caches/pyem")


def test_the_variable_moves_it_or_turns_it_off(no_variables, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "/scratch/cache")
    assert cache.cache_folder() == Path("/scratch/cache")
    monkeypatch.setenv(cache.VARIABLE, "")
    assert cache.cache_folder() is None


def test_without_a_home_there_is_no_cache(no_variables, monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert cache.cache_folder() is None


def test_the_catalogue_is_what_the_registry_says():
    catalogue = cache.model_catalogue()
    assert [entry["name"] for entry in catalogue] == pyem.models.names()
    (entry,) = [entry for entry in catalogue if entry["name"] == "rw1a1b"]
    assert [(p["name"], p["range"]) for p in entry["parameters"]] == [("beta", [0, 20]), ("alpha", [0, 1])]
    assert (entry["responses"], entry["outcomes"], entry["inputs"]) == (["choice"], ["reward"], [])


def test_a_damaged_catalogue_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    first = cache.model_catalogue()
    (file,) = (tmp_path / "models").iterdir()
    assert cache.model_catalogue() == first
    file.write_text(file.read_text()[:50])
    assert cache.model_catalogue() == first
    assert len(file.read_text()) > 1000


def test_the_command_fills_the_cache_and_the_library_does_not(data_file, tmp_path):
    words = ("fit", data_file, "--model", "bias", *DATA_OPTIONS[:8], "--no-figures")
    done = python(FIT, *words, "--out", tmp_path / "a", cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    (compiled,) = (tmp_path / "cache" / "compiled").iterdir()
    assert any("modes" in path.name for path in compiled.iterdir())

    library = (
        "import pyem; model = pyem.models.get('bias'); "
        "print(pyem.fit_map(model, pyem.simulate(model, subjects=3, trials=5, key=1)).converged)"
    )
    done = python(library, cache=tmp_path / "untouched")
    assert done.stdout.strip() == "True", done.stderr
    assert "untouched" not in left(tmp_path)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_done_without(data_file, tmp_path):
    (tmp_path / "file").write_text("mine")
    words = ("fit", data_file, "--model", "bias", *DATA_OPTIONS[:8], "--no-figures")
    done = python(FIT, *words, "--out", tmp_path / "a", cache=tmp_path / "file")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_text() == "mine"
    assert "group.csv" in left(tmp_path / "a")
