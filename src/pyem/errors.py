"""What goes wrong with data, models, fits and criteria, and how messages name things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class ModelError(ValueError):
    """A model is not well-formed; the message names the function at fault and what it should return."""


class FitWarning(UserWarning):
    """Something about a fit that its user should know; the message names the subjects."""


class DataError(ValueError):
    """The data are not what was expected; the message names the column, the subject and the remedy.

    Examples
    --------
    >>> issubclass(DataError, ValueError)
    True
    """


def shown(label: Any) -> str:
    """A label for messages: text in quotes, numbers plain.

    Examples
    --------
    >>> shown("s1"), shown(np.int64(7))
    ("'s1'", '7')
    """
    return repr(label.item() if isinstance(label, np.generic) else label)


def list_of(labels: Sequence[Any], most: int = 8) -> str:
    """Labels for messages, the first few and the last of many."""
    first = ", ".join(map(repr, labels[:most]))
    return first + (f", ... {labels[-1]!r}" if len(labels) > most else "")


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun, singular or plural.

    Examples
    --------
    >>> counted(1, "subject"), counted(3, "subject"), counted(2, "person", "people")
    ('1 subject', '3 subjects', '2 people')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"


class Unavailable(ValueError):
    """A method of inference does not give what was asked of its fit; the message names the method that does.

    Examples
    --------
    >>> issubclass(Unavailable, ValueError), issubclass(UndefinedCriterion, Unavailable)
    (True, True)
    """


class UndefinedCriterion(Unavailable):
    """A fit has no such criterion; the message says why."""
