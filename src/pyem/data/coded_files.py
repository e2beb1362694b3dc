"""Files that are read straight into compact columns, where what is asked of them allows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyem.data.coded import Numbers, Texts, Unknown, coded_table
from pyem.data.columns import CodedTable
from pyem.data.files import PARQUET_FILES, TEXT_FILES
from pyem.data.streaming import streamed_columns
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
    """The columns of a CSV or Parquet file that are used; None if it has to be read in the general way.

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
    return table if len(table) and table.known[subject].here.all() else None


def _parquet(path: Path, used: Sequence[str]) -> CodedTable:
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(path)
    _plain(schema.pandas_metadata or {})
    if len(set(schema.names)) < len(schema.names) or not set(used) <= set(schema.names):
        raise Unknown("columns are not there, or twice")
    columns = {name: _column(schema.field(name).type) for name in used}
    texts = [name for name, column in columns.items() if isinstance(column, Texts)]
    with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
        for batch in file.iter_batches(columns=list(used), batch_size=1 << 18):
            for name, column in columns.items():
                column.add(batch.column(batch.schema.get_field_index(name)))
    return coded_table(columns, schema.names)


def _plain(pandas: dict[str, Any]) -> None:
    """Raise `Unknown` where pandas would make more of a file than its columns."""
    index = [one for one in pandas.get("index_columns", ()) if not isinstance(one, dict)]
    if index or pandas.get("attributes"):
        raise Unknown("the file has an index, or attributes")


def _column(kind: Any) -> Texts | Numbers:
    """A column for an Arrow type."""
    from pyarrow import types

    if types.is_string(kind) or types.is_large_string(kind):
        return Texts()
    if types.is_boolean(kind):
        return Numbers(whole=True, kind="boolean")
    if types.is_integer(kind) and kind != "uint64":
        return Numbers(whole=True)
    if types.is_float32(kind) or types.is_float64(kind):
        return Numbers(whole=False)
    raise Unknown(f"columns of type {kind}")
