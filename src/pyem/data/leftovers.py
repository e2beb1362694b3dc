"""Names of unfinished files and folders, and removal of those that killed processes have left."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DAY = 86_400
"""Seconds after which an unfinished file is abandoned where it cannot be told whether its process still runs."""
ENDINGS = ("partial", "old", "tmp")


def unfinished(path: Path, ending: str = "partial") -> Path:
    """Return a new name beside `path` for the unfinished file; it names the process and machine at work.

    Examples
    --------
    >>> unfinished(Path("results/fit.nc")).name.startswith(".fit.nc.")
    True
    """
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.{ending}")


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"


def remove_leftovers(path: Path) -> None:
    """Remove unfinished files of `path` that killed processes left; earlier results that they had put aside come back."""
    # With and without a machine and a random part, as earlier versions named them.
    name = re.compile(
        rf"\.{re.escape(path.name)}\.(?:([A-Za-z0-9-]+)\.)?(\d+)\.(?:[0-9a-f]{{8}}\.)?({'|'.join(ENDINGS)})"
    )
    if not path.parent.is_dir():
        return
    for left in path.parent.glob(f".{_escaped(path.name)}.*"):
        found = name.fullmatch(left.name)
        if found is None or _at_work(left, found[1], int(found[2])):
            continue
        if found[3] == "old" and not path.exists():
            left.rename(path)
        elif left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def file_at_once(path: Path, ending: str = "partial") -> Iterator[Path]:
    """The name of a file to write that becomes `path`, in place of what was there, only when the block ends well.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with file_at_once(path) as partial:
    ...     size = partial.write_text("done")
    ...     path.exists()
    False
    >>> path.read_text()
    'done'
    """
    # In the same folder, because a file can be renamed in one step only within one file system.
    partial = unfinished(path, ending)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_at_once(
    path: Path, check: Callable[[], object] = lambda: None, *, stays: Callable[[], bool] = lambda: False
) -> Iterator[Path]:
    """A folder to write into that becomes `path`, in place of what was there, only when the block ends well.

    `check` raises where `path` must not be taken; it is asked at the beginning and at the end. `stays` says whether what is
    there at the end, because another process was as far before, is as good and stays.
    """
    remove_leftovers(path)
    check()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = unfinished(path)
    partial.mkdir()
    try:
        yield partial
        check()
        _take_place(partial, path, stays)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _take_place(partial: Path, path: Path, stays: Callable[[], bool]) -> None:
    try:
        # A folder cannot be renamed onto a folder that is not empty.
        partial.rename(path)
        return
    except OSError:
        if not path.exists():
            raise
    if stays():
        return
    old = unfinished(path, "old")
    path.rename(old)
    try:
        partial.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _at_work(left: Path, host: str | None, pid: int) -> bool:
    """Whether the process that made an unfinished file may still be running."""
    if host not in (None, _host()) or sys.platform == "win32":
        try:
            return time.time() - left.stat().st_mtime < DAY
        except OSError:
            return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
