"""Results of simulations and fit functions of the pyEM form, put together for a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np

from pyem.compat.engines import our_function, subject_args
from pyem.compat.likelihood import Reporter


def data_of(sim: Any, inputs: Sequence[str]) -> list[list[Any]]:
    """Data of each subject for a fit function, from the named entries of a simulation.

    Raises
    ------
    TypeError
        If the simulation is no dict.
    ValueError
        If an entry is missing, or entries are of unequal length.
    """
    if not isinstance(sim, Mapping):
        raise TypeError(
            "recover() requires simulate_func to return a dict of named arrays, of which pr_inputs names some, but it "
            f"returned {type(sim).__name__}"
        )
    missing = [name for name in inputs if name not in sim]
    if missing:
        raise ValueError(
            f"Simulation output is missing expected keys: {missing}; it has {', '.join(map(repr, sim)) or 'none'}"
        )
    return entries_of(sim, inputs)


def entries_of(sim: Mapping[str, Any], inputs: Sequence[str]) -> list[list[Any]]:
    """Entries of each subject, from a simulation that has them.

    Raises
    ------
    ValueError
        If they are of unequal length.
    """
    lengths = {name: len(sim[name]) for name in inputs}
    if len(set(lengths.values())) != 1:
        raise ValueError(
            f"Inconsistent lengths among requested inputs: {lengths}; each needs one entry for each subject"
        )
    return [list(fields) for fields in zip(*(sim[name] for name in inputs), strict=True)]


def with_posterior(out: Mapping[str, Any]) -> dict[str, Any]:
    """Return an output with ``posterior``, also from the ``__dict__`` of a `FitResult`, which has its two parts."""
    if "posterior" in out or "posterior_mu" not in out:
        return dict(out)
    return {**out, "posterior": {"mu": out["posterior_mu"], "sigma": out["posterior_sigma"]}}


def reports(fit_func: Callable[..., Any], all_data: Sequence[Any], x: np.ndarray) -> list[dict[str, Any]]:
    """Reports of a fit function (``output="all"``) for every subject at unconstrained `x` (S, P)."""
    ours, options = our_function(fit_func)
    if ours is not None:
        return ours.reports(all_data, x, **options)
    report = Reporter(fit_func)
    out = [report(row, subject_args(data), "all") for row, data in zip(x, all_data, strict=True)]
    for s, one in enumerate(out):
        if not isinstance(one, Mapping):
            raise TypeError(f'fit_func(..., output="all") gave {type(one).__name__} for subject {s}; expected a dict')
    return [dict(one) for one in out]


def stacked(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Stack entries of all subjects' dicts as arrays with the subject first; object arrays where shapes differ."""
    return {name: _stack([one.get(name) for one in each]) for name in each[0]}


def _stack(values: list[Any]) -> np.ndarray:
    if all(isinstance(value, Number | np.generic | list | tuple) or hasattr(value, "__array__") for value in values):
        try:
            arrays = [np.asarray(value) for value in values]
        except ValueError:
            arrays = []
        if arrays and len({array.shape for array in arrays}) == 1:
            return np.stack(arrays)
    out = np.empty(len(values), object)
    out[:] = values
    return out
