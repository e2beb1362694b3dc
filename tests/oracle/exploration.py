"""Kalman filters of bandits, and what they say of exploration, trial by trial in plain Python."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm

from tests.oracle.case import Case, Trial, log_softmax


def payoffs(rng: np.random.Generator, n: int, options: int = 4, **_: float) -> dict[str, np.ndarray]:
    return {"choice": rng.integers(options, size=n), "reward": rng.uniform(size=n)}


def two_arms(rng: np.random.Generator, n: int, **_: float) -> dict[str, np.ndarray]:
    return payoffs(rng, n, 2)


def yes_or_no(rng: np.random.Generator, n: int, options: int = 2, **_: float) -> dict[str, np.ndarray]:
    return {"choice": rng.integers(options, size=n), "reward": rng.integers(2, size=n)}


def kalman(
    p: dict[str, float],
    trials: list[Trial],
    options: int = 4,
    bonus: bool = False,
    sigma_o: float | None = 0.04,
    start: float = 0.5,
    start_sd: float = 0.2,
) -> list[float]:
    mean, var = [start] * options, [start_sd**2] * options
    noise = (p["sigma_o"] if sigma_o is None else sigma_o) ** 2
    keep, centre, walk = p["lambda_"], p["theta"], p["sigma_d"] ** 2
    out = []
    for trial in trials:
        a, r = trial["choice"], trial["reward"]
        if a is None:
            out.append(0.0)
            continue
        worth = [m + p["phi"] * math.sqrt(v) if bonus else m for m, v in zip(mean, var, strict=True)]
        out.append(log_softmax([p["beta"] * one for one in worth])[a])
        if r is None:
            continue
        k = var[a] / (var[a] + noise)
        mean[a] = mean[a] + k * (r - mean[a])
        var[a] = var[a] - k * var[a]
        mean = [keep * m + (1 - keep) * centre for m in mean]
        var = [keep * keep * v + walk for v in var]
    return out


def kalman_bonus(p: dict[str, float], trials: list[Trial], **settings: float) -> list[float]:
    return kalman(p, trials, bonus=True, **settings)  # type: ignore[arg-type]


def explore(
    p: dict[str, float], trials: list[Trial], known: int | None = None, noise_sd: float = 0.0632
) -> list[float]:
    mean, var = [0.5, 0.5], [0.04, 0.04]
    if known is not None:
        var[known] = 0.0
    out = []
    for trial in trials:
        a, r = trial["choice"], trial["reward"]
        if a is None:
            out.append(0.0)
            continue
        v, ru, tu = mean[0] - mean[1], math.sqrt(var[0]) - math.sqrt(var[1]), math.sqrt(var[0] + var[1])
        z = p.get("w1", 0.0) * v + p.get("w2", 0.0) * ru + p.get("w", p.get("w3", 0.0)) * v / tu
        out.append(float(norm.logcdf(z if a == 0 else -z)))
        if r is None:
            continue
        k = var[a] / (var[a] + noise_sd**2)
        mean[a], var[a] = mean[a] + k * (r - mean[a]), (1 - k) * var[a]
    return out


def volatile(p: dict[str, float], trials: list[Trial], options: int = 2) -> list[float]:
    m, w, v = [0.0] * options, [p["omega"]] * options, [p["v0"]] * options
    squash = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    out = []
    for trial in trials:
        a, r = trial["choice"], trial["reward"]
        if a is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * squash(one) for one in m])[a])
        if r is None:
            continue
        k = (w[a] + v[a]) / (w[a] + v[a] + p["omega"])
        new_m = m[a] + math.sqrt(w[a] + v[a]) * (r - squash(m[a]))
        new_w, shared = (1 - k) * (w[a] + v[a]), (1 - k) * w[a]
        v[a] += p["lambda_"] * ((new_m - m[a]) ** 2 + w[a] + new_w - 2 * shared - v[a])
        m[a], w[a] = new_m, new_w
    return out


def volatile_continuous(p: dict[str, float], trials: list[Trial], options: int = 2) -> list[float]:
    m, w, v = [0.5] * options, [p["sigma"] ** 2] * options, [p["v0"]] * options
    out = []
    for trial in trials:
        a, r = trial["choice"], trial["reward"]
        if a is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * one for one in m])[a])
        if r is None:
            continue
        k = (w[a] + v[a]) / (w[a] + v[a] + p["sigma"] ** 2)
        new_m = m[a] + k * (r - m[a])
        new_w, shared = (1 - k) * (w[a] + v[a]), (1 - k) * w[a]
        v[a] += p["lambda_"] * ((new_m - m[a]) ** 2 + w[a] + new_w - 2 * shared - v[a])
        m[a], w[a] = new_m, new_w
    return out


CASES = {
    "kalman": Case(kalman, payoffs, ({}, {"options": 2, "sigma_o": None, "start": 0.2})),
    "kalman_bonus": Case(kalman_bonus, payoffs),
    "ucb": Case(explore, two_arms),
    "thompson": Case(explore, two_arms),
    "hybrid": Case(explore, two_arms, ({}, {"known": 1})),
    "volatile_kalman": Case(volatile, yes_or_no),
    "volatile_kalman_continuous": Case(volatile_continuous, two_arms),
}
