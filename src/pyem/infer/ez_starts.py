"""Starts of diffusion decision models in closed form."""

from __future__ import annotations

import numpy as np

from pyem.data.dataset import Dataset
from pyem.model.model import Model
from pyem.model.times.ez import estimates

LATEST = 0.95
"""Of the fastest response, for non-decision times."""
RANGES = {"v": (-6.0, 6.0), "a": (0.3, 6.0)}
"""What people could have; estimates beyond are of few responses, and end there."""


def ez_start(model: Model, data: Dataset) -> np.ndarray:
    """Natural values (S, P) of a diffusion decision model to start from: EZ estimates of `v`, `a` and `t`, and typical others.

    From the share of choices and all times, as a start in the middle makes those of both choices alike. Whose times do not
    tell them has typical values.

    Raises
    ------
    ValueError
        If the model is none of those of a choice and its time by `v`, `a` and `t`.
    """
    names = model.names
    if not model.joint or model.outcomes or not {"v", "a", "t"} <= set(names) or model.design is not None:
        raise ValueError(
            f"start='ez' is for diffusion decision models with v, a and t, such as ddm, and {model.name!r} has "
            f"{', '.join(names)}; leave start out, or give natural values (S, P), such as those of pyem.ez_diffusion"
        )
    out = np.tile(model.natural(model.typical[0]), (data.n_subjects, 1))
    choice, rt = model.joint[0]
    here = data.masks(model)[0][choice] & data.present[rt] & data.valid & (data.fields[choice] < 2)
    towards = data.fields["stimulus"] if "stimulus" in model.inputs else 1
    for person in range(data.n_subjects):
        mine = here & (data.lane_subject == person)
        right = (data.fields[choice] == towards)[mine]
        found = _of_person(right, data.fields[rt][mine])
        for name, value in found.items():
            out[person, names.index(name)] = value
    return out


def _of_person(right: np.ndarray, rt: np.ndarray) -> dict[str, float]:
    n = len(rt)
    if n < 3 or not rt.var() > 0:
        return {}
    share = float(np.clip(right.mean(), 0.5 / n, 1 - 0.5 / n))
    v, a, t = estimates(share, float(rt.mean()), float(rt.var(ddof=1)))
    found = {name: float(np.clip(value, *RANGES[name])) for name, value in (("v", v), ("a", a))}
    return found | {"t": float(np.clip(t, 0.1 * rt.min(), LATEST * rt.min()))}
