"""The models of Wilson & Collins (2019), and forgetting, trial by trial in plain Python."""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.case import Case, Trial, log_softmax
from tests.oracle.rl import bandit


def choices(rng: np.random.Generator, n: int, options: int = 2, **_: float) -> dict[str, np.ndarray]:
    return {"choice": rng.integers(options, size=n)}


def bias(p: dict[str, float], trials: list[Trial]) -> list[float]:
    chance = {0: p["bias"], 1: 1 - p["bias"], None: 1.0}
    return [math.log(chance[trial["choice"]]) for trial in trials]


def wsls(p: dict[str, float], trials: list[Trial], options: int = 2, threshold: float = 0.5) -> list[float]:
    noise = p["epsilon"]
    last, won = None, False
    out = []
    for trial in trials:
        choice = trial["choice"]
        if choice is None:
            out.append(0.0)
            continue
        if last is None:
            chance = 1 / options
        elif won:
            chance = 1 - noise + noise / options if choice == last else noise / options
        else:
            chance = noise / options if choice == last else (1 - noise) / (options - 1) + noise / options
        out.append(math.log(chance))
        if trial["reward"] is not None:
            last, won = choice, trial["reward"] > threshold
    return out


def ck(p: dict[str, float], trials: list[Trial], options: int = 2) -> list[float]:
    kernel = [0.0] * options
    out = []
    for trial in trials:
        choice = trial["choice"]
        if choice is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta_c"] * k for k in kernel])[choice])
        for option in range(options):
            chosen = 1.0 if option == choice else 0.0
            kernel[option] += p["alpha_c"] * (chosen - kernel[option])
    return out


def rwck(p: dict[str, float], trials: list[Trial], options: int = 2, start: float = 0.5) -> list[float]:
    value, kernel = [start] * options, [0.0] * options
    out = []
    for trial in trials:
        choice, reward = trial["choice"], trial["reward"]
        if choice is None:
            out.append(0.0)
            continue
        weight = [p["beta"] * v + p["beta_c"] * k for v, k in zip(value, kernel, strict=True)]
        out.append(log_softmax(weight)[choice])
        if reward is None:
            continue
        value[choice] += p["alpha"] * (reward - value[choice])
        for option in range(options):
            kernel[option] = (1 - p["alpha_c"]) * kernel[option] + (p["alpha_c"] if option == choice else 0.0)
    return out


def rw_forget(p: dict[str, float], trials: list[Trial], options: int = 2, start: float = 0.5) -> list[float]:
    value = [start] * options
    out = []
    for trial in trials:
        choice, reward = trial["choice"], trial["reward"]
        if choice is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * v for v in value])[choice])
        if reward is None:
            continue
        for option in range(options):
            if option == choice:
                value[option] += p["alpha"] * (reward - value[option])
            else:
                value[option] = (1 - p["forget"]) * value[option] + p["forget"] * start
    return out


CASES = {
    "bias": Case(bias, choices),
    "wsls": Case(wsls, bandit, ({}, {"options": 3, "threshold": 0.5})),
    "ck": Case(ck, choices, ({}, {"options": 3})),
    "rwck": Case(rwck, bandit, ({}, {"options": 3, "start": 0.0})),
    "rw_forget": Case(rw_forget, bandit, ({}, {"options": 3, "start": 0.0})),
}
