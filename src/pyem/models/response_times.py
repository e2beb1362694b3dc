"""Choices and their response times: diffusion decision models, and models of response times alone."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal

from pyem.model.decision import A, Coding, Diffusion, T, V, Z, extras, outliers_until
from pyem.model.model import Model
from pyem.model.moving import MovingBound, MovingDiffusion, MovingStart, moving_bound, once_a_block
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.times.ex_gaussian import ExGaussian
from pyem.model.times.shifted_wald import ShiftedWald
from pyem.model.transform import Positive
from pyem.task.decisions import Decisions

RATCLIFF = "https://doi.org/10.1162/neco.2008.12-06-420"
GOMEZ = "https://doi.org/10.1037/0096-3445.136.3.389"


def require_deadline(deadline: float | None) -> None:
    """Raise unless a deadline is a time in seconds, or none."""
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
    longest_outlier: float | Literal["auto"] = "auto",
    deadline: float | None = None,
    bound: Literal["angle", "exponential"] | MovingBound | None = None,
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
        Probability of an outlier, which is any response at any time up to `longest_outlier`; ``"free"``: it is estimated.
    longest_outlier
        Seconds up to which outliers come, everybody's; ``"auto"``: up to the deadline, if there is one, and else as late as the
        latest response of the data that the model is fitted to (10 seconds where there are none, as in a simulation).
    deadline
        Seconds by which a response had to be made. A response that was not is option 2, whose ``rt`` is not looked at; trials
        with a missing ``choice`` are left out of the likelihood.
    bound
        Bounds that move: ``"angle"``, straight lines towards one another, with `theta`; ``"exponential"``, with `rate`; or a
        `pyem.MovingBound` of your own. `a` is then their separation in the beginning. Without `sz`, `st` and `deadline`.

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
    >>> ddm(bound="angle").names
    ('v', 'a', 'z', 't', 'theta')
    """
    if coding not in ("response", "stimulus"):
        raise ValueError(f"coding={coding!r}; choose 'response' or 'stimulus'")
    require_deadline(deadline)
    if bound is not None:
        return _moving(coding, bound, sv, (p_outlier, longest_outlier), sz or st or deadline is not None)
    by_stimulus, options = coding == "stimulus", 2 if deadline is None else 3
    return Model(
        "ddm_stimulus" if by_stimulus else "ddm",
        (V, A, Z, T, *extras(sv, sz, st, p_outlier)),
        Diffusion(coding, p_outlier, deadline, varies=sz or st),
        options=options,
        responses=(("choice", "rt"),),
        inputs=("stimulus",) if by_stimulus else (),
        input_codes=(("stimulus", 2),) if by_stimulus else (),
        seconds=("rt",),
        longest_outlier=outliers_until(longest_outlier, p_outlier, deadline),
        task=Decisions(2 if by_stimulus else 0, options),
        doc="Diffusion decision model of choices and response times"
        + (", towards the right one" if by_stimulus else ""),
        reference=RATCLIFF,
    )


def _moving(coding: Coding, bound: str | MovingBound, sv: bool, outliers: tuple[Any, Any], more: bool) -> Model:
    """Make the model with bounds that move."""
    moving = moving_bound(bound)
    if more:
        raise ValueError("sz, st and deadline are for bounds that stay where they are; leave them or bound= out")
    p_outlier, longest = outliers
    plain = ddm(coding, sv=sv, p_outlier=p_outlier, longest_outlier=longest)
    return dataclasses.replace(
        plain,
        name=f"{plain.name}_{moving.name}",
        parameters=(*once_a_block(plain.parameters), *moving.parameters),
        policy=MovingDiffusion(moving, coding == "stimulus", p_outlier),
        init=MovingStart(moving),
        doc=f"{plain.doc}, with bounds that move: {moving.name}",
        reference="https://doi.org/10.1006/jmps.1999.1260",
    )


