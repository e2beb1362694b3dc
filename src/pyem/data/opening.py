"""Opening tables that are too large for memory: read once, person by person, into partitions on the disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.columns import CodedTable, Column
from pyem.data.contrasts import covariates_of
from pyem.data.counted import Says
from pyem.data.fields import check_request, names_of, read_fields, sources_of
from pyem.data.identifiers import alike_notes
from pyem.data.leftovers import folder_at_once
from pyem.data.long_table import lanes_from_frame
from pyem.data.many_files import find_files
from pyem.data.markers import listed
from pyem.data.partitioned import VERSION, PartitionedDataset, write_arrays, write_people
from pyem.data.preparing import used_columns
from pyem.data.seen import Seen, look_through
from pyem.data.sources import Source
from pyem.data.splitting import Part, Split, parts_of_table
from pyem.errors import DataError, require_number, require_whole, shown

if TYPE_CHECKING:
    from pyem.data.dataset import Dataset

TRIALS_AT_ONCE = 4_000_000
"""Trials of a partition, about."""
_MISSING = re.compile(r"is missing in (all )?(\d+) trials")
_OF_ALL = re.compile(r"(\d+) of \d+ trials")
_MARKED = re.compile(r": (\d+) cells? that (?:is|are) (.*) (?:is|are) taken as missing")


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of a table that is opened; see `pyem.Dataset.open`."""

    subject: str
    columns: Mapping[str, Any]
    block: Sequence[str]
    trial: str | None
    codes: Mapping[str, Any]
    values: Mapping[str, Mapping[Any, Any]]
    missing: Mapping[str, Any] | None
    covariates: Sequence[str]
    missing_outcome: str
    count: Says
    teach: Says
    reference: Mapping[str, Any]

    @property
    def used(self) -> list[str]:
        """The columns of the table that are read."""
        more = {"covariates": self.covariates, "count": self.count, "teach": self.teach}
        names = used_columns(subject=self.subject, columns=self.columns, block=self.block, trial=self.trial, **more)
        return [str(name) for name in names]


def open_dataset(
    make: Callable[..., Dataset],
    path: Any,
    *,
    subject: str,
    columns: Mapping[str, str | Sequence[str]],
    block: str | Sequence[str] | None = None,
    trial: str | None = None,
    codes: Mapping[str, Sequence[Any] | None] | None = None,
    values: Mapping[str, Mapping[Any, float]] | None = None,
    missing: Mapping[str, Any] | None = None,
    covariates: str | Sequence[str] = (),
    missing_outcome: str = "skip",
    count: Says = None,
    teach: Says = None,
    reference: Mapping[str, Any] | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    cache: str | Path | None = None,
    trials_at_once: int = TRIALS_AT_ONCE,
    memory: float = 2.0,
    **others: Any,
) -> PartitionedDataset:
    """The data of files that need not fit into memory. See `pyem.Dataset.open`; `make` makes the data of a partition."""
    if others:
        raise DataError(
            f"Dataset.open does not take {', '.join(f'{name}=' for name in others)}; it opens files as they are: write the "
            "rows that count, or joined ones, to a file first, or use Dataset.read, if they fit into memory"
        )
    request = Request(
        subject=str(subject),
        columns=sources_of(columns),
        block=names_of(block),
        trial=None if trial is None else str(trial),
        codes=dict(codes or {}),
        values=dict(values or {}),
        missing=missing,
        covariates=names_of(covariates),
        missing_outcome=missing_outcome,
        count=count,
        teach=teach,
        reference=dict(reference or {}),
    )
    check_request(request.columns, request.codes, request.covariates, missing_outcome, request.values)
    require_whole(trials_at_once=(trials_at_once, 1))
    require_number(memory=(memory, 0))
    if request.subject in [column for source in request.columns.values() for column in source]:
        raise DataError(
            f"column {request.subject!r} says whose rows they are, and cannot be a column of the model, too"
        )
    files, _ = find_files(path)
    folder = _cache(files, cache) / _key(files, request, (columns, separator, encoding, trials_at_once))
    if not (folder / "about.json").exists():
        source = Source.of(
            files, request.used, [request.subject, *request.block], separator=separator, encoding=encoding
        )
        _build(folder, source, request, columns, trials_at_once)
    return PartitionedDataset.of(folder, make, memory=memory)


