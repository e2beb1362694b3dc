"""Gambles with two outcomes of any sign against a sure amount: prospect theory as it was published."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.models.offers import between, power
from pyem.models.risk import tversky_kahneman_weight

CURVE = "curvature of the weights of probabilities of"


def utility(amount: Any, alpha: Any, beta: Any, aversion: Any) -> Array:
    """Utility x^alpha of gains, -aversion |x|^beta of losses, computed as one power of either exponent."""
    gain = amount >= 0
    return jnp.where(gain, 1.0, -aversion) * power(jnp.abs(amount), jnp.where(gain, alpha, beta))


@dataclasses.dataclass(frozen=True)
class _Gamble:
    cumulative: bool
    own_weights: bool

    def __call__(self, p: Record, trial: Record) -> tuple[Array, Array]:
        outcomes = (trial.outcome1, trial.outcome2)
        worth = [utility(x, p.alpha, p.beta, p.loss_aversion) for x in outcomes]
        weights = self._weights(p, outcomes, (trial.probability1, trial.probability2))
        certain = utility(trial.certain, p.alpha, p.beta, p.loss_aversion)
        return certain, sum(w * u for w, u in zip(weights, worth, strict=True))  # type: ignore[return-value]

    def _weights(self, p: Record, outcomes: Any, chances: Any) -> tuple[Array, Array]:
        first, second = (x >= 0 for x in outcomes)
        curves = [jnp.where(gain, p.gamma, p.gamma_loss) if self.own_weights else p.gamma for gain in (first, second)]
        alone = [tversky_kahneman_weight(q, curve) for q, curve in zip(chances, curves, strict=True)]
        if not self.cumulative:
            return alone[0], alone[1]
        # Of two gains or two losses, which share a curve, the one nearer to 0 gets the weight of both less that of the other.
        both = tversky_kahneman_weight(chances[0] + chances[1], curves[0])
        same = first == second
        sizes = [jnp.abs(x) for x in outcomes]
        return (
            jnp.where(same & (sizes[0] < sizes[1]), both - alone[1], alone[0]),
            jnp.where(same & (sizes[1] <= sizes[0]), both - alone[0], alone[1]),
        )


@functools.lru_cache
def cumulative_prospect(cumulative: bool = True, own_weights: bool = True) -> Model:
    """Prospect theory of choices between a gamble with two outcomes, 1, and a sure amount, 0.

    Outcomes and the sure amount (``outcome1, outcome2, certain``) may be gains or losses; ``probability1`` and ``probability2``
    are above 0, and what they lack to 1 is the probability of nothing. A gain x is worth x^alpha, a loss
    -loss_aversion |x|^beta. A probability q weighs w(q) = q^g / (q^g + (1 - q)^g)^(1/g).

    Parameters
    ----------
    cumulative
        Of two gains, or two losses, the one farther from 0 weighs w(its probability), and the other as much as makes both
        together weigh w(both probabilities), as in 1992. Otherwise each weighs w(its probability).
    own_weights
        Probabilities of gains and of losses have curvatures of their own, ``gamma`` and ``gamma_loss``; otherwise ``gamma``.

    References
    ----------
    Tversky, A., & Kahneman, D. (1992). Advances in prospect theory: Cumulative representation of uncertainty. Journal of
    Risk and Uncertainty, 5, 297-323. https://doi.org/10.1007/BF00122574

    Examples
    --------
    >>> cumulative_prospect().names
    ('alpha', 'beta', 'loss_aversion', 'gamma', 'gamma_loss', 'tau')
    """
    gammas = {"gamma": f"{CURVE} gains", "gamma_loss": f"{CURVE} losses"} if own_weights else {"gamma": CURVE[:-3]}
    return between(
        "prospect_cumulative",
        ("certain", "gamble"),
        (
            Parameter("alpha", Interval(0, 2), "curvature of utility of gains", mean=-0.3, sd=0.7),
            Parameter("beta", Interval(0, 2), "curvature of disutility of losses", mean=-0.3, sd=0.7),
            Parameter("loss_aversion", Positive(), "weight of losses beside gains", mean=0.5, sd=0.6),
            *(Parameter(name, Interval(0.1, 2), doc, mean=-0.8) for name, doc in gammas.items()),
        ),
        _Gamble(cumulative, own_weights),
        {
            "outcome1": (10.0, 20.0, 40.0, -10.0, -20.0, -40.0),
            "outcome2": (0.0, 5.0, 30.0, -5.0, -30.0),
            "probability1": (0.1, 0.25, 0.5),
            "probability2": (0.5, 0.25, 0.1),
            "certain": (-10.0, -2.0, 0.0, 2.0, 5.0, 10.0),
        },
        amounts=("outcome1", "outcome2", "certain"),
        doc="cumulative prospect theory of gambles with two outcomes",
        reference="https://doi.org/10.1007/BF00122574",
    )


MODELS: dict[str, Callable[..., Model]] = {"prospect_cumulative": cumulative_prospect}
