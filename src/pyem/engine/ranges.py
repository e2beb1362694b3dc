"""Checks of the range of data: codes of options that a model cannot have, and response times in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.markers import advice, looks_like_marker
from pyem.errors import DataError, counted, list_of, shown, warn
from pyem.model.model import Model


def require_codes(model: Model, data: Dataset, name: str, n_codes: int) -> None:
    """Raise unless a column of `data` holds codes 0, 1, ... below `n_codes`.

    Raises
    ------
    DataError
        That names the value, its subject, and what to do.
    """
    # With the lane second, a mask picks whole vectors, too.
    codes, here = np.moveaxis(data.fields[name], -1, 1), data.present[name]
    # The registered models explain single choices; those of users may explain vectors.
    if codes.ndim > 2 and name in model.responses and model.recipe:
        raise DataError(
            f"column {name!r} has {codes[0, 0].size} values in each trial, but model {model.name!r} explains one; map one "
            f"column of the table to it, as in columns={{{name!r}: 'response'}}"
        )
    if (codes[here] % 1 != 0).any():
        raise DataError(
            f"column {name!r} has numbers, but model {model.name!r} needs codes of {n_codes} options from 0; "
            f"pass codes={{{name!r}: [<the value of each option, in order>]}}"
        )
    outside = (codes < 0) | (codes >= n_codes)
    bad = np.argwhere(here & outside.reshape(*here.shape, -1).any(-1))
    if len(bad):
        row, lane = bad[0]
        label = _label(data, name, int(codes[row, lane][outside[row, lane]].ravel()[0]))
        raise DataError(
            f"column {name!r} has code {label} for subject {shown(data.subjects[data.lane_subject[lane]])}, but model "
            f"{model.name!r} has {n_codes} options; {_remedy(model, data, name, n_codes)}"
        )


SLOW = 60.0
"""Seconds that half of the response times must exceed to be taken for milliseconds."""
FASTEST = 0.01
"""Share of the response times that may be faster than a thousandth of one that is taken for milliseconds."""


def require_seconds(model: Model, data: Dataset, name: str) -> None:
    """Raise unless a column of `data` holds response times in seconds.

    Warns
    -----
    FitWarning
        If single ones seem to be milliseconds, or all are missing.

    Raises
    ------
    DataError
        If those of all or of one person seem to be milliseconds, or one is not above 0.
    """
    times = seen_times(data, name)
    if not np.isfinite(times).any():
        _tell_of_no_times(model, name)
        return
    middle = float(np.nanmedian(times))
    if middle > SLOW:
        raise DataError(
            f"column {name!r} has a median of {middle:g}, but model {model.name!r} needs response times in seconds; if these "
            f"are milliseconds, divide them by 1000: frame[{name!r}] / 1000 in Python, or that column of the file itself"
        )
    _require_seconds_of_each(data, name, times)
    bad = np.argwhere(times <= 0)
    if len(bad):
        row, lane = bad[0]
        raise DataError(
            f"column {name!r} has {times[row, lane]:g} for subject {shown(data.subjects[data.lane_subject[lane]])} ({len(bad)} "
            f"such trials in all), but response times are above 0; leave the cell empty where there was no response in time"
        )
    _tell_of_single_milliseconds(data, name, times)


def seen_times(data: Dataset, name: str) -> np.ndarray:
    """The times of a column, (trial, lane), NaN where there is none."""
    return np.where(data.present[name] & data.valid, data.fields[name], np.nan)


def place(data: Dataset, row: int, lane: int) -> str:
    """The words for a trial: its subject, its number, and its block if the subject has several.

    Examples
    --------
    >>> import pyem
    >>> place(pyem.Dataset.from_arrays({"choice": [[[0, 1]], [[1, 1]]]}, subjects=["a", "b"]), 1, 0)
    "subject 'a' on trial 2"
    """
    person = data.lane_subject[lane]
    block = f" of block {shown(data.lane_block[lane])}" if (data.lane_subject == person).sum() > 1 else ""
    return f"subject {shown(data.subjects[person])} on trial {row + 1}{block}"


def _tell_of_no_times(model: Model, name: str) -> None:
    """Warn that there is no response time at all."""
    warn(
        f"column {name!r} is empty on all trials, so that model {model.name!r} explains other responses alone, which do not "
        "tell all of its parameters; fill in the response times, or take a model of choices"
    )


def require_in_time(model: Model, data: Dataset, names: tuple[str, str], deadline: tuple[float, int]) -> None:
    """Raise unless responses with a time came by the deadline of the model.

    Parameters
    ----------
    model
        The model.
    data
        The data.
    names
        Columns of the choice and of its time.
    deadline
        Seconds, and the code of the option that there was no response in time, whose time is not looked at.

    Raises
    ------
    DataError
        That names the time, its subject, and what to do.
    """
    (choice, rt), (end, untimed) = names, deadline
    there = data.present[choice] & data.present[rt] & data.valid & (data.fields[choice] != untimed)
    late = np.argwhere(there & (data.fields[rt] > end))
    if len(late):
        row, lane = late[0]
        raise DataError(
            f"column {rt!r} has {data.fields[rt][row, lane]:g} for {place(data, row, lane)} "
            f"({counted(len(late), 'such response')} in all), but model {model.name!r} has a deadline of {end:g} s; make it "
            f"one that did not come in time ({choice!r} with code {untimed}), leave {choice!r} empty, or take a later deadline"
        )


def _require_seconds_of_each(data: Dataset, name: str, times: np.ndarray) -> None:
    """Raise if a block of somebody has milliseconds, where most others have seconds."""
    late = np.flatnonzero((times > SLOW).any(0))
    middles = {int(lane): float(np.nanmedian(times[:, lane])) for lane in late}
    wrong = {lane: middle for lane, middle in middles.items() if middle > SLOW}
    if not wrong:
        return
    lane, middle = next(iter(wrong.items()))
    people = len({int(data.lane_subject[one]) for one in wrong})
    raise DataError(
        f"column {name!r} has a median of {middle:g} in a block of subject {shown(data.subjects[data.lane_subject[lane]])} "
        f"({counted(people, 'subject')} in all), while it is seconds for most others; if these are milliseconds, divide "
        "those rows by 1000"
    )


def _tell_of_single_milliseconds(data: Dataset, name: str, times: np.ndarray) -> None:
    """Warn of single responses that took far too long, and as milliseconds would be as long as the others."""
    long = times > SLOW
    if not long.any():
        return
    others = times[np.isfinite(times) & ~long]
    as_others = long & (times / 1000 >= np.quantile(others, FASTEST)) & (times / 1000 <= others.max())
    if not as_others.any():
        return
    row, lane = np.argwhere(as_others)[0]
    time, n = float(times[row, lane]), int(as_others.sum())
    warn(
        f"column {name!r} has {time:g} for {place(data, row, lane)} ({counted(n, 'such response')} in all), "
        f"while most others are around {float(np.median(others)):.3g}: it counts as {time:g} seconds; if it is milliseconds, "
        f"write {time / 1000:g}, and if nobody was at the task, leave the cell empty"
    )


def _label(data: Dataset, name: str, code: int) -> Any:
    return data.codes[name][code] if name in data.codes else code


def _remedy(model: Model, data: Dataset, name: str, n_codes: int) -> str:
    codes = np.moveaxis(data.fields[name], -1, 1)[data.present[name]]
    used = [_label(data, name, int(code)) for code in np.unique(codes)]
    markers = [label for label in used if looks_like_marker(label)]
    if name in data.codes and markers and len(used) - len(markers) <= n_codes:
        # The message does not suggest one more option, because that would make people fit nonsense.
        return f"if {' and '.join(map(repr, markers))} marks a missing value, pass {advice(name, markers)}"
    if name in data.codes and [str(label) for label in used] == [str(k) for k in range(n_codes + 1)]:
        return (
            f"if {used[0]!r} marks a missed response, pass {advice(name, used[:1])}; if it is an option like the others, the "
            "model was made for one too few"
        )
    if name not in data.codes and len(used) <= n_codes:
        which = used if len(used) == n_codes else f"[<all {n_codes} values; the data have {list_of(used)}>]"
        return f"say which values are its codes, in order: codes={{{name!r}: {which}}} (--codes on the command line)"
    return "recode it" + (_more_options(model, int(codes.max()) + 1) if name in model.responses else "")


def _more_options(model: Model, n: int) -> str:
    # A regression of yes or no has two options whatever the data.
    return f" or make the model with options={n}" if model.autoscale is None else " as 0 and 1"
