"""Models of pyEM 1.0 as plain loops over trials, from the page that describes them and not from our code."""

from __future__ import annotations

import math

import numpy as np


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def wide(x: float) -> float:
    """norm2beta."""
    return 20 * logistic(x)


def softmax(values: list[float]) -> list[float]:
    weights = [math.exp(v - max(values)) for v in values]
    return [w / sum(weights) for w in weights]


def two_step(x, choices1, states2, choices2, rewards, kind="hybrid_mbmf"):
    """Negative log-likelihood of the two-step task."""
    if kind == "sarsa_lambda":
        beta1, beta2, alpha1, alpha2, lam, r = wide(x[0]), wide(x[1]), *map(logistic, x[2:5]), x[5]
        omega = 0.0
    elif kind == "model_based":
        beta1, beta2, alpha2, r = wide(x[0]), wide(x[1]), logistic(x[2]), x[3]
        alpha1 = lam = 0.0
        omega = 1.0
    else:
        beta1, beta2, alpha1, alpha2, lam, omega, r = wide(x[0]), wide(x[1]), *map(logistic, x[2:6]), x[6]
    q1, q2 = [0.0, 0.0], [[0.0, 0.0], [0.0, 0.0]]
    same = other = 0
    last, nll = None, 0.0
    for a1, s, a2, reward in zip(choices1, states2, choices2, rewards, strict=True):
        p = 0.7 if same > other else 0.3
        v = [max(q2[0]), max(q2[1])]
        q = [omega * (p * v[a] + (1 - p) * v[1 - a]) + (1 - omega) * q1[a] for a in (0, 1)]
        if last is not None:
            q[last] += r
        nll -= math.log(softmax([beta1 * value for value in q])[a1])
        nll -= math.log(softmax([beta2 * value for value in q2[s]])[a2])
        d1, d2 = q2[s][a2] - q1[a1], reward - q2[s][a2]
        q1[a1] += alpha1 * (d1 + lam * d2)
        q2[s][a2] += alpha2 * d2
        same, other = same + (s == a1), other + (s != a1)
        last = a1
    return nll


def discounted(id, params, payouts, block, beneficiary=None):
    """Values of both options, (B, T, 2), from payouts (T, ...) or (B, T, ...) and the blocks' values."""
    out = []
    for b, value in enumerate(block):
        rows = payouts[b] if np.ndim(payouts) == (4 if id.startswith("sd") else 3) else payouts
        out.append(
            [offer_values(id, params, row, value, None if beneficiary is None else beneficiary[b]) for row in rows]
        )
    return np.array(out)


def offer_values(id, params, row, value, whose):
    if id.startswith("sd"):
        return [social_value(id, params, own, other, value) for own, other in row]
    small, large = row
    if id == "td_hyp_k":
        return [small, large / (1 + params[0] * value)]
    if id == "prd_hyp_k":
        return [small, large / (1 + params[0] * (1 - value) / value)]
    k = params[whose] if id == "ped_par_2k" else params[0]
    return [small, large - k * value**2]


def social_value(id, params, own, other, n):
    if id in ("sd_hyp_wk", "sd_hyp_k"):
        w, k = params if id == "sd_hyp_wk" else (1.0, params[0])
        return own + w * other / (1 + k * n)
    cost = params[0] * (n**2 if id == "sd_par_k" else n)
    return own + (other - cost if other > 0 else 0.0)


def choices_nll(values, codes):
    """Negative log-likelihood (B, T) of logistic choices with slope 1."""
    advantage = (values[..., 1] - values[..., 0]) * np.where(codes == 1, 1, -1)
    return np.logaddexp(0, -advantage)


def prospect(x, gamble, probs, certain, choice):
    """Negative log-likelihood, and the values of gamble and sure amount."""
    alpha, beta, lam, gamma, mu = logistic(x[0]), logistic(x[1]), wide(x[2]), logistic(x[3]), wide(x[4])
    g = max(gamma, 0.01)

    def v(amount):
        return amount**alpha if amount >= 0 else -lam * (-amount) ** beta

    def w(p):
        return p**g / (p**g + (1 - p) ** g) ** (1 / g)

    vg = [w(p[0]) * v(o[0]) + w(p[1]) * v(o[1]) for o, p in zip(gamble, probs, strict=True)]
    vc = [v(c) for c in certain]
    nll = 0.0
    for a, b, c in zip(vg, vc, choice, strict=True):
        # pyEM clips the probability at 1e-12; these are its logarithms without a floor.
        nll += np.logaddexp(0, -mu * (a - b) if c == 1 else mu * (a - b))
    return nll, vg, vc


def wfpt(t, v, a, w, terms=5000):
    """Density of reaching the lower bound at time t: the series for large times, with many terms."""
    k = np.arange(1, terms + 1)
    series = (k * np.sin(k * np.pi * w) * np.exp(-((k * np.pi / a) ** 2) * t / 2)).sum()
    return np.pi / a**2 * math.exp(-v * a * w - v**2 * t / 2) * series
