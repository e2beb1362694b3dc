"""Response times before a decision, which the non-decision time of everything else would have to be below."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.ranges import place
from pyem.engine.responses import Response
from pyem.errors import counted
from pyem.model.model import Model

SOONEST = 0.1
"""Seconds that seeing and moving take at least; a faster response was under way before."""
APART = 0.5
"""Share of the next fastest time of the same person below which such a time stands apart."""
FEW, SHARE = 2, 0.05
"""Number of a person's responses, or share of them if that is more, that may be guesses: others are not single ones."""


def fast_guesses(model: Model, data: Dataset, responses: Mapping[str, Response]) -> str:
    """Describe responses that came before anybody can decide, if the model has to take them for decisions; else empty.

    A guess is below 0.1 s, and takes less than half as long as the next fastest response of the same person: hardly any
    decision does, even with non-decision times from 0.01 s on (``python -m benchmarks.fast_guesses``).

    Parameters
    ----------
    model
        The model.
    data
        The data.
    responses
        What is known of the responses, see `pyem.engine.responses`.

    References
    ----------
    Whelan, R. (2008). Effective analysis of reaction time data. The Psychological Record, 58(3), 475-482.
    https://doi.org/10.1007/BF03395630
    """
    for name in model.seconds:
        one = responses.get(name)
        if one is None or not one.delayed:
            continue
        times = _decided(model, data, name, one)
        guesses = np.argwhere(_apart(times, data.lane_subject))
        if len(guesses):
            return _told(model, data, name, times, guesses)
    return ""


def _decided(model: Model, data: Dataset, name: str, response: Response) -> np.ndarray:
    """The times that the likelihood looks at, (trial, lane), NaN elsewhere."""
    counts = data.masks(model)[0][name]
    for first, second in model.joint:
        if second == name and response.untimed is not None:
            counts = counts & (data.fields[first] != response.untimed)
    return np.where(counts, data.fields[name], np.nan)


def _apart(times: np.ndarray, lane_subject: np.ndarray) -> np.ndarray:
    """Mask of the `times` (trial, lane) that stand apart before those of the same person."""
    out = np.zeros(times.shape, bool)
    hasty = np.unique(lane_subject[(times < SOONEST).any(0)])
    # Once through all people: of a million players, many may have such a time.
    lanes = np.argsort(lane_subject, kind="stable")
    first, end = (np.searchsorted(lane_subject[lanes], hasty, side) for side in ("left", "right"))
    for begin, stop in zip(first, end, strict=True):
        own = times[:, lanes[begin:stop]]
        out[:, lanes[begin:stop]] = own <= last_guess(own[~np.isnan(own)])
    return out


def last_guess(times: np.ndarray) -> float:
    """The longest of a person's response times, in seconds, that is a guess; minus infinity if none is.

    Examples
    --------
    >>> last_guess(np.array([0.6, 0.02, 0.45, 0.5, 0.001, 0.8])), last_guess(np.array([0.6, 0.09, 0.13, 0.5]))
    (0.02, -inf)
    """
    times = np.sort(times)
    early = times[:-1][: max(FEW, int(SHARE * len(times)))]
    guesses = early[(early < SOONEST) & (early < APART * times[1:][: len(early)])]
    return float(guesses[-1]) if len(guesses) else -math.inf


def _told(model: Model, data: Dataset, name: str, times: np.ndarray, guesses: np.ndarray) -> str:
    people = data.lane_subject[guesses[:, 1]]
    values = times[tuple(guesses.T)]
    row, lane = guesses[int(np.argmin(values))]
    person = data.lane_subject[lane]
    others = np.sort(times[:, data.lane_subject == person], axis=None)[int((people == person).sum())]
    who = f"{counted(len(guesses), 'such response')} of {counted(len(np.unique(people)), 'subject')} in all"
    outliers = (
        "let responses be outliers (p_outlier=0.05 where the model is made, NAME:p_outlier=0.05 on the command line, or "
        "pyem.with_lapse), or "
    )
    return (
        f"column {name!r} has {values.min():g} for {place(data, row, lane)} ({who}), while the other times of this person "
        f"begin at {others:.3g} s: nobody responds to what is shown within {SOONEST:g} s, but model {model.name!r} takes it "
        "for a decision, so that the non-decision time is below it and bends all other parameters; if it is a guess or a slip "
        f"of the key, {outliers if model.joint else ''}leave the cell of the time empty"
    )
