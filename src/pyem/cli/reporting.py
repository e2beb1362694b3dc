"""``pyem report``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pyem
from pyem.cli import report as folders
from pyem.cli.program import app, plainly

if TYPE_CHECKING:
    from pyem.plot.reports import Origin

TOGETHER = "hbi.nc"
"""Name of the file that a run of several models together writes."""


@app.command(
    epilog="[bold]Examples[/bold]\n\npyem report results\n\npyem report results --out report.docx --title 'Study 1'\n\n"
    "pyem report results --recovery 3 --out results/report.html"
)
@plainly
def report(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS...", help="Folders that `pyem fit` wrote, or their fit.nc files.")
    ],
    *,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="A page (.html), Markdown (.md), or for a word processor (.docx).")
    ] = Path("report.html"),
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Title of the report.")] = None,
    recovery: Annotated[
        int,
        typer.Option(
            metavar="ROUNDS", min=0, max=1000, help="Rounds of a study of recovery at this design; 0 for none."
        ),
    ] = 0,
    draws: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, max=100_000, help="Simulated data sets of checks; 0 for none.")
    ] = 200,
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Seed of simulations and integrals.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a report of saved fits: one file with tables, figures, checks, methods and results paragraphs, references."""
    from pyem.plot.reports.report import writer_of

    folders.check_file(out, force=force)
    writer_of(out)
    fits = _fits(results)
    # A study of recovery and a check compile functions.
    from pyem.cli import cache

    cache.turn_on_compilation_cache()
    pyem.report(fits, out, title=title, recovery=recovery, checks=draws, key=seed, origin=origin_of(results))
    typer.echo(f"written to {out}")


def _fits(paths: Sequence[Path]) -> Any:
    """Load all saved fits of the folders; models fitted together make one result."""
    together = [path / TOGETHER for path in paths if (path / TOGETHER).is_file()]
    if together and len(paths) == 1:
        return pyem.load(together[0])
    files = folders.find_fits(list(paths))
    if not files:
        raise ValueError(f"there is no saved fit in {', '.join(map(str, paths))}; give folders that `pyem fit` wrote")
    return folders.name_fits(files, [pyem.load(file) for file in files])


def origin_of(paths: Sequence[Path]) -> Origin:
    """Origin of results, from the logs of their runs: of several runs, what all logs say."""
    from pyem.cli.log import read_log
    from pyem.plot.reports import Origin

    logs = {file: read_log(file) for file in dict.fromkeys(filter(None, map(_log_of, paths)))}
    if not logs:
        return Origin()
    told = list(logs.values())
    same = lambda values: values[0] if len(set(values)) == 1 else ""  # noqa: E731
    name = lambda log: log["data"]["file"] if isinstance(log["data"]["file"], str) else ", ".join(log["data"]["file"])  # noqa: E731
    return Origin(
        file=same([name(log) for log in told]),
        digest=same([log["data"]["sha256"] for log in told]),
        command="\n".join(log["command"] for log in told),
        versions=told[0]["versions"] if len({str(log["versions"]) for log in told}) == 1 else None,
        warnings=[text for log in told for text in log.get("warnings", ())],
        reading=same([_reading(log) for log in told]),
    )


def _reading(log: Mapping[str, Any]) -> str:
    """Lines of Python that read the data of a run; none if they are no longer where they were, or others."""
    from pyem.cli import reading, runs
    from pyem.cli.log import logged_request

    try:
        request = logged_request(log, None)
        if log.get("reading"):
            return "\n".join(log["reading"])
        # Earlier versions did not write these lines: only the table tells what its columns are.
        return "\n".join(reading.reading_lines(request, runs.make_models(request), reading.table_of(request)))
    except (OSError, ValueError):
        return ""


def _log_of(path: Path) -> Path | None:
    """The log of the run that a folder or file of results belongs to."""
    folder = path if path.is_dir() else path.parent
    return next((place / folders.LOG for place in (folder, folder.parent) if (place / folders.LOG).is_file()), None)
