"""Make examples/data/demo.csv: 100 simulated people, whose learning rate falls with age.

Run from anywhere: ``python examples/make_demo_data.py [PATH]``. The seed is fixed, so the file is the same every time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import pyem

SEED = 20260101
PEOPLE, BLOCKS, TRIALS = 100, 4, 24
MISSED = 0.05

# The group, on the unconstrained scale: beta = 20 logistic(x), alpha = logistic(x).
MEAN = {"beta": -0.8, "alpha": -0.6}
SD = {"beta": 0.7, "alpha": 1.0}
ALPHA_PER_YEAR = -0.03


def make(path: Path) -> None:
    model = pyem.models.get("rw1a1b")
    rng = np.random.default_rng(SEED)
    age = rng.integers(18, 76, PEOPLE)
    x = np.array(list(MEAN.values())) + np.array(list(SD.values())) * rng.normal(size=(PEOPLE, 2))
    x[:, 1] += ALPHA_PER_YEAR * (age - age.mean())
    data = pyem.simulate(
        model, model.natural(x), key=SEED, blocks=BLOCKS, trials=TRIALS, missed=MISSED, covariates={"age": age}
    )
    frame = data.to_frame()
    # Whoever responds too late sees no outcome.
    frame.loc[frame["choice"].isna(), "reward"] = np.nan
    frame = frame.assign(
        subject=frame["subject"] + 1,
        block=frame["block"] + 1,
        trial=frame["trial"] + 1,
        choice=frame["choice"].astype("Int64"),
        reward=frame["reward"].astype("Int64"),
        age=frame["age"].astype(int),
    )
    frame.to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data" / "demo.csv")
