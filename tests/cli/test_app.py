"""What the page is made of: guesses, requests, errors at their place, scripts, and processes that end with the tab."""

import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem.cli import launching
from pyem.cli.browser import guesses
from pyem.cli.browser.asking import Answers, checked, for_page, place_of, request_of, shown, table_of
from pyem.cli.browser.jobs import Job, Workplace, close_with
from pyem.cli.browser.script import python_script
from tests.cli.run import left, pyem_command

ANSWERS = Answers(
    ("rw1a1b",),
    "id",
    "run",
    "trial",
    {"choice": "response", "reward": "feedback"},
    covariates=("age",),
)


@pytest.fixture
def place():
    made = Workplace()
    yield made
    made.close()


def sleeping():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)


def at_work(place):
    said, told = place.folder / "a.out", place.folder / "a.err"
    said.write_text("")
    told.write_text("warning: slow\nerror: it is wrong; mend it\n")
    return Job(sleeping(), said, told, 0.0)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["subject", "block", "trial", "choice", "reward"], ["subject", "block", "trial", "choice", "reward"]),
        (
            ["Participant_ID", "Block Number", "trial_index", "key_press", "Points"],
            ["Participant_ID", "Block Number", "trial_index", "key_press", "Points"],
        ),
        (["pid", "rewards", "choices"], ["pid", None, None, "choices", "rewards"]),
        (["a", "b"], [None] * 5),
        # The same name wins over a synonym that comes first.
        (["response", "choice", "id"], ["id", None, None, "choice", None]),
    ],
)
def test_columns_are_guessed_by_what_people_call_them(columns, expected):
    found = guesses.guessed(columns, ["subject", "block", "trial", "choice", "reward"])
    assert list(found.values()) == expected


def test_conditions_are_columns_with_few_values_or_one_for_each_person(frame):
    table = frame.assign(drug=np.where(frame["run"] == 0, "placebo", "active"), noise=np.arange(len(frame)) / 7)
    used = {"choice": "response", "reward": "feedback", "subject": "id", "block": "run", "trial": "trial"}
    assert guesses.conditions(table, used, "id") == ["age", "drug"]
    rows = guesses.described(table)
    assert [row["column"] for row in rows] == list(table.columns)
    assert rows[-2]["holds"] == "text"


def test_a_request_says_what_was_chosen_and_its_command_asks_for_the_same(data_file):
    answers = Answers(
        ("rw1a1b", "rw2a1b"),
        "id",
        "run",
        None,
        {"choice": "response", "reward": None},
        missing={"choice": "-1, no response", "reward": " "},
        where="trial > 2",
        exclude=("3",),
        terms={"alpha": ("drug", "age group"), "beta": ()},
        together=("alpha",),
        seed=4,
    )
    request = request_of(answers, str(data_file))
    assert request.columns == {"choice": "response"}
    assert request.missing == {"choice": ["-1", "no response"]}
    assert request.formulas == ("alpha ~ drug * `age group`",)
    assert (request.where, request.exclude, request.seed) == ("trial > 2", ("3",), 4)
    assert "'alpha ~ drug * `age group`'" in shown(request, "data.csv").command()


@pytest.mark.parametrize(
    ("change", "column", "place"),
    [
        ({"columns": {"choice": "response", "reward": None}}, None, "column:reward"),
        ({"subject": "who"}, None, "subject"),
        ({"trial": "age"}, None, "trial"),
        ({"where": "nonsense =="}, None, "where"),
        ({"exclude": ("nobody",)}, None, "exclude"),
        ({}, {"feedback": "much"}, "column:reward"),
        ({}, {"response": 7}, "column:choice"),
    ],
)
def test_errors_are_told_where_the_mistake_is(change, column, place, frame, tmp_path):
    import dataclasses

    table = frame.copy()
    for name, value in (column or {}).items():
        table[name] = table[name].astype(object)
        table.loc[5, name] = value
    path = tmp_path / "faulty.csv"
    table.to_csv(path, index=False)
    answers = dataclasses.replace(ANSWERS, **change)
    with pytest.raises(ValueError, match=r"\w") as told:
        checked(request_of(answers, str(path)))
    assert place_of(str(told.value), answers) == place, str(told.value)


@pytest.mark.parametrize("mark", ["no response", -999])
def test_the_page_says_where_to_write_what_marks_a_missing_value(mark, frame, tmp_path):
    table = frame.astype({"response": object})
    table.loc[5, "response"] = mark
    table.to_csv(tmp_path / "faulty.csv", index=False)
    with pytest.raises(ValueError, match="--missing on the command line") as told:
        checked(request_of(ANSWERS, str(tmp_path / "faulty.csv")))
    said = for_page(str(told.value))
    assert f"write {mark} into 'Marks a missing value' beside the column choice" in said
    assert "missing=" not in said


