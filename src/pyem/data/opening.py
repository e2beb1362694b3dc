"""Opening tables that are too large for memory: read once, person by person, into partitions on the disk."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pyem.data.choosing import Chosen
from pyem.data.columns import CodedTable, read_columns
from pyem.data.conditions import columns_of
from pyem.data.contrasts import covariates_of, references
from pyem.data.counted import Says
from pyem.data.fields import check_request, names_of, read_fields, sources_of
from pyem.data.files import check_decimal
from pyem.data.gathering import Notes, People
from pyem.data.identifiers import alike_notes
from pyem.data.join_rows import ORDER
from pyem.data.leftovers import folder_at_once
from pyem.data.long_table import lanes_from_frame
from pyem.data.many_files import find_files, one_sequence_notes
from pyem.data.markers import listed
from pyem.data.partitioned import VERSION, PartitionedDataset, write_arrays, write_people
from pyem.data.people import covariates_there, with_people
from pyem.data.preparing import used_columns
from pyem.data.row_names import as_pandas, table_notes
from pyem.data.seen import Seen, look_through
from pyem.data.sources import Source
from pyem.data.splitting import Split, parts_of_table
from pyem.errors import DataError, require_number, require_whole, shown

if TYPE_CHECKING:
    from pyem.data.dataset import Dataset

TRIALS_AT_ONCE = 4_000_000
"""Rough number of trials of a partition."""


@dataclasses.dataclass(frozen=True)
class Request:
    """Options with which a table is opened; see `pyem.Dataset.open`."""

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
    where: str | None
    exclude: Sequence[Any]
    join_rows_by: str | Sequence[str] | None
    people: Any = dataclasses.field(repr=False)
    unmatched: Any

    @functools.cached_property
    def of_people(self) -> list[str]:
        """Covariates that are in the table of people."""
        return [] if self.people is None else covariates_there(self.people, self.subject, self.covariates)

    @property
    def of_rows(self) -> list[str]:
        """Covariates that are in the table of trials."""
        return [name for name in self.covariates if name not in self.of_people]

    @property
    def used(self) -> list[str]:
        """Columns of the table that are read."""
        joined = None if self.join_rows_by == ORDER else self.join_rows_by
        more = {"covariates": self.of_rows, "count": self.count, "teach": self.teach, "join_rows_by": joined}
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
    where: str | None = None,
    exclude: str | Sequence[Any] = (),
    join_rows_by: str | Sequence[str] | None = None,
    people: Any = None,
    unmatched: str = "error",
    pattern: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    cache: str | Path | None = None,
    trials_at_once: int = TRIALS_AT_ONCE,
    memory: float = 2.0,
    **others: Any,
) -> PartitionedDataset:
    """Open the data of files that need not fit into memory. See `pyem.Dataset.open`; `make` makes the data of a partition."""
    if others:
        raise DataError(
            f"Dataset.open does not take {', '.join(f'{name}=' for name in others)}; write the table in another way first, or "
            "use Dataset.read, if it fits into memory"
        )
    codes, reference = references(codes or {}, names_of(covariates), reference)
    request = Request(
        subject=str(subject),
        columns=sources_of(columns),
        block=names_of(block),
        trial=None if trial is None else str(trial),
        codes=codes,
        values=dict(values or {}),
        missing=missing,
        covariates=names_of(covariates),
        missing_outcome=missing_outcome,
        count=count,
        teach=teach,
        reference=reference,
        where=where,
        exclude=[exclude] if isinstance(exclude, str | int) else list(exclude),
        join_rows_by=join_rows_by,
        people=people if people is None or isinstance(people, str | Path) else as_pandas(people),
        unmatched=unmatched,
    )
    check_request(request.columns, request.codes, request.covariates, missing_outcome, request.values)
    check_decimal(decimal, separator)
    require_whole(trials_at_once=(trials_at_once, 1))
    require_number(memory=(memory, 0))
    if request.subject in [column for source in request.columns.values() for column in source]:
        raise DataError(
            f"column {request.subject!r} says whose rows they are, and cannot be a column of the model, too"
        )
    files, pattern = find_files(path, pattern)
    text = {"separator": separator, "encoding": encoding, "decimal": decimal}
    folder = _cache(files, cache) / _key(files, request, (columns, pattern, text, trials_at_once))
    if not (folder / "about.json").exists():
        used, more = request.used, [] if where is None else columns_of(where)
        needed = list(dict.fromkeys([*used, *more]))
        source = Source.of(files, needed, [request.subject, *request.block], pattern=pattern, **text)
        chosen = Chosen(source, request.subject, used, where, request.exclude)
        _build(folder, chosen, request, columns, trials_at_once)
    return PartitionedDataset.of(folder, make, memory=memory)


def _cache(files: Sequence[Path], cache: str | Path | None) -> Path:
    """Folder of the partitions: beside the files, unless another is given."""
    return Path(cache) if cache is not None else files[0].parent / ".pyem-partitions"


def _key(files: Sequence[Path], request: Request, more: Any) -> str:
    """Name that changes with the files and with the request."""
    people = request.people
    files = [*files, Path(people)] if isinstance(people, str | Path) and Path(people).exists() else files
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    table = "" if people is None or isinstance(people, str | Path) else people.to_csv()
    return hashlib.sha256(repr((VERSION, stats, request, more, table)).encode()).hexdigest()[:16]


def _build(folder: Path, source: Chosen, request: Request, columns: Mapping[str, Any], trials_at_once: int) -> None:
    try:
        # Another process may have finished just before.
        with folder_at_once(folder, stays=(folder / "about.json").exists) as partial:
            seen = look_through(source, request.subject)
            told = source.notes()
            second = None if request.people is None else _second(request, seen)
            if second is not None and len(second) < len(seen.people):
                # People without a row in the table of people are skipped on the second pass through the files.
                source.dropped = frozenset({*map(str, seen.people)} - {*map(str, second[request.subject])})
                seen = look_through(source, request.subject)
            split = Split.of(seen.rows, trials_at_once)
            _partitions(partial, source, request, columns, seen, split, told, second)
    except OSError as error:
        raise DataError(
            f"partitions could not be written to {str(folder.parent)!r}: {error.strerror or error}; name another folder, cache="
        ) from error


def _second(request: Request, seen: Seen) -> Any:
    """Read a row for each person that the table of people has, with the covariates in it."""
    import pandas as pd

    return with_people(
        pd.DataFrame({request.subject: seen.people}),
        request.people,
        subject=request.subject,
        covariates=request.of_people,
        unmatched=cast(Any, request.unmatched),
        exclude=request.exclude,
    )


def _partitions(
    folder: Path,
    source: Chosen,
    request: Request,
    columns: Mapping[str, Any],
    seen: Seen,
    split: Split,
    told: Sequence[str],
    second: Any,
) -> None:
    markers = listed(request.missing, [*request.columns, *request.covariates])
    codes, kinds = _fields(request, seen, markers)
    merged, people, shapes = Notes(), People(request.of_rows, markers), []
    for part in parts_of_table(folder, source, request.subject, seen, split):
        part = part if request.join_rows_by is None else part.joined(request.join_rows_by, request.block)
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
        # Whose names are alike is told of all of them together.
        alike = alike_notes(list(made["subjects"]), "subjects")
        merged.add([note for note in made["notes"] if note not in alike])
        people.add(part, made)
        shapes.append(write_arrays(folder / f"{part.number:05d}", made))
    subjects = people.subjects()
    notes = [
        *_ways(source, seen, split),
        *told,
        *([] if request.block else one_sequence_notes(seen.in_several_files)),
        *([] if second is None else table_notes(second)),
        *alike_notes(subjects.tolist(), "subjects"),
        *merged.all(int(people.counts()["trials"].sum())),
    ]
    words: dict[str, tuple[Any, ...]] = {}
    covariates = people.covariates(request.reference, notes, words)
    if second is not None:
        known = covariates | _covariates(second, request, subjects, markers, notes, words)
        # In the order in which they were asked for; a category has several.
        order = lambda key: next(k for k, name in enumerate(request.covariates) if _is_of(key, name))  # noqa: E731
        covariates = {key: known[key] for key in sorted(known, key=order)}
    write_people(folder, subjects, people.counts(), covariates)
    labels = {name: [_plain(one) for one in known] for name, known in (codes | words).items()}
    about = {"codes": labels, "notes": notes}
    about |= {"shapes": shapes, "covariates": list(covariates), "fields": list(kinds)}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _is_of(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}[")


def _covariates(
    second: Any,
    request: Request,
    subjects: np.ndarray,
    markers: Mapping[str, Sequence[Any]],
    notes: list[str],
    words: dict[str, tuple[Any, ...]],
) -> dict[str, np.ndarray]:
    """Values of the covariates in the table of people, by name, for everybody."""
    rows = second.set_index(request.subject).loc[subjects.tolist(), request.of_people].reset_index(drop=True)
    said = lambda k: f"for subject {shown(subjects[k])}"  # noqa: E731
    out: dict[str, np.ndarray] = {}
    for column in read_columns(rows, request.of_people, markers=markers).values():
        out |= covariates_of(column, np.arange(len(subjects)), subjects, said, notes, request.reference, words)
    return out


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label


def _ways(source: Chosen, seen: Seen, split: Split) -> list[str]:
    """Notes on how the files were read."""
    files = f"{len(source.files)} files were" if len(source.files) > 1 else "the file was"
    notes = [f"{files} read in {split.n_parts} partitions of people"]
    if not seen.in_order:
        notes.append("rows of a person were not together: they were sorted by person once, on the disk")
    return notes


def _fields(
    request: Request, seen: Seen, markers: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, tuple[Any, ...]], dict[str, np.dtype]]:
    """Labels of all coded fields, and types of all fields, from the distinct values of the whole table."""
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
