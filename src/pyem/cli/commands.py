"""The commands of ``pyem``.

Imports of this module are few on purpose, and commands import what they need: ``pyem --help`` must not wait for JAX.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pyem
from pyem.cli import options as opt
from pyem.cli import report, terminal

if TYPE_CHECKING:
    import pandas as pd

    from pyem.cli.runs import Request
    from pyem.results.fit import Fit

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
    app()


def plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Bad input ends a command with one readable message and exit code 1, Ctrl-C with 130."""

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
        except KeyboardInterrupt:
            typer.secho("interrupted: nothing was written", err=True, fg=typer.colors.RED)
            raise typer.Exit(130) from None

    return wrapped


def warn(message: str) -> None:
    """One line on the error stream."""
    typer.secho(f"warning: {message}", err=True, fg=typer.colors.YELLOW)


def console() -> Any:
    """Where tables are printed; a pipe is as wide as they need."""
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


# -- models -------------------------------------------------------------------------------------------------------------


@app.command(epilog="[bold]Examples[/bold]\n\npyem models\n\npyem models rw2a1b")
@plainly
def models(
    name: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Tell all about one model.")] = None,
) -> None:
    """List the models: their parameters, and the columns that the data must have."""
    from pyem.cli.cache import model_catalogue

    catalogue = model_catalogue()
    if name is None:
        console().print(terminal.catalogue_table(catalogue))
        return
    known = {entry["name"]: entry for entry in catalogue}
    if name not in known:
        raise ValueError(f"there is no model {name!r}; the models are {', '.join(known)}")
    typer.echo(terminal.model_page(known[name]))


# -- simulate -----------------------------------------------------------------------------------------------------------


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "pyem simulate rw1a1b --subjects 50 --blocks 4 --trials 24 --out data.csv\n\n"
    "pyem simulate rw2a1b --covariate age:alpha_pos=0.5 --missed 0.05 --seed 7 --out data.csv --truth truth.csv"
)
@plainly
def simulate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Named as for `pyem fit --model`.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV file to write: a row for each trial.")],
    subjects: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="People.")] = 50,
    blocks: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Blocks of each; each starts afresh.")] = 4,
    trials: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Trials of a block.")] = 24,
    missed: Annotated[
        float, typer.Option(metavar="NUMBER", min=0, max=0.99, help="Probability that a response is missed.")
    ] = 0.0,
    fix: opt.Fixed,
    covariate: Annotated[
        list[str],
        typer.Option(
            metavar="NAME[:PARAMETER=EFFECT]",
            help="A covariate, standard normal, that shifts a parameter on the unconstrained scale. May be repeated.",
            default_factory=list,
            show_default=False,
        ),
    ],
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Of the random numbers.")] = 0,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV file for the true parameters of each person.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Simulate people drawn from a model's typical population, on the model's own task."""
    from pyem.cli import cache, runs

    for path in (out, truth):
        if path is not None:
            report.check_file(path, force=force)
    effects = [opt.effect(text) for text in covariate]
    held = opt.numbers(fix, "--fix", "alpha=0.1")
    cache.turn_on_compilation_cache()
    made = runs.make_model(model)
    made = pyem.fix(made, **held) if held else made
    data = runs.simulate_people(
        made, subjects=subjects, blocks=blocks, trials=trials, missed=missed, effects=effects, seed=seed
    )
    report.whole_file(out, report.csv_bytes(data.to_frame(), index=False), force=force)
    typer.echo(f"{made.name}: {subjects} people, {data.n_trials} trials, seed {seed}, written to {out}")
    if truth is not None:
        report.whole_file(truth, report.csv_bytes(runs.truth_table(data), index=True), force=force)
        typer.echo(f"true parameters written to {truth}")


