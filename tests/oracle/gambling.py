"""The Iowa gambling task and the balloon task, trial by trial in plain Python."""

from __future__ import annotations

import functools
import math

import numpy as np

from tests.oracle.case import Case, Trial, log_softmax


def cards(rng: np.random.Generator, n: int, **_: float) -> dict[str, np.ndarray]:
    """Outcomes as shares of the largest one, 1250 points; some cards win as much as they lose."""
    gain = rng.choice([0.08, 0.04], size=n)
    return {
        "choice": rng.integers(4, size=n),
        "gain": gain,
        "loss": np.where(rng.random(n) < 0.2, -gain, -rng.choice([0.0, 0.0, 0.02, 0.28, 1.0], size=n)),
    }


def utility(p: dict[str, float], net: float) -> float:
    if net == 0:
        return 0.0
    return net ** p["alpha"] if net > 0 else -p["loss_aversion"] * (-net) ** p["alpha"]


def pvl(
    p: dict[str, float], trials: list[Trial], decay: bool = False, unit: float = 0.08, stays: bool = False
) -> list[float]:
    expected, habit = [0.0] * 4, [0.0] * 4
    theta = 3 ** p["cons"] - 1
    out = []
    for trial in trials:
        a, won, lost = trial["choice"], trial["gain"], trial["loss"]
        if a is None:
            out.append(0.0)
            continue
        both = [p["w"] * e + (1 - p["w"]) * h for e, h in zip(expected, habit, strict=True)] if stays else expected
        out.append(log_softmax([theta * one for one in both])[a])
        if won is None or lost is None:
            continue
        net = (won - abs(lost)) / unit
        if decay:
            expected = [p["A"] * one for one in expected]
            expected[a] += utility(p, net)
        else:
            expected[a] += p["A"] * (utility(p, net) - expected[a])
        if stays:
            habit = [p["K"] * one for one in habit]
            habit[a] += p["epP"] if net >= 0 else p["epN"]
    return out


def orl(p: dict[str, float], trials: list[Trial], unit: float = 0.08) -> list[float]:
    value, wins, recent = [0.0] * 4, [0.0] * 4, [0.0] * 4
    out = []
    for trial in trials:
        a, won, lost = trial["choice"], trial["gain"], trial["loss"]
        if a is None:
            out.append(0.0)
            continue
        sums = [value[k] + p["beta_f"] * wins[k] + p["beta_p"] * recent[k] for k in range(4)]
        out.append(log_softmax(sums)[a])
        if won is None or lost is None:
            continue
        net = (won - abs(lost)) / unit
        sign = (net > 0) - (net < 0)
        own, other = ("alpha_rew", "alpha_pun") if net >= 0 else ("alpha_pun", "alpha_rew")
        for k in range(4):
            if k == a:
                value[k] += p[own] * (net - value[k])
                wins[k] += p[own] * (sign - wins[k])
            else:
                wins[k] += p[other] * (-sign / 3 - wins[k])
        recent[a] = 1.0
        recent = [one / 3 ** p["K"] for one in recent]
    return out


def pumps(rng: np.random.Generator, n: int, **_: float) -> dict[str, np.ndarray]:
    choice = (rng.random(n) < 0.8).astype(int)
    return {"choice": choice, "burst": choice * (rng.random(n) < 0.2)}


def balloons(p: dict[str, float], trials: list[Trial], chance) -> list[float]:
    """The log-probability of each decision; `chance` is the advantage of a pump by what was seen so far."""
    here = earlier = survived = 0
    out = []
    for trial in trials:
        a = trial["choice"]
        if a is None:
            out.append(0.0)
            continue
        out.append(log_softmax([0.0, chance(p, here, earlier, survived)])[a])
        burst = a == 1 and trial["burst"] == 1
        here += a
        if a == 0 or burst:
            earlier, survived, here = earlier + here, survived + here - burst, 0
    return out


def target(p: dict[str, float], here: int, earlier: int, survived: int) -> float:
    bursts = 1 - (p["phi"] + p["eta"] * survived) / (1 + p["eta"] * earlier)
    # What the model holds to: the belief is never quite 0 or 1.
    bursts = min(max(bursts, 1e-12), 1 - 1e-12)
    return p["tau"] * (-p["gamma"] / math.log1p(-bursts) - (here + 1))


def mean_variance(p: dict[str, float], here: int, earlier: int, survived: int, win: float = 1.0) -> float:
    trust = math.exp(-p["xi"] * earlier)
    rate = (earlier - survived) / earlier if earlier else 0.0
    q = trust * p["psi"] + (1 - trust) * rate
    mean = (1 - q) * win - q * p["loss_aversion"] * here * win
    return p["tau"] * (mean + p["rho"] * q * (1 - q) * (win + p["loss_aversion"] * here * win) ** 2)


def boxes(rng: np.random.Generator, n: int, **_: float) -> dict[str, np.ndarray]:
    return {
        "red_boxes": rng.integers(1, 10, n),
        "points": rng.integers(2, 400, n),
        "ascending": rng.integers(2, size=n),
        "choice": rng.integers(2, size=n),
        "bet": rng.integers(5, size=n),
    }


def cambridge(p: dict[str, float], trials: list[Trial], unit: float = 100.0) -> list[float]:
    out = []
    for trial in trials:
        red, points, rising, colour, bet = (
            trial[name] for name in ("red_boxes", "points", "ascending", "choice", "bet")
        )
        total = 0.0
        if None not in (red, points, rising, colour):
            weights = [(1 - p["c"]) * (1 - red / 10) ** p["alpha"], p["c"] * (red / 10) ** p["alpha"]]
            total = math.log(weights[colour] / sum(weights))
            if bet is not None:
                q = red / 10 if colour == 1 else 1 - red / 10
                utility = []
                for k, percent in enumerate((5, 25, 50, 75, 95)):
                    staked = points * percent / 100
                    value = q * math.log(1 + (points + staked) / unit)
                    value += (1 - q) * math.log(1 + p["rho"] * (points - staked) / unit)
                    value -= p["beta"] * (k if rising == 1 else 4 - k) / 4
                    utility.append(p["gamma"] * value)
                total += log_softmax(utility)[bet]
        out.append(total)
    return out


CASES = {
    "pvl_delta": Case(pvl, cards, ({}, {"unit": 0.1})),
    "pvl_decay": Case(functools.partial(pvl, decay=True), cards),
    "vpp": Case(functools.partial(pvl, stays=True), cards),
    "orl": Case(orl, cards, ({}, {"unit": 0.1})),
    "bart": Case(functools.partial(balloons, chance=target), pumps),
    "cambridge_gambling": Case(cambridge, boxes, ({}, {"unit": 50.0})),
    "bart_ewmv": Case(functools.partial(balloons, chance=mean_variance), pumps),
}
