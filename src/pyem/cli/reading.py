"""Reading of the data of a run of the command line."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyem
from pyem.cli import sources
from pyem.cli.designs import named_columns, require_columns
from pyem.cli.runs import Request, plain_value
from pyem.data.people import BIDS

if TYPE_CHECKING:
    import pandas as pd

    from pyem.data.dataset import Dataset
    from pyem.model.model import Model


def read_data(request: Request, models: Sequence[Model], *, design: bool = False) -> Dataset:
    """The data of a request, with the columns that its models need.

    Columns that were not mapped are those of the same name. A `design` has to have what is shown before a response; responses
    and outcomes are taken where it has them, for their gaps.

    Raises
    ------
    DataError
        If the file or a column is not what was expected.
    """
    return _data_of(request, models, table_of(request), design=design)


def read_data_told(request: Request, models: Sequence[Model]) -> tuple[Dataset, list[str]]:
    """The data of a request, and the lines of Python that read the same; see `read_data` and `reading_lines`."""
    frame = table_of(request)
    data = _data_of(request, models, frame, design=False)
    return data, reading_lines(request, models, frame)


def _data_of(request: Request, models: Sequence[Model], frame: pd.DataFrame, *, design: bool) -> Dataset:
    columns, conditions = columns_of(request, models, frame, design=design)
    return pyem.Dataset.from_frame(frame, **arguments(request, models, frame, columns, conditions), **_of_rows(request))


def table_of(request: Request) -> pd.DataFrame:
    """The table of a request, from its file or files."""
    from pyem.data.many_files import read_paths

    how = {"subject": request.subject, "block": list(request.block), "trial": request.trial, "columns": request.columns}
    text = {"separator": request.separator, "encoding": request.encoding, "decimal": request.decimal}
    return read_paths(request.data, request.pattern, how | _of_rows(request), **text)


def _of_rows(request: Request) -> dict[str, Any]:
    """Arguments on rows that are joined, or do not count."""
    return {"join_rows_by": request.join_rows_by or None, "count": request.count, "teach": request.teach}


def reading_lines(request: Request, models: Sequence[Model], frame: pd.DataFrame) -> list[str]:
    """Lines of Python that read the data of a request, whose table is `frame`, into ``data``."""
    from pyem.plot.reports.repeat import written

    columns, conditions = columns_of(request, models, frame)
    said: dict[str, Any] = {name: getattr(request, name) for name in ("pattern", "separator", "encoding", "decimal")}
    said |= arguments(request, models, frame, columns, conditions) | _of_rows(request)
    said["join_rows_by"] = list(request.join_rows_by)
    # Options with default values are left out.
    usual = {"missing_outcome": "skip", "unmatched": "error"}
    kept = {name: value for name, value in said.items() if value and usual.get(name) != value}
    return [
        "data = pyem.Dataset.read(",
        f"    {request.data!r},",
        *(f"    {name}={written(value)}," for name, value in kept.items()),
        ")",
    ]


def columns_of(
    request: Request, models: Sequence[Model], frame: pd.DataFrame, *, design: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Names of columns for the models and in the table, and those of them that only formulas name.

    Raises
    ------
    DataError
        If a column that a model needs is neither mapped nor there.
    """
    needed = dict.fromkeys(name for model in models for name in (model.inputs if design else model.columns))
    own = dict.fromkeys(name for model in models for name in model.columns)
    shown = {name for model in models for name in model.inputs}
    found = {name: request.columns.get(name, same_name(name, frame.columns, vector=name in shown)) for name in own}
    columns: dict[str, Any] = {name: source for name, source in found.items() if source is not None or name in needed}
    columns |= request.columns
    known = [*frame.columns, *of_people(request)]
    conditions = [name for name in named_columns(request) if name in known and name not in columns]
    columns |= {name: name for name in conditions}
    require_columns(request, columns, known)
    absent = [name for name in needed if columns[name] is None]
    if absent:
        users = ", ".join(model.name for model in models if absent[0] in model.columns)
        raise pyem.DataError(
            f"{users} needs the column {absent[0]!r}, but {sources.described(request.data)} has "
            f"{', '.join(map(repr, frame.columns))}; say which one it is with --column {absent[0]}=COLUMN"
        )
    return columns, conditions


def same_name(name: str, known: Iterable[Any], *, vector: bool) -> str | list[str] | None:
    """The column of a field's own name, or those of a vector's elements as `Dataset.to_frame` names them; None without any.

    Examples
    --------
    >>> same_name("y", ["y", "y0"], vector=True), same_name("x", ["x1", "x0", "x3"], vector=True)
    ('y', ['x0', 'x1'])
    """
    names = set(known)
    if name in names or not vector:
        return name if name in names else None
    return list(itertools.takewhile(names.__contains__, (f"{name}{k}" for k in itertools.count()))) or None


def arguments(
    request: Request,
    models: Sequence[Model],
    frame: pd.DataFrame,
    columns: Mapping[str, Any],
    conditions: Sequence[str] = (),
) -> dict[str, Any]:
    """Arguments that `pyem.Dataset.from_frame` and `pyem.Dataset.open` share, except those on rows to join or to count.

    Parameters
    ----------
    request, models
        The request, and its models.
    frame
        The table, or its first rows.
    columns
        The models' names for columns, and the table's.
    conditions
        Columns that only formulas name.
    """
    given = {name: _labels(frame, columns.get(name), labels) for name, labels in request.codes.items()}
    kinds = of_people(request) | dict(frame.dtypes) if conditions else {}
    text = [name for name in conditions if kinds[name].kind not in "iufb"]
    coded = {**dict.fromkeys(_codes_of_all(models, request)), **dict.fromkeys(text), **given}
    return {
        "subject": request.subject,
        "block": list(request.block),
        "trial": request.trial,
        "columns": dict(columns),
        "codes": coded,
        "values": request.values,
        "missing": request.missing,
        "covariates": list(request.covariates),
        "missing_outcome": request.missing_outcome,
        "reference": request.reference,
        "where": request.where,
        "exclude": request.exclude,
        "people": request.people,
        "unmatched": request.unmatched,
    }


def _codes_of_all(models: Sequence[Model], request: Request) -> list[str]:
    """Columns that are codes for every model that has them, so that 1, 2, ... may stand for 0, 1, ..."""
    coded = [name for model in models for name, _ in model.coded if name not in request.values]
    return [name for name in coded if all(name in dict(model.coded) for model in models if name in model.columns)]


def of_people(request: Request) -> dict[str, Any]:
    """Columns of the table of people, with the types of their values; empty without such a table."""
    from pyem.data.files import read_table

    return {} if request.people is None else dict(read_table(request.people, names=(request.subject, BIDS)).dtypes)


def _labels(frame: pd.DataFrame, column: Any, labels: Sequence[str]) -> list[Any]:
    """Convert labels from the command line to the type of the column: numbers where it holds numbers."""
    numeric = isinstance(column, str) and column in frame.columns and frame[column].dtype.kind in "iufb"
    return [plain_value(label) for label in labels] if numeric else list(labels)
