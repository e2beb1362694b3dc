"""Preparation of a table before its trials are read: rows joined, people's covariates added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyem.data.counted import Says, counting_columns
from pyem.data.filters import with_rows_that_count
from pyem.data.join_rows import ORDER, joined_rows
from pyem.data.people import covariates_there, with_people
from pyem.data.row_names import as_pandas


def listed(names: Any) -> list[str]:
    """Convert one name, several or none to a list.

    Examples
    --------
    >>> listed("run"), listed(["day", "run"]), listed(None)
    (['run'], ['day', 'run'], [])
    """
    if names is None:
        return []
    return [names] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)


def used_columns(
    *,
    subject: str,
    columns: Any,
    block: Any = None,
    trial: str | None = None,
    covariates: Any = (),
    join_rows_by: Any = None,
    count: Says = None,
    teach: Says = None,
    **_: Any,
) -> list[str]:
    """The columns of the table that the options of `pyem.Dataset.from_frame` name, each once."""
    sources = columns.values() if isinstance(columns, Mapping) else ()
    mapped = [name for source in sources for name in listed(source)]
    rest = [trial, *listed(covariates), *listed(join_rows_by), *counting_columns(count=count, teach=teach)]
    return list(dict.fromkeys([subject, *listed(block), *mapped, *(name for name in rest if name is not None)]))


def prepared(
    frame: Any,
    *,
    subject: str,
    block: Sequence[str],
    covariates: Sequence[str],
    used: Sequence[str],
    join_rows_by: str | Sequence[str] | None,
    people: Any,
    unmatched: Any,
    exclude: Sequence[Any] = (),
    where: str | None = None,
    mapped: Sequence[str] = (),
) -> Any:
    """The table with a row for each trial and with everybody's columns from the table of people.

    See `pyem.Dataset.from_frame`. These are covariates, and of `mapped` columns those that the trials have not.

    Where rows are joined, those that do not count (`where`, `exclude`) are left out before; `mapped` are the model's columns.
    """
    if join_rows_by is not None:
        together = [] if join_rows_by == ORDER else [subject, *block, *listed(join_rows_by)]
        frame = with_rows_that_count(frame, subject, mapped, where=where, exclude=exclude, trial=together)
        frame = joined_rows(frame, join_rows_by, lanes=[subject, *block], used=used)
    if people is not None:
        there = covariates_there(people, subject, [name for name in mapped if name not in as_pandas(frame).columns])
        wanted = list(dict.fromkeys([*covariates, *there]))
        frame = with_people(frame, people, subject=subject, covariates=wanted, unmatched=unmatched, exclude=exclude)
    return frame
