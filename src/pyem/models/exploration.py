"""Exploration: payoffs tracked with their uncertainty by a Kalman filter, which says what is worth finding out."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.entries import entry, with_entry
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.times.tails import log_ndtr
from pyem.model.transform import Interval, Positive, Real
from pyem.models.learning import BETA, Scale, per_unit, reward_scale
from pyem.task.payoffs import DriftingPayoffs, GaussianBandit

Rule = Literal["ucb", "thompson", "hybrid"]

DAW = "https://doi.org/10.1038/nature04766"
GERSHMAN = "https://doi.org/10.1016/j.cognition.2017.12.014"

LAMBDA = Parameter("lambda_", Interval(0, 1), "what payoffs keep of their distance from theta on each trial", mean=2.5)
THETA = Parameter("theta", Interval(0, 1), "where payoffs drift to, as a share of their range", sd=0.7)
SIGMA_D = Parameter("sigma_d", Positive(), "sd of a step of the payoffs, in ranges", mean=-2.5, sd=0.6)
SIGMA_O = Parameter("sigma_o", Positive(), "sd of payoffs around their mean, in ranges", mean=-2.5, sd=0.6)
PHI = Parameter("phi", Real(), "bonus for each sd of uncertainty", mean=0.5, sd=0.7)


def _span(p: Record) -> Array:
    return p.reward_high - p.reward_low


# -- payoffs that drift --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Start:
    """Initial state: means and variances of the belief about every option before the first trial."""

    options: int
    mean: float
    sd: float

    def __call__(self, p: Record) -> dict[str, Array]:
        mean, sd = p.reward_low + self.mean * _span(p), self.sd * _span(p)
        return {"mean": jnp.full(self.options, mean), "variance": jnp.full(self.options, sd**2)}


@dataclasses.dataclass(frozen=True)
class _Tempered:
    bonus: bool

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> Categorical:
        value = state["mean"]
        return Categorical(per_unit(p) * (value + p.phi * jnp.sqrt(state["variance"]) if self.bonus else value))


def observed(state: dict[str, Array], trial: Record, noise: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Belief about the option taken after its payoff, whose variance around the mean is `noise`, and the latents."""
    c = trial.choice
    mean, variance = state["mean"], state["variance"]
    before = entry(variance, c)
    gain, error = before / (before + noise), trial.reward - entry(mean, c)
    new = {"mean": with_entry(mean, c, mean + gain * error), "variance": with_entry(variance, c, variance * (1 - gain))}
    return new, {"prediction_error": error, "gain": gain, "uncertainty": jnp.sqrt(before)}


@dataclasses.dataclass(frozen=True)
class _Drifting:
    sigma_o: float | None

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        sigma_o = p.sigma_o if self.sigma_o is None else self.sigma_o
        new, latents = observed(state, trial, (sigma_o * _span(p)) ** 2)
        centre = p.reward_low + p.theta * _span(p)
        mean = centre + p.lambda_ * (new["mean"] - centre)
        variance = p.lambda_**2 * new["variance"] + (p.sigma_d * _span(p)) ** 2
        return {"mean": mean, "variance": variance}, latents


@functools.lru_cache
def kalman(
    options: int = 4,
    bonus: bool = False,
    sigma_o: float | None = 0.04,
    start: float = 0.5,
    start_sd: float = 0.2,
    reward_range: tuple[float, float] | None = None,
    scale: Scale = "auto",
) -> Model:
    """Payoffs that drift, tracked by a Kalman filter: the less certain an option's value, the more an outcome moves it.

    From 300 trials ``sigma_d`` is hardly recovered (r just below .5): it is often held at that of the task, as are ``lambda_``
    and ``theta``, ``fix(model, sigma_d=0.028, lambda_=0.9836, theta=0.5)``.

    Parameters
    ----------
    options
        Number of options.
    bonus
        Whether options are worth ``phi`` more for each sd of uncertainty.
    sigma_o
        Sd of payoffs around their mean, as a share of the range of the rewards; None for a free parameter ``sigma_o``, of
        which choices tell little.
    start, start_sd
        Mean and sd of the belief about every option before the first trial, as shares of the range.
    reward_range, scale
        Lowest and highest reward; see `pyem.models.learning.reward_scale`. ``theta``, ``sigma_d`` and ``sigma_o`` are on this
        scale, too.

    References
    ----------
    Daw, N. D., O'Doherty, J. P., Dayan, P., Seymour, B., & Dolan, R. J. (2006). Cortical substrates for exploratory decisions
    in humans. Nature, 441, 876-879. https://doi.org/10.1038/nature04766

    Examples
    --------
    >>> kalman().names
    ('beta', 'lambda_', 'theta', 'sigma_d')
    >>> kalman(bonus=True, sigma_o=None).names
    ('beta', 'lambda_', 'theta', 'sigma_d', 'phi', 'sigma_o')
    """
    if not (sigma_o is None or sigma_o > 0) or start_sd <= 0:
        raise ValueError(f"sigma_o={sigma_o}, start_sd={start_sd}; both are above 0, and sigma_o may be None")
    added = (*((PHI,) if bonus else ()), *((SIGMA_O,) if sigma_o is None else ()))
    return Model(
        "kalman_bonus" if bonus else "kalman",
        (dataclasses.replace(BETA, mean=-0.5), LAMBDA, THETA, SIGMA_D, *added),
        _Tempered(bonus),
        init=_Start(options, start, start_sd),
        update=_Drifting(sigma_o),
        options=options,
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale),
        task=DriftingPayoffs(options),
        doc=f"Kalman filter of drifting payoffs{', and a bonus for what is uncertain' if bonus else ''}",
        reference=DAW,
    )


