"""Reinforcement learning: values learned by prediction errors, choices by a softmax."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Literal

import jax.numpy as jnp

from pyem.model.distribution import Categorical
from pyem.model.entries import entry, with_entry
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.task.bandits import Bandit
from pyem.task.social import PairedBandit, ProsocialBandit

BETA = Parameter(
    "beta",
    Interval(0, 20),
    "inverse temperature: how strictly choices follow values, per range of the rewards",
    mean=-1.0,
    per_reward=True,
)
RHO = Parameter("rho", Positive(), "sensitivity to rewards, per range of them", mean=1.5, sd=0.5, per_reward=True)
ALPHA = Parameter("alpha", Interval(0, 1), "learning rate", mean=-0.5)
RECIPIENTS = ("self", "other", "noone")
Scale = Literal["auto", "none"]


def softmax(p: Record, q: Any, trial: Record) -> Categorical:
    """Choose in proportion to the exponential of value times inverse temperature."""
    return Categorical(per_unit(p) * q)


def per_unit(p: Record) -> Any:
    """Inverse temperature per unit of the rewards; in a model without a range of rewards, the inverse temperature itself.

    A model with a sensitivity ``rho`` learns what rewards are worth to the person and chooses with an inverse temperature of 1,
    which is the same.
    """
    beta = p.beta if "beta" in p else p.rho
    return beta / (p.reward_high - p.reward_low) if "reward_low" in p else beta


def reward_scale(
    reward_range: tuple[float, float] | None, scale: Scale = "auto", *, from_zero: bool = False
) -> tuple[float, float] | Literal["auto", "auto_zero"]:
    """Scale of the rewards of a learning model, to which its inverse temperature refers.

    Choices depend on values times an inverse temperature, so that its size depends on the unit in which rewards are paid.
    All our learning models have it per range of the rewards, so that estimates are the same in cents and in euros.

    Parameters
    ----------
    reward_range
        The lowest and the highest reward, where they are known.
    scale
        ``"auto"``: fits take the range from the data. ``"none"``: it is 0 to 1, so that rewards are taken as they are.
    from_zero
        Values start at nothing.

    Raises
    ------
    ValueError
        If the range is not two finite numbers, the lower one first, or `scale` is another word.

    Examples
    --------
    >>> reward_scale((0, 100)), reward_scale(None), reward_scale(None, "none")
    ((0.0, 100.0), 'auto', (0.0, 1.0))
    """
    if scale not in ("auto", "none"):
        raise ValueError(f"scale={scale!r}; choose 'auto', or 'none' to take rewards as they are")
    if reward_range is None:
        return (0.0, 1.0) if scale == "none" else "auto_zero" if from_zero else "auto"
    ends = tuple(float(end) for end in reward_range)
    if len(ends) != 2 or not -math.inf < ends[0] < ends[1] < math.inf:
        raise ValueError(f"reward_range={reward_range!r}; give the lowest and the highest reward, as in (0, 100)")
    return ends


def delta_rule(p: Record, q: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
    """Move the value of the chosen option towards the reward."""
    error = trial.reward - entry(q, trial.choice)
    return with_entry(q, trial.choice, q + p.alpha * error), {"prediction_error": error}


def delta_rule_by_sign(p: Record, q: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
    """The delta rule with one learning rate for good news and one for bad."""
    error = trial.reward - entry(q, trial.choice)
    alpha = jnp.where(error >= 0, p.alpha_pos, p.alpha_neg)
    return with_entry(q, trial.choice, q + alpha * error), {"prediction_error": error}


def recipient_rule(p: Record, q: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
    """Move the value of the chosen option by the prediction errors of three recipients' rewards together."""
    value = entry(q, trial.choice)
    errors = {who: trial[f"reward_{who}"] - value for who in RECIPIENTS}
    step = sum(p[f"alpha_{who}"] * error for who, error in errors.items())
    return with_entry(q, trial.choice, q + step), {f"prediction_error_{who}": error for who, error in errors.items()}


def paired_softmax(p: Record, q: Any, trial: Record) -> Categorical:
    """Choose between the two options on show by a softmax of their values."""
    return Categorical(per_unit(p) * jnp.stack([q[trial.option_left], q[trial.option_right]]))


