"""``pyem fit`` and ``pyem repeat``."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import pyem
from pyem.cli import clustered, report, terminal
from pyem.cli import formula_options as design
from pyem.cli import options as opt
from pyem.cli import sources as src
from pyem.cli.program import app, console, plainly, warn
from pyem.cli.spreadsheet import csv_bytes

if TYPE_CHECKING:
    import pandas as pd

    from pyem.cli.runs import Request
    from pyem.results.fit import Fit
    from pyem.results.hbi import HBIFit


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "pyem fit data.csv --model rw1a1b --subject id --block run --column choice=response --column reward=feedback\n\n"
    "pyem fit data.csv --model rw1a1b --model rw2a1b --covariate age --out results\n\n"
    "pyem fit data.csv --model rw1a1b+lapse --covariate age:alpha --codes choice=left,right --covariance full\n\n"
    "pyem fit data.csv --model rw1a1b --formula 'alpha ~ drug * diagnosis' --formula 'beta ~ 1 + load'\n\n"
    "pyem fit data.csv --model rw1a1b --method nuts --out posterior\n\n"
    "pyem fit bids --pattern bids --subject subject --block session --people bids/participants.tsv --covariate age --model "
    "rw1a1b\n\n"
    "[bold]What is written[/bold]\n\n"
    "group.csv (the group's parameters), effects.csv and marginal_means.csv (with formulas), "
    "subjects.csv (a row for each person), latents.csv (a row for each trial), fit.nc "
    "(everything; `pyem.load` in Python, or ArviZ), figures, and run.json (what was asked for, versions, seeds and the digest "
    "of the data: `pyem repeat` runs it again). With several models, each has a folder of its own beside comparison.csv. The "
    "folder appears when all of it is complete."
)
@plainly
def fit(
    data: src.Files,
    *,
    subject: opt.Subject = "subject",
    block: opt.Blocks,
    trial: opt.Trial = None,
    column: opt.Columns,
    codes: opt.Codes,
    separator: opt.Separator = None,
    encoding: opt.Encoding = None,
    decimal: opt.Decimal = None,
    values: opt.Values,
    missing: opt.Markers,
    missing_outcome: opt.Missing = opt.MissingOutcome.skip,
    where: opt.Where = None,
    exclude: opt.Exclude,
    pattern: src.Pattern = None,
    people: src.People = None,
    unmatched: src.UnmatchedOption = src.Unmatched.error,
    reference: src.References,
    join_rows_by: src.JoinRows,
    count: src.Count = None,
    teach: src.Teach = None,
    model: opt.Models,
    fix: opt.Fixed,
    formula: design.Formulas,
    missing_condition: design.MissingConditions = design.MissingCondition.error,
    common: design.Common,
    covariate: opt.Covariates,
    group: opt.FamilyOption = opt.Family.gaussian,
    covariance: opt.CovarianceOption = opt.Covariance.diagonal,
    df: opt.Df = 8.0,
    method: opt.MethodOption = opt.Method.em,
    max_iter: opt.MaxIter = 500,
    tol: opt.Tol = 1e-7,
    starts: opt.Starts = 5,
    draws: opt.Draws = 1000,
    warmup: opt.Warmup = 400,
    chains: opt.Chains = 4,
    seed: opt.Seed = 0,
    out: opt.Out = Path("results"),
    force: opt.Force = False,
    resume: opt.Resume = False,
    figures: opt.Figures = True,
    cluster: clustered.Address = None,
) -> None:
    """Fit one or more models to the data of a group of people."""
    from pyem.cli import runs

    request = runs.Request(
        data=src.one_or_several(data),
        models=tuple(model),
        subject=subject,
        block=tuple(block),
        trial=trial,
        **src.table_options(column, codes, values, missing),
        separator=separator,
        encoding=encoding,
        decimal=decimal,
        missing_outcome=missing_outcome.value,
        where=where,
        exclude=tuple(exclude),
        **src.asked(pattern, people, unmatched, reference, join_rows_by, count, teach),
        covariates=opt.shifts(covariate),
        fix=opt.numbers(fix, "--fix", "alpha=0.1"),
        **design.designs(formula, common, missing_condition),
        method=method.value,
        group=group.value,
        covariance=covariance.value,
        df=df,
        max_iter=max_iter,
        tol=tol,
        starts=starts,
        draws=draws,
        warmup=warmup,
        chains=chains,
        seed=seed,
    )
    _run(request, out, force=force, figures=figures, resume=resume, cluster=cluster)


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "pyem repeat results --out again\n\n"
    "pyem repeat results/run.json --data moved/data.csv --out again"
)
@plainly
def repeat(
    log: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that `pyem fit` wrote, or its run.json.")],
    *,
    data: Annotated[str | None, typer.Option(metavar="FILE", help="The data, if they are not where they were.")] = None,
    out: opt.Out,
    force: opt.Force = False,
    figures: opt.Figures = True,
) -> None:
    """Run a fit again from its log, on the same data."""
    from pyem.cli import log as logs

    told = logs.read_log(log)
    request = logs.logged_request(told, data)
    for difference in logs.other_versions(told):
        warn(difference)
    _run(request, out, force=force, figures=figures)


def _run(
    request: Request, out: Path, *, force: bool, figures: bool, resume: bool = False, cluster: str | None = None
) -> None:
    """Fit, print, and write the folder of results."""
    from pyem.cli import concurrent, reading, runs

    runs.check_request(request)
    concurrent.check_together(request)
    report.check_free(out, force=force)
    if cluster is not None:
        return clustered.fit_on_cluster(request, out, cluster, force=force, resume=resume)
    kept = runs.kept_beside(out, request) if resume else None
    # Started first, so that Matplotlib is imported there while JAX is imported here.
    with report.Artist() if figures else contextlib.nullcontext() as artist:
        from pyem.cli import cache
        from pyem.cli import log as logs

        cache.turn_on_compilation_cache()
        log = logs.Log(request)
        with logs.told_warnings(log, warn):
            models = runs.make_models(request)
            names = runs.names_of_fits(request, models)
            folders = {name: "." if len(names) == 1 else report.folder_name(name) for name in names}
            data, log.reading = reading.read_data_told(request, models)
            screen = console()
            screen.print(terminal.data_lines(src.described(request.data).strip("'"), data), markup=False)
            fits: dict[str, Fit] = {}
            shown = sys.stderr.isatty()
            together = (
                concurrent.fit_together(request, names, models, data, progress=shown)
                if request.method == "hbi"
                else None
            )
            alone = runs.run_fits(request, models, data, progress=shown, kept=kept)
            each = alone if together is None else together.fits.values()
            for name, one in zip(names, each, strict=True):
                fits[name] = one
                _ask_for_figures(artist, one, folders[name])
                screen.print(terminal.fit_lines(one), markup=False)
                screen.print(terminal.group_table(one))
                if report.has_effects(one):
                    screen.print(terminal.effects_table(one))
                    screen.print(terminal.coding_lines(one), markup=False)
            if together is not None:
                screen.print(together.summary(), markup=False)
                _ask_for_frequencies(artist, together)
            comparison = _compared(fits, request.seed) if len(fits) > 1 and together is None else None
            if comparison is not None:
                screen.print(terminal.comparison_table(comparison))
                _ask_for_comparison(artist, comparison)
            with report.whole_folder(out, force=force) as folder:
                for name, one in fits.items():
                    report.write_fit(folder / folders[name], one)
                if together is not None:
                    concurrent.write_together(folder, together)
                if comparison is not None:
                    (folder / "comparison.csv").write_bytes(csv_bytes(comparison, index=True))
                for name, content in (artist.figures() if artist else {}).items():
                    (folder / name).write_bytes(content)
                report.write_log(folder, log.content(data, fits, folders))
            if kept is not None:
                shutil.rmtree(kept, ignore_errors=True)
            screen.print(terminal.written_lines(out), markup=False)


def _ask_for_figures(artist: report.Artist | None, fit: Fit, folder: str) -> None:
    from pyem.plot.numbers import figure_numbers

    if artist is not None:
        for kind, content in figure_numbers(fit):
            artist.draw(str(Path(folder) / f"{kind}.png"), kind, content)


def _ask_for_comparison(artist: report.Artist | None, comparison: pd.DataFrame) -> None:
    from pyem.plot.numbers import comparison_numbers

    if artist is not None:
        artist.draw("comparison.png", "comparison", comparison_numbers(comparison))


def _ask_for_frequencies(artist: report.Artist | None, together: HBIFit) -> None:
    from pyem.plot.selection import frequency_numbers, responsibility_numbers

    if artist is not None:
        artist.draw("frequencies.png", "frequencies", frequency_numbers(together))
        artist.draw("responsibilities.png", "responsibilities", responsibility_numbers(together))


def _compared(fits: Mapping[str, Fit], seed: int) -> pd.DataFrame | None:
    """The comparison of the models of one run, or a warning if no criterion suits them: the fits are worth keeping."""
    try:
        return pyem.compare_fits(dict(fits), key=seed)
    except ValueError as error:
        warn(f"the models were not compared: {error}")
        return None
