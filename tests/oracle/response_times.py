"""Diffusion decision models from their textbook series and numerical integrals, trial by trial in plain Python."""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.case import Case, Trial

NODES, WEIGHTS = np.polynomial.legendre.leggauss(120)
DRIFTS = np.linspace(-8, 8, 161)
"""Standardised; a mean over them is as exact as the function is smooth."""


def seen_from(p: dict[str, float], c: int, v: float) -> tuple[float, float]:
    """Drift and start as seen from the bound of choice `c`."""
    return (-v, 1 - p["z"]) if c == 1 else (v, p["z"])


def density(p: dict[str, float], c: int, rt: np.ndarray, v: float) -> np.ndarray:
    """First passage through the bound of choice `c`: as many images or eigenfunctions as one likes (Navarro & Fuss, 2009)."""
    v, w = seen_from(p, c, v)
    a, sv = p["a"], p.get("sv", 0.0)
    time = np.asarray(rt, float) - p["t"]
    s = time / a**2
    image, wave = w + 2 * np.arange(-6, 7)[:, None], np.arange(1, 13)[:, None]
    # Both are multiplied by the exponential of w^2 / 2s, so that small densities keep their digits.
    with np.errstate(over="ignore", invalid="ignore"):
        soon = (image * np.exp((w**2 - image**2) / (2 * s))).sum(0) / np.sqrt(2 * math.pi * s**3)
        late = math.pi * (
            wave * np.sin(wave * math.pi * w) * np.exp(w**2 / (2 * s) - (wave * math.pi) ** 2 * s / 2)
        ).sum(0)
    drift = ((sv * a * w) ** 2 - 2 * v * a * w - v**2 * time) / (2 + 2 * sv**2 * time)
    log_f = (
        np.log(np.where(s < 0.5, soon, late)) - w**2 / (2 * s) + drift - np.log1p(sv**2 * time) / 2 - 2 * math.log(a)
    )
    return np.exp(log_f)


def reached(p: dict[str, float], c: int) -> float:
    """Probability of a choice at any time: the gambler's ruin, averaged over drifts."""

    def at(v: float) -> float:
        v, w = seen_from(p, c, v)
        h = 2 * v * p["a"]
        return 1 - w if abs(h) < 1e-9 else math.expm1(-h * (1 - w)) / math.expm1(-h) * math.exp(-h * w)

    if "sv" not in p:
        return at(p["v"])
    weights = np.exp(-(DRIFTS**2) / 2)
    return float(weights @ [at(p["v"] + p["sv"] * d) for d in DRIFTS] / weights.sum())


def by(p: dict[str, float], c: int, end: float) -> float:
    """Probability of a choice by a time: the integral of the density, on the scale of the logarithm of time."""
    if end <= p["t"]:
        return 0.0
    low, high = math.log(1e-7 * (end - p["t"])), math.log(end - p["t"])
    time = np.exp(low + (NODES + 1) / 2 * (high - low))
    return float(((high - low) / 2 * WEIGHTS * time) @ density(p, c, p["t"] + time, p["v"]))


def ddm(p: dict[str, float], trials: list[Trial], p_outlier: float = 0.0, coding: str = "response", **_) -> list[float]:
    out = []
    for trial in trials:
        c, rt = trial["choice"], trial["rt"]
        if c is None or (coding == "stimulus" and trial["stimulus"] is None):
            out.append(0.0)
            continue
        v = p["v"] if coding == "response" else p["v"] * (2 * trial["stimulus"] - 1)
        own, anything = (reached(p | {"v": v}, c), 0.5) if rt is None else (float(density(p, c, [rt], v)[0]), 1 / 20)
        out.append(math.log((1 - p_outlier) * own + p_outlier * anything))
    return out


def ddm_stimulus(p: dict[str, float], trials: list[Trial]) -> list[float]:
    return ddm(p, trials, coding="stimulus")


def gonogo(p: dict[str, float], trials: list[Trial], deadline: float = 2.0) -> list[float]:
    out = []
    for trial in trials:
        c, rt = trial["choice"], trial["rt"]
        if c is None:
            out.append(0.0)
        elif c == 1 and rt is not None:
            out.append(math.log(float(density(p, 1, [rt], p["v"])[0])))
        else:
            go = by(p, 1, deadline)
            out.append(math.log(go) if c == 1 else math.log1p(-go))
    return out


def timed(rng: np.random.Generator, n: int, longest: float = 3.0, stimulus: bool = False, **_) -> dict[str, np.ndarray]:
    # Nobody's non-decision time is so long.
    columns = {"choice": rng.integers(2, size=n), "rt": rng.uniform(1.4, longest, n)}
    return columns | ({"stimulus": rng.integers(2, size=n)} if stimulus else {})


def shifted_wald(p: dict[str, float], trials: list[Trial]) -> list[float]:
    out = []
    for trial in trials:
        if trial["rt"] is None:
            out.append(0.0)
            continue
        s = trial["rt"] - p["t"]
        out.append(math.log(p["a"]) - math.log(2 * math.pi * s**3) / 2 - (p["a"] - p["v"] * s) ** 2 / (2 * s))
    return out


def ex_gaussian(p: dict[str, float], trials: list[Trial]) -> list[float]:
    out = []
    for trial in trials:
        if trial["rt"] is None:
            out.append(0.0)
            continue
        # The density of the sum is its exponential part's after the normal part; what is below 0 is cut off.
        above = normal_below(p["mu"] / p["sigma"]) + math.exp(_log_tail(p, 0.0))
        out.append(_log_tail(p, trial["rt"]) - math.log(p["tau"]) - math.log(above))
    return out


def _log_tail(p: dict[str, float], rt: float) -> float:
    gap, ratio = rt - p["mu"], p["sigma"] / p["tau"]
    below = normal_below(gap / p["sigma"] - ratio)
    return math.log(below) + ratio**2 / 2 - gap / p["tau"] if below else -math.inf


def normal_below(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


def alone(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {"rt": rng.uniform(1.4, 3.0, n)}


CASES = {
    "ddm": Case(ddm, timed, settings=({}, {"sv": True, "p_outlier": 0.05})),
    "ddm_stimulus": Case(ddm_stimulus, lambda rng, n: timed(rng, n, stimulus=True)),
    "ddm_gonogo": Case(gonogo, lambda rng, n: timed(rng, n, longest=2.0)),
    "shifted_wald": Case(shifted_wald, alone),
    "ex_gaussian": Case(ex_gaussian, alone),
}
