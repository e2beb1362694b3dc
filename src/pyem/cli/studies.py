"""``pyem study recovery | confusion | calibration | power``: studies by simulation."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pyem
from pyem.cli import options as opt
from pyem.cli import report, terminal
from pyem.cli.program import app, console, plainly, warn
from pyem.cli.spreadsheet import csv_bytes

if TYPE_CHECKING:
    import pandas as pd

study = typer.Typer(no_args_is_help=True, help="Could the experiment tell? Simulate people, fit them, and count.")
app.add_typer(study, name="study", rich_help_panel=None)


class Scale(StrEnum):
    """Scale of the sizes of effects."""

    sd = "sd"
    unconstrained = "unconstrained"
    natural = "natural"


Model = Annotated[str, typer.Argument(metavar="MODEL", help="Named as for `pyem fit --model`.")]
Models = Annotated[list[str], typer.Argument(metavar="MODEL...", help="Two or more, named as for `pyem fit --model`.")]
Subjects = Annotated[int, typer.Option(metavar="NUMBER", min=1, help="People of each round.")]
Blocks = Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Blocks of each person.")]
Trials = Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Trials of a block.")]
Missed = Annotated[
    float, typer.Option(metavar="NUMBER", min=0, max=0.99, help="Probability that a response is missed.")
]
Rounds = Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Simulated groups.")]
Method = Annotated[opt.Method, typer.Option(help="How to fit.")]
Pool = Annotated[int | None, typer.Option(metavar="NUMBER", min=1, help="Processes that share the rounds.")]
Keep = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Each round is written there when it is finished: after a stop, the same command goes on from there.",
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder for the tables and figures.")]
By = Annotated[
    list[str],
    typer.Option(
        metavar="CRITERION",
        help="What decides, as `pyem compare --by`; hbi fits all models together. May be repeated (the first decides).",
        default_factory=list,
        show_default=False,
    ),
]

Formulas = Annotated[
    list[str],
    typer.Option(
        metavar="FORMULA",
        help="What a parameter depends on, as `pyem fit --formula`. May be repeated.",
        default_factory=list,
        show_default=False,
    ),
]


def _levels_option(help_text: str) -> Any:
    return typer.Option(metavar="COLUMN=LEVEL,LEVEL", help=help_text, default_factory=list, show_default=False)


Within = Annotated[list[str], _levels_option("A column of a formula that changes between a person's blocks.")]
Between = Annotated[list[str], _levels_option("One that differs between people; COLUMN=normal for numbers.")]
Trialwise = Annotated[list[str], _levels_option("One that changes between trials.")]
SizeScale = Annotated[
    Scale, typer.Option("--scale", help="Scale of the effects of a formula: sds of people, or units of the parameter.")
]
SomeBlocks = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER", min=1, help="Blocks of each person; if not given 1, or one for each condition of a formula."
    ),
]


@study.command(
    epilog="[bold]Examples[/bold]\n\npyem study recovery rw1a1b --subjects 50 --blocks 4 --trials 24 --rounds 20 --pool 2 "
    "--keep rounds --out recovery"
)
@plainly
def recovery(
    model: Model,
    *,
    subjects: Subjects = 50,
    blocks: Blocks = 1,
    trials: Trials = 100,
    missed: Missed = 0.0,
    rounds: Rounds = 10,
    method: Method = opt.Method.em,
    pool: Pool = None,
    keep: Keep = None,
    seed: opt.Seed = 0,
    out: Out = None,
    force: opt.Force = False,
) -> None:
    """Recovery of parameters: simulated people are fitted, and estimates compared with the truth."""
    size = {"subjects": subjects, "blocks": blocks, "trials": trials, "missed": missed, "rounds": rounds}
    run = _running(pool, keep, out, force)
    found = pyem.recovery(_made(model), key=seed, fit=_fitter(method), **size, **run)
    from pyem.plot import plot_recovery

    tables = {"recovery": found.table(), "cross": found.cross()}
    _tell(repr(found).splitlines()[0], tables, {"recovery": plot_recovery(found)}, out, force)


@study.command(
    epilog="[bold]Examples[/bold]\n\npyem study confusion rw1a1b rw2a1b rwck --rounds 20 --pool 2 --keep rounds\n\n"
    "pyem study confusion rw1a1b bias --by integrated_bic --by hbi --out confusion"
)
@plainly
def confusion(
    models: Models,
    *,
    by: By,
    subjects: Subjects = 50,
    blocks: Blocks = 1,
    trials: Trials = 100,
    missed: Missed = 0.0,
    rounds: Rounds = 10,
    method: Method = opt.Method.em,
    pool: Pool = None,
    keep: Keep = None,
    seed: opt.Seed = 0,
    out: Out = None,
    force: opt.Force = False,
) -> None:
    """Recovery of models: how often the model that made the data is the best one for them."""
    size = {"subjects": subjects, "blocks": blocks, "trials": trials, "missed": missed, "rounds": rounds}
    run = _running(pool, keep, out, force)
    found = pyem.confusion(_all_made(models), key=seed, by=by or None, fit=_fitter(method), **size, **run)
    from pyem.plot import plot_confusion

    every = {found.by: found, **found.others}
    tables: dict[str, Any] = {f"confusion_{name}": one.table() for name, one in every.items()}
    figures = {f"confusion_{name}": plot_confusion(one) for name, one in every.items()}
    _tell(f"Best of {', '.join(found.names)}", tables, figures, out, force)


@study.command(
    epilog="[bold]Examples[/bold]\n\npyem study calibration rw1a1b --method bayes --rounds 200 --pool 2 --keep rounds --out sbc"
)
@plainly
def calibration(
    model: Model,
    *,
    subjects: Subjects = 20,
    blocks: Blocks = 1,
    trials: Trials = 100,
    missed: Missed = 0.0,
    rounds: Rounds = 200,
    method: Method = opt.Method.map,
    pool: Pool = None,
    keep: Keep = None,
    seed: opt.Seed = 0,
    out: Out = None,
    force: opt.Force = False,
) -> None:
    """Simulation-based calibration: whether posteriors are what they claim to be."""
    size = {"subjects": subjects, "blocks": blocks, "trials": trials, "missed": missed, "rounds": rounds}
    run = _running(pool, keep, out, force)
    found = pyem.calibration(_made(model), key=seed, fit=_fitter(method), **size, **run)
    from pyem.plot import plot_ranks

    _tell(repr(found).splitlines()[0], {"calibration": found.table()}, {"ranks": plot_ranks(found)}, out, force)


@study.command(
    epilog="[bold]Examples[/bold]\n\npyem study power rw1a1b --effect alpha=0.5 --n 20 --n 40 --trials 50 --trials 100\n\n"
    "pyem study power rw1a1b rw2a1b --n 20 --n 50 --rounds 100 --pool 2 --keep rounds --out power\n\n"
    "pyem study power rw1a1b --formula 'alpha ~ drug * diagnosis' --effect 'alpha[drug]=0.5' --within drug=off,on "
    "--between diagnosis=control,patient --n 40"
)
@plainly
def power(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="One with --effect; two or more to be told apart.")
    ],
    *,
    effect: Annotated[
        list[str],
        typer.Option(
            metavar="PARAMETER=SIZE",
            help="A difference between two groups of people, in their standard deviations; of a --formula, the size of an "
            "effect of it, such as 'alpha[drug]=0.5'. May be repeated.",
            default_factory=list,
            show_default=False,
        ),
    ],
    formula: Formulas,
    within: Within,
    between: Between,
    trialwise: Trialwise,
    scale: SizeScale = Scale.sd,
    n: Annotated[
        list[int], typer.Option("--n", metavar="NUMBER", help="People. May be repeated.", default_factory=list)
    ],
    trials: Annotated[
        list[int], typer.Option(metavar="NUMBER", help="Trials of a block. May be repeated.", default_factory=list)
    ],
    blocks: SomeBlocks = None,
    missed: Missed = 0.0,
    rounds: Rounds = 100,
    alpha: Annotated[float, typer.Option(metavar="NUMBER", help="An effect is found if its p is below.")] = 0.05,
    method: Method = opt.Method.em,
    by: By,
    pool: Pool = None,
    keep: Keep = None,
    seed: opt.Seed = 0,
    out: Out = None,
    force: opt.Force = False,
) -> None:
    """The probability to find an effect, or the right model, over numbers of people and trials."""
    if len(by) > 1:
        raise ValueError(f"--by is given {len(by)} times; power counts by one criterion")
    run = _running(pool, keep, out, force)
    sizes = opt.numbers(effect, "--effect", "alpha=0.5")
    columns = {"within": within, "between": between, "trialwise": trialwise}
    what = _in_design(models, formula, sizes, columns, scale) if formula else _what(models, sizes, columns)
    found = pyem.power(
        what,
        pyem.Experiment(blocks=blocks, missed=missed),
        key=seed,
        n=n or (20, 40, 80),
        trials=trials or (100,),
        rounds=rounds,
        alpha=alpha,
        fit=None if method == opt.Method.em else _fitter(method),
        by=by[0] if by else None,
        **run,
    )
    from pyem.plot import plot_power, plot_precision

    tables, figures = {"power": found.table()}, {"power": plot_power(found)}
    if found.size:
        tables["precision"], figures["precision"] = found.precision(), plot_precision(found)
    _tell(repr(found).splitlines()[0], tables, figures, out, force)


# -- what all of them do ----------------------------------------------------------------------------------------------------


def _made(spec: str) -> Any:
    from pyem.cli import cache, runs

    cache.turn_on_compilation_cache()
    return runs.make_model(spec)


def _all_made(specs: list[str]) -> dict[str, Any]:
    if len(specs) < 2 or len(set(specs)) < len(specs):
        raise ValueError(f"{', '.join(specs)}: two or more different models are needed to be told apart")
    return {spec: _made(spec) for spec in specs}


def _what(specs: list[str], effects: Mapping[str, float], columns: Mapping[str, list[str]]) -> Any:
    if given := [f"--{name}" for name, values in columns.items() if values]:
        raise ValueError(f"{', '.join(given)}: levels are of columns of a formula; give --formula 'alpha ~ drug' too")
    if not effects:
        return _all_made(specs)
    if len(specs) > 1:
        raise ValueError("--effect is of one model; leave out the others, or leave out --effect to tell models apart")
    made = _made(specs[0])
    return [pyem.Effect(made, parameter, size) for parameter, size in effects.items()]


def _in_design(
    specs: list[str], formulas: list[str], sizes: Mapping[str, float], columns: Mapping[str, list[str]], scale: Scale
) -> Any:
    """Effects of a design that is given by formulas."""
    if len(specs) > 1 or not sizes:
        raise ValueError(
            "--formula is of one model, and takes the size of at least one --effect, such as 'alpha[drug]=0.5'"
        )
    levels = {where: _levels(values, f"--{where}") for where, values in columns.items()}
    return pyem.DesignEffects(pyem.regress(_made(specs[0]), *formulas), sizes, **levels, scale=scale.value)


def _levels(values: list[str], option: str) -> dict[str, Any]:
    """``["drug=off,on"]`` as levels by column; numbers where all of them are."""
    out: dict[str, Any] = {}
    for name, text in opt.pairs(values, option, "drug=off,on").items():
        parts = [part.strip() for part in text.split(",")]
        try:
            out[name] = "normal" if parts == ["normal"] else [float(part) for part in parts]
        except ValueError:
            out[name] = parts
    return out


def _fitter(method: opt.Method) -> Any:
    if method == opt.Method.hbi:
        raise ValueError("--method hbi fits several models together; use --by hbi")
    if method == opt.Method.em:
        return partial(pyem.fit_em, standard_errors=False)
    return getattr(pyem, f"fit_{method.value}")


def _running(pool: int | None, keep: Path | None, out: Path | None, force: bool) -> dict[str, Any]:
    """Settings of the rounds; raise early if results cannot be written to their place."""
    if out is not None:
        report.check_free(out, force=force)
    return {"pool": pool, "folder": keep, "progress": sys.stderr.isatty()}


def _tell(
    title: str, tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Any], out: Path | None, force: bool
) -> None:
    """Print the tables, and write them and the figures where they are asked for."""
    screen = console()
    typer.echo(title)
    for name, frame in tables.items():
        screen.print(terminal.frame_table(name.replace("_", " "), frame))
    if out is None:
        warn("nothing was written; give --out for tables and figures")
        return
    with report.whole_folder(out, force=force) as folder:
        for name, frame in tables.items():
            (folder / f"{name}.csv").write_bytes(csv_bytes(frame, index=True))
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.png")
        report.write_log(folder, {"command": "study", "title": title})
    screen.print(terminal.written_lines(out), markup=False)
