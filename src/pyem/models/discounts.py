"""Choices between an offer now and another one later, with chance, or for somebody else."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.models.offers import between, middle_of, power, worth_of

DelayForm = Literal["hyperbolic", "exponential", "quasi_hyperbolic", "myerson_green", "rachlin", "constant_sensitivity"]

K = Parameter("k", Positive(), "discount rate, per unit of the delay", mean=-4.0)
S = Parameter("s", Interval(0, 10), "sensitivity to the delay: 1 is that of the simple form", mean=-2.2, sd=0.6)


def _hyperbolic(p: Record, delay: Array) -> Array:
    return 1 / (1 + p.k * delay)


def _exponential(p: Record, delay: Array) -> Array:
    return jnp.exp(-p.k * delay)


def _quasi_hyperbolic(p: Record, delay: Array) -> Array:
    return jnp.where(delay > 0, p.beta * jnp.exp(delay * jnp.log(p.delta)), 1.0)


def _myerson_green(p: Record, delay: Array) -> Array:
    return jnp.exp(-p.s * jnp.log1p(p.k * delay))


def _rachlin(p: Record, delay: Array) -> Array:
    return 1 / (1 + p.k * power(delay, p.s))


def _constant_sensitivity(p: Record, delay: Array) -> Array:
    return jnp.exp(-power(p.k * delay, p.s))


@dataclasses.dataclass(frozen=True)
class _Form:
    discount: Callable[[Record, Array], Array]
    parameters: tuple[Parameter, ...]
    says: str
    reference: str


FORMS: dict[str, _Form] = {
    "hyperbolic": _Form(
        _hyperbolic, (K,), "hyperbolic discounting of delays", "https://doi.org/10.1037/0033-295X.108.1.96"
    ),
    "exponential": _Form(_exponential, (K,), "exponential discounting of delays", "https://doi.org/10.2307/2967612"),
    "quasi_hyperbolic": _Form(
        _quasi_hyperbolic,
        (
            Parameter("beta", Interval(0, 1), "what is left of the value of anything that is not immediate", mean=1.0),
            Parameter("delta", Interval(0, 1), "what is left of it after one more unit of the delay", mean=4.0),
        ),
        "quasi-hyperbolic discounting: a step down from now, then exponential",
        "https://doi.org/10.1162/003355397555253",
    ),
    "myerson_green": _Form(
        _myerson_green,
        (K, S),
        "hyperboloid discounting: the denominator to a power",
        "https://doi.org/10.1901/jeab.1995.64-263",
    ),
    "rachlin": _Form(
        _rachlin, (K, S), "hyperboloid discounting: the delay to a power", "https://doi.org/10.1901/jeab.2006.85-05"
    ),
    "constant_sensitivity": _Form(
        _constant_sensitivity,
        (K, S),
        "discounting with constant sensitivity to delays",
        "https://doi.org/10.1287/mnsc.1060.0671",
    ),
}

AMOUNTS = (5.0, 10.0, 15.0, 20.0, 25.0)
LARGER = (26.0, 30.0, 35.0, 45.0, 60.0, 80.0)
DELAYS = (7.0, 14.0, 30.0, 60.0, 90.0, 180.0)


@dataclasses.dataclass(frozen=True)
class _Delayed:
    form: DelayForm
    immediate: bool

    def __call__(self, p: Record, trial: Record) -> tuple[Array, Array]:
        discount = FORMS[self.form].discount
        later = trial.amount_later * discount(p, trial.delay_later)
        if self.immediate:
            return trial.amount_sooner, later
        return trial.amount_sooner * discount(p, trial.delay_sooner), later


def _rates(size: float, columns: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Typical rates: half of an amount is left at the middle delay."""
    middle = middle_of(columns["delay_later"])
    kept = np.exp(-np.log(2) / middle)
    return {"k": (-np.log(middle), 1.0), "delta": (np.log(kept / -np.expm1(-np.log(2) / middle)), 1.0)}


