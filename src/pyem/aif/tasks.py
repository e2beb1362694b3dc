"""Environments for active-inference agents: discrete POMDPs, the T-maze, and episodes of them in a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.aif.structure import all_actions
from pyem.model import Record


class POMDPTask:
    """An environment with hidden states, given by arrays as an agent is; the agent may believe others.

    On each trial the columns of the observations are emitted; the action then moves the state.

    Parameters
    ----------
    A, B, D
        As of `pyem.aif.DiscretePOMDP`, arrays only.
    A_dependencies, B_dependencies
        As there.
    observations
        Columns, ``o0``, ``o1``, ... if not given.
    action
        Column of the actions.

    Examples
    --------
    >>> task = POMDPTask(A=[np.eye(2)], B=[np.stack([np.eye(2), np.eye(2)[::-1]], axis=-1)], D=[[1, 0]])
    >>> {name: int(value) for name, value in task.present(task.init(jax.random.key(0)), jax.random.key(1)).items()}
    {'o0': 0}
    """

    def __init__(
        self,
        A: Sequence[Any],
        B: Sequence[Any],
        D: Sequence[Any],
        *,
        A_dependencies: Sequence[Sequence[int]] | None = None,
        B_dependencies: Sequence[Sequence[int]] | None = None,
        observations: Sequence[str] | None = None,
        action: str = "action",
    ) -> None:
        self.A = [np.asarray(a, float) for a in A]
        self.B = [np.asarray(b, float) for b in B]
        self.D = [np.asarray(d, float) for d in D]
        n = len(self.B)
        self.A_dependencies = tuple(tuple(d) for d in A_dependencies or [range(n)] * len(self.A))
        self.B_dependencies = tuple(tuple(d) for d in B_dependencies or [(f,) for f in range(n)])
        self.observations = tuple(observations or (f"o{m}" for m in range(len(self.A))))
        self.action = action
        self._key = (
            tuple((a.shape, a.tobytes()) for a in [*self.A, *self.B, *self.D]),
            self.A_dependencies,
            self.B_dependencies,
            self.observations,
            action,
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._key == other._key  # type: ignore[attr-defined]

    def init(self, key: Array) -> Any:
        """A state drawn from D."""
        chance = jax.random.uniform(key, (len(self.D),))
        return tuple(_draw(u, np.cumsum(d)) for u, d in zip(chance, self.D, strict=True))

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """An observation of each modality."""
        chance = jax.random.uniform(key, (len(self.A),))
        return {
            name: _draw(u, jnp.asarray(np.cumsum(a, axis=0))[(slice(None), *(state[f] for f in depends))])
            for name, u, a, depends in zip(self.observations, chance, self.A, self.A_dependencies, strict=True)
        }

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """The next state; nothing is shown until the next trial."""
        chance = jax.random.uniform(key, (len(self.B),))
        controls = jnp.asarray(all_actions([b.shape[-1] for b in self.B]))[trial[self.action]]
        after = tuple(
            _draw(u, jnp.asarray(np.cumsum(b, axis=0))[(slice(None), *(state[g] for g in depends), controls[f])])
            for f, (u, b, depends) in enumerate(zip(chance, self.B, self.B_dependencies, strict=True))
        )
        return after, {}


def _draw(chance: Array, cumulative: Any) -> Array:
    """The first value whose cumulative probability exceeds a uniform number."""
    # Rounding may leave the last sum a little below 1.
    return (chance >= jnp.asarray(cumulative)[:-1]).sum().astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class Episodes:
    """A task that starts anew every so many trials within one block, for agents that learn across blocks.

    Shows the column ``start``, 1 on the first trial of an episode.

    Examples
    --------
    >>> Episodes(TMaze(), trials=5).trials
    5
    """

    task: Any
    trials: int

    def init(self, key: Array) -> Any:
        """The task's own state, and the number of trials so far."""
        return self.task.init(key), jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """What the task shows, and whether an episode starts."""
        inner, n = state
        return {**self.task.present(inner, key), "start": (n % self.trials == 0).astype(jnp.int32)}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """What the task does; at the end of an episode, its start."""
        inner, n = state
        go, again = jax.random.split(key)
        after, outcome = self.task.respond(inner, trial, go)
        over = (n + 1) % self.trials == 0
        after = jax.tree.map(lambda new, old: jnp.where(over, new, old), self.task.init(again), after)
        return (after, n + 1), outcome


