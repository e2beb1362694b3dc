"""The scan over trials. Lanes are the last axis of every array, so that the fastest axis is the longest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from pyem.model.design import in_blocks, on_trial
from pyem.model.distribution import Unless, option_count, option_logits
from pyem.model.joint import First, Second
from pyem.model.log_softmax import log_softmax
from pyem.model.model import Model
from pyem.model.record import Record


def over_lanes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Apply `function` of one lane to arrays whose last axis is the lane."""
    return jax.vmap(function, in_axes=-1, out_axes=-1)


def in_full(values: dict[str, Any]) -> dict[str, Array]:
    """Convert columns to 64 bits, as in a data set.

    Of fewer bits JAX computes functions such as ``gammaln`` in single precision, so that a simulated trial would not have
    the probability that the likelihood says.
    """
    return {name: _as_wide(jnp.asarray(value)) for name, value in values.items()}


def _as_wide(value: Array) -> Array:
    whole = not jnp.issubdtype(value.dtype, jnp.inexact)
    return value.astype(jnp.result_type(int) if whole else jnp.result_type(float))


def initial_state(model: Model, p: Record, trial: Record | None = None) -> Any:
    """The state of one lane before its first trial, with the floating-point type that updates will have.

    Parameters that differ from trial to trial are there as on the first, `trial`.
    """
    p = p if trial is None else on_trial(model, p, trial)
    state = model.init(p) if model.init else ()
    return jax.tree.map(lambda leaf: _as_float(jnp.asarray(leaf)), state)


def _as_float(leaf: Array) -> Array:
    # A counter that an update turns into a float would change the type of the scan's carry.
    return leaf if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf.astype(jnp.result_type(float))


def policies(model: Model, p: Record, state: Any, trial: Record) -> dict[str, Any]:
    """The distribution of every response of one lane on one trial, each given the earlier ones of the trial."""
    plans = _plans(model, p, state, trial)
    return {name: _settled(model, name, plan, state, trial) for name, plan in plans.items()}


def in_turn(
    model: Model,
    p: Record,
    state: Any,
    trial: Record,
    show: Callable[[str, Record], dict[str, Any]],
    respond: Callable[[str, Any], Any],
) -> tuple[dict[str, Any], Record]:
    """The responses of one lane on one trial, one after another: their distributions, and the trial with all of them.

    Parameters
    ----------
    model, p, state, trial
        The trial has what is shown before the first response.
    show
        ``show(name, trial)``: the columns that are shown before the response `name` (see ``Model.between``).
    respond
        ``respond(name, distribution)``: the response.
    """
    dists: dict[str, Any] = {}
    before = dict(model.between)
    for name, plan in _plans(model, p, state, trial).items():
        if name in before:
            trial = trial.with_values(**in_full(show(name, trial)))
        dists[name] = _settled(model, name, plan, state, trial)
        trial = trial.with_values(**in_full({name: respond(name, dists[name])}))
    return dists, trial


def _plans(model: Model, p: Record, state: Any, trial: Record) -> dict[str, Any]:
    """Result of the policy for every response: a distribution, or a function that gives it later in the trial."""
    policy = model.policy(on_trial(model, p, trial), state, trial)  # type: ignore[misc]
    dists = dict(policy) if isinstance(policy, dict) else {model.responses[0]: policy}
    for first, second in model.joint:
        dists = _parted(dists, first, second)
    if set(dists) != set(model.responses):
        raise TypeError(
            f"policy(p, state, trial) returned a distribution of {', '.join(map(str, dists))}, but the model's responses are "
            f"{', '.join(model.responses)}; return a dict with a distribution for each"
        )
    return dists


def diverged(state: Any) -> Array | None:
    """Entry ``diverged`` of a state, also of one inside another; None for models whose updates always have a value."""
    if not isinstance(state, dict):
        return None
    inner = (diverged(part) for part in state.values())
    return state["diverged"] if "diverged" in state else next((one for one in inner if one is not None), None)


def may_diverge(model: Model) -> bool:
    """Whether the model's state records that an update had no value."""
    inner = model if model.design is None else model.design.inner
    with jax.enable_x64(True):
        p = jax.eval_shape(inner.record, jax.ShapeDtypeStruct((inner.n_params,), jnp.float64))
        return inner.init is not None and diverged(jax.eval_shape(inner.init, p)) is not None


