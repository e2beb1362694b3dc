"""Active inference in plain Python: filters over joint states, and policies one at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from tests.oracle.case import Case, Trial, log_softmax

TINY = 2.220446049250313e-16


def log(x: float) -> float:
    return math.log(max(x, TINY))


def information_gain_and_utility(belief, A, C) -> float:
    """Of one predicted belief (a list over joint states); ``A[m][o][s]``."""
    total = 0.0
    for likelihood, preference in zip(A, C, strict=True):
        for row, worth in zip(likelihood, preference, strict=True):
            chance = sum(a * q for a, q in zip(row, belief, strict=True))
            total += chance * worth - chance * log(chance)
            total += sum(q * a * log(a) for a, q in zip(row, belief, strict=True))
    return total


def move(belief, T) -> list[float]:
    """``T[next][now]``."""
    return [sum(t * q for t, q in zip(row, belief, strict=True)) for row in T]


def action_log_probs(belief, A, T, C, horizon: int, gamma: float = 1.0, alpha: float = 1.0) -> list[float]:
    """Log-probability of each action: policies one after the other, then summed by their first action."""
    policies = list(itertools.product(range(len(T)), repeat=horizon))
    scores = []
    for policy in policies:
        q, score = belief, 0.0
        for action in policy:
            q = move(q, T[action])
            score += information_gain_and_utility(q, A, C)
        scores.append(alpha * gamma * score)
    log_p = log_softmax(scores)
    return [
        math.log(sum(math.exp(v) for v, policy in zip(log_p, policies, strict=True) if policy[0] == u))
        for u in range(len(T))
    ]


def observe(belief, A, outcomes: Sequence[int | None]) -> list[float]:
    joint = list(belief)
    for likelihood, o in zip(A, outcomes, strict=True):
        if o is not None:
            joint = [q * max(a, TINY) for q, a in zip(joint, likelihood[o], strict=True)]
    return [q / sum(joint) for q in joint]


def act(belief, T, action: int | None, log_p) -> list[float]:
    """The belief after an action; after one that is not known, the mixture over the agent's own policy."""
    weights = [math.exp(v) for v in log_p] if action is None else [float(u == action) for u in range(len(T))]
    moved = [move(belief, t) for t in T]
    return [sum(w * m[s] for w, m in zip(weights, moved, strict=True)) for s in range(len(belief))]


# -- the T-maze: joint state 2 * place + side --------------------------------------------------------------------------

PATHS = {(0, 3), (3, 0), (0, 4), (4, 0), (4, 1), (1, 4), (4, 2), (2, 4)}


def maze(r: float, validity: float, preference: float):
    states = [(place, side) for place in range(5) for side in range(2)]

    def outcome(o, place, side):
        if place not in (1, 2):
            return float(o == 0)
        better = place - 1 == side
        return [0.0, r if better else 1 - r, 1 - r if better else r][o]

    def cue(o, place, side):
        if place != 3:
            return float(o == 0)
        return [0.0, validity if side == 0 else 1 - validity, validity if side == 1 else 1 - validity][o]

    A = [
        [[float(o == place) for place, _ in states] for o in range(5)],
        [[outcome(o, *s) for s in states] for o in range(3)],
        [[cue(o, *s) for s in states] for o in range(3)],
    ]
    step = lambda now, u: u if (now, u) in PATHS else now  # noqa: E731
    T = [[[float(step(now, u) == after and b == a) for now, b in states] for after, a in states] for u in range(5)]
    C = [[0.0] * 5, [0.0, preference, -preference], [0.0] * 3]
    D = [0.5 if place == 0 else 0.0 for place, _ in states]
    return A, T, C, D


def tmaze(p: dict[str, float], trials: list[Trial], **settings) -> list[float]:
    held = {"reward_probability": 0.8, "preference": 1.2, "cue_validity": 1.0, "gamma": 1.0, "alpha": 1.0} | settings
    value = lambda name: p.get(name, held[name])  # noqa: E731
    A, T, C, belief = maze(value("reward_probability"), value("cue_validity"), value("preference"))
    out = []
    for trial in trials:
        belief = observe(belief, A, [trial["o0"], trial["o1"], trial["o2"]])
        log_p = action_log_probs(belief, A, T, C, held.get("policy_len", 2), value("gamma"), value("alpha"))
        action = trial["action"]
        out.append(0.0 if action is None else log_p[action])
        belief = act(belief, T, action, log_p)
    return out


