"""Options of the command line for the source of the data: several files, a table of people, rows to join."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyem.cli.options import DATA, labels, pairs, split_list, worths

if TYPE_CHECKING:
    from pyem.cli.runs import Request


class Unmatched(StrEnum):
    """Treatment of people who are not in the table of people."""

    error = "error"
    drop = "drop"


def _said(text: str, *names: str, metavar: str, many: bool = False) -> Any:
    factory = {"default_factory": list, "show_default": False} if many else {}
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=DATA, **factory)  # type: ignore[arg-type]


Files = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA...",
        help="CSV, TSV or Parquet file with a row for each trial; several files, or a folder of them.",
    ),
]
DesignFiles = Annotated[
    list[str],
    _said(
        "Data whose design is used: its people, blocks, trials, what was shown, payoffs and gaps. Files as for `pyem fit`; "
        "may be repeated.",
        "--design",
        metavar="FILE",
        many=True,
    ),
]
Pattern = Annotated[
    str | None,
    _said(
        "What names of files say: 'sub-{subject}_ses-{session}_*.tsv' makes the columns subject and session; bids those of "
        "all BIDS entities.",
        "--pattern",
        metavar="TEXT",
    ),
]
People = Annotated[
    str | None, _said("File with a row for each person, which has the covariates.", "--people", metavar="FILE")
]
UnmatchedOption = Annotated[
    Unmatched, _said("People who are not in that file: an error, or left out.", "--unmatched", metavar="error|drop")
]
References = Annotated[
    list[str],
    _said(
        "The category of a covariate that others are compared with. May be repeated.",
        "--reference",
        metavar="COVARIATE=CATEGORY",
        many=True,
    ),
]
JoinRows = Annotated[
    list[str],
    _said(
        "Column with the same value in all rows of a trial, if choice and outcome are in rows of their own; or order. May be "
        "repeated.",
        "--join-rows-by",
        metavar="COLUMN",
        many=True,
    ),
]
Count = Annotated[
    str | None,
    _said(
        "Column of 1 and 0: which trials count in the likelihood. Or a column and the values that mean yes.",
        "--count",
        metavar="COLUMN[=VALUE,...]",
    ),
]
Teach = Annotated[str | None, _said("Likewise: which trials teach.", "--teach", metavar="COLUMN[=VALUE,...]")]


def one_or_several(names: Sequence[str]) -> Any:
    """Convert names: a single one stays as it is, several become a tuple, none becomes None.

    Examples
    --------
    >>> one_or_several(["a.csv"]), one_or_several(["a.csv", "b.csv"]), one_or_several([])
    ('a.csv', ('a.csv', 'b.csv'), None)
    """
    return None if not names else names[0] if len(names) == 1 else tuple(names)


def described(data: str | Sequence[str]) -> str:
    """The data of a request, for messages.

    Examples
    --------
    >>> described("a.csv"), described(["a.csv", "b.csv", "c.csv"])
    ("'a.csv'", "'a.csv' and 2 more")
    """
    return repr(data) if isinstance(data, str) else f"{data[0]!r} and {len(data) - 1} more"


def asked(
    pattern: str | None,
    people: str | None,
    unmatched: Unmatched,
    reference: Sequence[str],
    join_rows_by: Sequence[str],
    count: str | None,
    teach: str | None,
) -> dict[str, Any]:
    """Fields of a request from the options of this file."""
    return {
        "pattern": pattern,
        "people": people,
        "unmatched": unmatched.value,
        "reference": pairs(reference, "--reference", "diagnosis=control"),
        "join_rows_by": tuple(join_rows_by),
        "count": says(count, "--count"),
        "teach": says(teach, "--teach"),
    }


def table_options(
    column: Sequence[str], codes: Sequence[str], values: Sequence[str], missing: Sequence[str]
) -> dict[str, Any]:
    """Fields of a request from the options about the columns of a table."""
    return {
        "columns": {name: split_list(value) for name, value in pairs(column, "--column", "choice=response").items()},
        "codes": labels(codes, "--codes", "choice=left,right"),
        "values": worths(values),
        "missing": labels(missing, "--missing", "'choice=no response,0'"),
    }


def says(text: str | None, option: str) -> str | dict[str, list[str]] | None:
    """Read a column, or a column and the values that mean yes.

    Examples
    --------
    >>> says("free", "--count"), says("kind=free,choice", "--count")
    ('free', {'kind': ['free', 'choice']})
    """
    if text is None or "=" not in text:
        return text
    return {name: values.split(",") for name, values in pairs([text], option, "kind=free,choice").items()}


def words(request: Request) -> list[tuple[str, str]]:
    """Options of this file that make the same request, as (option, value)."""
    out = [("pattern", request.pattern), ("people", request.people)]
    out += [("unmatched", request.unmatched)] if request.unmatched != "error" else []
    out += [("reference", f"{name}={label}") for name, label in request.reference.items()]
    out += [("join-rows-by", name) for name in request.join_rows_by]
    for name in ("count", "teach"):
        said = getattr(request, name)
        if isinstance(said, Mapping):
            said = ",".join(f"{column}={','.join(values)}" for column, values in said.items())
        out.append((name, said))
    return [(name, value) for name, value in out if value is not None]


def files_of(request: Request) -> list[Path]:
    """All files that a request reads.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    from pyem.data.many_files import find_files

    files, _ = find_files(request.data, request.pattern)
    people = [] if request.people is None else [Path(request.people)]
    for path in people:
        if not path.is_file():
            raise ValueError(f"there is no file {str(path)!r} with the table of people (seen from here)")
    return [*files, *people]


def digest(files: Sequence[Path]) -> str:
    """SHA-256 of a file; of several files, that of their names and digests."""
    each = []
    for path in files:
        with open(path, "rb") as file:
            each.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(files) == 1:
        return each[0]
    lines = "".join(f"{one}  {path.name}\n" for one, path in zip(each, files, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()
