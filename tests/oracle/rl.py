"""Reinforcement learning, trial by trial in plain Python, after the equations of the publications."""

from __future__ import annotations

import numpy as np

from tests.oracle.case import Case, Trial, log_softmax


def bandit(rng: np.random.Generator, n: int, options: int = 2, **_: float) -> dict[str, np.ndarray]:
    """Any choices; rewards mostly 0 and 1, now and then something else."""
    odd = rng.uniform(-0.5, 1.5, n)
    return {
        "choice": rng.integers(options, size=n),
        "reward": np.where(rng.random(n) < 0.8, rng.integers(2, size=n), odd),
    }


def rw1a1b(p: dict[str, float], trials: list[Trial], options: int = 2, start: float = 0.5) -> list[float]:
    value = [start] * options
    out = []
    for trial in trials:
        choice, reward = trial["choice"], trial["reward"]
        if choice is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * v for v in value])[choice])
        if reward is not None:
            value[choice] += p["alpha"] * (reward - value[choice])
    return out


def rw2a1b(p: dict[str, float], trials: list[Trial], options: int = 2, start: float = 0.5) -> list[float]:
    value = [start] * options
    out = []
    for trial in trials:
        choice, reward = trial["choice"], trial["reward"]
        if choice is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * v for v in value])[choice])
        if reward is not None:
            surprise = reward - value[choice]
            value[choice] += surprise * (p["alpha_pos"] if surprise >= 0 else p["alpha_neg"])
    return out


def prosocial(rng: np.random.Generator, n: int, options: int = 2, **_: float) -> dict[str, np.ndarray]:
    columns = {f"reward_{who}": rng.integers(2, size=n) for who in ("self", "other", "noone")}
    return {"choice": rng.integers(options, size=n), **columns}


def rw3a1b(p: dict[str, float], trials: list[Trial], options: int = 2, start: float = 0.0) -> list[float]:
    value = [start] * options
    out = []
    for trial in trials:
        choice = trial["choice"]
        if choice is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * v for v in value])[choice])
        rewards = [trial["reward_self"], trial["reward_other"], trial["reward_noone"]]
        if None not in rewards:
            rates = [p["alpha_self"], p["alpha_other"], p["alpha_noone"]]
            old = value[choice]
            for rate, reward in zip(rates, rewards, strict=True):
                value[choice] += rate * (reward - old)
    return out


def pairs(rng: np.random.Generator, n: int, **_: float) -> dict[str, np.ndarray]:
    """A pair of different options on each trial, on either side."""
    shown = rng.permuted(np.tile(np.arange(4), (n, 1)), axis=1)[:, :2]
    return {
        "option_left": shown[:, 0],
        "option_right": shown[:, 1],
        "choice": rng.integers(2, size=n),
        "outcome_self": rng.integers(-1, 2, size=n),
        "outcome_other": rng.integers(-1, 2, size=n),
    }


def rw4a1b(p: dict[str, float], trials: list[Trial], start: float = 0.0) -> list[float]:
    value = {option: start for option in range(4)}
    out = []
    for trial in trials:
        shown, choice = (trial["option_left"], trial["option_right"]), trial["choice"]
        if choice is None or None in shown:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * value[option] for option in shown])[choice])
        outcome = {"self": trial["outcome_self"], "other": trial["outcome_other"]}
        if None in outcome.values():
            continue
        taken = shown[choice]
        surprise = {who: outcome[who] - value[taken] for who in outcome}
        for who, error in surprise.items():
            value[taken] += error * p[f"alpha_{who}_{'pos' if error >= 0 else 'neg'}"]
    return out


CASES = {
    "rw1a1b": Case(rw1a1b, bandit, ({}, {"options": 4, "start": 0.0})),
    "rw2a1b": Case(rw2a1b, bandit, ({}, {"options": 3, "start": -0.2})),
    "rw3a1b": Case(rw3a1b, prosocial, ({}, {"options": 3, "start": 0.5})),
    "rw4a1b": Case(rw4a1b, pairs, ({}, {"start": 0.3})),
}
