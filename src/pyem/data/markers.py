"""Values that mark a missing one, such as "no response" or 999: those that were named, and those that look like one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyem.data.columns import parsed
from pyem.errors import DataError

_WORDS = {
    *("na", "nan", "none", "null", "nil", "nr", "empty", "void", "undefined", "invalid"),
    *("missing", "missed", "miss", "omission", "omitted", "skip", "skipped"),
    *(
        "noresponse",
        "noresp",
        "norsp",
        "noresponsegiven",
        "noanswer",
        "nochoice",
        "notanswered",
        "unanswered",
        "norating",
    ),
    *("timeout", "timedout", "tooslow", "late", "toolate"),
}
_FAR = {99, 999, 9999, 99999, 88, 888, 8888, 77, 777, 7777}


def looks_like_marker(label: Any) -> bool:
    """Whether a label of an option looks like a marker of a missing response.

    Examples
    --------
    >>> [looks_like_marker(label) for label in ("no response", "--", 999, -1, "left", 2)]
    [True, True, True, True, False, False]
    """
    value = parsed(label)
    if not np.isnan(value):
        return value < 0 or value in _FAR
    word = re.sub(r"[\W_]", "", str(label)).casefold()
    return word == "" or word in _WORDS


def advice(field: str, labels: Sequence[Any]) -> str:
    """Advice on how to declare labels that mark missing values.

    Examples
    --------
    >>> advice("choice", ["no response"])
    "missing={'choice': ['no response']} (--missing on the command line)"
    """
    shown = [label.item() if isinstance(label, np.generic) else label for label in labels]
    return f"missing={{{field!r}: {shown!r}}} (--missing on the command line)"


def listed(values: Mapping[str, Any] | None, known: Sequence[str], option: str = "missing") -> dict[str, list[Any]]:
    """Values that mark a missing one in each column, always as a list.

    Raises
    ------
    DataError
        If there is no such column, or no mapping.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise DataError(
            f"{option}={values!r}; expected values by column, as in {option}={{'choice': ['no response', 0]}}"
        )
    unknown = [name for name in values if name not in known]
    if unknown:
        raise DataError(
            f"{option}= names {', '.join(map(repr, unknown))}, but the mapped columns are {list(known)}; name one of these"
        )
    return {name: _as_list(value) for name, value in values.items()}


def _as_list(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) else list(value)


def far_code(values: Sequence[int]) -> int | None:
    """The last of ascending codes, if it is far from the others as markers of missing values are.

    Examples
    --------
    >>> far_code([1, 2, 999]), far_code([1, 2, 3]), far_code([97, 98, 99])
    (999, None, None)
    """
    return values[-1] if len(values) > 1 and values[-1] in _FAR and values[-2] < 20 else None


def marker_notes(marked: Mapping[str, tuple[int, Sequence[Any]]]) -> list[str]:
    """Notes on values read as missing: for each column of the table the number of cells, and the markers."""
    return [
        f"column {name!r}: {n} {'cell that is' if n == 1 else 'cells that are'} {' or '.join(map(repr, markers))} "
        f"{'is' if n == 1 else 'are'} taken as missing"
        for name, (n, markers) in marked.items()
        if n
    ]


def option_notes(name: str, labels: Sequence[Any]) -> list[str]:
    """A note where one of the options of a coded column looks like a marker."""
    found = [label for label in labels if isinstance(label, str) and looks_like_marker(label)]
    if not found or len(found) == len(labels):
        return []
    return [f"{name}: {found[0]!r} is taken as an option; if it marks a missed response, pass {advice(name, found)}"]
