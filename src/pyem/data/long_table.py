"""Conversion of a long table's rows to lanes: order, padding, masks, and notes on what was inferred."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pyem.data.coded import smallest
from pyem.data.columns import EXACT, CodedTable, Column, Where, read_columns
from pyem.data.contrasts import covariates_of, references
from pyem.data.counted import Says, counting, counting_columns
from pyem.data.fields import (
    check_request,
    coding_notes,
    missing_notes,
    no_empty_subject,
    read_fields,
    response_of,
    sources_of,
)
from pyem.data.filters import rows_that_count
from pyem.data.identifiers import alike_notes, as_labels, in_order
from pyem.data.join_rows import require_whole_rows
from pyem.data.lanes import Layout, lay_out
from pyem.data.markers import listed
from pyem.data.preparing import prepared, used_columns
from pyem.data.quantities import as_numbers
from pyem.data.ragged import narrow
from pyem.data.row_names import table_notes
from pyem.errors import DataError, shown


def lanes_from_frame(
    frame: Any,
    *,
    subject: str,
    columns: Mapping[str, str | Sequence[str]],
    block: Sequence[str],
    trial: str | None,
    codes: Mapping[str, Sequence[Any] | None],
    covariates: Sequence[str],
    missing_outcome: str,
    values: Mapping[str, Mapping[Any, Any]] | None = None,
    missing: Mapping[str, Any] | None = None,
    where: str | None = None,
    exclude: Sequence[Any] = (),
    count: Says = None,
    teach: Says = None,
    join_rows_by: str | Sequence[str] | None = None,
    people: Any = None,
    unmatched: str = "error",
    reference: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The parts of a `Dataset`, from a long table. See `Dataset.from_frame`."""
    sources, worth = sources_of(columns), dict(values or {})
    codes, reference = references(codes, covariates, reference)
    check_request(sources, codes, covariates, missing_outcome, worth)
    markers = _markers(sources, covariates, listed(missing, [*sources, *covariates]))
    subject, trial = str(subject), None if trial is None else str(trial)
    mapped = [column for source in sources.values() for column in source]
    frame = prepared(
        frame,
        subject=subject,
        block=block,
        covariates=covariates,
        used=used_columns(subject=subject, columns=sources, block=block, trial=trial, count=count, teach=teach),
        join_rows_by=join_rows_by,
        people=people,
        unmatched=unmatched,
        exclude=exclude,
        where=where,
        mapped=mapped,
    )
    names = [subject, *block, *([trial] if trial else []), *(c for source in sources.values() for c in source)]
    names += [*covariates, *counting_columns(count=count, teach=teach)]
    # Rows that are not used are removed before others are joined.
    rest = (where, exclude) if join_rows_by is None else (None, ())
    table, notes = _read(frame, names, markers, mapped, *rest)

    subjects, who = as_labels(table[subject])
    row = table[subject].row
    said: Where = lambda k: f"for subject {shown(subjects[who[k]])} (row {row(k)})"  # noqa: E731
    blocks, which = _blocks([table[name] for name in block], len(who))
    number = None if trial is None else _trial_numbers(table[trial], said)
    layout, more = lay_out(who, which, number, said, block=list(block), trial=trial, row=row)
    notes += [*alike_notes(subjects.tolist(), "subjects"), *_single_rows(len(subjects), len(who)), *more]

    found, labels = read_fields(table, sources, codes, said, values=worth)
    notes += coding_notes(table, sources, labels, markers, worth)
    table = {name: table[name] for name in (*covariates, *counting_columns(count=count, teach=teach))}
    if isinstance(frame, CodedTable) and frame.once:
        frame.known.clear()
    fields, present, fills = _filled(found, columns, layout)
    require_whole_rows(present, response_of(present), said)
    notes += missing_notes(sources, present, missing_outcome, said)
    no_empty_subject(sources, present, who, subjects)
    masks = counting(table, {"count": count, "teach": teach}, said, notes)
    words: dict[str, tuple[Any, ...]] = {}
    of_people = [covariates_of(table[name], who, subjects, said, notes, reference, words) for name in covariates]
    return {
        "fields": layout.together(fields, fills, whole=np.int32),
        "present": layout.together(present, dict.fromkeys(present, 0)),
        "valid": layout.scatter(np.ones(len(who), bool)),
        "lane_subject": who[layout.first].astype(np.int64),
        "lane_block": blocks[which[layout.first]],
        "subjects": subjects,
        "covariates": {name: values for found in of_people for name, values in found.items()},
        "codes": labels | words,
        "trial": None if number is None else layout.scatter(narrow(number) if layout.sparse else number),
        "notes": tuple(notes),
        **{name: layout.scatter(mask) for name, mask in masks.items()},
    }


