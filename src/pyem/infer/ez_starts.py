"""Starts of diffusion decision models in closed form."""

from __future__ import annotations

import numpy as np

from pyem.data.dataset import Dataset
from pyem.model.model import Model
from pyem.model.times.ez import NAMES, of_trials

LATEST = 0.95
"""Largest non-decision time, as a share of the fastest response time."""
RANGES = {"v": (-6.0, 6.0), "a": (0.3, 6.0)}
"""Ranges to which estimates are limited; few responses can give values beyond."""


def suits_ez(model: Model) -> bool:
    """Whether a model predicts a choice and its time from `v`, `a` and `t`, without learning and formulas."""
    return bool(model.joint) and not model.outcomes and set(NAMES) <= set(model.names) and model.design is None


def times_of_people(model: Model, data: Dataset) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for every person, whether each response in time was at the upper bound (or correct), and its time."""
    choice, rt = model.joint[0]
    here = data.masks(model)[0][choice] & data.present[rt] & data.valid & (data.fields[choice] < 2)
    towards = data.fields["stimulus"] if "stimulus" in model.inputs else 1
    right, own = data.fields[choice] == towards, [data.lane_subject == person for person in range(data.n_subjects)]
    return [(right[here & mine], data.fields[rt][here & mine]) for mine in own]


def ez_start(model: Model, data: Dataset) -> np.ndarray:
    """Natural values (S, P) of a diffusion decision model to start from: EZ estimates of `v`, `a` and `t`, and typical others.

    From the share of choices and all times, as a start in the middle makes those of both choices alike. Whose times do not
    tell them has typical values.

    Raises
    ------
    ValueError
        If the model is none of those of a choice and its time by `v`, `a` and `t`.
    """
    if not suits_ez(model):
        raise ValueError(
            f"start='ez' is for diffusion decision models with v, a and t, such as ddm, and {model.name!r} has "
            f"{', '.join(model.names)}; leave start out, or give natural values (S, P), such as those of pyem.ez_diffusion"
        )
    out = np.tile(model.natural(model.typical[0]), (data.n_subjects, 1))
    for person, (right, rt) in enumerate(times_of_people(model, data)):
        found = of_trials(right, rt)
        if np.isfinite(found).all():
            out[person, [model.names.index(name) for name in NAMES]] = _within(found, rt.min())
    return out


def _within(found: np.ndarray, fastest: float) -> np.ndarray:
    """Limit estimates to plausible ranges."""
    ends = (*RANGES.values(), (0.1 * fastest, LATEST * fastest))
    return np.clip(found, *np.transpose(ends))
