"""Parameters that have one of a few values: every value is tried for every person, and the best is kept."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.opaque import is_opaque
from pyem.errors import FitWarning, ModelError
from pyem.infer.outcome import ended_texts, warn_of_failures
from pyem.infer.side_by_side import Values, Way, inside, side_by_side
from pyem.model.model import Model
from pyem.model.modifiers import fix
from pyem.results.point import PointFit

MOST = 100
"""Largest number of combinations of values."""


def fit_each(way: Way, model: Model, data: Dataset, start: Any, starts: int, settings: Mapping[str, Any]) -> PointFit:
    """The fit with the best combination of values for each person.

    Parameters
    ----------
    way
        The method.
    model, data, start, starts, settings
        Arguments as for the method.
    """
    held = each_held(model)
    given = None if start is None else without_discrete(model, start)
    apart = is_opaque(model) or model.design is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        each = _one_after_another if apart else functools.partial(_all_at_once, list(model.discrete))
        found = each(way, held, data, given, starts)
    return _whole(model, found, way.marginal, settings)


def each_held(model: Model) -> dict[Values, Model]:
    """The model with each combination of values, the middle ones first.

    Raises
    ------
    ModelError
        If there are too many.
    """
    return {one: fix(model, **dict(zip(model.discrete, one, strict=True))) for one in _combinations(model)}


# -- one compiled function, and searches side by side -------------------------------------------------------------------


def _all_at_once(
    names: list[str], way: Way, held: Mapping[Values, Model], data: Dataset, given: Any, starts: int
) -> dict[Values, PointFit]:
    """Fit all combinations by searches side by side in one compiled function."""
    assert way.result is not None
    found = side_by_side(way, names, held, data, given, starts).finish()
    return {one: way.result(model, laplace) for (one, model), laplace in zip(held.items(), found, strict=True)}


# -- a fit for each combination -----------------------------------------------------------------------------------------


def _one_after_another(
    way: Way, held: Mapping[Values, Model], data: Dataset, given: Any, starts: int
) -> dict[Values, PointFit]:
    """Fit the combinations one after another, for models that are not compiled or have a design.

    Outwards from the middle combination: the first from all starts, the others from what their neighbour has found; then once
    more from what the best combination of each person has found.
    """
    found: dict[Values, PointFit] = {}
    assert way.fit is not None
    for one, model in held.items():
        told = {"start": found[_nearest(one, found)], "starts": 1} if found else {"start": given, "starts": starts}
        found[one] = way.fit(model, data, **told)
    best = _assembled(found, way.marginal)[0]
    for one, fit in found.items():
        found[one] = _better(fit, way.fit(fit.model, data, start=_taken(found, best), starts=1))
    return found


def _combinations(model: Model) -> list[tuple[float, ...]]:
    """All combinations of values, the middle ones first."""
    every = list(itertools.product(*model.discrete.values()))
    if len(every) > MOST:
        raise ModelError(
            f"model {model.name!r} has {len(every)} combinations of the values of {', '.join(model.discrete)}, each of which "
            f"has to be fitted; at most {MOST} are"
        )
    middle = np.mean(every, axis=0)
    return sorted(every, key=lambda one: float(np.abs(np.array(one) - middle).sum()))


def _nearest(one: tuple[float, ...], found: Mapping[tuple[float, ...], Any]) -> tuple[float, ...]:
    return min(found, key=lambda other: float(np.abs(np.subtract(one, other)).sum()))


def _columns(model: Model) -> np.ndarray:
    """(P,): whether a parameter is not discrete."""
    return np.array([name not in model.discrete for name in model.names])


def without_discrete(model: Model, start: Any) -> np.ndarray:
    """Natural values (S, P - D) of the other parameters, from an array of all parameters or from another fit."""
    values = start.params if isinstance(start, PointFit) else np.asarray(start, float)
    return values[:, _columns(model)]


def _criterion(fits: list[PointFit], marginal: bool) -> np.ndarray:
    """(combination, S): criterion in nats by which the best is chosen; minus infinity where it is not finite."""
    value = np.array([one.log_evidence if marginal else one.log_lik for one in fits], float)
    return np.where(np.isfinite(value), value, -np.inf)


def _assembled(found: Mapping[Any, PointFit], marginal: bool) -> tuple[np.ndarray, np.ndarray]:
    """The best combination of each person (S,), and the criterion."""
    value = _criterion(list(found.values()), marginal)
    return value.argmax(0), value


def _pick(fits: list[PointFit], best: np.ndarray, name: str) -> np.ndarray:
    return np.array([getattr(fits[k], name)[s] for s, k in enumerate(best)])


def _taken(found: Mapping[Any, PointFit], best: np.ndarray) -> np.ndarray:
    """Natural values of each person's best combination."""
    model = next(iter(found.values())).model
    return model.natural(inside(model, _pick(list(found.values()), best, "x")))


