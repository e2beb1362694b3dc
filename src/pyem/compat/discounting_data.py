"""Defaults of the discounting tasks of pyEM, and the forms in which their data are given."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

DEFAULT_SOCIAL_DISTS = np.array([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0])
DEFAULT_DELAYS = DEFAULT_SOCIAL_DISTS.copy()
DEFAULT_PROBS = np.array([0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05])
DEFAULT_EFFORT_LEVELS = np.arange(1.0, 8.0)
PED_EFFORT_LEVELS = np.tile(DEFAULT_EFFORT_LEVELS, 2)
PED_BENEFICIARY = np.repeat([0, 1], 7)
BENEFICIARY_LABELS = {0: "self", 1: "other"}

TASK1_PAYOUTS = np.array([[[own, 0.0], [75.0, 75.0]] for own in range(155, 74, -10)])
"""(trial, option, self or other): a selfish amount against 75 for both."""
TD_PAYOUTS = np.array([[small, 155.0] for small in range(145, 24, -15)])
"""(trial, option): a small amount at no cost against a large one."""
PRD_PAYOUTS = TD_PAYOUTS.copy()
ED_PAYOUTS = TD_PAYOUTS.copy()
PED_PAYOUTS = TD_PAYOUTS.copy()


@dataclasses.dataclass(frozen=True)
class Words:
    """Words for the options 0 and 1, the usual ones first.

    Examples
    --------
    >>> Words(("low", "rest"), ("high",)).codes([["Low ", "high", None]])
    array([[ 0,  1, -1]])
    """

    first: tuple[str, ...]
    second: tuple[str, ...]

    @property
    def labels(self) -> dict[int, str]:
        """The usual word of each code."""
        return {0: self.first[0], 1: self.second[0]}

    @property
    def meanings(self) -> dict[str, int]:
        """The code of each word."""
        return {word: code for code, words in enumerate((self.first, self.second)) for word in words}

    def said(self, codes: np.ndarray) -> np.ndarray:
        """Convert codes to the usual words."""
        return np.array([self.first[0], self.second[0]], object)[codes]

    def codes(self, choices: Any) -> np.ndarray:
        """Codes (B, T) of choices in words, numbers or truth values; -1 where missing.

        Raises
        ------
        ValueError
            If they are not of blocks and trials, or there is another word or number.
        """
        array = np.asarray(choices)
        if array.ndim != 2:
            raise ValueError(f"choices must have shape (nblocks, ntrials), but have {array.shape}")
        return np.array([[self._code(value) for value in row] for row in array.tolist()], int)

    def _code(self, value: Any) -> int:
        if value is None or value != value or type(value).__name__ == "NAType":
            return -1
        if isinstance(value, str):
            code = self.meanings.get(value.strip().lower())
            if code is None:
                raise ValueError(f"choices have the word {value!r}; expected one of {', '.join(self.meanings)}")
            return code
        if value not in (0, 1):
            raise ValueError(f"Numeric choices must be coded as 0 or 1, but there is {value!r}")
        return int(value)


def block_values(name: str, values: Any, n_blocks: int | None = None) -> np.ndarray:
    """One value for each block, (B,).

    Raises
    ------
    ValueError
        If they are of another shape or out of range.
    """
    array = np.asarray(values, float)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must have shape (nblocks,), one value for each block, but have {array.shape}")
    if n_blocks is not None and len(array) != n_blocks:
        raise ValueError(f"{name} have {len(array)} values, but there are {n_blocks} blocks of choices")
    if name == "probs" and not ((array > 0) & (array <= 1)).all():
        raise ValueError(f"probs values must be in (0, 1], but are {array}")
    if not (array > 0).all():
        raise ValueError(f"{name} values must be > 0, but are {array}")
    return array


def payouts_given(payouts: Any, n_blocks: int, *, social: bool) -> np.ndarray:
    """Payouts of every block, (B, T, 2) or (B, T, 2, 2).

    Raises
    ------
    ValueError
        If they have another shape.
    """
    array, inner = np.asarray(payouts, float), 2 if social else 1
    if array.ndim == inner + 1:
        array = array[None]
    if array.ndim != inner + 2 or array.shape[2:] != (2,) * inner or array.shape[0] not in (1, n_blocks):
        shape = "(ntrials, 2, 2) or (nblocks, ntrials, 2, 2)" if social else "(ntrials, 2) or (nblocks, ntrials, 2)"
        raise ValueError(f"payouts must have shape {shape} with {n_blocks} blocks, but have {np.shape(payouts)}")
    return np.repeat(array, n_blocks, axis=0) if len(array) == 1 else array


def whose_turn(beneficiary: Any, n_blocks: int) -> np.ndarray:
    """Recipient of each block's reward, 0 oneself or 1 another person, (B,).

    Raises
    ------
    ValueError
        If it is of another shape or has other codes.
    """
    array = np.asarray(beneficiary)
    if array.shape != (n_blocks,):
        raise ValueError(f"beneficiary must have shape ({n_blocks},), one entry for each block, but has {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"beneficiary entries must be 0 (self) or 1 (other), but are {array}")
    return array.astype(int)
