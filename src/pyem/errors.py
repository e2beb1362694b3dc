"""Errors and warnings about data, models, fits and criteria, and helpers that word their messages."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np


class ModelError(ValueError):
    """Raised for a malformed model; the message names the function at fault and what it should return."""


class FitWarning(UserWarning):
    """Warning about a fit; the message names the subjects."""


class DataError(ValueError):
    """Raised for unexpected data; the message names the column, the subject and the remedy.

    Examples
    --------
    >>> issubclass(DataError, ValueError)
    True
    """


def shown(label: Any) -> str:
    """Format a label for messages: text in quotes, numbers plain.

    Examples
    --------
    >>> shown("s1"), shown(np.int64(7))
    ("'s1'", '7')
    """
    return repr(label.item() if isinstance(label, np.generic) else label)


def list_of(labels: Sequence[Any], most: int = 8) -> str:
    """List labels for messages, the first few and the last of many."""
    first = ", ".join(map(repr, labels[:most]))
    return first + (f", ... {labels[-1]!r}" if len(labels) > most else "")


def counted(n: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun, singular or plural.

    Examples
    --------
    >>> counted(1, "subject"), counted(3, "subject"), counted(2, "person", "people")
    ('1 subject', '3 subjects', '2 people')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"


class Unavailable(ValueError):
    """Raised if a method of inference does not give what was asked of its fit; the message names one that does.

    Examples
    --------
    >>> issubclass(Unavailable, ValueError), issubclass(UndefinedCriterion, Unavailable)
    (True, True)
    """


class UndefinedCriterion(Unavailable):
    """Raised if a criterion is not defined for a fit; the message says why."""


def warn(text: str, category: type[Warning] = FitWarning) -> None:
    """Warn at the line outside this library that led to the warning."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "pyem":
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


def require_whole(**numbers: tuple[Any, int]) -> None:
    """Raise unless each value is a whole number, and no less than the number beside it."""
    for name, (value, least) in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ValueError(f"{name}={value!r}; a whole number is expected")
        if value < least:
            raise ValueError(f"{name}={value}; at least {least} is needed")


def require_number(**numbers: tuple[Any, float]) -> None:
    """Raise unless each value is a finite number, and no less than the number beside it.

    Examples
    --------
    >>> require_number(tol=(float("nan"), 0))
    Traceback (most recent call last):
        ...
    ValueError: tol=nan; a finite number of at least 0 is needed
    """
    for name, (value, least) in numbers.items():
        if not (isinstance(value, int | float | np.number) and least <= value < np.inf):
            raise ValueError(f"{name}={value!r}; a finite number of at least {least:g} is needed")


class _Kind(NamedTuple):
    """A kind of argument: classes of which it may be, and the words for another one."""

    classes: tuple[str, ...]
    """Names of classes of this library, which the lowest room cannot import."""
    wanted: str
    remedy: str
    error: type[Exception] = TypeError
    part: str = ""
    """The attribute in which other things have one."""


_DESIGN = "a model, or a design made by pyem.regress, is expected"
_KINDS = {
    "design": _Kind(("Model", "Regression"), _DESIGN, "pyem.models.get makes one by its name", ModelError, "model"),
    "model": _Kind(("Model",), "a model is expected", "pyem.models.get makes one by its name", ModelError, "model"),
    "data": _Kind(
        ("Dataset", "PartitionedDataset"),
        "a Dataset is expected",
        "pyem.Dataset.read makes one of a file, pyem.Dataset.from_frame of a table, pyem.Dataset.from_arrays of arrays",
        DataError,
        "data",
    ),
    "fit": _Kind(
        ("PointFit", "SampleFit", "GridFit", "HBIFit"), "a fit is expected", "pyem.fit_em and its like make one"
    ),
    "recovery": _Kind(("Recovery",), "a recovery study is expected", "pyem.recovery makes one"),
    "confusion": _Kind(("Confusion",), "a study of model recovery is expected", "pyem.confusion makes one"),
    "power": _Kind(("Power",), "a power study is expected", "pyem.power makes one"),
    "calibration": _Kind(("Calibration",), "a calibration study is expected", "pyem.calibration makes one"),
    "frequencies": _Kind(
        ("ModelFrequencies", "HBIFit", "GroupDifference", "ConditionDifference"),
        "frequencies of models are expected",
        "pyem.random_effects_bms and pyem.fit_hbi make them",
    ),
    "attribution": _Kind(
        ("ModelFrequencies", "HBIFit"),
        "people's probabilities of models are expected",
        "pyem.random_effects_bms and pyem.fit_hbi find them",
    ),
    "table": _Kind(("DataFrame",), "a table is expected", "pyem.compare_fits and fit.effects() make such tables"),
}


