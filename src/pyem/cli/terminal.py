"""Output of the command line: tables for a terminal, and lines about data, fits and files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyem.cli.report import FIGURE_FORMATS, LOG

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from pyem.data.dataset import Dataset
    from pyem.results.fit import Fit


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> Table:
    """A table whose first `left` columns are text and whose others are numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for k, name in enumerate(columns):
        out.add_column(Text(name), justify="left" if k < left else "right")
    for row in rows:
        # As text objects, because brackets in strings would be read as markup.
        out.add_row(*(Text(cell) for cell in row))
    return out


def number(value: Any, digits: int = 4) -> str:
    """Write a number in few digits; empty for a missing one.

    Examples
    --------
    >>> number(-3786.43271), number(0.123456), number(float("nan")), number("ok")
    ('-3786.4', '0.1235', '', 'ok')
    """
    if value is None or value != value:
        return ""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    if isinstance(value, float) or hasattr(value, "dtype"):
        value = float(value)
        return f"{value:.1f}" if 1000 <= abs(value) < 1e7 else f"{value:.{digits}g}"
    return str(value)


def interval(low: float, high: float) -> str:
    """Write the two ends of an interval; empty where it is not known.

    Examples
    --------
    >>> interval(0.1234, 2.0), interval(0.0, float("inf"))
    ('0.123 to 2', '0 to no upper limit')
    """
    end = "no upper limit" if high == float("inf") else number(high, 3)
    return "" if low != low or high != high else f"{number(low, 3)} to {end}"


def data_lines(path: str, data: Dataset) -> str:
    """Describe the data that were read."""
    from pyem.errors import counted

    size = counted(data.n_subjects, "person", "people"), counted(data.n_lanes, "block"), counted(data.n_trials, "trial")
    head = f"{path}: {', '.join(size)}"
    return "\n".join([head, *(f"  {note}" for note in data.notes), *_covariate_notes(data)])


def _covariate_notes(data: Dataset) -> list[str]:
    return [
        f"  covariate {name}: mean {number(values.mean())}, sd {number(values.std())}, from {number(values.min())} to "
        f"{number(values.max())}"
        for name, values in data.covariates.items()
    ]


def fit_lines(fit: Fit) -> str:
    """Describe a fit, and how it ended."""
    head, *rest = fit.summary().partition("\n\n")[0].splitlines()
    return "\n".join(["", head, *(f"  {line}" for line in rest)])


def group_table(fit: Fit) -> Table:
    """Table of the group or, without one, of the distribution of people's estimates."""
    if fit.population is None:
        described = fit.table()[list(fit.model.names)].describe().T
        rows = [(str(name), *(number(float(value)) for value in row)) for name, row in described.iterrows()]
        return table("People's estimates, natural scale", ("", *map(str, described.columns)), rows)
    rows = []
    for row in fit.group_table().reset_index().to_dict("records"):
        kind, parameter = row["kind"], row["parameter"]
        cells = (
            f"{kind} on {parameter}" if kind.startswith("effect") else f"{kind} of {parameter}",
            number(row["estimate"]),
            number(row["se"], 2),
            interval(row["low"], row["high"]),
            number(row["natural"], 3),
            interval(row["natural_low"], row["natural_high"]),
        )
        rows.append((*cells, *(number(row[name], digits) for name, (_, digits) in _MORE.items() if name in row)))
    more = [label for name, (label, _) in _MORE.items() if name in fit.group_table()]
    columns = ("group", "estimate", "se", "95 % interval", "natural", "95 % interval", *more)
    return table("", columns, rows)


_MORE = {
    "p": ("p", 2),
    "above_0": ("P(> 0)", 2),
    "rhat": ("Rhat", 4),
    "ess_bulk": ("ESS", 3),
    "ess_tail": ("tail ESS", 3),
}
"""Further columns of some group tables: tests of effects; diagnostics of draws."""


def effects_table(fit: Fit) -> Table:
    """The effects of a design with their intervals."""
    rows, frame = [], fit.effects().reset_index()
    # A design of intercepts alone tests nothing.
    tests = {name: _MORE[name] for name in ("p", "above_0") if name in frame}
    for row in frame.to_dict("records"):
        shown = [row["parameter"], row["effect"], number(row["estimate"]), interval(row["low"], row["high"])]
        rows.append([*shown, *(number(row[name], digits) for name, (_, digits) in tests.items()), row["scale"]])
    columns = ("parameter", "effect", "estimate", "95 % interval", *(label for label, _ in tests.values()), "scale")
    return table("effects", columns, rows, left=2)


