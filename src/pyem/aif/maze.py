"""The T-maze: its places and moves, its cues, and its outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyem.aif.maze_constants import PATHS
from pyem.aif.tasks import POMDPTask


class TMaze(POMDPTask):
    """A T-shaped maze: a cue below tells which arm is likely to pay.

    Five places (centre, left, right, cue, middle), of which centre and cue, centre and middle, middle and each arm are
    neighbours; going elsewhere leaves one where one is. Observed are the place (``o0``), the outcome (``o1``: none, reward,
    punishment) and the cue (``o2``: none, left, right). The side of the reward is drawn at the start of a block.

    Parameters
    ----------
    reward_probability
        Probability of a reward in the better arm.
    cue_validity
        Probability that the cue tells the better arm.
    dependent_outcomes
        Whether no reward in an arm means punishment, and the worse arm punishes with the reward probability. Otherwise the
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
    """Likelihood of the outcome (3, place, side); `punishment` None means that everybody who is not rewarded is punished."""
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
