"""Working memory beside reinforcement learning: quick and perfect for few stimuli, slow and steady for many."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Real
from pyem.task.stimuli import StimulusSets

COLLINS = "https://doi.org/10.1111/j.1460-9568.2011.07980.x"
BETA = 25.0
"""Inverse temperature of both policies; noise is left to ``epsilon``."""

ALPHA = Parameter("alpha", Interval(0, 1), "learning rate of slow values", mean=-2.5)
BIAS_RL = Parameter("bias_rl", Interval(0, 1), "slow learning from errors, as a share of that from rewards", mean=-1.0)
BIAS_WM = Parameter("bias_wm", Interval(0, 1), "memory of errors, as a share of that of rewards", mean=-1.0)
STICK = Parameter("stick", Real(), "added to the value of the action chosen last", mean=0.02, sd=0.03)
RHO = Parameter("rho", Interval(0, 1), "weight of working memory where everything fits into it", mean=2.0)
FORGET = Parameter("forget", Interval(0, 1), "share of working memory lost on each trial", mean=-1.5)
EPSILON = Parameter("epsilon", Interval(0, 1), "share of random responses", mean=-3.0)
ERROR_REWARD = Parameter(
    "error_reward", Interval(0, 1), "outcome from which slow values learn after an error", mean=0.0
)
CAPACITY = Parameter("capacity", Interval(0, 6), "number of stimuli that working memory holds", mean=0.7, sd=0.7)


@dataclasses.dataclass(frozen=True)
class _Start:
    stimuli: int
    actions: int

    def __call__(self, p: Record) -> dict[str, Array]:
        values = jnp.full((self.stimuli, self.actions), 1 / self.actions)
        return {"rl": values, "wm": values, "last": jnp.zeros(self.actions)}


@dataclasses.dataclass(frozen=True)
class _Policy:
    capacity: float | None

    def weight(self, p: Record, trial: Record) -> Array:
        capacity = p.capacity if self.capacity is None else self.capacity
        return p.rho * jnp.minimum(1.0, capacity / trial.set_size)

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> Categorical:
        def noisy(values: Array) -> Array:
            chances = jax.nn.softmax(BETA * (values[trial.stimulus] + p.stick * state["last"]))
            return p.epsilon / chances.shape[-1] + (1 - p.epsilon) * chances

        weight = self.weight(p, trial)
        return Categorical(jnp.log(weight * noisy(state["wm"]) + (1 - weight) * noisy(state["rl"])))


@dataclasses.dataclass(frozen=True)
class _Update:
    policy: _Policy
    error_reward: float | None

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        at, right = (trial.stimulus, trial.choice), trial.correct == 1
        n_actions = state["last"].shape[-1]
        wm = state["wm"] + p.forget * (1 / n_actions - state["wm"])
        wm = wm.at[at].add(jnp.where(right, 1.0, p.bias_wm) * (trial.correct - wm[at]))
        felt = p.error_reward if self.error_reward is None else self.error_reward
        error = jnp.where(right, 1.0, felt) - state["rl"][at]
        rl = state["rl"].at[at].add(p.alpha * jnp.where(right, 1.0, p.bias_rl) * error)
        last = (jnp.arange(n_actions) == trial.choice).astype(state["last"].dtype)
        return {"rl": rl, "wm": wm, "last": last}, {
            "prediction_error": error,
            "value_rl": state["rl"][at],
            "value_wm": state["wm"][at],
            "weight_wm": self.policy.weight(p, trial),
        }


@functools.lru_cache
def rlwm(
    capacity: float | tuple[float, ...] | None = 4.0,
    error_reward: float | None = 0.0,
    actions: int = 3,
    stimuli: int = 6,
) -> Model:
    """Reinforcement learning and working memory of which action is right for each stimulus of a set.

    Columns are the ``stimulus`` (codes 0, 1, ... within a block), the ``set_size`` of the block, the ``choice`` and whether it
    was ``correct`` (1 or 0). Blocks start afresh.

    Errors that teach the slow values little leave no trace: ``bias_rl`` is not recovered from 13 blocks (r .1). Hold it,
    ``fix(model, bias_rl=0)``, or make both biases one, ``tie(model, bias_rl="bias_wm")``.

    Parameters
    ----------
    capacity
        Number of stimuli that working memory holds; several, as (2, 3, 4, 5), for a discrete parameter ``capacity`` that is
        the best of them for each person; None for a free parameter between 0 and 6. The likelihood has a kink where it equals
        the size of a set.
    error_reward
        Outcome from which slow values learn after an error: 0, or 1 for a habit that counts choices, right or wrong; None for
        a free parameter between them; hold ``bias_rl`` then, at 1 for example, as errors teach the more by either.
    actions, stimuli
        Number of actions, and the largest number of stimuli in a block.

    References
    ----------
    Collins, A. G. E., & Frank, M. J. (2012). How much of reinforcement learning is working memory, not reinforcement
    learning? European Journal of Neuroscience, 35(7), 1024-1035. https://doi.org/10.1111/j.1460-9568.2011.07980.x

    Examples
    --------
    >>> rlwm().names
    ('alpha', 'bias_rl', 'bias_wm', 'stick', 'rho', 'forget', 'epsilon')
    >>> rlwm(capacity=(2, 3, 4, 5)).discrete
    {'capacity': (2.0, 3.0, 4.0, 5.0)}
    """
    least = min(capacity) if isinstance(capacity, tuple) else capacity
    felt = 0.0 if error_reward is None else error_reward
    if (least is not None and least <= 0) or not 0 <= felt <= 1 or min(actions, stimuli) < 2:
        raise ValueError(
            f"capacity={capacity}, error_reward={error_reward}, actions={actions}, stimuli={stimuli}; a capacity is above 0 or "
            "None, an error's reward between 0 and 1 or None, and there are at least 2 actions and stimuli"
        )
    policy = _Policy(None if isinstance(capacity, tuple) else capacity)
    free = () if policy.capacity is not None else (CAPACITY,)
    if isinstance(capacity, tuple):
        free = (Parameter("capacity", doc=CAPACITY.doc, values=capacity),)
    if error_reward is None:
        free = (ERROR_REWARD, *free)
    return Model(
        "rlwm",
        (ALPHA, BIAS_RL, BIAS_WM, STICK, RHO, FORGET, EPSILON, *free),
        policy,
        init=_Start(stimuli, actions),
        update=_Update(policy, error_reward),
        options=actions,
        inputs=("stimulus", "set_size"),
        outcomes=("correct",),
        input_codes=(("stimulus", stimuli),),
        task=StimulusSets(stimuli, actions),
        doc="Reinforcement learning and working memory of limited capacity",
        reference=COLLINS,
    )


MODELS: dict[str, Callable[..., Model]] = {"rlwm": rlwm}
