"""Files of a table too large for memory, read piece by piece, and the kinds of their columns."""

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

_WORDS = {"name": "names", "text": "text", "label": "text", "whole": "whole numbers", "number": "numbers"}
_WORDS |= dict.fromkeys(("truth", "flag"), "true and false")
"""What each kind of column is called."""


class Changed(Exception):
    """Raised when a column turns out to be of another kind than its first rows: it has to be read again."""


@dataclasses.dataclass
class Source:
    """The files of one table.

    Parameters
    ----------
    files
        Their paths, in order.
    texts
        First rows of each file; None for Parquet files.
    kinds
        Kind of each column that is read.
    """

    files: Sequence[Path]
    texts: Sequence[TextFile | None]
    kinds: dict[str, str]

    @classmethod
    def of(cls, files: Sequence[Path], used: Sequence[str], names: Sequence[str], **how: str | None) -> Source:
        """Make the source of these files, of which the columns `used` are read; those in `names` hold names.

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
        # Columns that are empty in the first rows of all files may hold numbers later.
        return cls(files, texts, {name: kind or "number" for name, kind in kinds.items()})

    def pieces(self) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Yield numbers of rows over all files, from 0, and Arrow arrays by name, piece by piece.

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
            except (OSError, pa.ArrowException) as error:
                raise _cannot(path, str(error).splitlines()[0]) from None

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
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet

    kind = path.name.lower().rpartition(".")[2]
    try:
        if kind in TEXT_FILES:
            options = {"separator": None, "encoding": None, "decimal": None, **how}
            text = first_rows(path, kind, names=names, **options)
            _require(path, used, text.header)
            _some_rows(path, len(text.sample))
            return text, kinds_of(text, used, names, empty="")
        if kind not in PARQUET_FILES:
            raise Unknown("it is neither a plain text file nor Parquet")
        about = pyarrow.parquet.read_metadata(path)
        schema = about.schema.to_arrow_schema()
        _require(path, used, schema.names)
        _some_rows(path, about.num_rows)
        return None, {name: parquet_kind(name, schema.field(name).type) for name in used}
    except Unknown as error:
        raise _cannot(path, str(error)) from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{str(path)!r} is empty; it should have a header and a row for each trial") from None
    except (OSError, UnicodeError, pd.errors.ParserError, pa.ArrowException) as error:
        raise _cannot(path, str(error).splitlines()[0]) from None


def _some_rows(path: Path, n: int) -> None:
    if not n:
        raise DataError(
            f"{str(path)!r} has a header and no rows; it should have a row for each trial: leave the file out"
        )


def _require(path: Path, used: Sequence[str], known: Sequence[str]) -> None:
    absent = [name for name in used if name not in known]
    if absent:
        raise DataError(
            f"the file {str(path)!r} has no column {', '.join(map(repr, absent))}; it has {', '.join(map(repr, known))}: name "
            "one of these"
        )


def _both(name: str, one: str, other: str, path: Path) -> str:
    """Kind of a column that is `one` in some files and `other` in the next; "" where it is empty."""
    if not one or not other or one == other:
        return one or other
    if {one, other} == {"whole", "number"}:
        return "number"
    raise DataError(
        f"column {name!r} has {_WORDS[other]} in {str(path)!r} and {_WORDS[one]} in the files before it; write it in one way "
        "in all files"
    )


def _cannot(path: Path, why: str) -> DataError:
    return DataError(
        f"{str(path)!r} cannot be read piece by piece: {why.rstrip('.')}; correct it, or write the table as Parquet, for "
        "example with pandas.read_csv(...).to_parquet(...); Dataset.read takes all kinds of files that fit into memory"
    )
