"""Fitting functions with the names of older pyEM scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pyem.compat.em import EMfit
from pyem.compat.optim import SubjectMinimum, single_subject_minimize

__all__ = ["EMfit", "expectation_step", "minimize_negLL"]


def expectation_step(
    objfunc: Callable[..., Any], objfunc_input: Any, prior: Any, nparams: int, **settings: Any
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Find one person's mode under a prior.

    Parameters
    ----------
    objfunc, objfunc_input
        A fit function, and a list of what it takes (or a DataFrame).
    prior
        A prior with ``mu`` and ``sigma`` (a variance), or a dict with them.
    nparams
        Number of parameters.
    **settings
        See `pyem.compat.optim.single_subject_minimize`.

    Returns
    -------
    tuple
        Mode (P,), inverse Hessian (P, P), negative log-posterior, minus the log prior density.
    """
    found = single_subject_minimize(objfunc, objfunc_input, nparams, prior, **settings)
    return found.x, found.inv_h, found.fval, found.nl_prior


def minimize_negLL(objfunc: Callable[..., Any], objfunc_input: Any, nparams: int, **settings: Any) -> SubjectMinimum:
    """Find one person's maximum of the likelihood. See `pyem.compat.optim.single_subject_minimize`."""
    return single_subject_minimize(objfunc, objfunc_input, nparams, None, **settings)
