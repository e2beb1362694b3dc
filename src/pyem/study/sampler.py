"""Test of a policy's `sample` against its `log_prob`: whether distributions draw what their densities say.

At the parameters that responses are drawn with, the derivative of their log-density (the score) has the mean 0, and its
variance is minus the mean second derivative (the information), whatever people did and earned before. Both are looked at
over many draws, one step ahead of real histories.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.engine.validate import first_line
from pyem.errors import ModelError
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import initial_state, policies
from pyem.numerics.jit import compiled
from pyem.study.histories import histories, walk
from pyem.study.normalisation import require_integrals, require_sums

NARROW = 0.3
"""Sd of the simulated people, in sds of the typical population: with larger differences a few would outweigh all others."""
FALSE_ALARM = 1e-6
"""Probability that the mean score of a correct distribution is called wrong."""
SPREAD_Z, SPREAD_PART = 8.0, 0.1
"""Deviation of the score's variance that is called wrong, in standard errors and as a share of the information."""


class Scores(NamedTuple):
    """Sums over draws of one response, by parameter, (P,)."""

    n: int
    first: np.ndarray
    squares: np.ndarray
    information: np.ndarray
    excess: np.ndarray
    excess_squares: np.ndarray


def check_sampler(model: Model, data: Dataset) -> str:
    """Raise ModelError if a distribution of `model` does not draw what its density says; describe what was found."""
    if model.policy is None:
        return "skipped: the model has no policy to draw from"
    fails = _undrawable(model, data)
    if fails:
        return f"skipped: {fails}, so that the model cannot be simulated"
    require_sums(model, data)
    for name, scores in (sampled_scores(model, data) if model.n_params else {}).items():
        _mean_is_zero(model, name, scores)
        if np.issubdtype(data.fields[name].dtype, np.inexact):
            _spread_is_information(model, name, scores)
    require_integrals(model, data)
    if not model.n_params:
        return "skipped in part: the model has no free parameter for a derivative"
    return "what is drawn has the density that the likelihood says"


def _mean_is_zero(model: Model, name: str, scores: Scores) -> None:
    from scipy.special import ndtri

    # Rare responses may hardly be drawn, but the information includes them.
    scale = np.sqrt(np.maximum(np.maximum(scores.squares, scores.information), 0.0))
    some = scale > 1e-9 * np.sqrt(scores.n)
    z = np.where(some, scores.first, 0.0) / np.where(some, scale, 1.0)
    limit = -ndtri(FALSE_ALARM / (2 * len(z) * len(model.responses)))
    worst = int(np.abs(z).argmax())
    if abs(z[worst]) > limit:
        raise ModelError(
            f"model {model.name!r}: sample(key) of the distribution of {name!r} does not draw what its log_prob says: over "
            f"{scores.n} draws the mean derivative of log_prob by {model.names[worst]} is {abs(z[worst]):.1f} standard errors "
            f"from 0 (more than {limit:.1f} happens once in {1 / FALSE_ALARM:.0e} checks); make sample and log_prob agree"
        )


def _spread_is_information(model: Model, name: str, scores: Scores) -> None:
    information = np.abs(scores.information)
    # If hardly anything of what the information includes was drawn, the draws are no test.
    some = (scores.squares > 0.02 * information) & (information > 1e-18 * scores.n)
    z = np.where(some, scores.excess, 0.0) / np.sqrt(np.where(some, scores.excess_squares, 1.0))
    part = np.where(some, scores.excess, 0.0) / np.where(some, information, 1.0)
    wrong = np.flatnonzero((np.abs(z) > SPREAD_Z) & (np.abs(part) > SPREAD_PART))
    if len(wrong):
        k = int(wrong[0])
        raise ModelError(
            f"model {model.name!r}: sample(key) of the distribution of {name!r} does not draw what its log_prob says: over "
            f"{scores.n} draws the derivative of log_prob by {model.names[k]} has {1 + part[k]:.2f} times the variance that "
            "log_prob implies, as if another spread were drawn; make sample and log_prob agree"
        )


# -- draws ------------------------------------------------------------------------------------------------------------------


def _undrawable(model: Model, data: Dataset) -> str | None:
    """Name a distribution that cannot be drawn from, with the reason; None if there is none."""
    found = []

    def look(x: Array, trial: Record, key: Array) -> int:
        p = model.record(x)
        for name, dist in policies(model, p, initial_state(model, p, trial), trial).items():
            if not hasattr(dist, "sample"):
                found.append(f"the distribution of {name!r} has no sample(key)")
                continue
            try:
                dist.sample(key)
            except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
                found.append(f"sample(key) of the distribution of {name!r} fails ({first_line(error)})")
        return 0

    with jax.enable_x64(True):
        trial = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:-1], a.dtype), data.trials(model))
        jax.eval_shape(look, jax.ShapeDtypeStruct((model.n_params,), jnp.float64), trial, jax.random.key(0))
    return found[0] if found else None


def sampled_scores(model: Model, data: Dataset) -> dict[str, Scores]:
    """Scores of responses drawn one step ahead of the histories in `data`, by people around the typical one."""
    trials, lanes = histories(model, data)
    mean, sd = model.typical
    x = mean[:, None] + NARROW * sd[:, None] * np.random.default_rng(0).normal(size=(model.n_params, lanes))
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), (jax.tree.leaves(trials)[0].shape[0], lanes))
        found = _scores(model, jnp.asarray(x), jax.tree.map(jnp.asarray, trials), keys)
        return {name: _summed(*parts) for name, parts in jax.tree.map(np.asarray, found).items()}


@compiled(0, quick=True)
def _scores(model: Model, x: Array, trials: Record, keys: Array) -> dict[str, tuple[Array, Array, Array]]:
    """First and second derivatives (P, trial, lane) of the log-density of drawn responses, and whether each is used."""
    place = {name: k for k, name in enumerate(model.responses)}
    # Responses of a pair are drawn together.
    place |= {second: place[first] for first, second in model.joint}
    drawn = walk(model, x, trials, keys, lambda dist, key, name: dist.sample(jax.random.fold_in(key, place[name])))

    firsts = {second: first for first, second in model.joint}

    def log_prob(dist: Any, drawn: dict[str, Array], name: str) -> Array:
        dist = dist._replace(first=drawn[firsts[name]]) if name in firsts else dist
        return dist.log_prob(drawn[name])

    def log_probs(shift: Array) -> dict[str, Array]:
        return walk(model, x + shift[:, None], trials, drawn, log_prob)

    def along(direction: Array) -> Any:
        first = lambda t: jax.jvp(lambda t: log_probs(t * direction), (t,), (1.0,))[1]  # noqa: E731
        return jax.jvp(first, (0.0,), (1.0,))

    first, second = jax.vmap(along)(jnp.eye(len(x)))
    return {name: (first[name], second[name], trials.responded[name]) for name in first}


def _summed(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> Scores:
    # A drawn response without a finite derivative is reported by other checks.
    good = counts & np.isfinite(first).all(0) & np.isfinite(second).all(0)
    first, second = first[:, good], second[:, good]
    excess = first**2 + second
    sums = (first.sum(1), (first**2).sum(1), -second.sum(1), excess.sum(1), (excess**2).sum(1))
    return Scores(int(good.sum()), *sums)
