"""Active-inference models that are ready to use: a T-maze, a bandit, and a reversal task."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from pyem.aif.learning import Learning
from pyem.aif.maze import MAZE_DEPENDENCIES, TMaze, maze_cues, maze_moves, maze_outcomes
from pyem.aif.pomdp import DiscretePOMDP
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.task.bandits import Bandit, Reversal

REWARD_PROBABILITY = Parameter(
    "reward_probability", Interval(0.5, 1), "believed probability of a reward in the better arm"
)
CUE_VALIDITY = Parameter(
    "cue_validity", Interval(0.5, 1), "believed probability that the cue tells the better arm", mean=1.0
)
PREFERENCE = Parameter(
    "preference", Positive(), "how much better a reward is than nothing, in nats", math.log(1.2), 0.4
)
ALPHA = Parameter("alpha", Positive(), "precision of actions", 0.0, 0.4)
GAMMA = Parameter("gamma", Positive(), "precision of policies", 0.0, 0.4)
STRENGTH = Parameter("preference", Positive(), "how much better a reward is than nothing, in nats", 1.0, 0.5)
FORGETTING = Parameter("forgetting", Interval(0, 1), "share of what was learned that is lost on each trial", -2.0)
HAZARD = Parameter(
    "hazard", Interval(0, 0.5), "believed probability that the better option changes, on each trial", -1.5
)

MAZE = {p.name: p for p in (REWARD_PROBABILITY, PREFERENCE, CUE_VALIDITY, GAMMA, ALPHA)}


# -- the T-maze ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Given:
    """The value of a parameter: a free one of the model, or else the value at which it is fixed."""

    held: tuple[tuple[str, float], ...]

    def __call__(self, p: Record, name: str) -> Any:
        return p[name] if name in p else dict(self.held)[name]


@dataclasses.dataclass(frozen=True)
class _MazeA(_Given):
    def __call__(self, p: Record, name: str = "") -> Any:  # type: ignore[override]
        value = super().__call__
        return [np.eye(5), maze_outcomes(value(p, "reward_probability")), maze_cues(value(p, "cue_validity"))]


@dataclasses.dataclass(frozen=True)
class _MazeC(_Given):
    def __call__(self, p: Record, name: str = "") -> Any:  # type: ignore[override]
        return [np.zeros(5), super().__call__(p, "preference") * np.array([0.0, 1.0, -1.0]), np.zeros(3)]


@dataclasses.dataclass(frozen=True)
class _Precision(_Given):
    name: str

    def __call__(self, p: Record, name: str = "") -> Any:
        return super().__call__(p, self.name)


@functools.lru_cache
def tmaze(
    free: tuple[str, ...] = ("reward_probability",),
    policy_len: int = 2,
    inference: str = "exact",
    reward_probability: float = 0.8,
    preference: float = 1.2,
    cue_validity: float = 1.0,
    gamma: float = 1.0,
    alpha: float = 1.0,
    missed: Any = "marginalise",
) -> Model:
    """See `pyem.models.active_inference.aif_tmaze`."""
    free = (free,) if isinstance(free, str) else tuple(free)
    unknown = [name for name in free if name not in MAZE]
    if unknown or not free:
        raise ValueError(f"free={free}; choose among {', '.join(MAZE)}")
    values = {
        "reward_probability": reward_probability,
        "preference": preference,
        "cue_validity": cue_validity,
        "gamma": gamma,
        "alpha": alpha,
    }
    held = tuple((name, float(value)) for name, value in values.items())
    agent = DiscretePOMDP(
        A=_MazeA(held),
        B=maze_moves(),
        C=_MazeC(held),
        D=[np.eye(5)[0], [0.5, 0.5]],
        A_dependencies=MAZE_DEPENDENCIES,
        policy_len=policy_len,
        gamma=_Precision(held, "gamma"),
        alpha=_Precision(held, "alpha"),
        inference=inference,  # type: ignore[arg-type]
        missed=missed,
    )
    return agent.model(
        "aif_tmaze",
        [MAZE[name] for name in free],
        task=TMaze(cue_validity=cue_validity),
        doc="active inference in a T-maze with a cue: explore, then exploit",
        reference="https://doi.org/10.1162/NECO_a_00912",
    )


# -- learning what options pay ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Flat:
    """Prior counts of the same size for each outcome of each option."""

    options: int

    def __call__(self, p: Record) -> Any:
        return [np.ones((2, self.options))]


def _wins(p: Record) -> Any:
    return [jnp.stack([jnp.zeros(()), p.preference])]


def _forgetting(p: Record) -> Any:
    return p.forgetting


@functools.lru_cache
def bandit(options: int = 2, novelty: bool = True) -> Model:
    """See `pyem.models.active_inference.aif_bandit`."""
    if options < 2:
        raise ValueError(f"options={options}; a bandit has at least 2 options")
    agent = DiscretePOMDP(
        A=[np.full((2, options), 0.5)],
        B=[np.stack([np.tile(np.eye(options)[:, [k]], options) for k in range(options)], axis=-1)],
        C=_wins,
        use_param_info_gain=novelty,
        learning=Learning(A=_Flat(options), forgetting=_forgetting),
    )
    return agent.model(
        "aif_bandit",
        [STRENGTH, FORGETTING],
        outcomes=("reward",),
        action="choice",
        task=Bandit((0.8,) + (0.2,) * (options - 1)),
        doc="active inference in a bandit: learn what options pay, prefer rewards, and explore what is not known well",
        reference="https://doi.org/10.1016/j.neunet.2021.08.018",
    )


# -- inferring which option is better -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _ReversalA:
    """Likelihood of a reward, given which option is better and which was chosen."""

    probability: float

    def __call__(self, p: Record) -> Any:
        wins = np.where(np.eye(2, dtype=bool), self.probability, 1 - self.probability)
        return [np.stack([1 - wins, wins])]


def _reversal_moves(p: Record) -> Any:
    stay = np.eye(2)
    change = stay + p.hazard * (1 - 2 * stay)
    return [change[..., None], np.stack([np.tile(stay[:, [k]], 2) for k in range(2)], axis=-1)]


@functools.lru_cache
def reversal(reward_probability: float = 0.8, every: int = 20) -> Model:
    """See `pyem.models.active_inference.aif_reversal`."""
    if not 0.5 < reward_probability < 1:
        raise ValueError(f"reward_probability={reward_probability}; the better option's is above .5 and below 1")
    agent = DiscretePOMDP(A=_ReversalA(reward_probability), B=_reversal_moves, C=_wins)
    return agent.model(
        "aif_reversal",
        [STRENGTH, HAZARD],
        outcomes=("reward",),
        action="choice",
        share=False,
        task=Reversal((reward_probability, 1 - reward_probability), every=every),
        doc="active inference in a reversal task: infer which option is better now, knowing that this changes",
        reference="https://doi.org/10.1523/JNEUROSCI.1010-06.2006",
    )
