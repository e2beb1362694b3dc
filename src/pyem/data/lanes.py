"""Arrangement of a table's rows: sorted by lane and trial, and turned into arrays of trials by lanes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyem.data.coded import smallest
from pyem.data.columns import Where
from pyem.data.fields import column_names
from pyem.data.gaps import gap_notes, steps
from pyem.data.identifiers import run_starts
from pyem.data.ragged import RaggedFields, is_sparse
from pyem.errors import DataError
from pyem.numerics.threads import abreast, n_cores

LANES = 512
"""Number of lanes that are turned at a time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Order of the rows: `rows` are sorted by lane and trial; each lane begins at `starts` and has `lengths` rows.

    There are no `rows` if those of the table are sorted already.
    """

    rows: np.ndarray | None
    starts: np.ndarray
    lengths: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """First row of each lane."""
        return self.starts if self.rows is None else self.rows[self.starts]

    def first_of(self, here: np.ndarray) -> int:
        """The first of the sorted rows for which `here` is true."""
        return int(np.argmax(here) if self.rows is None else self.rows[np.argmax(here[self.rows])])

    def sorted(self, values: np.ndarray) -> np.ndarray:
        """Values (row, ...) in the order of lanes and trials."""
        return values if self.rows is None else values[self.rows]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of trials of the longest lane, and number of lanes."""
        return int(self.lengths.max()), len(self.lengths)

    @functools.cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Position and lane of each of the sorted rows."""
        lane = np.repeat(np.arange(len(self.starts)), self.lengths)
        return np.arange(len(lane)) - np.repeat(self.starts, self.lengths), lane

    @functools.cached_property
    def sparse(self) -> bool:
        """Whether arrays of all lanes would be padding for the most part."""
        return is_sparse(self.shape[0], self.lengths)

    def together(
        self, values: dict[str, np.ndarray], fills: Mapping[str, Any], whole: Any = None
    ) -> Mapping[str, np.ndarray]:
        """Arrange arrays (row, ...) by name as (trial, ..., lane); if most would be padding, that is made only when needed.

        Whole numbers become those of type `whole`. The arrays are taken out of `values`, which memory may not hold twice.
        """
        made, names = {}, list(values)
        # The largest field comes first, while few of the others exist twice.
        for name in sorted(names, key=lambda name: -values[name].nbytes):
            array = values.pop(name)
            kind = whole if whole is not None and array.dtype.kind == "i" else array.dtype
            made[name] = (
                self.sorted(array).astype(kind, copy=False) if self.sparse else self.scatter(array, fills[name], kind)
            )
        made = {name: made[name] for name in names}
        return RaggedFields(self.shape[0], self.lengths, made, fills) if self.sparse else made

    def scatter(self, values: np.ndarray, fill: Any = 0, kind: Any = None) -> np.ndarray:
        """Arrange values (row, ...) as (trial, ..., lane), in another type if `kind` is given."""
        n_trials, n_lanes = self.shape
        even = len(values) == n_trials * n_lanes
        if even and values.dtype == bool and values.all():
            return np.ones((n_trials, *values.shape[1:], n_lanes), bool)
        out = np.empty((n_trials, *values.shape[1:], n_lanes), values.dtype if kind is None else kind)
        lanes_second = np.moveaxis(out, -1, 1)
        sorted_rows = self.sorted(values)
        if not even:
            lanes_second[...] = fill
            lanes_second[self.places] = sorted_rows
            return out
        # Lanes of the same length, as most experiments have them, are only turned around, as many as stay in the cache.
        turned = np.moveaxis(sorted_rows.reshape(n_lanes, n_trials, *values.shape[1:]), 0, 1)

        def turn(first: int) -> None:
            for start in range(first, min(first + share, n_lanes), LANES):
                lanes_second[:, start : start + LANES] = turned[:, start : start + LANES]

        # A core takes a share at once: handing out small ones takes as long as the work itself.
        share = LANES * max(1, -(-n_lanes // (LANES * n_cores())))
        list(abreast(turn, range(0, n_lanes, share)))
        return out


def lay_out(
    who: np.ndarray,
    which: np.ndarray,
    number: np.ndarray | None,
    where: Where,
    *,
    block: list[str],
    trial: str | None,
    row: Callable[[int], str],
) -> tuple[Layout, list[str]]:
    """Return the order of the rows, and notes on rows that are out of order or missing.

    Parameters
    ----------
    who, which
        Index of each row's person and block, (row,).
    number
        Trial numbers, (row,); None if the order of the rows counts.
    where
        Says whose row it is, for messages.
    block, trial
        The columns of blocks and trials.
    row
        Says which row of the table it is.

    Raises
    ------
    DataError
        If a trial is there twice.
    """
    starts = run_starts(who, which)
    in_turn = bool((np.diff(lane_keys(who[starts], which[starts])) > 0).all())
    if in_turn and (number is None or _rise_alike(starts, number)):
        return Layout(None, starts, np.diff(starts, append=len(who))), []
    key = lane_keys(who, which)
    notes: list[str] = []
    order = None if in_turn else np.argsort(key, kind="stable")
    if order is not None:
        notes += _block_notes(who, which, where, block)
    if number is not None:
        lanes, numbers = (key, number) if order is None else (key[order], number[order])
        back = np.flatnonzero((lanes[1:] == lanes[:-1]) & (numbers[1:] < numbers[:-1])) + 1
        if len(back):
            back = back if order is None else order[back]
            order = np.lexsort((number, key))
            notes.append(
                f"trials were sorted by {trial!r} within their block: those {where(int(back.min()))} and after "
                f"({len(np.unique(who[back]))} subjects in all) are out of order in the table"
            )
            lanes, numbers = key[order], number[order]
        _no_duplicates(lanes, numbers, order, where, block, trial, row)
        notes += gap_notes(who, key, number, where, order)
    starts = starts if order is None else run_starts(key[order])
    return Layout(order, starts, np.diff(starts, append=len(who))), notes


def lane_keys(who: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Number of each row's lane: the blocks of one person come after those of the person before.

    Examples
    --------
    >>> lane_keys(np.array([0, 0, 1]), np.array([0, 1, 0])).tolist()
    [0, 1, 2]
    """
    per_person = int(which.max()) + 1
    return who.astype(smallest(per_person * (int(who.max()) + 1))) * per_person + which


