"""What README and the pages tell people to type works, and shows what they show."""

import glob
import re
import shlex

import pytest

from tests.cli.run import ROOT, left, pyem_command
from tests.cli.test_help import COMMANDS

PAGES = ["README.md", "docs/quickstart.md", "docs/cli.md"]
STUDIES = ("recovery", "confusion", "calibration", "power")


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder to write into, with the examples where a checkout has them."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_shows_twenty_lines_of_python_or_so():
    (block,) = blocks("README.md", "python")
    lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 25


@pytest.mark.parametrize(
    ("page", "people"),
    [
        ("README.md", 12),
        *(pytest.param(page, 50, marks=pytest.mark.slow) for page in ("README.md", "docs/cli.md")),
    ],
)
def test_the_commands_of_a_page_run(checkout, page, people):
    lines = [line for block in blocks(page, "bash") for line in block.splitlines() if line.startswith("pyem ")]
    assert len(lines) >= 4
    assert "--subjects 50" in lines[1] + lines[3]
    # `pyem app` goes on until it is stopped.
    lines = [line.replace("--subjects 50", f"--subjects {people}") for line in lines if not line.startswith("pyem app")]
    for line in lines:
        # As a shell does it: without the comment, and with the names of files in place of a star.
        words = shlex.split(line, comments=True)[1:]
        pyem_command(*(name for word in words for name in (sorted(glob.glob(word)) or [word])))
    assert "comparison.csv" in left(checkout / "results")


def test_the_table_in_the_readme_is_what_the_demo_prints(checkout):
    words = ("--model", "rw1a1b", "--block", "block", "--trial", "trial", "--covariate", "age", "--no-figures")
    printed = pyem_command("fit", "examples/data/demo.csv", *words).stdout
    shown = [line.split() for line in blocks("README.md", "text")[0].splitlines()]
    assert len(shown) == 7
    assert [line for line in shown if line not in [row.split() for row in printed.splitlines()]] == []


def test_the_files_of_the_documentation_are_those_of_a_run(checkout):
    words = ("--model", "rw1a1b", "--block", "block", "--trial", "trial")
    pyem_command("fit", "examples/data/demo.csv", *words)
    told = re.findall(r"^\| `([\w.]+\.\w+)` \|", (ROOT / "docs/cli.md").read_text(), flags=re.MULTILINE)
    assert sorted(told) == left(checkout / "results")


@pytest.mark.parametrize("page", PAGES)
def test_options_that_a_page_names_exist(page):
    text = (ROOT / page).read_text()
    known = " ".join(
        pyem_command(*command, "--help").stdout
        for command in [(name,) for name in COMMANDS] + [("study", name) for name in STUDIES]
    )
    for option in set(re.findall(r"--[a-z][a-z-]+", text)):
        assert option in known, f"{page} names {option}"


def test_pages_are_in_the_navigation_and_their_links_lead_somewhere():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in ("quickstart.md", "cli.md"):
        assert f": {page}" in navigation
    for page in [*PAGES, "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / link).exists(), f"{page} links to {link}"
