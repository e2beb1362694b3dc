"""Files of a table too large for memory, read piece by piece, and the kinds of their columns."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.coded import Unknown
from pyem.data.coded_files import parquet_kind, parquet_pieces
from pyem.data.files import PARQUET_FILES, TEXT_FILES
from pyem.data.many_files import Paths, contradiction, entities, find_files
from pyem.data.streaming import corrected, kinds_of, missing_in, text_pieces
from pyem.data.texts import TextFile, first_rows
from pyem.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

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
    named
        Values that the name of each file gives, by column.
    """

    files: Sequence[Path]
    texts: Sequence[TextFile | None]
    kinds: dict[str, str]
    named: Sequence[Mapping[str, str]]
    current: int = 0
    """Number of the file that the last piece was from."""

    @classmethod
    def of(
        cls,
        files: Sequence[Path],
        used: Sequence[str],
        names: Sequence[str],
        *,
        pattern: str | None = None,
        **how: str | None,
    ) -> Source:
        """Make the source of these files, of which the columns `used` are read; those in `names` hold names.

        The names of files give the columns that are in `pattern`, see `pyem.data.many_files.entities`.

        Raises
        ------
        DataError
            If a file cannot be read piece by piece.
        """
        texts, kinds, named = [], dict.fromkeys(used, ""), []
        for path in files:
            said = _said_by(path, pattern)
            text, found = _looked_at(path, used, names, how, said)
            texts.append(text)
            named.append(said)
            kinds = {name: _both(name, kinds[name], found[name], path) for name in used}
        # Columns that are empty in the first rows of all files may hold numbers later.
        return cls(files, texts, {name: kind or "number" for name, kind in kinds.items()}, named)

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
        for k, (path, text, said) in enumerate(zip(self.files, self.texts, self.named, strict=True)):
            self.current = k
            try:
                there = _columns_of(path, text)
                kinds = {name: kind for name, kind in self.kinds.items() if name in there}
                pieces = parquet_pieces(path, kinds) if text is None else text_pieces(text, kinds)
                for piece in pieces:
                    size = len(next(iter(piece.values())))
                    yield np.arange(n, n + size), self._with_named(piece, size, path, said)
                    n += size
            except Unknown as error:
                raise _cannot(path, str(error)) from None
            except pa.ArrowInvalid as error:
                self._correct(path, text, str(error))
                raise Changed from None
            except (OSError, pa.ArrowException) as error:
                raise _cannot(path, str(error).splitlines()[0]) from None

    def _with_named(self, piece: dict[str, Any], size: int, path: Path, said: Mapping[str, str]) -> dict[str, Any]:
        """A piece with the columns that the name of its file tells, which must not contradict the file."""
        import pyarrow as pa

        for name in said:
            if name in piece:
                _agree(piece[name], self.kinds[name], name, said[name], path)
        told = {name: said[name] for name in self.kinds if name not in piece}
        index = pa.array(np.zeros(size if told else 0, np.int32))
        made = {name: pa.DictionaryArray.from_arrays(index, pa.array([value])) for name, value in told.items()}
        return {name: made[name] if name in made else piece[name] for name in self.kinds}

    def _correct(self, path: Path, text: TextFile | None, error: str) -> None:
        if text is None:
            raise _cannot(path, error.splitlines()[0]) from None
        try:
            self.kinds = corrected(text, self.kinds, error)
        except Unknown:
            raise _cannot(path, error.splitlines()[0]) from None


def _columns_of(path: Path, text: TextFile | None) -> Sequence[str]:
    import pyarrow.parquet

    return pyarrow.parquet.read_schema(path).names if text is None else text.header


def _agree(array: Any, kind: str, name: str, value: str, path: Path) -> None:
    """Raise DataError if a column of a file, where it is not empty, says another thing than the name of the file."""
    import pyarrow as pa

    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    gone, index = missing_in(kind), coded.indices.drop_null().unique().to_pylist()
    labels = coded.dictionary.to_pylist()
    other = next((labels[k] for k in index if labels[k] not in gone and str(labels[k]) != value), None)
    if other is not None:
        raise contradiction(path, name, value, other)