def _cache(files: Sequence[Path], cache: str | Path | None) -> Path:
    """Where partitions are kept: beside the files, unless it was said where."""
    return Path(cache) if cache is not None else files[0].parent / ".pyem-partitions"


def _key(files: Sequence[Path], request: Request, more: Any) -> str:
    """A name that changes with the files and with what is asked of them."""
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((VERSION, stats, request, more)).encode()).hexdigest()[:16]


def _build(folder: Path, source: Source, request: Request, columns: Mapping[str, Any], trials_at_once: int) -> None:
    try:
        # Another process may be as far just before.
        with folder_at_once(folder, stays=(folder / "about.json").exists) as partial:
            seen = look_through(source, request.subject)
            split = Split.of(seen.rows, trials_at_once)
            _partitions(partial, source, request, columns, seen, split)
    except OSError as error:
        raise DataError(
            f"partitions could not be written to {str(folder.parent)!r}: {error.strerror or error}; name another folder, cache="
        ) from error


def _partitions(
    folder: Path, source: Source, request: Request, columns: Mapping[str, Any], seen: Seen, split: Split
) -> None:
    markers = listed(request.missing, [*request.columns, *request.covariates])
    codes, kinds = _fields(request, seen, markers)
    merged, people, shapes = Notes(), People(request.covariates, markers), []
    for part in parts_of_table(folder, source, request.subject, seen, split):
        made = lanes_from_frame(
            part.table,
            subject=request.subject,
            columns=columns,
            block=request.block,
            trial=request.trial,
            codes=codes,
            values=request.values,
            missing={name: marks for name, marks in markers.items() if name in request.columns},
            covariates=(),
            missing_outcome=request.missing_outcome,
            count=request.count,
            teach=request.teach,
        )
        made["fields"] = {name: np.asarray(made["fields"][name]).astype(kinds[name], copy=False) for name in kinds}
        merged.add(made["notes"])
        people.add(part, made)
        shapes.append(write_arrays(folder / f"{part.number:05d}", made))
    subjects = people.subjects()
    notes = [
        *_ways(source, seen, split),
        *alike_notes(subjects.tolist(), "subjects"),
        *merged.all(int(seen.rows.sum())),
    ]
    covariates = people.covariates(request.reference, notes)
    write_people(folder, subjects, people.counts(), covariates)
    about = {"codes": {name: [_plain(one) for one in labels] for name, labels in codes.items()}, "notes": notes}
    about |= {"shapes": shapes, "covariates": list(covariates), "fields": list(kinds)}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label


def _ways(source: Source, seen: Seen, split: Split) -> list[str]:
    """Notes on how the files were gone through."""
    files = f"{len(source.files)} files were" if len(source.files) > 1 else "the file was"
    notes = [f"{files} read in {split.n_parts} partitions of people"]
    if not seen.in_order:
        notes.append("rows of a person were not together: they were sorted by person once, on the disk")
    return notes


def _fields(
    request: Request, seen: Seen, markers: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, tuple[Any, ...]], dict[str, np.dtype]]:
    """The labels of all coded fields, and the types of all fields, from the distinct values of the whole table."""
    by_column: dict[str, list[Any]] = {}
    for name, marks in markers.items():
        for column in request.columns.get(name, ()):
            by_column[column] = [*by_column.get(column, ()), *marks]
    table = CodedTable(dict(seen.columns), tuple(seen.columns), 0, {})
    mapped = [column for columns in request.columns.values() for column in columns]
    known = {name: table.without(name, by_column.get(name, ())) for name in mapped}
    found, labels = read_fields(
        known, request.columns, request.codes, lambda row: "in the files", values=request.values
    )
    return labels, {name: array.dtype for name, (array, _) in found.items()}


