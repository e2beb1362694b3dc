"""The rows of a table in parts of a number of people, each small enough for memory; sorted by person if needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.choosing import Chosen
from pyem.data.coded import Numbers, Texts
from pyem.data.columns import CodedTable, Column, read_columns
from pyem.data.join_rows import joined_rows
from pyem.data.row_names import NOTES, ROWS, RowNames, table_notes
from pyem.data.seen import PeopleIndex, Seen
from pyem.data.streaming import reader_of

if TYPE_CHECKING:
    import pandas as pd

ROW = "pyem row"
"""Name of the column with the number of each row among all, in files of rows that are sorted by person."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Division of people into partitions, with as many in each except the last."""

    per_part: int
    n_parts: int

    @classmethod
    def of(cls, rows: np.ndarray, trials_at_once: int) -> Split:
        """Split people with so many rows (subject,)."""
        n_parts = min(len(rows), max(1, round(int(rows.sum()) / trials_at_once)))
        per_part = -(-len(rows) // n_parts)
        return cls(per_part, -(-len(rows) // per_part))


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The rows of the people of a partition."""

    number: int
    table: CodedTable
    subject: str

    def values_of_people(self, names: Sequence[str], subjects: np.ndarray) -> tuple[np.ndarray, dict[str, Column]]:
        """Index of the person of each value, and each person's distinct values of some columns; missing only without others."""
        who = person_of(self.table.known[self.subject], subjects)
        columns = [self.table.known[name] for name in names]
        if not (there := who >= 0).all():
            # The rows of people who have no trial left after rows were joined are dropped.
            who = who[there]
            columns = [dataclasses.replace(column, values=column.values[there]) for column in columns]
        keys = np.stack([who, *(_filled(column.values) for column in columns)])
        # Select rows that differ from the row before, and each of these once.
        changed = np.append(True, (keys[:, 1:] != keys[:, :-1]).any(0))
        rows = np.flatnonzero(changed)
        _, first = np.unique(keys[:, rows], axis=1, return_index=True)
        rows = np.sort(rows[first])
        return who[rows], {column.name: dataclasses.replace(column, values=column.values[rows]) for column in columns}

    def joined(self, by: str | Sequence[str], block: Sequence[str]) -> Part:
        """Return the part with a row for each trial; see `pyem.data.join_rows.joined_rows`."""
        names = list(self.table.known)
        frame = joined_rows(self._frame(), by, lanes=[self.subject, *block], used=names)
        table = CodedTable(read_columns(frame, names), tuple(names), len(frame), {NOTES: table_notes(frame)})
        return dataclasses.replace(self, table=table)

    def _frame(self) -> pd.DataFrame:
        """Return the rows as a pandas table."""
        import pandas as pd

        columns = self.table.known
        made = pd.DataFrame({name: _objects(column) for name, column in columns.items()})
        subject = columns[self.subject]
        numbers = np.arange(len(made)) if subject.rows is None else subject.rows
        made.attrs[ROWS] = RowNames(numbers, np.zeros(len(made), int))
        return made


def _objects(column: Column) -> np.ndarray:
    """Convert values to those of a pandas table."""
    if column.labels is not None:
        return np.array([*column.labels, None], object)[column.values]
    if column.kind != "boolean":
        return column.values
    return np.asarray(column.values == 1 if column.here.all() else np.where(column.here, column.values == 1, None))


def person_of(column: Column, subjects: np.ndarray) -> np.ndarray:
    """Index of the person of each row among `subjects`; -1 for others."""
    place = {label: k for k, label in enumerate(subjects.tolist())}
    if column.labels is not None:
        return np.array([place.get(label, -1) for label in column.labels])[column.values]
    distinct, index = np.unique(column.values, return_inverse=True)
    return np.array([place.get(label, -1) for label in distinct.tolist()])[index]


def _filled(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.inf, values) if values.dtype.kind == "f" else values


def parts_of_table(folder: Path, source: Chosen, subject: str, seen: Seen, split: Split) -> Iterator[Part]:
    """The rows of a table, partition by partition.

    Parameters
    ----------
    folder
        Folder for temporary files, if rows have to be sorted.
    source, subject
        The table, and its column of people.
    seen
        Findings of the first pass through the table.
    split
        Division of people into partitions.
    """
    names = None if len(source.files) == 1 else _Places(source)
    if seen.in_order:
        yield from _in_order(source, subject, split, names)
        return
    files = _sorted_by_person(folder, source, subject, split)
    for number, file in enumerate(files):
        yield _read_back(file, number, source.kinds, subject, names)
        file.unlink()


class _Rows:
    """Rows of one partition, collected as they are read."""

    def __init__(self, kinds: Mapping[str, str]) -> None:
        self._columns: dict[str, Texts | Numbers] = {name: reader_of(kind) for name, kind in kinds.items()}
        self._rows: list[np.ndarray] = []

    def add(self, piece: Mapping[str, Any], rows: np.ndarray) -> None:
        for name, column in self._columns.items():
            column.add(piece[name])
        self._rows.append(rows)

    def part(self, number: int, subject: str, names: Any) -> Part:
        rows = np.concatenate(self._rows)
        made = {name: column.column(name) for name, column in self._columns.items()}
        known = {name: dataclasses.replace(column, rows=rows, names=names) for name, column in made.items()}
        return Part(number, CodedTable(known, tuple(known), len(rows), {}), subject)


def _in_order(source: Chosen, subject: str, split: Split, names: Any) -> Iterator[Part]:
    people, number = PeopleIndex(source.kinds[subject]), 0
    rows = _Rows(source.kinds)
    for numbers, piece in source.pieces():
        who = people.add(piece[subject], numbers)
        parts = who // split.per_part
        ends = np.append(np.flatnonzero(parts[1:] != parts[:-1]) + 1, len(parts))
        start = 0
        for end in ends[ends > 0]:
            if parts[start] != number:
                yield rows.part(number, subject, names)
                rows, number = _Rows(source.kinds), int(parts[start])
            some = {name: column.slice(start, end - start) for name, column in piece.items()}
            rows.add(some, numbers[start:end])
            start = int(end)
    yield rows.part(number, subject, names)


def _sorted_by_person(folder: Path, source: Chosen, subject: str, split: Split) -> list[Path]:
    """Write each row to the file of its person's partition; return the files."""
    import pyarrow as pa

    files = [folder / f"rows-{k:05d}.arrow" for k in range(split.n_parts)]
    people = PeopleIndex(source.kinds[subject])
    writers: dict[int, Any] = {}
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    try:
        for numbers, piece in source.pieces():
            who = people.add(piece[subject], numbers)
            parts = who // split.per_part
            plain = {name: _undictionary(column) for name, column in piece.items()}
            batch = pa.table({**plain, ROW: pa.array(numbers)})
            for k in np.unique(parts):
                if k not in writers:
                    writers[k] = pa.ipc.new_file(files[k], batch.schema, options=options)
                writers[k].write_table(batch.filter(pa.array(parts == k)))
    finally:
        for writer in writers.values():
            writer.close()
    return files


def _undictionary(column: Any) -> Any:
    import pyarrow as pa

    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _read_back(file: Path, number: int, kinds: Mapping[str, str], subject: str, names: Any) -> Part:
    import pyarrow as pa

    rows = _Rows(kinds)
    with pa.memory_map(str(file)) as stream, pa.ipc.open_file(stream) as reader:
        for k in range(reader.num_record_batches):
            batch = reader.get_batch(k)
            columns = {name: batch.column(batch.schema.get_field_index(name)) for name in (*kinds, ROW)}
            piece = {name: _coded(column) for name, column in columns.items()}
            rows.add(piece, piece[ROW].to_numpy())
    return rows.part(number, subject, names)


def _coded(column: Any) -> Any:
    import pyarrow as pa

    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return column.dictionary_encode() if text else column


@dataclasses.dataclass(frozen=True)
class _Places:
    """Names of rows of several files: each row's number over all of them."""

    source: Chosen

    def __call__(self, k: int) -> str:
        return f"{k + 1} of all {len(self.source.files)} files together"
