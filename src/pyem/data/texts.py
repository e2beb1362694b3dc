"""Tables from text files: separators, decimal commas, names that stay text, and headers that name each column once."""

from __future__ import annotations

import codecs
import collections
import dataclasses
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MISSING = ("", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")
"""Texts of cells that are missing, except in columns of names."""
SAMPLE = 200
"""Number of rows that show which columns are text."""
SPACES = r"\s+"
_SEPARATORS = ";\t|,"
_STATED = re.compile(r'\ufeff?"?sep=(.)"?\r?\n', re.IGNORECASE)
_NUMBER = re.compile(r"\s*[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?\s*", re.ASCII)


def first_bytes(path: Path, n: int = 4096) -> bytes:
    """Beginning of a file, unpacked."""
    from pandas.io.common import get_handle

    with get_handle(path, "rb", is_text=False, compression="infer") as file:
        return file.handle.read(n)  # type: ignore[return-value]


def usual_encoding(path: Path) -> str:
    """UTF-8, or UTF-16 where a file begins with its byte-order mark.

    Raises
    ------
    DataError
        If it is no text file.
    """
    start = first_bytes(path)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if b"\x00" in start:
        raise DataError(f"{str(path)!r} is not a text file, whatever its name says; save the table as CSV in UTF-8")
    # Without a mark pandas decodes by itself, which is quicker.
    return "utf-8-sig" if start.startswith(codecs.BOM_UTF8) else "utf-8"


@dataclasses.dataclass(frozen=True, eq=False)
class TextFile:
    """A text file, with what its first rows show."""

    path: Path
    separator: str
    encoding: str
    decimal: str | None
    header: tuple[str, ...]
    """Names of the columns."""
    skipped: int
    """Number of lines before the header."""
    sample: pd.DataFrame
    """The first rows."""
    texts: tuple[str, ...]
    """Columns with a text in the first rows that is no number."""
    notes: tuple[str, ...]
    """Notes on how the first rows were read."""
    options: Mapping[str, Any]
    """Options with which pandas reads the file."""

    @property
    def may_have_commas(self) -> bool:
        """Whether the numbers may have decimal commas."""
        return self.decimal == "," or (self.separator == ";" and self.decimal is None)


def first_rows(
    path: Path, kind: str, *, separator: str | None, encoding: str | None, decimal: str | None, names: Sequence[str]
) -> TextFile:
    """Read the first rows of a file.

    Parameters
    ----------
    path, kind, separator, encoding, decimal
        See `pyem.data.files.read_table`; `kind` is the ending of the file's name.
    names
        Columns that hold names, which are kept as they are written.

    Raises
    ------
    DataError
        If the columns seem to have another separator, or two have the same name.
    """
    import pandas as pd

    encoding = encoding or usual_encoding(path)
    start = first_bytes(path).decode(encoding, errors="replace")
    stated = _STATED.match(start)
    separator = separator or (str(stated[1]) if stated else _usual_separator(start, kind))
    skipped = 1 if stated else 0
    options: dict[str, Any] = {"sep": separator, "encoding": encoding, "index_col": False, "skiprows": skipped}
    header = list(pd.read_csv(path, nrows=0, **options).columns)
    _one_separator(path, header, separator)
    _each_once(path, pd.read_csv(path, nrows=1, header=None, dtype=str, keep_default_na=False, **options))
    if names:
        options |= _kept_as_written(header, names)
    if int(pd.__version__.split(".")[0]) < 3:
        # Numbers to the last bit, as pandas 3 reads them anyway.
        options["float_precision"] = "round_trip"
    options["decimal"] = decimal or "."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.ParserWarning)
        sample = pd.read_csv(path, nrows=SAMPLE, **options)
    notes = [f"the first line of the file says that its columns are separated by {stated[1]!r}"] if stated else []
    if separator == SPACES:
        notes.append("columns of the file were taken to be separated by spaces")
    texts = tuple(_columns_of_text(sample))
    return TextFile(path, separator, encoding, decimal, tuple(header), skipped, sample, texts, tuple(notes), options)


