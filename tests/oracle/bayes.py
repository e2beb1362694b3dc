"""Belief updating, trial by trial in plain Python."""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.case import Case, Trial


def ponds(rng: np.random.Generator, n: int, ponds: int = 3) -> dict[str, np.ndarray]:
    return {"observation": rng.integers(ponds, size=n), "choice": rng.integers(ponds, size=n)}


def bayes(p: dict[str, float], trials: list[Trial], ponds: int = 3) -> list[float]:
    belief = [1 / ponds] * ponds
    out = []
    for trial in trials:
        seen, choice = trial["observation"], trial["choice"]
        if seen is None:
            out.append(0.0)
            continue
        chance = [p["lambda1"] if pond == seen else (1 - p["lambda1"]) / (ponds - 1) for pond in range(ponds)]
        joint = [b * c for b, c in zip(belief, chance, strict=True)]
        belief = [j / sum(joint) for j in joint]
        out.append(0.0 if choice is None else math.log(belief[choice]))
    return out


CASES = {"bayes": Case(bayes, ponds, ({}, {"ponds": 4}))}
