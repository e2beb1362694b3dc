"""Guesses about the columns of a table, from their names and contents."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

WORDS: dict[str, tuple[str, ...]] = {
    "subject": (
        "subject",
        "subjectid",
        "subj",
        "subjid",
        "sub",
        "participant",
        "participantid",
        "person",
        "ppt",
        "pid",
        "id",
        "worker",
        "prolificid",
        "user",
    ),
    "block": ("block", "blocknumber", "run", "session", "game", "round", "phase"),
    "trial": ("trial", "trialnumber", "trialindex", "trialnum", "trialid", "trialno", "t"),
    "choice": ("choice", "response", "resp", "action", "chosen", "key", "keypress", "decision", "answer"),
    "reward": ("reward", "feedback", "outcome", "points", "payoff", "win", "won", "result", "gain"),
    "outcome": ("outcome", "result", "feedback", "reward"),
    "rt": ("rt", "responsetime", "reactiontime", "latency", "seconds"),
    "stimulus": ("stimulus", "stim", "cue", "condition", "image"),
    "rating": ("rating", "response", "answer", "judgement", "slider"),
}
"""Usual names of columns, without capitals and signs, the most usual ones first."""
CLOSE = 0.8
"""Similarity (by difflib) from which on names count as the same."""
MOST_LEVELS = 12
"""Largest number of values of a column that may be a condition."""


def bare(name: object) -> str:
    """A name without capitals and signs.

    Examples
    --------
    >>> bare("Participant_ID")
    'participantid'
    """
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def guessed(columns: Sequence[str], wanted: Sequence[str]) -> dict[str, str | None]:
    """Guess the column of the table for each wanted column; None where none seems to fit. Each column is used once.

    Examples
    --------
    >>> guessed(["id", "run", "key", "points"], ["subject", "block", "trial", "choice", "reward"])
    {'subject': 'id', 'block': 'run', 'trial': None, 'choice': 'key', 'reward': 'points'}
    """
    out: dict[str, str | None] = dict.fromkeys(wanted)
    free = list(columns)
    rules = (
        lambda name, column: column == name,
        lambda name, column: bare(column) == bare(name),
        *(lambda name, column, k=k: _word(name, k) == bare(column) for k in range(max(map(len, WORDS.values())))),
        lambda name, column: difflib.SequenceMatcher(None, bare(name), bare(column)).ratio() >= CLOSE,
    )
    for rule in rules:
        for name in (name for name in wanted if out[name] is None):
            found = next((column for column in free if rule(name, column)), None)
            if found is not None:
                out[name] = found
                free.remove(found)
    return out


def _word(name: str, k: int) -> str | None:
    words = WORDS.get(name, ())
    return words[k] if k < len(words) else None


def described(frame: pd.DataFrame) -> list[dict[str, object]]:
    """A row for each column of a table: what it holds, how many values it has and how many are missing."""
    rows = []
    for name in frame.columns:
        column: Any = frame[name]
        kind = "numbers" if column.dtype.kind in "iuf" else "yes and no" if column.dtype.kind == "b" else "text"
        known = column.dropna()
        first = ", ".join(map(str, known.unique()[:4]))
        rows.append(
            {
                "column": str(name),
                "holds": kind,
                "different values": int(known.nunique()),
                "missing": int(column.isna().sum()),
                "such as": first,
            }
        )
    return rows


def conditions(frame: pd.DataFrame, used: Mapping[str, str | None], subject: str | None) -> list[str]:
    """Columns that parameters may depend on: few values, or one number for each person."""
    taken = {name for name in used.values() if name}
    free = [name for name in frame.columns if name not in taken]
    different: Any = {name: frame[name].nunique() for name in free}
    few = {name for name in free if 1 < different[name] <= MOST_LEVELS}
    numeric = [name for name in free if name not in few and frame[name].dtype.kind in "iuf"]
    constant = few
    if subject in frame.columns and numeric:
        grouped: Any = frame.groupby(subject, observed=True)[numeric]
        low, high = grouped.min(), grouped.max()
        same = ((low == high) | low.isna()).all() & low.notna().any()
        constant = few | {name for name in numeric if same[name]}
    return [str(name) for name in free if name in constant]
