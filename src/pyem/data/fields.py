"""Fields and covariates of a data set, made from the columns of a table, with notes on what deserves attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pyem.data.coding import OPTION, as_codes, is_coded, is_label
from pyem.data.columns import Column, Where, parse
from pyem.data.identifiers import occurring, run_starts
from pyem.data.markers import marker_notes, option_notes
from pyem.data.quantities import as_numbers, check_values, looks_like_quantity, worth_of
from pyem.errors import DataError, shown

RESPONSES = ("choice", "action", "response", "rt", "y")
"""Usual names of responses: a trial without the first of these that is mapped is a missed one."""
RESERVED = ("subject", "block", "trial", "responded", "learn", "counted", "teaches")
"""Names that fields cannot have: they index tables, or are the masks that models see beside their columns."""


def check_names(fields: Sequence[str], codes: Sequence[str], covariates: Sequence[str]) -> None:
    """Raise a DataError unless the names of fields and covariates can be told apart, and codes belong to fields."""
    if not fields:
        raise DataError("no column is mapped; say which are the model's, as in columns={'choice': 'response'}")
    reserved = [name for name in fields if name in RESERVED]
    if reserved:
        raise DataError(
            f"a column of the model cannot be named {reserved[0]!r}, which has a meaning of its own; rename it"
        )
    unknown = [name for name in codes if name not in fields]
    if unknown:
        raise DataError(
            f"codes are given for {', '.join(map(repr, unknown))}, but the mapped columns are {list(fields)}"
        )
    both = [name for name in covariates if name in fields or name in RESERVED]
    if both:
        raise DataError(f"a covariate cannot be named {both[0]!r}, like a column of the model or an index; rename it")


def names_of(columns: Any) -> list[str]:
    """Columns of a table as a list of text, whether one, several or none (None) are given.

    Examples
    --------
    >>> names_of("run"), names_of(["day", "run"]), names_of(3), names_of(None)
    (['run'], ['day', 'run'], ['3'], [])
    """
    if columns is None:
        return []
    several = isinstance(columns, Iterable) and not isinstance(columns, str)
    return [str(name) for name in (columns if several else [columns])]


def sources_of(columns: Any) -> dict[str, list[str]]:
    """Columns of the table for each column of the model, always as a list of text.

    Raises
    ------
    DataError
        If `columns` is no mapping.
    """
    if not isinstance(columns, Mapping):
        raise DataError(
            f"columns={columns!r}; expected the model's columns and the table's, as in columns={{'choice': 'response'}}"
        )
    return {str(name): names_of(source) for name, source in columns.items()}


def check_request(
    sources: Mapping[str, list[str]],
    codes: Mapping[str, Any],
    covariates: Sequence[str],
    missing_outcome: str,
    values: Mapping[str, Any],
) -> None:
    """Raise a DataError unless a request about a table can be fulfilled."""
    check_names(list(sources), list(codes), covariates)
    check_values(values, list(sources), list(codes))
    if missing_outcome not in ("skip", "error"):
        raise DataError(f"missing_outcome={missing_outcome!r}; expected 'skip' or 'error'")
    empty = [name for name, source in sources.items() if not source]
    if empty:
        raise DataError(f"no column of the table is given for {empty[0]!r}; name one or more")
    for name, given in codes.items():
        if given is not None and (isinstance(given, str) or not isinstance(given, Sequence | np.ndarray)):
            raise DataError(
                f"codes of {name!r} are {given!r}; expected a list of labels in order, as in ['left', 'right']"
            )


# -- fields -------------------------------------------------------------------------------------------------------------


def read_fields(
    table: Mapping[str, Column],
    sources: Mapping[str, list[str]],
    codes: Mapping[str, Sequence[Any] | None],
    where: Where,
    *,
    values: Mapping[str, Mapping[Any, Any]] | None = None,
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, tuple[Any, ...]]]:
    """Values of each field (row, column), where all of them are present (row,), and the labels of coded fields.

    Whole numbers may be of any type that holds them. An array may be that of a column if nothing is missing.
    """
    found, labels, worth = {}, {}, values or {}
    shared = [name for name in sources if name.startswith(OPTION)]
    for name, source in sources.items():
        columns = [table[column] for column in source]
        if name in worth:
            columns = [worth_of(column, name, worth[name], where) for column in columns]
        if name in shared:
            # The same option may be shown in several places: it has one code.
            given = next((codes[other] for other in shared if codes.get(other) is not None), None)
            everywhere = [table[column] for other in shared for column in sources[other]]
            _, labels[name] = as_codes(everywhere, name, given, where)
            coded, _ = as_codes(columns, name, labels[name], where)
        elif name in codes or is_coded(name) or is_label(name, columns):
            coded, labels[name] = as_codes(columns, name, codes.get(name), where)
        else:
            found[name] = _numbers(columns, where, name)
            continue
        found[name] = coded, _in_all(coded >= 0)
    return found, labels


def _numbers(columns: Sequence[Column], where: Where, field: str) -> tuple[np.ndarray, np.ndarray]:
    if all(column.labels is None and column.values.dtype.kind == "i" for column in columns):
        values = _stacked([column.values for column in columns])
        small = max(abs(int(values.max(initial=0))), abs(int(values.min(initial=0)))) < 2**31
        return values if small else values.astype(np.float64), np.ones(len(values), bool)
    parts, whole = zip(*(as_numbers(column, where, field) for column in columns), strict=True)
    values = _stacked(parts)
    gone = np.isnan(values)
    if gone.any():
        values = np.where(gone, 0.0, values)
    # Whole numbers stay whole: a model may use them as indices.
    small = all(whole) and np.abs(values).max(initial=0) < 2**31
    values = values.astype(np.int32 if small else np.float64, copy=False)
    return values, _in_all(~gone)


def _in_all(here: np.ndarray) -> np.ndarray:
    """(row,): whether something holds in all columns, from where it holds (row, column)."""
    return here[:, 0] if here.shape[1] == 1 else np.asarray(here.all(1))


def _stacked(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Put columns side by side, (row, column); a single one is not copied."""
    return columns[0][:, None] if len(columns) == 1 else np.stack(columns, axis=1)


