"""Commands on saved fits: ``pyem compare``, ``pyem plot``, ``pyem ppc``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import pyem
from pyem.cli import frequencies as freq
from pyem.cli import options as opt
from pyem.cli import report, terminal
from pyem.cli.program import app, console, plainly, warn
from pyem.cli.spreadsheet import csv_bytes

if TYPE_CHECKING:
    from pyem.results.fit import Fit


@app.command(
    epilog="[bold]Examples[/bold]\n\npyem compare results/*\n\npyem compare first second/rw2a1b --out comparison.csv\n\n"
    "pyem compare results/* --random-effects --family rl=rw1a1b,rw2a1b --family heuristics=wsls\n\n"
    "pyem compare results/* --groups people.csv:diagnosis --details frequencies\n\n"
    "pyem compare --condition placebo=placebo/results --condition drug=drug/results"
)
@plainly
def compare(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="[RESULTS...]",
            help="Folders that `pyem fit` wrote, or their fit.nc files.",
            default_factory=list,
            show_default=False,
        ),
    ],
    *,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="CRITERION",
            help="What decides; the best that all fits have if not given. An unknown name is answered with those there are.",
        ),
    ] = None,
    unit: Annotated[opt.Unit, typer.Option(help="What cross-validation leaves out.")] = opt.Unit.trial,
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Seed of the draws for integrals.")] = 0,
    random_effects: freq.RandomEffects = False,
    family: freq.Families,
    groups: freq.Groups = None,
    subject: freq.Subject = "subject",
    condition: freq.Conditions,
    factors: freq.Factors = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV file for the comparison.")] = None,
    details: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder for tables and figures of frequencies, and of each person's model."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Compare fits of the same data: which model explains it best, and how frequent it is."""
    if out is not None:
        report.check_file(out, force=force)
    if details is not None:
        report.check_free(details, force=force)
    request = freq.Request(
        by,
        seed,
        freq.families_said(family),
        groups,
        subject,
        random_effects or bool(family) or details is not None,
    )
    if condition:
        folders = freq.conditions_said(condition)
        freq.check_alone(results, groups, out)
        sets = {name: _loaded([path], at_least=2) for name, path in folders.items()}
        _told(freq.compare_conditions(sets, request, factors), details, force=force)
        return
    if factors is not None:
        raise ValueError("--factors names the factors of conditions; give these: --condition drug,loss=FOLDER ...")
    fits = _loaded(results, at_least=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", pyem.FitWarning)
        table = pyem.compare_fits(fits, by=by, key=seed, unit=unit.value)
    for told in caught:
        warn(str(told.message))
    console().print(terminal.comparison_table(table))
    if out is not None:
        report.whole_file(out, csv_bytes(table, index=True), force=force)
        typer.echo(f"written to {out}")
    if request.wanted or groups is not None:
        _told(freq.compare_people(fits, request), details, force=force)


def _told(found: freq.Told, details: Path | None, *, force: bool) -> None:
    """Print what was found, and write it to a folder if there is one."""
    for line in found.lines:
        typer.echo(line)
    for title, frame in found.tables.items():
        console().print(terminal.frame_table(title, frame))
    if details is not None:
        with report.whole_folder(details, force=force) as folder:
            for name, content in found.files().items():
                (folder / name).write_bytes(content)
            report.write_log(folder, {"command": "compare"})
        typer.echo(f"written to {details}")


@app.command(epilog="[bold]Examples[/bold]\n\npyem plot results\n\npyem plot results --format pdf --by-block")
@plainly
def plot(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that `pyem fit` wrote, or a fit.nc file.")],
    *,
    file_format: Annotated[opt.Format, typer.Option("--format", help="Format of the files.")] = opt.Format.png,
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
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Seed of the simulations.")] = 0,
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
