"""How well 200 trials can tell people apart: the largest correlations that information allows, of docs/response-times.md.

``python -m benchmarks.information_response_times [MODEL ...]``: Fisher information of a trial by quadrature over response
times, of 300 people from the typical population; and the correlations that `pyem.fit_map` reaches where it is told that
population.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pyem

MODELS = ("ddm", "lnr", "lba", "rdm")
PEOPLE, TRIALS, NODES = 300, 200, 600
EARLIEST, LATEST = 1e-3, 60.0
"""Seconds of decision between which nearly all responses come."""


def main(names: list[str]) -> None:
    """For each model: standard errors of the typical person, largest correlations, and those reached with the group known."""
    for name in names or MODELS:
        model = pyem.models.get(name)
        mean, sd = map(np.asarray, model.typical)
        people = mean + sd * np.random.default_rng(1).standard_normal((PEOPLE, len(mean)))
        of_people = np.stack([information(model, x) for x in people])
        alone = np.sqrt(np.diag(np.linalg.inv(TRIALS * information(model, mean)))) / sd
        print(f"{name}, standard error of 200 trials of the typical person, in sds of people: {_row(model, alone)}")
        for trials in (TRIALS, 1000, 5000):
            print(f"  largest correlation, {trials} trials: {_row(model, largest(of_people, sd, trials))}", flush=True)
        data = pyem.simulate(model, model.natural(people), trials=TRIALS, key=1)
        found = pyem.fit_map(model, data, mean=mean, sd=sd).x
        reached = np.array([np.corrcoef(found[:, k], people[:, k])[0, 1] for k in range(len(mean))])
        print(f"  fit_map with the population known, {TRIALS} trials: {_row(model, reached)}", flush=True)


def information(model: Any, x: np.ndarray) -> np.ndarray:
    """Expected Fisher information of one trial about a person's unconstrained parameters, (P, P)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    length = np.log(LATEST / EARLIEST)
    seconds = EARLIEST * np.exp(length * (nodes + 1) / 2)
    with jax.enable_x64(True):
        log_p, score = _scores(model)(jnp.asarray(x), jnp.arange(2), jnp.asarray(seconds))
    share = np.exp(log_p) * weights * length / 2 * seconds
    if abs(share.sum() - 1) > 1e-4:
        raise ArithmeticError(f"the density of {model.name} at {model.natural(x)} adds to {share.sum()}, not to 1")
    return np.einsum("ct,ctk,ctl->kl", share, score, score)


def largest(of_people: np.ndarray, sd: np.ndarray, trials: int) -> np.ndarray:
    """Correlation of posterior means with the truth where the population is known, and posteriors are normal, (P,)."""
    left = np.linalg.inv(trials * of_people * np.outer(sd, sd) + np.eye(len(sd)))
    return np.sqrt(1 - np.diagonal(left.mean(0)))


@functools.cache
def _scores(model: Any) -> Any:
    """Log-density and its gradient at each option and time of decision, compiled once a model."""

    def log_p(x: Any, choice: Any, rt: Any) -> Any:
        return model.policy(model.record(x), None, None).log_prob((choice, rt))

    def at(x: Any, choice: Any, seconds: Any) -> Any:
        return jax.value_and_grad(log_p)(x, choice, model.record(x).t + seconds)

    return jax.jit(jax.vmap(jax.vmap(at, (None, None, 0)), (None, 0, None)))


def _row(model: Any, values: np.ndarray) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in zip(model.names, values, strict=True))


if __name__ == "__main__":
    main(sys.argv[1:])
