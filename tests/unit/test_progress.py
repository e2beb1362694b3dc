"""Progress is shown where somebody sits in front, and in a form that the place can show."""

import sys
import types

import numpy as np
import pytest

from pyem.infer import progress
from pyem.infer.progress import is_shown, progress_bar, progress_line, unless_asked
from pyem.study.experiment import Silence

NEWS = {"stage": "draws", "steps": 7.0, "accept": 0.81, "divergent": 1}


@pytest.fixture
def prompt(monkeypatch):
    """As at an interactive prompt."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)


@pytest.fixture
def notebook(monkeypatch):
    """As in a notebook, whose page knows neither a terminal's colours nor its movements, and without its widgets."""
    shell = type("Shell", (), {"__module__": "ipykernel.zmqshell"})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=shell))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(progress, "SECONDS", 0.0)


def test_scripts_and_programs_are_silent_unless_asked():
    assert (is_shown(None), is_shown(True), is_shown(False)) == (False, True, False)


def test_a_prompt_shows_fits_but_not_those_that_are_parts_of_something_larger(prompt):
    assert (is_shown(None), is_shown(False)) == (True, False)
    with unless_asked():
        assert (is_shown(None), is_shown(True)) == (False, True)
    assert is_shown(None)


def test_a_notebook_shows_a_line_that_is_written_over_and_over(notebook, capsys):
    with progress_line(True, "EM rw1a1b") as say:
        say(1, "iteration 1")
        say(2, "iteration 2")
    with progress_bar(True, "NUTS rw1a1b", 40) as report:
        report(10, NEWS)
        report(10, NEWS)
    said = capsys.readouterr()
    shown = [line.strip() for line in said.out.split("\r") if line.strip()]
    assert shown[:2] == ["EM rw1a1b: iteration 1", "EM rw1a1b: iteration 2"]
    assert shown[-1] == "NUTS rw1a1b: 50%, draws, 7 steps, acceptance 0.81, 2 divergent"
    assert said.err == ""


def test_studies_do_not_flicker(prompt):
    shown = []

    def fit(model, data):
        shown.append(is_shown(None))
        return types.SimpleNamespace(status=np.zeros(3), population=None)

    Silence(fit)(None, None)
    assert shown == [False]
