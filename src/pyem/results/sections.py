"""The groups of ArviZ's schema, from arrays, for the export of every kind of fit."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem import __version__
from pyem.data.dataset import Dataset
from pyem.data.frames import says_itself
from pyem.engine.pointwise import Observed, by_trial, chunks_of, require_room
from pyem.model.model import Model
from pyem.population.group import Group
from pyem.results.fit import Unit
from pyem.results.netcdf import Section
from pyem.results.scale_notes import scale_notes

if TYPE_CHECKING:
    from pyem.results.fit import Fit

LARGEST = 2**25
"""Largest number of values of a pointwise log-likelihood by trial that is kept unless asked for: 256 MiB."""
RIPPLE = 1e-12
"""Size of the ripple, in nats: far below any meaningful difference, far above the rounding of ratios near 1."""


def attributes(fit: Fit) -> dict[str, Any]:
    """Attributes of every group about its origin."""
    return {
        "model": fit.model.name,
        "method": fit.method,
        "inference_library": "pyem",
        "inference_library_version": __version__,
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **({"scale": "; ".join(notes)} if (notes := scale_notes(fit)) else {}),
    }


def posterior_section(model: Model, data: Dataset, x: np.ndarray) -> Section:
    """Natural parameters (chain, draw, subject), and the unconstrained `x` (chain, draw, subject, parameter)."""
    natural = model.natural(x)
    dims = ("chain", "draw", "subject")
    variables: dict[str, Any] = {name: (dims, natural[..., k]) for k, name in enumerate(model.names)}
    variables["unconstrained" if "x" in model.names else "x"] = ((*dims, "parameter"), x)
    variables["subject"] = (("subject",), as_labels(data.subjects))
    variables["parameter"] = (("parameter",), np.array(model.names, object))
    return Section(variables | chain_coordinates(x))


def group_variables(model: Model, group: Group, values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Variables of a group's draws ``coef``, ``sd`` and ``corr``, chain and draw first."""
    first = ("chain", "draw")
    out: dict[str, Any] = {
        "group_mean": ((*first, "parameter"), values["coef"][:, :, 0]),
        "group_sd": ((*first, "parameter"), values["sd"]),
    }
    if group.covariates:
        out["group_effect"] = ((*first, "covariate", "parameter"), values["coef"][:, :, 1:])
        out["covariate"] = (("covariate",), np.array([name for name, _ in group.covariates], object))
    if "corr" in values:
        out["group_correlation"] = ((*first, "parameter", "other_parameter"), values["corr"])
        out["other_parameter"] = (("other_parameter",), np.array(model.names, object))
    return out


def log_likelihood_section(model: Model, data: Dataset, x: np.ndarray, unit: Unit | bool) -> Section:
    """The log-likelihood of every unit, named after the response, at `x` (chain, draw, subject, parameter)."""
    flat = x.reshape(-1, *x.shape[2:])
    single = by_trial(model, data)
    if unit == "auto":
        unit = "trial" if single and len(flat) * len(Observed(model, data).row) <= LARGEST else "subject"
    dim = {True: "obs" if single else "sequence", "trial": "obs"}.get(unit, str(unit))
    if unit is True and single:
        require_room(len(flat), len(Observed(model, data).row))
    chunks = list(chunks_of(model, data, flat, "trial" if dim == "obs" else "block"))
    values = np.concatenate([part for part, _, _ in chunks], axis=1)
    lane = np.concatenate([part for _, part, _ in chunks])
    if dim == "subject":
        values = np.add.reduceat(values, np.flatnonzero(np.diff(data.lane_subject[lane], prepend=-1)), axis=1)
        labels = as_labels(data.subjects[np.unique(data.lane_subject[lane])])
    elif dim == "obs":
        labels = np.arange(values.shape[1])
    else:
        labels = np.array([f"{data.subjects[data.lane_subject[k]]}/{data.lane_block[k]}" for k in lane], object)
    name = model.responses[0] if len(model.responses) == 1 else "response"
    values = uneven(values)
    by_chain = values.reshape(*x.shape[:2], -1)
    variables: dict[str, Any] = {name: (("chain", "draw", dim), by_chain), dim: ((dim,), labels)}
    return Section(variables | chain_coordinates(x))


