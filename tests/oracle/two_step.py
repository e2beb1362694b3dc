"""The two-step task of Daw et al. (2011), trial by trial in plain Python."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tests.oracle.case import Case, Trial, log_softmax


def two_step(
    p: dict[str, float],
    trials: list[Trial],
    separate: bool = False,
    transitions: str = "known",
    common: float = 0.7,
) -> list[float]:
    top, bottom = [0.0, 0.0], [[0.0, 0.0], [0.0, 0.0]]
    own, other = 0, 0
    last = None
    w, alpha1, trace = p.get("w", 0.0), p.get("alpha1", 0.0), p.get("lambda_", 0.0)
    out = []
    for trial in trials:
        a, s, b, r = (trial[name] for name in ("choice1", "state2", "choice2", "reward"))
        chance = common if transitions == "known" or own > other else 1 - common
        total = 0.0
        if a is not None:
            logits = []
            for action in (0, 1):
                planned = chance * max(bottom[action]) + (1 - chance) * max(bottom[1 - action])
                repeat = p["stick"] if action == last else 0.0
                if separate:
                    logits.append(p["beta_mb"] * planned + p["beta_mf"] * top[action] + repeat)
                else:
                    logits.append(p["beta1"] * (w * planned + (1 - w) * top[action] + repeat))
            total += log_softmax(logits)[a]
        if b is not None and s is not None:
            total += log_softmax([p["beta2"] * value for value in bottom[s]])[b]
        out.append(total)
        if a is None or s is None or b is None or r is None:
            continue
        first, second = bottom[s][b] - top[a], r - bottom[s][b]
        top[a] += alpha1 * (first + trace * second)
        bottom[s][b] += p["alpha2"] * second
        own, other, last = own + (s == a), other + (s != a), a
    return out


def model_based(p: dict[str, float], trials: list[Trial], **options: Any) -> list[float]:
    return two_step(p | {"w": 1.0}, trials, **options)


def stages(rng: np.random.Generator, n: int, **_: str) -> dict[str, np.ndarray]:
    columns = {name: rng.integers(2, size=n) for name in ("choice1", "state2", "choice2")}
    return columns | {"reward": rng.integers(2, size=n)}


CASES = {
    "two_step": Case(two_step, stages, ({}, {"transitions": "counted"})),
    "two_step_sarsa": Case(two_step, stages),
    "two_step_model_based": Case(model_based, stages),
    "two_step_separate": Case(functools.partial(two_step, separate=True), stages),
}
