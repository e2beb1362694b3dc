"""A report as one page of HTML that loads nothing, with styles and drawings inside."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from markupsafe import Markup, escape

from pyem.plot.reports.content import Document, Picture, Section, Table, plain, runs

TAGS = {"italic": "em", "code": "code"}


def as_html(document: Document) -> bytes:
    """The whole page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # White space is kept as the template has it, because it matters in listings.
    environment = Environment(
        loader=PackageLoader("pyem.plot.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"rich": rich, "svg": Markup, "place": id, "plain": plain}
    environment.tests["kind"] = lambda part, name: type(part).__name__ == name
    style = files("pyem.plot.reports").joinpath("templates", "report.css").read_text(encoding="utf-8")
    counter = Counter(document)
    page = environment.get_template("report.html").render(
        document=document, style=Markup(style), number=counter.number, ids=counter.ids
    )
    return page.encode("utf-8")


def rich(text: str) -> Markup:
    """Convert the marks of text to elements, and addresses of publications to links.

    Examples
    --------
    >>> from pyem.plot.reports.content import italic
    >>> str(rich(italic("p") + " < .05, https://doi.org/10.1/2"))
    '<em>p</em> &lt; .05, <a href="https://doi.org/10.1/2">https://doi.org/10.1/2</a>'
    """
    out = []
    for part, kind in runs(text):
        if kind:
            out.append(f"<{TAGS[kind]}>{escape(part)}</{TAGS[kind]}>")
        else:
            out.append(re.sub(r"https://[^\s;)]+[^\s;).,]", r'<a href="\g<0>">\g<0></a>', str(escape(part))))
    return Markup("".join(out))


def slug(text: str) -> str:
    """Convert a heading to the name of a place in the page.

    Examples
    --------
    >>> slug("The fit of rw1a1b(alpha ~ drug)")
    'the-fit-of-rw1a1b-alpha-drug'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"


@dataclasses.dataclass
class Counter:
    """Numbers of tables and figures, and names of sections, which appear once."""

    document: Document

    def __post_init__(self) -> None:
        self._numbers: dict[int, int] = {}
        for kind in (Table, Picture):
            found = [part for part in parts_of(self.document) if isinstance(part, kind)]
            self._numbers |= {id(part): k + 1 for k, part in enumerate(found)}
        self.ids: dict[int, str] = {}
        for k, section in enumerate(sections_of(self.document.sections)):
            name = slug(section.title)
            self.ids[id(section)] = name if name not in self.ids.values() else f"{name}-{k + 1}"

    def number(self, part: Any) -> int:
        """The number of a table or figure."""
        return self._numbers[id(part)]


def sections_of(sections: tuple[Section, ...]) -> Iterator[Section]:
    """All sections, in the order of the page."""
    for section in sections:
        yield section
        yield from sections_of(section.sections)


def parts_of(document: Document) -> Iterator[Any]:
    """All parts, in the order of the page."""
    yield from document.lead
    for section in sections_of(document.sections):
        yield from section.parts