def walk(rng: np.random.Generator, n: int, **settings) -> dict[str, np.ndarray]:
    """A random walk through the maze, with what might be seen there."""
    side, place = int(rng.integers(2)), 0
    columns: dict[str, list[int]] = {"o0": [], "o1": [], "o2": [], "action": []}
    for _ in range(n):
        columns["o0"].append(place)
        columns["o1"].append(int(rng.integers(1, 3)) if place in (1, 2) else 0)
        columns["o2"].append(1 + side if place == 3 else 0)
        action = int(rng.integers(5))
        columns["action"].append(action)
        place = action if (place, action) in PATHS else place
    return {name: np.array(values) for name, values in columns.items()}


# -- the bandit: what each option pays is learned by counts ----------------------------------------------------------------


def digamma(x: float) -> float:
    """By recurrence to large arguments and the asymptotic series."""
    shift = 0.0
    while x < 30:
        shift -= 1 / x
        x += 1
    y = 1 / (x * x)
    return shift + math.log(x) - 0.5 / x - y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))))


def novelty(wins: float, losses: float) -> float:
    n = wins + losses
    gain = 0.0
    for count in (wins, losses):
        gain += count / n * (math.log(n) - math.log(count) + digamma(count + 1) - digamma(n + 1))
    return gain


def bandit(p: dict[str, float], trials: list[Trial], options: int = 2, novelty_wanted: bool = True) -> list[float]:
    wins, losses = [1.0] * options, [1.0] * options
    out = []
    for trial in trials:
        worth = [
            p["preference"] * w / (w + f) + (novelty(w, f) if novelty_wanted else 0.0)
            for w, f in zip(wins, losses, strict=True)
        ]
        log_p = log_softmax(worth)
        choice, reward = trial["choice"], trial["reward"]
        out.append(0.0 if choice is None else log_p[choice])
        weights = [math.exp(v) if choice is None else float(k == choice) for k, v in enumerate(log_p)]
        if choice is None and reward is not None:
            # Which option paid is not known: the outcome tells, by what is believed of each.
            likely = [w * (wins[k] if reward else losses[k]) / (wins[k] + losses[k]) for k, w in enumerate(weights)]
            weights = [v / sum(likely) for v in likely]
        for k, weight in enumerate(weights):
            wins[k] = 1 + (1 - p["forgetting"]) * (wins[k] - 1) + (weight if reward == 1 else 0.0)
            losses[k] = 1 + (1 - p["forgetting"]) * (losses[k] - 1) + (weight if reward == 0 else 0.0)
    return out


def pulls(rng: np.random.Generator, n: int, options: int = 2, **settings) -> dict[str, np.ndarray]:
    return {"choice": rng.integers(options, size=n), "reward": rng.integers(2, size=n)}


# -- the reversal task: joint state 2 * better + chosen ------------------------------------------------------------------


def reversal(p: dict[str, float], trials: list[Trial], reward_probability: float = 0.8) -> list[float]:
    states = list(itertools.product(range(2), repeat=2))
    wins = [reward_probability if better == chosen else 1 - reward_probability for better, chosen in states]
    A = [[[1 - w for w in wins], wins]]
    C = [[0.0, p["preference"]]]
    stay = lambda before, after: 1 - p["hazard"] if before == after else p["hazard"]  # noqa: E731
    T = [[[stay(b, a) * float(chosen == u) for b, _ in states] for a, chosen in states] for u in range(2)]
    belief = [0.25] * 4
    out = []
    for trial in trials:
        log_p = action_log_probs(belief, A, T, C, 1)
        choice = trial["choice"]
        out.append(0.0 if choice is None else log_p[choice])
        reward = trial["reward"]
        belief = observe(act(belief, T, choice, log_p), A, [None if reward is None else int(reward)])
    return out


CASES = {
    "aif_tmaze": Case(
        tmaze,
        walk,
        (
            {},
            {"free": ("preference", "reward_probability", "cue_validity"), "cue_validity": 0.8},
            {"free": ("gamma", "alpha"), "policy_len": 1, "cue_validity": 0.9},
        ),
        # Who knows the moves and the start knows the place.
        redundant=("o0",),
    ),
    "aif_bandit": Case(bandit, pulls, ({}, {"options": 3})),
    "aif_reversal": Case(reversal, pulls, ({}, {"reward_probability": 0.7})),
}