@functools.lru_cache
def delay_discounting(form: DelayForm = "hyperbolic", immediate: bool = False) -> Model:
    """Intertemporal choice: 0 is the sooner offer, 1 the later one.

    Parameters
    ----------
    form
        Form in which an amount A loses value with the delay D. ``"hyperbolic"``: A / (1 + k D); ``"exponential"``: A exp(-k D);
        ``"quasi_hyperbolic"``: A beta delta^D for D above 0; ``"myerson_green"``: A / (1 + k D)^s; ``"rachlin"``:
        A / (1 + k D^s); ``"constant_sensitivity"``: A exp(-(k D)^s). The unit of Rachlin's ``k`` depends on ``s``, so that it
        is hardly recovered from 100 choices (r .45): compare areas under the curve.
    immediate
        The sooner offer is always to be had at once: there is no column ``delay_sooner``.

    References
    ----------
    Mazur, J. E. (2001). Hyperbolic value addition and general models of animal choice. Psychological Review, 108(1), 96-112.
    https://doi.org/10.1037/0033-295X.108.1.96

    Samuelson, P. A. (1937). A note on measurement of utility. Review of Economic Studies, 4(2), 155-161.
    https://doi.org/10.2307/2967612

    Laibson, D. (1997). Golden eggs and hyperbolic discounting. Quarterly Journal of Economics, 112(2), 443-478.
    https://doi.org/10.1162/003355397555253

    Myerson, J., & Green, L. (1995). Discounting of delayed rewards: Models of individual choice. Journal of the Experimental
    Analysis of Behavior, 64(3), 263-276. https://doi.org/10.1901/jeab.1995.64-263

    Rachlin, H. (2006). Notes on discounting. Journal of the Experimental Analysis of Behavior, 85(3), 425-435.
    https://doi.org/10.1901/jeab.2006.85-05

    Ebert, J. E. J., & Prelec, D. (2007). The fragility of time: Time-insensitivity and valuation of the near and far future.
    Management Science, 53(9), 1423-1438. https://doi.org/10.1287/mnsc.1060.0671

    Green, L., & Myerson, J. (2004). A discounting framework for choice with delayed and probabilistic rewards.
    Psychological Bulletin, 130(5), 769-792. https://doi.org/10.1037/0033-2909.130.5.769

    Examples
    --------
    >>> delay_discounting("myerson_green").names
    ('k', 's', 'tau')
    >>> delay_discounting(immediate=True).columns
    ('amount_sooner', 'amount_later', 'delay_later', 'choice')
    """
    if form not in FORMS:
        raise ValueError(f"form={form!r}; choose one of {', '.join(FORMS)}")
    levels = {"amount_sooner": AMOUNTS, "delay_sooner": (0.0, 0.0, 7.0), "amount_later": LARGER, "delay_later": DELAYS}
    if immediate:
        del levels["delay_sooner"]
    chosen = FORMS[form]
    return between(
        f"dd_{form}",
        ("sooner", "later"),
        chosen.parameters,
        _Delayed(form, immediate),
        levels,
        amounts=("amount_sooner", "amount_later"),
        rates=_rates,
        doc=chosen.says,
        reference=chosen.reference,
    )


def indifference(model: Model, params: Any, delays: Any) -> np.ndarray:
    """Share of its value that an amount keeps after each delay: the immediate amount that is worth as much.

    Parameters
    ----------
    model
        A model of `delay_discounting`.
    params
        Natural parameters (S, P), such as ``fit.params``.
    delays
        (D,), in the unit of the data.

    Returns
    -------
    (S, D), between 0 and 1.

    Examples
    --------
    >>> indifference(delay_discounting(), [[0.1, 1.0]], [0, 10, 90]).round(9).tolist()
    [[1.0, 0.5, 0.1]]
    """
    worth = worth_of(model)
    if not isinstance(worth, _Delayed):
        known = ", ".join(f"dd_{form}" for form in FORMS)
        raise ValueError(f"model {model.name!r} does not discount delays; take one of {known}")
    with jax.enable_x64(True):
        p = model.record(jnp.asarray(model.unconstrained(params).T)[:, :, None])
        return np.asarray(FORMS[worth.form].discount(p, jnp.asarray(delays, float)[None]))


def area_under_curve(model: Model, params: Any, delays: Any) -> np.ndarray:
    """Area under the discounting curve of each person between no delay and the longest, as a share of the whole, (S,).

    The curve is taken as straight between the delays, as with indifference points that were measured.

    References
    ----------
    Myerson, J., Green, L., & Warusawitharana, M. (2001). Area under the curve as a measure of discounting. Journal of the
    Experimental Analysis of Behavior, 76(2), 235-243. https://doi.org/10.1901/jeab.2001.76-235

    Examples
    --------
    >>> area_under_curve(delay_discounting(), [[0.1, 1.0]], [10, 90]).round(4).tolist()
    [0.35]
    """
    points = np.unique(np.append(np.asarray(delays, float), 0.0))
    return np.trapezoid(indifference(model, params, points), points, axis=1) / points[-1]


def _risky(p: Record, trial: Record) -> tuple[Array, Array]:
    odds = (1 - trial.probability) / trial.probability
    return trial.amount_certain, trial.amount_risky / (1 + p.h * odds)