class Notes:
    """Notes of partitions as notes of the whole: what is the same is said once, and counts of missing values are added."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {}
        self._parts = 0

    def add(self, notes: Sequence[str]) -> None:
        """Add those of a partition."""
        for note in map(_several, notes):
            like = re.sub(r"\d+", "#", note).replace("missing in all", "missing in")
            self._known.setdefault(like, []).append(note)
        self._parts += 1

    def all(self, n_trials: int) -> list[str]:
        """Those of the whole, which has so many trials."""
        return [self._together(notes, n_trials) for notes in self._known.values()]

    def _together(self, notes: Sequence[str], n_trials: int) -> str:
        marked, of_all, missing = (
            [match for note in notes if (match := pattern.search(note))] for pattern in (_MARKED, _OF_ALL, _MISSING)
        )
        if len(marked) == len(notes):
            n = sum(int(match[1]) for match in marked)
            return f"{notes[0][: marked[0].start()]}: {n} cells that are {marked[0][2]} are taken as missing"
        if len(of_all) == len(notes):
            return _OF_ALL.sub(f"{sum(int(match[1]) for match in of_all)} of {n_trials} trials", notes[0])
        if len(missing) == len(notes):
            every = "all " if len(notes) == self._parts and all(match[1] for match in missing) else ""
            return _MISSING.sub(f"is missing in {every}{sum(int(match[2]) for match in missing)} trials", notes[0])
        return notes[0] + (f" (and the like in {len(notes) - 1} other partitions)" if len(set(notes)) > 1 else "")


def _several(note: str) -> str:
    """A note on one cell in the words of those on several."""
    return _MARKED.sub(r": \1 cells that are \2 are taken as missing", note)


class People:
    """What is kept of everybody: labels, counts, and each person's values of the covariates."""

    def __init__(self, covariates: Sequence[str], markers: Mapping[str, Sequence[Any]]) -> None:
        self._names, self._markers = covariates, markers
        self._empty = dict.fromkeys(covariates, 0)
        self._subjects: list[np.ndarray] = []
        self._counts: dict[str, list[np.ndarray]] = {}
        self._values: list[tuple[np.ndarray, dict[str, Column]]] = []

    def add(self, part: Part, made: Mapping[str, Any]) -> None:
        """Add those of a partition."""
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

    def covariates(self, reference: Mapping[str, Any], notes: list[str]) -> dict[str, np.ndarray]:
        """The covariates of everybody by name."""
        subjects, out = self.subjects(), {}
        for name in self._names:
            who, column = _gathered(name, self._values, self._subjects)
            known = CodedTable({name: column}, (name,), len(who), {}).without(name, self._markers.get(name, ()))
            said = lambda k, who=who: f"for subject {shown(subjects[who[k]])}"  # noqa: E731
            told: list[str] = []
            out |= covariates_of(known, who, subjects, said, told, reference)
            # What was looked at are each person's distinct values; what the note counts are cells.
            notes += [re.sub(r": \d+ empty cells", f": {self._empty[name]} empty cells", note) for note in told]
        return out


def _gathered(
    name: str, values: Sequence[tuple[np.ndarray, dict[str, Column]]], subjects: Sequence[np.ndarray]
) -> tuple[np.ndarray, Column]:
    """Whose the values of a covariate are, and the values, of all partitions."""
    firsts = np.cumsum([0, *(len(part) for part in subjects[:-1])])
    who = np.concatenate([rows + first for first, (rows, _) in zip(firsts, values, strict=True)])
    columns = [columns[name] for _, columns in values]
    if columns[0].labels is None:
        whole = all(column.whole for column in columns)
        return who, dataclasses.replace(columns[0], values=np.concatenate([c.values for c in columns]), whole=whole)
    labels = {label: k for k, label in enumerate(dict.fromkeys(one for c in columns for one in c.labels or ()))}
    places = [np.array([*(labels[one] for one in c.labels or ()), -1])[c.values] for c in columns]
    return who, dataclasses.replace(columns[0], values=np.concatenate(places), labels=tuple(labels))
