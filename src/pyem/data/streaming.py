"""Text files, read piece by piece into compact columns.

What is read here is what `pyem.data.texts` makes of the same file with pandas, which is the general way and knows the rules.
Whatever could differ (stray quotes, other encodings, decimal commas, columns whose first rows do not tell what they
are, infinite numbers, rows of unequal length) is left to it: these functions then raise `Unknown` or an error of Arrow.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from pyem.data.coded import Numbers, Texts, Truths, Unknown
from pyem.data.texts import MISSING, TextFile

PIECE = 1 << 22
"""Bytes that are read at once."""
_FAILED = re.compile(r"In CSV column #(\d+): .*invalid value '(.*)'")
_WHOLE = re.compile(r"\s*[-+]?\d+\s*")
_HEXADECIMAL = re.compile(rb"0[xX]")
_BOM = b"\xef\xbb\xbf"
Reader = Texts | Numbers


def streamed_columns(file: TextFile, used: Sequence[str], names: Sequence[str]) -> dict[str, Reader]:
    """The columns of a text file that are used, read piece by piece.

    Parameters
    ----------
    file
        The file and what its first rows say.
    used
        Columns that are read.
    names
        Those that hold names, which are kept as they are written.

    Raises
    ------
    Unknown
        If the file is to be read in the general way.
    """
    import pyarrow as pa

    kinds = kinds_of(file, used, names)
    for _ in range(1 + len(used)):
        columns = {name: reader_of(kind) for name, kind in kinds.items()}
        try:
            for piece in text_pieces(file, kinds):
                for name, column in columns.items():
                    column.add(piece[name])
            return columns
        except pa.ArrowInvalid as error:
            kinds = corrected(file, kinds, str(error))
    raise Unknown("columns change their kind")


def kinds_of(file: TextFile, used: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """What each column is: name, text, whole, number or truth.

    Raises
    ------
    Unknown
        If the file is to be read in the general way.
    """
    if codecs.lookup(file.encoding).name not in ("utf-8", "utf-8-sig"):
        raise Unknown(f"its encoding is {file.encoding}")
    if file.may_have_commas or len(file.separator) > 1 or len(file.header) < 2:
        raise Unknown("it may have decimal commas, or its columns are separated by spaces")
    if not set(used) <= set(file.header):
        raise Unknown(f"it has no column {next(name for name in used if name not in file.header)!r}")
    return {name: "name" if name in names else _kind(file, name) for name in used}


def _kind(file: TextFile, name: str) -> str:
    """What the values of a column are, from its first rows: text, whole, number or truth."""
    if name in file.texts:
        return "text"
    known = file.sample[name].dropna()
    if not len(known):
        raise Unknown(f"column {name!r} is empty in the first rows")
    if known.dtype.kind in "if":
        return "whole" if known.dtype.kind == "i" else "number"
    if not all(isinstance(value, bool | np.bool_) for value in known.tolist()):
        raise Unknown(f"it is not clear what column {name!r} is")
    return "truth"


def corrected(file: TextFile, kinds: Mapping[str, str], error: str) -> dict[str, str]:
    """What columns are if whole numbers in the first rows are followed by others."""
    failed = _FAILED.search(error)
    name = file.header[int(failed[1])] if failed else None
    # Too long for 64 bits is another matter than not whole.
    if failed is None or name is None or kinds.get(name) != "whole" or _WHOLE.fullmatch(failed[2]):
        raise Unknown(error) from None
    return {**kinds, name: "number"}


def text_pieces(file: TextFile, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Arrow arrays by name of the rows of a text file, piece by piece; `kinds` says what each is.

    Raises
    ------
    Unknown, pyarrow.ArrowInvalid
        If a piece is not as expected.
    """
    import pyarrow as pa
    import pyarrow.csv

    at = {name: str(file.header.index(name)) for name in kinds}
    text = pa.dictionary(pa.int32(), pa.string())
    types = {"whole": pa.int64(), "number": pa.float64()}
    convert = pyarrow.csv.ConvertOptions(
        column_types={at[name]: types.get(kind, text) for name, kind in kinds.items()},
        include_columns=list(at.values()),
        null_values=list(MISSING),
        # What is missing in columns of text is told by their distinct values.
        strings_can_be_null=False,
    )
    parse = pyarrow.csv.ParseOptions(delimiter=file.separator)
    places = [str(k) for k in range(len(file.header))]
    for piece in _pieces(file, whole="whole" in kinds.values()):
        table = pyarrow.csv.read_csv(
            pa.BufferReader(piece),
            read_options=pyarrow.csv.ReadOptions(column_names=places, block_size=1 << 20),
            parse_options=parse,
            convert_options=convert,
            # What is freed goes back at once.
            memory_pool=pa.system_memory_pool(),
        )
        _require_finite([table.column(at[name]) for name, kind in kinds.items() if kind == "number"])
        for batch in table.to_batches():
            yield {name: batch.column(batch.schema.get_field_index(at[name])) for name in kinds}


def reader_of(kind: str) -> Reader:
    """What collects a column of this kind."""
    if kind in ("whole", "number"):
        return Numbers(whole=kind == "whole")
    if kind == "flag":
        return Numbers(whole=True, kind="boolean")
    if kind == "truth":
        return Truths(MISSING)
    return Texts({"name": ("",), "text": MISSING}.get(kind, ()))


def _require_finite(columns: Sequence[Any]) -> None:
    from pyarrow.compute import call_function

    if any(call_function("all", [call_function("is_finite", [column])]).as_py() is False for column in columns):
        raise Unknown("numbers that are not finite")


def _pieces(file: TextFile, *, whole: bool) -> Iterator[bytes]:
    """The rows in pieces that end with a line."""
    with open(file.path, "rb") as stream:
        _skip_header(stream, file)
        rest = b""
        while block := stream.read(PIECE):
            cut = block.rfind(b"\n") + 1
            if not cut:
                raise Unknown("a line is longer than a piece, or there are no lines")
            yield _known(rest + block[:cut], whole)
            rest = block[cut:]
        if rest.strip():
            yield _known(rest, whole)


def _known(piece: bytes, whole: bool) -> bytes:
    if b"\0" in piece or (b'"' in piece and piece.count(b'"') % 2):
        raise Unknown("quotes go on over several lines, or are part of text")
    if whole and (b"x" in piece or b"X" in piece) and _HEXADECIMAL.search(piece):
        raise Unknown("hexadecimal numbers, which pandas takes for text")
    return piece


def _skip_header(stream: BinaryIO, file: TextFile) -> None:
    for _ in range(file.skipped):
        stream.readline()
    line = stream.readline().removeprefix(_BOM).decode()
    if next(csv.reader([line], delimiter=file.separator), []) != list(file.header):
        raise Unknown("the header is not the first line")