def _parted(dists: dict[str, Any], first: str, second: str) -> dict[str, Any]:
    """Split the distribution of a pair into those of its first response, and of the second given the first."""
    # The class is asked first, because computing the logits of a distribution of times takes long.
    if first not in dists or not (hasattr(type(dists[first]), "logits") or hasattr(dists[first], "logits")):
        raise TypeError(
            f"policy(p, state, trial) must return for {first!r} one distribution of the pair ({first!r}, {second!r}), with "
            "logits, log_prob((first, second)) and sample(key), such as pyem.Wiener"
        )
    out: dict[str, Any] = {}
    for name, dist in dists.items():
        out[name] = dist
        if name == first:
            out |= {name: First(dist), second: lambda trial, dist=dist: Second(dist, trial[first])}
    return out


def _settled(model: Model, name: str, plan: Any, state: Any, trial: Record) -> Any:
    """Distribution of a response, once everything is known on which it depends."""
    # Some distributions can be called, too.
    later = not hasattr(plan, "log_prob") and callable(plan)
    if later and name not in dict(model.between):
        raise TypeError(
            f"policy(p, state, trial) returned a function for {name!r}, which therefore depends on what came earlier in the "
            f"trial; say so by between=(({name!r}, (<columns shown just before it>,)),), and by () if there are none"
        )
    dist = plan(trial) if later else plan
    if not hasattr(dist, "log_prob"):
        raise TypeError(
            f"policy(p, state, trial) returned {_kind(dist)} for {name!r}, but should return a distribution, such as "
            "pyem.Categorical(logits=...) or one of NumPyro's"
        )
    n_options = dict(model.coded).get(name)
    found = None if n_options is None else option_count(dist)
    if found is not None and found != n_options:
        raise TypeError(
            f"policy(p, state, trial) returned a distribution of {found} options, but the model has "
            + (f"options={n_options}" if name == model.responses[0] else f"{n_options} codes of {name!r}")
            + "; make them agree"
        )
    never = diverged(state)
    return dist if never is None else Unless(never > 0, dist)


def _kind(value: Any) -> str:
    """Words for a value in messages: arrays by their shape, as their contents are tracers."""
    return f"an array of shape {jnp.shape(value)}" if hasattr(value, "shape") else f"a {type(value).__name__}"


def updated(
    model: Model, p: Record, state: Any, trial: Record, learn: Array, *, state_only: bool = False
) -> tuple[Any, dict[str, Any]]:
    """The state of one lane after one trial (unchanged where `learn` is False), and the trial's latents.

    An update whose latents take much work may have a method `state_only`, called where they are not wanted.
    """
    if model.update is None:
        return state, {}
    p = on_trial(model, p, trial)
    bare = getattr(model.update, "state_only", None) if state_only else None
    out = model.update(p, state, trial) if bare is None else (bare(p, state, trial), {})
    if not (isinstance(out, tuple) and len(out) == 2 and isinstance(out[1], dict)):
        shown = f"({', '.join(map(_kind, out))})" if isinstance(out, tuple) else _kind(out)
        raise TypeError(
            f"update(p, state, trial) returned {shown}, but should return the new state and a dict of what is worth plotting: "
            "return new_state, {}"
        )
    new, latents = out
    _same_shapes(state, new)
    keep = lambda after, before: jnp.where(learn, after, before).astype(before.dtype)  # noqa: E731
    return jax.tree.map(keep, new, state), latents