def paired_rule(p: Record, q: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
    """Move the value of the option taken by the errors of both recipients, each with a rate for good and for bad news."""
    option = jnp.where(trial.choice == 0, trial.option_left, trial.option_right)
    self_error, other_error = trial.outcome_self - q[option], trial.outcome_other - q[option]
    alpha_self = jnp.where(self_error >= 0, p.alpha_self_pos, p.alpha_self_neg)
    alpha_other = jnp.where(other_error >= 0, p.alpha_other_pos, p.alpha_other_neg)
    step = alpha_self * self_error + alpha_other * other_error
    return q.at[option].add(step), {"prediction_error_self": self_error, "prediction_error_other": other_error}


@dataclasses.dataclass(frozen=True)
class Start:
    """Initial state: every option is worth `value`. Hashable, so that equal models are equal.

    The value is in units of the rewards, or the ``"middle"`` or the ``"lowest"`` of their range.
    """

    value: float | Literal["middle", "lowest"]
    options: int

    def __call__(self, p: Record) -> Any:
        """The values (options,)."""
        return jnp.full(self.options, worth(self.value, p))


def worth(value: float | Literal["middle", "lowest"], p: Record) -> Any:
    """Value in units of the rewards, which are 0 to 1 in a model that has no range of them."""
    if not isinstance(value, str):
        return value
    low, high = (p.reward_low, p.reward_high) if "reward_low" in p else (0.0, 1.0)
    return low if value == "lowest" else (low + high) / 2


def start_value(start: float | None, default: Literal["middle", "lowest"]) -> float | Literal["middle", "lowest"]:
    """Return `start` if it is given, else the default."""
    return default if start is None else start


def bandit(options: int) -> Bandit:
    """One good option that pays with probability .8, and others with .2."""
    return Bandit((0.8,) + (0.2,) * (options - 1))


@functools.lru_cache
def rw1a1b(
    options: int = 2,
    start: float | None = None,
    reward_range: tuple[float, float] | None = None,
    scale: Scale = "auto",
    sensitivity: bool = False,
) -> Model:
    """Rescorla-Wagner learning with one learning rate.

    Parameters
    ----------
    options
        Number of options.
    start
        Value of every option before the first trial, in units of the rewards; the middle of their range if not given.
    reward_range, scale
        Lowest and highest reward; see `reward_scale`.
    sensitivity
        A sensitivity to rewards, ``rho``, in place of the inverse temperature: rho r is learned, and beta is 1.

    References
    ----------
    Rescorla, R. A., & Wagner, A. R. (1972). A theory of Pavlovian conditioning. In A. H. Black & W. F. Prokasy (Eds.),
    Classical conditioning II (pp. 64-99). Appleton-Century-Crofts.

    Wilson, R. C., & Collins, A. G. E. (2019). Ten simple rules for the computational modeling of behavioral data. eLife,
    8, e49547. https://doi.org/10.7554/eLife.49547
    """
    return Model(
        "rw1a1b",
        (RHO if sensitivity else BETA, ALPHA),
        softmax,
        init=Start(start_value(start, "middle"), options),
        update=delta_rule,
        options=options,
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale),
        task=bandit(options),
        doc="Rescorla-Wagner learning, one learning rate",
        reference="https://doi.org/10.7554/eLife.49547",
    )


@functools.lru_cache
def rw2a1b(
    options: int = 2,
    start: float | None = None,
    reward_range: tuple[float, float] | None = None,
    scale: Scale = "auto",
    sensitivity: bool = False,
) -> Model:
    """Rescorla-Wagner learning with separate rates for positive and negative prediction errors.

    Parameters
    ----------
    options
        Number of options.
    start
        Value of every option before the first trial, in units of the rewards; the middle of their range if not given.
    reward_range, scale
        Lowest and highest reward; see `reward_scale`.
    sensitivity
        A sensitivity to rewards, ``rho``, in place of the inverse temperature: rho r is learned, and beta is 1.

    References
    ----------
    Niv, Y., Edlund, J. A., Dayan, P., & O'Doherty, J. P. (2012). Neural prediction errors reveal a risk-sensitive
    reinforcement-learning process in the human brain. Journal of Neuroscience, 32(2), 551-562.
    https://doi.org/10.1523/JNEUROSCI.5498-10.2012
    """
    return Model(
        "rw2a1b",
        (
            RHO if sensitivity else BETA,
            Parameter("alpha_pos", Interval(0, 1), "learning rate from better-than-expected outcomes", mean=-0.5),
            Parameter("alpha_neg", Interval(0, 1), "learning rate from worse-than-expected outcomes", mean=-0.5),
        ),
        softmax,
        init=Start(start_value(start, "middle"), options),
        update=delta_rule_by_sign,
        options=options,
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale),
        task=bandit(options),
        doc="Rescorla-Wagner learning, learning rates for good and bad news",
        reference="https://doi.org/10.1523/JNEUROSCI.5498-10.2012",
    )


