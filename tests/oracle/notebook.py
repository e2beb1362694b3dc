"""The data of the PyMC example gallery's reinforcement-learning notebook, its model, and its posterior on a fine grid.

Vieira, R. (2022). Fitting a reinforcement learning model to behavioral data with PyMC. PyMC example gallery.
https://doi.org/10.5281/zenodo.5654871
"""

import dataclasses
import functools

import numpy as np
from scipy import stats

import pyem

TRUTH = (0.5, 5.0)
N_TRIALS = 150


@functools.lru_cache
def notebook_choices():
    """Choices and rewards of 150 trials of a two-armed bandit that pays with probabilities 0.4 and 0.6."""
    rng = np.random.default_rng(sum(map(ord, "RL_PyMC")))
    alpha, beta = TRUTH
    value = np.array([0.5, 0.5])
    choices, rewards = np.zeros(N_TRIALS, int), np.zeros(N_TRIALS, int)
    for t in range(N_TRIALS):
        weight = np.exp(beta * value)
        choices[t] = rng.choice([0, 1], p=weight / weight.sum())
        rewards[t] = rng.random() < (0.4, 0.6)[choices[t]]
        value[choices[t]] += alpha * (rewards[t] - value[choices[t]])
    return choices, rewards


@functools.lru_cache
def notebook_data():
    choices, rewards = notebook_choices()
    return pyem.Dataset.from_arrays({"choice": choices[None, None], "reward": rewards[None, None]})


@functools.lru_cache
def notebook_model():
    """Rescorla-Wagner learning with an inverse temperature that has no upper end."""
    model = pyem.models.get("rw1a1b")
    beta, alpha = model.parameters
    return dataclasses.replace(
        model,
        name="rw1a1b_positive",
        parameters=(dataclasses.replace(beta, transform=pyem.Positive(), mean=1.0), alpha),
    )


def negative_log_likelihood(alpha, beta):
    """Of the choices after the first, for arrays of parameters: an independent loop."""
    choices, rewards = notebook_choices()
    alpha, beta = np.broadcast_arrays(np.asarray(alpha, float), np.asarray(beta, float))
    value = np.full((2, *alpha.shape), 0.5)
    total = np.zeros(alpha.shape)
    for t, (choice, reward) in enumerate(zip(choices, rewards, strict=True)):
        if t:
            total += np.logaddexp(0, beta * (value[1 - choice] - value[choice]))
        value[choice] = value[choice] + alpha * (reward - value[choice])
    return total


@functools.lru_cache
def notebook_grid():
    """Posterior mean and sd of each parameter, with alpha ~ Beta(1, 1) and beta ~ HalfNormal(10)."""
    alpha = (np.arange(1000) + 0.5) / 1000
    beta = 25 * (np.arange(1000) + 0.5) / 1000
    a, b = np.meshgrid(alpha, beta, indexing="ij")
    log_p = -negative_log_likelihood(a, b) + stats.halfnorm(scale=10).logpdf(b)
    weight = np.exp(log_p - log_p.max())
    weight /= weight.sum()
    out = {}
    for name, values in (("alpha", a), ("beta", b)):
        mean = (weight * values).sum()
        out[name] = {"mean": mean, "sd": np.sqrt((weight * (values - mean) ** 2).sum())}
    return out
