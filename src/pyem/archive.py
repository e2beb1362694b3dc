"""Results as netCDF files: every value as JSON text and arrays, exactly, and back.

A file is written by h5netcdf alone, because xarray and ArviZ take long to import. Nothing is pickled: a file can only bring
back the types that are listed here.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pyem.model import Model

TYPES = {
    "Dataset": "pyem.dataset",
    "GridFit": "pyem.gridfit",
    "Group": "pyem.group",
    "Interval": "pyem.transform",
    "Ordered": "pyem.transform",
    "Parameter": "pyem.model",
    "PointFit": "pyem.result",
    "Population": "pyem.group",
    "Positive": "pyem.transform",
    "Real": "pyem.transform",
    "SampleFit": "pyem.result_sample",
    "Simulation": "pyem.simulation",
}
"""Dataclasses that a file may hold, and where they live. A new kind of result needs its name here and nothing else."""

PLAIN_KINDS = "iuf"
"""Array types that netCDF knows."""
COMPRESSED_FROM = 4096
"""Bytes above which arrays of whole numbers, which compress well, are compressed."""


@dataclasses.dataclass(frozen=True)
class Section:
    """One group of a netCDF file; a variable with the name of its dimension is that dimension's coordinate."""

    variables: Mapping[str, tuple[tuple[str, ...], np.ndarray]]
    attrs: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# -- values to JSON and arrays, and back --------------------------------------------------------------------------------


class Packer:
    """Turns values into what JSON can say, and sets their arrays aside by name."""

    def __init__(self, pack_model: Callable[[Model, Packer], Any]) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._pack_model = pack_model

    def __call__(self, value: Any, path: str = "") -> Any:
        """What JSON says of `value`, whose place in the whole is `path`.

        Raises
        ------
        ValueError
            If the value is of a type that files cannot hold.
        """
        if isinstance(value, np.ndarray | jax.Array):
            return self._array(np.asarray(value), path)
        value = value.item() if isinstance(value, np.generic) else value
        for kind in (bool, str, int, float):
            if isinstance(value, kind):
                return kind(value)
        if isinstance(value, datetime.date):
            return {"datetime" if isinstance(value, datetime.datetime) else "date": value.isoformat()}
        return None if value is None else self._compound(value, path)

    def _compound(self, value: Any, path: str) -> Any:
        if isinstance(value, Model):
            return {"model": self._pack_model(value, self)}
        name = type(value).__name__
        if dataclasses.is_dataclass(value) and TYPES.get(name) == type(value).__module__:
            fields = {f.name: self(getattr(value, f.name), _join(path, f.name)) for f in dataclasses.fields(value)}
            return {"type": name, "fields": fields}
        if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
            items = [self(item, _join(path, str(k))) for k, item in enumerate(value)]
            return {"tuple" if isinstance(value, tuple) else "list": items}
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {"dict": {key: self(item, _join(path, key)) for key, item in value.items()}}
        raise ValueError(f"{path or 'this'} is a {name}, which cannot be written to a file: {value!r:.80}")

    def _array(self, array: np.ndarray, path: str) -> Any:
        kind = array.dtype.kind
        if kind in "USO" or array.size == 0:
            labels = [self(item, path) for item in array.ravel().tolist()]
            return {"labels": labels, "dtype": array.dtype.str, "shape": list(array.shape)}
        if kind not in PLAIN_KINDS + "bmM" or array.dtype.itemsize > 8 or array.dtype == np.float16:
            raise ValueError(f"{path} has values of type {array.dtype}, which cannot be written to a file")
        name = re.sub(r"\W", "_", path, flags=re.ASCII)
        while name in self.arrays:
            name += "_"
        stored = array if kind in PLAIN_KINDS else array.view(np.int8 if kind == "b" else np.int64)
        self.arrays[name] = np.ascontiguousarray(stored).reshape(array.shape)
        return {"array": name, "dtype": array.dtype.str}


def unpack(packed: Any, arrays: Mapping[str, np.ndarray], unpack_model: Callable[[Any], Model | None]) -> Any:
    """The value that `Packer` turned into `packed` and `arrays`."""
    again = lambda part: unpack(part, arrays, unpack_model)  # noqa: E731
    if not isinstance(packed, dict):
        return packed
    match packed:
        case {"array": name, "dtype": dtype}:
            return arrays[name].view(dtype) if np.dtype(dtype).kind not in PLAIN_KINDS else arrays[name]
        case {"labels": labels, "dtype": dtype, "shape": shape}:
            out = np.empty(len(labels), dtype)
            out[:] = [again(label) for label in labels]
            return out.reshape(shape)
        case {"type": name, "fields": fields}:
            return _revive(name, {key: again(part) for key, part in fields.items()})
        case {"model": identity}:
            return unpack_model(identity)
        case {"tuple": items}:
            return tuple(again(item) for item in items)
        case {"list": items}:
            return [again(item) for item in items]
        case {"dict": items}:
            return {key: again(item) for key, item in items.items()}
        case {"datetime": text}:
            return datetime.datetime.fromisoformat(text)
        case {"date": text}:
            return datetime.date.fromisoformat(text)
    raise ValueError(f"unknown entry {', '.join(packed)}")


def _revive(name: str, values: dict[str, Any]) -> Any:
    """An instance with exactly these values: what was checked when it was made is not checked, or changed, again."""
    if name not in TYPES:
        raise ValueError(f"unknown type {name!r}")
    cls = getattr(importlib.import_module(TYPES[name]), name)
    made = object.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in values:
            value = values[field.name]
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            raise ValueError(f"{name} without {field.name!r}")
        object.__setattr__(made, field.name, value)
    return made


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


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
    import h5netcdf

    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {str(path.parent)!r} to write {path.name!r} to; make it first")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; give the name of a file, such as fit.nc")
    # In the same folder, because a file can be renamed in one step only within one file system.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with h5netcdf.File(temporary, "w") as file:
            file.attrs.update(attrs)
            for name, section in sections.items():
                _write_section(file.create_group(name), section)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"{str(path)!r} could not be written: {error}; check the rights and the space left") from error
    finally:
        temporary.unlink(missing_ok=True)


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
    return _reading(path, lambda file: dict(file.attrs))


def read_section(path: Path, name: str) -> tuple[str, dict[str, np.ndarray]]:
    """The text and the arrays of a group that `packed_section` made.

    Raises
    ------
    ValueError
        If the file is damaged.
    """

    def read(file: Any) -> tuple[dict[str, np.ndarray], str]:
        group = file[name]
        return {key: np.asarray(variable[...]) for key, variable in group.variables.items()}, group.attrs["digest"]

    arrays, expected = _reading(path, read)
    contents = arrays.pop("contents").item()
    text = contents.decode() if isinstance(contents, bytes) else str(contents)
    if digest(text, arrays) != expected:
        raise ValueError(f"{str(path)!r} is damaged: its contents do not match their digest; save the fit again")
    return text, arrays


def _reading(path: Path, read: Callable[[Any], Any]) -> Any:
    import h5netcdf

    try:
        with h5netcdf.File(path, "r") as file:
            return read(file)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{str(path)!r} is not a netCDF file, or was cut short or damaged ({first}); save the fit again"
        ) from None


def to_json(value: Any) -> str:
    """JSON text on one line; floating-point numbers keep every bit."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
