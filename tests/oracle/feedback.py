"""Counterfactual learning, associability, attraction, wins beside losses, and pairs, trial by trial in plain Python."""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.case import Case, Trial, log_softmax
from tests.oracle.rl import bandit


def both_outcomes(rng: np.random.Generator, n: int, **_: str) -> dict[str, np.ndarray]:
    return bandit(rng, n) | {"outcome_unchosen": rng.integers(2, size=n)}


def one_outcome(rng: np.random.Generator, n: int, **_: str) -> dict[str, np.ndarray]:
    return bandit(rng, n)


def fictive(p: dict[str, float], trials: list[Trial], unchosen: str = "shown", rates: str = "outcome") -> list[float]:
    value = [0.5, 0.5]
    out = []
    for trial in trials:
        a, r = trial["choice"], trial["reward"]
        if a is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * v for v in value])[a])
        if r is None:
            continue
        would = {"shown": trial.get("outcome_unchosen"), "mirrored": 1 - r, "negative": -r}[unchosen]
        chosen_error = r - value[a]
        other_error = None if would is None else would - value[1 - a]
        if rates == "outcome":
            value[a] += p["alpha"] * chosen_error
        elif rates == "sign":
            value[a] += p["alpha_pos" if chosen_error >= 0 else "alpha_neg"] * chosen_error
        else:
            value[a] += p["alpha_conf" if chosen_error >= 0 else "alpha_disc"] * chosen_error
        if other_error is None:
            continue
        good = other_error >= 0
        name = {
            "outcome": "alpha_unchosen",
            "sign": "alpha_unchosen_pos" if good else "alpha_unchosen_neg",
            "confirmation": "alpha_disc" if good else "alpha_conf",
        }[rates]
        value[1 - a] += p[name] * other_error
    return out


def mirrored(p: dict[str, float], trials: list[Trial], rates: str = "outcome") -> list[float]:
    return fictive(p, trials, "mirrored", rates)


def confirmation(p: dict[str, float], trials: list[Trial]) -> list[float]:
    return fictive(p, trials, "shown", "confirmation")


def pearce_hall(p: dict[str, float], trials: list[Trial], options: int = 2) -> list[float]:
    value, associability = [0.5] * options, [1.0] * options
    w = p.get("weight", 1.0)
    out = []
    for trial in trials:
        a, r = trial["choice"], trial["reward"]
        if a is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * v for v in value])[a])
        if r is None:
            continue
        surprise = r - value[a]
        value[a] += (w * associability[a] + (1 - w)) * p["kappa"] * surprise
        associability[a] = p["eta"] * abs(surprise) + (1 - p["eta"]) * associability[a]
    return out


def ewa(p: dict[str, float], trials: list[Trial], options: int = 2, start: float = 0.0) -> list[float]:
    value, experience = [start] * options, [0.0] * options
    out = []
    for trial in trials:
        a, r = trial["choice"], trial["reward"]
        if a is None:
            out.append(0.0)
            continue
        out.append(log_softmax([p["beta"] * v for v in value])[a])
        if r is None:
            continue
        before = experience[a]
        experience[a] = before * p["rho"] + 1
        value[a] = (value[a] * p["phi"] * before + r) / experience[a]
    return out


def wins_losses(rng: np.random.Generator, n: int, options: int = 4, **_: bool) -> dict[str, np.ndarray]:
    return {
        "choice": rng.integers(options, size=n),
        "gain": rng.integers(2, size=n),
        "loss": -rng.integers(2, size=n) * rng.choice([1.0, 0.5], size=n),
    }


def reward_punishment(p: dict[str, float], trials: list[Trial], options: int = 4) -> list[float]:
    pleasant, painful = [0.0] * options, [0.0] * options
    lapse, decay = p.get("lapse", 0.0), p.get("decay", 0.0)
    out = []
    for trial in trials:
        a, won, lost = trial["choice"], trial["gain"], trial["loss"]
        if a is None:
            out.append(0.0)
            continue
        meant = math.exp(log_softmax([good - bad for good, bad in zip(pleasant, painful, strict=True)])[a])
        out.append(math.log((1 - lapse) * meant + lapse / options))
        if won is None or lost is None:
            continue
        for k in range(options):
            if k == a:
                pleasant[k] += p["alpha_rew"] * (p["rho_rew"] * won - pleasant[k])
                painful[k] += p["alpha_pun"] * (p["rho_pun"] * abs(lost) - painful[k])
            else:
                pleasant[k] -= decay * pleasant[k]
                painful[k] -= decay * painful[k]
    return out


def stimulus_pairs(rng: np.random.Generator, n: int, transfer: bool = False) -> dict[str, np.ndarray]:
    shown = rng.permuted(np.tile(np.arange(6), (n, 1)), axis=1)[:, :2]
    phase = {"phase": (np.arange(n) >= n // 2).astype(int)} if transfer else {}
    return phase | {
        "option_left": shown[:, 0],
        "option_right": shown[:, 1],
        "choice": rng.integers(2, size=n),
        "reward": rng.integers(2, size=n),
    }


def probabilistic_selection(p: dict[str, float], trials: list[Trial], transfer: bool = False) -> list[float]:
    value = [0.5] * 6
    out = []
    for trial in trials:
        pair, a, r = (trial["option_left"], trial["option_right"]), trial["choice"], trial["reward"]
        phase = trial["phase"] if transfer else 0
        if a is None or phase is None or None in pair:
            out.append(0.0)
            continue
        strict = p["beta_transfer"] if phase == 1 else p["beta"]
        out.append(log_softmax([strict * value[stimulus] for stimulus in pair])[a])
        if r is None or phase == 1:
            continue
        surprise = r - value[pair[a]]
        value[pair[a]] += surprise * p["alpha_gain" if surprise >= 0 else "alpha_loss"]
    return out


CASES = {
    "fictive": Case(fictive, both_outcomes, ({}, {"unchosen": "shown", "rates": "sign"})),
    "fictive_mirrored": Case(mirrored, one_outcome, ({}, {"rates": "sign"})),
    "confirmation_bias": Case(confirmation, both_outcomes),
    "pearce_hall": Case(pearce_hall, bandit, ({}, {"options": 3})),
    "pearce_hall_hybrid": Case(pearce_hall, bandit),
    "ewa": Case(ewa, bandit, ({}, {"options": 3, "start": 0.2})),
    "reward_punishment": Case(reward_punishment, wins_losses),
    "reward_punishment_lapse": Case(reward_punishment, wins_losses),
    "reward_punishment_decay_lapse": Case(reward_punishment, wins_losses),
    "probabilistic_selection": Case(probabilistic_selection, stimulus_pairs, ({}, {"transfer": True})),
}
