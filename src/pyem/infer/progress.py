"""Display of a method's progress while it runs: in a terminal's error stream, or in a line below a notebook cell."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Line = Callable[[int, str], None]
"""Function that takes the number of an iteration and a text about it."""
Report = Callable[[int, Mapping[str, Any]], None]
"""Function that takes the number of iterations that chains have made since the last call, and statistics of these."""
SECONDS = 0.2
"""Seconds between two updates of a line in a notebook."""

_asked = contextvars.ContextVar("_asked", default=True)


def is_shown(progress: bool | None) -> bool:
    """Whether progress is shown: as asked, or for None in a prompt or a notebook.

    Examples
    --------
    >>> is_shown(True), is_shown(None)
    (True, False)
    """
    return (_asked.get() and hasattr(sys, "ps1")) if progress is None else bool(progress)


@contextlib.contextmanager
def unless_asked() -> Iterator[None]:
    """Let fits within the block show no progress unless asked: they are many, or parts of something larger."""
    token = _asked.set(False)
    try:
        yield
    finally:
        _asked.reset(token)


def in_notebook() -> bool:
    """Whether output goes to a notebook's page, where a terminal's control characters have no effect."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return bool(shell) and "ipykernel" in type(shell).__module__


class PageLine:
    """A line that is overwritten again and again, in any notebook without further packages."""

    def __init__(self) -> None:
        self._width, self._last = 0, -SECONDS

    def say(self, text: str) -> None:
        """Show a text in place of the last one, unless the last one is very recent."""
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
    """Yield a function to call after each iteration with its number and a text; None if nothing is to be shown."""
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
    """Yield a function to call after each of `total` equal parts, of which `done` are done; it shows a bar and the time."""
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
    """Yield a function for chains to call, from several threads; the time of compilation is shown too."""
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
    """Make a report that turns news into words and passes them to `show`, with the iterations done in all and just now."""
    lock, done, divergent = threading.Lock(), 0, 0

    def report(n: int, news: Mapping[str, Any]) -> None:
        nonlocal done, divergent
        with lock:
            done, divergent = done + n, divergent + int(news["divergent"])
            text = f"{news['stage']}, {news['steps']:.0f} steps, acceptance {news['accept']:.2f}, {divergent} divergent"
            show(done, n, text)

    return report