def _rise_alike(starts: np.ndarray, number: np.ndarray) -> bool:
    """Whether the numbers of every lane rise by the same step, so that nothing is out of order, repeated or missing."""
    if number.dtype.kind not in "iu":
        return False
    rise = steps(number)
    within = np.ones(len(number) - 1, bool)
    within[starts[1:] - 1] = False
    usual = rise[np.argmax(within)] if within.any() else 1
    return bool(usual > 0 and ((rise == usual) | ~within).all())


def _block_notes(who: np.ndarray, which: np.ndarray, where: Where, block: list[str]) -> list[str]:
    by_subject = np.argsort(who, kind="stable")
    back = by_subject[1:][(np.diff(who[by_subject]) == 0) & (np.diff(which[by_subject]) < 0)]
    if not len(back):
        return []
    return [
        f"blocks were sorted by {column_names(block)}: those {where(int(back.min()))} ({len(np.unique(who[back]))} subjects in "
        "all) are interleaved or out of order in the table"
    ]


def _no_duplicates(
    lanes: np.ndarray,
    numbers: np.ndarray,
    order: np.ndarray | None,
    where: Where,
    block: list[str],
    trial: str | None,
    row: Callable[[int], str],
) -> None:
    same = np.flatnonzero((lanes[1:] == lanes[:-1]) & (numbers[1:] == numbers[:-1]))
    if len(same):
        twice = numbers[same[0]]
        first = int(same[0])
        one, other = (first, first + 1) if order is None else sorted(int(k) for k in order[first : first + 2])
        blocks = "" if block else ", or name the column of the blocks with block="
        raise DataError(
            f"trial {twice} (column {trial!r}) is there twice {where(other)}, first in row {row(one)}; every subject "
            f"has a trial once in a block: remove the duplicate{blocks}; if a trial has several rows, such as one for its "
            f"outcome, pass join_rows_by={trial!r} (--join-rows-by {trial})"
        )