@functools.lru_cache
def rw3a1b(
    options: int = 2, start: float | None = None, reward_range: tuple[float, float] | None = None, scale: Scale = "auto"
) -> Model:
    """Prosocial learning: every choice pays oneself, another person and no one, each with its own learning rate.

    The value of the chosen option moves by the sum of the three prediction errors, each times its learning rate.

    Parameters
    ----------
    options
        Number of options.
    start
        Value of every option before the first trial, in units of the rewards; nothing, which is 0, if not given.
    reward_range, scale
        Lowest and highest reward; see `reward_scale`. Here the scale is that of the largest size, from 0, where 0 is among the
        outcomes.

    References
    ----------
    Lockwood, P. L., Apps, M. A. J., Valton, V., Viding, E., & Roiser, J. P. (2016). Neurocomputational mechanisms of
    prosocial learning and links to empathy. PNAS, 113(35), 9763-9768. https://doi.org/10.1073/pnas.1603198113

    Examples
    --------
    >>> rw3a1b().columns
    ('choice', 'reward_self', 'reward_other', 'reward_noone')
    """
    rates = {"self": "one's own reward", "other": "the other person's reward", "noone": "rewards that nobody gets"}
    return Model(
        "rw3a1b",
        (BETA, *(_rate(f"alpha_{who}", f"learning rate from {what}") for who, what in rates.items())),
        softmax,
        init=Start(start_value(start, "lowest"), options),
        update=recipient_rule,
        options=options,
        outcomes=tuple(f"reward_{who}" for who in RECIPIENTS),
        reward_range=reward_scale(reward_range, scale, from_zero=True),
        task=ProsocialBandit(((0.5,) * options,) * 3),
        doc="Prosocial learning, learning rates for rewards to oneself, another and no one",
        reference="https://doi.org/10.1073/pnas.1603198113",
    )


@functools.lru_cache
def rw4a1b(start: float | None = None, reward_range: tuple[float, float] | None = None, scale: Scale = "auto") -> Model:
    """Learning for oneself and another at once, from pairs of four options, with learning rates for good and bad news.

    Each trial shows two of the options A-D (codes 0-3): columns ``option_left`` and ``option_right``. ``choice`` is 0 for
    the one on the left and 1 for the one on the right, which need not be sides of a screen: any two columns that say
    which options could be had will do. Where the table has the chosen option itself, make the column by
    ``(frame["chosen"] == frame["option_right"]).astype(float).where(frame["chosen"].notna())``. Values belong to the
    options, wherever they are shown, and start afresh with each block.

    Parameters
    ----------
    start
        Value of every option before the first trial, in units of the rewards; nothing, which is 0, if not given.
    reward_range, scale
        Lowest and highest reward; see `reward_scale`. Here the scale is that of the largest size, from 0, where 0 is among the
        outcomes.

    References
    ----------
    Rhoads, S. A., Gan, L., Berluti, K., O'Connell, K., Cutler, J., Lockwood, P. L., & Marsh, A. A. (2025).
    Neurocomputational basis of learning when choices simultaneously affect both oneself and others. Nature
    Communications, 16, 9350. https://doi.org/10.1038/s41467-025-64424-9

    Examples
    --------
    >>> rw4a1b().columns
    ('option_left', 'option_right', 'choice', 'outcome_self', 'outcome_other')
    """
    signs = [("pos", "better"), ("neg", "worse")]
    rates = [
        _rate(f"alpha_{who}_{sign}", f"learning rate from outcomes for {whom} that are {news} than expected")
        for who, whom in (("self", "oneself"), ("other", "the other person"))
        for sign, news in signs
    ]
    return Model(
        "rw4a1b",
        (BETA, *rates),
        paired_softmax,
        init=Start(start_value(start, "lowest"), 4),
        update=paired_rule,
        options=2,
        inputs=("option_left", "option_right"),
        outcomes=("outcome_self", "outcome_other"),
        input_codes=(("option_left", 4), ("option_right", 4)),
        reward_range=reward_scale(reward_range, scale, from_zero=True),
        task=PairedBandit(),
        doc="Learning for oneself and another from pairs of four options, learning rates by recipient and news",
        reference="https://doi.org/10.1038/s41467-025-64424-9",
    )


def _rate(name: str, doc: str) -> Parameter:
    # Several errors move one value, so that each rate is typically smaller than a single one.
    return Parameter(name, Interval(0, 1), doc, mean=-1.0)


MODELS = {"rw1a1b": rw1a1b, "rw2a1b": rw2a1b, "rw3a1b": rw3a1b, "rw4a1b": rw4a1b}