def test_the_script_gives_the_numbers_of_the_command(one, data_file):
    request = request_of(ANSWERS, str(data_file))
    script = python_script(request, table_of(str(data_file)))
    lines = [line for line in script.splitlines() if not line.startswith(("pyem.report", "print"))]
    names = {}
    exec(compile("\n".join(lines), "fit.py", "exec"), names)
    saved = pyem.load(one[0] / "fit.nc")
    np.testing.assert_array_equal(names["fits"]["rw1a1b"].params, saved.params)
    assert "pyem.report(fits, 'report.html')" in script


def test_a_script_says_formulas_and_marks(frame, tmp_path):
    path = tmp_path / "data.csv"
    frame.assign(drug=np.where(frame["run"] == 0, "placebo", "active")).to_csv(path, index=False)
    answers = Answers(
        ("rw1a1b",),
        "id",
        "run",
        None,
        {"choice": "response", "reward": "feedback"},
        {"choice": "9"},
        terms={"alpha": ["drug"]},
    )
    script = python_script(request_of(answers, str(path)), table_of(str(path)))
    assert "pyem.regress(pyem.models.get('rw1a1b'), 'alpha ~ drug')" in script
    assert "missing={'choice': ['9']}" in script
    compile(script, "fit.py", "exec")


# -- processes ------------------------------------------------------------------------------------------------------------


def test_a_job_is_stopped_with_all_that_it_started(place):
    job = at_work(place)
    assert job.running
    job.stop()
    assert not job.running
    assert job.stopped
    assert not job.done
    assert job.error() == "it is wrong; mend it"
    assert job.warnings() == ["slow"]


def test_closing_a_tab_ends_its_job_and_removes_its_files(place):
    job = place.jobs["fit"] = at_work(place)
    there = threading.Event()
    there.set()
    thread = close_with(place, there.is_set, grace=0.1, every=0.02)
    thread.join(0.3)
    assert job.running
    there.clear()
    thread.join(5)
    assert not job.running
    assert not place.folder.exists()
    with pytest.raises(RuntimeError, match="closed"):
        place.start("fit", ["--version"])


@pytest.mark.parametrize("name", ["../../outside.csv", "/etc/data.csv", "..\\..\\data.csv", "", "a b.csv"])
def test_a_file_stays_in_the_folder_of_its_tab(place, name):
    path = place.keep(name, b"x")
    assert path.parent == place.folder
    assert path.read_bytes() == b"x"


def test_two_tabs_have_folders_of_their_own(place):
    other = Workplace()
    try:
        assert other.folder != place.folder
        assert other.folder.stat().st_mode & 0o077 == 0
    finally:
        other.close()


def test_a_job_runs_the_command(place):
    job = place.start("fit", ["--version"])
    job.process.wait(30)
    assert job.done
    assert job.output().strip() == f"pyem {pyem.__version__}"


class Replaced(Exception):
    """What ends a run of the page that another one has replaced."""


def test_what_many_clicks_ask_for_is_made_once_and_kept_though_its_asker_is_gone(place):
    made, going = [], threading.Event()

    def make():
        made.append(1)
        assert going.wait(20)
        return "table"

    def ask():
        return place.remembered("table", "large.csv", make, wanted=bool)

    clicks = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for click in clicks:
        click.start()
    # Another part of the page does not wait for it.
    assert place.remembered("columns", 1, lambda: "columns", wanted=bool) == "columns"
    going.set()
    for click in clicks:
        click.join(20)
    assert ask() == "table"
    assert len(made) == 1


def test_a_run_that_was_replaced_makes_nothing_and_a_new_key_makes_it_again(place):
    made = []

    def replaced():
        raise Replaced

    def ask(key, wanted):
        return place.remembered("table", key, lambda: made.append(key) or key, wanted=wanted)

    with pytest.raises(Replaced):
        ask("a", replaced)
    assert made == []
    assert [ask(key, bool) for key in ("a", "a", "b")] == ["a", "a", "b"]
    # What is there already is given to everybody.
    assert ask("b", replaced) == "b"
    assert made == ["a", "b"]
    place.close()
    assert ask("b", bool) == "b"
    assert made == ["a", "b", "b"]


# -- the command ----------------------------------------------------------------------------------------------------------


def test_the_server_is_for_this_machine_only_and_tells_nobody():
    options = launching.server_options(8501, 10, browser=False)
    assert {
        "--server.address=localhost",
        "--browser.gatherUsageStats=false",
        "--server.maxUploadSize=10",
        "--server.headless=true",
        "--server.enableXsrfProtection=true",
    } <= set(options)
    assert launching.PAGE.is_file()


def test_without_streamlit_the_command_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(launching.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'pyem-behavior[app]'" in pyem_command("app", code=1).output


def test_a_file_that_is_not_there_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(launching.importlib.util, "find_spec", lambda name: object())
    assert "there is no file" in pyem_command("app", tmp_path / "none.csv", code=1).output
    assert left(tmp_path) == []


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("")
    with pytest.raises(ValueError, match="empty"):
        table_of(str(path))
    pd.DataFrame({"a": [1]}).to_csv(path, index=False)
    assert list(table_of(str(path)).columns) == ["a"]