def first_table(paths: Paths, pattern: str | None, names: Sequence[str], **how: str | None) -> pd.DataFrame:
    """Columns and first rows of the first file, with what its name says; of Parquet files no row.

    Parameters
    ----------
    paths, pattern
        See `pyem.data.many_files.find_files`.
    names
        Columns that hold names, which are kept as they are written.
    how
        ``separator``, ``encoding`` and ``decimal`` of text files.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read piece by piece.
    """
    files, pattern = find_files(paths, pattern)
    with _told_of(files[0]):
        text, schema = _opened(files[0], names, how)
        table = text.sample if text is not None else schema.empty_table().to_pandas()
        return table.assign(**{k: v for k, v in _said_by(files[0], pattern).items() if k not in table.columns})


def _said_by(path: Path, pattern: str | None) -> Mapping[str, str]:
    """Columns that the name of a file tells, with their values."""
    return (entities(path, pattern) or {}) if pattern else {}


def _opened(path: Path, names: Sequence[str], how: Mapping[str, Any]) -> tuple[TextFile | None, Any]:
    """First rows of a text file, or else the schema of a Parquet file."""
    import pyarrow.parquet

    kind = path.name.lower().rpartition(".")[2]
    if kind in TEXT_FILES:
        return first_rows(
            path, kind, names=names, **{"separator": None, "encoding": None, "decimal": None, **how}
        ), None
    if kind not in PARQUET_FILES:
        raise Unknown("it is neither a plain text file nor Parquet")
    return None, pyarrow.parquet.read_schema(path)


@contextlib.contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Word what is wrong with a file."""
    import pandas as pd
    import pyarrow as pa

    try:
        yield
    except Unknown as error:
        raise _cannot(path, str(error)) from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{str(path)!r} is empty; it should have a header and a row for each trial") from None
    except (OSError, UnicodeError, pd.errors.ParserError, pa.ArrowException) as error:
        raise _cannot(path, str(error).splitlines()[0]) from None


def _looked_at(
    path: Path, used: Sequence[str], names: Sequence[str], how: Mapping[str, Any], said: Mapping[str, str]
) -> tuple[TextFile | None, dict[str, str]]:
    import pyarrow.parquet

    with _told_of(path):
        text, schema = _opened(path, names, how)
        if text is not None:
            there = _required(path, used, text.header, said)
            _some_rows(path, len(text.sample))
            told = {name: "name" if name in names else "label" for name in said}
            return text, told | kinds_of(text, there, names, empty="")
        there = _required(path, used, schema.names, said)
        _some_rows(path, pyarrow.parquet.read_metadata(path).num_rows)
        return None, dict.fromkeys(said, "label") | {
            name: parquet_kind(name, schema.field(name).type) for name in there
        }


def _some_rows(path: Path, n: int) -> None:
    if not n:
        raise DataError(
            f"{str(path)!r} has a header and no rows; it should have a row for each trial: leave the file out"
        )


def _required(path: Path, used: Sequence[str], known: Sequence[str], said: Mapping[str, str]) -> list[str]:
    """The columns of a file that are read; others are told by its name."""
    absent = [name for name in used if name not in known and name not in said]
    if absent:
        raise DataError(
            f"the file {str(path)!r} has no column {', '.join(map(repr, absent))}; it has {', '.join(map(repr, known))}: name "
            "one of these, or, if the names of files say it, give pattern="
        )
    return [name for name in used if name in known]


def _both(name: str, one: str, other: str, path: Path) -> str:
    """Kind of a column that is `one` in some files and `other` in the next; "" where it is empty."""
    if not one or not other or one == other:
        return one or other
    if {one, other} == {"whole", "number"}:
        return "number"
    if {one, other} == {"text", "label"}:
        # The names of some files tell it.
        return "text"
    raise DataError(
        f"column {name!r} has {_WORDS[other]} in {str(path)!r} and {_WORDS[one]} in the files before it; write it in one way "
        "in all files"
    )


def _cannot(path: Path, why: str) -> DataError:
    return DataError(
        f"{str(path)!r} cannot be read piece by piece: {why.rstrip('.')}; correct it, or write the table as Parquet, for "
        "example with pandas.read_csv(...).to_parquet(...); Dataset.read takes all kinds of files that fit into memory"
    )