@functools.lru_cache
def ddm_gonogo(
    *,
    deadline: float = 2.0,
    sv: bool = False,
    sz: bool = False,
    st: bool = False,
    p_outlier: float | Literal["free"] = 0.0,
    longest_outlier: float | Literal["auto"] = "auto",
) -> Model:
    """The diffusion decision model of go/no-go: go is the upper bound in time, no-go everything else.

    ``choice`` is 1 for go, with its ``rt``, and 0 for no-go, whose ``rt`` is not looked at.

    Parameters
    ----------
    deadline
        Seconds by which a response has to be made.
    sv, sz, st, p_outlier, longest_outlier
        See `ddm`. No-go is one of the two responses of an outlier.

    References
    ----------
    Gomez, P., Ratcliff, R., & Perea, M. (2007). A model of the go/no-go task. Journal of Experimental Psychology: General,
    136(3), 389-413. https://doi.org/10.1037/0096-3445.136.3.389

    Examples
    --------
    >>> ddm_gonogo().columns
    ('choice', 'rt')
    """
    require_deadline(deadline)
    return Model(
        "ddm_gonogo",
        (V, A, Z, T, *extras(sv, sz, st, p_outlier)),
        Diffusion(p_outlier=p_outlier, deadline=deadline, go=True),
        options=2,
        responses=(("choice", "rt"),),
        seconds=("rt",),
        longest_outlier=outliers_until(longest_outlier, p_outlier, deadline),
        task=Decisions(),
        doc="Diffusion decision model of go/no-go, where only go has a time",
        reference=GOMEZ,
    )


@dataclasses.dataclass(frozen=True)
class _OneBound:
    def __call__(self, p: Record, state: Any, trial: Record) -> ShiftedWald:
        return ShiftedWald(p.v, p.a, p.t)


@dataclasses.dataclass(frozen=True)
class _Skewed:
    def __call__(self, p: Record, state: Any, trial: Record) -> ExGaussian:
        return ExGaussian(p.mu, p.sigma, p.tau)


@functools.lru_cache
def shifted_wald() -> Model:
    """The shifted Wald model of response times alone: a decision with one bound, and a non-decision time.

    References
    ----------
    Anders, R., Alario, F.-X., & Van Maanen, L. (2016). The shifted Wald distribution for response time data analysis.
    Psychological Methods, 21(3), 309-327. https://doi.org/10.1037/met0000066

    Examples
    --------
    >>> shifted_wald().names
    ('v', 'a', 't')
    """
    return Model(
        "shifted_wald",
        (
            Parameter("v", Positive(), "drift towards the bound, a second", mean=math.log(3.0), sd=0.3),
            Parameter("a", Positive(), "distance of the bound from the start", mean=math.log(1.2), sd=0.3),
            T,
        ),
        _OneBound(),
        responses=("rt",),
        seconds=("rt",),
        task=Decisions(),
        doc="Shifted Wald model of response times alone",
        reference="https://doi.org/10.1037/met0000066",
    )


@functools.lru_cache
def ex_gaussian() -> Model:
    """The ex-Gaussian description of response times alone.

    It is truncated at 0, as response times are above it. Where `mu` is six `sigma` above 0, that changes nothing.

    References
    ----------
    Matzke, D., & Wagenmakers, E.-J. (2009). Psychological interpretation of the ex-Gaussian and shifted Wald parameters: a
    diffusion model analysis. Psychonomic Bulletin & Review, 16(5), 798-817. https://doi.org/10.3758/PBR.16.5.798

    Examples
    --------
    >>> ex_gaussian().names
    ('mu', 'sigma', 'tau')
    """
    return Model(
        "ex_gaussian",
        (
            Parameter("mu", Positive(), "mean of the normal part, in seconds", mean=math.log(0.5), sd=0.3),
            Parameter(
                "sigma", Positive(), "standard deviation of the normal part, in seconds", mean=math.log(0.08), sd=0.4
            ),
            Parameter("tau", Positive(), "mean of the exponential part, in seconds", mean=math.log(0.2), sd=0.4),
        ),
        _Skewed(),
        responses=("rt",),
        seconds=("rt",),
        task=Decisions(),
        doc="Ex-Gaussian description of response times alone",
        reference="https://doi.org/10.3758/PBR.16.5.798",
    )


MODELS: dict[str, Callable[..., Model]] = {
    "ddm": ddm,
    "ddm_stimulus": functools.partial(ddm, "stimulus"),
    "ddm_gonogo": ddm_gonogo,
    "shifted_wald": shifted_wald,
    "ex_gaussian": ex_gaussian,
}
