"""How long does a study of power take? Twelve designs of 50 people, 100 rounds, two models; killed and resumed.

``python -m benchmarks.power FOLDER 2`` runs it on two processes, or goes on where it was stopped.
"""

from __future__ import annotations

import sys
import time

import pyem

MODELS = ("rw1a1b", "rw2a1b")
TRIALS = (20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130)


def main(folder: str, pool: int = 2, rounds: int = 100) -> None:
    """Print the table and the seconds."""
    clock = time.perf_counter()
    models = [pyem.models.get(name) for name in MODELS]
    found = pyem.power(
        models, key=1, n=50, trials=TRIALS, rounds=rounds, by="lme", pool=pool, folder=folder, progress=True
    )
    print(found)
    print(f"{time.perf_counter() - clock:.0f} s")


if __name__ == "__main__":
    folder, *numbers = sys.argv[1:]
    main(folder, *map(int, numbers))
