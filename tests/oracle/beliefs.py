"""Hierarchical Gaussian filters, hidden Markov models and change points, trial by trial in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.oracle.case import Case, Trial, log_softmax


def log_odds(x: float) -> tuple[float, float]:
    """Log-probabilities of no and yes."""
    less = math.log1p(math.exp(-abs(x)))
    return (-x - less, -less) if x > 0 else (-less, x - less)


def log_normal_density(x: float, mean: float, sd: float) -> float:
    return -0.5 * ((x - mean) / sd) ** 2 - math.log(sd) - 0.5 * math.log(2 * math.pi)


class Volatility:
    """A belief about the log volatility of the level below, whose variance of steps is exp(omega_own)."""

    def __init__(self, mu: float, sa: float, kappa: float, omega: float, omega_own: float, update: str) -> None:
        self.mu, self.sa, self.kappa, self.omega, self.omega_own, self.update = mu, sa, kappa, omega, omega_own, update
        self.diverged = False

    def variance(self) -> float:
        return math.exp(self.kappa * self.mu + self.omega)

    def learn(self, sa_before: float, predicted: float, moved: float) -> None:
        k, pihat = self.kappa, 1 / (self.sa + math.exp(self.omega_own))
        w = self.variance() / predicted
        delta = moved / predicted - 1
        if self.update == "classic":
            precision = pihat + 0.5 * k**2 * w * (w + (2 * w - 1) * delta)
            if precision <= 1e-12:
                self.diverged = True
                return
            self.mu += 0.5 * k * w * delta / precision
        else:
            self.mu += 0.5 * k * w * delta / pihat
            again = sa_before + self.variance()
            w, delta = self.variance() / again, moved / again - 1
            precision = pihat + max(0.0, 0.5 * k**2 * w * (w + (2 * w - 1) * delta))
        self.sa = 1 / precision


def binary_response(
    p: dict[str, float],
    trial: Trial,
    response: str,
    log_p: Sequence[float],
    inferential: float,
    phasic: float,
    last: float,
) -> float:
    """Log-probability of what was done, with the believed probabilities and the last outcome's surprise."""
    p0, p1 = math.exp(log_p[0]), math.exp(log_p[1])
    choice, rt, outcome = trial.get("choice"), trial.get("rt"), trial["outcome"]
    if response == "bayes_optimal":
        return 0.0 if outcome is None else log_p[outcome]
    if response == "log_rt":
        if outcome is None or rt is None:
            return 0.0
        last = -log_p[outcome]
    total = 0.0
    if response in ("unit_square", "unit_square_rt") and choice is not None:
        total += log_softmax([p["zeta"] * one for one in log_p])[choice]
    if response == "softmax" and choice is not None:
        total += log_softmax([p["beta"] * p0, p["beta"] * p1])[choice]
    if "rt" in response and rt is not None:
        mean = p["b0"] + p["b1"] * last + p["b2"] * p0 * p1
        mean += p.get("b3", 0.0) * inferential + p.get("b4", 0.0) * phasic
        total += log_normal_density(math.log(rt), mean, p["sigma"]) - math.log(rt)
    return total


def hgf(
    p: dict[str, float],
    trials: list[Trial],
    levels: int = 3,
    update: str = "classic",
    response: str = "unit_square",
    **held: float | None,
) -> list[float]:
    usual = {"kappa2": 1.0, "mu2_0": 0.0, "sa2_0": 0.1, "mu3_0": 1.0, "sa3_0": 1.0}
    p = usual | {name: value for name, value in held.items() if value is not None} | p
    mu2, sa2, surprise = p["mu2_0"], p["sa2_0"], math.log(2)
    top = Volatility(p["mu3_0"], p["sa3_0"], p["kappa2"], p["omega2"], p.get("omega3", 0.0), update)
    out = []
    for trial in trials:
        log_p = log_odds(mu2)
        slope = math.exp(sum(log_p))
        phasic = slope * math.exp(p["kappa2"] * top.mu) if levels == 3 else 0.0
        said = binary_response(p, trial, response, log_p, slope * sa2, phasic, surprise)
        out.append(-math.inf if top.diverged and said else said)
        outcome = trial["outcome"]
        if outcome is None or top.diverged:
            continue
        predicted = sa2 + (top.variance() if levels == 3 else math.exp(p["omega2"]))
        after = 1 / (1 / predicted + slope)
        step = after * (outcome - math.exp(log_p[1]))
        if levels == 3:
            top.learn(sa2, predicted, after + step**2)
        mu2, sa2, surprise = mu2 + step, after, -log_p[outcome]
    return out


def rw_belief(p: dict[str, float], trials: list[Trial], response: str = "unit_square") -> list[float]:
    belief, surprise = [0.5, 0.5], math.log(2)
    out = []
    for trial in trials:
        log_p = [math.log(one) for one in belief]
        out.append(binary_response(p, trial, response, log_p, 0.0, 0.0, surprise))
        outcome = trial["outcome"]
        if outcome is not None:
            surprise = -log_p[outcome]
            belief = [b + p["alpha"] * ((k == outcome) - b) for k, b in enumerate(belief)]
    return out


