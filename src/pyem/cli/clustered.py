"""`pyem fit --cluster`: data in partitions, fitted by the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pyem
from pyem.cli import options as opt
from pyem.cli import report, terminal
from pyem.cli import sources as src
from pyem.cli.program import console, warn
from pyem.cli.spreadsheet import csv_bytes

if TYPE_CHECKING:
    from pyem.cli.runs import Request
    from pyem.data.partitioned import PartitionedDataset
    from pyem.model.model import Model

Address = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Address of a Dask scheduler, such as tcp://host:8786, whose workers share the data in partitions; for em, and "
        "data larger than memory. Writes tables of people and trials as Parquet files, and no figures.",
        rich_help_panel=opt.SEARCH,
    ),
]
SECONDS_TO_ANSWER = 10
IN_MEMORY_ONLY = ("formulas", "common")
"""Options of designs that need all data in memory."""


def _check(request: Request) -> None:
    """Raise ValueError for options that do not go with a cluster, naming one and what to do."""
    if request.method != "em":
        raise ValueError(f"--cluster is for --method em; leave it out for {request.method}")
    default = type(request)(request.data, request.models)
    given = [name for name in IN_MEMORY_ONLY if getattr(request, name) != getattr(default, name)]
    if given:
        option = {"formulas": "formula"}.get(given[0], given[0])
        raise ValueError(
            f"--{option} does not go with --cluster, whose data are in partitions; leave one of the two out"
        )


@contextlib.contextmanager
def client_at(address: str) -> Iterator[Any]:
    """A client of the scheduler at an address.

    Raises
    ------
    ValueError
        If nothing answers there.
    """
    try:
        from distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError("--cluster needs Dask: pip install 'pyem-behavior[dask]'") from None
    try:
        client = Client(address, timeout=SECONDS_TO_ANSWER)
    except (OSError, ValueError, TimeoutError) as error:
        raise ValueError(
            f"--cluster {address}: no scheduler answers there ({type(error).__name__}); start one with `dask scheduler`, and "
            "workers with `dask worker ADDRESS`"
        ) from None
    with client:
        yield client


def fit_on_cluster(request: Request, out: Path, address: str, *, force: bool, resume: bool) -> None:
    """Open the data in partitions, fit each model on the cluster, print, and write the folder of results.

    Raises
    ------
    ValueError
        If options do not go with a cluster, or no scheduler answers.
    """
    from pyem.cli import log as logs
    from pyem.cli import runs

    _check(request)
    kept = runs.kept_beside(out, request) if resume else None
    log = logs.Log(request)
    with client_at(address) as client, logs.told_warnings(log, warn):
        models = runs.make_models(request)
        names = runs.names_of_fits(request, models)
        folders = {name: "." if len(names) == 1 else report.folder_name(name) for name in names}
        data = opened(request, models)
        screen = console()
        screen.print(terminal.data_lines(src.described(request.data).strip("'"), data), markup=False)  # type: ignore[arg-type]
        fits = {}
        for k, (name, model) in enumerate(zip(names, models, strict=True)):
            how = {"max_iter": request.max_iter, "tol": request.tol, "group": runs.make_group(request, model)}
            how |= {"cluster": client, "checkpoint": None if kept is None else kept / str(k)}
            fits[name] = one = pyem.fit_em(model, data, **how)
            screen.print(terminal.fit_lines(one), markup=False)
            screen.print(terminal.group_table(one))
        with report.whole_folder(out, force=force) as folder:
            for name, one in fits.items():
                here = folder / folders[name]
                here.mkdir(exist_ok=True)
                (here / "group.csv").write_bytes(csv_bytes(one.group_table(), index=True))
                pyem.to_parquet(one, here / "tables", latents=True)
            report.write_log(folder, log.content(data, fits, folders))  # type: ignore[arg-type]
        if kept is not None:
            shutil.rmtree(kept, ignore_errors=True)
        screen.print(terminal.written_lines(out), markup=False)


def opened(request: Request, models: Sequence[Model]) -> PartitionedDataset:
    """The data of a request in partitions, with the columns that its models need.

    Raises
    ------
    DataError
        If a file or a column is not what was expected.
    """
    from pyem.cli import reading
    from pyem.data.sources import first_table

    text = {name: getattr(request, name) for name in ("separator", "encoding", "decimal")}
    first = first_table(request.data, request.pattern, (request.subject, *request.block), **text)
    columns, _ = reading.columns_of(request, models, first)
    return pyem.Dataset.open(
        request.data if isinstance(request.data, str) else list(request.data),
        **reading.arguments(request, models, first, columns),
        join_rows_by=request.join_rows_by or None,
        count=request.count,
        teach=request.teach,
        pattern=request.pattern,
        **text,
    )
