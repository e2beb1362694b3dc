"""A report for a word processor, by python-docx."""

from __future__ import annotations

import importlib.util
import io
from typing import Any

from pyem.plot.reports.content import Document, Items, Lights, Listing, Paragraph, Picture, Section, Table, runs


def require() -> None:
    """Raise unless python-docx is installed.

    Raises
    ------
    ValueError
        With how to install it.
    """
    if importlib.util.find_spec("docx") is None:
        raise ValueError(
            "a report for a word processor needs python-docx, which is not installed: pip install 'pyem-behavior[docx]'; "
            "or write .html or .md"
        )


def as_docx(document: Document) -> bytes:
    """The whole file."""
    import docx

    out = docx.Document()
    out.core_properties.title = document.title
    out.core_properties.author = ""
    out.add_heading(document.title, 0)
    out.add_paragraph(document.made)
    for part in document.lead:
        _part(out, part)
    for section in document.sections:
        _section(out, section, 1)
    content = io.BytesIO()
    out.save(content)
    return content.getvalue()


def _section(out: Any, section: Section, level: int) -> None:
    out.add_heading(section.title, level)
    for part in section.parts:
        _part(out, part)
    for inner in section.sections:
        _section(out, inner, level + 1)


def _write(paragraph: Any, text: str) -> Any:
    for part, kind in runs(text):
        run = paragraph.add_run(part)
        run.italic = kind == "italic" or None
        if kind == "code":
            run.font.name = "Consolas"
    return paragraph


def _part(out: Any, part: Any) -> None:
    if isinstance(part, Paragraph):
        _write(out.add_paragraph(), part.text)
    elif isinstance(part, Items):
        for item in part.items:
            _write(out.add_paragraph(style="List Bullet"), item)
    elif isinstance(part, Listing):
        _write(out.add_paragraph(), f"\x10{part.text}\x11")
    elif isinstance(part, Lights):
        for one in part.sorted:
            paragraph = out.add_paragraph(style="List Bullet")
            paragraph.add_run(f"{one.word}: ").bold = True
            _write(paragraph, f"{one.what} {one.remedy}".strip())
    elif isinstance(part, Picture):
        _picture(out, part)
    elif isinstance(part, Table):
        _table(out, part)


def _picture(out: Any, part: Picture) -> None:
    from docx.shared import Cm

    shape = out.add_picture(io.BytesIO(part.png), width=Cm(15.5))
    shape._inline.docPr.set("descr", part.alt)
    _write(out.add_paragraph(style="Caption"), part.caption)


def _table(out: Any, part: Table) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    _write(out.add_paragraph(style="Caption"), part.caption)
    table = out.add_table(rows=0, cols=len(part.head))
    table.style = "Light List"
    for row in (part.head, *part.rows):
        for k, (cell, text) in enumerate(zip(table.add_row().cells, row, strict=True)):
            paragraph = _write(cell.paragraphs[0], text)
            paragraph.paragraph_format.space_after = Pt(0)
            if k >= part.left:
                paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
            for run in paragraph.runs:
                run.font.size = Pt(8)
    if part.note:
        paragraph = out.add_paragraph()
        paragraph.add_run("Note. ").italic = True
        _write(paragraph, part.note)
