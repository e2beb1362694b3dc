"""Models of choice after Wilson & Collins (2019): from responding at random to values, habits and forgetting.

Their third model, Rescorla-Wagner learning, is `pyem.models.learning.rw1a1b`.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

import jax.numpy as jnp

from pyem.model.distribution import Categorical
from pyem.model.entries import entry, with_entry
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval
from pyem.models.learning import (
    ALPHA,
    BETA,
    Scale,
    Start,
    bandit,
    per_unit,
    reward_scale,
    softmax,
    start_value,
    worth,
)

WILSON_COLLINS = "https://doi.org/10.7554/eLife.49547"
BETA_C = Parameter("beta_c", Interval(0, 20), "inverse temperature of the choice kernel", mean=-2.0)
ALPHA_C = Parameter("alpha_c", Interval(0, 1), "learning rate of the choice kernel", mean=-0.5)


# -- random responding --------------------------------------------------------------------------------------------------


def biased(p: Record, state: Any, trial: Record) -> Categorical:
    """Take the first option with probability ``bias``, whatever happened before."""
    return Categorical(jnp.stack([jnp.log(p.bias), jnp.log1p(-p.bias)]))


@functools.lru_cache
def bias() -> Model:
    """Random responding with a bias for one of two options: a baseline for all models that learn.

    References
    ----------
    Wilson, R. C., & Collins, A. G. E. (2019). Ten simple rules for the computational modeling of behavioral data. eLife,
    8, e49547. https://doi.org/10.7554/eLife.49547

    Examples
    --------
    >>> bias().columns
    ('choice',)
    """
    return Model(
        "bias",
        (Parameter("bias", Interval(0, 1), "probability of the first option (code 0)", mean=0.0, sd=0.5),),
        biased,
        options=2,
        task=bandit(2),
        doc="Random responding with a bias for the first option",
        reference=WILSON_COLLINS,
    )


# -- win-stay-lose-shift ------------------------------------------------------------------------------------------------


def noisy_plan(p: Record, plan: Any, trial: Record) -> Categorical:
    """Follow the plan, except that with probability ``epsilon`` an option is picked at random."""
    return Categorical(jnp.log((1 - p.epsilon) * plan + p.epsilon / plan.shape[-1]))


@dataclasses.dataclass(frozen=True)
class WinStay:
    """Rule of the plan: repeat a choice that won more than `threshold`, else take one of the other options, evenly.

    The threshold is in units of the rewards, or the ``"middle"`` of their range.
    """

    threshold: float | Literal["middle"]

    def __call__(self, p: Record, plan: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
        """Return the next plan, probabilities (options,), and whether this trial won."""
        n = plan.shape[-1]
        chosen = (jnp.arange(n) == trial.choice).astype(plan.dtype)
        win = trial.reward > worth(self.threshold, p)
        return jnp.where(win, chosen, (1 - chosen) / (n - 1)), {"win": win.astype(plan.dtype)}


@functools.lru_cache
def wsls(
    options: int = 2,
    threshold: float | None = None,
    reward_range: tuple[float, float] | None = None,
    scale: Scale = "auto",
) -> Model:
    """Noisy win-stay-lose-shift: repeat what was rewarded, leave what was not.

    Parameters
    ----------
    options
        Number of options; after a loss the others are equally likely.
    threshold
        A reward above it is a win; the middle of their range if not given.
    reward_range, scale
        Lowest and highest reward; see `pyem.models.learning.reward_scale`.

    References
    ----------
    Wilson, R. C., & Collins, A. G. E. (2019). Ten simple rules for the computational modeling of behavioral data. eLife,
    8, e49547. https://doi.org/10.7554/eLife.49547

    Examples
    --------
    >>> wsls().names
    ('epsilon',)
    """
    return Model(
        "wsls",
        (Parameter("epsilon", Interval(0, 1), "probability of a random response", mean=-1.0),),
        noisy_plan,
        init=Start(1 / options, options),
        update=WinStay("middle" if threshold is None else threshold),
        options=options,
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale),
        task=bandit(options),
        doc="Noisy win-stay-lose-shift",
        reference=WILSON_COLLINS,
    )


# -- choice kernels -----------------------------------------------------------------------------------------------------


def kernel_softmax(p: Record, kernel: Any, trial: Record) -> Categorical:
    """Choose in proportion to the exponential of the kernel times its inverse temperature."""
    return Categorical(p.beta_c * kernel)


def kernel_rule(p: Record, kernel: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
    """Move the kernel of the chosen option towards 1 and those of the others towards 0."""
    chosen = (jnp.arange(kernel.shape[-1]) == trial.choice).astype(kernel.dtype)
    return kernel + p.alpha_c * (chosen - kernel), {}


@functools.lru_cache
def ck(options: int = 2) -> Model:
    """Choice kernel: the tendency to repeat what was chosen often of late, whatever it paid.

    Parameters
    ----------
    options
        Number of options.

    References
    ----------
    Wilson, R. C., & Collins, A. G. E. (2019). Ten simple rules for the computational modeling of behavioral data. eLife,
    8, e49547. https://doi.org/10.7554/eLife.49547

    Examples
    --------
    >>> ck().columns
    ('choice',)
    """
    return Model(
        "ck",
        (BETA_C, ALPHA_C),
        kernel_softmax,
        init=Start(0.0, options),
        update=kernel_rule,
        options=options,
        task=bandit(options),
        doc="Choice kernel: repeats what was chosen of late",
        reference=WILSON_COLLINS,
    )


@dataclasses.dataclass(frozen=True)
class _ValuesAndKernel:
    start: float | Literal["middle", "lowest"]
    options: int

    def __call__(self, p: Record) -> dict[str, Any]:
        return {"q": jnp.full(self.options, worth(self.start, p)), "kernel": jnp.zeros(self.options)}


def value_and_kernel_softmax(p: Record, state: Any, trial: Record) -> Categorical:
    """Choose by values and choice kernel, each with its own inverse temperature."""
    return Categorical(per_unit(p) * state["q"] + p.beta_c * state["kernel"])


def value_and_kernel_rule(p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
    """The delta rule for the values, and the kernel's rule for the kernel."""
    error = trial.reward - entry(state["q"], trial.choice)
    q = with_entry(state["q"], trial.choice, state["q"] + p.alpha * error)
    kernel, _ = kernel_rule(p, state["kernel"], trial)
    return {"q": q, "kernel": kernel}, {"prediction_error": error}


