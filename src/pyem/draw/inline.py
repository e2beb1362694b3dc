"""Figures as SVG that may stand inside a page, beside others."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

FONTS = ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"]
"""Fonts of similar width to the one of the layout; text stays text, so that it can be searched and edited."""
PIXELS = 5 / 3
"""Pixels per point."""


def inline_svg(figure: Figure, prefix: str) -> str:
    """Convert a figure to an element of a page: without prolog, with names made unique by `prefix`, hidden from screen readers.

    Examples
    --------
    >>> from pyem.draw.canvas import canvas
    >>> inline_svg(canvas(1)[0], "f1")[:4]
    '<svg'
    """
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.hashsalt": "pyem", "svg.fonttype": "none", "font.sans-serif": FONTS}):
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return tidied(out.getvalue(), prefix)


def undated(path: Path) -> dict[str, None]:
    """Metadata that a figure's file must leave out, so that equal figures are equal files."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})


def tidied(text: str, prefix: str) -> str:
    """Extract the drawing alone, with names that no other drawing of the page has.

    Examples
    --------
    >>> tidied('<?xml version="1.0"?><svg width="72pt" id="a"><use xlink:href="#a"/></svg>', "f1")
    '<svg aria-hidden="true" focusable="false" width="120" id="f1-a"><use href="#f1-a"/></svg>'
    """
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(?:xmlns:xlink|xmlns|version)="[^"]*"', "", text)
    head, end, body = text.partition(">")
    text = _shown(head) + end + body
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = text.replace(' type="text/css"', "")
    return re.sub(r"\n\s*", "\n", text)


def _shown(head: str) -> str:
    """First tag with its width in pixels, so that text has the size of a page's notes; the height follows from viewBox."""
    width = re.search(r'\bwidth="([\d.]+)pt"', head)
    pixels = "" if width is None else f' width="{PIXELS * float(width[1]):.0f}"'
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    return head.replace("<svg", f'<svg aria-hidden="true" focusable="false"{pixels}', 1)