def coding_lines(fit: Fit) -> str:
    """Describe the coding of a design's factors, a line each; empty without factors."""
    told = [part for text in fit.effects()["coding"] for part in str(text).split("; ") if part]
    return "\n".join(f"  coded {text}" for text in dict.fromkeys(told))


def check_table(check: Any) -> Table:
    """Table of a predictive check: means over people, and how many people are outside their simulations."""
    rows, surprising = [], check.surprising().statistic
    for name, row in check.group.iterrows():
        some = int(check.people.p[check.people.statistic == name].notna().sum())
        cells = (
            number(row["observed"], 3),
            number(row["mean"], 3),
            interval(row["low"], row["high"]),
            number(row["p"], 2),
        )
        rows.append((str(name), *cells, f"{int((surprising == name).sum())} of {some}"))
    title = check.summary().splitlines()[0]
    columns = ("mean over people", "observed", "simulated", "95 % of simulations", "p", "people outside theirs")
    return table(title[0].upper() + title[1:], columns, rows)


def comparison_table(frame: pd.DataFrame) -> Table:
    """Table of `compare_fits`: the criteria that all fits have, or evidence in place of criteria of the estimates."""
    from pyem.selection import headings

    shown = headings(frame)
    rows = [[str(model), *map(number, row)] for model, row in frame[list(shown)].astype(float).iterrows()]
    title = "Comparison by " + str(frame.attrs.get("method", ""))
    return table(title, ("model", *shown.values()), rows)


def frame_table(title: str, frame: pd.DataFrame) -> Table:
    """Table of a data frame, with its index in front."""
    names = [str(name) for name in frame.index.names]
    rows = []
    for place, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        places = place if isinstance(place, tuple) else (place,)
        rows.append([*map(str, places), *map(number, row)])
    return table(title, (*names, *map(str, frame.columns)), rows, left=len(names))


def catalogue_table(catalogue: Sequence[dict[str, Any]]) -> Table:
    """Table of all models: parameters, columns and descriptions."""
    rows = [
        (entry["name"], ", ".join(p["name"] for p in entry["parameters"]), ", ".join(_columns(entry)), entry["doc"])
        for entry in catalogue
    ]
    return table("", ("model", "parameters", "columns", "what it says"), rows, left=4)


def _columns(entry: dict[str, Any]) -> list[str]:
    return [*entry["inputs"], *entry["responses"], *entry["between"], *entry["outcomes"]]


def model_page(entry: dict[str, Any]) -> str:
    """Page with everything about one model."""
    lines = [f"{entry['name']}: {entry['doc']}", "", entry["said"], ""]
    if entry["equations"]:
        lines += [
            f"Equations of {entry['base']}" if "base" in entry else "Equations",
            *(f"  {line}" for line in entry["equations"]),
            "",
        ]
    lines.append("Parameters")
    for parameter in entry["parameters"]:
        low, high = parameter["range"]
        ends = f"{'-inf' if low is None else f'{low:g}'} to {'inf' if high is None else f'{high:g}'}"
        name = parameter["name"] if parameter["size"] is None else f"{parameter['name']} ({parameter['size']} values)"
        lines.append(f"  {name:14s} {ends:14s} {parameter['doc']}")
    lines += ["", "Columns of the data"]
    roles = {
        "between": "shown between responses",
        "inputs": "shown before the response",
        "responses": "what is explained",
        "outcomes": "learned from",
    }
    lines += [f"  {name:14s} {role}" for key, role in roles.items() for name in entry[key]]
    lines += [
        "",
        "Simulation: " + ("pyem simulate " + entry["name"] if entry["simulates"] else "not from the command line"),
    ]
    return "\n".join(lines + ([f"Reference: {entry['reference']}"] if entry["reference"] else []))


def written_lines(folder: Path) -> str:
    """List the files in a folder of results."""
    files = json.loads((folder / LOG).read_text(encoding="utf-8"))["files"]
    by_folder: dict[str, list[str]] = {}
    for name in sorted(files, key=lambda name: (name.count("/"), name)):
        by_folder.setdefault(str(Path(name).parent), []).append(Path(name).name)
    lines = [f"Results are in {folder}"]
    for sub, names in by_folder.items():
        drawn = [name for name in names if name.rpartition(".")[2] in FIGURE_FORMATS]
        where = "  " if sub == "." else f"  {sub}/ "
        lines.append(where + ", ".join(name for name in names if name not in drawn))
        if drawn:
            lines.append(" " * len(where) + "figures: " + ", ".join(drawn))
    return "\n".join(lines)
