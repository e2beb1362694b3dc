"""Choices and their response times: the diffusion decision model."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Literal

from pyem.model.decision import A, Coding, Diffusion, T, V, Z, extras
from pyem.model.model import Model
from pyem.task.decisions import Decisions

RATCLIFF = "https://doi.org/10.1162/neco.2008.12-06-420"
GOMEZ = "https://doi.org/10.1037/0096-3445.136.3.389"


def _require_deadline(deadline: float | None) -> None:
    if deadline is not None and not 0 < deadline < math.inf:
        raise ValueError(f"deadline={deadline}; give seconds since the stimulus, above 0")


@functools.lru_cache
def ddm(
    coding: Coding = "response",
    *,
    sv: bool = False,
    sz: bool = False,
    st: bool = False,
    p_outlier: float | Literal["free"] = 0.0,
    deadline: float | None = None,
) -> Model:
    """The diffusion decision model: a choice is the bound that a noisy process reaches first, and its time when it does.

    Columns ``choice`` (1 for the upper, 0 for the lower bound) and ``rt``, in seconds. Coded by accuracy, 1 is correct.

    Parameters
    ----------
    coding
        ``"response"``: drift `v` is towards option 1. ``"stimulus"``: a column ``stimulus`` says which option is right, 0 or 1,
        and drift `v` is towards it, so that `z` is a bias to one of the responses (model ``ddm_stimulus``).
    sv, sz, st
        Whether drift, start and non-decision time vary between trials; see `pyem.Wiener`.
    p_outlier
        Probability of an outlier, which is any response at any time up to ten seconds; ``"free"``: it is estimated.
    deadline
        Seconds by which a response had to be made. A response that was not is option 2, whose ``rt`` is not looked at; trials
        with a missing ``choice`` are left out of the likelihood.

    Notes
    -----
    Where ``rt`` is missing, the choice counts by itself. Non-decision time is below each person's fastest response, or that is
    nearly impossible: the log-density of an impossible time is no infinity but a parabola from -980 nats downwards, see
    `pyem.Wiener`. With outliers, fast guesses need not be left out.

    References
    ----------
    Ratcliff, R., & McKoon, G. (2008). The diffusion decision model: theory and data for two-choice decision tasks. Neural
    Computation, 20(4), 873-922. https://doi.org/10.1162/neco.2008.12-06-420

    Examples
    --------
    >>> ddm().names, ddm().columns
    (('v', 'a', 'z', 't'), ('choice', 'rt'))
    """
    if coding not in ("response", "stimulus"):
        raise ValueError(f"coding={coding!r}; choose 'response' or 'stimulus'")
    _require_deadline(deadline)
    by_stimulus, options = coding == "stimulus", 2 if deadline is None else 3
    return Model(
        "ddm_stimulus" if by_stimulus else "ddm",
        (V, A, Z, T, *extras(sv, sz, st, p_outlier)),
        Diffusion(coding, p_outlier, deadline),
        options=options,
        responses=(("choice", "rt"),),
        inputs=("stimulus",) if by_stimulus else (),
        input_codes=(("stimulus", 2),) if by_stimulus else (),
        seconds=("rt",),
        task=Decisions(2 if by_stimulus else 0, options),
        doc="Diffusion decision model of choices and response times"
        + (", towards the right one" if by_stimulus else ""),
        reference=RATCLIFF,
    )


@functools.lru_cache
def ddm_gonogo(
    *,
    deadline: float = 2.0,
    sv: bool = False,
    sz: bool = False,
    st: bool = False,
    p_outlier: float | Literal["free"] = 0.0,
) -> Model:
    """The diffusion decision model of go/no-go: go is the upper bound in time, no-go everything else.

    ``choice`` is 1 for go, with its ``rt``, and 0 for no-go, whose ``rt`` is not looked at.

    Parameters
    ----------
    deadline
        Seconds by which a response has to be made.
    sv, sz, st, p_outlier
        See `ddm`.

    References
    ----------
    Gomez, P., Ratcliff, R., & Perea, M. (2007). A model of the go/no-go task. Journal of Experimental Psychology: General,
    136(3), 389-413. https://doi.org/10.1037/0096-3445.136.3.389

    Examples
    --------
    >>> ddm_gonogo().columns
    ('choice', 'rt')
    """
    _require_deadline(deadline)
    return Model(
        "ddm_gonogo",
        (V, A, Z, T, *extras(sv, sz, st, p_outlier)),
        Diffusion(p_outlier=p_outlier, deadline=deadline, go=True),
        options=2,
        responses=(("choice", "rt"),),
        seconds=("rt",),
        task=Decisions(),
        doc="Diffusion decision model of go/no-go, where only go has a time",
        reference=GOMEZ,
    )


MODELS: dict[str, Callable[..., Model]] = {
    "ddm": ddm,
    "ddm_stimulus": functools.partial(ddm, "stimulus"),
    "ddm_gonogo": ddm_gonogo,
}
