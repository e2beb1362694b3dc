"""What a newcomer sees first, without waiting."""

import re

import pytest

import pyem
from pyem.cli import app
from tests.cli.run import pyem_command, python

COMMANDS = ("models", "simulate", "fit", "repeat", "compare", "plot", "ppc", "report", "app")
WITHOUT_JAX = """
import sys
from pyem.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert end.code in (0, None), end.code
heavy = {"jax", "numpy", "pandas", "matplotlib", "scipy", "xarray", "arviz"}
print("HEAVY", sorted(heavy & set(sys.modules)))
"""


def test_the_commands_are_those_of_the_documentation():
    assert [command.callback.__name__ for command in app.registered_commands] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_examples(command):
    text = pyem_command(command, "--help").stdout
    assert f"pyem {command}" in text
    assert "Examples" in text


def test_help_says_where_to_start_and_what_exit_codes_mean():
    text = " ".join(pyem_command("--help").stdout.split())
    for part in ("Start here", "pyem simulate rw1a1b", "0 done, 1 bad input, 2 wrong usage", "PYEM_CACHE_DIR"):
        assert part in text


def test_version():
    assert pyem_command("--version").stdout.strip() == f"pyem {pyem.__version__}"


@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words):
    done = python(WITHOUT_JAX, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_models_imports_jax_only_when_the_models_have_changed(tmp_path):
    first, second = (python(WITHOUT_JAX, "models", cache=tmp_path) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert "jax" in first.stdout.splitlines()[-1]
    assert second.stdout.splitlines()[-1] == "HEAVY []"
    assert first.stdout.splitlines()[:-1] == second.stdout.splitlines()[:-1]


def test_models_lists_all_with_parameters_and_columns():
    lines = pyem_command("models").stdout.splitlines()
    listed = [found.group(1) for line in lines if (found := re.match(r" (\w+) ", line))]
    assert [name for name in listed if name != "model"] == pyem.models.names()
    row = next(line for line in lines if line.startswith(" rw2a1b "))
    assert "beta, alpha_pos, alpha_neg" in row
    assert "choice, reward" in row


@pytest.mark.parametrize("name", ["rw1a1b", "rwck", "logit"])
def test_models_tells_all_about_one(name):
    text = pyem_command("models", name).stdout
    model = pyem.models.get(name)
    for part in (model.doc, *(p.name for p in model.parameters), *model.columns, model.reference):
        assert part in text


def test_models_tells_of_a_model_with_options_and_additions():
    text = pyem_command("models", "two_step:common=0.8+lapse=choice1").stdout
    assert text.startswith("two_step:common=0.8+lapse=choice1: Two-step task")
    assert "Equations of two_step\n" in text
    assert re.search(r"\n  lapse_choice1 +0 to 1 ", text)
    assert "A table such as" in text


def test_models_says_if_there_is_no_such_model():
    assert "there is no model 'rw9'; the models are rw1a1b" in pyem_command("models", "rw9", code=1).stderr


def test_python_m_pyem_is_the_command():
    done = python("import runpy, sys; sys.argv[0] = 'pyem'; runpy.run_module('pyem', run_name='__main__')", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"pyem {pyem.__version__}")


def test_exit_codes_of_a_process(tmp_path):
    main = "from pyem.cli import main; main()"
    missing = python(main, "fit", tmp_path / "none.csv", "--model", "rw1a1b", "--out", tmp_path / "r")
    assert missing.returncode == 1
    assert missing.stderr == f"error: there is no file '{tmp_path / 'none.csv'}'; check the path\n"
    assert python(main, "fit").returncode == 2
    assert python(main, "--help").returncode == 0


def test_models_are_found_by_task_and_by_words():
    listed = [
        pyem_command("models", *words).stdout for words in (("--task", "Two-Step"), ("--search", "pavlovian bias"))
    ]
    assert "two_step_sarsa" in listed[0]
    assert "rw1a1b" not in listed[0]
    assert "go_nogo_pavlovian" in listed[1]
    assert "there is no kind of task 'chess'" in pyem_command("models", "--task", "chess", code=1).stderr