def _is_text(column: Column) -> bool:
    """Whether a column consists of words, none of which is a number or was meant as one."""
    return (
        bool(column.labels)
        and column.kind == "text"
        and bool(np.isnan(parse(column.labels)).all())
        and not any(map(looks_like_quantity, column.labels))
    )


def covariate(
    column: Column, who: np.ndarray, subjects: np.ndarray, where: Where, notes: list[str]
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """One number for each subject, the second of two text values as 1, and these values; there are none if it has numbers."""
    name, labels = column.name, []
    if _is_text(column):
        codes, labels = as_codes([column], name, None, where)
        notes.append(f"covariate {name}: {mapping(labels)}")
        values = np.where(codes[:, 0] >= 0, codes[:, 0], np.nan)
    else:
        values, _ = as_numbers(column, where, name)
    here = np.flatnonzero(~np.isnan(values))
    out = np.full(len(subjects), np.nan)
    # The first value of each subject: of several assignments the last one stays.
    out[who[here[::-1]]] = values[here[::-1]]
    gone = subjects[np.isnan(out)]
    if len(gone):
        raise DataError(
            f"covariate {name!r} is missing for subject {shown(gone[0])} ({len(gone)} subjects in all); fill it in, or leave "
            "these subjects out of the table"
        )
    varies = here[values[here] != out[who[here]]]
    if len(varies):
        row = int(varies[0])
        raise DataError(
            f"covariate {name!r} varies within a subject: it is {values[row]:g} {where(row)}, and {out[who[row]]:g} before; a "
            "covariate has one value for each subject: correct it, or map it as a column of the model"
        )
    if len(here) < len(who):
        notes.append(
            f"covariate {name}: {len(who) - len(here)} empty cells took the value that the subject has elsewhere"
        )
    return out, tuple(labels)


# -- what deserves attention --------------------------------------------------------------------------------------------


def column_names(names: Sequence[str]) -> str:
    """List columns of a table for messages."""
    return f"column{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"


def mapping(labels: Sequence[Any], most: int = 8) -> str:
    """List which label has which code, for notes.

    Examples
    --------
    >>> mapping(["left", "right"])
    "'left' is 0, 'right' is 1"
    """
    pairs = [f"{label!r} is {code}" for code, label in enumerate(labels[:most])]
    return ", ".join(pairs) + (f", ... {labels[-1]!r} is {len(labels) - 1}" if len(labels) > most else "")


def coding_notes(
    table: Mapping[str, Column],
    sources: Mapping[str, list[str]],
    labels: Mapping[str, tuple[Any, ...]],
    markers: Mapping[str, Sequence[Any]],
    values: Mapping[str, Mapping[Any, Any]],
) -> list[str]:
    """Notes on how the values of the table were read: missing ones, codes, and numbers that are not written as such."""
    notes = marker_notes({name: (table[name].marked, list(known)) for name, known in markers.items()})
    for name, known in labels.items():
        notes += [f"{name} ({column_names(sources[name])}): {mapping(known)}", *option_notes(name, known)]
    for name, worth in values.items():
        told = ", ".join(f"{word!r} is {number:g}" for word, number in worth.items())
        notes.append(f"{name} ({column_names(sources[name])}): {told}")
    for name in sources:
        if name not in labels and name not in values and all(table[one].kind == "boolean" for one in sources[name]):
            notes.append(f"{name} ({column_names(sources[name])}): False is 0, True is 1")
    return notes


def response_of(fields: Mapping[str, Any]) -> str | None:
    """Name of the field that holds the response; None if that is not known."""
    return next((name for name in RESPONSES if name in fields), None)


def missing_notes(
    sources: Mapping[str, list[str]], present: Mapping[str, np.ndarray], missing_outcome: str, where: Where
) -> list[str]:
    """Notes on missing values of trials with a response; an error if `missing_outcome` says so."""
    response = response_of(present)
    notes = []
    for name, here in present.items():
        if here.all():
            continue
        gone = ~here
        what = f"{name} ({column_names(sources[name])})"
        if name == response:
            notes.append(
                f"{what} is missing in {gone.sum()} of {len(gone)} trials: they are left out of the likelihood"
            )
            continue
        among = gone if response is None else gone & present[response]
        if not among.any():
            continue
        having = "" if response is None else f" that have a {response}"
        trials = f"{'all ' if gone.all() else ''}{among.sum()} trials{having}"
        if missing_outcome == "error":
            raise DataError(
                f"{what} is missing in {trials}, first {where(int(np.argmax(among)))}; fill it in, or pass "
                "missing_outcome='skip' to keep these trials: a model that learns from it then learns nothing from them"
            )
        notes.append(
            f"{what} is missing in {trials}: a model that learns from it learns nothing from them; for one that is shown it "
            f"they are left out of the likelihood; one that explains it leaves out {name}, and what else was done there counts"
        )
    return notes


def no_empty_subject(
    sources: Mapping[str, list[str]], present: Mapping[str, np.ndarray], who: np.ndarray, subjects: np.ndarray
) -> None:
    """Raise a DataError if a subject has no response at all."""
    response = response_of(present)
    if response is None:
        # The model's response is not known here; `validate` checks again, with the model.
        return
    # The rows of a person are together, for the most part.
    starts = run_starts(who)
    responded = np.logical_or.reduceat(present[response], starts)
    empty = subjects[~occurring(who[starts[responded]], len(subjects))]
    if len(empty):
        raise DataError(
            f"subject {shown(empty[0])} has no trial with a value of {response!r} ({column_names(sources[response])}; "
            f"{len(empty)} such subjects in all); remove the subject from the table, or correct the column"
        )
