"""The chance level of choices: the log-likelihood of choosing at random among the options on offer."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.data.partitioned import parts_of, placed_parts
from pyem.engine.evaluate import log_lik, trial_values
from pyem.model.design import in_blocks
from pyem.model.distribution import option_logits
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import counting, initial_state, over_lanes, policies
from pyem.numerics.jit import compiled


class Chance(NamedTuple):
    """Log-likelihood of each subject's choices under the model, and by chance, (S,), in nats."""

    log_lik: np.ndarray
    by_chance: np.ndarray


def choices(model: Model, data: Dataset) -> dict[str, bool]:
    """The responses that are choices among options, and whether their distributions are given by logits.

    Other responses (numbers, yes or no, counts) have no chance level.
    """
    if model.policy is None:
        return {model.responses[0]: False} if model.options is not None and len(model.responses) == 1 else {}
    found: dict[str, bool] = {}
    data = next(parts_of(data))
    inner = model if model.design is None else model.design.inner

    def look(x: Array, trial: Record) -> int:
        p = inner.record(x)
        for name, dist in policies(inner, p, initial_state(inner, p, trial), trial).items():
            if _on_offer(dist) is not None:
                found[name] = not _by_probability(dist)
        return 0

    with jax.enable_x64(True):
        trial = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:-1], a.dtype), data.trials(model))
        jax.eval_shape(look, jax.ShapeDtypeStruct((inner.n_params,), jnp.float64), trial)
    return found


def chance(model: Model, data: Dataset, x: np.ndarray) -> Chance:
    """Log-likelihood of all choices at unconstrained `x` (S, P), and that of choosing at random among the options on offer.

    An option that has probability 0 (a logit of minus infinity) is not on offer. A model that gives the log-likelihood
    itself does not say what is on offer; there it is every option.
    """
    parts = [_of_part(model, part, x[place]) for place, part in placed_parts(data)]
    return Chance(*map(np.concatenate, zip(*parts, strict=True)))


def _of_part(model: Model, data: Dataset, x: np.ndarray) -> Chance:
    if model.policy is None:
        by_chance = -data.n_responses(model) * np.log(float(model.options or 1))
        return Chance(log_lik(model, data, x), by_chance)
    found = trial_values(model, data, x)
    if list(choices(model, data).values()) == [True] and len(model.responses) == 1:
        # Everything needed is there already, and nothing new has to be compiled.
        n_offered = (found["log_probs"][0] != -np.inf).sum(1)
        responded = data.masks(model)[0][model.responses[0]]
        terms = [(found["log_lik"], np.where(responded, -np.log(n_offered), 0.0))]
    else:
        with jax.enable_x64(True):
            trials = jax.tree.map(jnp.asarray, data.trials(model))
            lanes = jnp.asarray(np.asarray(x, float).T[:, data.lane_subject])
            inner, lanes, trials = in_blocks(model, lanes, trials)
            terms = list(_of_all_trials(inner, lanes, found["state"], trials).values())
    sums = [sum(np.asarray(term[k]).sum(0) for term in terms) for k in (0, 1)]
    return Chance(*(np.bincount(data.lane_subject, lanes, data.n_subjects) for lanes in sums))


@compiled(0, quick=True)
def _of_all_trials(model: Model, x: Array, states: Any, trials: Record) -> dict[str, tuple[Array, Array]]:
    one = over_lanes(lambda x, state, trial: _of_one_trial(model, x, state, trial))
    return jax.vmap(lambda state, trial: one(x, state, trial))(states, trials)


def _of_one_trial(model: Model, x: Array, state: Any, trial: Record) -> dict[str, tuple[Array, Array]]:
    """Log-likelihood and its chance level of every response that is a choice, 0 where it is missing."""
    out = {}
    for name, dist in policies(model, model.record(x), state, trial).items():
        offered = _on_offer(dist)
        if offered is not None:
            terms = dist.log_prob(trial[name]), -jnp.log(offered.sum())
            out[name] = tuple(jnp.where(counting(trial)[name], term, 0.0) for term in terms)
    return out


def _on_offer(dist: Any) -> Array | None:
    """Options of a categorical distribution that can be chosen; None for other distributions."""
    logits = option_logits(dist)
    if logits is None or jnp.ndim(logits) != 1:
        return None
    return jnp.asarray(dist.probs) != 0 if _by_probability(dist) else jnp.asarray(logits) != -jnp.inf


def _by_probability(dist: Any) -> bool:
    # For these, NumPyro keeps the logarithm of a probability of 0 finite.
    return "probs" in getattr(dist, "arg_constraints", {})
