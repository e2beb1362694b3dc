"""Files of a table that is too large for memory, gone through piece by piece, and what their columns are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyem.data.coded import Unknown
from pyem.data.coded_files import parquet_kind, parquet_pieces
from pyem.data.files import PARQUET_FILES, TEXT_FILES
from pyem.data.streaming import corrected, kinds_of, text_pieces
from pyem.data.texts import TextFile, first_rows
from pyem.errors import DataError


class Changed(Exception):
    """What a column is turned out to be another than the first rows said: what was read has to be read again."""


@dataclasses.dataclass
class Source:
    """The files of one table.

    Parameters
    ----------
    files
        Their paths, in order.
    texts
        What the first rows of each say; None for Parquet files.
    kinds
        What each column is that is read.
    """

    files: Sequence[Path]
    texts: Sequence[TextFile | None]
    kinds: dict[str, str]

    @classmethod
    def of(cls, files: Sequence[Path], used: Sequence[str], names: Sequence[str], **how: str | None) -> Source:
        """The source of these files, of which the columns `used` are read; those in `names` hold names.

        Raises
        ------
        DataError
            If a file cannot be read piece by piece.
        """
        texts, kinds = [], dict.fromkeys(used, "")
        for path in files:
            text, found = _looked_at(path, used, names, how)
            texts.append(text)
            kinds = {name: _both(name, kinds[name], found[name], path) for name in used}
        return cls(files, texts, kinds)

    def pieces(self) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Numbers of rows over all files, from 0, and Arrow arrays by name, piece by piece.

        Raises
        ------
        Changed
            If a column is of another kind than `kinds` said, which is corrected there.
        DataError
            If a file cannot be read piece by piece.
        """
        import pyarrow as pa

        n = 0
        for path, text in zip(self.files, self.texts, strict=True):
            try:
                pieces = parquet_pieces(path, self.kinds) if text is None else text_pieces(text, self.kinds)
                for piece in pieces:
                    size = len(next(iter(piece.values())))
                    yield np.arange(n, n + size), piece
                    n += size
            except Unknown as error:
                raise _cannot(path, str(error)) from None
            except pa.ArrowInvalid as error:
                self._correct(path, text, str(error))
                raise Changed from None

    def _correct(self, path: Path, text: TextFile | None, error: str) -> None:
        if text is None:
            raise _cannot(path, error.splitlines()[0]) from None
        try:
            self.kinds = corrected(text, self.kinds, error)
        except Unknown:
            raise _cannot(path, error.splitlines()[0]) from None


def _looked_at(
    path: Path, used: Sequence[str], names: Sequence[str], how: Mapping[str, Any]
) -> tuple[TextFile | None, dict[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet

    kind = path.name.lower().rpartition(".")[2]
    try:
        if kind in TEXT_FILES:
            options = {"separator": None, "encoding": None, "decimal": None, **how}
            text = first_rows(path, kind, names=names, **options)
            _require(path, used, text.header)
            return text, kinds_of(text, used, names)
        if kind not in PARQUET_FILES:
            raise Unknown("it is neither a plain text file nor Parquet")
        schema = pyarrow.parquet.read_schema(path)
        _require(path, used, schema.names)
        return None, {name: parquet_kind(name, schema.field(name).type) for name in used}
    except Unknown as error:
        raise _cannot(path, str(error)) from None
    except pa.ArrowException as error:
        raise _cannot(path, str(error).splitlines()[0]) from None


def _require(path: Path, used: Sequence[str], known: Sequence[str]) -> None:
    absent = [name for name in used if name not in known]
    if absent:
        raise DataError(
            f"the file {str(path)!r} has no column {', '.join(map(repr, absent))}; it has {', '.join(map(repr, known))}: name "
            "one of these"
        )


def _both(name: str, one: str, other: str, path: Path) -> str:
    """What a column is that is `one` in some files and `other` in the next."""
    if not one or one == other:
        return other
    if {one, other} == {"whole", "number"}:
        return "number"
    raise DataError(
        f"column {name!r} is {other} in {str(path)!r} and {one} in the files before it; write it in one way in all files"
    )


def _cannot(path: Path, why: str) -> DataError:
    return DataError(
        f"{str(path)!r} cannot be read piece by piece: {why.rstrip('.')}; correct it, or write the table as Parquet, for "
        "example with pandas.read_csv(...).to_parquet(...); Dataset.read takes all kinds of files that fit into memory"
    )