@functools.lru_cache
def probability_discounting() -> Model:
    """Choices between a sure amount, 0, and a larger one with some probability, 1, by odds against it: A / (1 + h (1 - p) / p).

    References
    ----------
    Rachlin, H., Raineri, A., & Cross, D. (1991). Subjective probability and delay. Journal of the Experimental Analysis of
    Behavior, 55(2), 233-244. https://doi.org/10.1901/jeab.1991.55-233

    Examples
    --------
    >>> probability_discounting().names
    ('h', 'tau')
    """
    return between(
        "pd_hyperbolic",
        ("certain", "risky"),
        (Parameter("h", Positive(), "discount rate, per unit of the odds against; above 1 for the averse to risk"),),
        _risky,
        {"amount_certain": AMOUNTS, "amount_risky": LARGER, "probability": (0.1, 0.25, 0.5, 0.75, 0.9)},
        amounts=("amount_certain", "amount_risky"),
        doc="hyperbolic discounting of odds against",
        reference="https://doi.org/10.1901/jeab.1991.55-233",
    )


SocialForm = Literal["hyperbolic", "parabolic", "linear"]
_SOCIAL: dict[str, tuple[str, Callable[[Array], Array] | None]] = {
    "hyperbolic": ("hyperbolic discounting of other people by their social distance", None),
    "parabolic": ("what others get loses with the square of their social distance", jnp.square),
    "linear": ("what others get loses in proportion to their social distance", lambda distance: distance),
}


@dataclasses.dataclass(frozen=True)
class _Shared:
    form: SocialForm

    def __call__(self, p: Record, trial: Record) -> tuple[Array, Array]:
        grown = _SOCIAL[self.form][1]
        if grown is None:
            weight = p.w_other / (1 + p.k * trial.social_distance)
            other = (weight * trial.other_selfish, weight * trial.other_prosocial)
        else:
            loss = p.k * grown(trial.social_distance)
            other = tuple(jnp.where(a > 0, a - loss, 0.0) for a in (trial.other_selfish, trial.other_prosocial))
        return trial.own_selfish + other[0], trial.own_prosocial + other[1]


@dataclasses.dataclass(frozen=True)
class _SocialRates:
    """Typical rates: half of an amount is left at the middle distance."""

    form: SocialForm

    def __call__(self, size: float, columns: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
        middle = middle_of(columns["social_distance"])
        lost = {"hyperbolic": 1 / middle, "parabolic": size / 2 / middle**2, "linear": size / 2 / middle}[self.form]
        return {"k": (float(np.log(lost)), 1.0)}


@functools.lru_cache
def social_discounting(form: SocialForm = "hyperbolic") -> Model:
    """Choices between a selfish, 0, and a prosocial division, 1, by what others get at a social distance of N.

    N is the social distance of the other person: 1 for the closest, 100 for a stranger.

    Parameters
    ----------
    form
        Value of an amount A for another person. ``"hyperbolic"``: w_other A / (1 + k N); ``"parabolic"``: A - k N^2, and
        ``"linear"``: A - k N, where A is above 0, else nothing.

    References
    ----------
    Jones, B., & Rachlin, H. (2006). Social discounting. Psychological Science, 17(4), 283-286.
    https://doi.org/10.1111/j.1467-9280.2006.01699.x

    Examples
    --------
    >>> social_discounting().names
    ('w_other', 'k', 'tau')
    >>> social_discounting("linear").names
    ('k', 'tau')
    """
    if form not in _SOCIAL:
        raise ValueError(f"form={form!r}; choose one of {', '.join(_SOCIAL)}")
    hyperbolic = form == "hyperbolic"
    says = "discount rate, per unit of the social distance" if hyperbolic else "what a unit of the distance costs"
    k = Parameter("k", Positive(), says, mean={"hyperbolic": -3.0, "parabolic": -6.0, "linear": -2.0}[form])
    weight = Parameter("w_other", Positive(), "worth of what the closest person gets, beside one's own", sd=0.5)
    return between(
        f"sd_{form}",
        ("selfish", "prosocial"),
        (weight, k) if hyperbolic else (k,),
        _Shared(form),
        {
            "own_selfish": LARGER,
            "other_selfish": (0.0,),
            "own_prosocial": AMOUNTS,
            "other_prosocial": LARGER,
            "social_distance": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
        },
        amounts=("own_selfish", "other_selfish", "own_prosocial", "other_prosocial"),
        rates=_SocialRates(form),
        doc=_SOCIAL[form][0],
        reference="https://doi.org/10.1111/j.1467-9280.2006.01699.x",
    )


MODELS: dict[str, Callable[..., Model]] = {
    **{f"dd_{form}": functools.partial(delay_discounting, form) for form in FORMS},  # type: ignore[arg-type]
    "pd_hyperbolic": probability_discounting,
    **{f"sd_{form}": functools.partial(social_discounting, form) for form in _SOCIAL},  # type: ignore[arg-type]
}
