"""Hierarchical Bayesian inference of two models x 40 people x 100 trials: first fit of a fresh process, and again.

``python -m benchmarks hbi``. In each set so many of the people, the last ones, have the second model.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

import pyem
from benchmarks.measure import fresh, row

SETS = (
    ("rw1a1b", "bias", 1, 20),
    ("rw1a1b", "wsls", 2, 20),
    ("rw1a1b", "rw2a1b", 3, 20),
    ("rw1a1b", "rw_forget", 4, 20),
    ("rw1a1b", "ck", 5, 20),
    ("rw1a1b", "rw2a1b", 6, 0),
    ("rw1a1b", "rwck", 7, 20),
    ("rw2a1b", "rw_forget", 8, 20),
    ("rw1a1b", "pearce_hall", 9, 20),
    ("rw1a1b", "rw_forget", 11, 0),
    ("ck", "rwck", 12, 20),
    ("dd_hyperbolic", "dd_exponential", 13, 20),
)
"""Both models, key, and how many people have the second one."""
PEOPLE = 40
AIM = "3 s cold, .3 s warm"
RUN = """
import json
from benchmarks.bench_hbi import timed
print(json.dumps(timed{one}))
"""


def mixed(first: str, second: str, key: int, others: int) -> tuple[dict[str, pyem.Model], pyem.Dataset]:
    """Models, and people of both."""
    models = {name: pyem.models.get(name) for name in (first, second)}
    size = {"subjects": PEOPLE, "blocks": 2, "trials": 50}
    one, two = (
        pyem.simulate(model, key=k, **size).to_frame(labels=False)
        for model, k in zip(models.values(), (key, key + 1000), strict=True)
    )
    columns = [name for name in dict.fromkeys(c for model in models.values() for c in model.columns) if name in one]
    swapped = (one["subject"] >= PEOPLE - others).to_numpy()
    table = one.assign(**{name: np.where(swapped, two[name], one[name]) for name in columns})
    return models, pyem.Dataset.from_frame(
        table, subject="subject", block="block", columns={name: name for name in columns}
    )


def timed(first: str, second: str, key: int, others: int) -> dict[str, float]:
    """Seconds by the clock of the first fit, and the shortest of seven more; iterations, and processor seconds."""
    models, data = mixed(first, second, key, others)
    walls, processor = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        for _ in range(8):
            wall, cpu = time.perf_counter(), time.process_time()
            fit = pyem.fit_hbi(models, data)
            walls.append(time.perf_counter() - wall)
            processor.append(time.process_time() - cpu)
    return {"cold": walls[0], "warm": min(walls[1:]), "cpu": min(processor[1:]), "iterations": len(fit.trace["bound"])}


def main() -> None:
    """A row for each set."""
    for one in SETS:
        took = fresh(RUN.format(one=one))
        cells = f"{took['cold']:.1f} s cold, {took['warm']:.2f} s warm ({took['cpu']:.2f} processor s)"
        row(f"{one[0]} and {one[1]}, key {one[2]}", f"{cells}, {took['iterations']} iterations", AIM)


if __name__ == "__main__":
    sys.exit(main())
