"""The Cambridge gambling task: which colour hides the token, and how many of one's points to bet on it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.task.cambridge import BETS, BOXES, CambridgeGambling

ROMEU = "https://doi.org/10.1016/j.drugalcdep.2019.107711"

ALPHA = Parameter("alpha", Interval(0, 5), "how steeply colours are chosen by their numbers of boxes", mean=0.4, sd=0.5)
C = Parameter("c", Interval(0, 1), "bias towards red; 0.5 is none", mean=0.0, sd=0.3)
RHO = Parameter("rho", Positive(), "weight, within the logarithm, of what is left after a loss", mean=0.0, sd=0.4)
BETA = Parameter("beta", Positive(), "cost of waiting for the last bet that is offered", mean=-1.9, sd=0.6)
GAMMA = Parameter("gamma", Positive(), "consistency of bets, per unit of utility", mean=2.5, sd=0.5)


def _red(trial: Record) -> Array:
    # Ten boxes of one colour leave no doubt, but their odds have no derivatives.
    return jnp.clip(trial.red_boxes / BOXES, 1e-12, 1 - 1e-12)


def _chance(trial: Record) -> Array:
    """Share of boxes of the colour that was chosen."""
    return jnp.where(trial.choice == 1, _red(trial), 1 - _red(trial))


@dataclasses.dataclass(frozen=True)
class _Bets:
    """Value of each bet: expected utility of the points after it, less the cost of waiting for it."""

    unit: float

    def expected(self, p: Record, trial: Record) -> Array:
        points, staked, chance = trial.points / self.unit, jnp.asarray(BETS), _chance(trial)
        won, lost = jnp.log1p(points * (1 + staked)), jnp.log1p(p.rho * points * (1 - staked))
        return chance * won + (1 - chance) * lost

    def waiting(self, p: Record, trial: Record) -> Array:
        places = jnp.linspace(0.0, 1.0, len(BETS))
        return p.beta * jnp.where(trial.ascending == 1, places, places[::-1])

    def __call__(self, p: Record, state: Any, trial: Record) -> dict[str, Any]:
        shares, liked = jnp.stack([1 - _red(trial), _red(trial)]), jnp.stack([jnp.log1p(-p.c), jnp.log(p.c)])
        return {
            "choice": Categorical(p.alpha * jnp.log(shares) + liked),
            "bet": lambda trial: Categorical(p.gamma * (self.expected(p, trial) - self.waiting(p, trial))),
        }


@dataclasses.dataclass(frozen=True)
class _Worth:
    """Update without learning; its latent is the value of the bet."""

    bets: _Bets

    def __call__(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Array]]:
        expected, waiting = self.bets.expected(p, trial)[trial.bet], self.bets.waiting(p, trial)[trial.bet]
        return state, {"chance": _chance(trial), "expected_utility": expected, "waiting_cost": waiting}


def _nothing(p: Record) -> tuple[()]:
    return ()


@functools.lru_cache
def cambridge_gambling(unit: float = 100.0) -> Model:
    """Cambridge gambling task, the cumulative model: a colour by its share of boxes, a bet by the points one would then have.

    Of ten boxes ``red_boxes`` are red. ``choice`` is 1 for red and 0 for blue, by P(red) = c r^alpha / (c r^alpha + (1 - c)
    (1 - r)^alpha), where r is the share of red boxes. ``bet`` is 0 for 5 % of the ``points`` that one has before the trial,
    and 1 to 4 for 25, 50, 75 and 95 %. With a chance q, the share of boxes of the chosen colour, one has X points after a
    win, else Y, in units of 100: U = q log(1 + X) + (1 - q) log(1 + rho Y) - beta w, and P(bet) = softmax(gamma U). The wait
    w goes from 0 for the bet that is offered first to 1 for the last; where ``ascending`` is 1 the smallest comes first,
    where it is 0 the largest.

    Without a colour the bet is left out of the likelihood. A table that has percentages of the bets is read with
    ``codes={"bet": (5, 25, 50, 75, 95)}``.

    Written from a published simulation that cites the equations of the paper's supplement one by one, as that of the supplement
    itself could not be consulted.

    Parameters
    ----------
    unit
        Points that are 1 in the logarithms.

    References
    ----------
    Romeu, R. J., Haines, N., Ahn, W.-Y., Busemeyer, J. R., & Vassileva, J. (2020). A computational model of the Cambridge
    gambling task with applications to substance use disorders. Drug and Alcohol Dependence, 206, 107711.
    https://doi.org/10.1016/j.drugalcdep.2019.107711

    Examples
    --------
    >>> cambridge_gambling().names
    ('alpha', 'c', 'rho', 'beta', 'gamma')
    >>> cambridge_gambling().columns
    ('red_boxes', 'points', 'ascending', 'choice', 'bet')
    """
    if not unit > 0:
        raise ValueError(f"unit={unit}; it is a number of points above 0, 100 in the paper")
    bets = _Bets(unit)
    return Model(
        "cambridge_gambling",
        (ALPHA, C, RHO, BETA, GAMMA),
        bets,
        init=_nothing,
        update=_Worth(bets),
        options=2,
        responses=("choice", "bet"),
        inputs=("red_boxes", "points", "ascending"),
        input_codes=(("ascending", 2), ("bet", len(BETS))),
        between=(("bet", ("choice",)),),
        task=CambridgeGambling(),
        doc="Cambridge gambling task: a colour, then a bet, with a cost of waiting",
        reference=ROMEU,
    )


MODELS: dict[str, Callable[..., Model]] = {"cambridge_gambling": cambridge_gambling}