def _better(one: PointFit, other: PointFit) -> PointFit:
    """Combine two fits of the same model: the better one for each person."""
    joint = lambda fit: fit.log_lik + (0.0 if fit.log_prior is None else fit.log_prior)  # noqa: E731
    take = ~(joint(one) >= joint(other) - 1e-9) & np.isfinite(joint(other))
    chosen = {}
    for name in ("x", "cov", "log_lik", "log_prior", "log_evidence", "status"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine is not None:
            chosen[name] = np.where(take.reshape(-1, *[1] * (mine.ndim - 1)), theirs, mine)
    return dataclasses.replace(one, **chosen)


def _whole(model: Model, found: Mapping[Any, PointFit], marginal: bool, settings: Mapping[str, Any]) -> PointFit:
    """Assemble the result: everybody's best combination, with the weights of all values."""
    fits, combinations = list(found.values()), np.array(list(found))
    best, value = _assembled(found, marginal)
    weights = np.exp(value - np.where(np.isfinite(value.max(0)), value.max(0), 0.0))
    weights /= np.maximum(weights.sum(0), np.finfo(float).tiny)
    x, cov, trace = embedded(model, _pick(fits, best, "x"), _pick(fits, best, "cov"), best, weights, combinations)
    first, status = fits[0], _pick(fits, best, "status")
    evidence = None if first.log_evidence is None else _mean_evidence(fits)
    converged, message = ended_texts(status)
    result = dataclasses.replace(
        first,
        model=model,
        x=x,
        cov=cov,
        log_lik=_pick(fits, best, "log_lik"),
        log_prior=None if first.log_prior is None else _pick(fits, best, "log_prior") - np.log(len(fits)),
        log_evidence=evidence,
        status=status,
        prior=None,
        converged=converged,
        message=message,
        trace=trace,
        settings=dict(settings),
    )
    warn_of_failures(result)
    return result


def embedded(
    model: Model, mode: np.ndarray, cov: np.ndarray, best: np.ndarray, weights: np.ndarray, combinations: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Modes and covariances of all parameters, and the weights of the values as traces.

    Parameters
    ----------
    model
        Model with its discrete parameters.
    mode, cov
        Modes and covariances of the other parameters, (S, P - D) and (S, P - D, P - D), given everybody's best combination.
    best, weights, combinations
        Which that is (S,), the probabilities (C, S), and the values (C, D).
    """
    others = _columns(model)
    x, whole = np.empty((len(mode), model.n_params)), np.zeros((len(mode), model.n_params, model.n_params))
    x[:, others], x[:, ~others] = mode, combinations[best]
    whole[:, np.ix_(others, others)[0], np.ix_(others, others)[1]] = cov
    spread = weights.T @ combinations**2 - (weights.T @ combinations) ** 2
    for k, column in enumerate(np.flatnonzero(~others)):
        whole[:, column, column] = np.maximum(spread[:, k], 0.0)
    trace = {"values": combinations, "weights": weights.T}
    for k, (name, values) in enumerate(model.discrete.items()):
        trace |= {f"P({name}={v:g})": weights[combinations[:, k] == v].sum(0) for v in values}
    return x, whole, trace


def _mean_evidence(fits: list[PointFit]) -> np.ndarray:
    """Log evidence (S,) averaged over all combinations, which are equally probable a priori."""
    value = _criterion(fits, True)
    top = np.where(np.isfinite(value.max(0)), value.max(0), 0.0)
    total = top + np.log(np.exp(value - top).sum(0)) - np.log(len(fits))
    return np.where(np.isfinite(value.max(0)), total, np.nan)
