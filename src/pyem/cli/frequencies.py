"""`pyem compare` where people may differ in their model: frequencies, families, groups of people, conditions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pyem
from pyem.cli.options import pairs
from pyem.cli.spreadsheet import csv_bytes

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.fit import Fit


RandomEffects = Annotated[
    bool, typer.Option("--random-effects", help="People may differ in their model: how frequent is each?")
]
Families = Annotated[
    list[str],
    typer.Option(
        metavar="NAME=MODEL,MODEL",
        help="Models that belong together, for --random-effects. May be repeated.",
        default_factory=list,
        show_default=False,
    ),
]
Groups = Annotated[
    str | None,
    typer.Option(
        metavar="COVARIATE or FILE:COLUMN",
        help="Are models as frequent in one group of people as in another? A covariate of the fits, or a column of a table of "
        "people.",
    ),
]
Subject = Annotated[str, typer.Option(metavar="COLUMN", help="Who it is, in the table of --groups.")]
Conditions = Annotated[
    list[str],
    typer.Option(
        metavar="NAME=RESULTS",
        help="Folder of the fits of a condition, in place of RESULTS: have people the same model in all? To be repeated.",
        default_factory=list,
        show_default=False,
    ),
]
Factors = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="Which factor changes the model? Conditions are then named by their levels: --condition drug,loss=RESULTS.",
    ),
]
Details = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Folder for tables and figures of frequencies, and of each person's model."),
]


@dataclasses.dataclass(frozen=True)
class Request:
    """Options of a comparison in which people may differ in their model."""

    by: str | None
    seed: int
    families: dict[str, list[str]] | None
    groups: str | None
    subject: str
    wanted: bool
    """Whether frequencies are asked for."""


@dataclasses.dataclass(frozen=True)
class Told:
    """Results: lines and tables for the screen, tables and figures for files."""

    lines: list[str]
    tables: dict[str, pd.DataFrame]
    csv: dict[str, pd.DataFrame]
    figures: dict[str, tuple[str, dict[str, Any]]]

    def files(self) -> dict[str, bytes]:
        """Contents of files by their names."""
        from pyem.draw import figures as draw

        files = {name: csv_bytes(frame, index=True) for name, frame in self.csv.items()}
        return files | {name: draw.render(kind, numbers, "png") for name, (kind, numbers) in self.figures.items()}


def families_said(family: Sequence[str]) -> dict[str, list[str]] | None:
    """Families from words such as ``rl=rw1a1b,rw2a1b``.

    Raises
    ------
    typer.BadParameter
        If a word has another form, or a name is given twice.
    """
    told = pairs(family, "--family", "rl=rw1a1b,rw2a1b (a name and its models)")
    out = {name: [model.strip() for model in models.split(",") if model.strip()] for name, models in told.items()}
    return out or None


def conditions_said(condition: Sequence[str]) -> dict[str, Path]:
    """Folders of fits from words such as ``placebo=results``.

    Raises
    ------
    typer.BadParameter
        If a word has another form, or a name is given twice.
    ValueError
        If there is one condition only.
    """
    told = pairs(condition, "--condition", "placebo=results (a name and a folder)")
    out = {name: Path(folder) for name, folder in told.items()}
    if len(out) < 2:
        raise ValueError("one condition was given; at least two are needed: --condition ... --condition ...")
    return out


def check_alone(results: Sequence[Path], groups: str | None, out: Path | None) -> None:
    """Raise ValueError if conditions are asked for together with what goes with one set of fits only."""
    if results or groups is not None or out is not None:
        raise ValueError(
            "--condition says which fits are compared; leave out RESULTS, --groups and --out (--details is right)"
        )


def compare_people(fits: Mapping[str, Fit], request: Request) -> Told:
    """Frequencies of models among all people, and whether groups of them differ."""
    from pyem.plot.selection import frequency_numbers, responsibility_numbers

    options: dict[str, Any] = {"by": request.by, "key": request.seed}
    found = pyem.random_effects_bms(fits, families=request.families, **options)
    told = Told([], {}, {}, {})
    told.tables["frequencies of models"] = found.table()
    told.csv["frequencies.csv"], told.csv["people.csv"] = found.table(), found.people()
    told.lines.append(f"probability that all models are equally frequent: {found.omnibus_risk:.3g}")
    if found.families is not None:
        told.tables["frequencies of families"] = told.csv["families.csv"] = found.families.table()
    told.figures["frequencies.png"] = ("frequencies", frequency_numbers(found))
    told.figures["responsibilities.png"] = ("responsibilities", responsibility_numbers(found))
    if request.groups is not None:
        apart = pyem.between_groups(fits, _groups(next(iter(fits.values())), request), **options)
        told.tables["frequencies in groups"] = told.csv["groups.csv"] = apart.table()
        told.figures["groups.png"] = ("frequencies", frequency_numbers(apart))
        told.lines.append(
            f"probability that groups differ in their frequencies: {apart.probability:.3g} (log Bayes factor "
            f"{apart.log_bayes_factor:.2f})"
        )
    return told


def compare_conditions(sets: Mapping[str, Mapping[str, Fit]], request: Request, factors: str | None) -> Told:
    """Whether people have the same model in all conditions, and which of the factors that are named changes it."""
    from pyem.plot.selection import frequency_numbers

    names = None if factors is None else [one.strip() for one in factors.split(",")]
    named: Mapping[Any, Mapping[str, Fit]] = (
        sets if names is None else {tuple(one.strip() for one in name.split(",")): fits for name, fits in sets.items()}
    )
    found = pyem.between_conditions(named, factors=names, families=request.families, by=request.by, key=request.seed)
    what = "family" if request.families else "model"
    lines = [
        f"share of people with the same {what} in all conditions: {found.frequency:.2f}",
        f"probability that more have the same one than different ones: {found.exceedance:.3g} (protected "
        f"{found.protected_exceedance:.3g})",
    ]
    table = found.table()
    csv = {"conditions.csv": table, "people.csv": found.people(), "profiles.csv": found.profiles.table()}
    figures = {"conditions.png": ("frequencies", frequency_numbers(found))}
    tables = {"frequencies in conditions": table}
    if names is not None:
        tables[f"does a factor change the {what}?"] = csv["factors.csv"] = found.factor_table()
    return Told(lines, tables, csv, figures)


def _groups(fit: Fit, request: Request) -> Any:
    """The group of each subject: a covariate of the fit's data, or a column of a table of people."""
    import pandas as pd

    said = request.groups
    assert said is not None
    if said in fit.data.covariates:
        return [f"{value:g}" for value in fit.data.covariates[said]]
    file, sign, column = said.rpartition(":")
    if not sign or not Path(file).is_file():
        known = ", ".join(fit.data.covariates) or "none"
        raise ValueError(
            f"--groups {said}: neither a covariate of the fits ({known}) nor a table and its column, such as people.csv:group"
        )
    table = pd.read_csv(file, sep=None, engine="python", dtype=str)
    lacking = [name for name in (request.subject, column) if name not in table]
    if lacking:
        raise ValueError(f"{file} has no column {lacking[0]!r}; its columns are {', '.join(map(str, table.columns))}")
    twice = table[table.duplicated(request.subject)][request.subject].tolist()
    if twice:
        raise ValueError(f"{file} has several rows for {twice[0]!r}; one row for each person is expected")
    by_label = dict(zip(table[request.subject], table[column], strict=True))
    return [by_label.get(str(one)) for one in fit.data.subjects.tolist()]
