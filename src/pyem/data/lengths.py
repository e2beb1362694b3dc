"""Grouping of lanes by similar length, so that the work follows the number of trials.

All lanes of one array are as long as the longest of them. Where one person has a hundred times as many trials as the others,
everybody's array would grow to that length. Lengths are therefore cut into ranges, as few as pay for themselves, because the
code for every range is compiled on its own. People whose longest lanes are in the same range make a group; where their other
lanes are much shorter, these are kept apart within the group.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SPARED = 1 << 16
"""Least number of trials that another range of lengths must spare; padding for fewer costs less than compiling again."""
SHARE = 0.2
"""Least share of all trials that another range of lengths must spare."""
STEP_LANES = 64
"""Number of lanes whose work costs as much as one step of the loop over trials itself."""


class Group(NamedTuple):
    """People who are computed together."""

    subjects: np.ndarray
    """Indices of the subjects, ascending, (subject,)."""
    lanes: tuple[np.ndarray, ...]
    """Indices of their lanes, ascending, in one array or in several by length, the longest first; each (lane,)."""
    n_trials: tuple[int, ...]
    """Number of trials of the longest lane in each array."""


def bucket(n: int) -> int:
    """Round `n` up to one of four sizes per octave, so that similar data share a compilation."""
    if n <= 4:
        return n
    step = 1 << (n.bit_length() - 3)
    return -(-n // step) * step


def lane_lengths(valid: np.ndarray) -> np.ndarray:
    """Number of trials of each lane up to the last real one, (lane,), from where trials are real, (trial, lane)."""
    if len(valid) and valid[-1].all():
        return np.full(valid.shape[1], len(valid))
    return np.where(valid.any(0), len(valid) - np.argmax(valid[::-1], axis=0), 0)


def groups(lengths: np.ndarray, lane_subject: np.ndarray, padded: int, step_lanes: int = STEP_LANES) -> list[Group]:
    """Put people into groups by the length of their longest lane, the longest first; one group if lengths are similar.

    Parameters
    ----------
    lengths
        Trials of each lane, (lane,).
    lane_subject
        Index of the subject of each lane, ascending, (lane,).
    padded
        Number of trials that the arrays of the data have: if everybody is of one group, and this is not much more than the
        longest lane, the arrays stay as they are.
    step_lanes
        See `STEP_LANES`.
    """
    n_subjects = int(lane_subject[-1]) + 1
    longest = np.zeros(n_subjects, int)
    np.maximum.at(longest, lane_subject, lengths)
    of_subject = np.searchsorted(ranges(lengths, step_lanes), longest)
    found = []
    for k in np.unique(of_subject)[::-1]:
        lanes = np.flatnonzero(of_subject[lane_subject] == k)
        # Lanes that are much shorter than the longest of the same people are kept apart.
        of_lane = np.searchsorted(ranges(lengths[lanes], step_lanes, of=int(lengths.sum())), lengths[lanes])
        parts = tuple(lanes[of_lane == j] for j in np.unique(of_lane)[::-1])
        n_trials = tuple(max(1, int(lengths[part].max())) for part in parts)
        found.append(Group(np.flatnonzero(of_subject == k), parts, n_trials))
    if len(found) == 1 and 2 * found[0].n_trials[0] > padded:
        found[0] = found[0]._replace(n_trials=(padded, *found[0].n_trials[1:]))
    return found


def ranges(lengths: np.ndarray, step_lanes: int = STEP_LANES, *, of: int | None = None) -> np.ndarray:
    """Longest length of each range, ascending, for the least work in all, with padding and compilation.

    Parameters
    ----------
    lengths
        Trials of each lane, (lane,).
    step_lanes
        See `STEP_LANES`.
    of
        Trials of all data, if these are not all lanes.

    Examples
    --------
    >>> ranges(np.array([60] * 2000 + [6000])).tolist()
    [64, 6144]
    >>> ranges(np.array([80, 96] * 1000)).tolist()
    [96]
    """
    distinct, times = np.unique(lengths, return_counts=True)
    ends, place = np.unique([bucket(max(1, int(n))) for n in distinct], return_inverse=True)
    counts = np.bincount(place, times)
    price = max(SPARED, SHARE * float(lengths.sum() if of is None else of))
    before = np.concatenate([[0], np.cumsum(counts)])
    least, start = np.zeros(len(ends) + 1), np.zeros(len(ends) + 1, int)
    for j in range(1, len(ends) + 1):
        # The last range holds the sizes from i on.
        costs = least[:j] + float(ends[j - 1]) * (before[j] - before[:j] + step_lanes) + price
        start[j] = int(np.argmin(costs))
        least[j] = costs[start[j]]
    cuts, j = [], len(ends)
    while j:
        cuts.append(ends[j - 1])
        j = start[j]
    return np.array(cuts[::-1])
