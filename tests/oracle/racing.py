"""Races from the distributions of one accumulator given its start, averaged over starts and times by many nodes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from tests.oracle.case import Case, Trial

STARTS, START_WEIGHTS = np.polynomial.legendre.leggauss(80)
PANEL, PANEL_WEIGHTS = np.polynomial.legendre.leggauss(6)
EDGES = np.linspace(-14, 18, 641)
"""Of the logarithm of time, for probabilities of choices."""
Both = tuple[np.ndarray, np.ndarray]


def normal(z: np.ndarray) -> np.ndarray:
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def over_starts(B: float, A: float, one: Callable[[np.ndarray], Both]) -> Both:
    """Density and survivor, each a mean over distances from B to A + B."""
    k = (B + A * (STARTS + 1) / 2)[:, None]
    density, left = one(k)
    return START_WEIGHTS @ density / 2, START_WEIGHTS @ left / 2


def ballistic(p: dict, v: float, time: np.ndarray) -> Both:
    """A slope, normal and above 0, is the distance over the time (Brown & Heathcote, 2008)."""

    def one(k: np.ndarray) -> Both:
        share = ndtr(v)
        too_slow = ndtr(k / time - v) - ndtr(-v) if v > 0 else share - ndtr(v - k / time)
        return k / time**2 * normal(k / time - v) / share, too_slow / share

    return over_starts(p["B"], p["A"], one)


def diffusing(p: dict, v: float, time: np.ndarray) -> Both:
    """An inverse Gaussian time for each start (Tillman et al., 2020)."""

    def one(k: np.ndarray) -> Both:
        root = np.sqrt(time)
        density = k / root**3 * normal((k - v * time) / root)
        return density, ndtr((k - v * time) / root) - np.exp(2 * v * k) * ndtr(-(k + v * time) / root)

    return over_starts(p["B"], p["A"], one)


def log_normal(p: dict, m: float, time: np.ndarray) -> Both:
    z = (np.log(time) - m) / p["s"]
    return normal(z) / (p["s"] * time), ndtr(-z)


RACERS = {"lba": (ballistic, "v"), "rdm": (diffusing, "v"), "lnr": (log_normal, "m")}


def first(kind: str, p: dict, drives: tuple[float, ...], c: int, time: np.ndarray) -> np.ndarray:
    """Density of accumulator `c` finishing before all others."""
    parts = [RACERS[kind][0](p, drive, time) for drive in drives]
    return parts[c][0] * np.prod([left for k, (_, left) in enumerate(parts) if k != c], axis=0)


@functools.lru_cache(maxsize=64)
def ever(kind: str, known: tuple[tuple[str, float], ...], drives: tuple[float, ...], c: int) -> float:
    half = np.diff(EDGES)[:, None] / 2
    time = np.exp(EDGES[:-1, None] + half * (PANEL + 1)).ravel()
    with np.errstate(over="ignore", under="ignore"):
        return float((half * PANEL_WEIGHTS).ravel() @ (time * first(kind, dict(known), drives, c, time)))


def race(kind: str, p: dict, trials: list[Trial], p_outlier: float = 0.0, options: int = 2, coding: str = "response"):
    drive = p[RACERS[kind][1]]
    known = tuple((name, value) for name, value in p.items() if name != RACERS[kind][1])
    out = []
    for trial in trials:
        c, rt = trial["choice"], trial["rt"]
        if c is None or (coding == "stimulus" and trial["stimulus"] is None):
            out.append(0.0)
            continue
        if coding == "stimulus":
            drives = tuple(float(drive[int(k == trial["stimulus"])]) for k in range(options))
        else:
            drives = tuple(map(float, drive))
        own, anything = (
            (ever(kind, known, drives, c), 1 / options)
            if rt is None
            else (float(first(kind, p, drives, c, np.array([rt - p["t"]]))[0]), 1 / (10 * options))
        )
        out.append(math.log((1 - p_outlier) * own + p_outlier * anything))
    return out


def timed(rng: np.random.Generator, n: int, options: int = 2, coding: str = "response", **_) -> dict[str, np.ndarray]:
    # Nobody's non-decision time is so long.
    columns = {"choice": rng.integers(options, size=n), "rt": rng.uniform(1.0, 2.0, n)}
    return columns | ({"stimulus": rng.integers(options, size=n)} if coding == "stimulus" else {})


CASES = {
    "lba": Case(functools.partial(race, "lba"), timed),
    "rdm": Case(functools.partial(race, "rdm"), timed),
    "lnr": Case(
        functools.partial(race, "lnr"), timed, settings=({}, {"options": 3, "coding": "stimulus", "p_outlier": 0.05})
    ),
}
