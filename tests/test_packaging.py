"""What a source distribution holds, and what `make clean` leaves alone."""

import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_source_distribution_has_pages_examples_and_tests(tmp_path):
    program = "import setuptools; setuptools.setup()"
    words = ("egg_info", "--egg-base", tmp_path, "sdist", "--dist-dir", tmp_path)
    subprocess.run([sys.executable, "-c", program, *map(str, words)], cwd=ROOT, check=True, capture_output=True)
    (packed,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(packed) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {
        "Makefile",
        "conftest.py",
        "docs/index.md",
        "examples/data/demo.csv",
        "mkdocs.yml",
        "requirements/dev.txt",
        "src/pyem/py.typed",
        "src/pyem/plot/reports/templates/report.css",
        "src/pyem/plot/reports/templates/report.html",
        "tests/cli/test_help.py",
        "tests/data/saved_0.1.0/em.nc",
    } <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("results", "site", ".venv"))]


def test_make_clean_keeps_results():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nclean:")[2].partition("\n\n")[0]
    assert "rm -rf build" in recipe
    assert "results" not in recipe.partition("\n")[2]
