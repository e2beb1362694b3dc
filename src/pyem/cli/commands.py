"""``pyem models`` and ``pyem simulate``.

Imports of this module are few on purpose, and commands import what they need: ``pyem --help`` must not wait for JAX.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pyem
from pyem.cli import options as opt
from pyem.cli import report, terminal
from pyem.cli import sources as src
from pyem.cli.program import app, console, plainly
from pyem.cli.spreadsheet import csv_bytes

if TYPE_CHECKING:
    from pyem.simulation.play import Simulation


@app.command(
    epilog="[bold]Examples[/bold]\n\npyem models\n\npyem models rw2a1b\n\n"
    "pyem models --task two-step\n\npyem models --search reversal"
)
@plainly
def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Tell all about one model, named as for `pyem fit --model`.")
    ] = None,
    *,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="Only those for a kind of task, as two-step.")
    ] = None,
    search: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Only those in whose description all of these words are.")
    ] = None,
) -> None:
    """List the models: their parameters, and the columns that the data must have."""
    from pyem.cli.cache import model_catalogue

    catalogue = model_catalogue()
    if name is None and (task is not None or search is not None):
        some = pyem.models.search(search or "", task=task)
        if not some:
            raise ValueError(
                "no model has all of these words in its description; say fewer of them, or see pyem models"
            )
        by_name = {entry["name"]: entry for entry in catalogue}
        catalogue = [by_name[one] for one in some]
    if name is None:
        console().print(terminal.catalogue_table(catalogue))
        return
    entry = next((entry for entry in catalogue if entry["name"] == name), None) or _variant(name, catalogue)
    typer.echo(terminal.model_page(entry))
    if entry["simulates"]:
        from pyem.cli.runs import make_model
        from pyem.simulation.play import simulate

        rows = simulate(make_model(name), subjects=1, trials=4, key=1).to_frame()
        typer.echo(f"\nA table such as\n{rows.round(3).to_string(index=False)}")


def _variant(name: str, catalogue: list[dict[str, Any]]) -> dict[str, Any]:
    """The entry of a model with options or additions, named as for `pyem fit --model`."""
    from pyem.cli.cache import described
    from pyem.cli.runs import make_model

    model = make_model(name)
    base = next(entry for entry in catalogue if entry["name"] == model.recipe[0][0])
    return base | described(model) | {"name": name, "base": base["name"]}


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "pyem simulate rw1a1b --subjects 50 --blocks 4 --trials 24 --out data.csv\n\n"
    "pyem simulate rw2a1b --covariate age:alpha_pos=0.5 --missed 0.05 --seed 7 --out data.csv --truth truth.csv\n\n"
    "pyem simulate rw1a1b --design data.csv --subject id --block run --column payoffs=left_pays,right_pays --out new.csv"
)
@plainly
def simulate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Named as for `pyem fit --model`.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV file to write: a row for each trial.")],
    subjects: Annotated[int | None, typer.Option(metavar="NUMBER", min=1, help="People; 50 if not given.")] = None,
    blocks: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="Blocks of each, which start afresh; 4 if not given.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="Trials of a block; 24 if not given.")
    ] = None,
    design: src.DesignFiles,
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
    where: opt.Where = None,
    exclude: opt.Exclude,
    pattern: src.Pattern = None,
    join_rows_by: src.JoinRows,
    count: src.Count = None,
    teach: src.Teach = None,
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
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Seed of the random numbers.")] = 0,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV file for the true parameters of each person.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Simulate people drawn from a model's typical population, on the model's own task or in the design of data."""
    from pyem.cli import cache, reading, runs

    for path in (out, truth):
        if path is not None:
            report.check_file(path, force=force)
    effects = [opt.effect(text) for text in covariate]
    held = opt.numbers(fix, "--fix", "alpha=0.1")
    cache.turn_on_compilation_cache()
    made = runs.make_model(model)
    made = pyem.fix(made, **held) if held else made
    size: dict[str, Any] = _size(bool(design), subjects=subjects, blocks=blocks, trials=trials)
    if design:
        request = runs.Request(
            data=src.one_or_several(design),
            models=(model,),
            subject=subject,
            block=tuple(block),
            trial=trial,
            **src.table_options(column, codes, values, missing),
            separator=separator,
            encoding=encoding,
            decimal=decimal,
            where=where,
            exclude=tuple(exclude),
            **src.asked(pattern, None, src.Unmatched.error, [], join_rows_by, count, teach),
        )
        size = {"design": reading.read_data(request, [made], design=True)}
    data = runs.simulate_people(made, missed=missed, effects=effects, seed=seed, **size)
    _write(data, out, truth, seed=seed, force=force)


def _size(designed: bool, **numbers: int | None) -> dict[str, Any]:
    """Numbers of people, blocks and trials: given ones or defaults; empty where a design gives them."""
    said = {name: number for name, number in numbers.items() if number is not None}
    if designed and said:
        raise ValueError(
            f"--{next(iter(said))} and --design: the design says how many there are; leave out one of them"
        )
    return {} if designed else {"subjects": 50, "blocks": 4, "trials": 24} | said


def _write(data: Simulation, out: Path, truth: Path | None, *, seed: int, force: bool) -> None:
    """Write simulated data and their true parameters, and print what was written."""
    from pyem.cli import runs
    from pyem.errors import counted

    assert data.model is not None
    report.whole_file(out, csv_bytes(data.to_frame(), index=False), force=force)
    many = f"{counted(data.n_subjects, 'person', 'people')}, {counted(data.n_trials, 'trial')}"
    typer.echo(f"{data.model.name}: {many}, seed {seed}, written to {out}")
    if truth is not None:
        report.whole_file(truth, csv_bytes(runs.truth_table(data), index=True), force=force)
        typer.echo(f"true parameters written to {truth}")
