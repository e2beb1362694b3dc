"""Fast reading of files straight into compact columns, where the request allows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyem.data.coded import Unknown, coded_table
from pyem.data.columns import CodedTable
from pyem.data.files import PARQUET_FILES, TEXT_FILES
from pyem.data.streaming import reader_of, streamed_columns
from pyem.data.texts import first_rows
from pyem.errors import DataError


def read_coded(
    path: str | Path,
    *,
    subject: str,
    names: Sequence[str],
    used: Sequence[str],
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
) -> CodedTable | None:
    """Read the columns in use of a CSV or Parquet file; None if it has to be read in the general way.

    Whatever is unusual about a file is left to `pyem.data.files.read_table`, which knows all rules and words all errors.

    Parameters
    ----------
    subject
        The column of people: without a row's person, other columns decide what the row is.
    names, separator, encoding, decimal
        See `pyem.data.files.read_table`.
    used
        The columns that are read.
    """
    import pyarrow as pa

    path = Path(path)
    kind = path.name.lower().rpartition(".")[2]
    try:
        if kind in PARQUET_FILES:
            table = _parquet(path, used)
        elif kind in TEXT_FILES:
            file = first_rows(path, kind, separator=separator, encoding=encoding, decimal=decimal, names=names)
            table = coded_table(streamed_columns(file, used, names), file.header, file.notes)
        else:
            return None
    except (Unknown, DataError, pa.ArrowException, OSError, ValueError, LookupError):
        return None
    return table if len(table) and table.known[subject].complete else None


def _parquet(path: Path, used: Sequence[str]) -> CodedTable:
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(path)
    _plain(schema.pandas_metadata or {})
    if len(set(schema.names)) < len(schema.names) or not set(used) <= set(schema.names):
        raise Unknown("columns are not there, or twice")
    kinds = {name: parquet_kind(name, schema.field(name).type) for name in used}
    columns = {name: reader_of(kind) for name, kind in kinds.items()}
    for batch in parquet_pieces(path, kinds):
        for name, column in columns.items():
            column.add(batch[name])
    return coded_table(columns, schema.names)


def parquet_pieces(path: Path, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Arrow arrays by name of the rows of a Parquet file, piece by piece."""
    import pyarrow as pa
    import pyarrow.parquet

    texts = [name for name, kind in kinds.items() if kind == "label"]
    with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
        for batch in file.iter_batches(columns=list(kinds), batch_size=1 << 16):
            yield {name: batch.column(batch.schema.get_field_index(name)) for name in kinds}
    # Arrow keeps what it has freed for the next file, which may never come.
    pa.default_memory_pool().release_unused()


def _plain(pandas: dict[str, Any]) -> None:
    """Raise `Unknown` where pandas would make something else of a file's columns."""
    index = [one for one in pandas.get("index_columns", ()) if not isinstance(one, dict)]
    if index or pandas.get("attributes"):
        raise Unknown("the file has an index, or attributes")


def parquet_kind(name: str, kind: Any) -> str:
    """Kind of a column of an Arrow type: label (text), flag (truth values), whole or number.

    Raises
    ------
    Unknown
        If it is of another type.
    """
    from pyarrow import types

    if types.is_string(kind) or types.is_large_string(kind):
        return "label"
    if types.is_boolean(kind):
        return "flag"
    if types.is_integer(kind) and kind != "uint64":
        return "whole"
    if types.is_float32(kind) or types.is_float64(kind):
        return "number"
    raise Unknown(f"its column {name!r} is of type {kind}")
