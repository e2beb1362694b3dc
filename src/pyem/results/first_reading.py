"""First reading of files without a seal in a separate process: HDF5 may crash, or never end, on a damaged file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

READER = """
import sys, h5py
try:
    with h5py.File(sys.argv[1], "r") as file:
        file.visititems(lambda name, item: item[()] is None if isinstance(item, h5py.Dataset) else None)
except Exception:
    pass
"""
"""Script that reads everything in a file. Errors that HDF5 reports are left to the main reader, which words them."""
SECONDS = 30.0
"""Seconds that reading may take, whatever the size of the file."""
BYTES_PER_SECOND = 5e6
"""Number of bytes that a slow disk reads in a second."""


def require_readable(path: Path, reader: str = READER, seconds: float = SECONDS) -> None:
    """Raise a ValueError if HDF5 crashes on a file or does not come to an end.

    Parameters
    ----------
    path
        The file; what is no file is left to the reader proper.
    reader
        The program that reads the file it is given.
    seconds
        Seconds that reading may take; more for a large file.

    Raises
    ------
    ValueError
        If the file is damaged in such a way.

    Examples
    --------
    >>> require_readable(Path("no such file.nc"))
    """
    if not path.is_file() or not sys.executable:
        return
    limit = seconds + path.stat().st_size / BYTES_PER_SECOND
    command = [sys.executable, "-c", reader, str(path)]
    try:
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=limit).returncode
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"{str(path)!r} is damaged: HDF5 did not come to the end of it in {limit:.0f} seconds; save the fit again"
        ) from None
    if ended < 0:
        raise ValueError(f"{str(path)!r} is damaged: HDF5 ended with signal {-ended} on it; save the fit again")
