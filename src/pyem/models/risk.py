"""Choices between a gamble and a sure amount."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive, Real
from pyem.models.offers import between, power

Weighting = Literal["none", "tversky_kahneman", "prelec1", "prelec2", "linear_log_odds"]

RHO = Parameter("rho", Interval(0, 2), "curvature of utility: below 1 for the averse to risk", mean=-0.3, sd=0.7)
RHO_LOSS = Parameter("rho_loss", Interval(0, 2), "curvature of the disutility of losses", mean=-0.3, sd=0.7)
LOSS_AVERSION = Parameter("loss_aversion", Positive(), "weight of losses beside gains", mean=0.5, sd=0.6)
GAMMA = Parameter(
    "gamma", Interval(0.1, 2), "curvature of the weights of probabilities; 1 takes them as they are", mean=-0.4
)
DELTA = Parameter("delta", Positive(), "elevation of the weights of probabilities", sd=0.4)


def tversky_kahneman_weight(q: Any, gamma: Any) -> Array:
    """Weight q^g / (q^g + (1 - q)^g)^(1/g) of a probability q, in logs: the power 1/g of curvatures near 0 overflows."""
    known = q > 0
    below = jnp.log(power(q, gamma) + power(1 - q, gamma)) / gamma
    return jnp.where(known, jnp.exp(gamma * jnp.log(jnp.where(known, q, 1.0)) - below), 0.0)


_WEIGHTS: dict[str, tuple[Callable[[Record, Array], Array] | None, tuple[Parameter, ...]]] = {
    "none": (None, ()),
    "tversky_kahneman": (lambda p, q: tversky_kahneman_weight(q, p.gamma), (GAMMA,)),
    "prelec1": (lambda p, q: jnp.exp(-power(-jnp.log(q), p.gamma)), (GAMMA,)),
    "prelec2": (lambda p, q: jnp.exp(-p.delta * power(-jnp.log(q), p.gamma)), (GAMMA, DELTA)),
    "linear_log_odds": (
        lambda p, q: p.delta * power(q, p.gamma) / (p.delta * power(q, p.gamma) + power(1 - q, p.gamma)),
        (GAMMA, DELTA),
    ),
}


@dataclasses.dataclass(frozen=True)
class _Prospect:
    curved: bool
    averse: bool
    own_exponent: bool
    weighting: Weighting

    def __call__(self, p: Record, trial: Record) -> tuple[Array, Array]:
        better, worse = self._weights(p, trial)
        gamble = better * self._utility(p, trial.gain) + worse * self._utility(p, -jnp.abs(trial.loss))
        return self._utility(p, trial.certain), gamble

    def _weights(self, p: Record, trial: Record) -> tuple[Any, Any]:
        weight = _WEIGHTS[self.weighting][0]
        if weight is None:
            return 0.5, 0.5
        return weight(p, trial.probability), weight(p, 1 - trial.probability)

    def _utility(self, p: Record, amount: Array) -> Array:
        gained, lost = jnp.maximum(amount, 0.0), jnp.maximum(-amount, 0.0)
        if self.curved:
            gained, lost = power(gained, p.rho), power(lost, p.rho_loss if self.own_exponent else p.rho)
        return gained - (p.loss_aversion * lost if self.averse else lost)


@functools.lru_cache
def prospect(
    weighting: Weighting = "none", own_exponent: bool = False, curvature: bool = True, loss_aversion: bool = True
) -> Model:
    """Prospect theory of choices between a gamble, 1, and a sure amount, 0.

    The gamble has a ``gain`` and a ``loss`` (its sign does not matter; 0 where nothing can be lost), the other offer is
    ``certain``, which may be a loss. Utility is x^rho of gains and -loss_aversion |x|^rho of losses.

    Parameters
    ----------
    weighting
        ``"none"``: gain and loss are equally likely. Otherwise there is a column ``probability``, strictly between 0 and 1, of
        the gain, and both probabilities are weighted: ``"tversky_kahneman"``: q^g / (q^g + (1 - q)^g)^(1/g); ``"prelec1"``:
        exp(-(-log q)^g); ``"prelec2"``: exp(-d (-log q)^g); ``"linear_log_odds"``: d q^g / (d q^g + (1 - q)^g), with
        g = gamma and d = delta.
    own_exponent
        Losses have an exponent of their own, ``rho_loss``.
    curvature, loss_aversion
        False: utility is linear (rho is 1), losses count as gains do.

    References
    ----------
    Sokol-Hessner, P., et al. (2009). Thinking like a trader selectively reduces individuals' loss aversion. PNAS, 106(13),
    5035-5040. https://doi.org/10.1073/pnas.0806761106

    Tversky, A., & Kahneman, D. (1992). Advances in prospect theory: Cumulative representation of uncertainty. Journal of
    Risk and Uncertainty, 5, 297-323. https://doi.org/10.1007/BF00122574

    Prelec, D. (1998). The probability weighting function. Econometrica, 66(3), 497-527. https://doi.org/10.2307/2998573

    Examples
    --------
    >>> prospect().names
    ('rho', 'loss_aversion', 'tau')
    >>> prospect("prelec1", curvature=False).names
    ('loss_aversion', 'gamma', 'tau')
    """
    if weighting not in _WEIGHTS:
        raise ValueError(f"weighting={weighting!r}; choose one of {', '.join(_WEIGHTS)}")
    if own_exponent and not curvature:
        raise ValueError("own_exponent=True needs curvature=True; without curvature there are no exponents")
    curves = ((RHO, RHO_LOSS) if own_exponent else (RHO,)) if curvature else ()
    levels: dict[str, tuple[float, ...]] = {
        "gain": (2.0, 4.0, 6.0, 8.0, 10.0, 12.0),
        "loss": (-0.5, -1.0, -2.0, -4.0, -6.0, -8.0),
        "certain": (0.0, 0.0, 1.0, 2.0),
    }
    if weighting != "none":
        levels["probability"] = (0.1, 0.25, 0.5, 0.75, 0.9)
    name = (
        "prospect"
        if curvature and loss_aversion
        else "prospect_linear"
        if loss_aversion
        else "prospect_no_loss_aversion"
    )
    return between(
        name,
        ("certain", "gamble"),
        (*curves, *((LOSS_AVERSION,) if loss_aversion else ()), *_WEIGHTS[weighting][1]),
        _Prospect(curvature, loss_aversion, own_exponent, weighting),
        levels,
        amounts=("gain", "loss", "certain"),
        doc={
            "prospect": "prospect theory: curvature of utility and aversion to losses",
            "prospect_linear": "aversion to losses, with linear utility",
            "prospect_no_loss_aversion": "curvature of utility, without aversion to losses",
        }[name],
        reference="https://doi.org/10.1073/pnas.0806761106",
    )


AmbiguityForm = Literal["linear", "exponential"]
"""Form in which the hidden part of a probability changes it."""


@dataclasses.dataclass(frozen=True)
class _Ambiguous:
    form: AmbiguityForm

    def __call__(self, p: Record, trial: Record) -> tuple[Array, Array]:
        if self.form == "linear":
            believed = trial.probability - p.beta * trial.ambiguity / 2
        else:
            believed = power(trial.probability, 1 + p.beta * trial.ambiguity)
        return power(trial.certain, p.alpha), believed * power(trial.amount, p.alpha)


@functools.lru_cache
def ambiguity(form: AmbiguityForm = "linear") -> Model:
    """Choices between a sure gain, 0, and a lottery, 1, whose probability is partly hidden: (p - beta A / 2) v^alpha.

    ``ambiguity`` A is the share of the probability that is not known, 0 for a plain risk.

    Parameters
    ----------
    form
        ``"linear"``, as above, or ``"exponential"``, p^(1 + beta A) v^alpha, as that of Hsu et al. is described (it is not
        compared with the paper's equation).

    References
    ----------
    Levy, I., Snell, J., Nelson, A. J., Rustichini, A., & Glimcher, P. W. (2010). Neural representation of subjective value
    under risk and ambiguity. Journal of Neurophysiology, 103(2), 1036-1047. https://doi.org/10.1152/jn.00853.2009

    Hsu, M., Bhatt, M., Adolphs, R., Tranel, D., & Camerer, C. F. (2005). Neural systems responding to degrees of uncertainty
    in human decision-making. Science, 310(5754), 1680-1683. https://doi.org/10.1126/science.1115327

    Examples
    --------
    >>> ambiguity().names
    ('alpha', 'beta', 'tau')
    """
    if form not in ("linear", "exponential"):
        raise ValueError(f"form={form!r}; choose 'linear' or 'exponential'")
    return between(
        "ambiguity",
        ("certain", "lottery"),
        (
            Parameter(
                "alpha", Interval(0, 2), "curvature of utility: below 1 for the averse to risk", mean=-0.3, sd=0.7
            ),
            Parameter("beta", Real(), "aversion to ambiguity", mean=0.5, sd=0.5),
        ),
        _Ambiguous(form),
        {
            "amount": (5.0, 8.0, 12.0, 20.0, 35.0),
            "probability": (0.13, 0.25, 0.38, 0.5),
            "ambiguity": (0.0, 0.24, 0.5, 0.74),
            "certain": (5.0,),
        },
        amounts=("amount", "certain"),
        doc="risk and ambiguity of a lottery",
        reference="https://doi.org/10.1152/jn.00853.2009",
    )


RISKY = {
    "amount": (5.0, 10.0, 15.0, 20.0, 30.0),
    "probability": (0.1, 0.25, 0.5, 0.75, 0.9),
    "certain": (2.0, 4.0, 6.0, 10.0),
}


def _crra(p: Record, trial: Record) -> tuple[Array, Array]:
    return power(trial.certain, 1 - p.r), trial.probability * power(trial.amount, 1 - p.r)


@functools.lru_cache
def crra() -> Model:
    """Expected utility with constant relative risk aversion r: x^(1 - r) of a sure gain, 0, and of a lottery, 1.

    References
    ----------
    Holt, C. A., & Laury, S. K. (2002). Risk aversion and incentive effects. American Economic Review, 92(5), 1644-1655.
    https://doi.org/10.1257/000282802762024700

    Examples
    --------
    >>> crra().names
    ('r', 'tau')
    """
    return between(
        "crra",
        ("certain", "lottery"),
        (Parameter("r", Interval(-1, 1), "relative risk aversion: 0 for the indifferent", mean=0.4),),
        _crra,
        RISKY,
        amounts=("amount", "certain"),
        doc="expected utility with constant relative risk aversion",
        reference="https://doi.org/10.1257/000282802762024700",
    )


def _mean_variance(p: Record, trial: Record) -> tuple[Array, Array]:
    mean = trial.probability * trial.amount
    variance = trial.probability * (1 - trial.probability) * trial.amount**2
    return trial.certain, mean - p.b * variance


def _variance_rates(size: float, columns: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    return {"b": (0.2 / size, 0.3 / size)}


@functools.lru_cache
def mean_variance() -> Model:
    """The value of a lottery, 1, is its mean less b times its variance; that of a sure gain, 0, is the gain.

    References
    ----------
    Markowitz, H. (1952). Portfolio selection. Journal of Finance, 7(1), 77-91. https://doi.org/10.2307/2975974

    Examples
    --------
    >>> mean_variance().names
    ('b', 'tau')
    """
    return between(
        "mean_variance",
        ("certain", "lottery"),
        (Parameter("b", Real(), "aversion to variance, per unit of value", mean=0.02, sd=0.03),),
        _mean_variance,
        RISKY,
        amounts=("amount", "certain"),
        rates=_variance_rates,
        doc="mean and variance of a lottery",
        reference="https://doi.org/10.2307/2975974",
    )


MODELS: dict[str, Callable[..., Model]] = {
    "prospect": prospect,
    "prospect_linear": functools.partial(prospect, curvature=False),
    "prospect_no_loss_aversion": functools.partial(prospect, loss_aversion=False),
    "ambiguity": ambiguity,
    "crra": crra,
    "mean_variance": mean_variance,
}