# -- directed and random exploration -------------------------------------------------------------------------------------

_W1 = Parameter(
    "w1", Real(), "weight of the difference of values, per range of the rewards", mean=5.0, sd=2.0, per_reward=True
)
_W2 = Parameter(
    "w2", Real(), "weight of relative uncertainty, per range of the rewards", mean=2.0, sd=3.0, per_reward=True
)
_W3 = Parameter("w3", Real(), "weight of the difference of values in units of total uncertainty", mean=0.5, sd=0.4)
_RULES: dict[str, tuple[tuple[Parameter, ...], str]] = {
    "ucb": ((_W1, _W2), "Directed exploration: upper confidence bounds"),
    "thompson": ((dataclasses.replace(_W3, name="w", mean=1.0),), "Random exploration: Thompson sampling"),
    "hybrid": ((_W1, _W2, _W3), "Directed and random exploration together"),
}


@dataclasses.dataclass(frozen=True)
class _Probit:
    rule: Rule

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> Categorical:
        mean, variance = state["mean"], state["variance"]
        value, total = mean[0] - mean[1], jnp.sqrt(variance.sum())
        if self.rule == "thompson":
            z = p.w * value / total
        else:
            # An arm with a known payoff has no uncertainty, the root of which has no derivative; no parameter moves it.
            sds = jnp.sqrt(jnp.where(variance > 0, variance, 1.0)) * (variance > 0)
            z = (p.w1 * value + p.w2 * (sds[0] - sds[1])) / _span(p)
            z = z + p.w3 * value / total if self.rule == "hybrid" else z
        return Categorical(jnp.stack([log_ndtr(z), log_ndtr(-z)]))


@dataclasses.dataclass(frozen=True)
class _Known:
    """Initial state of a Kalman filter of two arms, of which one may have a known payoff."""

    base: _Start
    arm: int | None

    def __call__(self, p: Record) -> dict[str, Array]:
        state = self.base(p)
        return state if self.arm is None else state | {"variance": state["variance"].at[self.arm].set(0.0)}


@dataclasses.dataclass(frozen=True)
class _Lasting:
    noise: float

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        new, latents = observed(state, trial, (self.noise * _span(p)) ** 2)
        mean, variance = state["mean"], state["variance"]
        return new, latents | {"value_difference": mean[0] - mean[1], "total_uncertainty": jnp.sqrt(variance.sum())}


@functools.lru_cache
def exploration(
    rule: Rule = "hybrid",
    known: int | None = None,
    prior_mean: float = 0.5,
    prior_sd: float = 0.2,
    noise_sd: float = 0.0632,
    reward_range: tuple[float, float] | None = None,
    scale: Scale = "auto",
) -> Model:
    """Exploration of two arms whose payoffs are normal around means that last for a block, tracked by a Kalman filter.

    With V the difference of the values of the first arm (``choice`` 0) and the second, RU that of their uncertainties (sds),
    and TU the root of the sum of their variances, the first is chosen with the probability Phi(w1 V + w2 RU + w3 V / TU).

    Parameters
    ----------
    rule
        ``"ucb"``: upper confidence bounds, without the last term; ``"thompson"``: Thompson sampling, the last term only, with a
        weight ``w``; ``"hybrid"``: all of them.
    known
        Code of an arm whose payoff never varies and is known from the start, ``prior_mean``; None if there is none.
    prior_mean, prior_sd
        What is believed of an arm at the start of a block, and ``noise_sd`` the sd of payoffs around its mean, as shares of the
        range of the rewards. The defaults are those of the paper, means with an sd of 10 and payoffs around them with a
        variance of 10, for payoffs from -25 to 25.
    noise_sd
        See above.
    reward_range, scale
        Lowest and highest reward; see `pyem.models.learning.reward_scale`. Payoffs without bounds reach further the longer one
        looks, so that it is better to give the range: ``reward_range=(-25, 25)``.

    References
    ----------
    Gershman, S. J. (2018). Deconstructing the human algorithms for exploration. Cognition, 173, 34-42.
    https://doi.org/10.1016/j.cognition.2017.12.014

    Examples
    --------
    >>> exploration().names
    ('w1', 'w2', 'w3')
    >>> exploration("thompson", reward_range=(-25, 25)).names
    ('w',)
    """
    if rule not in _RULES or known not in (None, 0, 1) or min(prior_sd, noise_sd) <= 0:
        raise ValueError(
            f"rule={rule!r}, known={known!r}, prior_sd={prior_sd}, noise_sd={noise_sd}; rule is one of {', '.join(_RULES)}, "
            "known is 0, 1 or None, and sds are above 0"
        )
    parameters, doc = _RULES[rule]
    return Model(
        rule,
        parameters,
        _Probit(rule),
        init=_Known(_Start(2, prior_mean, prior_sd), known),
        update=_Lasting(noise_sd),
        options=2,
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale),
        task=GaussianBandit(2, prior_mean, prior_sd, noise_sd, known),
        doc=doc,
        reference=GERSHMAN,
    )


MODELS: dict[str, Callable[..., Model]] = {
    "kalman": kalman,
    "kalman_bonus": functools.partial(kalman, bonus=True),
    **{rule: functools.partial(exploration, rule) for rule in _RULES},  # type: ignore[arg-type]
}
