"""Exact storage of results in netCDF files: every value as JSON text and arrays.

A file is written by h5netcdf alone, because xarray and ArviZ take long to import. Nothing is pickled: a file can only bring
back the types that are listed here.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from pyem.model.model import Model
from pyem.population.priors import from_words, in_words, is_distribution

TYPES = {
    "Dataset": "pyem.data.dataset",
    "GridFit": "pyem.results.grid",
    "Group": "pyem.population.group",
    "HBIFit": "pyem.results.hbi",
    "Interval": "pyem.model.transform",
    "Ordered": "pyem.model.transform",
    "Parameter": "pyem.model.parameter",
    "PointFit": "pyem.results.point",
    "Population": "pyem.population.population",
    "Positive": "pyem.model.transform",
    "Probit": "pyem.model.transform",
    "Real": "pyem.model.transform",
    "SampleFit": "pyem.results.sample",
    "Simulation": "pyem.simulation.play",
    "Unsaved": "pyem.results.archive",
}
"""Dataclasses that a file may hold, with their modules. A new kind of result needs its name here and nothing else."""
OLDER = {"GridFit": "flattened"}
"""Functions, in the dataclass's module, that convert fields written by earlier versions to the present ones."""
WHOLE = ("Dataset", "GridFit", "HBIFit", "PointFit", "SampleFit", "Simulation")
"""Types that are not written a second time as a setting of a fit."""


@dataclasses.dataclass(frozen=True, repr=False)
class Unsaved:
    """Placeholder for a setting of a fit that its file does not hold: a function, or another fit.

    Parameters
    ----------
    text
        Text that Python shows for the setting.
    """

    text: str

    def __repr__(self) -> str:
        return self.text


PLAIN_KINDS = "iuf"
"""Kinds of array types that netCDF can store."""


# -- values to JSON and arrays, and back --------------------------------------------------------------------------------


class Packer:
    """Converter of values to JSON, which sets arrays aside by name."""

    def __init__(self, pack_model: Callable[[Model, Packer], Any]) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._pack_model = pack_model

    def __call__(self, value: Any, path: str = "") -> Any:
        """Convert `value` to JSON; `path` is its place in the whole.

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
        name, is_setting = type(value).__name__, "settings" in path.split(".")
        if is_setting and name in WHOLE:
            return self(Unsaved(f"<{name}>"), path)
        if dataclasses.is_dataclass(value) and TYPES.get(name) == type(value).__module__:
            fields = {f.name: self(getattr(value, f.name), _join(path, f.name)) for f in dataclasses.fields(value)}
            return {"type": name, "fields": fields}
        if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
            items = [self(item, _join(path, str(k))) for k, item in enumerate(value)]
            return {"tuple" if isinstance(value, tuple) else "list": items}
        if is_distribution(value):
            kind, arguments = in_words(value)
            return {"distribution": kind, "arguments": arguments}
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {"dict": {key: self(item, _join(path, key)) for key, item in value.items()}}
        if is_setting:
            return self(Unsaved(f"{value!r:.200}"), path)
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
    """Rebuild the value that `Packer` turned into `packed` and `arrays`."""
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
        case {"distribution": kind, "arguments": arguments}:
            return from_words(kind, arguments)
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
    """Make an instance with exactly these values, without checking or changing them again."""
    if name not in TYPES:
        raise ValueError(f"unknown type {name!r}")
    module = importlib.import_module(TYPES[name])
    cls = getattr(module, name)
    values = getattr(module, OLDER[name])(values) if name in OLDER else values
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
