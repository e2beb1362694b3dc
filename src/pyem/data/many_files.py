"""Tables from several files: a list, a folder, or the matches of a pattern, with columns from the names of the files."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.coded_files import read_coded
from pyem.data.columns import CodedTable
from pyem.data.files import is_table, read_table
from pyem.data.identifiers import natural
from pyem.data.preparing import listed, used_columns
from pyem.data.row_names import NOTES, ROWS, RowNames, row_names
from pyem.errors import DataError, counted, list_of, shown

if TYPE_CHECKING:
    import pandas as pd

Paths = str | Path | Sequence[str | Path]
BIDS = "bids"
ENTITIES = {"sub": "subject", "ses": "session"}
"""Names of the columns for entities of BIDS; others keep their names (``task``, ``run``, ...)."""
_BIDS_NAME = re.compile(r"(?:[a-zA-Z0-9]+-[a-zA-Z0-9+]+_)+[a-zA-Z0-9]+\.[a-zA-Z0-9.]+")
_BIDS_KINDS = ("beh", "events")
_FIELD = re.compile(r"\{(\w+)\}")


def find_files(paths: Paths, pattern: str | None = None) -> tuple[list[Path], str | None]:
    """Find the files, sorted (numbers in their names by value), and the pattern of their names.

    Parameters
    ----------
    paths
        A file, a folder (with the folders in it), a name with ``*``, or a list of these. A name with fields in braces is its
        own pattern: ``"data/sub-{subject}_ses-{session}_*.tsv"``.
    pattern
        Pattern of the end of their paths, or ``"bids"``. In a folder the files that fit are taken; files that are named
        have to fit.

    Raises
    ------
    DataError
        If there is no such file, or one does not fit the pattern.

    Examples
    --------
    >>> find_files("no such folder/sub-{subject}_*.tsv")
    Traceback (most recent call last):
    pyem.errors.DataError: no file is like 'no such folder/sub-{subject}_*.tsv'; check the path
    """
    several = [paths] if isinstance(paths, str | Path) else list(paths)
    if not several:
        raise DataError("the list of files is empty; name at least one")
    found: list[Path] = []
    for path in several:
        if _FIELD.search(str(path)) and not Path(path).exists():
            pattern = pattern or str(path)
        found += _files_of(path, pattern)
    twice = sorted({str(file) for file in found if found.count(file) > 1}) if len(set(found)) < len(found) else []
    if twice:
        raise DataError(f"the file {twice[0]!r} is named twice; name each once")
    return sorted(found, key=lambda file: natural(file.as_posix())), pattern


def _files_of(path: str | Path, pattern: str | None) -> list[Path]:
    place = Path(path)
    if place.is_file():
        _named(place, pattern)
        return [place]
    if place.is_dir():
        return _in_folder(place, pattern)
    if not glob.has_magic(_FIELD.sub("*", str(path))):
        raise DataError(f"there is no file {str(path)!r}; check the path")
    found = _there(map(Path, glob.glob(_FIELD.sub("*", str(path)), recursive=True)))
    if _FIELD.search(str(path)):
        found = [file for file in found if entities(file, str(path)) is not None]
    if not found:
        raise DataError(f"no file is like {str(path)!r}; check the path")
    for file in found:
        _named(file, pattern)
    return found


def _there(paths: Iterable[Path]) -> list[Path]:
    """Select the files among some paths; raise for a link to nowhere, as of a file that is kept elsewhere."""
    found = list(paths)
    lost = [path for path in found if path.is_symlink() and not path.exists()]
    if lost:
        raise DataError(
            f"the file {str(lost[0])!r} is a link to a file that is not there; fetch the file, or remove the link"
        )
    return [path for path in found if path.is_file()]


def _in_folder(folder: Path, pattern: str | None) -> list[Path]:
    files = _there(file for file in folder.rglob("*") if is_table(file))
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    fitting = files if pattern is None else [file for file in files if entities(file, pattern) is not None]
    if not fitting:
        what = "no table" if pattern is None else f"none of its {counted(len(files), 'table')} fits pattern={pattern!r}"
        example = f", such as {str(files[0].relative_to(folder))!r}" if files else ""
        raise DataError(f"the folder {str(folder)!r} has {what}{example}; check the folder and the pattern")
    return fitting


def _named(file: Path, pattern: str | None) -> None:
    if pattern is not None and entities(file, pattern) is None:
        raise DataError(
            f"the file {str(file)!r} does not fit pattern={pattern!r}; correct the pattern, or leave it out"
        )


def entities(file: Path, pattern: str) -> dict[str, str] | None:
    """Values of the columns that the path of a file gives; None if it does not fit the pattern.

    Examples
    --------
    >>> entities(Path("data/sub-01_ses-2_beh.tsv"), "sub-{subject}_ses-{session}_*.tsv")
    {'subject': '01', 'session': '2'}
    >>> entities(Path("sub-01/beh/sub-01_task-bandit_run-1_beh.tsv"), "bids")
    {'subject': '01', 'task': 'bandit', 'run': '1'}
    """
    if pattern == BIDS:
        return _bids(file)
    found = re.fullmatch(r"(?:.*/)?" + _expression(Path(pattern).as_posix()), file.as_posix())
    return None if found is None else found.groupdict()


def _bids(file: Path) -> dict[str, str] | None:
    if not _BIDS_NAME.fullmatch(file.name):
        return None
    *pairs, suffix = file.name.partition(".")[0].split("_")
    found = dict(pair.split("-", 1) for pair in pairs)
    if "sub" not in found or suffix not in _BIDS_KINDS:
        return None
    return {ENTITIES.get(name, name): value for name, value in found.items()}


def _expression(pattern: str) -> str:
    """Make a regular expression of a pattern; a field that comes again must have the same value again."""
    out, known = "", set()
    for part in re.split(r"(\{\w+\}|\*\*/|\*|\?)", pattern):
        if field := _FIELD.fullmatch(part):
            out += f"(?P={field[1]})" if field[1] in known else f"(?P<{field[1]}>[^/]+?)"
            known.add(field[1])
        else:
            out += {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
    return out


def read_files(files: Sequence[Path], pattern: str | None, used: Sequence[str], **how: Any) -> pd.DataFrame:
    """The tables of several files, one below the other, with the columns that the pattern finds in their names.

    Parameters
    ----------
    files, pattern
        See `find_files`.
    used
        Columns that have to be in all files, if they are in any.
    how
        See `pyem.data.files.read_table`.

    Raises
    ------
    DataError
        If a file cannot be read, lacks a column, or contradicts its name.
    """
    import pandas as pd

    tables = []
    for file in files:
        table = read_table(file, **how)
        for name, value in (entities(file, pattern) or {} if pattern else {}).items():
            _add(table, name, value, file)
        tables.append(table)
    _same_columns(files, tables, used)
    notes = [note for table in tables for note in table.attrs.pop(NOTES, ())]
    whole = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    sizes = [len(table) for table in tables]
    shown_names = tuple(_short(files))
    rows = np.concatenate([np.arange(n) for n in sizes])
    if len(files) > 1:
        whole.attrs[ROWS] = RowNames(rows, np.repeat(np.arange(len(files)), sizes), shown_names)
        notes.insert(0, f"{len(files)} files were read: {list_of(shown_names, 3)}")
    whole.attrs[NOTES] = list(dict.fromkeys(notes))
    return whole


def _short(files: Sequence[Path]) -> list[str]:
    """Names of the files, with their folders only where names alone are the same."""
    names = [file.name for file in files]
    return names if len(set(names)) == len(names) else [file.as_posix() for file in files]


def _add(table: pd.DataFrame, name: str, value: str, file: Path) -> None:
    if name not in table.columns:
        table[name] = value
        return
    other: Any = table[name].dropna().astype(str)
    if (other != value).any():
        raise contradiction(file, name, value, other[other != value].iloc[0])


def contradiction(file: Path, name: str, value: str, other: Any) -> DataError:
    """The error for a file whose name says one thing, and a column of it another."""
    return DataError(
        f"the file {str(file)!r} has {name!r} {value!r} in its name and {shown(other)} in its column {name!r}; correct it, or "
        "call the field of the pattern otherwise"
    )


def _same_columns(files: Sequence[Path], tables: Sequence[pd.DataFrame], used: Sequence[str]) -> None:
    for name in used:
        lacking = [k for k, table in enumerate(tables) if name not in table.columns]
        if lacking and len(lacking) < len(tables):
            raise DataError(
                f"the file {str(files[lacking[0]])!r} has no column {name!r}, which others have ({len(lacking)} of "
                f"{len(files)} files lack it); correct its header, or leave the file out"
            )


def read_paths(paths: Paths, pattern: str | None, options: Mapping[str, Any], **how: Any) -> pd.DataFrame:
    """Read the table of all files. See `pyem.Dataset.read`, whose `options` say which columns are used."""
    files, pattern = find_files(paths, pattern)
    return _table(files, pattern, options, **how)


def read_used(paths: Paths, pattern: str | None, options: Mapping[str, Any], **how: Any) -> pd.DataFrame | CodedTable:
    """Read the table of all files; one plain file is read into the columns that `options` name alone."""
    files, pattern = find_files(paths, pattern)
    general = ("where", "exclude", "join_rows_by")
    if len(files) == 1 and pattern is None and options.get("people") is None and not any(map(options.get, general)):
        names = [str(name) for name in (options.get("subject", ""), *listed(options.get("block")))]
        used = [str(name) for name in used_columns(**{"subject": "", "columns": {}, **options})]
        table = read_coded(files[0], subject=names[0], names=names, used=used, **how)
        if table is not None:
            return table
    return _table(files, pattern, options, **how)


def _table(files: Sequence[Path], pattern: str | None, options: Mapping[str, Any], **how: Any) -> pd.DataFrame:
    subject, block = options.get("subject", ""), listed(options.get("block"))
    used = used_columns(**{"subject": subject, "columns": {}, **options})
    table = read_files(files, pattern, used, names=[str(name) for name in (subject, *block)], **how)
    if subject and subject not in table.columns and len(files) > 1:
        raise DataError(
            f"there is no column {subject!r} in the {len(files)} files, such as {files[0].name!r}; if their names say whose "
            f"they are, give a pattern, as in pattern='sub-{{{subject}}}_*{files[0].suffix}' (--pattern), or pattern='bids'"
        )
    table.attrs[NOTES] = [*table.attrs[NOTES], *_one_sequence(table, subject, block)]
    return table


def _one_sequence(table: pd.DataFrame, subject: str, block: Sequence[str]) -> list[str]:
    """A note if trials of several files of a person make one sequence because no block was named."""
    names = row_names(table)
    if block or names is None or subject not in table.columns:
        return []
    pairs = table[[subject]].assign(file=names.file).drop_duplicates()
    several = int(np.sum(np.asarray(pairs.groupby(subject, observed=True).size()) > 1))
    return one_sequence_notes(several)


def one_sequence_notes(n: int) -> list[str]:
    """A note if no block is named, but there are n people with several files."""
    if not n:
        return []
    return [
        f"{counted(n, 'subject has', 'subjects have')} several files, whose trials are one sequence, as no block is named; if "
        "each starts afresh, pass block= with what tells them apart, such as 'session' or 'run'"
    ]