# -- fit ----------------------------------------------------------------------------------------------------------------


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "pyem fit data.csv --model rw1a1b --subject id --block run --column choice=response --column reward=feedback\n\n"
    "pyem fit data.csv --model rw1a1b --model rw2a1b --covariate age --out results\n\n"
    "pyem fit data.csv --model rw1a1b+lapse --covariate age:alpha --codes choice=left,right --covariance full\n\n"
    "pyem fit data.csv --model rw1a1b --method nuts --out posterior\n\n"
    "[bold]What is written[/bold]\n\n"
    "group.csv (the group's parameters), subjects.csv (a row for each person), latents.csv (a row for each trial), fit.nc "
    "(everything; `pyem.load` in Python, or ArviZ), figures, and run.json (what was asked for, versions, seeds and the digest "
    "of the data: `pyem repeat` runs it again). With several models, each has a folder of its own beside comparison.csv. The "
    "folder appears when all of it is complete."
)
@plainly
def fit(
    data: opt.Data,
    *,
    subject: opt.Subject = "subject",
    block: opt.Blocks,
    trial: opt.Trial = None,
    column: opt.Columns,
    codes: opt.Codes,
    separator: opt.Separator = None,
    encoding: opt.Encoding = None,
    missing_outcome: opt.Missing = opt.MissingOutcome.skip,
    model: opt.Models,
    fix: opt.Fixed,
    covariate: opt.Covariates,
    group: opt.FamilyOption = opt.Family.gaussian,
    covariance: opt.CovarianceOption = opt.Covariance.diagonal,
    df: opt.Df = 8.0,
    method: opt.MethodOption = opt.Method.em,
    max_iter: opt.MaxIter = 500,
    tol: opt.Tol = 1e-7,
    starts: opt.Starts = 5,
    draws: opt.Draws = 1000,
    warmup: opt.Warmup = 1000,
    chains: opt.Chains = 4,
    seed: opt.Seed = 0,
    out: opt.Out = Path("results"),
    force: opt.Force = False,
    figures: opt.Figures = True,
) -> None:
    """Fit one or more models to the data of a group of people."""
    from pyem.cli.runs import Request

    request = Request(
        data=data,
        models=tuple(model),
        subject=subject,
        block=tuple(block),
        trial=trial,
        columns={
            name: opt.split_list(value) for name, value in opt.pairs(column, "--column", "choice=response").items()
        },
        codes={name: value.split(",") for name, value in opt.pairs(codes, "--codes", "choice=left,right").items()},
        separator=separator,
        encoding=encoding,
        missing_outcome=missing_outcome.value,
        covariates=opt.shifts(covariate),
        fix=opt.numbers(fix, "--fix", "alpha=0.1"),
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
    _run(request, out, force=force, figures=figures)


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


def _run(request: Request, out: Path, *, force: bool, figures: bool) -> None:
    """Fit, print, and write the folder of results."""
    from pyem.cli import runs

    runs.check_request(request)
    report.check_free(out, force=force)
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
            data = runs.read_data(request, models)
            screen = console()
            screen.print(terminal.data_lines(request.data, data), markup=False)
            fits: dict[str, Fit] = {}
            for name, one in zip(
                names, runs.run_fits(request, models, data, progress=sys.stderr.isatty()), strict=True
            ):
                fits[name] = one
                _ask_for_figures(artist, one, folders[name])
                screen.print(terminal.fit_lines(one), markup=False)
                screen.print(terminal.group_table(one))
            comparison = _compared(fits, request.seed) if len(fits) > 1 else None
            if comparison is not None:
                screen.print(terminal.comparison_table(comparison))
                _ask_for_comparison(artist, comparison)
            with report.whole_folder(out, force=force) as folder:
                for name, one in fits.items():
                    report.write_fit(folder / folders[name], one)
                if comparison is not None:
                    (folder / "comparison.csv").write_bytes(report.csv_bytes(comparison, index=True))
                for name, content in (artist.figures() if artist else {}).items():
                    (folder / name).write_bytes(content)
                report.write_log(folder, log.content(data, fits, folders))
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


def _compared(fits: Mapping[str, Fit], seed: int) -> pd.DataFrame | None:
    """The comparison of the models of one run, or a warning if no criterion suits them: the fits are worth keeping."""
    try:
        return pyem.compare_fits(dict(fits), key=seed)
    except ValueError as error:
        warn(f"the models were not compared: {error}")
        return None


# -- compare and plot -----------------------------------------------------------------------------------------------------


@app.command(
    epilog="[bold]Examples[/bold]\n\npyem compare results/*\n\npyem compare first second/rw2a1b --out comparison.csv"
)
@plainly
def compare(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS...", help="Folders that `pyem fit` wrote, or their fit.nc files.")
    ],
    *,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="CRITERION",
            help="What decides: integrated_bic, lme, aic or bic; loo or waic for nuts and svi. The best that all have.",
        ),
    ] = None,
    unit: Annotated[opt.Unit, typer.Option(help="What loo and waic leave out.")] = opt.Unit.trial,
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Of the draws for the integrated BIC.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV file for the comparison.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Compare fits of the same data: which model explains it best."""
    if out is not None:
        report.check_file(out, force=force)
    fits = _loaded(results, at_least=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", pyem.FitWarning)
        table = pyem.compare_fits(fits, by=by, key=seed, unit=unit.value)
    for told in caught:
        warn(str(told.message))
    console().print(terminal.comparison_table(table))
    if out is not None:
        report.whole_file(out, report.csv_bytes(table, index=True), force=force)
        typer.echo(f"written to {out}")


@app.command(epilog="[bold]Examples[/bold]\n\npyem plot results\n\npyem plot results --format pdf --by-block")
@plainly
def plot(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that `pyem fit` wrote, or a fit.nc file.")],
    *,
    file_format: Annotated[opt.Format, typer.Option("--format", help="Of the files.")] = opt.Format.png,
    by_block: Annotated[
        bool, typer.Option("--by-block", help="Choice curves with a panel for each block, too.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where figures go; beside each fit if not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing figures.")] = False,
) -> None:
    """Draw the figures of saved fits: parameters, estimates, choice curves, the path of EM."""
    from pyem.draw import figures as draw
    from pyem.plot.numbers import all_numbers, choice_curve_numbers

    paths = report.find_fits([results])
    fits = _loaded(paths, at_least=1)
    done: dict[Path, bytes] = {}
    for path, fitted in zip(paths, fits.values(), strict=True):
        folder = path.parent if out is None else out if len(fits) == 1 else out / report.folder_name(fitted.model.name)
        for kind, content in all_numbers(fitted):
            done[folder / f"{kind}.{file_format.value}"] = draw.render(kind, content, file_format.value)
        if by_block:
            content = choice_curve_numbers(fitted, by_block=True)
            done[folder / f"choice_curves_by_block.{file_format.value}"] = draw.render(
                "choice_curves", content, file_format.value
            )
    if out is not None:
        for path in done:
            path.parent.mkdir(parents=True, exist_ok=True)
    # A figure that is there already and is the same does no harm.
    changed = {path: content for path, content in done.items() if not (path.is_file() and path.read_bytes() == content)}
    for path in changed:
        report.check_file(path, force=force)
    for path, content in changed.items():
        report.whole_file(path, content, force=force)
    for path in done:
        typer.echo(str(path))


@app.command(
    epilog="[bold]Examples[/bold]\n\npyem ppc results\n\npyem ppc results --draws 500 --option left --out checks"
)
@plainly
def ppc(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that `pyem fit` wrote, or a fit.nc file.")],
    *,
    draws: Annotated[int, typer.Option(metavar="NUMBER", min=20, help="Simulated data sets.")] = 200,
    option: Annotated[
        str | None, typer.Option(metavar="LABEL", help="The option whose curve is drawn; the one paid best on average.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Of the simulations.")] = 0,
    figures: opt.Figures = True,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where results go; beside each fit if not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier checks.")] = False,
) -> None:
    """Check whether people with the fitted parameters would have behaved like those in the data.

    Responses are simulated one step ahead, given what a person had really chosen and earned before.
    """
    from pyem.cli import checks

    paths = report.find_fits([results])
    fits = _loaded(paths, at_least=1)
    done: dict[Path, bytes] = {}
    for path, fitted in zip(paths, fits.values(), strict=True):
        folder = path.parent if out is None else out if len(fits) == 1 else out / report.folder_name(fitted.model.name)
        check = checks.checked(fitted, draws=draws, option=option, seed=seed)
        console().print(terminal.check_table(check))
        done |= {folder / name: content for name, content in checks.files(check, figures=figures).items()}
    for path in done:
        path.parent.mkdir(parents=True, exist_ok=True)
        report.check_file(path, force=force)
    for path, content in done.items():
        report.whole_file(path, content, force=force)
        typer.echo(str(path))


def _loaded(paths: list[Path], *, at_least: int) -> dict[str, Fit]:
    files = report.find_fits(paths)
    if len(files) < at_least:
        raise ValueError(
            f"{len(files)} saved fits were found in {', '.join(map(str, paths))}, but {at_least} are needed; give folders that "
            "`pyem fit` wrote"
        )
    return report.name_fits(files, [pyem.load(file) for file in files])