@functools.lru_cache
def rwck(
    options: int = 2, start: float | None = None, reward_range: tuple[float, float] | None = None, scale: Scale = "auto"
) -> Model:
    """Rescorla-Wagner learning and a choice kernel together.

    Parameters
    ----------
    options
        Number of options.
    start
        Value of every option before the first trial, in units of the rewards; the middle of their range if not given.
    reward_range, scale
        Lowest and highest reward; see `pyem.models.learning.reward_scale`.

    References
    ----------
    Wilson, R. C., & Collins, A. G. E. (2019). Ten simple rules for the computational modeling of behavioral data. eLife,
    8, e49547. https://doi.org/10.7554/eLife.49547

    Examples
    --------
    >>> rwck().names
    ('beta', 'alpha', 'beta_c', 'alpha_c')
    """
    return Model(
        "rwck",
        (BETA, ALPHA, BETA_C, ALPHA_C),
        value_and_kernel_softmax,
        init=_ValuesAndKernel(start_value(start, "middle"), options),
        update=value_and_kernel_rule,
        options=options,
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale),
        task=bandit(options),
        doc="Rescorla-Wagner learning with a choice kernel",
        reference=WILSON_COLLINS,
    )


# -- forgetting ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Forgetting:
    """Delta rule in which values of the options not chosen go back towards `start`."""

    start: float | Literal["middle", "lowest"]

    def __call__(self, p: Record, q: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
        """Return the next values (options,), and the prediction error."""
        error = trial.reward - entry(q, trial.choice)
        faded = q + p.forget * (worth(self.start, p) - q)
        return with_entry(faded, trial.choice, q + p.alpha * error), {"prediction_error": error}


@functools.lru_cache
def rw_forget(
    options: int = 2, start: float | None = None, reward_range: tuple[float, float] | None = None, scale: Scale = "auto"
) -> Model:
    """Rescorla-Wagner learning in which the values of options not chosen decay to where they started.

    Parameters
    ----------
    options
        Number of options.
    start
        Value of every option before the first trial, and when all is forgotten, in units of the rewards. With 0 it is the
        forgetting Q-learning of Ito and Doya; the middle of the rewards, which it is if not given, as in Collins and Frank,
        lets the unknown be neither good nor bad.
    reward_range, scale
        Lowest and highest reward; see `pyem.models.learning.reward_scale`.

    References
    ----------
    Ito, M., & Doya, K. (2009). Validation of decision-making models and analysis of decision variables in the rat basal
    ganglia. Journal of Neuroscience, 29(31), 9861-9874. https://doi.org/10.1523/JNEUROSCI.6157-08.2009

    Collins, A. G. E., & Frank, M. J. (2012). How much of reinforcement learning is working memory, not reinforcement
    learning? European Journal of Neuroscience, 35(7), 1024-1035. https://doi.org/10.1111/j.1460-9568.2011.07980.x

    Examples
    --------
    >>> rw_forget().names
    ('beta', 'alpha', 'forget')
    """
    return Model(
        "rw_forget",
        (BETA, ALPHA, Parameter("forget", Interval(0, 1), "rate at which options not chosen are forgotten", mean=-1.0)),
        softmax,
        init=Start(start_value(start, "middle"), options),
        update=Forgetting(start_value(start, "middle")),
        options=options,
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale),
        task=bandit(options),
        doc="Rescorla-Wagner learning with forgetting of the options not chosen",
        reference="https://doi.org/10.1523/JNEUROSCI.6157-08.2009",
    )


MODELS = {"bias": bias, "wsls": wsls, "ck": ck, "rwck": rwck, "rw_forget": rw_forget}
