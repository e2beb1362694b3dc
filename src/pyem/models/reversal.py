"""A hidden Markov model of which option is good now."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval
from pyem.task.bandits import Bandit, Reversal

HAMPTON = "https://doi.org/10.1523/JNEUROSCI.1010-06.2006"

BETA = Parameter("beta", Interval(0, 20), "inverse temperature, per unit of probability", mean=-1.0)
HAZARD = Parameter("hazard", Interval(0, 0.5), "probability of a reversal before each trial, as believed", mean=-1.0)
GOOD = Parameter("reward_good", Interval(0.5, 1), "probability of a reward from the good option, as believed", mean=0.5)
BAD = Parameter("reward_bad", Interval(0, 0.5), "probability of a reward from another option, as believed", mean=-0.5)


@dataclasses.dataclass(frozen=True)
class _AllAlike:
    options: int

    def __call__(self, p: Record) -> dict[str, Array]:
        return {"belief": jnp.full(self.options, 1 / self.options)}


def softmax_belief(p: Record, state: dict[str, Array], trial: Record) -> Categorical:
    """Choose by a softmax of the probability of each option to be the good one."""
    return Categorical(p.beta * state["belief"])


def update_belief(p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
    """Update by Bayes' rule for the outcome of the chosen option, then by a possible reversal."""
    belief, others = state["belief"], state["belief"].shape[-1] - 1
    chance = jnp.where(jnp.arange(others + 1) == trial.choice, p.reward_good, p.reward_bad)
    rewarded = 2 * trial.reward > p.reward_low + p.reward_high
    joint = belief * jnp.where(rewarded, chance, 1 - chance)
    total = joint.sum()
    # An outcome that the belief says is impossible changes nothing.
    known = jnp.where(total > 0, joint / jnp.where(total > 0, total, 1.0), belief)
    expected = (belief * chance).sum()
    new = (1 - p.hazard) * known + p.hazard * (1 - known) / others
    shown = {"prediction_error": rewarded - expected, "surprise": -jnp.log(total), "posterior": known}
    return {"belief": new}, shown


@functools.lru_cache
def hmm_reversal(options: int = 2, reward_range: tuple[float, float] | None = None) -> Model:
    """Bayesian inference of which option is the good one, where that changes now and then (hidden Markov model).

    One option is believed to be rewarded with the probability ``reward_good``, the others with ``reward_bad``; before each
    trial another one becomes the good one with the probability ``hazard``. Beliefs start even, and choices are a softmax of
    them. Only whether there was a reward matters: an outcome in the upper half of the range of the rewards is one.

    From 160 trials ``reward_bad`` is hardly recovered (r .4): hold both, ``fix(model, reward_good=0.8, reward_bad=0.2)``, where
    people were told or trained.

    Parameters
    ----------
    options
        Number of options.
    reward_range
        Lowest and highest reward; those in the data if not given.

    References
    ----------
    Hampton, A. N., Bossaerts, P., & O'Doherty, J. P. (2006). The role of the ventromedial prefrontal cortex in abstract
    state-based inference during decision making in humans. Journal of Neuroscience, 26(32), 8360-8367.
    https://doi.org/10.1523/JNEUROSCI.1010-06.2006

    Schlagenhauf, F., et al. (2014). Striatal dysfunction during reversal learning in unmedicated schizophrenia patients.
    NeuroImage, 89, 171-180. https://doi.org/10.1016/j.neuroimage.2013.11.034

    Examples
    --------
    >>> hmm_reversal().names
    ('beta', 'hazard', 'reward_good', 'reward_bad')
    """
    if options < 2:
        raise ValueError(f"options={options}; there must be at least 2, one of which is good")
    task = Reversal((0.8, 0.2), every=20) if options == 2 else Bandit((0.8, *[0.2] * (options - 1)))
    return Model(
        "hmm_reversal",
        (BETA, HAZARD, GOOD, BAD),
        softmax_belief,
        init=_AllAlike(options),
        update=update_belief,
        options=options,
        outcomes=("reward",),
        reward_range="auto" if reward_range is None else reward_range,
        task=task,
        doc="Hidden Markov model of which option is good now",
        reference=HAMPTON,
    )


MODELS: dict[str, Callable[..., Model]] = {"hmm_reversal": hmm_reversal}
