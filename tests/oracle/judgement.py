"""Counts, ratings, signal detection and confidence, trial by trial in plain Python and SciPy."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from scipy import stats

from tests.oracle.case import Case, Trial

Params = dict[str, Any]
Phi = stats.norm.cdf


def eta(p: Params, trial: Trial, predictors: Any) -> float:
    b = p["b"] if isinstance(predictors, int) else [p[name] for name in predictors]
    return sum(float(x) * float(w) for x, w in zip(trial["predictors"], b, strict=True))


def each(p: Params, trials: list[Trial], needs: tuple[str, ...], term: Any) -> list[float]:
    return [0.0 if any(trial[name] is None for name in needs) else float(term(p, trial)) for trial in trials]


def with_predictors(needs: tuple[str, ...], predictors: Any) -> tuple[str, ...]:
    return needs if predictors == 0 else (*needs, "predictors")


# -- counts and ratings ---------------------------------------------------------------------------------------------------


def binomial(p: Params, trials: list[Trial], predictors: Any = 0) -> list[float]:
    def term(p: Params, t: Trial) -> float:
        chance = p["p"] if predictors == 0 else 1 / (1 + math.exp(-eta(p, t, predictors)))
        return (
            math.log(math.comb(int(t["n"]), int(t["k"])))
            + t["k"] * math.log(chance)
            + (t["n"] - t["k"]) * math.log(1 - chance)
        )

    return each(p, trials, with_predictors(("n", "k"), predictors), term)


def negative_binomial(p: Params, trials: list[Trial], predictors: Any = 0) -> list[float]:
    def term(p: Params, t: Trial) -> float:
        mu, size = p["mu"] if predictors == 0 else math.exp(eta(p, t, predictors)), p["size"]
        return stats.nbinom.logpmf(t["y"], size, size / (size + mu))

    return each(p, trials, with_predictors(("y",), predictors), term)


def beta_rating(p: Params, trials: list[Trial], predictors: Any = 0) -> list[float]:
    def term(p: Params, t: Trial) -> float:
        mu = p["mu"] if predictors == 0 else 1 / (1 + math.exp(-eta(p, t, predictors)))
        return stats.beta.logpdf(t["rating"], mu * p["phi"], (1 - mu) * p["phi"])

    return each(p, trials, with_predictors(("rating",), predictors), term)


def ordinal(p: Params, trials: list[Trial], below: Any, levels: int = 5, predictors: Any = 0) -> list[float]:
    def term(p: Params, t: Trial) -> float:
        at = 0.0 if predictors == 0 else eta(p, t, predictors)
        ends = [-math.inf, *p["threshold"], math.inf]
        k = t["rating_level"]
        low, high = ends[k] - at, ends[k + 1] - at
        # The difference of the two smaller of the tails.
        return math.log(below(high) - below(low) if low + high < 0 else below(-low) - below(-high))

    return each(p, trials, with_predictors(("rating_level",), predictors), term)


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


# -- detection ------------------------------------------------------------------------------------------------------------


def sdt(p: Params, trials: list[Trial]) -> list[float]:
    def term(p: Params, t: Trial) -> float:
        z = (p["d_prime"] / 2 if t["signal"] == 1 else -p["d_prime"] / 2) - p["criterion"]
        return math.log(Phi(z if t["choice"] == 1 else -z))

    return each(p, trials, ("signal", "choice"), term)


def two_afc(p: Params, trials: list[Trial]) -> list[float]:
    def term(p: Params, t: Trial) -> float:
        z = (1 if t["signal"] == 1 else -1) * p["d_prime"] / math.sqrt(2) - p["bias"]
        return math.log(Phi(z if t["choice"] == 1 else -z))

    return each(p, trials, ("signal", "choice"), term)


def sdt_rating(p: Params, trials: list[Trial], levels: int = 6) -> list[float]:
    def term(p: Params, t: Trial) -> float:
        middle, sd = (p["d_prime"] / 2, p.get("sigma", 1.0)) if t["signal"] == 1 else (-p["d_prime"] / 2, 1.0)
        ends = [-math.inf, *p["criterion"], math.inf]
        low, high = ((ends[t["rating_level"] + k] - middle) / sd for k in (0, 1))
        return math.log(Phi(high) - Phi(low) if low + high < 0 else Phi(-low) - Phi(-high))

    return each(p, trials, ("signal", "rating_level"), term)


def psychometric(p: Params, trials: list[Trial], form: str, guess: float | None = None) -> list[float]:
    def term(p: Params, t: Trial) -> float:
        x, low = t["intensity"], p["guess"] if guess is None else guess
        if form == "weibull":
            up = 1 - math.exp(-((x / p["threshold"]) ** p["slope"]))
        else:
            z = p["slope"] * (x - p["threshold"])
            up = Phi(z) if form == "normal" else logistic(z)
        chance = low + (1 - low - p["lapse"]) * up
        return math.log(chance if t["choice"] == 1 else 1 - chance)

    return each(p, trials, ("intensity", "choice"), term)


def meta_d(p: Params, trials: list[Trial], levels: int = 4, held: str = "relative") -> list[float]:
    out = []
    for t in trials:
        total, sign = 0.0, 1 if t["signal"] == 1 else -1
        if t["signal"] is not None and t["choice"] is not None:
            z = sign * p["d_prime"] / 2 - p["criterion"]
            total += math.log(Phi(z if t["choice"] == 1 else -z))
            if t["confidence_level"] is not None:
                total += confidence(p, sign, t["choice"], t["confidence_level"], held)
        out.append(total)
    return out


def confidence(p: Params, sign: int, choice: int, level: int, held: str) -> float:
    meta = p["m_ratio"] * p["d_prime"]
    border = p["criterion"] * (p["m_ratio"] if held == "relative" else 1.0)
    ways = p["steps1"] if choice == 1 else p["steps0"]
    outward = 1 if choice == 1 else -1
    ends = [border + outward * sum(ways[:k]) for k in range(len(ways) + 1)] + [outward * math.inf]
    inside = sorted(outward * (end - sign * meta / 2) for end in (ends[level], ends[level + 1]))
    return math.log(Phi(-inside[0]) - Phi(-inside[1])) - math.log(Phi(-outward * (border - sign * meta / 2)))


# -- data -----------------------------------------------------------------------------------------------------------------


def design(rng: np.random.Generator, n: int, predictors: Any) -> dict[str, np.ndarray]:
    columns = predictors if isinstance(predictors, int) else len(predictors)
    return {"predictors": rng.normal(size=(n, columns))} if columns else {}


def successes(rng: np.random.Generator, n: int, predictors: Any = 0) -> dict[str, np.ndarray]:
    of = rng.integers(5, 12, n)
    return {"n": of, "k": rng.binomial(of, 0.6), **design(rng, n, predictors)}


def counts(rng: np.random.Generator, n: int, predictors: Any = 0) -> dict[str, np.ndarray]:
    return {"y": rng.poisson(rng.gamma(2.0, 1.5, n)), **design(rng, n, predictors)}


def shares(rng: np.random.Generator, n: int, predictors: Any = 0) -> dict[str, np.ndarray]:
    return {"rating": rng.uniform(0.05, 0.95, n), **design(rng, n, predictors)}


def categories(rng: np.random.Generator, n: int, levels: int = 5, predictors: Any = 0) -> dict[str, np.ndarray]:
    return {"rating_level": rng.integers(levels, size=n), **design(rng, n, predictors)}


def yes_no(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {"signal": rng.integers(2, size=n), "choice": rng.integers(2, size=n)}


def rated(rng: np.random.Generator, n: int, levels: int = 6) -> dict[str, np.ndarray]:
    return {"signal": rng.integers(2, size=n), "rating_level": rng.integers(levels, size=n)}


def intensities(rng: np.random.Generator, n: int, guess: float | None = None) -> dict[str, np.ndarray]:
    return {"intensity": rng.uniform(0.2, 3.0, n), "choice": rng.integers(2, size=n)}


def confident(rng: np.random.Generator, n: int, levels: int = 4, **_: str) -> dict[str, np.ndarray]:
    return yes_no(rng, n) | {"confidence_level": rng.integers(levels, size=n)}


CASES = {
    "binomial": Case(binomial, successes, ({}, {"predictors": 2})),
    "negative_binomial": Case(negative_binomial, counts, ({}, {"predictors": 2})),
    "beta_rating": Case(beta_rating, shares, ({}, {"predictors": ["slope"]})),
    "ordinal_logit": Case(functools.partial(ordinal, below=logistic), categories, ({}, {"levels": 3, "predictors": 2})),
    "ordinal_probit": Case(functools.partial(ordinal, below=Phi), categories, ({}, {"predictors": ["slope"]})),
    "sdt": Case(sdt, yes_no),
    "sdt_rating": Case(sdt_rating, rated, ({}, {"levels": 4})),
    "sdt_rating_unequal": Case(sdt_rating, rated),
    "two_afc": Case(two_afc, yes_no),
    "psychometric": Case(functools.partial(psychometric, form="logistic"), intensities, ({}, {"guess": 0.5})),
    "psychometric_normal": Case(functools.partial(psychometric, form="normal"), intensities),
    "psychometric_weibull": Case(functools.partial(psychometric, form="weibull"), intensities, ({}, {"guess": 0.25})),
    "meta_d": Case(meta_d, confident, ({}, {"held": "absolute"})),
}
