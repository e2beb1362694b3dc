"""Reading tables from files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyem.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_PACKED = (".gz", ".bz2", ".xz", ".zip")
_TEXT_FILES = ("csv", "tsv", "txt")
_PARQUET_FILES = ("parquet", "pq")
_SEPARATORS = ";\t|,"


def read_table(path: str | Path, *, separator: str | None = None, encoding: str | None = None) -> pd.DataFrame:
    """A table from a CSV, TSV or Parquet file.

    Parameters
    ----------
    path
        A file ``.csv``, ``.tsv``, ``.txt`` (these may be packed: ``.gz``, ``.bz2``, ``.xz``, ``.zip``) or ``.parquet``.
    separator
        Between the columns of a text file; a comma, for ``.tsv`` a tab.
    encoding
        Encoding of a text file, for example ``"cp1252"``; UTF-8, or UTF-16 where the file starts with its byte-order mark.

    Raises
    ------
    DataError
        If the file is missing, empty, unreadable, of an unknown kind, or seems to have another separator.
    """
    import pandas as pd

    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file {str(path)!r}; check the path")
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; give the path of a CSV, TSV or Parquet file")
    kind = _kind(path)
    try:
        if kind in _PARQUET_FILES:
            frame = pd.read_parquet(path)
        else:
            frame = _read_text(path, separator or _usual_separator(path, kind), encoding or _encoding(path))
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
    return frame


def is_table(path: Path) -> bool:
    """Whether a file, by its name, is one that `read_table` reads."""
    name = path.name.lower()
    packed = next((ending for ending in _PACKED if name.endswith(ending)), "")
    kind = name.removesuffix(packed).rpartition(".")[2]
    return kind in (_TEXT_FILES if packed else _TEXT_FILES + _PARQUET_FILES)


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _kind(path: Path) -> str:
    name = path.name.lower()
    packed = next((ending for ending in _PACKED if name.endswith(ending)), "")
    _, dot, kind = name.removesuffix(packed).rpartition(".")
    if not dot or kind not in (_TEXT_FILES if packed else _TEXT_FILES + _PARQUET_FILES):
        raise DataError(
            f"{str(path)!r} is not a kind of file that can be read; expected .csv, .tsv, .txt (also packed: "
            f"{', '.join(_PACKED)}) or .parquet: save the table as CSV in UTF-8"
        )
    return kind


def _first_bytes(path: Path, n: int) -> bytes:
    from pandas.io.common import get_handle

    with get_handle(path, "rb", is_text=False, compression="infer") as file:
        return file.handle.read(n)  # type: ignore[return-value]


def _encoding(path: Path) -> str:
    start = _first_bytes(path, 4096)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if b"\x00" in start:
        raise DataError(f"{str(path)!r} is not a text file, whatever its name says; save the table as CSV in UTF-8")
    return "utf-8-sig"


def _usual_separator(path: Path, kind: str) -> str:
    if kind == "txt":
        header = _first_bytes(path, 4096).split(b"\n")[0]
        return "\t" if b"\t" in header and b"," not in header else ","
    return "\t" if kind == "tsv" else ","


def _read_text(path: Path, separator: str, encoding: str) -> pd.DataFrame:
    import pandas as pd

    options: dict[str, Any] = {"sep": separator, "encoding": encoding, "index_col": False}
    header = list(pd.read_csv(path, nrows=0, **options).columns)
    other = [mark for mark in _SEPARATORS if mark != separator and mark in str(header[0])]
    if len(header) == 1 and other:
        mark = max(other, key=str(header[0]).count)
        raise DataError(
            f"{str(path)!r} has one column named {header[0]!r}; its columns seem to be separated by {mark!r}, not by "
            f"{separator!r}: pass separator={mark!r} (--separator on the command line)"
        )
    if int(pd.__version__.split(".")[0]) < 3:
        # Numbers to the last bit, as pandas 3 reads them anyway.
        options["float_precision"] = "round_trip"
    with warnings.catch_warnings():
        # pandas warns, and drops values, where a row is longer than the header.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(path, low_memory=False, **options)
        except pd.errors.ParserWarning:
            raise DataError(
                f"{str(path)!r} has rows with more values than the {len(header)} columns of its header; correct the "
                "header, or quote values that contain the separator"
            ) from None
