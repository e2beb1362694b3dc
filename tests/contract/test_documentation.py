"""The pages of the models say of every registered model what the registry says."""

from __future__ import annotations

import re

import pytest

from benchmarks.model_pages import DOCS, INDEX, PAGES, cited_as, on_page, written
from pyem import models
from tests.cli.run import ROOT


def text_of(page: str) -> str:
    return (DOCS / "models" / f"{page}.md").read_text(encoding="utf-8")


def test_every_model_has_one_page_and_the_site_has_all_pages():
    assert sorted(name for page in PAGES for name in on_page(page)) == sorted(models.names())
    assert {path.stem for path in (DOCS / "models").glob("*.md")} == set(PAGES)
    assert re.findall(r"models/([\w-]+)\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")) == list(PAGES)


@pytest.mark.parametrize(
    "path", [INDEX, *(DOCS / "models" / f"{page}.md" for page in PAGES)], ids=lambda path: path.stem
)
def test_pages_say_what_the_registry_says(path):
    """After a change: python -m benchmarks.model_pages."""
    assert path.read_text(encoding="utf-8") == written(path, without=("rows",))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_equations_a_figure_and_rows_of_a_table_for_each_of_its_models(page):
    text = text_of(page)
    words, rows = text.split("<!-- generated: rows -->")
    assert "```text" in words.split("<!-- end -->", 1)[1]
    (figure,) = re.findall(r"!\[[^]]{20,}\]\(([\w./-]+\.svg)\)", text)
    assert (DOCS / "models" / figure).exists()
    told = {}
    for heading, header in re.findall(r"\n(`\w+`.*)\n\n```text\n(.*)\n", rows):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", heading), header.split())
    assert set(told) == set(on_page(page))
    for name, header in told.items():
        # A column of several values has a number behind its name for each.
        assert set(models.get(name).columns) <= {*header, *(column.rstrip("0123456789") for column in header)}


@pytest.mark.parametrize("name", models.names())
def test_a_model_is_cited_with_authors_and_year(name):
    assert re.fullmatch(r"[^\W\d].* \d{4}", cited_as(name))
    assert models.get(name).reference in models.cited(name)[0]


@pytest.mark.parametrize("name", models.names())
def test_equations_have_every_parameter(name):
    lines = " ".join(models.equations(name))
    without = [
        p.name for p in models.get(name).parameters if not re.search(rf"(?<![A-Za-z]){p.name}(?![A-Za-z_])", lines)
    ]
    assert lines
    assert not without


def test_the_recovery_of_every_model_is_told_with_remedies_where_it_is_poor():
    text = (DOCS / "recovery.md").read_text(encoding="utf-8")
    rows = {found[1]: found[0] for found in re.finditer(r"^\| `(\w+)` \| \d+ x \d+ \| .*$", text, re.MULTILINE)}
    races = {"lba", "rdm", "lnr"}
    assert sorted(rows.keys() | races) == sorted(models.names())
    on_times = (DOCS / "response-times.md").read_text(encoding="utf-8")
    assert all(re.search(rf"^\| `{name}` \| `", on_times, re.MULTILINE) for name in races)
    remedies = text.split("## Parameters that are hardly recovered")[1].split("\n## ")[0].split("\n")
    poor = [
        (name, p) for name, row in rows.items() for p, r in re.findall(r"`(\w+)` (-?\d*\.\d+)", row) if float(r) < 0.5
    ]
    assert len(poor) > 10
    for name, parameter in poor:
        assert any(f"`{name}`" in line and f"`{parameter}`" in line for line in remedies), (name, parameter)
