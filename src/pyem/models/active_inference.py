"""Active inference, by name; the agents are in `pyem.aif.models`, loaded on first use."""

from __future__ import annotations

from typing import Any, Literal

from pyem.model.model import Model


def aif_tmaze(
    free: tuple[str, ...] = ("reward_probability",),
    policy_len: int = 2,
    inference: Literal["exact", "mean_field"] = "exact",
    reward_probability: float = 0.8,
    preference: float = 1.2,
    cue_validity: float = 1.0,
    gamma: float = 1.0,
    alpha: float = 1.0,
    missed: int | Literal["marginalise"] = "marginalise",
) -> Model:
    """An agent in the T-maze `pyem.aif.TMaze`: a cue below tells which arm is likely to pay.

    Parameters
    ----------
    free
        Free parameters, among the following.
    reward_probability
        Probability of reward in the better arm, as the agent believes.
    preference
        Preference of a reward, and minus that of a punishment, in nats.
    cue_validity
        Probability with which the agent takes the cue to be right; the task has the value given here.
    gamma, alpha
        Precision of policies and of actions.
    policy_len
        Number of actions that the agent plans ahead.
    inference, missed
        See `pyem.aif.DiscretePOMDP`.

    References
    ----------
    Friston, K., FitzGerald, T., Rigoli, F., Schwartenbeck, P., & Pezzulo, G. (2017). Active inference: A process theory.
    Neural Computation, 29(1), 1-49. https://doi.org/10.1162/NECO_a_00912

    Examples
    --------
    >>> aif_tmaze(free=("reward_probability", "preference")).names
    ('reward_probability', 'preference')
    """
    from pyem.aif.models import tmaze

    free = (free,) if isinstance(free, str) else tuple(free)
    return tmaze(free, policy_len, inference, reward_probability, preference, cue_validity, gamma, alpha, missed)


def aif_bandit(options: int = 2, novelty: bool = True) -> Model:
    """An agent that learns what each option pays by Dirichlet counts, and is drawn to options it knows little about.

    Parameters
    ----------
    options
        Number of options.
    novelty
        Whether information about what options pay is sought for its own sake.

    References
    ----------
    Marković, D., Stojić, H., Schwöbel, S., & Kiebel, S. J. (2021). An empirical evaluation of active inference in
    multi-armed bandits. Neural Networks, 144, 229-246. https://doi.org/10.1016/j.neunet.2021.08.018

    Examples
    --------
    >>> aif_bandit(options=4).options
    4
    """
    from pyem.aif.models import bandit

    return bandit(options, novelty)


def aif_reversal(reward_probability: float = 0.8, every: int = 20) -> Model:
    """An agent that infers which of two options is better now, and believes that this changes with some probability.

    Parameters
    ----------
    reward_probability
        Probability that the better option pays, as the agent believes and the task has it; the other's is 1 minus that.
    every
        Trials between reversals in the task.

    References
    ----------
    Hampton, A. N., Bossaerts, P., & O'Doherty, J. P. (2006). The role of the ventromedial prefrontal cortex in abstract
    state-based inference during decision making in humans. Journal of Neuroscience, 26(32), 8360-8367.
    https://doi.org/10.1523/JNEUROSCI.1010-06.2006

    Examples
    --------
    >>> aif_reversal().names
    ('preference', 'hazard')
    """
    from pyem.aif.models import reversal

    return reversal(reward_probability, every)


MODELS: dict[str, Any] = {"aif_tmaze": aif_tmaze, "aif_bandit": aif_bandit, "aif_reversal": aif_reversal}
