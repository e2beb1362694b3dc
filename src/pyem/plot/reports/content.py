"""Parts of a report, without any knowledge of HTML, Markdown or word processors."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pyem.draw.inline import inline_svg
from pyem.results.paper import to_apa

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Level = Literal["good", "look", "stop"]
WORDS: dict[Level, str] = {"good": "good", "look": "look at this", "stop": "do not rely on this"}
"""Words for the colours of a traffic light, so that no meaning depends on the colour."""
ITALIC, CODE = ("\x0e", "\x0f"), ("\x10", "\x11")
"""Marks around text in italics and in the typeface of code. No table of a person has these characters."""


def italic(text: str) -> str:
    """Text in italics, as APA style wants symbols of statistics."""
    return f"{ITALIC[0]}{text}{ITALIC[1]}"


def code(text: str) -> str:
    """Text in the typeface of code, as names of parameters and columns are."""
    return f"{CODE[0]}{text}{CODE[1]}"


def runs(text: str) -> Iterator[tuple[str, str]]:
    """Split text into runs of one kind, each with ``""``, ``"italic"`` or ``"code"``.

    Examples
    --------
    >>> list(runs("with " + italic("p") + " < .001"))
    [('with ', ''), ('p', 'italic'), (' < .001', '')]
    """
    for part in re.split("(\x0e[^\x0f]*\x0f|\x10[^\x11]*\x11)", text):
        if part:
            kind = {ITALIC[0]: "italic", CODE[0]: "code"}.get(part[0], "")
            yield (part[1:-1] if kind else part), kind


def plain(text: str) -> str:
    """Remove the marks from text."""
    return "".join(part for part, _ in runs(text))


def joined(parts: Sequence[str], last: str = "and") -> str:
    """Parts of a sentence as a list.

    Examples
    --------
    >>> joined(["a", "b", "c"])
    'a, b, and c'
    """
    if len(parts) < 3:
        return f" {last} ".join(parts)
    return f"{', '.join(parts[:-1])}, {last} {parts[-1]}"


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclasses.dataclass(frozen=True)
class Items:
    """A list, with or without numbers."""

    items: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Listing:
    """Lines of code, as they are."""

    text: str
    what: str
    """Description of the code for readers who do not see it."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text.

    Parameters
    ----------
    caption
        Caption without a number.
    head, rows
        Text; the first `left` columns say what a row is about.
    left
        Number of columns that are labels.
    note
        Explanations that a reader needs.
    long
        Whether it may be long enough to be looked at through a window.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    note: str = ""
    long: bool = False


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure: its drawing, caption, and description for readers who do not see it. It is drawn only when needed.

    Parameters
    ----------
    figure
        The drawing.
    name
        Unlike that of any other figure of the document.
    caption, alt
        Caption, and description in words.
    """

    figure: Figure
    name: str
    caption: str
    alt: str

    @property
    def svg(self) -> str:
        """Draw the figure as an element of a page."""
        return inline_svg(self.figure, self.name)

    @property
    def png(self) -> bytes:
        """Draw the figure as pixels, for word processors."""
        out = io.BytesIO()
        self.figure.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()


@dataclasses.dataclass(frozen=True)
class Light:
    """A check: its outcome, what was found, and what to do about it."""

    level: Level
    what: str
    remedy: str = ""

    @property
    def word(self) -> str:
        """Colour of the light in words."""
        return WORDS[self.level]


@dataclasses.dataclass(frozen=True)
class Lights:
    """Checks, the worst first."""

    lights: tuple[Light, ...]

    @property
    def sorted(self) -> list[Light]:
        """The checks, the worst first, else in their order."""
        return sorted(self.lights, key=lambda light: -list(WORDS).index(light.level))


Part = Paragraph | Items | Listing | Table | Picture | Lights


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading with the parts below it."""

    title: str
    parts: tuple[Part, ...]
    sections: tuple[Section, ...] = ()


@dataclasses.dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    lead: tuple[Part, ...]
    sections: tuple[Section, ...]
    made: str
    """Program that made the document, and date."""


def table_of(
    frame: pd.DataFrame, caption: str, *, digits: int = 2, note: str = "", long: bool = False, interval: str = ""
) -> Table:
    """Table of numbers, rounded by `pyem.to_apa`; `interval` names its interval if that is not a confidence interval.

    Examples
    --------
    >>> import pandas as pd
    >>> table_of(pd.DataFrame({"estimate": [0.4861]}, index=["alpha"]), "Group").rows
    (('alpha', '0.49'),)
    """
    text = to_apa(frame, digits=digits)
    index = [entry if isinstance(entry, tuple) else (entry,) for entry in text.index]
    text = text.rename(columns={"95% CI": interval} if interval else {})
    heads = ["" if name is None else str(name).replace("_", " ") for name in text.index.names]
    cells = zip(index, text.itertuples(index=False, name=None), strict=True)
    rows = tuple(tuple(map(str, (*labels, *values))) for labels, values in cells)
    return Table(caption, (*heads, *map(str, text.columns)), rows, len(heads), note, long)
