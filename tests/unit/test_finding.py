"""Which models there are for a task."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyem import models
from pyem.models.finding import KINDS, kinds_of

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_words_find_models_by_title_first():
    found = models.search("reversal")
    assert {"hmm_reversal", "aif_reversal", "rw1a1b"} <= set(found)
    assert models.search("hazard reversal")[0] in ("hmm_reversal", "aif_reversal")
    assert models.search("no such words at all") == []
    assert models.search(task="Working memory") == ["rlwm"]


def test_an_unknown_task_names_the_known_ones():
    with pytest.raises(ValueError, match="there are bandit, reversal"):
        models.search(task="chess")


def test_the_table_has_models_of_each_kind_of_task():
    text = PAGE.read_text(encoding="utf-8").split("## Which model for my task?", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ") and "`" in line]
    told = {cells[2].strip(): re.findall(r"`(\w+)`", cells[3]) for cells in rows}
    assert set(told) <= {kind.name for kind in KINDS}
    assert len(told) >= len(KINDS) - 1, "those without models yet have no row"
    for kind in KINDS:
        assert all(kind in kinds_of(name) and name in models.names() for name in told.get(kind.name, ()))


def test_what_a_model_says_comes_without_its_options():
    assert models.said("happiness").startswith("Ratings of ``happiness``")
    assert "Examples" not in models.said("two_step_separate")
