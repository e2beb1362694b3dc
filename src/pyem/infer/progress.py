"""How far a method is, told while it runs: on the error stream of a terminal, in a line below the cell of a notebook."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Line = Callable[[int, str], None]
"""Takes the number of an iteration, and what to say of it."""
Report = Callable[[int, Mapping[str, Any]], None]
"""Takes how many iterations a block of chains has made since the last time, and some statistics of them."""
SECONDS = 0.2
"""Between two updates of a line in a notebook."""

_asked = contextvars.ContextVar("_asked", default=True)


def is_shown(progress: bool | None) -> bool:
    """Whether progress is to be shown: as said, or for None where somebody sits in front (a prompt, a notebook).

    Examples
    --------
    >>> is_shown(True), is_shown(None)
    (True, False)
    """
    return (_asked.get() and hasattr(sys, "ps1")) if progress is None else bool(progress)


@contextlib.contextmanager
def unless_asked() -> Iterator[None]:
    """Fits of the block show nothing of their own accord: they are many, or parts of something larger."""
    token = _asked.set(False)
    try:
        yield
    finally:
        _asked.reset(token)


def in_notebook() -> bool:
    """Whether output goes to a notebook's page, where a terminal's ways of moving about mean nothing."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return bool(shell) and "ipykernel" in type(shell).__module__


class PageLine:
    """A line that is written over and over, which every notebook shows without further packages."""

    def __init__(self) -> None:
        self._width, self._last = 0, -SECONDS

    def say(self, text: str) -> None:
        """Show a text in place of the last one, unless that is very new."""
        if time.monotonic() - self._last >= SECONDS:
            self._write(text)
            self._last = time.monotonic()

    def clear(self) -> None:
        """Leave an empty line."""
        self._write("")
        sys.stdout.write("\r")

    def _write(self, text: str) -> None:
        sys.stdout.write("\r" + text.ljust(self._width))
        sys.stdout.flush()
        self._width = len(text)


@contextlib.contextmanager
def _page_line() -> Iterator[PageLine]:
    line = PageLine()
    try:
        yield line
    finally:
        line.clear()


@contextlib.contextmanager
def progress_line(progress: bool | None, label: str, total: int | None = None) -> Iterator[Line | None]:
    """What to call after each iteration with its number and what to say of it; None if nothing is to be shown."""
    if not is_shown(progress):
        yield None
        return
    if in_notebook():
        with _page_line() as line:
            yield lambda _, text: line.say(f"{label}: {text}")
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda n, text: bar.update(task, completed=n, description=f"{label}: {text}")


@contextlib.contextmanager
def count_line(progress: bool | None, label: str, total: int, done: int = 0) -> Iterator[Line | None]:
    """What to call after each of many equal parts, `done` of which are there already; with a bar and the time that is left."""
    if not is_shown(progress):
        yield None
        return
    if in_notebook():
        with _page_line() as line:
            yield lambda _, text: line.say(f"{label}: {text}")
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done)
        yield lambda n, text: bar.update(task, completed=n, description=f"{label}: {text}")


@contextlib.contextmanager
def progress_bar(progress: bool | None, label: str, total: int) -> Iterator[Report | None]:
    """The same for chains, which report from several threads; the time of compilation is shown too."""
    if not is_shown(progress):
        yield None
        return
    if in_notebook():
        with _page_line() as line:
            line.say(f"{label}: compiling")
            yield _counting(lambda done, _, text: line.say(f"{label}: {done / total:.0%}, {text}"))
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{label}: compiling", total=total)
        yield _counting(lambda _, n, text: bar.update(task, advance=n, description=f"{label}: {text}"))


def _counting(show: Callable[[int, int, str], None]) -> Report:
    """A report that says the news in words, to `show` with the number of iterations that are done, and done now."""
    lock, done, divergent = threading.Lock(), 0, 0

    def report(n: int, news: Mapping[str, Any]) -> None:
        nonlocal done, divergent
        with lock:
            done, divergent = done + n, divergent + int(news["divergent"])
            text = f"{news['stage']}, {news['steps']:.0f} steps, acceptance {news['accept']:.2f}, {divergent} divergent"
            show(done, n, text)

    return report
