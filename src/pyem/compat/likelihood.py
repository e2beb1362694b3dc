"""Functions of the pyEM form as negative log-likelihoods, with their reports."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pyem.engine.opaque import values_of_people
from pyem.infer.differences import WALL, Quadratic


class PriorView:
    """The prior in the forms that pyEM functions use: ``prior.logpdf(x)``, and ``prior["logpdf"]`` of the older form."""

    def __init__(self, prior: Quadratic) -> None:
        self._quadratic = prior
        self.mu = prior.mean
        self.sigma = 1 / np.maximum(np.diag(prior.precision), 1e-300)
        _, log_det = np.linalg.slogdet(prior.precision)
        self._constant = 0.5 * (log_det - len(self.mu) * np.log(2 * np.pi))

    def logpdf(self, x: Any) -> float:
        """Log-density at x (P,), in nats."""
        return self._constant - self._quadratic.value(np.asarray(x, float).ravel())

    def __getitem__(self, name: str) -> Any:
        return {"logpdf": self.logpdf, "mu": self.mu, "sigma": self.sigma}[name]


class PyEMLikelihood:
    """The negative log-likelihood of a function ``f(params, *data, prior=None, output="npl"|"nll"|"all")``.

    Functions that do not keep to the form (their "npl" is not "nll" minus the log prior) are evaluated with the prior, which is
    then taken away again: what is minimised is what the function says.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.by_name = _takes_names(function)
        self.own_prior = False

    def checked(self, data: tuple[Any, ...], x: np.ndarray) -> PyEMLikelihood:
        """Return this object after testing on one person's data whether the function keeps to the form."""
        prior = Quadratic(np.zeros(len(x)), np.eye(len(x)))
        view = PriorView(prior)
        joint = _number(self._call(x, data, view, "npl"))
        try:
            alone = _number(self._call(x, data, None, "nll"))
        except Exception:
            # The function works with a prior, and not without one.
            self.own_prior = True
            return self
        kept = np.isclose(joint, alone - view.logpdf(x), rtol=1e-6, atol=1e-6)
        self.own_prior = not (kept or max(joint, alone) >= WALL)
        return self

    def __call__(self, x: np.ndarray, data: tuple[Any, ...], prior: Quadratic) -> float:
        """Negative log-likelihood at unconstrained `x` (P,)."""
        if not self.own_prior:
            return _number(self._call(x, data, None, "nll"))
        view = PriorView(prior)
        return _number(self._call(x, data, view, "npl")) + view.logpdf(x)

    def _call(self, x: np.ndarray, data: tuple[Any, ...], prior: Any, output: str) -> Any:
        with _double_precision():
            if self.by_name:
                return self.function(x, *data, prior=prior, output=output)
            return self.function(x, *data, prior, output)


class Reporter:
    """Calls a fit function without a prior, whether it takes `prior` and `output` by name or by position."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        taken = _parameters(function)
        self.by_name = _takes_names(function) or any(p.name == "output" for p in taken)
        without = any(p.name == "prior" and p.default is p.empty for p in taken)
        self.settings = {"prior": None} if without else {}

    def __call__(self, x: np.ndarray, data: tuple[Any, ...], output: str) -> Any:
        """Return the output at `x` (P,)."""
        with _double_precision():
            if self.by_name:
                return self.function(x, *data, **self.settings, output=output)
            return self.function(x, *data, None, output)


def _double_precision() -> Any:
    """Context of double precision for functions that use JAX, as differences of single precision are useless."""
    jax = sys.modules.get("jax")
    return jax.enable_x64(True) if jax else contextlib.nullcontext()


def _takes_names(function: Callable[..., Any]) -> bool:
    taken = _parameters(function)
    return not taken or {"prior", "output"} <= {p.name for p in taken} or any(p.kind is p.VAR_KEYWORD for p in taken)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Parameters of the function; none if it does not show them."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def _number(value: Any) -> float:
    if value is None:
        raise ValueError("a fit function should return one number, but returned None; has it a return statement?")
    array = np.asarray(value, float)
    if array.size != 1:
        raise ValueError(f"a fit function should return one number, but returned an array of shape {array.shape}")
    return float(array.reshape(()))


def negative_log_liks(likelihood: Callable[..., float], people: Sequence[Any], x: np.ndarray) -> np.ndarray:
    """Negative log-likelihood (K, S) at draws (K, S, P); infinite where it is not finite."""
    return values_of_people(partial(_column, likelihood), people, x)


def _column(likelihood: Callable[..., float], data: Any, x: np.ndarray) -> np.ndarray:
    prior = Quadratic(np.zeros(x.shape[1]), np.eye(x.shape[1]))
    values = np.array([likelihood(row, data, prior) for row in x])
    return np.where(np.isfinite(values), values, np.inf)