LOCATIONS = ("centre", "left", "right", "cue", "middle")
PATHS = ((0, 3), (0, 4), (4, 1), (4, 2))


class TMaze(POMDPTask):
    """A T-shaped maze: a cue below tells which arm is likely to pay.

    Five places (centre, left, right, cue, middle), of which centre and cue, centre and middle, middle and each arm are
    neighbours; going elsewhere leaves one where one is. Observed are the place (``o0``), the outcome (``o1``: none, reward,
    punishment) and the cue (``o2``: none, left, right). The side of the reward is drawn at the start of a block.

    Parameters
    ----------
    reward_probability
        Of a reward in the better arm.
    cue_validity
        Probability that the cue tells the better arm.
    dependent_outcomes
        Who is not rewarded in an arm is punished, and the worse arm punishes with the reward probability. Otherwise the
        better arm gives a reward or nothing, and the worse one a punishment with `punishment_probability` or nothing.
    punishment_probability
        See there.
    reward_side
        0 for left, 1 for right, None to draw it.

    References
    ----------
    Friston, K., FitzGerald, T., Rigoli, F., Schwartenbeck, P., & Pezzulo, G. (2017). Active inference: A process theory.
    Neural Computation, 29(1), 1-49. https://doi.org/10.1162/NECO_a_00912

    Examples
    --------
    >>> TMaze(cue_validity=0.75).A[2][:, 3, 0].tolist()
    [0.0, 0.75, 0.25]
    """

    def __init__(
        self,
        reward_probability: float = 0.8,
        cue_validity: float = 1.0,
        *,
        dependent_outcomes: bool = True,
        punishment_probability: float = 0.0,
        reward_side: int | None = None,
    ) -> None:
        for name, value in (
            ("reward_probability", reward_probability),
            ("cue_validity", cue_validity),
            ("punishment_probability", punishment_probability),
        ):
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value}; a probability is between 0 and 1")
        if reward_side not in (None, 0, 1):
            raise ValueError(f"reward_side={reward_side!r}; choose 0 (left), 1 (right) or None (drawn)")
        self.reward_probability = reward_probability
        self.cue_validity = cue_validity
        outcome = maze_outcomes(reward_probability, None if dependent_outcomes else punishment_probability)
        side = [0.5, 0.5] if reward_side is None else np.eye(2)[reward_side]
        super().__init__(
            A=[np.eye(5), outcome, maze_cues(cue_validity)],
            B=maze_moves(),
            D=[np.eye(5)[0], side],
            A_dependencies=MAZE_DEPENDENCIES,
        )

    def render(self, episode: Any, **options: Any) -> Any:
        """A panel for each trial of an episode; see `pyem.aif.figures.render_maze`."""
        from pyem.aif.figures import render_maze

        return render_maze(episode, **options)


MAZE_DEPENDENCIES = ((0,), (0, 1), (0, 1))


def maze_moves() -> list[np.ndarray]:
    """Transitions of place (next, now, request) and side."""
    neighbours = {*PATHS, *((b, a) for a, b in PATHS)}
    place = np.zeros((5, 5, 5))
    for now in range(5):
        for request in range(5):
            place[request if (now, request) in neighbours else now, now, request] = 1
    return [place, np.eye(2)[..., None]]


def maze_outcomes(reward: Any, punishment: Any = None) -> Any:
    """Likelihood of the outcome (3, place, side); `punishment` None: who is not rewarded is punished."""
    base, by_reward, by_punishment = np.zeros((3, 3, 5, 2))
    base[0, [0, 3, 4]] = 1
    for place, better, worse in ((1, 0, 1), (2, 1, 0)):
        instead = 2 if punishment is None else 0
        by_reward[1, place, better], by_reward[instead, place, better], base[instead, place, better] = 1, -1, 1
        if punishment is None:
            by_reward[2, place, worse], by_reward[1, place, worse], base[1, place, worse] = 1, -1, 1
        else:
            by_punishment[2, place, worse], by_punishment[0, place, worse], base[0, place, worse] = 1, -1, 1
    likelihood = base + reward * by_reward
    return likelihood if punishment is None else likelihood + punishment * by_punishment


def maze_cues(validity: Any) -> Any:
    """Likelihood of the cue (3, place, side)."""
    base, by_validity = np.zeros((2, 3, 5, 2))
    base[0, [0, 1, 2, 4]] = 1
    for side in range(2):
        by_validity[1 + side, 3, side], by_validity[2 - side, 3, side], base[2 - side, 3, side] = 1, -1, 1
    return base + validity * by_validity
