"""Regressions, trial by trial in plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.oracle.case import Case, Trial

Params = dict[str, Any]


def normal(y: float, mean: float, sd: float) -> float:
    return -((y - mean) ** 2) / (2 * sd**2) - math.log(sd) - math.log(2 * math.pi) / 2


def bernoulli(y: float, eta: float, _: float) -> float:
    return -math.log(1 + math.exp(-eta if y == 1 else eta))


def poisson(y: float, eta: float, _: float) -> float:
    return y * eta - math.exp(eta) - math.lgamma(y + 1)


DENSITY = {"gaussian": normal, "binomial": bernoulli, "poisson": poisson}


def weights(p: Params, predictors: int | list[str]) -> list[float]:
    return [float(b) for b in p["b"]] if isinstance(predictors, int) else [float(p[name]) for name in predictors]


def regression(
    p: Params, trials: list[Trial], family: str, predictors: int | list[str], lags: int, gamma: float, phi: float | None
) -> list[float]:
    b = weights(p, predictors)
    out = []
    for t, trial in enumerate(trials):
        rows = [trials[t - lag]["predictors"] for lag in range(lags + 1) if t >= lag]
        last = trials[t - 1]["y"] if phi is not None and t else 0.0
        if trial["y"] is None or last is None or any(row is None for row in rows):
            out.append(0.0)
            continue
        eta = sum(gamma**lag * sum(x * w for x, w in zip(row, b, strict=True)) for lag, row in enumerate(rows))
        out.append(DENSITY[family](trial["y"], eta + (phi or 0.0) * last, float(p.get("sigma", 1.0))))
    return out


def glm(p: Params, trials: list[Trial], predictors: int | list[str] = 3, family: str = "gaussian") -> list[float]:
    return regression(p, trials, family, predictors, 0, 1.0, None)


def logit(p: Params, trials: list[Trial], predictors: int | list[str] = 3) -> list[float]:
    return glm(p, trials, predictors, "binomial")


def poisson_glm(p: Params, trials: list[Trial], predictors: int | list[str] = 3) -> list[float]:
    return glm(p, trials, predictors, "poisson")


def glm_decay(
    p: Params, trials: list[Trial], predictors: int = 3, family: str = "gaussian", decay: str = "twostep"
) -> list[float]:
    lags = {"onestep": 1, "twostep": 2}[decay]
    return regression(p, trials, family, predictors, lags, float(p["gamma"]), None)


def logit_decay(p: Params, trials: list[Trial], predictors: int = 3, decay: str = "twostep") -> list[float]:
    return glm_decay(p, trials, predictors, "binomial", decay)


def glm_ar(p: Params, trials: list[Trial], predictors: int = 3) -> list[float]:
    return regression(p, trials, "gaussian", predictors, 0, 1.0, float(p["phi"]))


def design(rng: np.random.Generator, n: int, predictors: int | list[str] = 3) -> np.ndarray:
    columns = predictors if isinstance(predictors, int) else len(predictors)
    return np.column_stack([np.ones(n), rng.normal(size=(n, columns - 1))])


def numbers(rng: np.random.Generator, n: int, predictors: Any = 3, family: str = "gaussian", **_: str) -> Params:
    draw = {
        "gaussian": lambda: rng.normal(0.3, 1.5, n),
        "binomial": lambda: rng.integers(2, size=n),
        "poisson": lambda: rng.poisson(2.0, n),
    }
    return {"predictors": design(rng, n, predictors), "y": draw[family]()}


def answers(rng: np.random.Generator, n: int, predictors: Any = 3, **_: str) -> Params:
    return numbers(rng, n, predictors, "binomial")


def counts(rng: np.random.Generator, n: int, predictors: Any = 3) -> Params:
    return numbers(rng, n, predictors, "poisson")


CASES = {
    "glm": Case(
        glm,
        numbers,
        ({}, {"predictors": 2, "family": "poisson"}, {"predictors": ["level", "slope"], "family": "binomial"}),
    ),
    "logit": Case(logit, answers, ({}, {"predictors": 1})),
    "poisson": Case(poisson_glm, counts, ({}, {"predictors": 2})),
    "glm_decay": Case(glm_decay, numbers, ({}, {"decay": "onestep"}, {"predictors": 2, "family": "poisson"})),
    "logit_decay": Case(logit_decay, answers, ({}, {"decay": "onestep"})),
    "glm_ar": Case(glm_ar, numbers, ({}, {"predictors": 1})),
}
