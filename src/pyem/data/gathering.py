"""Results of a table's partitions put together: notes, and numbers of each person."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyem.data.columns import CodedTable, Column
from pyem.data.contrasts import covariates_of
from pyem.data.splitting import Part
from pyem.errors import counted, shown

_MISSING = re.compile(r"is missing in (all )?(\d+) trials")
_OF_ALL = re.compile(r"(\d+) of \d+ trials")
_MARKED = re.compile(r": (\d+) cells? that (?:is|are) (.*) (?:is|are) taken as missing")


_JOINED = re.compile(
    r"(\d+) rows are (\d+) trials?(?:; (\d+) rows? without a value of any column that is read (?:was|were) left out)?"
)


_GAPS = re.compile(r"jump for (\d+) subjects?: (\d+) trials? (?:is|are) not")


class Notes:
    """Notes of partitions merged into notes of the whole: equal ones once, with counts of missing values added."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {}
        self._parts = 0

    def add(self, notes: Sequence[str]) -> None:
        """Add the notes of a partition."""
        for note in map(_several, notes):
            like = re.sub(r"\d+", "#", _GAPS.sub("jump", _JOINED.sub("joined", note))).replace(
                "missing in all", "missing in"
            )
            self._known.setdefault(like, []).append(note)
        self._parts += 1

    def all(self, n_trials: int) -> list[str]:
        """Notes on the whole table, which has `n_trials` trials."""
        return [self._together(notes, n_trials) for notes in self._known.values()]

    def _together(self, notes: Sequence[str], n_trials: int) -> str:
        marked, of_all, missing = (
            [match for note in notes if (match := pattern.search(note))] for pattern in (_MARKED, _OF_ALL, _MISSING)
        )
        if len(marked) == len(notes):
            n = sum(int(match[1]) for match in marked)
            return f"{notes[0][: marked[0].start()]}: {n} cells that are {marked[0][2]} are taken as missing"
        if joined := [match for note in notes if (match := _JOINED.search(note))]:
            rows, trials, dropped = (sum(int(match[k] or 0) for match in joined) for k in (1, 2, 3))
            out = f"; {counted(dropped, 'row')} without a value of any column that is read"
            out += f" {'was' if dropped == 1 else 'were'} left out"
            return _JOINED.sub(f"{rows} rows are {counted(trials, 'trial')}{out if dropped else ''}", notes[0])
        if jumps := [match for note in notes if (match := _GAPS.search(note))]:
            people, trials = (sum(int(match[k]) for match in jumps) for k in (1, 2))
            told = f"jump for {counted(people, 'subject')}: {counted(trials, 'trial')} {'is' if trials == 1 else 'are'} not"
            return _GAPS.sub(told, notes[0])
        if len(of_all) == len(notes):
            return _OF_ALL.sub(f"{sum(int(match[1]) for match in of_all)} of {n_trials} trials", notes[0])
        if len(missing) == len(notes):
            every = "all " if len(notes) == self._parts and all(match[1] for match in missing) else ""
            return _MISSING.sub(f"is missing in {every}{sum(int(match[2]) for match in missing)} trials", notes[0])
        return notes[0] + (f" (and the like in {len(notes) - 1} other partitions)" if len(set(notes)) > 1 else "")


def _several(note: str) -> str:
    """Turn a note on one cell into words for several."""
    return _MARKED.sub(r": \1 cells that are \2 are taken as missing", note)


class People:
    """Data kept of everybody: labels, counts, and each person's values of the covariates."""

    def __init__(self, covariates: Sequence[str], markers: Mapping[str, Sequence[Any]]) -> None:
        self._names, self._markers = covariates, markers
        self._empty = dict.fromkeys(covariates, 0)
        self._subjects: list[np.ndarray] = []
        self._counts: dict[str, list[np.ndarray]] = {}
        self._values: list[tuple[np.ndarray, dict[str, Column]]] = []

    def add(self, part: Part, made: Mapping[str, Any]) -> None:
        """Add the people of a partition."""
        n, lane_subject = len(made["subjects"]), made["lane_subject"]
        self._subjects.append(made["subjects"])
        per_person = lambda lanes: np.bincount(lane_subject, lanes, n).astype(np.int64)  # noqa: E731
        counts = {"blocks": np.bincount(lane_subject, minlength=n), "trials": per_person(made["valid"].sum(0))}
        for name in made["present"]:
            counts[f"missing_{name}"] = per_person((made["valid"] & ~made["present"][name]).sum(0))
        for name, values in counts.items():
            self._counts.setdefault(name, []).append(values)
        for name in self._names:
            self._empty[name] += int((~part.table.without(name, self._markers.get(name, ())).here).sum())
        if self._names:
            self._values.append(part.values_of_people(self._names, made["subjects"]))

    def subjects(self) -> np.ndarray:
        """Labels of everybody, (subject,)."""
        return np.concatenate(self._subjects)

    def counts(self) -> dict[str, np.ndarray]:
        """Numbers of blocks, trials and missing values of everybody."""
        return {name: np.concatenate(values) for name, values in self._counts.items()}

    def covariates(
        self, reference: Mapping[str, Any], notes: list[str], words: dict[str, tuple[Any, ...]]
    ) -> dict[str, np.ndarray]:
        """The covariates of everybody by name; `words` gets the categories of those that have some."""
        subjects, out = self.subjects(), {}
        for name in self._names:
            who, column = _gathered(name, self._values, self._subjects)
            known = CodedTable({name: column}, (name,), len(who), {}).without(name, self._markers.get(name, ()))
            said = lambda k, who=who: f"for subject {shown(subjects[who[k]])}"  # noqa: E731
            told: list[str] = []
            out |= covariates_of(known, who, subjects, said, told, reference, words)
            # Each person's distinct values were examined, but the note counts cells.
            notes += [re.sub(r": \d+ empty cells", f": {self._empty[name]} empty cells", note) for note in told]
        return out


def _gathered(
    name: str, values: Sequence[tuple[np.ndarray, dict[str, Column]]], subjects: Sequence[np.ndarray]
) -> tuple[np.ndarray, Column]:
    """Index of the person of each value of a covariate, and the values, of all partitions."""
    firsts = np.cumsum([0, *(len(part) for part in subjects[:-1])])
    who = np.concatenate([rows + first for first, (rows, _) in zip(firsts, values, strict=True)])
    columns = [columns[name] for _, columns in values]
    if columns[0].labels is None:
        whole = all(column.whole for column in columns)
        return who, dataclasses.replace(columns[0], values=np.concatenate([c.values for c in columns]), whole=whole)
    labels = {label: k for k, label in enumerate(dict.fromkeys(one for c in columns for one in c.labels or ()))}
    places = [np.array([*(labels[one] for one in c.labels or ()), -1])[c.values] for c in columns]
    return who, dataclasses.replace(columns[0], values=np.concatenate(places), labels=tuple(labels))
