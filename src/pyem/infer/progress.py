"""A line on the error stream that tells how far an iteration is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_line(show: bool, label: str, total: int | None = None) -> Iterator[Callable[[int, str], None] | None]:
    """What to call after each iteration with its number and what to say of it; None if nothing is to be shown."""
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda n, text: bar.update(task, completed=n, description=f"{label}: {text}")
