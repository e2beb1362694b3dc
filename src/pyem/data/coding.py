"""Coding of options and other labels as 0, 1, ..., with the label of each code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyem.data.coded import looked_up, smallest
from pyem.data.columns import Column, Where, key
from pyem.data.identifiers import natural
from pyem.data.markers import advice, far_code, looks_like_marker
from pyem.data.quantities import looks_like_quantity
from pyem.errors import DataError

OPTION = "option_"
_CODED = re.compile(rf"(?:\w+_)?(?:choice|action)(?:_?\d+)?|{OPTION}.*|(?:rating|confidence)_level")
_ORDERED = ("rating_level", "confidence_level")
"""Names of fields whose codes have an order that words do not tell."""
_NAMED = re.compile(
    r"(?:response|key|cue|stimulus|stim|context|condition|state|category|item|image|pair|set|symbol|shape|colou?r|observation)"
    r"(?:_.*|\d*)"
)


def is_coded(field: str) -> bool:
    """Whether a field holds options, by its name: a choice, an action, or an option that is shown.

    Examples
    --------
    >>> [is_coded(name) for name in ("choice", "choice2", "first_action", "option_left", "reward", "choice_rt")]
    [True, True, True, True, False, False]
    """
    return _CODED.fullmatch(field) is not None


def is_label(field: str, columns: Sequence[Column]) -> bool:
    """Whether the text of a field stands for labels, such as that of ``cue`` or ``stimulus``, and not for quantities."""
    words = [label for column in columns for label in column.labels or ()]
    return (
        _NAMED.fullmatch(field) is not None
        and bool(words)
        and all(isinstance(key(word), str) and not looks_like_quantity(word) for word in words)
    )


def as_codes(
    columns: Sequence[Column], field: str, given: Sequence[Any] | None, where: Where
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Codes (row, column) from 0, -1 where missing, and the label of each code.

    Parameters
    ----------
    columns
        Several columns share their codes.
    field
        Name of the field in the model, for messages.
    given
        The labels in order; inferred if None.
    where
        Says whose row it is.

    Raises
    ------
    DataError
        If a value has no place among the given labels, or codes cannot be inferred.
    """
    parts = [_distinct(column) for column in columns]
    keys = [[key(label) for label in labels] for labels, _ in parts]
    if given is None:
        found = _infer(columns, parts, keys, field, where)
    else:
        found = tuple(label.item() if isinstance(label, np.generic) else label for label in given)
    place = {key(label): code for code, label in enumerate(found)}
    if len(place) < len(found):
        raise DataError(f"codes of {field!r} are {list(found)}; each label should be there once")
    out = []
    for column, (labels, index), known in zip(columns, parts, keys, strict=True):
        unknown = [k for k, one in enumerate(known) if one not in place]
        unknown = [k for k in unknown if (index == k).any()] if column.ordered else unknown
        if unknown:
            row = int(np.argmax(np.isin(index, unknown)))
            label = labels[index[row]]
            hint = f" (pass {advice(field, [label])})" if looks_like_marker(label) else ""
            raise DataError(
                f"column {column.name!r} has {label!r} {where(row)}, which is not among the codes "
                f"{list(found)} of {field!r}; correct it, add it to codes, or leave the cell empty if it is missing{hint}"
            )
        out.append(looked_up(np.array([*(place.get(one, -1) for one in known), -1], smallest(len(found))), index))
    return (out[0][:, None] if len(out) == 1 else np.stack(out, axis=1)), found


def _distinct(column: Column) -> tuple[list[Any], np.ndarray]:
    import pandas as pd

    if column.labels is not None:
        return list(column.labels), column.values
    index, distinct = pd.factorize(column.values)
    known = [float(value) for value in distinct]
    return [int(value) if value.is_integer() else value for value in known], index


def _infer(
    columns: Sequence[Column],
    parts: list[tuple[list[Any], np.ndarray]],
    keys: list[list[Any]],
    field: str,
    where: Where,
) -> tuple[Any, ...]:
    """Infer the labels in order: numbers from 0 or 1 with all between them, text sorted, categories in their own order."""
    text, number = (
        [(c, k) for c, known in enumerate(keys) for k, one in enumerate(known) if isinstance(one, str) is kind]
        for kind in (True, False)
    )
    said = lambda c, k: f"{parts[c][0][k]!r} {where(int(np.argmax(parts[c][1] == k)))}"  # noqa: E731
    names = " and ".join(repr(column.name) for column in columns)
    if text and number and not columns[0].ordered:
        words = sorted({keys[c][k] for c, k in text})
        hint = f" or pass {advice(field, words)}" if len(words) == 1 or all(map(looks_like_marker, words)) else ""
        raise DataError(
            f"column {names} mixes text and numbers: {said(*number[0])} and {said(*text[0])}; make them all of one kind, "
            f"leave cells empty{hint} where the value is missing, or pass codes={{{field!r}: [<labels in order>]}}"
        )
    if columns[0].ordered:
        return tuple(dict.fromkeys(label for column in columns for label in column.labels or ()))
    if text and field in _ORDERED:
        words = sorted({keys[c][k] for c, k in text}, key=natural)
        raise DataError(
            f"column {names} has the words {', '.join(map(repr, words[:6]))}, whose order is not told; pass "
            f"codes={{{field!r}: [<all of them, from the lowest to the highest>]}} (--codes on the command line)"
        )
    if text:
        return tuple(sorted({keys[c][k] for c, k in text}, key=natural))
    for c, k in number:
        if keys[c][k] % 1 != 0:
            raise DataError(f"column {names} has {said(c, k)}, but {field!r} needs whole numbers or text; recode it")
    return _whole_labels(sorted({int(keys[c][k]) for c, k in number}), names, field)


def _whole_labels(values: list[int], names: str, field: str) -> tuple[int, ...]:
    give = f"pass codes={{{field!r}: [<labels in order>]}} (--codes on the command line)"
    if values == [1]:
        raise DataError(
            f"column {names} has the one value 1, so it cannot be told whether codes start at 0 or 1; {give}, for example "
            "[0, 1]"
        )
    if values and values[0] < 0 and values != [-1, 1]:
        raise DataError(
            f"column {names} has the negative code {values[0]} among {', '.join(map(str, values[:6]))}; if it marks a "
            f"missing value, leave the cell empty or pass {advice(field, values[:1])}; if it is an option, {give}"
        )
    far = far_code(values)
    if far is not None:
        raise DataError(
            f"column {names} has the code {far}, far from the others ({', '.join(map(str, values[:-1][:6]))}); if it marks a "
            f"missing value, pass {advice(field, [far])}; if it is an option, {give}"
        )
    if values and values[0] in (0, 1) and values[-1] < 1000:
        # Options that nobody chose keep their codes.
        return tuple(range(values[0], values[-1] + 1))
    return tuple(values)
