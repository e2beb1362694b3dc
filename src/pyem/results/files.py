"""Writing of fits to netCDF files, and reading."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem import __version__
from pyem.data.partitioned import require_in_memory
from pyem.model.model import Model
from pyem.results.archive import Packer, unpack
from pyem.results.arviz import sections
from pyem.results.identity import identity, recover
from pyem.results.netcdf import packed_section, read_attrs, read_section, to_json, write_sections
from pyem.results.sections import attributes, with_attributes

if TYPE_CHECKING:
    from pyem.results.fit import Fit, Unit

FORMAT = 2
"""Number of the file format; a reader refuses files of a higher number. In format 1 a grid fit had a point fit inside."""


# -- files --------------------------------------------------------------------------------------------------------------


def save(
    fit: Fit,
    path: str | Path,
    *,
    draws: int = 100,
    log_likelihood: Unit | bool | None = False,
    key: Any = 0,
) -> Path:
    """Write all of a fit to one netCDF file: `load` reads it back exactly, and ArviZ opens it.

    The group ``pyem`` holds the fit, its data and what identifies the model; beside it are ArviZ's groups as in `to_arviz`.
    The file appears under its name only when it is complete.

    Parameters
    ----------
    fit
        The fit to write.
    path
        Path of the file; an existing file is replaced.
    draws
        Number of draws from each subject's posterior, for ArviZ; 0 leaves the posterior out. `load` does not need them. All
        draws of a sampler are written.
    log_likelihood
        Write the pointwise log-likelihood for ArviZ too, as in `to_arviz`. It is large, and ``load(path).to_arviz()`` has it
        as well.
    key
        Seed of the draws.

    Raises
    ------
    DataError
        If the data are in partitions on the disk.
    ValueError
        If there is no such folder, or the fit holds something that cannot be written.
    OSError
        If the file cannot be written.
    """
    require_in_memory(
        fit.data, "pyem.to_parquet(fit, folder) writes the tables of such a fit; a file of a fit has its data"
    )
    path = Path(path)
    pack = Packer(identity)
    contents = {
        "model": identity(fit.model, pack),
        "fit": pack(fit),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy", "scipy")},
    }
    attrs = attributes(fit)
    parts = with_attributes(sections(fit, draws=draws, log_likelihood=log_likelihood, key=key), attrs)
    parts["pyem"] = packed_section(to_json(contents), pack.arrays)
    own = {"pyem_format": FORMAT, "pyem_version": __version__, "pyem_kind": type(fit).__name__}
    write_sections(path, parts, attrs | own)
    return path


def load(path: str | Path, model: Model | None = None) -> Any:
    """Read a fit that `save` wrote.

    Parameters
    ----------
    path
        The file.
    model
        The model that was fitted. Needed only for a model that did not come from `pyem.models.get`: functions are not
        written to files. It is compared by name, parameters and columns.

    Raises
    ------
    ValueError
        If the file is missing, cut short or damaged, was not written by `save`, has a newer format, or is of another model, or
        of a model that cannot be made again and was not given.

    Examples
    --------
    >>> import pyem, tempfile
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_em(model, pyem.simulate(model, subjects=5, trials=20, key=1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load(fit.save(f"{folder}/fit.nc"))
    >>> again.table().equals(fit.table())
    True
    """
    path = Path(path)
    attrs = read_attrs(path)
    if "pyem_format" not in attrs:
        raise ValueError(f"{str(path)!r} is a netCDF file that save() did not write; give a file that it wrote")
    written_by = attrs.get("pyem_version", "unknown")
    if not isinstance(attrs["pyem_format"], int | np.integer):
        raise ValueError(f"{str(path)!r} is damaged: its format is {attrs['pyem_format']!r:.40}; save the fit again")
    if attrs["pyem_format"] > FORMAT:
        raise ValueError(
            f"{str(path)!r} has format {attrs['pyem_format']} (pyem {written_by}), but this pyem {__version__} reads up to "
            f"format {FORMAT}; update pyem"
        )
    text, arrays = read_section(path, "pyem")
    contents = json.loads(text)
    found = recover(contents["model"], model, str(path))
    try:
        return unpack(contents["fit"], arrays, partial(_nested_model, contents["model"], found))
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{str(path)!r} (written by pyem {written_by}) holds what this pyem {__version__} does not know: {error}"
        ) from None


def _nested_model(stored: Mapping[str, Any], found: Model, identity: dict[str, Any]) -> Model | None:
    """A model inside the fit: the fitted one, or the one that simulated data came from (None if it cannot be made)."""
    if identity == stored:
        return found
    try:
        return recover(identity, None, "")
    except ValueError:
        return None
