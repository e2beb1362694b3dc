"""The page of the models says of every registered model what the registry says."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from pyem import models
from pyem.models.finding import kind_named, kinds_of

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def table() -> dict[str, list[str]]:
    """The cells of each model's row in the first table."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text.split("| model | what it says |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0].strip("`"): cells[1:] for cells in rows}


def in_code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def range_of(transform) -> str:
    low, high = transform.bounds
    if math.isinf(low):
        return "real"
    return "positive" if math.isinf(high) else f"({low:g}, {high:g})"


def test_the_table_has_all_models_in_the_order_of_the_registry():
    assert list(table()) == models.names()


@pytest.mark.parametrize("name", models.names())
def test_a_row_says_what_the_registry_says(name):
    model = models.get(name)
    says, parameters, columns, reference = table()[name]
    assert len(says) > 10
    assert parameters == ", ".join(f"`{p.name}` {range_of(p.transform)}" for p in model.parameters)
    assert in_code(columns) == list(model.columns)
    assert reference.endswith(f"({model.reference})")


@pytest.mark.parametrize("name", models.names())
def test_equations_have_every_parameter(name):
    lines = " ".join(models.equations(name))
    without = [
        p.name for p in models.get(name).parameters if not re.search(rf"(?<![A-Za-z]){p.name}(?![A-Za-z_])", lines)
    ]
    assert not without or (not lines and kind_named("response times") in kinds_of(name))


@pytest.mark.parametrize("name", models.names())
def test_a_section_has_the_equations(name):
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    assert any(f"`{name}`" in section and "```text" in section for section in sections)
