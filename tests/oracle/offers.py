"""Choices between two described offers, trial by trial in plain Python."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.oracle.case import Case, Trial

Params = dict[str, Any]


def choices(
    p: Params, trials: list[Trial], values: Callable[[Params, Trial], tuple[float, float]], columns: tuple[str, ...]
) -> list[float]:
    """Log-probabilities of logistic choices between what `values` says that the offers are worth."""
    out = []
    for trial in trials:
        if trial["choice"] is None or any(trial[column] is None for column in columns):
            out.append(0.0)
            continue
        first, second = values(p, trial)
        advantage = p["tau"] * (second - first) * (1 if trial["choice"] == 1 else -1)
        out.append(-math.log1p(math.exp(-advantage)) if advantage > -700 else advantage)
    return out


# -- delay, probability, social distance ----------------------------------------------------------------------------------


def discounted(p: Params, amount: float, delay: float, form: str) -> float:
    if form == "hyperbolic":
        return amount / (1 + p["k"] * delay)
    if form == "exponential":
        return amount * math.exp(-p["k"] * delay)
    if form == "quasi_hyperbolic":
        return amount if delay == 0 else amount * p["beta"] * p["delta"] ** delay
    if form == "myerson_green":
        return amount / (1 + p["k"] * delay) ** p["s"]
    if form == "rachlin":
        return amount / (1 + p["k"] * delay ** p["s"])
    return amount * math.exp(-((p["k"] * delay) ** p["s"]))


def delayed(p: Params, trials: list[Trial], form: str, immediate: bool = False) -> list[float]:
    def values(p: Params, trial: Trial) -> tuple[float, float]:
        sooner = 0.0 if immediate else trial["delay_sooner"]
        return (
            discounted(p, trial["amount_sooner"], sooner, form),
            discounted(p, trial["amount_later"], trial["delay_later"], form),
        )

    columns = ("amount_sooner", "amount_later", "delay_later", *(() if immediate else ("delay_sooner",)))
    return choices(p, trials, values, columns)


def risky(p: Params, trials: list[Trial]) -> list[float]:
    def values(p: Params, trial: Trial) -> tuple[float, float]:
        chance = trial["probability"]
        return trial["amount_certain"], trial["amount_risky"] / (1 + p["h"] * (1 - chance) / chance)

    return choices(p, trials, values, ("amount_certain", "amount_risky", "probability"))


SHARES = ("own_selfish", "other_selfish", "own_prosocial", "other_prosocial", "social_distance")


def social(p: Params, trials: list[Trial]) -> list[float]:
    def values(p: Params, trial: Trial) -> tuple[float, float]:
        weight = p["w_other"] / (1 + p["k"] * trial["social_distance"])
        own, other = ([trial[f"{who}_{which}"] for which in ("selfish", "prosocial")] for who in ("own", "other"))
        return own[0] + weight * other[0], own[1] + weight * other[1]

    return choices(p, trials, values, SHARES)


def less_others(p: Params, trials: list[Trial], power: int) -> list[float]:
    """Others get as much less as their social distance to some power costs."""

    def values(p: Params, trial: Trial) -> tuple[float, float]:
        cost = p["k"] * trial["social_distance"] ** power
        worth = []
        for which in ("selfish", "prosocial"):
            other = trial[f"other_{which}"]
            worth.append(trial[f"own_{which}"] + (other - cost if other > 0 else 0.0))
        return worth[0], worth[1]

    return choices(p, trials, values, SHARES)


# -- effort ---------------------------------------------------------------------------------------------------------------


def effortful(p: Params, trials: list[Trial], form: str, beneficiaries: bool = False) -> list[float]:
    def value(p: Params, trial: Trial, which: str) -> float:
        k = p["k"] if not beneficiaries else p["k_other"] if trial["beneficiary"] == 1 else p["k_self"]
        amount, effort = trial[f"amount_{which}"], trial[f"effort_{which}"]
        if form == "hyperbolic":
            return amount / (1 + k * effort)
        exponent = {"parabolic": 2.0, "linear": 1.0}.get(form) or p["s"]
        return amount - k * effort**exponent

    columns = ("amount_low", "effort_low", "amount_high", "effort_high", *(("beneficiary",) if beneficiaries else ()))
    return choices(p, trials, lambda p, trial: (value(p, trial, "low"), value(p, trial, "high")), columns)


# -- risk -----------------------------------------------------------------------------------------------------------------


def weighted(p: Params, q: float, weighting: str) -> float:
    if weighting == "tversky_kahneman":
        g = p["gamma"]
        return q**g / (q**g + (1 - q) ** g) ** (1 / g)
    if weighting == "prelec1":
        return math.exp(-((-math.log(q)) ** p["gamma"]))
    if weighting == "prelec2":
        return math.exp(-p["delta"] * (-math.log(q)) ** p["gamma"])
    return p["delta"] * q ** p["gamma"] / (p["delta"] * q ** p["gamma"] + (1 - q) ** p["gamma"])


def prospect(
    p: Params,
    trials: list[Trial],
    weighting: str = "none",
    own_exponent: bool = False,
    curvature: bool = True,
    loss_aversion: bool = True,
) -> list[float]:
    rho = p["rho"] if curvature else 1.0
    rho_loss = p["rho_loss"] if own_exponent else rho
    aversion = p["loss_aversion"] if loss_aversion else 1.0

    def utility(amount: float) -> float:
        return amount**rho if amount >= 0 else -aversion * (-amount) ** rho_loss

    def values(p: Params, trial: Trial) -> tuple[float, float]:
        weights = [0.5, 0.5]
        if weighting != "none":
            weights = [weighted(p, q, weighting) for q in (trial["probability"], 1 - trial["probability"])]
        gamble = weights[0] * utility(trial["gain"]) + weights[1] * utility(-abs(trial["loss"]))
        return utility(trial["certain"]), gamble

    columns = ("gain", "loss", "certain", *(() if weighting == "none" else ("probability",)))
    return choices(p, trials, values, columns)


def two_outcomes(p: Params, trials: list[Trial], cumulative: bool = True, own_weights: bool = True) -> list[float]:
    """Prospect theory of gambles with two outcomes: decision weights from the ranks of the outcomes on their side of 0."""

    def utility(x: float) -> float:
        return x ** p["alpha"] if x >= 0 else -p["loss_aversion"] * (-x) ** p["beta"]

    def weight(q: float, gain: bool) -> float:
        g = p["gamma"] if gain or not own_weights else p["gamma_loss"]
        return q**g / (q**g + max(1 - q, 0.0) ** g) ** (1 / g)

    def values(p: Params, trial: Trial) -> tuple[float, float]:
        gamble = [(trial[f"outcome{k}"], trial[f"probability{k}"]) for k in (1, 2)]
        total = 0.0
        for gain in (True, False):
            side = sorted((pair for pair in gamble if (pair[0] >= 0) == gain), key=lambda pair: -abs(pair[0]))
            so_far = 0.0
            for x, q in side:
                share = weight(so_far + q, gain) - (weight(so_far, gain) if so_far else 0.0)
                total += utility(x) * (share if cumulative else weight(q, gain))
                so_far += q
        return utility(trial["certain"]), total

    return choices(p, trials, values, ("outcome1", "outcome2", "probability1", "probability2", "certain"))


def lottery(p: Params, trials: list[Trial], kind: str, form: str = "linear") -> list[float]:
    def values(p: Params, trial: Trial) -> tuple[float, float]:
        amount, q, certain = trial["amount"], trial["probability"], trial["certain"]
        if form == "exponential":
            return certain ** p["alpha"], q ** (1 + p["beta"] * trial["ambiguity"]) * amount ** p["alpha"]
        if kind == "ambiguity":
            return certain ** p["alpha"], (q - p["beta"] * trial["ambiguity"] / 2) * amount ** p["alpha"]
        if kind == "crra":
            return certain ** (1 - p["r"]), q * amount ** (1 - p["r"])
        return certain, q * amount - p["b"] * q * (1 - q) * amount**2

    columns = ("amount", "probability", "certain", *(("ambiguity",) if kind == "ambiguity" else ()))
    return choices(p, trials, values, columns)


# -- data -----------------------------------------------------------------------------------------------------------------


def draw(ranges: dict[str, tuple[float, float]], zeros: tuple[str, ...], rng: np.random.Generator, n: int) -> Params:
    """Uniform columns, a third of `zeros` being exactly 0, and random choices."""
    out = {name: rng.uniform(*ends, n) for name, ends in ranges.items()}
    for name in zeros:
        out[name] = np.where(rng.random(n) < 1 / 3, 0.0, out[name])
    return out | {"choice": rng.integers(2, size=n)}


DELAYS = {"amount_sooner": (1, 20), "delay_sooner": (1, 30), "amount_later": (10, 50), "delay_later": (10, 200)}
EFFORT = {"amount_low": (1, 3), "effort_low": (0, 2), "amount_high": (3, 10), "effort_high": (1, 6)}
GAMBLE = {"gain": (1, 12), "loss": (-8, 8), "certain": (-2, 3)}
LOTTERY = {"amount": (5, 30), "probability": (0.1, 0.9), "certain": (1, 10)}


def offers(rng: np.random.Generator, n: int, immediate: bool = False, **_: Any) -> Params:
    found = draw(DELAYS, ("delay_sooner",), rng, n)
    if immediate:
        del found["delay_sooner"]
    return found


def tasks(rng: np.random.Generator, n: int, beneficiaries: bool = False, **_: Any) -> Params:
    found = draw(EFFORT, ("effort_low",), rng, n)
    return found | ({"beneficiary": rng.integers(2, size=n)} if beneficiaries else {})


def gambles(rng: np.random.Generator, n: int, weighting: str = "none", **_: Any) -> Params:
    chance = {} if weighting == "none" else {"probability": (0.05, 0.95)}
    return draw(GAMBLE | chance, ("loss", "certain"), rng, n)


def pairs_of_outcomes(rng: np.random.Generator, n: int, **_: Any) -> Params:
    q = rng.uniform(0.05, 0.9, n)
    found = draw({"outcome1": (-20, 20), "outcome2": (-20, 20), "certain": (-5, 5)}, ("outcome2", "certain"), rng, n)
    return found | {"probability1": q, "probability2": np.where(rng.random(n) < 0.7, 1 - q, (1 - q) / 2)}


def lotteries(kind: str) -> Callable[..., Params]:
    ranges = LOTTERY | ({"ambiguity": (0, 0.8)} if kind == "ambiguity" else {})
    return lambda rng, n, **_: draw(ranges, ("certain",), rng, n)


def between(*ends: tuple[str, float, float]) -> Callable[..., Params]:
    return functools.partial(draw, {column: (low, high) for column, low, high in ends}, ())


FORMS = ("hyperbolic", "exponential", "quasi_hyperbolic", "myerson_green", "rachlin", "constant_sensitivity")
WEIGHTINGS = ("tversky_kahneman", "prelec1", "prelec2", "linear_log_odds")

CASES = {
    **{
        f"dd_{form}": Case(
            functools.partial(delayed, form=form), offers, ({}, {"immediate": True}) if form == "rachlin" else ({},)
        )
        for form in FORMS
    },
    "pd_hyperbolic": Case(
        risky, between(("amount_certain", 1, 20), ("amount_risky", 10, 50), ("probability", 0.05, 1.0))
    ),
    "sd_hyperbolic": Case(social, between(*((name, 1, 40) for name in SHARES))),
    "sd_parabolic": Case(functools.partial(less_others, power=2), between(*((name, 1, 40) for name in SHARES))),
    "sd_linear": Case(functools.partial(less_others, power=1), between(*((name, 1, 40) for name in SHARES))),
    "prospect": Case(
        prospect, gambles, ({}, {"own_exponent": True}, *({"weighting": weighting} for weighting in WEIGHTINGS))
    ),
    "prospect_linear": Case(functools.partial(prospect, curvature=False), gambles),
    "prospect_no_loss_aversion": Case(functools.partial(prospect, loss_aversion=False), gambles),
    "prospect_cumulative": Case(
        two_outcomes, pairs_of_outcomes, ({}, {"own_weights": False}, {"own_weights": False, "cumulative": False})
    ),
    **{
        kind: Case(
            functools.partial(lottery, kind=kind),
            lotteries(kind),
            ({}, {"form": "exponential"}) if kind == "ambiguity" else ({},),
        )
        for kind in ("ambiguity", "crra", "mean_variance")
    },
    **{
        f"effort_{form}": Case(
            functools.partial(effortful, form=form), tasks, ({}, {"beneficiaries": True}) if form == "power" else ({},)
        )
        for form in ("parabolic", "linear", "hyperbolic", "power")
    },
}