def read_text(file: TextFile, names: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Read a table, and make notes on how it was read.

    Parameters
    ----------
    file
        Result of `first_rows`.
    names
        Columns that hold names, which are kept as they are written.

    Raises
    ------
    DataError
        If rows are longer than the header.
    """
    # Each text is kept once: that takes half the time, and a tenth of the memory.
    kinds = file.options.get("dtype", {}) | dict.fromkeys(file.texts, "category")
    frame = _whole_rows(file.path, list(file.header), {**file.options, "dtype": kinds})
    commas = _read_commas(frame, names) if file.may_have_commas and file.decimal is None else []
    return frame, [*file.notes, *commas]


def _usual_separator(start: str, kind: str) -> str:
    if kind != "txt":
        return "\t" if kind == "tsv" else ","
    header = next((line for line in start.splitlines() if line.strip()), "")
    if "," in header:
        return ","
    if "\t" in header:
        return "\t"
    spaced = len(header.split()) > 1 and not any(mark in header for mark in _SEPARATORS)
    return SPACES if spaced else ","


def _one_separator(path: Path, header: list[str], separator: str) -> None:
    other = [mark for mark in _SEPARATORS if mark != separator and mark in str(header[0])]
    if len(header) == 1 and other:
        mark = max(other, key=str(header[0]).count)
        raise DataError(
            f"{str(path)!r} has one column named {header[0]!r}; its columns seem to be separated by {mark!r}, not by "
            f"{separator!r}: pass separator={mark!r} (--separator on the command line)"
        )


def _each_once(path: Path, first: pd.DataFrame) -> None:
    names = [str(name) for name in first.iloc[0]] if len(first) else []
    twice = [name for name, n in collections.Counter(names).items() if n > 1 and name.strip()]
    if twice:
        where = [str(k + 1) for k, name in enumerate(names) if name == twice[0]]
        raise DataError(
            f"{str(path)!r} has several columns named {twice[0]!r} (columns {', '.join(where)}), so that it cannot be told "
            "which one is meant; rename or remove the others in its header"
        )


def _kept_as_written(header: list[str], names: Sequence[str]) -> dict[str, Any]:
    """Options of pandas that keep names as text: 001 is not 1, and NA may be a person."""
    kept = [name for name in names if name in header]
    missing = {name: [""] if name in kept else list(MISSING) for name in header}
    return {"dtype": dict.fromkeys(kept, str), "na_values": missing, "keep_default_na": False}


def _columns_of_text(sample: pd.DataFrame) -> list[str]:
    """Columns with a text in the first rows that is no number, which are text in all rows, whatever comes."""
    kept = ((name, sample[name].dropna().tolist()) for name in sample.columns)
    return [name for name, values in kept if all(isinstance(v, str) for v in values) and any(map(_is_word, values))]


def _is_word(value: str) -> bool:
    """Whether a text is no number: pandas makes numbers of categories that all are."""
    try:
        float(value)
    except ValueError:
        return True
    return False


def _whole_rows(path: Path, header: list[str], options: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

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


def _read_commas(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Read columns with decimal commas as numbers, in place, and return a note that names them."""
    import pandas as pd

    found = []
    for name in frame.columns:
        if name in names or pd.api.types.is_numeric_dtype(frame[name]):
            continue
        index, distinct = pd.factorize(frame[name])
        texts = list(distinct)
        number = all(isinstance(text, str) and _NUMBER.fullmatch(text) for text in texts)
        if number and any("," in text for text in texts) and not any("." in text for text in texts):
            known = np.array([*(float(text.replace(",", ".")) for text in texts), np.nan])
            frame[name] = known[index]
            found.append(str(name))
    if not found:
        return []
    return [f"decimal commas were read in the column{'s' if len(found) > 1 else ''} {', '.join(map(repr, found))}"]