def _filled(found: dict[str, tuple[np.ndarray, np.ndarray]], columns: Mapping[Any, Any], layout: Layout) -> Any:
    """Take the values of each field out of `found`, by name; return them with masks and fillers of missing values."""
    fields, present, fills = {}, {}, {}
    for name in list(found):
        array, here = found.pop(name)
        array = array[:, 0] if _is_one(columns, name) else array
        present[name] = here
        # Padding and missing values are filled with a value that was seen, so that every function of them is finite.
        fill = array[layout.first_of(here)] if here.any() else np.zeros_like(array[0])
        if not here.all():
            array[~here] = fill
        fields[name], fills[name] = array, fill
    return fields, present, fills


def _single_rows(people: int, rows: int) -> list[str]:
    """A note where every person has one row, as in a table that has a column for each trial."""
    if people != rows or people < 2:
        return []
    return [
        "every person has one row, and so one trial; if there is a column for each trial, make the table long first"
    ]


def _is_one(columns: Mapping[Any, Any], name: str) -> bool:
    """Whether a field is one column of the table, and not a list of them."""
    source = next(source for field, source in columns.items() if str(field) == name)
    return isinstance(source, str) or not isinstance(source, Iterable)


def _markers(
    sources: Mapping[str, list[str]], covariates: Sequence[str], missing: Mapping[str, list[Any]]
) -> dict[str, list[Any]]:
    """Values that mark a missing one in each column of the table."""
    columns = {**{name: [name] for name in covariates}, **sources}
    out: dict[str, list[Any]] = {}
    for name, marks in missing.items():
        for column in columns[name]:
            out[column] = [*out.get(column, []), *marks]
    return out


def _read(
    frame: Any,
    names: Sequence[str],
    markers: Mapping[str, list[Any]],
    mapped: Sequence[str],
    where: str | None,
    exclude: Sequence[Any],
) -> tuple[dict[str, Column], list[str]]:
    """Read the columns of the rows that are used, with notes on how the file was read and on the other rows."""
    notes = table_notes(frame)
    subject = names[0]
    people = read_columns(frame, [subject])
    rows = None
    if where is not None or len(exclude) or not people[subject].complete:
        rows, more = rows_that_count(frame, people[subject], mapped, where=where, exclude=exclude)
        notes += more
    if rows is None:
        rest = [name for name in names if name != subject]
        return people | read_columns(frame, rest, markers=markers) if rest else people, notes
    return read_columns(frame, names, rows=rows, markers=markers), notes


def _blocks(columns: Sequence[Column], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct blocks in the order of their labels, and the index of each row's."""
    labels, index = np.zeros(1, int), np.zeros(n, int)
    for k, column in enumerate(columns):
        found, place = as_labels(column)
        if k == 0:
            labels, index = found, place
        else:
            pairs, index = np.unique(index.astype(np.int64) * len(found) + place, return_inverse=True)
            labels = np.array([f"{labels[p // len(found)]}/{found[p % len(found)]}" for p in pairs], object)
    if len(columns) == 1 and columns[0].ordered:
        return labels, index
    order = in_order(labels)
    if (order[1:] > order[:-1]).all():
        return labels, index
    rank = np.empty(len(order), smallest(len(order)))
    rank[order] = np.arange(len(order))
    return labels[order], rank[index]


def _trial_numbers(column: Column, where: Where) -> np.ndarray:
    if column.labels is None and column.values.dtype.kind == "i":
        return column.values
    values, _ = as_numbers(column, where)
    missing = np.flatnonzero(np.isnan(values))
    if len(missing):
        raise DataError(f"column {column.name!r} has no value {where(int(missing[0]))}; number every trial")
    exact = (values % 1 == 0).all() and np.abs(values).max() < EXACT
    return values.astype(int) if exact else values