def _same_shapes(state: Any, new: Any) -> None:
    before, after = ([jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (state, new))
    if before != after or jax.tree.structure(state) != jax.tree.structure(new):
        # Without this check, a number would silently become an array of equal values.
        before, after = (jax.tree.map(jnp.shape, tree) for tree in (state, new))
        raise TypeError(
            f"update(p, state, trial) returned a state of shape {after}, but that of init(p) has shape {before}; they must be "
            "the same"
        )


def rollout(model: Model, x: Array, trials: Record, *, full: bool = False, probs: bool = True) -> Any:
    """Log-likelihood of every lane; with `full`, of every trial, and its states and latents.

    Parameters
    ----------
    model
        The model.
    x
        Unconstrained parameters of each lane, (P, lane).
    trials
        The model's columns, (trial, ..., lane), with ``responded`` (one mask for each response column, a dict) and
        ``learn``, boolean (trial, lane); ``counted``, likewise, is False for responses that are left out of the likelihood.
    full
        Return what each trial gave instead of the sum.
    probs
        Include, with `full`, the probability of every option, which takes an integral over time for some.

    Returns
    -------
    Array or dict
        (lane,) in nats; or ``{"log_lik": (trial, lane), "state": ..., "latents": {...}, "log_probs": ...}``.
    """
    model, x, trials = in_blocks(model, x, trials)
    p = over_lanes(model.record)(x)
    if model.log_likelihood is not None:
        return _whole_lanes(model, p, trials, full)

    def lane_step(p: Record, state: Any, trial: Record) -> Any:
        dists = policies(model, p, state, trial)
        log_lik = counted(dists, trial)
        new, latents = updated(model, p, state, trial, trial.learn, state_only=not full)
        # The log-probability of every option, where the response is one of several.
        first = option_logits(dists[model.responses[0]]) if full and probs else None
        shown = [] if first is None else [log_softmax(first)]
        return new, log_lik, latents, shown

    def body(carry: Any, trial: Record) -> Any:
        state, total = carry
        new, log_lik, latents, shown = over_lanes(lane_step)(p, state, trial)
        out = {"log_lik": log_lik, "state": state, "latents": latents, "log_probs": shown} if full else None
        return (new, total + log_lik), out

    state = first_states(model, p, trials)
    (_, total), out = lax.scan(body, (state, jnp.zeros(x.shape[-1], x.dtype)), trials)
    return out if full else total


def trial_log_lik(model: Model, x: Array, trial: Record) -> Array:
    """Log-likelihood of one trial of every lane, (lane,), of a model without a state; see `rollout`."""
    state = over_lanes(lambda p: initial_state(model, p))(over_lanes(model.record)(x))

    def lane(x: Array, state: Any, trial: Record) -> Array:
        return counted(policies(model, model.record(x), state, trial), trial)

    return over_lanes(lane)(x, state, trial)


def counted(dists: dict[str, Any], trial: Record) -> Any:
    """Log-probability of those responses of a trial that are used in the likelihood."""
    counts = counting(trial)
    return sum(_count_if(counts[k], k, value) for k, value in log_probs_of(dists, trial).items())


def log_probs_of(dists: dict[str, Any], trial: Record) -> dict[str, Any]:
    """Log-probability of each response; for a pair that is always observed as a whole, all of it is the second's."""
    pairs = [id(dist.joint) for dist in dists.values() if isinstance(dist, Second)]
    whole = [] if "partial" in trial else pairs
    out: dict[str, Any] = {}
    for name, dist in dists.items():
        if isinstance(dist, First) and id(dist.joint) in whole:
            out[name] = jnp.zeros(())
        elif isinstance(dist, Second) and id(dist.joint) in whole:
            out[name] = dist.both(trial[name])
        else:
            out[name] = dist.log_prob(trial[name])
    return out


def counting(trial: Record) -> dict[str, Array]:
    """Responses that are used in the likelihood: those that were made, and made freely."""
    if "counted" not in trial:
        return trial.responded
    return {name: mask & trial.counted for name, mask in trial.responded.items()}


def first_states(model: Model, p: Record, trials: Record) -> Any:
    """The state of every lane before its first trial, from its parameters and the trials (trial, ..., lane)."""
    if not model.slopes:
        return over_lanes(lambda p: initial_state(model, p))(p)
    first = jax.tree.map(lambda a: a[0], trials)
    return over_lanes(lambda p, trial: initial_state(model, p, trial))(p, first)


def _count_if(responded: Array, name: str, log_p: Array) -> Array:
    if jnp.ndim(log_p):
        raise TypeError(
            f"the log-probability of {name!r} on one trial has shape {jnp.shape(log_p)}, but should be one number; policy(p, "
            "state, trial) must return the distribution of one response"
        )
    return jnp.where(responded, log_p, 0.0)


def _whole_lanes(model: Model, p: Record, trials: Record, full: bool) -> Any:
    def lane(p: Record, trials: Record) -> Array:
        mask = counting(trials)[model.responses[0]]
        log_lik = jnp.asarray(model.log_likelihood(p, trials.with_values(responded=mask)))  # type: ignore[misc]
        if log_lik.ndim and log_lik.shape != mask.shape:
            raise TypeError(
                f"log_likelihood(p, trials) returned an array of shape {log_lik.shape}, but should return a number for each of "
                f"the {mask.shape[0]} trials of a block, or their sum"
            )
        if log_lik.ndim:
            return jnp.where(mask, log_lik, 0.0)
        # A sum over the block is kept on its first trial, so that the total over trials is right. Where no response counts, as
        # in a lane that only fills up an array, it is nothing, whatever the function makes of what is there.
        return jnp.zeros(mask.shape, log_lik.dtype).at[0].set(jnp.where(mask.any(), log_lik, 0.0))

    log_lik = over_lanes(lane)(p, trials)
    return {"log_lik": log_lik, "state": (), "latents": {}, "log_probs": []} if full else log_lik.sum(0)
