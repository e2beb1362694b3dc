"""Reinforcement learning with working memory (Collins & Frank 2012; Collins 2024), trial by trial in plain Python."""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.case import Case, Trial

BETA = 25.0


def softmax(values: list[float], last: int | None, stick: float, epsilon: float) -> list[float]:
    raised = [value + (stick if action == last else 0.0) for action, value in enumerate(values)]
    top = max(raised)
    odds = [math.exp(BETA * (value - top)) for value in raised]
    return [epsilon / len(odds) + (1 - epsilon) * odd / sum(odds) for odd in odds]


def rlwm(
    p: dict[str, float],
    trials: list[Trial],
    capacity: float | tuple[float, ...] | None = 4.0,
    error_reward: float | None = 0.0,
    actions: int = 3,
    stimuli: int = 6,
) -> list[float]:
    start = 1 / actions
    slow = [[start] * actions for _ in range(stimuli)]
    quick = [[start] * actions for _ in range(stimuli)]
    last = None
    out = []
    for trial in trials:
        s, n, a, r = (trial[name] for name in ("stimulus", "set_size", "choice", "correct"))
        if None in (s, n, a):
            out.append(0.0)
            continue
        weight = p["rho"] * min(1.0, (capacity if isinstance(capacity, float) else p["capacity"]) / n)
        both = [softmax(values[s], last, p["stick"], p["epsilon"])[a] for values in (quick, slow)]
        out.append(math.log(weight * both[0] + (1 - weight) * both[1]))
        if r is None:
            continue
        for values in quick:
            for action in range(actions):
                values[action] += p["forget"] * (start - values[action])
        quick[s][a] += (1.0 if r == 1 else p["bias_wm"]) * (r - quick[s][a])
        felt = 1.0 if r == 1 else p["error_reward"] if error_reward is None else error_reward
        slow[s][a] += p["alpha"] * (1.0 if r == 1 else p["bias_rl"]) * (felt - slow[s][a])
        last = a
    return out


def stimuli(rng: np.random.Generator, n: int, **_: float) -> dict[str, np.ndarray]:
    size = int(rng.integers(2, 7))
    return {
        "stimulus": rng.integers(size, size=n),
        "set_size": np.full(n, size),
        "choice": rng.integers(3, size=n),
        "correct": rng.integers(2, size=n),
    }


CASES = {
    "rlwm": Case(
        rlwm, stimuli, ({}, {"capacity": None, "error_reward": 1.0}, {"capacity": (2, 3, 4, 5)}, {"error_reward": None})
    )
}
