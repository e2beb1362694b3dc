"""Test of the densities that a user's own distributions give: whether probabilities sum, and densities integrate, to 1.

A constant that is missing changes no estimate, but evidences and comparisons; one that depends on parameters changes all.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.errors import ModelError
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import initial_state, policies
from pyem.numerics.jit import compiled
from pyem.study.histories import histories, walk

TOLERANCE = 1e-6
"""Distance from 1 of a sum of probabilities that is called wrong."""
Z, PART = 8.0, 0.02
"""Distance from 1 of an integral that is called wrong, in standard errors and as such."""
DRAWS, BETWEEN = 12, (3, 8)
"""Draws from each distribution, of which the last is looked at where it is between two others, counted from the smallest.

Without the extreme ones, the inverse density at the last has a finite variance."""


def require_sums(model: Model, data: Dataset) -> None:
    """Raise ModelError if the probabilities of all options do not sum to 1, of a distribution of the user."""
    options = {name: n for name, n in model.coded if name in _own(model, data)}
    if not options:
        return
    x, trials, _ = _typical_histories(model, data)
    with jax.enable_x64(True):
        found = _sums(model, tuple(options.items()), x, jax.tree.map(jnp.asarray, trials))
    for name, sums in jax.tree.map(np.asarray, found).items():
        _sum_is_1(model, name, options[name], sums[trials.responded[name]])


def require_integrals(model: Model, data: Dataset) -> None:
    """Raise ModelError if the density of a single number does not integrate to 1, of a distribution of the user."""
    coded = {name for name, _ in model.coded}
    own = tuple(name for name in _own(model, data) if name not in coded)
    if not own:
        return
    x, trials, shape = _typical_histories(model, data)
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(1), shape)
        found = _draws(model, own, x, jax.tree.map(jnp.asarray, trials), keys)
    for name, (drawn, log_p) in jax.tree.map(np.asarray, found).items():
        if drawn.ndim == 3:
            counts = trials.responded[name]
            _integral_is_1(model, name, np.moveaxis(drawn, 1, -1)[counts], log_p[counts])


def _typical_histories(model: Model, data: Dataset) -> tuple[np.ndarray, Record, tuple[int, int]]:
    """Typical parameters (P, lane), trials, and the numbers of trials and lanes."""
    trials, lanes = histories(model, data)
    return np.repeat(model.typical[0][:, None], lanes, axis=1), trials, (len(jax.tree.leaves(trials)[0]), lanes)


def _sum_is_1(model: Model, name: str, n: int, sums: np.ndarray) -> None:
    off = np.abs(sums - 1)
    if off.max(initial=0.0) > TOLERANCE:
        raise ModelError(
            f"model {model.name!r}: the probabilities of the {n} options of {name!r} sum to {sums[off.argmax()]:.6g}, but must "
            "sum to 1; divide by their sum in log_prob, or use pyem.Categorical"
        )


def _integral_is_1(model: Model, name: str, drawn: np.ndarray, log_p: np.ndarray) -> None:
    """Raise if the inverse density of draws between two others is not, on average, the distance of these."""
    low, high = np.sort(drawn[:, :-1], axis=1)[:, list(BETWEEN)].T.astype(float)
    last, whole = drawn[:, -1], (drawn == np.round(drawn)).all()
    # Of whole numbers, both ends are possible.
    size = high - low + (1.0 if whole else 0.0)
    if not whole and (high == low).any():
        return
    inside = np.where((last >= low) & (last <= high), np.exp(-np.maximum(log_p, -700.0)), 0.0)
    missing = size - inside
    error = missing.std() / np.sqrt(max(len(missing), 1))
    constant = size.sum() / max(inside.sum(), 1e-300)
    if abs(missing.mean()) > Z * error and abs(constant - 1) > PART:
        raise ModelError(
            f"model {model.name!r}: the density of {name!r} that log_prob gives integrates to {constant:.3g} over what "
            "sample(key) draws, but must integrate to 1; add the constant to log_prob, or make sample and log_prob agree"
        )


def _own(model: Model, data: Dataset) -> list[str]:
    """Responses whose distribution is a class of the user, but for pairs of responses."""
    found: list[str] = []
    pairs = {name for pair in model.joint for name in pair}

    def look(x: Array, trial: Record) -> int:
        p = model.record(x)
        for name, dist in policies(model, p, initial_state(model, p, trial), trial).items():
            if type(dist).__module__.partition(".")[0] not in ("pyem", "numpyro"):
                found.append(name)
        return 0

    with jax.enable_x64(True):
        trial = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:-1], a.dtype), data.trials(model))
        jax.eval_shape(look, jax.ShapeDtypeStruct((model.n_params,), jnp.float64), trial)
    return [name for name in found if name not in pairs]


@compiled(0, 1, quick=True)
def _sums(model: Model, options: tuple[tuple[str, int], ...], x: Array, trials: Record) -> dict[str, Array]:
    """Sum of the probabilities of all options on each trial (trial, lane)."""
    n = dict(options)

    def total(dist: Any, extra: None, name: str) -> Array:
        return sum(jnp.exp(dist.log_prob(jnp.asarray(k))) for k in range(n[name])) if name in n else jnp.asarray(1.0)  # type: ignore[return-value]

    found = walk(model, x, trials, None, total)
    return {name: found[name] for name in n}


@compiled(0, 1, quick=True)
def _draws(
    model: Model, names: tuple[str, ...], x: Array, trials: Record, keys: Array
) -> dict[str, tuple[Array, Array]]:
    """Draws from the distribution of each trial, and the log-density of the last one."""

    def each(dist: Any, key: Array, name: str) -> Any:
        drawn = jax.vmap(dist.sample)(jax.random.split(key, DRAWS))
        return drawn, dist.log_prob(drawn[-1])

    found = walk(model, x, trials, keys, lambda dist, key, name: each(dist, key, name) if name in names else 0.0)
    return {name: found[name] for name in names}
