"""How often do random-effects comparisons find what is not there? Simulated evidence; prints a Markdown table.

``python -m benchmarks.random_effects 1000`` simulates 1,000 groups in each setting. The log evidence of each person's true
model is a normal number with variance `m` and mean `m`, that of other models one with mean 0: so the log Bayes factor of two
models means what it says, exp(x) times as probable.
"""

from __future__ import annotations

import sys

import numpy as np

import pyem

STRENGTHS = (1.0, 3.0, 6.0)
"""Mean log Bayes factors of a person's true model, in nats."""
LIMIT = 0.95


def simulated(frequency: np.ndarray, people: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Log evidence of models (S, M) for people whose models have these frequencies (M,)."""
    own = rng.choice(len(frequency), size=people, p=frequency)
    return np.sqrt(strength) * rng.normal(size=(people, len(frequency))) + strength * np.eye(len(frequency))[own]


def false_alarms(models: int, people: int, strength: float, groups: int, seed: int) -> tuple[float, ...]:
    """How often exceedance, and protected exceedance, are above .95 where all models are equally frequent, and halves differ.

    The halves have the same frequencies, which are drawn anew each time.
    """
    rng = np.random.default_rng([seed, models, people, int(10 * strength)])
    hits = np.zeros(3)
    for _ in range(groups):
        found = pyem.random_effects_bms(simulated(np.full(models, 1 / models), people, strength, rng))
        table = simulated(rng.dirichlet(np.ones(models)), people, strength, rng)
        apart = pyem.between_groups(table, np.arange(people) % 2)
        hits += (
            found.exceedance.max() > LIMIT,
            found.protected_exceedance.max() > LIMIT,
            apart.probability > LIMIT,
        )
    return tuple(hits / groups)


def main(groups: int = 1000, seed: int = 0) -> None:
    """Print the table of the documentation."""
    print("| models | people | strength | exceedance | protected exceedance | between groups |")
    print("|---|---|---|---|---|---|")
    for models in (2, 4):
        for people in (20, 60):
            for strength in STRENGTHS:
                cells = " | ".join(f"{100 * one:.1f} %" for one in false_alarms(models, people, strength, groups, seed))
                print(f"| {models} | {people} | {strength:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