def hgf_continuous(
    p: dict[str, float],
    trials: list[Trial],
    update: str = "classic",
    response: str = "gaussian",
    **held: float | None,
) -> list[float]:
    usual = {"kappa1": 1.0, "mu2_0": 1.0, "sa2_0": 0.1}
    p = usual | {name: value for name, value in held.items() if value is not None} | p
    mu1, sa1 = p["mu1_0"], p["alpha"]
    top = Volatility(p["mu2_0"], p["sa2_0"], p["kappa1"], p["omega1"], p["omega2"], update)
    out = []
    for trial in trials:
        outcome, made = trial["outcome"], trial.get("prediction")
        predicted = sa1 + top.variance()
        if response == "bayes_optimal":
            said = 0.0 if outcome is None else log_normal_density(outcome, mu1, math.sqrt(predicted + p["alpha"]))
        else:
            said = 0.0 if made is None else log_normal_density(made, mu1, p["zeta"])
        out.append(-math.inf if top.diverged and said else said)
        if outcome is None or top.diverged:
            continue
        after = 1 / (1 / predicted + 1 / p["alpha"])
        step = after / p["alpha"] * (outcome - mu1)
        top.learn(sa1, predicted, after + step**2)
        mu1, sa1 = mu1 + step, after
    return out


def hmm_reversal(p: dict[str, float], trials: list[Trial], options: int = 2) -> list[float]:
    belief = [1 / options] * options
    out = []
    for trial in trials:
        choice, reward = trial["choice"], trial["reward"]
        if choice is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * b for b in belief])[choice])
        if reward is None:
            continue
        chance = [p["reward_good"] if option == choice else p["reward_bad"] for option in range(options)]
        joint = [b * (c if reward > 0.5 else 1 - c) for b, c in zip(belief, chance, strict=True)]
        known = [j / sum(joint) for j in joint]
        belief = [(1 - p["hazard"]) * k + p["hazard"] * (1 - k) / (options - 1) for k in known]
    return out


def change_point(
    p: dict[str, float],
    trials: list[Trial],
    noise: float | None = None,
    lambda_: float | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
) -> list[float]:
    low, high = limits
    noise = p["noise"] if noise is None else noise
    lambda_ = p["lambda_"] if lambda_ is None else lambda_
    belief, run = (low + high) / 2, 0.0
    out = []
    for trial in trials:
        outcome, made = trial["outcome"], trial["prediction"]
        sd = p["zeta"] if run else math.sqrt(p["zeta"] ** 2 + (high - low) ** 2 / 12)
        out.append(0.0 if made is None else log_normal_density(made, belief, sd))
        if outcome is None:
            continue
        if run == 0:
            belief, run = outcome, 1.0
            continue
        likelihood = math.exp(lambda_ * log_normal_density(outcome, belief, noise * math.sqrt(1 + 1 / run)))
        jumped = p["hazard"] * (high - low) ** -lambda_
        change = jumped / (jumped + (1 - p["hazard"]) * likelihood)
        belief += (1 + change * run) / (1 + run) * (outcome - belief)
        run = (run + 1) * (1 - change) + change
    return out


def binary(rng: np.random.Generator, n: int, response: str = "unit_square", **_: object) -> dict[str, np.ndarray]:
    columns = {"outcome": rng.integers(2, size=n)}
    if response in ("unit_square", "softmax", "unit_square_rt"):
        columns["choice"] = rng.integers(2, size=n)
    if "rt" in response:
        columns["rt"] = rng.lognormal(-0.7, 0.3, size=n)
    return columns


def continuous(rng: np.random.Generator, n: int, response: str = "gaussian", **_: object) -> dict[str, np.ndarray]:
    outcome = rng.normal(size=n)
    return (
        {"outcome": outcome} if response == "bayes_optimal" else {"outcome": outcome, "prediction": rng.normal(size=n)}
    )


def numbers(rng: np.random.Generator, n: int, **_: object) -> dict[str, np.ndarray]:
    return {"outcome": rng.uniform(size=n), "prediction": rng.uniform(size=n)}


def rewards(rng: np.random.Generator, n: int, options: int = 2) -> dict[str, np.ndarray]:
    return {"choice": rng.integers(options, size=n), "reward": rng.integers(2, size=n).astype(float)}


ALL_FREE = dict.fromkeys(("kappa2", "mu2_0", "sa2_0", "mu3_0", "sa3_0"))
CASES = {
    "hgf": Case(
        hgf,
        binary,
        (
            {},
            {"update": "ehgf", "response": "unit_square_rt", **ALL_FREE},
            {"levels": 2, "response": "log_rt"},
            {"response": "bayes_optimal"},
        ),
        diverges=True,
    ),
    "rw_belief": Case(rw_belief, binary, ({}, {"response": "softmax"})),
    "hgf_continuous": Case(
        hgf_continuous, continuous, ({}, {"update": "ehgf", "response": "bayes_optimal", "kappa1": None}), diverges=True
    ),
    "change_point": Case(change_point, numbers, ({}, {"noise": 10.0, "lambda_": 1.0, "limits": (0.0, 300.0)})),
    "hmm_reversal": Case(hmm_reversal, rewards, ({}, {"options": 3})),
}