def uneven(values: np.ndarray) -> np.ndarray:
    """Add a ripple of `RIPPLE` nats to units of a pointwise log-likelihood (draw, unit) in which all draws are equal.

    So are those of a first choice among options of equal value. Leaving such a unit out changes nothing, but ArviZ fits a
    tail to its importance ratios, and refuses (from version 1) or reports a Pareto k of infinity where they have none.
    """
    with np.errstate(invalid="ignore"):
        # Rounding may differ from draw to draw.
        alike = np.ptp(values, axis=0) < RIPPLE
    if len(values) < 2 or not alike.any():
        return values
    # Evenly spread and in an order that has nothing to do with the draws': multiples of the golden ratio.
    ripple = RIPPLE * ((np.arange(len(values)) * 0.6180339887498949) % 1 - 0.5)
    return np.where(alike, values + ripple[:, None], values)


def data_sections(model: Model, data: Dataset) -> dict[str, Section]:
    """Groups ``observed_data`` and ``constant_data`` (obs): the trials in the likelihood."""
    observed = Observed(model, data)
    labels = data.index_columns(observed.lane, observed.row)
    index = {name: (("obs",), as_labels(values)) for name, values in labels.items()}
    owner = data.lane_subject[observed.lane]
    covariates = {name.replace("/", "_"): (("obs",), value[owner]) for name, value in data.covariates.items()}
    shown = (*model.inputs, *model.shown_between, *model.outcomes)
    return {
        "observed_data": Section(observed.columns(model.responses)),
        "constant_data": Section(covariates | observed.columns(shown) | _code_labels(model, data, observed) | index),
    }


def _code_labels(model: Model, data: Dataset, observed: Observed) -> dict[str, Any]:
    """Labels of the codes of each observed trial in the table that was read (obs), as ``choice_label``."""
    out: dict[str, Any] = {}
    for name in model.columns:
        known = data.codes.get(name, ())
        if not says_itself(known) and data.fields[name].ndim == 2:
            codes = data.fields[name][observed.row, observed.lane].astype(int)
            here = data.present[name][observed.row, observed.lane]
            out[f"{name}_label"] = (
                ("obs",),
                np.where(here, np.array([str(label) for label in known], object)[codes], ""),
            )
    return out


def chain_coordinates(x: np.ndarray) -> dict[str, Any]:
    """Coordinates of the first two axes of `x`, chain and draw."""
    return {"chain": (("chain",), np.arange(x.shape[0])), "draw": (("draw",), np.arange(x.shape[1]))}


def as_labels(values: np.ndarray) -> np.ndarray:
    """Convert labels to types that netCDF can store: numbers or text."""
    if values.dtype.kind in "iuf":
        return values
    return np.array([str(value) for value in values.tolist()], object)


def with_attributes(sections: Mapping[str, Section], attrs: Mapping[str, Any]) -> dict[str, Section]:
    """Give each section attributes about its origin."""
    return {name: dataclasses.replace(one, attrs={**attrs, **one.attrs}) for name, one in sections.items()}


def container(sections: Mapping[str, Section], attrs: Mapping[str, Any]) -> Any:
    """Put the sections into ArviZ `InferenceData`; with ArviZ 1 or later, into an xarray `DataTree`."""
    import xarray as xr

    datasets: dict[str, Any] = {
        name: xr.Dataset(dict(one.variables), attrs=dict(one.attrs))
        for name, one in with_attributes(sections, attrs).items()
    }
    if int(importlib.metadata.version("arviz").split(".")[0]) >= 1:
        tree = xr.DataTree.from_dict(datasets)
        tree.attrs.update(attrs)
        return tree
    with warnings.catch_warnings():
        # ArviZ announces its next version once a day; that is not about what the user does.
        warnings.simplefilter("ignore", FutureWarning)
        import arviz
    return arviz.InferenceData(attrs=dict(attrs), **datasets)
