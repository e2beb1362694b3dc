"""Fits in other forms: ArviZ's containers, and netCDF files that hold all of a fit and that ArviZ can open."""

from __future__ import annotations

import importlib.metadata
import json
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pyem import __version__
from pyem.archive import Packer, Section, packed_section, read_attrs, read_section, to_json, unpack, write_sections
from pyem.chance import gaussian_draws, generator
from pyem.infer.point import FitWarning
from pyem.model import Model
from pyem.recipes import identity, recover
from pyem.sections import (
    attributes,
    container,
    data_sections,
    log_likelihood_section,
    posterior_section,
    with_attributes,
)
from pyem.solve import Status

FORMAT = 1
"""Of files; a reader refuses files of a higher number."""


def to_arviz(fit: Any, *, draws: int = 500, key: Any = 0, log_likelihood: bool = True) -> Any:
    """A fit as ArviZ `InferenceData` (with ArviZ 1 or later: as an xarray `DataTree`).

    Parameters
    ----------
    fit
        Of `fit_mle`, `fit_map` or `fit_em`.
    draws
        From each subject's posterior. That of a `PointFit` is the Laplace approximation: a Gaussian on the unconstrained
        scale.
    key
        Seed of the draws.
    log_likelihood
        Compute the pointwise log-likelihood, by far the largest group.

    Returns
    -------
    InferenceData or DataTree
        ``posterior``: a variable for each natural parameter (chain, draw, subject) and ``x`` (chain, draw, subject,
        parameter), unconstrained; ``log_likelihood`` in nats (chain, draw, obs), or (chain, draw, sequence) for a model
        that gives no value for single trials; ``observed_data`` and ``constant_data`` (obs): responses; subject, block,
        trial, inputs, outcomes and covariates. ``obs`` are the trials that count in the likelihood.

    Raises
    ------
    ValueError
        If the pointwise log-likelihood would be larger than 2 GiB.

    Notes
    -----
    The draws are independent and from one chain, so that R-hat and effective sample sizes say nothing about a sampler. Of
    subjects without a regular mode (column ``status`` of ``table()``) there is no Laplace approximation: their draws are NaN,
    and a warning names them.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_em(model, pyem.simulate(model, subjects=5, trials=20, key=1))
    >>> dict(to_arviz(fit, draws=10).posterior["alpha"].sizes)
    {'chain': 1, 'draw': 10, 'subject': 5}
    """
    if hasattr(fit, "arviz_sections"):
        raise ValueError(f"a fit by {fit.method} has draws of its own; use its method to_arviz()")
    _warn_of_irregular(fit)
    return container(_sections(fit, draws, key, log_likelihood), attributes(fit))


def _sections(fit: Any, draws: int, key: Any, log_likelihood: bool) -> dict[str, Section]:
    """ArviZ's groups. A result that has draws of its own kind may have a method ``arviz_sections()`` for them."""
    if hasattr(fit, "arviz_sections"):
        return fit.arviz_sections(log_likelihood=log_likelihood)
    if draws < 0 or (log_likelihood and draws < 1):
        raise ValueError(f"draws={draws}; at least one is needed")
    x = np.moveaxis(posterior_draws(fit, draws, key), 1, 0)[None]
    parts: dict[str, Section] = {}
    if draws:
        parts["posterior"] = posterior_section(fit.model, fit.data, x)
    if log_likelihood:
        parts["log_likelihood"] = log_likelihood_section(fit.model, fit.data, x)
    return parts | data_sections(fit.model, fit.data)


def posterior_draws(fit: Any, draws: int, key: Any) -> np.ndarray:
    """Unconstrained parameters (S, draws, P) from every subject's posterior, as far as the fit knows it.

    From the fit's own draws where it has some; else from the Laplace approximation, and NaN where there is none.
    """
    rng = generator(key)
    if hasattr(fit, "draws"):
        return fit.draws(draws, key=rng)
    regular = _regular(fit)
    cov = np.where(regular[:, None, None], fit.cov, np.eye(fit.cov.shape[1]))
    x = gaussian_draws(fit.x, cov, draws, rng)
    x[~regular] = np.nan
    return x


def _regular(fit: Any) -> np.ndarray:
    return np.isin(fit.status, (Status.CONVERGED, Status.MAX_STEPS)) & np.isfinite(fit.cov).all((1, 2))


def _warn_of_irregular(fit: Any) -> None:
    gone = [str(label) for label in fit.data.subjects[~_regular(fit)]]
    if gone:
        warnings.warn(
            f"{len(gone)} of {fit.data.n_subjects} subjects have no regular mode, so their draws are NaN: "
            f"{', '.join(gone[:10])}{', ...' if len(gone) > 10 else ''}; see the column status of table()",
            FitWarning,
            stacklevel=3,
        )


# -- files --------------------------------------------------------------------------------------------------------------


def save(fit: Any, path: str | Path, *, draws: int = 100, log_likelihood: bool = False, key: Any = 0) -> Path:
    """Write all of a fit to one netCDF file: `load` reads it back exactly, and ArviZ opens it.

    The group ``pyem`` holds the fit, its data and what identifies the model; beside it are ArviZ's groups as in `to_arviz`.
    The file appears under its name only when it is complete.

    Parameters
    ----------
    fit
        What to write.
    path
        Where to; an existing file is replaced.
    draws
        From each subject's posterior, for ArviZ; 0 leaves the posterior out. `load` does not need them.
    log_likelihood
        Write the pointwise log-likelihood for ArviZ too. It is large, and ``load(path).to_arviz()`` has it as well.
    key
        Seed of the draws.

    Raises
    ------
    ValueError
        If there is no such folder, or the fit holds something that cannot be written.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    pack = Packer(identity)
    contents = {
        "model": identity(fit.model, pack),
        "fit": pack(fit),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy", "scipy")},
    }
    attrs = attributes(fit)
    sections = with_attributes(_sections(fit, draws, key, log_likelihood), attrs)
    sections["pyem"] = packed_section(to_json(contents), pack.arrays)
    own = {"pyem_format": FORMAT, "pyem_version": __version__, "pyem_kind": type(fit).__name__}
    write_sections(path, sections, attrs | own)
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
