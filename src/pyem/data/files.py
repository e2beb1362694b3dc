"""Reading tables from files."""

from __future__ import annotations

import codecs
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyem.data.row_names import NOTES
from pyem.data.texts import MISSING, first_rows, read_text
from pyem.errors import DataError, list_of

if TYPE_CHECKING:
    import pandas as pd

_PACKED = (".gz", ".bz2", ".xz", ".zip")
TEXT_FILES = ("csv", "tsv", "txt")
PARQUET_FILES = ("parquet", "pq")
_EXCEL_FILES = ("xlsx", "xlsm")


def read_table(
    path: str | Path,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    names: Sequence[str] = (),
) -> pd.DataFrame:
    """A table from a CSV, TSV, Parquet or Excel file.

    Parameters
    ----------
    path
        A file ``.csv``, ``.tsv``, ``.txt`` (these may be packed: ``.gz``, ``.bz2``, ``.xz``, ``.zip``), ``.parquet``, or
        ``.xlsx``, whose first sheet is read.
    separator
        Separator of the columns of a text file; a comma, for ``.tsv`` a tab, or what a first line ``sep=;`` says.
    encoding
        Encoding of a text file, for example ``"cp1252"``; UTF-8, or UTF-16 where the file starts with its byte-order mark.
    decimal
        ``","`` for decimal commas. In files that are separated by semicolons they are recognised, and noted.
    names
        Columns that hold names (of people, of blocks): these are read as text, as they are written, and ``NA`` is a name.

    Raises
    ------
    DataError
        If the file is missing, empty, unreadable, of an unknown kind, or seems to have another separator.
    """
    import pandas as pd

    path = Path(path)
    if encoding is not None and not _is_encoding(encoding):
        raise DataError(f"encoding={encoding!r} is not known; expected the name of one, such as 'utf-8' or 'cp1252'")
    check_decimal(decimal, separator)
    if not path.exists():
        raise DataError(f"there is no file {str(path)!r}; check the path")
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; give the path of a CSV, TSV or Parquet file")
    kind = _kind(path)
    try:
        frame, notes = _read(path, kind, separator=separator, encoding=encoding, decimal=decimal, names=names)
    except DataError:
        raise
    except pd.errors.EmptyDataError:
        raise DataError(f"{str(path)!r} is empty; it should have a header and a row for each trial") from None
    except UnicodeError:
        raise DataError(
            f"{str(path)!r} is not text in {encoding or 'UTF-8'}; save it again as CSV in UTF-8, or name its encoding, for "
            "example encoding='cp1252' for files of older versions of Excel"
        ) from None
    except Exception as error:
        # Each packing and file format has errors of its own (zlib, lzma, zipfile, Arrow, ...); to the user they are one.
        raise DataError(f"{str(path)!r} could not be read: {_said(error)}; is it complete and of that kind?") from error
    if len(frame) == 0:
        raise DataError(f"{str(path)!r} has a header and no rows; it should have a row for each trial")
    if notes:
        frame.attrs[NOTES] = notes
    return frame


def check_decimal(decimal: str | None, separator: str | None) -> None:
    """Raise DataError if decimals cannot be written so."""
    if decimal not in (None, ".", ","):
        raise DataError(f"decimal={decimal!r}; expected ',' or '.'")
    if decimal == "," and separator == ",":
        raise DataError(
            "decimal=',' and separator=',' are the same character; name the separator of the file, such as ';'"
        )


def is_table(path: Path) -> bool:
    """Whether a file, by its name, is one that `read_table` reads."""
    name = path.name.lower()
    packed = next((ending for ending in _PACKED if name.endswith(ending)), "")
    kind = name.removesuffix(packed).rpartition(".")[2]
    return kind in (TEXT_FILES if packed else TEXT_FILES + PARQUET_FILES + _EXCEL_FILES)


def _read(path: Path, kind: str, *, names: Sequence[str], **how: Any) -> tuple[pd.DataFrame, list[str]]:
    if kind in PARQUET_FILES:
        return _read_parquet(path), []
    if kind in _EXCEL_FILES:
        return _read_excel(path, names)
    return read_text(first_rows(path, kind, names=names, **how), names)


def _read_parquet(path: Path) -> pd.DataFrame:
    """A table whose columns of text are categories: each text once, as the file has it."""
    import pandas as pd
    import pyarrow.parquet
    from pyarrow import types

    schema = pyarrow.parquet.read_schema(path)
    texts = [field.name for field in schema if types.is_string(field.type) or types.is_large_string(field.type)]
    return pd.read_parquet(path, engine="pyarrow", read_dictionary=texts)


def _read_excel(path: Path, names: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd

    if importlib.util.find_spec("openpyxl") is None:
        raise DataError(
            f"{str(path)!r} is an Excel file, and reading it needs openpyxl: pip install 'pyem-behavior[excel]', or save "
            "the table as CSV in UTF-8"
        )
    with pd.ExcelFile(path, engine="openpyxl") as book:
        header = pd.read_excel(book, header=None, nrows=1, dtype=str)
        columns = [str(name) for name in header.iloc[0].dropna()] if len(header) else []
        twice = [name for name in columns if columns.count(name) > 1]
        if twice:
            raise DataError(f"{str(path)!r} has several columns named {twice[0]!r}; rename or remove the others")
        missing = {name: [""] if name in names else list(MISSING) for name in columns}
        kept = {name: str for name in names if name in columns}
        frame = pd.read_excel(book, dtype=kept, na_values=missing, keep_default_na=False)  # type: ignore[arg-type]
        sheets = [str(name) for name in book.sheet_names]
    notes = [f"of the sheets {list_of(sheets)} the first was read"] if len(sheets) > 1 else []
    return frame, notes


def _is_encoding(name: str) -> bool:
    try:
        return bool(codecs.lookup(name))
    except LookupError:
        return False


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _kind(path: Path) -> str:
    name = path.name.lower()
    packed = next((ending for ending in _PACKED if name.endswith(ending)), "")
    _, dot, kind = name.removesuffix(packed).rpartition(".")
    known = TEXT_FILES if packed else TEXT_FILES + PARQUET_FILES + _EXCEL_FILES
    if not dot or kind not in known:
        raise DataError(
            f"{str(path)!r} is not a kind of file that can be read; expected .csv, .tsv, .txt (also packed: "
            f"{', '.join(_PACKED)}), .parquet or .xlsx: save the table as CSV in UTF-8"
        )
    return kind
