"""Detection of trials that are missing from a table, by jumps of the trial numbers."""

from __future__ import annotations

import numpy as np

from pyem.data.columns import Where
from pyem.errors import counted


def gap_notes(
    who: np.ndarray, lane: np.ndarray, number: np.ndarray, where: Where, order: np.ndarray | None = None
) -> list[str]:
    """A note where trial numbers jump.

    Parameters
    ----------
    who, lane
        Index of the person, and of the lane, of each row, (row,).
    number
        Trial numbers, (row,). They may be counted anew in each block, or through all blocks of a person.
    where
        Says whose row it is.
    order
        Indices that sort rows by lane and number; None if they are sorted.

    Examples
    --------
    >>> who = np.zeros(4, int)
    >>> gap_notes(who, who, np.array([1, 2, 5, 6]), lambda row: f"(row {row + 1})")
    ['trial numbers jump for 1 subject: 2 trials are not in the table, the first before trial 5 (row 3); if they were missed, \
keep their rows with empty cells']
    """
    if number.dtype.kind not in "iu":
        return []
    lanes, numbers = (lane, number) if order is None else (lane[order], number[order])
    within = steps(numbers)[lanes[1:] == lanes[:-1]]
    if not len(within) or (within == within[0]).all():
        return []
    through = np.lexsort((number, who))
    twice = _same(who[through]) & _same(number[through])
    key, order = (lane, np.lexsort((number, lane))) if twice.any() else (who, through)
    same = _same(key[order])
    jump = steps(number[order])[same]
    usual = int(jump.min())
    jumps = jump > usual
    # Where most steps differ, the numbers count something else, such as milliseconds.
    if not jumps.any() or jumps.mean() > 0.5 or (jump % usual).any():
        return []
    rows = order[1:][same][jumps]
    first = int(rows.min())
    people = len(np.unique(who[rows]))
    gone = int((jump[jumps] // usual - 1).sum())
    are = "trial is" if gone == 1 else "trials are"
    return [
        f"trial numbers jump for {counted(people, 'subject')}: {gone} {are} not in the table, the first before trial "
        f"{number[first]} {where(first)}; if they were missed, keep their rows with empty cells"
    ]


def steps(numbers: np.ndarray) -> np.ndarray:
    """Differences between successive numbers, in a type that holds them."""
    wider = {1: np.int16, 2: np.int32}.get(numbers.dtype.itemsize, np.int64)
    return np.subtract(numbers[1:], numbers[:-1], dtype=wider)


def _same(values: np.ndarray) -> np.ndarray:
    return values[1:] == values[:-1]
