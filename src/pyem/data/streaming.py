"""Text files, read piece by piece into compact columns.

What is read here is what `pyem.data.texts` makes of the same file with pandas, which is the general way and knows the rules.
Whatever could differ (stray quotes, other encodings, commas that may be decimal ones, columns whose first rows do not tell
what they are, infinite numbers, rows of unequal length) is left to it: these functions then raise `Unknown` or an error
of Arrow.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyem.data.coded import Numbers, Texts, Truths, Unknown
from pyem.data.texts import MISSING, TextFile
from pyem.numerics.threads import abreast

PIECE = 1 << 21
"""Number of bytes that are read at once."""
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
        Columns that hold names, which are kept as they are written.

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
            for k, piece in enumerate(text_pieces(file, kinds)):
                for name, column in columns.items():
                    if k == 0:
                        column.expect(_rows_in_all(file, len(piece[name])))
                    column.add(piece[name])
            return columns
        except pa.ArrowInvalid as error:
            kinds = corrected(file, kinds, str(error))
    raise Unknown("columns change their kind")


def _rows_in_all(file: TextFile, first: int) -> int:
    """Rough number of rows in all, a few too many, estimated from the first piece."""
    return int(1.02 * first * max(1.0, file.path.stat().st_size / PIECE))


def kinds_of(file: TextFile, used: Sequence[str], names: Sequence[str], *, empty: str | None = None) -> dict[str, str]:
    """Kind of each column: name, text, whole, number or truth; `empty`, if given, where its first rows are empty.

    Raises
    ------
    Unknown
        If the file is to be read in the general way.
    """
    if codecs.lookup(file.encoding).name not in ("utf-8", "utf-8-sig"):
        raise Unknown(f"its encoding is {file.encoding}")
    if file.may_have_commas and file.decimal is None:
        raise Unknown("it may have decimal commas, as it is separated by semicolons; say decimal=',' or decimal='.'")
    if len(file.separator) > 1 or len(file.header) < 2:
        raise Unknown("its columns are separated by spaces")
    if not set(used) <= set(file.header):
        raise Unknown(f"it has no column {next(name for name in used if name not in file.header)!r}")
    return {name: "name" if name in names else _kind(file, name, empty) for name in used}


def _kind(file: TextFile, name: str, empty: str | None) -> str:
    """Kind of a column's values, from its first rows: text, whole, number or truth."""
    if name in file.texts:
        return "text"
    known = file.sample[name].dropna()
    if not len(known) and empty is not None:
        return empty
    if not len(known):
        raise Unknown(f"column {name!r} is empty in the first rows")
    if known.dtype.kind in "if":
        return "whole" if known.dtype.kind == "i" else "number"
    if not all(isinstance(value, bool | np.bool_) for value in known.tolist()):
        raise Unknown(f"it is not clear what column {name!r} is")
    return "truth"


def corrected(file: TextFile, kinds: Mapping[str, str], error: str) -> dict[str, str]:
    """Correct the kinds of columns whose whole numbers in the first rows are followed by others."""
    failed = _FAILED.search(error)
    name = file.header[int(failed[1])] if failed else None
    # A number too long for 64 bits needs another treatment than one that is not whole.
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
    at = {name: str(file.header.index(name)) for name in kinds}
    yield from abreast(_Parser(file, kinds, at), _pieces(file))


@dataclasses.dataclass
class _Parser:
    """Parser that makes Arrow arrays by name of pieces of a text file, whose columns are named by their positions."""

    file: TextFile
    kinds: Mapping[str, str]
    at: Mapping[str, str]
    quick: bool = True
    scattered: set[str] = dataclasses.field(default_factory=set)
    """Columns of names that do not stay the same for several rows."""

    def __call__(self, rows: memoryview) -> dict[str, Any]:
        """Parse rows to an array for each column."""
        import pyarrow as pa

        piece = _piece(rows, whole="whole" in self.kinds.values())
        if self.quick:
            try:
                return self._arrays(piece, quick=True)
            except (pa.ArrowInvalid, Unknown):
                # Text for missing values, or larger numbers; other problems show below.
                self.quick = False
        return self._arrays(piece, quick=False)

    def _arrays(self, piece: _Piece, *, quick: bool) -> dict[str, Any]:
        runs = [name for name, kind in self.kinds.items() if kind == "name" and name not in self.scattered]
        table = _table(self.file, self.kinds, self.at, piece, quick=quick, runs=runs)
        arrays = {name: _array(table.column(at)) for name, at in self.at.items()}
        for name in runs:
            arrays[name], together = _coded_by_runs(arrays[name])
            if not together:
                self.scattered.add(name)
        return arrays


class _Piece(NamedTuple):
    """Rows of a text file, with whether there are quotes in them, and whether all are plain characters."""

    rows: memoryview
    quoted: bool
    ascii: bool


