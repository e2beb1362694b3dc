"""A report as Markdown, without drawings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pyem.plot.reports.content import Document, Items, Lights, Listing, Paragraph, Picture, Section, Table, runs

MARKS = {"italic": "*", "code": "`"}


def as_markdown(document: Document) -> bytes:
    """The whole text."""
    lines = [f"# {escaped(document.title)}", "", escaped(document.made), ""]
    for part in document.lead:
        lines += _part(part)
    for section in document.sections:
        lines += _section(section, 2)
    return ("\n".join(lines).rstrip() + "\n").encode("utf-8")


def escaped(text: str) -> str:
    r"""Escape text so that Markdown formats nothing in it.

    Examples
    --------
    >>> print(escaped("a*b_c"))
    a\*b\_c
    """
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)


def marked(text: str) -> str:
    """Convert the marks of text to Markdown."""
    out = []
    for part, kind in runs(text):
        # Inside backquotes nothing is escaped.
        body = part if kind == "code" else re.sub(r"(?<!\S)(\\?)(https://\S+)", r"\2", _linked(part))
        out.append(f"{MARKS.get(kind, '')}{body}{MARKS.get(kind, '')}")
    return "".join(out)


def _linked(text: str) -> str:
    """Escape text except addresses."""
    parts = re.split(r"(https://\S+)", text)
    return "".join(part if k % 2 else escaped(part) for k, part in enumerate(parts))


def _section(section: Section, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} {escaped(section.title)}", "")
    for part in section.parts:
        yield from _part(part)
    for inner in section.sections:
        yield from _section(inner, level + 1)


def _part(part: Any) -> Iterator[str]:
    if isinstance(part, Paragraph):
        yield from (marked(part.text), "")
    elif isinstance(part, Items):
        yield from (*(f"- {marked(item)}" for item in part.items), "")
    elif isinstance(part, Listing):
        yield from ("```text", part.text, "```", "")
    elif isinstance(part, Lights):
        for one in part.sorted:
            remedy = f" **What to do:** {marked(one.remedy)}" if one.remedy else ""
            yield f"- **{one.word}**: {marked(one.what)}{remedy}"
        yield ""
    elif isinstance(part, Picture):
        yield from (f"*Figure:* {marked(part.caption)} {marked(part.alt)}", "")
    elif isinstance(part, Table):
        yield from _table(part)


def _table(table: Table) -> Iterator[str]:
    line = lambda cells: f"| {' | '.join(cells)} |"  # noqa: E731
    yield from (f"**{marked(table.caption)}**", "")
    yield line(map(escaped, table.head))
    yield "|" + ":---|" * table.left + "---:|" * (len(table.head) - table.left)
    for row in table.rows:
        yield line(map(marked, row))
    yield ""
    if table.note:
        yield from (f"*Note.* {marked(table.note)}", "")
