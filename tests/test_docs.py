"""Every block of Python of every page runs when all of them are pasted in order."""

import importlib.util
import re
import warnings

import pytest

from tests.cli.run import ROOT, left

SLOW = {
    "README.md": "a study from data to recovery",
    "beliefs.md": "a group of twenty people",
    "active-inference.md": "a hundred mazes of ten agents, and pymdp",
    "bayesian.md": "long chains",
    "comparison.md": "a hundred people",
    "gallery.md": "figures of every kind",
    "reports.md": "a report with its figures",
    "tutorial-clinician.md": "sixty sessions",
    "tutorial-developer.md": "a report with its figures",
    "tutorial-modeller.md": "a study from model to report",
    "tutorial-psychologist.md": "a study from table to report",
    "coming-from-pybefit.md": "pymdp and NUTS",
    "coming-from-pyem.md": "numerical derivatives",
    "designs.md": "five studies",
    "large.md": "two fits of data in partitions",
    "response-times.md": "two hierarchical diffusion models",
    "quickstart.md": "a study from data to recovery",
    "study.md": "thousands of people",
}
"""Pages that take more than a few seconds, and why."""
WRITTEN = {
    "README.md": ["choices.png", "recovery.png"],
    "bayesian.md": ["check.png", "fit.nc"],
    "large.md": ["em-of-the-game", "game-0.parquet", "game-1.parquet", "results-of-the-game"],
    "designs.md": ["both.png", "curves.png", "groups.png", "sessions.png", "signal.png", "threat.png"],
    "quickstart.md": [
        "choice_curves.png",
        "comparison.png",
        "estimates.png",
        "fit.nc",
        "parameters.png",
        "recovery.png",
    ],
}
"""Files that the blocks of a page leave behind, at least."""
NEEDS = {"pymdp": "the extra [aif]", "pymc": "the extra [pymc]"}
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").glob("**/*.md"))]


def blocks(page):
    """The blocks of a page and the lines where they begin."""
    path = ROOT / page if page == "README.md" else ROOT / "docs" / page
    text = path.read_text()
    for found in re.finditer(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        yield text.count("\n", 0, found.start(1)), found[1]


def runnable(block):
    """Whether all that a block imports is installed; packages of extras may not be."""
    imported = re.findall(r"^\s*(?:import|from) (\w+)", block, flags=re.MULTILINE)
    return all(importlib.util.find_spec(name) is not None for name in imported if name in NEEDS)


def cases():
    pages = [page for page in PAGES if any(blocks(page))]
    return [pytest.param(page, marks=[pytest.mark.slow] if page in SLOW else []) for page in pages]


@pytest.mark.parametrize("page", cases())
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__page__"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        warnings.filterwarnings("default", category=DeprecationWarning, module=r"(?!__page__)")
        for line, block in blocks(page):
            if runnable(block):
                # Empty lines before it, so that a traceback names the line of the page.
                exec(compile("\n" * line + block, page, "exec"), names)
    assert set(WRITTEN.get(page, [])) <= set(left(tmp_path))


def test_slow_pages_are_pages():
    assert set(SLOW) | set(WRITTEN) <= set(PAGES)
