"""A second table with a row for each person, joined to the trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyem.data.columns import columns_told
from pyem.data.files import read_table
from pyem.data.row_names import as_pandas, kept_rows
from pyem.errors import DataError, counted, list_of, shown

if TYPE_CHECKING:
    import pandas as pd

BIDS = "participant_id"
"""The column of people in the ``participants.tsv`` of a BIDS data set."""
PREFIX = "sub-"


def with_people(
    frame: Any,
    people: Any,
    *,
    subject: str,
    covariates: Sequence[str],
    unmatched: Literal["error", "drop"] = "error",
    exclude: Sequence[Any] = (),
) -> pd.DataFrame:
    """The trials with the covariates of a second table in each row.

    Parameters
    ----------
    frame
        The trials.
    people
        A table with a row for each person, or the path of its file. Its column of people has the name of that of the trials,
        or ``participant_id``.
    subject
        The column of people of the trials.
    covariates
        The columns that are wanted; those that the trials have themselves are left to them.
    unmatched
        People with trials and without a row or a value in the second table are an ``"error"``, or are left out (``"drop"``),
        which a note tells.
    exclude
        Labels of people who are left out in any case.

    Raises
    ------
    DataError
        If a column is missing or in both tables, a person is in the second table twice, or not at all.

    Examples
    --------
    >>> import pandas as pd
    >>> trials = pd.DataFrame({"id": ["a", "a", "b"], "choice": [0, 1, 0]})
    >>> ages = pd.DataFrame({"id": ["b", "a", "c"], "age": [30, 41, 25]})
    >>> with_people(trials, ages, subject="id", covariates=["age"]).age.tolist()
    [41, 41, 30]
    """
    if unmatched not in ("error", "drop"):
        raise DataError(f"unmatched={unmatched!r}; expected 'error' or 'drop'")
    trials = as_pandas(frame)
    second = _second(people, subject)
    key = _key(list(second.columns), subject)
    wanted = _wanted(list(trials.columns), list(second.columns), key, covariates)
    notes: list[str] = []
    known = _labels(second[key], f"column {key!r} of the table of people")
    mine = _labels(trials[subject], f"column {subject!r}")
    known = _without_prefix(known, mine, notes)
    _each_once(known, key)
    full: Any = second[wanted].notna()
    gaps = {
        label: [name for name, there in zip(wanted, row, strict=True) if not there]
        for label, row in zip(known, full.to_numpy(), strict=True)
    }
    lacking = {label for label in mine if gaps.get(label, True)} - {str(label) for label in exclude}
    _report({label: gaps.get(label, []) for label in sorted(lacking)}, sorted(set(known) - set(mine)), unmatched, notes)
    place = {label: k for k, label in enumerate(known)}
    kept = np.array([label not in lacking for label in mine])
    if not kept.any():
        raise DataError("nobody is in both tables; check the columns of people")
    rows = np.array([place.get(label, -1) for label, keep in zip(mine, kept, strict=True) if keep])
    out = trials[kept].reset_index(drop=True)
    for name in wanted:
        out[name] = second[name].take(np.maximum(rows, 0)).where(rows >= 0).reset_index(drop=True)
    return kept_rows(trials, out, np.flatnonzero(kept), notes)


def covariates_there(people: Any, subject: str, covariates: Sequence[str]) -> list[str]:
    """Covariates that a table of people has; see `with_people`."""
    second = list(_second(people, subject).columns)
    _key(second, subject)
    return [name for name in covariates if name in second]


def _second(people: Any, subject: str) -> pd.DataFrame:
    if isinstance(people, str | Path):
        return read_table(people, names=(subject, BIDS))
    return as_pandas(people)


def _key(columns: list[str], subject: str) -> str:
    key = next((name for name in (subject, BIDS) if name in columns), None)
    if key is None:
        raise DataError(
            f"the table of people has no column {subject!r}, by which it is joined; it has {columns_told(columns)}: "
            f"rename its column of people to {subject!r}"
        )
    return key


def _wanted(trials: list[str], second: list[str], key: str, covariates: Sequence[str]) -> list[str]:
    offered = [name for name in second if name != key]
    both = [name for name in covariates if name in trials and name in offered]
    if both:
        raise DataError(
            f"the covariate {both[0]!r} is in the table of trials and in that of people; rename one of them"
        )
    absent = [name for name in covariates if name not in trials and name not in offered]
    wanted = [name for name in covariates if name in offered]
    if absent or not wanted:
        what = f"there is no covariate {absent[0]!r}" if absent else "no covariate of the table of people is named"
        raise DataError(
            f"{what}; it has {columns_told(offered) or 'no other column'}: name some of these, as in "
            f"covariates={offered[:2]!r}"
        )
    return wanted


def _labels(column: Any, what: str) -> list[str]:
    """Labels as text: 1 and 1.0 are the same, 01 and 1 are not."""
    values = column.tolist()
    gone = [k for k, value in enumerate(values) if value is None or value != value]
    if gone:
        raise DataError(
            f"{what} has no value in row {gone[0] + 1} ({counted(len(gone), 'such row')} in all); fill it in"
        )
    return [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in values]


def _without_prefix(known: list[str], mine: list[str], notes: list[str]) -> list[str]:
    """Match labels of BIDS, where the person of the files ``sub-01_...`` is 01 there and sub-01 in the table of people."""
    bare = [label.removeprefix(PREFIX) for label in known]
    if set(known) & set(mine) or not set(bare) & set(mine):
        return known
    notes.append(f"people: {PREFIX!r} before the names in the table of people was passed over")
    return bare


def _each_once(known: list[str], key: str) -> None:
    first: dict[str, int] = {}
    for k, label in enumerate(known):
        if label in first:
            raise DataError(
                f"subject {label!r} has two rows in the table of people ({first[label] + 1} and {k + 1}, column {key!r}); "
                "it needs one row a person: remove one"
            )
        first[label] = k


def _report(gaps: dict[str, list[str]], extra: list[str], unmatched: str, notes: list[str]) -> None:
    """Report who is missing on either side: an error for people with trials, or notes; `gaps` are empty cells of a row."""
    lacking = list(gaps)
    cells = [f"{', '.join(map(repr, names))} of {label!r}" for label, names in gaps.items() if names]
    which = f" (empty: {'; '.join(cells[:3])}{'; ...' if len(cells) > 3 else ''})" if cells else ""
    similar = {label.lstrip("0"): label for label in extra}
    if lacking and unmatched == "error":
        near = next((label for label in lacking if label.lstrip("0") in similar), None)
        hint = "" if near is None else f" ({shown(near)} of the trials and {shown(similar[near.lstrip('0')])} differ)"
        raise DataError(
            f"{counted(len(lacking), 'subject')} with trials have no row, or an empty cell, in the table of people: "
            f"{list_of(lacking)}{which}{hint}; complete it, or pass unmatched='drop' (--unmatched drop) to leave them out"
            + (f". Without trials are {list_of(extra)}" if extra else "")
        )
    if lacking:
        notes.append(
            f"people: {counted(len(lacking), 'subject')} without a row, or with an empty cell, in the table of people were "
            f"left out: {list_of(lacking)}{which}"
        )
    if extra:
        notes.append(f"people: {len(extra)} of the table of people have no trials: {list_of(extra)}")
