"""The pyEM functions of the regressions: people's design matrices and responses, the residual sd profiled out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.compat.adapt import Bundle, bundle
from pyem.compat.fields import Fields, Values, inside, seed_of, whole
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Real
from pyem.simulation.play import simulate as simulate_task

Decay = Literal["onestep", "twostep"]
Extra = Literal["", "gamma", "phi"]
LAGS = {"onestep": 1, "twostep": 2}
MAX_PHI = 0.999
LEAST_SD = 1e-8
"""Smallest sd of residuals, so that the likelihood of a perfect fit is finite."""
SEED = 0
"""Seed of simulations for which none is given: two of them are equal."""
WALL = 1e7
"""Negative log-likelihood for a value of phi outside its range."""


@dataclasses.dataclass(frozen=True)
class WholePerson:
    """The log-likelihood of all of a person's responses.

    The residual standard deviation of a Gaussian response is that of the residuals themselves, so that it is no parameter.
    Trials before the first are fields of their own: ``lag1``, ``lag2`` (rows of the design matrix) and ``last_y``.
    """

    family: Literal["gaussian", "binomial"]
    extra: Extra
    lags: int

    def __call__(self, p: Record, trials: Record) -> Array:
        """The log-likelihood of each trial, (trial,), in nats."""
        rows = sum((p.gamma**lag * trials[f"lag{lag}"] for lag in range(1, self.lags + 1)), trials.predictors)
        eta = (rows * p.b).sum(-1)
        if self.family == "binomial":
            return jax.nn.log_sigmoid(jnp.where(trials.y == 1, eta, -eta))
        if self.extra != "phi":
            return _profiled(trials.y - eta, trials.responded)
        log_lik = _profiled(trials.y - eta - p.phi * trials.last_y, trials.responded)
        # Shared among the trials, so that their sum is the wall.
        wall = -WALL / jnp.maximum(trials.responded.sum(), 1)
        return jnp.where(jnp.abs(p.phi) <= MAX_PHI, log_lik, wall)


def _profiled(residual: Array, counts: Array) -> Array:
    """Gaussian log-density of residuals with their own standard deviation."""
    n = jnp.maximum(counts.sum(), 1)
    mean = jnp.where(counts, residual, 0.0).sum() / n
    variance = jnp.where(counts, (residual - mean) ** 2, 0.0).sum() / n
    variance = jnp.maximum(variance, LEAST_SD**2)
    return -0.5 * (residual**2 / variance + jnp.log(2 * jnp.pi * variance))


_EXTRA = {"gamma": Parameter("gamma", Interval(0, 1), "decay"), "phi": Parameter("phi", Real(), "carry-over", sd=0.5)}


def _person_model(
    id: str, family: Literal["gaussian", "binomial"], extra: Extra, lags: int, subjects: Sequence[Fields], n: int
) -> Model:
    weights = subjects[0]["predictors"].shape[-1]
    for s, fields in enumerate(subjects):
        if fields["predictors"].shape[-1] != weights:
            raise ValueError(
                f"subject 0 has {weights} columns of predictors and subject {s} has {fields['predictors'].shape[-1]}; "
                "give everyone the same columns"
            )
    past = {"gamma": tuple(f"lag{lag}" for lag in range(1, lags + 1)), "phi": ("last_y",)}.get(extra, ())
    return Model(
        f"{id}_fit",
        (Parameter("b", doc="weights of the predictors", size=weights), *((_EXTRA[extra],) if extra else ())),
        log_likelihood=WholePerson(family, extra, lags),
        responses=("y",),
        inputs=("predictors", *past),
    )


def _columns(X: Any, Y: Any) -> tuple[np.ndarray, np.ndarray]:
    X, Y = np.asarray(X, float), np.asarray(Y, float)
    if X.ndim != 2 or Y.shape not in ((len(X),), (len(X), 1)):
        raise ValueError(
            f"X has shape {X.shape} and Y {Y.shape}; expected a design matrix (trials, predictors) and one response for "
            "each trial, NaN where missing"
        )
    return X, Y.reshape(-1)


def _earlier(values: np.ndarray, lag: int) -> np.ndarray:
    """Values `lag` trials ago; 0 before the first trial."""
    out = np.zeros_like(values)
    out[lag:] = values[: len(values) - lag]
    return out


def _zero_or_one(Y: np.ndarray) -> None:
    odd = Y[~np.isnan(Y) & (Y != 0) & (Y != 1)]
    if len(odd):
        raise ValueError(f"Y has the value {odd[0]:g}; a logistic regression expects 0 and 1, or NaN where missing")


def regression(factory: Callable[..., Model], desc: str, spec: dict[str, Any], *, extra: Extra = "") -> Bundle:
    """The functions of a regression.

    Parameters
    ----------
    factory
        Makes the model from the number of predictors (and `decay`, where predictors linger).
    desc, spec
        Entries of the `ModelSpec`.
    extra
        The parameter after the weights: ``"gamma"``, ``"phi"``, or none.
    """
    example = factory(1)
    id = example.name
    family: Literal["gaussian", "binomial"] = "gaussian" if example.options is None else "binomial"
    kind = float if family == "gaussian" else int
    shown = "predicted_y" if family == "gaussian" else "predicted_p"

    def fields(X: Any, Y: Any) -> Fields:
        X, Y = _columns(X, Y)
        if family == "binomial":
            _zero_or_one(Y)
        past = {"lag1": _earlier(X, 1), "lag2": _earlier(X, 2)} if extra == "gamma" else {}
        past |= {"last_y": _earlier(Y, 1)} if extra == "phi" else {}
        return {name: column[None] for name, column in {"predictors": X, "y": Y, **past}.items()}

    def report(values: Values, X: Any, Y: Any, decay: Decay = "twostep") -> dict[str, Any]:
        columns = {name: array[0] for name, array in fields(X, Y).items()}
        weights = values.params[: columns["predictors"].shape[1]]
        used = [columns["predictors"]]
        if extra == "gamma":
            used += [values.params[-1] ** lag * columns[f"lag{lag}"] for lag in range(1, LAGS[decay] + 1)]
        eta = np.sum(used, axis=0) @ weights
        if extra == "phi":
            eta = eta + values.params[-1] * columns["last_y"]
        counted = int((~np.isnan(eta) & ~np.isnan(columns["y"])).sum())
        return {
            shown: eta if family == "gaussian" else 1 / (1 + np.exp(-eta)),
            "BIC": 2 * values.nll + len(values.params) * np.log(counted),
            **({"gamma": values.params[-1]} if extra == "gamma" else {}),
        }

    def play(params: Any, trials: int, seed: int | None, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        params = np.atleast_2d(np.asarray(params, float))
        model = factory(params.shape[1] - bool(extra), **options)
        if family == "gaussian":
            params = np.column_stack([params, np.ones(len(params))])
        key = SEED if seed is None else seed_of(seed)
        people = simulate_task(model, inside(model, params), key=key, trials=trials)
        return np.moveaxis(people.fields["predictors"], -1, 0), people.fields["y"].T.astype(kind)

    def model(subjects: Sequence[Fields], n_params: int) -> Model:
        return _person_model(id, family, extra, 0, subjects, n_params)

    def decaying(subjects: Sequence[Fields], n_params: int, decay: Decay = "twostep") -> Model:
        if decay not in LAGS:
            raise ValueError(f"decay={decay!r}; choose 'onestep' or 'twostep'")
        return _person_model(id, family, extra, LAGS[decay], subjects, n_params)

    def simulate(
        params: Any, ntrials: int = 100, seed: int | None = None, *, nblocks: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        return play(params, whole("nblocks", nblocks) * whole("ntrials", ntrials), seed)

    def simulate_decaying(
        params: Any, ntrials: int = 100, decay: Decay = "twostep", seed: int | None = None, *, nblocks: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        return play(params, whole("nblocks", nblocks) * whole("ntrials", ntrials), seed, decay=decay)

    lingers = extra == "gamma"
    chosen = simulate_decaying if lingers else simulate
    chosen.__doc__ = _SIM_DOC.format(id=id, extra=f", then {extra}" if extra else "")
    return bundle(
        id,
        module="pyem.models.glm",
        desc=desc,
        spec=spec,
        fields=fields,
        model=decaying if lingers else model,
        report=report if lingers else lambda values, X, Y: report(values, X, Y),
        simulate=chosen,
        strict=True,
    )


_SIM_DOC = """Simulate people's responses to random predictors by {id}.

Parameters
----------
params
    Natural parameters, (S, P): the weights{extra}. Gaussian residuals have the standard deviation 1.
ntrials, nblocks
    Trials of a person, ``ntrials * nblocks`` in one sequence.
decay
    Where there is one: ``"twostep"`` or ``"onestep"``.
seed
    Whole number; without it there is a fixed one, so that two calls give equal data.

Returns
-------
tuple
    ``X`` (S, T, predictors), whose first column is 1 and whose others are standard normal, and ``Y`` (S, T).
"""
