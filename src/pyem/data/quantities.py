"""Columns that are quantities: numbers, or an error that names a cell which is none, with a remedy."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyem.data.coded import looked_up
from pyem.data.columns import Column, Where, all_whole, key, parse, parsed
from pyem.data.markers import advice, looks_like_marker
from pyem.errors import DataError

_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+([eE][-+]?\d+)?\s*", re.ASCII)
_DRESSED = re.compile(
    r"\s*[$€£¥]?\s*[-+]?[$€£¥]?\s*\d[\d.,'\u00a0 ]*([eE][-+]?\d+)?\s*(%|[$€£¥]|ms|s|sec|pts?|ct|c|px|cm|mm)?\s*"
)
_QUANTITY = re.compile(
    r"(reward|outcome|payoff|pay|points|win|loss|y|rt|amount|delay|prob|predictor|magnitude|value).*"
)
"""Names of fields for which codes would be nonsense; for other fields the meaning of words is not known."""
_WORSE = {
    "loss",
    "lose",
    "lost",
    "incorrect",
    "wrong",
    "false",
    "no",
    "miss",
    "fail",
    "failure",
    "error",
    "off",
    "nothing",
}
_BETTER = {"win", "gain", "won", "correct", "right", "true", "yes", "hit", "success", "reward", "on", "rewarded"}
MOST = 12
"""Largest number of words that an error lists."""


def looks_like_quantity(label: Any) -> bool:
    """Whether a text that is no plain number was meant as one: with a comma, a percent or currency sign, or a unit.

    Examples
    --------
    >>> [looks_like_quantity(text) for text in ("0,5", "5%", "$0.50", "300 ms", "left", "A1")]
    [True, True, True, True, False, False]
    """
    return bool(_DRESSED.fullmatch(str(label))) or bool(re.fullmatch(r"\(?[-+\d.]+[-+][\d.]+j\)?", str(label)))


def as_numbers(column: Column, where: Where, field: str | None = None) -> tuple[np.ndarray, bool]:
    """Values as float64, NaN where missing, and whether they are whole numbers in the table.

    Parameters
    ----------
    column
        The column.
    where
        Says whose row it is, for messages.
    field
        Name of the column in the model, for messages.

    Raises
    ------
    DataError
        If a value is infinite, or text that is no number.
    """
    if column.labels is None:
        values, whole = column.values.astype(float, copy=False), column.whole
    else:
        known = parse(column.labels)
        words = np.isin(np.arange(len(known)), column.values) & np.isnan(known)
        if words.any():
            raise _no_number(column, np.flatnonzero(words), where, field)
        values, whole = looked_up(np.append(known, np.nan), column.values), all_whole(known[np.isfinite(known)])
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise DataError(
            f"column {column.name!r} has an infinite value {where(int(infinite[0]))}, where finite numbers are expected; "
            "correct it, or leave the cell empty if the value is missing"
        )
    return values, whole


def _no_number(column: Column, words: np.ndarray, where: Where, field: str | None) -> DataError:
    assert column.labels is not None
    row = int(np.argmax(np.isin(column.values, words)))
    value = column.labels[column.values[row]]
    used = [label for k, label in enumerate(column.labels) if (column.values == k).any()] if len(words) <= MOST else []
    remedy = "correct it, or leave the cell empty if the value is missing"
    if _DECIMAL_COMMA.fullmatch(value):
        remedy = (
            f"write decimals with a point, or read the file with decimal=',' (--decimal on the command line); {remedy}"
        )
    elif column.kind not in ("text", "number"):
        remedy = "make numbers of it first, for example seconds of a time"
    elif looks_like_quantity(value):
        remedy = f"write plain numbers, without signs and units; {remedy}"
    elif field is not None and looks_like_marker(value):
        remedy = f"if it marks a missing value, pass {advice(field, [value])}; {remedy}"
    elif field is not None and used and np.isnan(parse(used)).all():
        remedy = f"say what each word is worth, values={{{field!r}: {_worth(used)}}} (--values on the command line)"
        if not _QUANTITY.fullmatch(field):
            of = "labels (of options, conditions, groups)"
            remedy += f", or, if they are {of}, give them in order, codes={{{field!r}: {used!r}}}"
    kind = "text" if column.kind in ("text", "number") else column.kind
    ordered = ", one of ordered categories" if column.ordered else ""
    return DataError(
        f"column {column.name!r} has the {kind} {value!r}{ordered} {where(row)}, where numbers are expected; {remedy}"
    )


def _worth(words: Sequence[str]) -> str:
    """Write a mapping of words to numbers, ready to paste: 0 and 1 for the two words of a known pair.

    Examples
    --------
    >>> _worth(["win", "loss"])
    "{'loss': 0, 'win': 1}"
    """
    plain = {word: word.strip().casefold() for word in words}
    worse = [word for word in words if plain[word] in _WORSE]
    better = [word for word in words if plain[word] in _BETTER]
    if len(words) == 2 and len(worse) == len(better) == 1:
        return f"{{{worse[0]!r}: 0, {better[0]!r}: 1}}"
    return "{" + ", ".join(f"{word!r}: {k}" for k, word in enumerate(words)) + "}"


# -- what words are worth -----------------------------------------------------------------------------------------------


def check_values(values: Mapping[str, Any], fields: Sequence[str], codes: Sequence[str]) -> None:
    """Raise a DataError unless `values` map words of fields to numbers."""
    if not isinstance(values, Mapping) or not all(isinstance(worth, Mapping) for worth in values.values()):
        raise DataError(
            f"values={values!r}; expected what words are worth, as in values={{'reward': {{'loss': 0, 'win': 1}}}}"
        )
    for name, worth in values.items():
        if name not in fields:
            raise DataError(f"values= names {name!r}, but the mapped columns are {list(fields)}; name one of these")
        if name in codes:
            raise DataError(f"values= and codes= both say what {name!r} means; leave one of them out")
        wrong = [number for number in worth.values() if isinstance(number, str) or not np.isfinite(parsed(number))]
        if wrong or not worth:
            raise DataError(
                f"values of {name!r} are {dict(worth)!r}; expected a number for each word, as in {{'loss': 0, 'win': 1}}"
            )


def worth_of(column: Column, field: str, worth: Mapping[Any, Any], where: Where) -> Column:
    """Replace words, or numbers, of a column by the number that each is worth.

    Raises
    ------
    DataError
        If a value is not among the words.
    """
    numbers = {key(word): float(number) for word, number in worth.items()}
    labels: Sequence[Any] = (
        column.labels if column.labels is not None else np.unique(column.values[column.here]).tolist()
    )
    index = column.values if column.labels is not None else np.searchsorted(labels, column.values)
    index = np.where(column.here, index, -1)
    known = np.array([*(numbers.get(key(label), np.inf) for label in labels), np.nan])
    unknown = np.flatnonzero(np.isinf(known[index]))
    if len(unknown):
        label = labels[int(index[unknown[0]])]
        hint = f"; if it marks a missing value, pass {advice(field, [label])}" if looks_like_marker(label) else ""
        raise DataError(
            f"column {column.name!r} has {label!r} {where(int(unknown[0]))}, which is not among the values "
            f"{dict(worth)!r} of {field!r}; add it, or correct the cell{hint}"
        )
    found = known[index]
    whole = all_whole(np.array(list(numbers.values())))
    return dataclasses.replace(column, values=found, labels=None, whole=whole, ordered=False, kind="number")
