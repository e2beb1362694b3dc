"""The command ``pyem`` itself: its start, its end after bad input, and its output."""

from __future__ import annotations

import functools
import gc
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, TextIO

import typer

import pyem

app = typer.Typer(
    name="pyem",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="[bold]Start here[/bold]\n\n"
    "pyem models\n\n"
    "pyem simulate rw1a1b --subjects 50 --blocks 4 --trials 24 --out data.csv\n\n"
    "pyem fit data.csv --model rw1a1b --model rw2a1b --subject subject --block block --out results\n\n"
    "pyem compare results/*\n\n"
    "Exit codes: 0 done, 1 bad input, 2 wrong usage. Compiled code is kept in ~/.cache/pyem or where PYEM_CACHE_DIR says "
    "(empty: nowhere). PYEM_DEBUG=1 shows where an error comes from.",
)


def main() -> None:
    """Entry point of the command ``pyem``."""
    # Imports and traced functions allocate a lot and leave little to collect: looking for it would take a tenth of the time.
    gc.set_threshold(1_000_000)
    # A polite request to end is treated like Ctrl-C: whatever is half written is removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.stdout, sys.stderr = patient(sys.stdout), patient(sys.stderr)
    app()


class _Patient(io.FileIO):
    """A pipe that the reader may close (``pyem fit ... | head -1``), so that results are still written."""

    def write(self, data: Any) -> int | None:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def patient(stream: TextIO) -> TextIO:
    """Return a stream that does not fail when a pipe is closed; a terminal, or no stream, stays as it is."""
    if stream is None or stream.isatty():
        return stream
    raw = _Patient(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True)


def plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Let bad input end a command with one readable message and exit code 1, and Ctrl-C with 130."""

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except (ValueError, OSError) as error:
            # DataError and ModelError are ValueErrors.
            if os.environ.get("PYEM_DEBUG"):
                raise
            typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
            raise typer.Exit(1) from None
        except MemoryError:
            typer.secho(
                "error: there is not enough memory for this; ask for fewer people, trials, draws or chains",
                err=True,
                fg=typer.colors.RED,
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.secho("interrupted: nothing was written", err=True, fg=typer.colors.RED)
            raise typer.Exit(130) from None

    return wrapped


def warn(message: str) -> None:
    """Print one line on the error stream."""
    typer.secho(f"warning: {message}", err=True, fg=typer.colors.YELLOW)


def console() -> Any:
    """Return the console on which tables are printed; for a pipe it is as wide as they need."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def print_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"pyem {pyem.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fit computational models of behaviour to groups of people, and say which model explains them best."""
