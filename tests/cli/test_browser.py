"""A newcomer at the page, in a real browser: a faulty table, its mending, two models, and a report with Python's numbers."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import pyem
from tests.cli.run import left

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra [browser]")
pytest.importorskip("streamlit", reason="needs the extra [app]")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
WAIT = 120_000
"""Milliseconds that a fit may take on a slow machine."""


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def answers(where):
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"{where}/_stcore/health", timeout=5)
        return True
    return False


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tabs")


@pytest.fixture(scope="module")
def address(folders, tmp_path_factory):
    """The page, served by the command itself."""
    port = free_port()
    cache = tmp_path_factory.mktemp("cache")
    environment = {**os.environ, "TMPDIR": str(folders), "PYEM_CACHE_DIR": str(cache), "HOME": str(cache)}
    words = [sys.executable, "-m", "pyem", "app", "--no-browser", "--port", str(port), "--max-upload", "20"]
    told = tmp_path_factory.mktemp("server") / "told"
    with open(told, "wb") as file:
        server = subprocess.Popen(words, env=environment, stdout=file, stderr=file)
    where = f"http://localhost:{port}"
    assert until(lambda: server.poll() is not None or answers(where), 120)
    assert server.poll() is None, told.read_text()
    yield where
    server.terminate()
    server.wait(30)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        one = play.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield one
        one.close()


@pytest.fixture(scope="module")
def table():
    """Choices in words of their own, with a number where a response was missed."""
    frame = pyem.simulate(pyem.models.get("rw1a1b"), subjects=12, blocks=2, trials=24, key=1).to_frame()
    frame = frame.rename(columns={"subject": "participant", "choice": "key", "reward": "points"})
    frame.loc[[3, 40, 77], "key"] = -999
    return frame


def choose(page, model):
    page.get_by_label("Models to fit").click()
    page.keyboard.type(model)
    # What Enter would take is another one as long as the list is not up to date.
    page.get_by_role("option", name=f"{model}: ").first.click(timeout=WAIT)
    page.keyboard.press("Escape")
    page.get_by_text(f"{model}: what it says").wait_for(timeout=WAIT)


def tabs(folders):
    return [path for path in folders.iterdir() if path.name.startswith("pyem-app-")]


@pytest.fixture(scope="module")
def visit(address, browser, table, tmp_path_factory):
    """All ten steps; the report that was downloaded, and every address that the page asked for."""
    folder = tmp_path_factory.mktemp("visit")
    table.to_csv(folder / "faulty.csv", index=False)
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)  # 1
    page.locator("input[type=file]").set_input_files(folder / "faulty.csv")  # 2
    page.get_by_text("faulty.csv: 576 rows").wait_for(timeout=WAIT)
    choose(page, "rw1a1b")  # 3
    page.get_by_text("Look below: something is wrong with choice").wait_for(timeout=WAIT)  # 4
    wrong = page.get_by_text("-999").first.inner_text()
    choose(page, "rw2a1b")  # 5
    mark = page.get_by_role("textbox", name="Marks a missing value").first
    mark.fill("-999")  # 6
    mark.press("Enter")
    page.get_by_text("The data can be read: 12 people, 24 blocks, 576 trials").wait_for(timeout=WAIT)  # 7
    page.get_by_role("button", name="Fit", exact=True).click()  # 8
    page.get_by_text("Which model explains the data best?").wait_for(timeout=WAIT)  # 9
    page.get_by_role("button", name="Write the report").click()  # 10
    with page.expect_download(timeout=WAIT) as told:
        page.get_by_role("button", name="Download the report").click(timeout=WAIT)
    told.value.save_as(folder / "report.html")
    yield page, (folder / "report.html").read_text(encoding="utf-8"), asked, wrong
    page.close()


def test_the_report_has_the_numbers_of_python(visit, table, tmp_path):
    _, text, _, wrong = visit
    assert "-999" in wrong
    table.to_csv(tmp_path / "data.csv", index=False)
    data = pyem.Dataset.read(
        tmp_path / "data.csv",
        subject="participant",
        block="block",
        trial="trial",
        columns={"choice": "key", "reward": "points"},
        codes={"choice": None},
        missing={"choice": "-999"},
    )
    for name in ("rw1a1b", "rw2a1b"):
        fit = pyem.fit_em(pyem.models.get(name), data)
        for frame in (fit.group_table(), fit.table()):
            for row in pyem.to_apa(frame).itertuples(index=False):
                # The cells of a row stand side by side.
                assert "".join(f"<td>{cell}</td>" for cell in map(str, row)) in text


def test_the_page_asks_this_machine_only(visit, address):
    _, _, asked, _ = visit
    assert asked
    other = [
        url for url in asked if not url.startswith((address, address.replace("http", "ws"), "data:", "blob:", "about:"))
    ]
    assert other == []


def test_another_tab_sees_nothing_and_a_closed_one_leaves_nothing(visit, address, browser, folders):
    before = tabs(folders)
    page = browser.new_page()
    page.goto(address)
    page.get_by_text("Choose a file, or tick the box").wait_for(timeout=WAIT)
    assert page.get_by_text("faulty.csv").count() == 0
    (own,) = [path for path in tabs(folders) if path not in before]
    page.get_by_text("Use the example").click()
    choose(page, "rw2a1b")
    page.get_by_text("The data can be read").wait_for(timeout=WAIT)
    page.get_by_role("button", name="Fit", exact=True).click()
    page.get_by_text("of 1 models fitted").wait_for(timeout=WAIT)
    assert {"fit.out", "fit.err"} <= set(left(own))
    page.close()
    for _ in range(200):
        if not own.exists():
            break
        time.sleep(0.1)
    assert not own.exists()
    assert tabs(folders) == before


def cells(grid):
    """Rows of a table of the page, as a screen reader has them: the table itself is painted."""
    return grid.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def test_a_condition_that_is_chosen_by_its_menu_has_the_effects_of_python(address, browser, tmp_path):
    model = pyem.regress(pyem.models.get("rw1a1b"), "alpha ~ drug")
    conditions = {"drug": ["placebo", "active"]}
    frame = pyem.simulate(model, subjects=12, blocks=2, trials=40, key=1, conditions=conditions).to_frame()
    frame[["subject", "block", "trial", "choice", "reward", "drug"]].to_csv(tmp_path / "drug.csv", index=False)
    page = browser.new_page(viewport={"width": 1200, "height": 6000})
    page.goto(address)
    page.locator("input[type=file]").set_input_files(tmp_path / "drug.csv")
    page.get_by_text("drug.csv: 960 rows").wait_for(timeout=WAIT)
    choose(page, "rw1a1b")
    page.get_by_test_id("stMultiSelect").filter(has_text="alpha depends on").get_by_role("combobox").click()
    page.get_by_role("option", name="drug", exact=True).click(timeout=WAIT)
    page.keyboard.press("Escape")
    page.get_by_text("alpha ~ drug", exact=True).wait_for(timeout=WAIT)
    page.get_by_text("The data can be read: 12 people").wait_for(timeout=WAIT)
    page.get_by_role("button", name="Fit", exact=True).click()
    page.get_by_text("Effects", exact=True).wait_for(timeout=WAIT)
    data = pyem.Dataset.read(
        tmp_path / "drug.csv",
        subject="subject",
        block="block",
        trial="trial",
        columns={name: name for name in ("choice", "reward", "drug")},
        codes={"drug": None},
    )
    table = pyem.to_apa(pyem.fit_em(model, data).effects()).reset_index()
    grid = page.get_by_test_id("stDataFrame").filter(has_text="Intercept").first
    grid.locator("tbody tr").first.wait_for(state="attached", timeout=WAIT)
    assert grid.locator("thead th").all_text_contents() == list(table.columns)
    assert cells(grid) == [list(map(str, row)) for row in table.itertuples(index=False)]
    assert "drug" in " ".join(table["effect"])
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra [browser]")
    found = axe.Axe().run(page)
    # The place for files is Streamlit's own.
    assert {one["id"] for one in found.response["violations"]} <= {"presentation-role-conflict"}, (
        found.generate_report()
    )
    page.close()


def at_work(folder):
    """Processes whose working folder is that of a tab: the fits that it has started, and what they have started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.path.realpath(process / "cwd") == str(folder.resolve()):
                found.append(int(process.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")
def test_a_long_fit_is_stopped_by_its_button_and_ends_with_its_tab(address, browser, folders):
    before = tabs(folders)
    page = browser.new_page()
    page.goto(address)
    page.get_by_text("Use the example").click()
    choose(page, "rw1a1b")
    page.get_by_text("The data can be read").wait_for(timeout=WAIT)
    (own,) = [path for path in tabs(folders) if path not in before]
    page.get_by_role("combobox", name="Method").click()
    page.keyboard.type("by sampling")
    page.keyboard.press("Enter")
    for ending in ("button", "tab"):
        page.get_by_role("button", name="Fit", exact=True).click()
        page.get_by_text("0 of 1 models fitted").wait_for(timeout=WAIT)
        assert at_work(own)
        if ending == "button":
            page.get_by_role("button", name="Stop", exact=True).click()
            page.get_by_text("The fit was stopped; nothing of it was kept.").wait_for(timeout=WAIT)
            assert not (own / "results").exists()
        else:
            page.close()
        assert until(lambda: not at_work(own))
    assert until(lambda: not own.exists())


def test_a_file_that_is_too_large_is_refused(address, browser, tmp_path):
    (tmp_path / "large.csv").write_bytes(b"subject,choice,reward\n" + b"1,0,1\n" * 3_500_000)
    page = browser.new_page()
    page.goto(address)
    page.get_by_text("20MB per file").wait_for(timeout=WAIT)
    page.locator("input[type=file]").set_input_files(tmp_path / "large.csv")
    page.get_by_text("must be 20.0MB or smaller").wait_for(timeout=WAIT)
    assert page.get_by_text("2. Models").count() == 0
    page.close()


def test_a_million_rows_are_read_and_fitted_while_other_pages_answer(address, browser, tmp_path):
    frame = pyem.simulate(pyem.models.get("rw1a1b"), subjects=2000, blocks=1, trials=500, key=1).to_frame()
    frame = frame[["subject", "choice", "reward"]].astype(int)
    frame.assign(subject="p" + frame["subject"].astype(str)).to_csv(tmp_path / "million.csv", index=False)
    page, other = browser.new_page(), browser.new_page()
    for one in (page, other):
        one.goto(address)
        one.get_by_text("Choose a file, or tick the box").wait_for(timeout=WAIT)
    words = itertools.cycle(["example.csv: 9,600 rows", "Choose a file, or tick the box"])

    def answers_until(told):
        """How often the other page shows an example, or takes it away, before the large one tells."""
        for count in range(500):
            if page.get_by_text(told).count():
                return count
            assert page.locator("[data-testid=stAlertContentError]").all_inner_texts() == []
            other.get_by_text("Use the example").click()
            other.get_by_text(next(words)).wait_for(timeout=WAIT)
        pytest.fail(f"{told!r} is not told: {page.get_by_test_id('stMain').inner_text()}")

    page.locator("input[type=file]").set_input_files(tmp_path / "million.csv")
    page.get_by_text("million.csv: 1,000,000 rows").wait_for(timeout=WAIT)
    choose(page, "rw1a1b")
    # Said while the table is being read for the model.
    mark = page.get_by_role("textbox", name="Marks a missing value").first
    mark.fill("-1")
    mark.press("Enter")
    while_read = answers_until("The data can be read: 2,000 people, 2,000 blocks, 1,000,000 trials")
    page.get_by_role("button", name="Fit", exact=True).click()
    page.get_by_text("of 1 models fitted").wait_for(timeout=WAIT)
    assert while_read + answers_until("Can the numbers be relied on?") >= 3
    page.close()
    other.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_report_can_be_read_by_everybody_and_fits_a_phone(visit, browser, tmp_path, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra [browser]")
    path = tmp_path / "report.html"
    path.write_text(visit[1], encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) > 20
    page.close()