def require_kind(kind: str, *values: Any) -> None:
    """Raise unless each value is of a kind, such as a "model", "data" or a "fit".

    Examples
    --------
    >>> require_kind("model", "rw1a1b")
    Traceback (most recent call last):
        ...
    pyem.errors.ModelError: a model is expected, but 'rw1a1b' was given; pyem.models.get makes one by its name
    """
    for value in values:
        if not _is(kind, value):
            _, wanted, remedy, error, part = _KINDS[kind]
            # A fit has a model and data, a simulation and a design have a model.
            if part and _is(kind, getattr(value, part, None)):
                remedy = f"its {part} is in .{part}"
            raise error(f"{wanted}, but {told_briefly(value)} was given; {remedy}")


def _is(kind: str, value: Any) -> bool:
    known = {one.__name__ for one in type(value).__mro__ if one.__module__.partition(".")[0] in ("pyem", "pandas")}
    return not known.isdisjoint(_KINDS[kind].classes)


def told_briefly(value: Any) -> str:
    """Describe a value for messages: one that is short as it is written, others by their class."""
    if value is None or isinstance(value, str | int | float | complex | np.number):
        return f"{shown(value):.60}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' or name.startswith('ndarray') else 'a'} {name}"


def require_method(fit: Any) -> None:
    """Raise unless `fit` can be called with a model and data, as the methods of inference can.

    Examples
    --------
    >>> require_method("em")
    Traceback (most recent call last):
        ...
    TypeError: fit='em': a function of a model and data is expected, such as pyem.fit_em; leave it out for the usual one
    """
    if not callable(fit):
        raise TypeError(
            f"fit={told_briefly(fit)}: a function of a model and data is expected, such as pyem.fit_em; leave it out for the "
            "usual one"
        )


Function = TypeVar("Function", bound=Callable[..., Any])


def renamed(**names: str) -> Callable[[Function], Function]:
    """A decorator for a function whose arguments have new names: the older ones still work, with a DeprecationWarning.

    Examples
    --------
    >>> @renamed(max_steps="max_iter")
    ... def fit(*, max_iter=200):
    ...     return max_iter
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", DeprecationWarning)
    ...     fit(max_steps=5)
    5
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old in [name for name in kwargs if name in names]:
                _take_over(function.__name__, old, names[old], kwargs)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def without(**texts: str) -> Callable[[Function], Function]:
    """A decorator for a function without arguments that others of its kind have: explains what to use instead.

    None is taken: elsewhere it means the same as leaving the argument out.

    Examples
    --------
    >>> @without(priors="there is no prior; fit_map has one")
    ... def fit_mle():
    ...     return "fitted"
    >>> fit_mle(priors=None)
    'fitted'
    >>> fit_mle(priors={})
    Traceback (most recent call last):
    TypeError: fit_mle takes no priors=: there is no prior; fit_map has one
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for name in [name for name in kwargs if name in texts]:
                if kwargs.pop(name) is not None:
                    raise TypeError(f"{function.__name__} takes no {name}=: {texts[name]}")
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def _take_over(function: str, old: str, new: str, arguments: dict[str, Any]) -> None:
    if new in arguments:
        raise TypeError(f"{function} was given {old}= and {new}=, which are the same; leave {old} out")
    warn(f"{function}: {old}= is now called {new}=, and the older name will go; write {new}=", DeprecationWarning)
    arguments[new] = arguments.pop(old)
