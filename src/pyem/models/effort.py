"""Choices between a small reward for little effort and a larger one for more."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.models.offers import between, middle_of, power

EffortForm = Literal["parabolic", "linear", "hyperbolic", "power"]

S = Parameter("s", Interval(0, 10), "exponent of the effort", mean=-1.7, sd=0.5)


def _parabolic(p: Record, k: Array, amount: Array, effort: Array) -> Array:
    return amount - k * effort**2


def _linear(p: Record, k: Array, amount: Array, effort: Array) -> Array:
    return amount - k * effort


def _hyperbolic(p: Record, k: Array, amount: Array, effort: Array) -> Array:
    return amount / (1 + k * effort)


def _power(p: Record, k: Array, amount: Array, effort: Array) -> Array:
    return amount - k * power(effort, p.s)


_FORMS: dict[str, tuple[Callable[..., Array], float, str]] = {
    "parabolic": (_parabolic, -2.5, "the cost of effort grows with its square"),
    "linear": (_linear, -0.5, "the cost of effort grows in proportion to it"),
    "hyperbolic": (_hyperbolic, -2.0, "effort discounts a reward as a delay does"),
    "power": (_power, -2.0, "the cost of effort grows with some power of it"),
}


@dataclasses.dataclass(frozen=True)
class _Effortful:
    form: EffortForm
    beneficiaries: bool

    def __call__(self, p: Record, trial: Record) -> tuple[Array, Array]:
        value = _FORMS[self.form][0]
        k = jnp.where(trial.beneficiary == 1, p.k_other, p.k_self) if self.beneficiaries else p.k
        return value(p, k, trial.amount_low, trial.effort_low), value(p, k, trial.amount_high, trial.effort_high)


@dataclasses.dataclass(frozen=True)
class _Rates:
    """Typical rates: a typical effort costs as much as amounts differ, or half of an amount."""

    form: EffortForm

    def __call__(self, size: float, columns: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
        middle = middle_of(columns["effort_high"])
        cost = {
            "parabolic": size / middle**2,
            "linear": size / middle,
            "hyperbolic": 1 / middle,
            "power": size / middle**1.5,
        }[self.form]
        return dict.fromkeys(("k", "k_self", "k_other"), (float(np.log(cost / 2)), 1.0))


@functools.lru_cache
def effort_discounting(form: EffortForm = "parabolic", beneficiaries: bool = False) -> Model:
    """Choices between a small amount for little effort, 0, and a larger one for more, 1.

    Parameters
    ----------
    form
        The value of an amount A for the effort E. ``"parabolic"``: A - k E^2; ``"linear"``: A - k E; ``"hyperbolic"``:
        A / (1 + k E); ``"power"``: A - k E^s. The hyperbolic ``k`` is recovered with r .5 from 100 choices: have more of large
        efforts.
    beneficiaries
        Somebody else gets the reward in some trials, with a rate of its own: ``beneficiary`` is 0 for oneself and 1 for the
        other person.

    References
    ----------
    Hartmann, M. N., Hager, O. M., Tobler, P. N., & Kaiser, S. (2013). Parabolic discounting of monetary rewards by physical
    effort. Behavioural Processes, 100, 192-196. https://doi.org/10.1016/j.beproc.2013.09.014

    Lockwood, P. L., et al. (2017). Prosocial apathy for helping others when effort is required. Nature Human Behaviour, 1,
    0131. https://doi.org/10.1038/s41562-017-0131

    Examples
    --------
    >>> effort_discounting(beneficiaries=True).names
    ('k_self', 'k_other', 'tau')
    """
    if form not in _FORMS:
        raise ValueError(f"form={form!r}; choose one of {', '.join(_FORMS)}")
    mean, says = _FORMS[form][1:]
    whose = {"k_self": "for oneself", "k_other": "for the other person"} if beneficiaries else {"k": ""}
    rates = tuple(
        Parameter(name, Positive(), f"cost of effort {who}".strip(), mean=mean) for name, who in whose.items()
    )
    levels = {"amount_low": (1.0, 2.0, 3.0), "effort_low": (1.0,), "amount_high": (4.0, 6.0, 8.0, 10.0)}
    levels["effort_high"] = (2.0, 3.0, 4.0, 5.0, 6.0)
    if beneficiaries:
        levels["beneficiary"] = (0, 1)
    return between(
        f"effort_{form}",
        ("low", "high"),
        (*rates, S) if form == "power" else rates,
        _Effortful(form, beneficiaries),
        levels,
        amounts=("amount_low", "amount_high"),
        rates=_Rates(form),
        doc=says,
        reference="https://doi.org/10.1016/j.beproc.2013.09.014",
        input_codes=(("beneficiary", 2),) if beneficiaries else (),
    )


MODELS: dict[str, Callable[..., Model]] = {
    f"effort_{form}": functools.partial(effort_discounting, form)  # type: ignore[arg-type]
    for form in _FORMS
}
