"""Choices and their response times as races between accumulators: LBA, racing diffusion, and log-normal race."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

from pyem.model.decision import Coding, extras, outliers_until
from pyem.model.model import Model
from pyem.model.racing import Kind, Racing
from pyem.models.response_times import require_deadline
from pyem.task.decisions import Decisions

DOCS: dict[Kind, tuple[str, str]] = {
    "lba": (
        "Linear ballistic accumulators of choices and response times",
        "https://doi.org/10.1016/j.cogpsych.2007.12.002",
    ),
    "rdm": ("Racing diffusion model of choices and response times", "https://doi.org/10.3758/s13423-020-01719-6"),
    "lnr": ("Log-normal race of choices and response times", "https://doi.org/10.1007/s11336-013-9396-3"),
}


def _race(
    kind: Kind,
    options: int,
    coding: Coding,
    p_outlier: float | Literal["free"],
    longest_outlier: float | Literal["auto"],
    deadline: float | None,
) -> Model:
    if coding not in ("response", "stimulus"):
        raise ValueError(f"coding={coding!r}; choose 'response' or 'stimulus'")
    if options < 2:
        raise ValueError(f"options={options}; a race is between two accumulators at least")
    require_deadline(deadline)
    by_stimulus = coding == "stimulus"
    rule = Racing(kind, options, by_stimulus, p_outlier, deadline)
    shown = options if deadline is None else options + 1
    doc, reference = DOCS[kind]
    return Model(
        kind,
        (rule.drive, *rule.parameters, *extras(False, False, False, p_outlier)),
        rule,
        options=shown,
        responses=(("choice", "rt"),),
        inputs=("stimulus",) if by_stimulus else (),
        input_codes=(("stimulus", options),) if by_stimulus else (),
        seconds=("rt",),
        longest_outlier=outliers_until(longest_outlier, p_outlier, deadline),
        task=Decisions(options if by_stimulus else 0, shown),
        doc=doc,
        reference=reference,
    )


@functools.lru_cache
def lba(
    options: int = 2,
    *,
    coding: Coding = "response",
    p_outlier: float | Literal["free"] = 0.0,
    longest_outlier: float | Literal["auto"] = "auto",
    deadline: float | None = None,
) -> Model:
    """Linear ballistic accumulators: the first of several straight lines, one for each option, that reaches its threshold.

    Columns ``choice``, from 0, and ``rt``, in seconds. Drifts have a standard deviation of 1 between trials, which is the unit
    of `A` and `B`, and are above 0 (see `pyem.model.times.LBA`).

    Parameters
    ----------
    options
        Number of accumulators.
    coding
        ``"response"``: each option has a drift of its own; coded by accuracy, option 1 is correct. ``"stimulus"``: a column
        ``stimulus`` says which option is right; `v1` is the drift of the right one, `v0` that of all others.
    p_outlier, longest_outlier
        Probability of an outlier, and the seconds up to which it comes; see `pyem.models.response_times.ddm`.
    deadline
        Seconds by which a response had to be made; one more option is that it was not.

    References
    ----------
    Brown, S. D., & Heathcote, A. (2008). The simplest complete model of choice response time: linear ballistic accumulation.
    Cognitive Psychology, 57(3), 153-178. https://doi.org/10.1016/j.cogpsych.2007.12.002

    Examples
    --------
    >>> lba().names, lba().columns
    (('v0', 'v1', 'B', 'A', 't'), ('choice', 'rt'))
    """
    return _race("lba", options, coding, p_outlier, longest_outlier, deadline)


@functools.lru_cache
def rdm(
    options: int = 2,
    *,
    coding: Coding = "response",
    p_outlier: float | Literal["free"] = 0.0,
    longest_outlier: float | Literal["auto"] = "auto",
    deadline: float | None = None,
) -> Model:
    """The racing diffusion model: the first of several noisy processes, one for each option, that reaches its threshold.

    Columns ``choice``, from 0, and ``rt``, in seconds. The noise has a standard deviation of 1 a second.
    ``pyem.fix(model, A=0)`` is without variability of the start.

    Parameters
    ----------
    options, coding, p_outlier, longest_outlier, deadline
        See `lba`.

    Notes
    -----
    A few hundred trials do not tell `A`, the width of the start, from `B`: where it is not what a study is about,
    hold it (``pyem.fix(model, A=0.5)``, or 0) or let everybody have one (``Group(common=["A"])``). A prior helps little.

    References
    ----------
    Tillman, G., Van Zandt, T., & Logan, G. D. (2020). Sequential sampling models without random between-trial variability: the
    racing diffusion model of speeded decision making. Psychonomic Bulletin & Review, 27(5), 911-936.
    https://doi.org/10.3758/s13423-020-01719-6

    Examples
    --------
    >>> rdm(3).names
    ('v0', 'v1', 'v2', 'B', 'A', 't')
    """
    return _race("rdm", options, coding, p_outlier, longest_outlier, deadline)


@functools.lru_cache
def lnr(
    options: int = 2,
    *,
    coding: Coding = "response",
    p_outlier: float | Literal["free"] = 0.0,
    longest_outlier: float | Literal["auto"] = "auto",
    deadline: float | None = None,
) -> Model:
    """The log-normal race: the first of several log-normal times, one for each option.

    Columns ``choice``, from 0, and ``rt``, in seconds.

    Parameters
    ----------
    options, coding, p_outlier, longest_outlier, deadline
        See `lba`.

    References
    ----------
    Rouder, J. N., Province, J. M., Morey, R. D., Gomez, P., & Heathcote, A. (2015). The lognormal race: a cognitive-process
    model of choice and latency with desirable psychometric properties. Psychometrika, 80(2), 491-513.
    https://doi.org/10.1007/s11336-013-9396-3

    Examples
    --------
    >>> lnr(coding="stimulus").names
    ('m0', 'm1', 's', 't')
    """
    return _race("lnr", options, coding, p_outlier, longest_outlier, deadline)


MODELS: dict[str, Callable[..., Model]] = {"lba": lba, "rdm": rdm, "lnr": lnr}
