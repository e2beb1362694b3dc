"""Choices among other people: offers that are fair or not, and what peers chose."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive, Real
from pyem.models.offers import TAU, OfferScale, between, power
from pyem.task.offers import Offers

Norm = Literal["bayes", "delta"]

ENVY = Parameter("alpha", Positive(), "envy: aversion to getting less than what is fair", mean=0.0, sd=0.7)
GUILT = Parameter("beta", Interval(0, 1), "guilt: aversion to getting more than what is fair", mean=-1.0)
EPSILON = Parameter("epsilon", Interval(0, 1), "learning rate of the norm", mean=-1.0)
NORM = Parameter("norm0", Interval(0, 20), "norm at the beginning of a block, in the units of the offers")
OCU = Parameter("ocu", Real(), "other-conferred utility: added to what peers chose", mean=0.3, sd=0.5)

_FEHR = "https://doi.org/10.1162/003355399556151"
_XIANG = "https://doi.org/10.1523/JNEUROSCI.1642-12.2013"
_GU = "https://doi.org/10.1523/JNEUROSCI.2906-14.2015"
_CHUNG = "https://doi.org/10.1038/nn.4022"


def _inequity(p: Record, trial: Record) -> tuple[Array, Array]:
    less = jnp.maximum(trial.other - trial.own, 0.0)
    more = jnp.maximum(trial.own - trial.other, 0.0)
    return jnp.zeros_like(trial.own), trial.own - p.alpha * less - p.beta * more


@functools.lru_cache
def fehr_schmidt() -> Model:
    """Ultimatum game: accept (``choice`` 1) or reject (0) a division, ``own`` to oneself and ``other`` to the proposer.

    Inequity costs: U = own - alpha max(other - own, 0) - beta max(own - other, 0). After a rejection both get nothing.

    From 60 offers that seldom leave one more than the other ``beta`` is not recovered (r .2): hold it, ``fix(model,
    beta=0.25)``, or make such offers.

    References
    ----------
    Fehr, E., & Schmidt, K. M. (1999). A theory of fairness, competition, and cooperation. Quarterly Journal of Economics,
    114(3), 817-868. https://doi.org/10.1162/003355399556151

    Examples
    --------
    >>> fehr_schmidt().names
    ('alpha', 'beta', 'tau')
    """
    return between(
        "ultimatum_fehr_schmidt",
        ("reject", "accept"),
        (ENVY, GUILT),
        _inequity,
        {"own": (2.0, 4.0, 6.0, 8.0, 10.0, 13.0), "other": (7.0, 10.0, 12.0, 14.0, 16.0, 18.0)},
        amounts=("own",),
        doc="ultimatum game, aversion to inequity",
        reference=_FEHR,
    )


@dataclasses.dataclass(frozen=True)
class _FirstNorm:
    norm: float | None
    strength: float

    def __call__(self, p: Record) -> dict[str, Array]:
        return {"norm": jnp.asarray(p.norm0 if self.norm is None else self.norm), "seen": jnp.asarray(self.strength)}


@dataclasses.dataclass(frozen=True)
class _ByNorm:
    """Accept by the utility of the offer compared with the norm: after the offer has moved it, or before."""

    kind: Norm
    updated_first: bool

    def moved(self, p: Record, state: dict[str, Array], trial: Record) -> dict[str, Array]:
        seen = state["seen"] + 1
        rate = p.epsilon if self.kind == "delta" else 1 / seen
        return {"norm": state["norm"] + rate * (trial.offer - state["norm"]), "seen": seen}

    def utility(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[Array, Array]:
        norm = (self.moved(p, state, trial) if self.updated_first else state)["norm"]
        value = trial.offer - p.alpha * jnp.maximum(norm - trial.offer, 0.0)
        guilt = p.beta * jnp.maximum(trial.offer - norm, 0.0) if self.kind == "bayes" else 0.0
        return norm, value - guilt

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> Categorical:
        value = p.tau * self.utility(p, state, trial)[1]
        return Categorical(jnp.stack([jnp.zeros_like(value), value]))


@dataclasses.dataclass(frozen=True)
class _Expect:
    policy: _ByNorm

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        norm, utility = self.policy.utility(p, state, trial)
        latents = {"norm": norm, "prediction_error": trial.offer - state["norm"], "utility": utility}
        return self.policy.moved(p, state, trial), latents


@functools.lru_cache
def ultimatum(
    kind: Norm = "bayes", norm: float | None = 10.0, strength: float = 4.0, updated_first: bool = True
) -> Model:
    """Ultimatum game with a norm that is learned from the offers: accept (``choice`` 1) or reject (0) an ``offer``.

    An offer below the norm is envied, U = offer - alpha max(norm - offer, 0), and the Bayesian observer feels guilty of one
    above it, - beta max(offer - norm, 0). Offers are learned from whatever one answers.

    From 60 offers ``beta`` is not recovered (r .1): hold it, ``fix(model, beta=0.25)``. Norms and priors are those of the
    scripts that were published with Gu et al., whose observers feel no guilt (``fix(model, beta=0)``) and whose ``alpha`` and
    ``tau`` lie between 0 and 1. The equations of Xiang et al. could not be consulted.

    Parameters
    ----------
    kind
        ``"bayes"``: an ideal observer, whose norm is the posterior mean of the offers after a prior of `strength` offers;
        ``"delta"``: the norm moves by ``epsilon`` of the prediction error.
    norm
        Expected offer at the start of a block, in the units of the offers: 10 of 20. None: a parameter ``norm0`` of each
        person, between 0 and 20 (another range: ``norm0=(0, 100)``).
    strength
        Number of offers whose information equals that of the prior of the ideal observer.
    updated_first
        Whether an offer moves the norm before it is compared with it, as in the scripts of Gu et al.; False: it is compared
        with the norm that was expected before it, and moves that afterwards.

    References
    ----------
    Xiang, T., Lohrenz, T., & Montague, P. R. (2013). Computational substrates of norms and their violations during social
    exchange. Journal of Neuroscience, 33(3), 1099-1108. https://doi.org/10.1523/JNEUROSCI.1642-12.2013

    Gu, X., Wang, X., Hula, A., Wang, S., Xu, S., Lohrenz, T. M., Knight, R. T., Gao, Z., Dayan, P., & Montague, P. R. (2015).
    Necessary, yet dissociable contributions of the insular and ventromedial prefrontal cortices to norm adaptation. Journal of
    Neuroscience, 35(2), 467-473. https://doi.org/10.1523/JNEUROSCI.2906-14.2015

    Examples
    --------
    >>> ultimatum().names, ultimatum("delta").names
    (('alpha', 'beta', 'tau'), ('alpha', 'epsilon', 'tau'))
    >>> ultimatum("delta", norm=None).names
    ('alpha', 'epsilon', 'norm0', 'tau')
    """
    if kind not in ("bayes", "delta") or strength < 0:
        raise ValueError(
            f"kind={kind!r}, strength={strength}; kind is 'bayes' or 'delta', and a strength is not below 0"
        )
    policy = _ByNorm(kind, updated_first)
    return Model(
        f"ultimatum_{kind}",
        (ENVY, GUILT if kind == "bayes" else EPSILON, *((NORM,) if norm is None else ()), TAU),
        policy,
        init=_FirstNorm(norm, strength),
        update=_Expect(policy),
        options=2,
        inputs=("offer",),
        updates="shown",
        autoscale=OfferScale(("offer",)),
        task=Offers((("offer", (1.0, 3.0, 4.0, 6.0, 8.0, 9.0, 10.0, 12.0)),)),
        doc=f"ultimatum game, norm learned by {'Bayes' if kind == 'bayes' else 'a delta rule'}",
        reference=_XIANG if kind == "bayes" else _GU,
    )


def _with_peers(p: Record, trial: Record) -> tuple[Array, Array]:
    def expected(high: Array, low: Array) -> Array:
        return trial.probability * power(high, p.rho) + (1 - trial.probability) * power(low, p.rho)

    safe, risky = expected(trial.safe_high, trial.safe_low), expected(trial.risky_high, trial.risky_low)
    return safe + p.ocu * jnp.maximum(-trial.peers, 0), risky + p.ocu * jnp.maximum(trial.peers, 0)


@functools.lru_cache
def peer_influence() -> Model:
    """A safer (``choice`` 0) or a riskier gamble (1), alone or after seeing what peers chose.

    Both gambles pay the high amount with the same ``probability``. ``peers`` is -1 where peers took the safer one, 1 where they
    took the riskier one, and 0 where one chose alone or they differed. What they took gains ``ocu``.

    From 100 choices ``ocu`` is hardly recovered (r just below .5), as a third of them follow on nothing: show what peers took
    more often. That ``ocu`` is added to the utility is what the paper says; its other details are not compared with it.

    References
    ----------
    Chung, D., Christopoulos, G. I., King-Casas, B., Ball, S. B., & Chiu, P. H. (2015). Social signals of safety and risk confer
    utility and have asymmetric effects on observers' choices. Nature Neuroscience, 18(6), 912-916.
    https://doi.org/10.1038/nn.4022

    Examples
    --------
    >>> peer_influence().names
    ('rho', 'ocu', 'tau')
    """
    return between(
        "peer_influence",
        ("safe", "risky"),
        (Parameter("rho", Interval(0, 2), "curvature of utility", mean=-0.3, sd=0.5), OCU),
        _with_peers,
        {
            "probability": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
            "safe_high": (11.0, 12.0, 13.0),
            "safe_low": (8.0, 9.0, 10.0),
            "risky_high": (20.0, 23.0, 25.0),
            "risky_low": (1.0, 2.0, 3.0),
            "peers": (-1.0, 0.0, 1.0),
        },
        amounts=("safe_high", "safe_low", "risky_high", "risky_low"),
        doc="risky choices and what peers chose",
        reference=_CHUNG,
    )


MODELS: dict[str, Callable[..., Model]] = {
    "ultimatum_fehr_schmidt": fehr_schmidt,
    "ultimatum_bayes": ultimatum,
    "ultimatum_delta": functools.partial(ultimatum, "delta"),
    "peer_influence": peer_influence,
}