def _table(
    file: TextFile, kinds: Mapping[str, str], at: Mapping[str, str], piece: _Piece, *, quick: bool, runs: Sequence[str]
) -> Any:
    """Parse one piece as an Arrow table; the quick way handles only empty cells and short whole numbers.

    Text is parsed to its distinct values, except that of the columns in `runs`.
    """
    import pyarrow as pa
    import pyarrow.csv

    text = pa.dictionary(pa.int32(), pa.string())
    types = {"whole": pa.int16() if quick else pa.int64(), "number": pa.float64()}
    table = pyarrow.csv.read_csv(
        pa.BufferReader(piece.rows),
        read_options=pyarrow.csv.ReadOptions(
            # Pieces are parsed beside each other: threads for one alone would wait at its end.
            column_names=[str(k) for k in range(len(file.header))],
            block_size=max(2, len(piece.rows)),
            use_threads=False,
        ),
        # Features that a piece lacks need not be looked for in each of its cells.
        parse_options=pyarrow.csv.ParseOptions(delimiter=file.separator, quote_char=piece.quoted and '"'),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={at[name]: types.get(kind, text) for name, kind in kinds.items()}
            | {at[name]: pa.string() for name in runs},
            include_columns=list(at.values()),
            null_values=[""] if quick else list(MISSING),
            decimal_point=file.decimal or ".",
            # Missing values in columns of text are recognised by their distinct values.
            strings_can_be_null=False,
            check_utf8=not piece.ascii,
        ),
        # Freed memory is given back at once.
        memory_pool=pa.system_memory_pool(),
    )
    _require_finite([table.column(at[name]) for name, kind in kinds.items() if kind == "number"])
    return table


def _array(chunks: Any) -> Any:
    """Array of an Arrow column, which is usually in one part."""
    return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()


def _coded_by_runs(texts: Any) -> tuple[Any, bool]:
    """Arrow dictionary array of texts, and whether they stay the same for several rows.

    Then only the first of these rows is looked up, in a third of the time.
    """
    import pyarrow as pa
    from pyarrow.compute import call_function

    runs = call_function("run_end_encode", [texts])
    if 4 * len(runs.values) > len(texts):
        return texts.dictionary_encode(), False
    first = runs.values.dictionary_encode()
    index = np.repeat(first.indices.to_numpy(), np.diff(runs.run_ends.to_numpy(), prepend=0))
    return pa.DictionaryArray.from_arrays(pa.array(index), first.dictionary), True


def reader_of(kind: str) -> Reader:
    """Return a reader that collects a column of this kind."""
    if kind in ("whole", "number"):
        return Numbers(whole=kind == "whole")
    if kind == "flag":
        return Numbers(whole=True, kind="boolean")
    if kind == "truth":
        return Truths(missing_in(kind))
    return Texts(missing_in(kind))


def missing_in(kind: str) -> tuple[str, ...]:
    """The texts that stand for a missing value in a column of this kind."""
    return {"name": ("",), "text": MISSING, "truth": MISSING}.get(kind, ())


def _require_finite(columns: Sequence[Any]) -> None:
    from pyarrow.compute import call_function

    if any(call_function("all", [call_function("is_finite", [column])]).as_py() is False for column in columns):
        raise Unknown("numbers that are not finite")


def _pieces(file: TextFile) -> Iterator[memoryview]:
    """The rows in pieces that end with a line."""
    with open(file.path, "rb") as stream:
        _skip_header(stream, file)
        rest = memoryview(b"")
        end = PIECE
        while end == PIECE:
            block = bytearray(PIECE)
            block[: len(rest)] = rest
            end = _filled(stream, block, len(rest))
            cut = block.rfind(b"\n", 0, end) + 1 if end == PIECE else end
            if not cut and end:
                raise Unknown("a line is longer than a piece")
            if cut > 64 or block[:cut].strip():
                yield memoryview(block)[:cut]
            rest = memoryview(block)[cut:]


def _filled(stream: io.BufferedReader, block: bytearray, start: int) -> int:
    """Read into a block from `start` on until it is full or the file ends; return the end of what was read."""
    while start < len(block) and (n := stream.readinto(memoryview(block)[start:])):
        start += n
    return start


def _piece(rows: memoryview, *, whole: bool) -> _Piece:
    """Examine rows before they are parsed.

    Raises
    ------
    Unknown
        If they are to be read in the general way.
    """
    block, end = rows.obj, len(rows)
    assert isinstance(block, bytearray)
    quoted = block.find(b'"', 0, end) >= 0
    if block.find(b"\0", 0, end) >= 0 or (quoted and block.count(b'"', 0, end) % 2):
        raise Unknown("quotes go on over several lines, or are part of text")
    if whole and max(block.find(b"x", 0, end), block.find(b"X", 0, end)) >= 0 and _HEXADECIMAL.search(block, 0, end):
        raise Unknown("hexadecimal numbers, which pandas takes for text")
    return _Piece(rows, quoted, block.isascii())


def _skip_header(stream: io.BufferedReader, file: TextFile) -> None:
    for _ in range(file.skipped):
        stream.readline()
    line = stream.readline().removeprefix(_BOM).decode()
    if next(csv.reader([line], delimiter=file.separator), []) != list(file.header):
        raise Unknown("the header is not the first line")
