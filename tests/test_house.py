"""The house is in order: sizes of files and functions, no private names across modules, shims that are only shims, words."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyem

SOURCE = Path(pyem.__file__).parent
SHIMS = {"api", "classes", "core", "fitting", "math", "plotting", "utils"}
"""Older paths of the pyEM interface."""
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
RESULTS = {"fit", "found", "result", "other", "fits", "self.fit"}
"""What results are called in the code."""


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def functions() -> list[tuple[int, str]]:
    """Lines of every function without its docstring, and where it is."""
    out = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                first = node.body[0]
                assert first.end_lineno is not None
                lines -= first.end_lineno - first.lineno + 1
            out.append((lines, f"{name_of(path)}: {node.name}"))
    return out


def test_there_are_twenty_rooms_at_most():
    entries = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    entries -= {"__pycache__", "__main__", *SHIMS}
    assert len(entries) <= 20, sorted(entries)


def test_no_file_is_longer_than_400_lines():
    long = [(name_of(path), n) for path in FILES if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400]
    assert not long


def test_functions_are_short():
    lengths = sorted(functions())
    counts = [n for n, _ in lengths]
    assert statistics.median(counts) <= 8
    assert counts[int(0.9 * len(counts))] <= 30
    assert not [each for each in lengths if each[0] > 80]


def test_no_private_name_is_imported_from_another_module():
    bad = [
        f"{name_of(path)}: {node.module}.{alias.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyem")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not bad


def test_no_result_is_guessed_by_its_attributes():
    bad = [
        f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
        for path, tree in TREES.items()
        if path.relative_to(SOURCE).parts[0] != "compat"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and (node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3))
        and ast.unparse(node.args[0]) in RESULTS
    ]
    assert not bad


def older_paths() -> list[Path]:
    core = [path for path in FILES if path.relative_to(SOURCE).parts[0].removesuffix(".py") in SHIMS]
    return core + [
        SOURCE / "models" / f"{name}.py"
        for name in ("bayes", "ddm", "discounting", "glm", "pt", "rl", "rl_mb", "rl_mf", "sdt")
    ]


@pytest.mark.parametrize("path", older_paths(), ids=name_of)
def test_an_older_path_holds_no_code(path):
    kinds = {type(node) for node in TREES[path].body}
    assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.Assign}
    assert len(TREES[path].body) <= 5


def test_fields_of_named_tuples_are_documented_as_attributes():
    """They have no signature in the sources, so that the strict build of the pages takes parameters for misspelt ones."""
    bad = [
        f"{name_of(path)}: {node.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith("NamedTuple") for base in node.bases)
        and "\nParameters\n---" in (ast.get_docstring(node) or "")
    ]
    assert not bad


BARE = (
    "about after against although and as at because before between but by during except for from how if in into like of on or "
    "out over per since so than that though through till to under unless until up what when where which while who whom whose "
    "why with within without"
)
"""Prepositions, conjunctions and question words: a text that begins with one names nothing, or only after a detour."""
FIRST_WORD = re.compile(r"(?:\([^)]*\)[:,]?\s+)?([A-Za-z]+(?:-[A-Za-z]+)*)")
"""The first word, after the shape of an array if there is one: ``(S,): log-likelihood``."""


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring, also of the strings below fields and constants."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for k, part in enumerate(body if isinstance(body, list) else []):
            if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)):
                continue
            if isinstance(part.value.value, str) and (k == 0 or isinstance(body[k - 1], ast.Assign | ast.AnnAssign)):
                yield part.lineno, part.value.value


def test_docstrings_say_what_a_thing_is():
    """They begin with a verb or a noun, "Return the mode", "Least width": not with "Of the mode", "Where it is", "If so".

    "Whether" may begin one, as it says what a truth value means.
    """
    bad = [
        f"{name_of(path)}:{line}: {text.splitlines()[0]}"
        for path, tree in TREES.items()
        for line, text in docstrings(tree)
        if (word := FIRST_WORD.match(text)) and word[1].lower() in BARE.split()
    ]
    assert not bad, "\n".join(bad)
