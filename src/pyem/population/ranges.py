"""Priors and the ranges of their parameters: what is excluded, what is cut off, and how much of it."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import quad

from pyem.errors import warn
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.transform import Ordered

MUCH = 0.1
"""Share of a prior outside the range of its parameter from which it is told: it may have been meant for another scale."""
_PROBES = np.linspace(-6.0, 6.0, 25)
_PROBABILITIES = 1 / (1 + np.exp(-np.linspace(-14.0, 14.0, 4001)))


def require_continuous(prior: Any, what: str) -> None:
    """Raise if a distribution has no density.

    Raises
    ------
    ValueError
        If it is one of whole numbers or of a single point.
    """
    if getattr(prior.support, "is_discrete", False) or type(prior).__name__ == "Delta":
        raise ValueError(
            f"the prior {type(prior).__name__} of {what} has no density, but {what} is continuous; choose a continuous "
            "distribution, or hold the parameter with pyem.fix"
        )


def require_mass(prior: Any, points: np.ndarray, what: str, remedy: str) -> None:
    """Raise if the density is zero at values that must be possible: a sampler could not move there.

    Raises
    ------
    ValueError
        If there is such a value; the message ends with the remedy.
    """
    with jax.enable_x64(True):
        bad = ~np.asarray(prior.support(jnp.asarray(points)))
        bad[~bad] = ~np.isfinite(np.asarray(prior.log_prob(jnp.asarray(points[~bad]))))
    if bad.any():
        raise ValueError(f"the prior {_told(prior)} of {what} excludes {points[np.argmax(bad)]:.4g}; {remedy}")


def require_sd(prior: Any, size: float, what: str) -> None:
    """Raise unless a distribution is one of sds, of which `size` is a large one.

    Raises
    ------
    ValueError
        If it has no density, allows negative values or excludes typical ones.
    """
    remedy = "choose a distribution above 0, such as HalfNormal(1), HalfCauchy(1) or Gamma(2, 2)"
    require_continuous(prior, what)
    require_mass(prior, np.array([0.05, 0.2, 1.0]) * size, what, remedy)
    with jax.enable_x64(True):
        if bool(prior.support(jnp.asarray(-size))):
            raise ValueError(f"the prior {type(prior).__name__} of {what} reaches below 0, where no sd is; {remedy}")


def require_mean(prior: Any, typical: np.ndarray, what: str) -> None:
    """Raise unless a distribution has a density at typical means on the unconstrained scale.

    Raises
    ------
    ValueError
        If it has none there.
    """
    require_continuous(prior, what)
    require_mass(
        prior,
        typical,
        what,
        "a group is on the unconstrained scale, where means are any numbers: choose a distribution such as Normal(0, 1); "
        "priors of natural parameters are for people on their own (group=None)",
    )


def require_in_range(prior: Any, parameter: Parameter, name: str) -> None:
    """Raise if a prior of a natural parameter excludes a part of the parameter's range.

    Raises
    ------
    ValueError
        If it does, or has no density.
    """
    require_continuous(prior, name)
    with jax.enable_x64(True):
        points = np.asarray(parameter.transform(jnp.asarray(_PROBES)[None]))[0]
    low, high = parameter.transform.bounds
    remedy = f"choose a distribution over the whole range of {name}, {low:g} to {high:g}"
    if not isinstance(parameter.transform, Ordered) and parameter.size is None:
        remedy += (
            f", or give {parameter.name} the range of the prior: pyem.models.get(..., {parameter.name}=(low, high))"
        )
    require_mass(prior, points, name, remedy)


def share_within(prior: Any, low: float, high: float) -> float:
    """Probability of a distribution between two ends.

    Examples
    --------
    >>> import numpyro.distributions as dist
    >>> round(share_within(dist.Normal(0.0, 1.0), 0.0, float("inf")), 6)
    0.5
    """
    with jax.enable_x64(True):
        # A distribution need not say anything outside of its own support.
        kept = np.asarray(prior.support(jnp.asarray([-1e300, low, high, 1e300])))
        below, at_low, at_high, above = (bool(one) for one in kept)
        try:
            down = float(prior.cdf(jnp.asarray(low))) if at_low or below else 0.0
            up = float(prior.cdf(jnp.asarray(high))) if np.isfinite(high) and (at_high or above) else 1.0
        except NotImplementedError:
            return _integral(prior, low, high)
    return up - down


def _integral(prior: Any, low: float, high: float) -> float:
    """The same of a distribution without a distribution function, from its density."""
    with jax.enable_x64(True):
        draws = np.sort(np.asarray(prior.sample(jax.random.key(0), (999,)), float))
        density = jax.jit(lambda at: jnp.where(prior.support(at), jnp.exp(prior.log_prob(at)), 0.0))
        inside = draws[(draws > low) & (draws < high)][::100]
        ends = [low, *inside.tolist(), high]
        pieces = [
            quad(lambda at: float(density(jnp.asarray(at))), *pair, limit=200)[0] for pair in itertools.pairwise(ends)
        ]
    return float(sum(pieces))


def log_kept(model: Model, given: tuple[Any, ...], *, told: bool) -> float:
    """Log of the probability that draws of the given priors, one for each value or None, are where the parameters may be.

    Where `told`, warn of priors of which much is elsewhere.

    Raises
    ------
    ValueError
        If hardly anything is, or only some of the ordered values of a parameter have a prior.
    """
    total, start, cuts = 0.0, 0, []
    for parameter in model.parameters:
        block = given[start : start + len(parameter.names)]
        start += len(parameter.names)
        if not any(block):
            continue
        if isinstance(parameter.transform, Ordered):
            total += np.log(_in_order(_all_of(parameter, block)))
            continue
        for name, prior in zip(parameter.names, block, strict=True):
            if prior is not None:
                share = _share(prior, parameter, name)
                total += np.log(share)
                cuts += [_cut(prior, parameter, name, share)] if share < 1 - MUCH else []
    for cut in cuts if told else []:
        warn(cut)
    return float(total)


def _share(prior: Any, parameter: Parameter, name: str) -> float:
    low, high = parameter.transform.bounds
    share = share_within(prior, low, high)
    if not share > 1e-6:
        raise ValueError(
            f"the prior {_told(prior)} of {name} is almost wholly outside of the range of {name}, {low:g} to {high:g}; choose "
            "a distribution over that range"
        )
    return share


def _cut(prior: Any, parameter: Parameter, name: str, share: float) -> str:
    low, high = parameter.transform.bounds
    return (
        f"only {share:.0%} of the prior {_told(prior)} of {name} is within the range of {name}, {low:g} to {high:g}; "
        "it is cut off there. Priors by name are of natural parameters: choose a distribution over that range, or, "
        f"if it was meant for the unconstrained scale of {name}, give mean= and sd="
    )


def _all_of(parameter: Parameter, priors: tuple[Any, ...]) -> tuple[Any, ...]:
    missing = [name for name, prior in zip(parameter.names, priors, strict=True) if prior is None]
    if missing:
        raise ValueError(
            f"{', '.join(missing)} of the ordered values of {parameter.name} "
            f"{'has' if len(missing) == 1 else 'have'} no prior; give one to each of {', '.join(parameter.names)}, "
            f"or one for all by the name {parameter.name!r}"
        )
    return priors


def _in_order(priors: tuple[Any, ...]) -> float:
    """Probability that independent draws, one of each distribution, are in increasing order."""
    with jax.enable_x64(True):
        points = np.unique(np.concatenate([_quantiles(prior) for prior in priors]))
        cdfs = [np.asarray(prior.cdf(jnp.asarray(points))) for prior in priors]
    below = cdfs[0]
    for cdf in cdfs[1:]:
        # Probability that all so far are in order and below each point.
        below = np.r_[0.0, np.cumsum(np.diff(cdf) * 0.5 * (below[1:] + below[:-1]))]
    return float(below[-1])


def _quantiles(prior: Any) -> np.ndarray:
    return np.asarray(prior.icdf(jnp.asarray(_PROBABILITIES)), float)


def draws_within(prior: Any, rng: np.random.Generator, n: int, low: float, high: float, name: str) -> np.ndarray:
    """`n` draws (n,) of a prior that is cut off at the ends of a range.

    Raises
    ------
    ValueError
        If hardly any draw is within.
    """
    return _accepted([prior], rng, n, lambda rows: (rows[:, 0] > low) & (rows[:, 0] < high), name)[:, 0]


def draws_in_order(priors: tuple[Any, ...], rng: np.random.Generator, n: int, name: str) -> np.ndarray:
    """`n` draws (n, K) of priors of values that increase.

    Raises
    ------
    ValueError
        If hardly any draws are in order.
    """
    return _accepted(list(priors), rng, n, lambda rows: (np.diff(rows, axis=1) > 0).all(1), name)


def _accepted(priors: list[Any], rng: np.random.Generator, n: int, wanted: Any, name: str) -> np.ndarray:
    kept = np.empty((0, len(priors)))
    for _ in range(1000):
        with jax.enable_x64(True):
            keys = [jax.random.key(int(rng.integers(2**31))) for _ in priors]
            drawn = [np.asarray(one.sample(key, (2 * n,)), float) for one, key in zip(priors, keys, strict=True)]
        rows = np.stack(drawn, axis=1)
        kept = np.concatenate([kept, rows[wanted(rows)]])
        if len(kept) >= n:
            return kept[:n]
    raise ValueError(f"hardly any draw of the prior of {name} is in the range of {name}; choose another")


def _told(prior: Any) -> str:
    values = {name: getattr(prior, name, None) for name in prior.arg_constraints}
    shown = ", ".join(f"{k}={float(v):g}" for k, v in values.items() if v is not None and np.ndim(v) == 0)
    return f"{type(prior).__name__}({shown})"
