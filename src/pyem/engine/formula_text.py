"""Formulas as text: a parameter, a tilde, terms, and bars that say in what people differ."""

from __future__ import annotations

import re

from pyem.data.formulas import variables
from pyem.engine.binding import Formula
from pyem.errors import ModelError
from pyem.model.model import Model

_BAR = re.compile(r"\|\|?")


def columns_of(formula: str) -> tuple[str, ...]:
    """The columns that a formula names.

    Examples
    --------
    >>> columns_of("alpha ~ drug * age + (1 | subject)")
    ('age', 'drug')
    """
    return variables(_without_bars(formula.partition("~")[2])[0])


def formula_of(model: Model, text: str) -> Formula:
    """Parse the text of a formula.

    Raises
    ------
    ModelError
        If it is none, or of no parameter of the model.

    Examples
    --------
    >>> import pyem
    >>> formula_of(pyem.models.get("rw1a1b"), "alpha ~ drug + (1 | subject)").bars
    (('1', True),)
    """
    left, tilde, right = text.partition("~")
    name, right = left.strip(), right.strip()
    if not tilde or not right:
        raise ModelError(f"{text!r} is no formula; write a parameter, ~ and what it depends on: 'alpha ~ drug'")
    if name not in model.names:
        raise ModelError(f"{text!r}: model {model.name!r} has no parameter {name!r}; it has {', '.join(model.names)}")
    rest, bars = _without_bars(right)
    variables(rest)
    return Formula(name, rest, bars, right)


def _without_bars(right: str) -> tuple[str, tuple[tuple[str, bool], ...]]:
    """Split off ``(... | subject)`` from the right side, and return both."""
    rest, bars, depth, start, plain = "", [], 0, 0, _masked(right)
    for place, char in enumerate(plain):
        if char == "(":
            start = place if depth == 0 else start
            depth += 1
        elif char == ")":
            depth -= 1
            if depth < 0:
                break
            if depth == 0 and "|" in plain[start:place]:
                bars.append(_bar(right[start + 1 : place], plain[start + 1 : place]))
                continue
            rest += right[start : place + 1] if depth == 0 else ""
        elif depth == 0:
            rest += right[place]
    if depth:
        raise ModelError(
            f"the formula {right!r} has a parenthesis that is {'not opened' if depth < 0 else 'not closed'}; they come in pairs"
        )
    rest = re.sub(r"\+\s*(?=\+|$)", "", rest.strip()).strip()
    rest = re.sub(r"^\+\s*", "", rest).removesuffix("+").strip()
    return rest or "1", tuple(bars)


def _masked(text: str) -> str:
    """Replace the text in quotes or backquotes by as many letters, so that names and levels are no operators."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", lambda found: "x" * len(found[0]), text)


def _bar(text: str, plain: str) -> tuple[str, bool]:
    found = _BAR.search(plain)
    assert found is not None
    left, right = text[: found.start()].strip(), text[found.end() :].strip()
    if right.strip("`") != "subject":
        raise ModelError(
            f"({text}): people are what varies here; write (... | subject), and columns of people as terms of the formula"
        )
    return left, found[0] != "||"
