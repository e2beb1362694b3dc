"""Writing of netCDF files that appear under their names only when complete, and reading."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyem.data.leftovers import file_at_once, remove_leftovers
from pyem.results.first_reading import require_readable

SEAL = b"\0pyem sha256\0"
"""Marker before the digest of a file's contents, which is at the end, where HDF5 does not look."""
DIGEST = hashlib.sha256().digest_size
COMPRESSED_FROM = 4096
"""Size in bytes above which arrays of whole numbers, which compress well, are compressed."""


@dataclasses.dataclass(frozen=True)
class Section:
    """One group of a netCDF file; a variable with the name of its dimension is that dimension's coordinate."""

    variables: Mapping[str, tuple[tuple[str, ...], np.ndarray]]
    attrs: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# -- files --------------------------------------------------------------------------------------------------------------


def packed_section(text: str, arrays: Mapping[str, np.ndarray]) -> Section:
    """A group with a JSON text, arrays, and a digest of both."""
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        # Each array has dimensions of its own: xarray wants those of one array to differ.
        name: (tuple(f"{name}_dim_{k}" for k in range(array.ndim)), array)
        for name, array in arrays.items()
    }
    variables["contents"] = ((), np.array(text, object))
    return Section(variables, {"digest": digest(text, arrays)})


def digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """A digest of a text and arrays."""
    out = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        out.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        out.update(np.ascontiguousarray(arrays[name]).data)
    return out.hexdigest()


def write_sections(path: Path, sections: Mapping[str, Section], attrs: Mapping[str, Any]) -> None:
    """Write a netCDF file that appears under its name only when it is complete.

    Raises
    ------
    ValueError
        If there is no such folder, or `path` is a folder.
    OSError
        If the file cannot be written (rights, a full disk).
    """
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {str(path.parent)!r} to write {path.name!r} to; make it first")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; give the name of a file, such as fit.nc")
    remove_leftovers(path)
    try:
        # Made in memory: a write of HDF5 that fails, on a full disk, ends the whole process when the file is closed.
        content = _made(sections, attrs)
        with file_at_once(path, "tmp") as temporary, open(temporary, "wb") as file:
            file.write(content)
            file.write(SEAL + hashlib.sha256(content).digest())
    except OSError as error:
        raise OSError(f"{str(path)!r} could not be written: {error}; check the rights and the space left") from error


def _made(sections: Mapping[str, Section], attrs: Mapping[str, Any]) -> memoryview:
    """Make the bytes of a netCDF file."""
    import h5netcdf

    made = io.BytesIO()
    with h5netcdf.File(made, "w") as file:
        file.attrs.update(attrs)
        for name, section in sections.items():
            _write_section(file.create_group(name), section)
    return made.getbuffer()


def _write_section(group: Any, section: Section) -> None:
    import h5py

    group.attrs.update(section.attrs)
    for name, (dims, array) in section.variables.items():
        for dim, size in zip(dims, array.shape, strict=True):
            if dim not in group.dimensions:
                group.dimensions[dim] = size
        if array.dtype.kind in "UO":
            group.create_variable(name, dims, h5py.string_dtype(), data=array.astype(object))
            continue
        if array.dtype.kind == "b":
            # netCDF has no booleans; so they are written by xarray, which reads them back.
            group.create_variable(name, dims, np.int8, data=array.astype(np.int8)).attrs["dtype"] = "bool"
            continue
        small = array.nbytes < COMPRESSED_FROM or array.dtype.kind not in "iub"
        options = {} if small else {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        group.create_variable(name, dims, array.dtype, data=array, **options)


def read_attrs(path: Path) -> dict[str, Any]:
    """Attributes of a netCDF file.

    Raises
    ------
    ValueError
        If the file does not exist, is no netCDF file, or was cut short.
    """
    if not path.exists():
        raise ValueError(f"there is no file {str(path)!r}; check the path")
    if not _is_sealed(path):
        require_readable(path)
    return _reading(path, lambda file: dict(file.attrs))


def read_section(path: Path, name: str) -> tuple[str, dict[str, np.ndarray]]:
    """Read the text and the arrays of a group that `packed_section` made.

    Raises
    ------
    ValueError
        If the file is damaged.
    """

    def read(file: Any) -> tuple[dict[str, np.ndarray], str, str]:
        group = file[name]
        arrays = {key: np.asarray(variable[...]) for key, variable in group.variables.items()}
        contents = arrays.pop("contents").item()
        text = contents.decode() if isinstance(contents, bytes) else str(contents)
        return arrays, text, str(group.attrs["digest"])

    arrays, text, expected = _reading(path, read)
    if digest(text, arrays) != expected:
        raise ValueError(f"{str(path)!r} is damaged: its contents do not match their digest; save the fit again")
    return text, arrays


def _is_sealed(path: Path) -> bool:
    """Whether the file has a seal; files of earlier versions have none.

    Raises
    ------
    ValueError
        If the file is not what was sealed. HDF5 may run for ever on a damaged file, so this comes before it.
    """
    if not path.is_file() or path.stat().st_size < len(SEAL) + DIGEST:
        return False
    found, left = hashlib.sha256(), path.stat().st_size - len(SEAL) - DIGEST
    with open(path, "rb") as file:
        while left and (part := file.read(min(left, 1 << 20))):
            found.update(part)
            left -= len(part)
        seal = file.read()
        file.seek(max(0, file.tell() - 2 * (len(SEAL) + DIGEST)))
        cut = SEAL in file.read() and not seal.startswith(SEAL)
    if cut:
        raise ValueError(f"{str(path)!r} is not a netCDF file, or was cut short or damaged: its digest is not whole")
    if seal.startswith(SEAL) and seal[len(SEAL) :] != found.digest():
        raise ValueError(f"{str(path)!r} is damaged: its contents do not match their digest; save the fit again")
    return seal.startswith(SEAL)


def _reading(path: Path, read: Callable[[Any], Any]) -> Any:
    import h5netcdf
    import h5py

    try:
        with h5py.File(path, "r") as raw, h5netcdf.File(raw) as file:
            return read(file)
    except Exception as error:
        # Which error HDF5 and its readers raise depends on where the damage is; to the user they are one.
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{str(path)!r} is not a netCDF file, or was cut short or damaged ({first}); save the fit again"
        ) from None


def to_json(value: Any) -> str:
    """Convert to JSON text on one line; floating-point numbers keep every bit."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
