"""Go/no-go learning of Guitart-Masip et al. (2012), trial by trial in plain Python."""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.case import Case, Trial


def go_nogo(p: dict[str, float], trials: list[Trial], cues: int = 4) -> list[float]:
    go, nogo, cue_value = [0.0] * cues, [0.0] * cues, [0.0] * cues
    out = []
    for trial in trials:
        s, a, r = trial["cue"], trial["choice"], trial["outcome"]
        if s is None or a is None:
            out.append(0.0)
            continue
        lead = go[s] + p.get("b", 0.0) + p.get("pi", 0.0) * cue_value[s] - nogo[s]
        chance = (1 - p["xi"]) / (1 + math.exp(-lead if a == 1 else lead)) + p["xi"] / 2
        out.append(math.log(chance))
        if r is None:
            continue
        weight = p["rho"] if "rho" in p else p["rho_rew"] if r > 0 else p["rho_pun"]
        table = go if a == 1 else nogo
        table[s] += p["epsilon"] * (weight * r - table[s])
        cue_value[s] += p["epsilon"] * (weight * r - cue_value[s])
    return out


def cued(rng: np.random.Generator, n: int, cues: int = 4) -> dict[str, np.ndarray]:
    return {
        "cue": rng.integers(cues, size=n),
        "choice": rng.integers(2, size=n),
        "outcome": rng.integers(-1, 2, size=n),
    }


CASES = {f"go_nogo_{form}": Case(go_nogo, cued) for form in ("rw", "bias", "pavlovian", "valence")}
