"""Choice of the engine for a fit function: JAX for ours and traceable ones, SciPy for every other Python callable."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from pyem.compat.adapt import FitFunction
from pyem.compat.likelihood import PyEMLikelihood, negative_log_liks
from pyem.compat.parts import Part, PartsEStep, parts_glance, parts_log_lik
from pyem.compat.traceable import TooLong, jitted, traced_parts
from pyem.infer.differences import Search
from pyem.infer.glances import Glance
from pyem.infer.opaque import OpaqueEStep
from pyem.population.posterior import EStep

SHORT = 10
"""Largest number of steps of a short E-step. From far away and over many kinks a search can take a hundred."""


class Engine(Protocol):
    """An engine as the facade uses it."""

    exact: bool
    """Whether derivatives are exact."""
    typical: tuple[np.ndarray, np.ndarray] | None
    """Mean and sd (P,) of a typical population; None if unknown."""

    def estep(self, start: np.ndarray, *, search: Search, n_jobs: int, seed: int, short: bool = False) -> EStep:
        """Make the E-step, from `start` (S, P); a short one gives up on those who take many steps."""
        ...

    def glance(self) -> Glance | None:
        """Everybody's log-likelihood at several places, if that costs next to nothing; else None."""
        ...

    def nll(self, x: np.ndarray) -> np.ndarray:
        """Negative log-likelihood (K, S) at draws (K, S, P)."""
        ...


class JaxEngine:
    """Models with exact derivatives, all people at once."""

    exact = True

    def __init__(self, parts: Sequence[Part], typical: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        self.parts = parts
        self.typical = typical

    def estep(self, start: np.ndarray, *, search: Search, n_jobs: int, seed: int, short: bool = False) -> EStep:
        """Make the E-step, from `start` (S, P); a short one gives up on those who take many steps."""
        return PartsEStep(self.parts, start, max_steps=SHORT if short else 100)

    def glance(self) -> Glance | None:
        """The log-likelihood of everybody at several places."""
        return parts_glance(self.parts)

    def nll(self, x: np.ndarray) -> np.ndarray:
        """Negative log-likelihood (K, S) at draws (K, S, P)."""
        return -parts_log_lik(self.parts, x)


class ScipyEngine:
    """A function that is only evaluated, for one person after the other or in several processes."""

    exact = False
    typical: tuple[np.ndarray, np.ndarray] | None = None

    def __init__(
        self, likelihood: Callable[..., float], people: Sequence[tuple[Any, ...]], *, one_process: bool
    ) -> None:
        self.likelihood = likelihood
        self.people = people
        self.one_process = one_process

    def estep(self, start: np.ndarray, *, search: Search, n_jobs: int, seed: int, short: bool = False) -> EStep:
        """Make the E-step, from `start` (S, P); a short one gives up on those who take many steps."""
        n_jobs = 1 if self.one_process else n_jobs
        search = dataclasses.replace(search, max_steps=SHORT) if short else search
        return OpaqueEStep(self.likelihood, self.people, start, search=search, n_jobs=n_jobs, seed=seed)

    def glance(self) -> Glance | None:
        """Return None, as every evaluation is one of Python."""
        return None

    def nll(self, x: np.ndarray) -> np.ndarray:
        """Negative log-likelihood (K, S) at draws (K, S, P)."""
        return negative_log_liks(self.likelihood, self.people, x)


def subject_args(data: Any) -> tuple[Any, ...]:
    """Arguments of a fit function for one subject: the members of a list or tuple, or the DataFrame itself."""
    return tuple(data) if isinstance(data, list | tuple) else (data,)


def batched_engine(fit_func: Callable[..., Any], all_data: Sequence[Any], n_params: int) -> Engine | None:
    """The engine for a model of ours or a traceable function; None for any other."""
    ours, options = our_function(fit_func)
    if ours is not None:
        model, data = ours.layout(all_data, n_params, **options)
        return JaxEngine([Part(np.arange(len(all_data)), model, data)], model.typical)
    people = [subject_args(data) for data in all_data]
    try:
        parts = traced_parts(fit_func, people, n_params)
    except TooLong:
        whole = jitted(fit_func, people[0], n_params)
        return whole and ScipyEngine(whole, people, one_process=True)
    return None if parts is None else JaxEngine(parts)


def engine_of(fit_func: Callable[..., Any], all_data: Sequence[Any], n_params: int) -> Engine:
    """Return the engine for a fit function and a group."""
    engine = batched_engine(fit_func, all_data, n_params)
    if engine is not None:
        return engine
    people = [subject_args(data) for data in all_data]
    likelihood = PyEMLikelihood(fit_func).checked(people[0], np.zeros(n_params))
    return ScipyEngine(likelihood, people, one_process=False)


def our_function(fit_func: Callable[..., Any]) -> tuple[FitFunction | None, dict[str, Any]]:
    """Find our fit function, also where `functools.partial` has set some of its options."""
    if isinstance(fit_func, FitFunction):
        return fit_func, {}
    if isinstance(fit_func, functools.partial) and isinstance(fit_func.func, FitFunction) and not fit_func.args:
        options = dict(fit_func.keywords)
        if set(options) <= set(fit_func.func.option_names):
            return fit_func.func, options
    return None, {}
