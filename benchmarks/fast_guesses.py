"""How often response times that are decisions are taken for guesses, of docs/response-times.md.

``python -m benchmarks.fast_guesses``: people simulated from the typical population of each model with a non-decision time, and
such with non-decision times from 0.01 to 0.1 s; and how many guesses of up to 0.1 s among their responses are found.
"""

from __future__ import annotations

import numpy as np

import pyem
from pyem.engine.fast_guesses import last_guess

MODELS = ("ddm", "shifted_wald", "lba", "rdm", "lnr")
PEOPLE, TRIALS = 400, (20, 60, 200)


def main() -> None:
    """For each model and number of trials: people named among those who decide, and those found who guess once."""
    for name in MODELS:
        usual, fast = (times(name, early) for early in (False, True))
        guess = np.random.default_rng(0).uniform(0.0, 0.1, PEOPLE)
        for trials in TRIALS:
            named = [sum(np.isfinite(last_guess(one[:trials])) for one in people) for people in (usual, fast)]
            found = sum(last_guess(np.append(one[: trials - 1], g)) >= g for one, g in zip(usual, guess, strict=True))
            print(
                f"{name}, {trials} trials, {PEOPLE} people: {named[0]} named, {named[1]} of those with t from 0.01 to 0.1 s; "
                f"of as many with a guess {found} found",
                flush=True,
            )


def times(name: str, early: bool) -> np.ndarray:
    """Response times of simulated people, (person, trial)."""
    model = pyem.models.get(name)
    mean, sd = map(np.asarray, model.typical)
    rng = np.random.default_rng(1)
    params = np.array(model.natural(mean + sd * rng.standard_normal((PEOPLE, len(mean)))))
    if early:
        params[:, model.names.index("t")] = rng.uniform(0.01, 0.1, PEOPLE)
    data = pyem.simulate(model, params, trials=max(TRIALS), key=2)
    return data.to_frame()["rt"].to_numpy().reshape(PEOPLE, -1)


if __name__ == "__main__":
    main()
