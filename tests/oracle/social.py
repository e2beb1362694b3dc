"""Other people, shocks, happiness and cards, trial by trial in plain Python."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tests.oracle.case import Case, Trial, log_softmax

Params = dict[str, Any]


def logistic(advantage: float, choice: int) -> float:
    return log_softmax([0.0, advantage])[choice]


def inequity(p: Params, trials: list[Trial]) -> list[float]:
    out = []
    for t in trials:
        if None in t.values():
            out.append(0.0)
            continue
        gap = t["own"] - t["other"]
        utility = t["own"] - (p["beta"] * gap if gap > 0 else -p["alpha"] * gap)
        out.append(logistic(p["tau"] * utility, t["choice"]))
    return out


def norms(
    p: Params,
    trials: list[Trial],
    kind: str,
    norm: float | None = 10.0,
    strength: float = 4.0,
    updated_first: bool = True,
) -> list[float]:
    out, n, norm = [], strength, p["norm0"] if norm is None else norm
    for t in trials:
        if t["offer"] is None:
            out.append(0.0)
            continue
        before, n = norm, n + 1
        norm += (t["offer"] - norm) * (1 / n if kind == "bayes" else p["epsilon"])
        gap = t["offer"] - (norm if updated_first else before)
        utility = t["offer"] + p["alpha"] * min(gap, 0.0)
        if kind == "bayes":
            utility -= p["beta"] * max(gap, 0.0)
        out.append(0.0 if t["choice"] is None else logistic(p["tau"] * utility, t["choice"]))
    return out


def peers(p: Params, trials: list[Trial]) -> list[float]:
    out = []
    for t in trials:
        if None in t.values():
            out.append(0.0)
            continue
        worth = {
            kind: t["probability"] * t[f"{kind}_high"] ** p["rho"]
            + (1 - t["probability"]) * t[f"{kind}_low"] ** p["rho"]
            for kind in ("safe", "risky")
        }
        advantage = worth["risky"] - worth["safe"] + p["ocu"] * t["peers"]
        out.append(logistic(p["tau"] * advantage, t["choice"]))
    return out


def shocks(p: Params, trials: list[Trial]) -> list[float]:
    out, chance = [], 0.5
    for t in trials:
        if t["magnitude0"] is None or t["magnitude1"] is None or t["choice"] is None:
            out.append(0.0)
            continue
        felt = min(max(p["gamma"] * (chance - 0.5) + 0.5, 0.0), 1.0)
        harm = [felt * t["magnitude0"], (1 - felt) * t["magnitude1"]]
        out.append(log_softmax([-p["tau"] * one for one in harm])[t["choice"]])
        if t["shocked"] is not None:
            chance += p["alpha"] * ((1 if t["shocked"] == 0 else 0) - chance)
    return out


def mood(p: Params, trials: list[Trial]) -> list[float]:
    out, past = [], []
    worth = lambda x: x ** p["rho"] if x >= 0 else -p["loss_aversion"] * (-x) ** p["rho"]  # noqa: E731
    for t in trials:
        total = 0.0
        shown = None not in (t["gain"], t["loss"], t["certain"])
        if shown and t["choice"] is not None:
            gamble = 0.5 * worth(t["gain"]) + 0.5 * worth(t["loss"])
            total += logistic(p["tau"] * (gamble - worth(t["certain"])), t["choice"])
            if t["outcome"] is not None:
                expected = (t["gain"] + t["loss"]) / 2
                past.append((0.0, expected, t["outcome"] - expected) if t["choice"] == 1 else (t["certain"], 0.0, 0.0))
                if t["happiness"] is not None:
                    mean = p["w0"]
                    for k, name in enumerate(("w_certain", "w_ev", "w_rpe")):
                        mean += p[name] * sum(p["gamma"] ** j * event[k] for j, event in enumerate(reversed(past)))
                    z = (t["happiness"] - mean) / p["sigma"]
                    total -= z * z / 2 + math.log(p["sigma"]) + math.log(2 * math.pi) / 2
        out.append(total)
    return out


NAMES = ("match_colour", "match_form", "match_number")


def cards(p: Params, trials: list[Trial], floor: float = 0.001) -> list[float]:
    out, a = [], [1 / 3] * 3
    for t in trials:
        if t["choice"] is None or any(t[name] is None for name in NAMES):
            out.append(0.0)
            continue
        weights = [one ** p["d"] for one in a]
        fits = [t[name] == t["choice"] for name in NAMES]
        chance = sum(w for w, fit in zip(weights, fits, strict=True) if fit) / sum(weights)
        out.append(math.log(floor / 4 + (1 - floor) * chance))
        if t["correct"] is None:
            continue
        told = [one if fit == (t["correct"] == 1) else 0.0 for one, fit in zip(a, fits, strict=True)]
        if sum(told) > 0:
            rate = p["r"] if t["correct"] == 1 else p["p"]
            a = [(1 - rate) * one + rate * s / sum(told) for one, s in zip(a, told, strict=True)]
    return out


def divisions(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {
        "own": rng.integers(1, 14, n) + 0.0,
        "other": rng.integers(5, 18, n) + 0.5,
        "choice": rng.integers(2, size=n),
    }


def offers(rng: np.random.Generator, n: int, **_: float) -> dict[str, np.ndarray]:
    return {"offer": rng.integers(1, 14, n) + 0.25, "choice": rng.integers(2, size=n)}


def gambles(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    low, high = {"safe": (8, 10), "risky": (1, 3)}, {"safe": (11, 13), "risky": (20, 25)}
    ends = {f"{kind}_low": rng.uniform(*low[kind], n) for kind in low}
    ends |= {f"{kind}_high": rng.uniform(*high[kind], n) for kind in high}
    more = {"probability": rng.uniform(0.2, 0.8, n), "peers": rng.integers(-1, 2, n), "choice": rng.integers(2, size=n)}
    return ends | more


def threats(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    sizes = {f"magnitude{k}": rng.integers(1, 20, n) / 2 for k in range(2)}
    return sizes | {"shocked": rng.integers(2, size=n), "choice": rng.integers(2, size=n)}


def flips(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    gain, loss, certain = rng.uniform(1, 10, n), rng.uniform(-6, 0, n), rng.uniform(-2, 2, n)
    choice = rng.integers(2, size=n)
    outcome = np.where(choice == 1, np.where(rng.random(n) < 0.5, gain, loss), certain)
    return {
        "gain": gain,
        "loss": loss,
        "certain": certain,
        "choice": choice,
        "outcome": outcome,
        "happiness": rng.normal(size=n),
    }


def piles(rng: np.random.Generator, n: int, **_: float) -> dict[str, np.ndarray]:
    where = rng.integers(4, size=(3, n))
    return dict(zip(NAMES, where, strict=True)) | {
        "choice": rng.integers(4, size=n),
        "correct": rng.integers(2, size=n),
    }


CASES = {
    "ultimatum_fehr_schmidt": Case(inequity, divisions),
    "ultimatum_bayes": Case(functools.partial(norms, kind="bayes"), offers, ({}, {"norm": 5.0, "strength": 1.0})),
    "ultimatum_delta": Case(
        functools.partial(norms, kind="delta"), offers, ({}, {"updated_first": False}, {"norm": None})
    ),
    "peer_influence": Case(peers, gambles),
    "aversive": Case(shocks, threats),
    "happiness": Case(mood, flips),
    "card_sorting": Case(cards, piles, ({}, {"floor": 0.05})),
}
