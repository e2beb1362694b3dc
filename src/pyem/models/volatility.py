"""The volatile Kalman filter: how fast the world changes is learned along with the world."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.models.learning import BETA, Scale, reward_scale
from pyem.task.bandits import Reversal
from pyem.task.payoffs import DriftingPayoffs

PIRAY = "https://doi.org/10.1371/journal.pcbi.1007963"
LAMBDA = Parameter("lambda_", Interval(0, 1), "rate at which volatility is learned", mean=-1.5)
V0 = Parameter("v0", Positive(), "volatility before the first trial, a variance", mean=-0.5, sd=0.7)
V0_RANGE = dataclasses.replace(V0, doc="volatility before the first trial, a variance in squared ranges", mean=-4.0)
OMEGA = Parameter("omega", Positive(), "noise: how little an outcome says", mean=0.0, sd=0.7)
SIGMA = Parameter("sigma", Positive(), "sd of payoffs around their mean, in ranges", mean=-2.5, sd=0.6)


@dataclasses.dataclass(frozen=True)
class _Start:
    options: int
    continuous: bool

    def __call__(self, p: Record) -> dict[str, Array]:
        noise = p.sigma**2 if self.continuous else p.omega
        full = functools.partial(jnp.full, self.options)
        return {"mean": full(0.5 if self.continuous else 0.0), "variance": full(noise), "volatility": full(p.v0)}


@dataclasses.dataclass(frozen=True)
class _Policy:
    continuous: bool

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> Categorical:
        value = state["mean"] if self.continuous else jax.nn.sigmoid(state["mean"])
        return Categorical(p.beta * value)


@dataclasses.dataclass(frozen=True)
class _Update:
    continuous: bool

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        c, span = trial.choice, p.reward_high - p.reward_low
        m, w, v = (state[name][c] for name in ("mean", "variance", "volatility"))
        outcome = (trial.reward - p.reward_low) / span
        total = w + v + (p.sigma**2 if self.continuous else p.omega)
        # Without noise and uncertainty an outcome determines the value.
        gain = jnp.where(total > 0, (w + v) / jnp.where(total > 0, total, 1.0), 1.0)
        error = outcome - (m if self.continuous else jax.nn.sigmoid(m))
        rate = gain if self.continuous else jnp.sqrt(w + v)
        step, left = rate * error, (1 - gain) * (w + v)
        change = step**2 + w + left - 2 * (1 - gain) * w - v
        new = {
            "mean": state["mean"].at[c].set(m + step),
            "variance": state["variance"].at[c].set(left),
            "volatility": state["volatility"].at[c].set(v + p.lambda_ * change),
        }
        return new, {"prediction_error": error * span, "learning_rate": rate, "volatility": v}


@functools.lru_cache
def volatile_kalman(
    options: int = 2,
    continuous: bool = False,
    reward_range: tuple[float, float] | None = None,
    scale: Scale = "auto",
) -> Model:
    """Volatile Kalman filter: each option's payoff is tracked, and so is how fast it changes, from which its rate follows.

    From 200 trials ``lambda_`` and ``v0`` are not recovered (r below .4), and ``sigma`` of amounts neither: hold them,
    ``fix(model, lambda_=0.2, v0=0.6)``, or have many more trials.

    The updates of yes or no are equations 14 to 19 of the paper, as its authors' own script has them (the variance is ``omega``
    before the first trial, too); those of amounts have the same form.

    Parameters
    ----------
    options
        Number of options. What is not taken stays as it was.
    continuous
        False: outcomes are yes or no (or on a range from one to the other), and beliefs are log-odds of it; the softmax is of
        their probabilities. True: outcomes are amounts.
    reward_range, scale
        Lowest and highest reward; see `pyem.models.learning.reward_scale`.

    References
    ----------
    Piray, P., & Daw, N. D. (2020). A simple model for learning in volatile environments. PLoS Computational Biology, 16(7),
    e1007963. https://doi.org/10.1371/journal.pcbi.1007963

    Examples
    --------
    >>> volatile_kalman().names
    ('beta', 'lambda_', 'v0', 'omega')
    >>> volatile_kalman(continuous=True).names
    ('beta', 'lambda_', 'v0', 'sigma')
    """
    parameters = (LAMBDA, V0_RANGE, SIGMA) if continuous else (LAMBDA, V0, OMEGA)
    return Model(
        "volatile_kalman_continuous" if continuous else "volatile_kalman",
        (BETA, *parameters),
        _Policy(continuous),
        init=_Start(options, continuous),
        update=_Update(continuous),
        options=options,
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale),
        task=DriftingPayoffs(options) if continuous else Reversal((0.8,) + (0.2,) * (options - 1)),
        doc=f"Volatile Kalman filter of {'amounts' if continuous else 'rewards that come or do not'}",
        reference=PIRAY,
    )


MODELS: dict[str, Callable[..., Model]] = {
    "volatile_kalman": volatile_kalman,
    "volatile_kalman_continuous": functools.partial(volatile_kalman, continuous=True),
}
