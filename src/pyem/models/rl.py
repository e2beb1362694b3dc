"""Reinforcement learning: values learned by prediction errors, choices by a softmax."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp

from pyem.distribution import Categorical
from pyem.model import Model, Parameter, Record
from pyem.task import Bandit
from pyem.transform import Interval

BETA = Parameter("beta", Interval(0, 20), "inverse temperature: how strictly choices follow values", mean=-1.0)
ALPHA = Parameter("alpha", Interval(0, 1), "learning rate", mean=-0.5)


def softmax(p: Record, q: Any, trial: Record) -> Categorical:
    """Choose in proportion to the exponential of value times inverse temperature."""
    return Categorical(p.beta * q)


def delta_rule(p: Record, q: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
    """Move the value of the chosen option towards the reward."""
    error = trial.reward - q[trial.choice]
    return q.at[trial.choice].add(p.alpha * error), {"prediction_error": error}


def delta_rule_by_sign(p: Record, q: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
    """The delta rule with one learning rate for good news and one for bad."""
    error = trial.reward - q[trial.choice]
    alpha = jnp.where(error >= 0, p.alpha_pos, p.alpha_neg)
    return q.at[trial.choice].add(alpha * error), {"prediction_error": error}


@functools.lru_cache
def _start_at(value: float, options: int) -> Any:
    return lambda p: jnp.full(options, value)


def _bandit(options: int) -> Bandit:
    return Bandit((0.8,) + (0.2,) * (options - 1))


@functools.lru_cache
def rw1a1b(options: int = 2, start: float = 0.5) -> Model:
    """Rescorla-Wagner learning with one learning rate.

    Parameters
    ----------
    options
        Number of options.
    start
        Value of every option before the first trial.

    References
    ----------
    Rescorla, R. A., & Wagner, A. R. (1972). A theory of Pavlovian conditioning. In Classical Conditioning II, 64-99.

    Wilson, R. C., & Collins, A. G. E. (2019). Ten simple rules for the computational modeling of behavioral data. eLife,
    8, e49547. https://doi.org/10.7554/eLife.49547
    """
    return Model(
        "rw1a1b",
        (BETA, ALPHA),
        softmax,
        init=_start_at(start, options),
        update=delta_rule,
        options=options,
        outcomes=("reward",),
        task=_bandit(options),
        doc="Rescorla-Wagner learning, one learning rate",
        reference="https://doi.org/10.7554/eLife.49547",
    )


@functools.lru_cache
def rw2a1b(options: int = 2, start: float = 0.5) -> Model:
    """Rescorla-Wagner learning with separate rates for positive and negative prediction errors.

    References
    ----------
    Niv, Y., Edlund, J. A., Dayan, P., & O'Doherty, J. P. (2012). Neural prediction errors reveal a risk-sensitive
    reinforcement-learning process in the human brain. Journal of Neuroscience, 32(2), 551-562.
    https://doi.org/10.1523/JNEUROSCI.5498-10.2012
    """
    return Model(
        "rw2a1b",
        (
            BETA,
            Parameter("alpha_pos", Interval(0, 1), "learning rate from better-than-expected outcomes", mean=-0.5),
            Parameter("alpha_neg", Interval(0, 1), "learning rate from worse-than-expected outcomes", mean=-0.5),
        ),
        softmax,
        init=_start_at(start, options),
        update=delta_rule_by_sign,
        options=options,
        outcomes=("reward",),
        task=_bandit(options),
        doc="Rescorla-Wagner learning, learning rates for good and bad news",
        reference="https://doi.org/10.1523/JNEUROSCI.5498-10.2012",
    )


MODELS = {"rw1a1b": rw1a1b, "rw2a1b": rw2a1b}
