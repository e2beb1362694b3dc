"""Momentary happiness: what was expected and what came of it, beside the choices."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.distribution import Categorical, Normal
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive, Real
from pyem.models.offers import worth_of
from pyem.models.risk import prospect
from pyem.task.gamble import CoinFlips

WEIGHTS = ("w_certain", "w_ev", "w_rpe")
W0 = Parameter("w0", Real(), "happiness without any news", sd=0.5)
SIGMA = Parameter("sigma", Positive(), "sd of ratings", mean=-0.7, sd=0.3)
GAMMA = Parameter("gamma", Interval(0, 1), "what is left of an event one trial later", mean=0.4)

_RUTLEDGE = "https://doi.org/10.1073/pnas.1407535111"


def _weight(name: str, of: str) -> Parameter:
    return Parameter(name, Real(), f"weight of {of}, per unit of money", mean=0.01, sd=0.01)


def _start(p: Record) -> Array:
    return jnp.zeros(3)


def _events(trial: Record) -> Array:
    """Expectations and prediction errors of a trial: the sure reward, or the gamble's expected value and prediction error."""
    expected, took = 0.5 * (trial.gain + trial.loss), trial.choice == 1
    gambled = jnp.stack([jnp.zeros_like(expected), expected, trial.outcome - expected])
    return jnp.where(took, gambled, jnp.stack([trial.certain, *[jnp.zeros_like(expected)] * 2]))


@dataclasses.dataclass(frozen=True)
class _Policy:
    worth: Callable[..., Any]

    def __call__(self, p: Record, past: Array, trial: Record) -> dict[str, Any]:
        values = jnp.stack(jnp.broadcast_arrays(*self.worth(p, trial)))
        return {
            "choice": Categorical(p.tau * values),
            "happiness": lambda later: Normal(_mood(p, past, later), p.sigma),
        }


def _mood(p: Record, past: Array, trial: Record) -> Array:
    return p.w0 + sum(p[name] * one for name, one in zip(WEIGHTS, p.gamma * past + _events(trial), strict=True))


def _move(p: Record, past: Array, trial: Record) -> tuple[Array, dict[str, Array]]:
    events = _events(trial)
    return p.gamma * past + events, {"predicted": _mood(p, past, trial), "prediction_error": events[2]}


@dataclasses.dataclass(frozen=True)
class _Scale:
    """Typical population: choices as in the model of choices; weights per unit of the typical amount."""

    choices: Model

    def __call__(self, model: Model, x: np.ndarray, y: np.ndarray) -> Model:
        assert self.choices.autoscale is not None
        inner = self.choices.autoscale(self.choices, x, y)
        known = {one.name: one for one in inner.parameters}
        size = float(np.asarray(x, float).std()) if len(x) else 0.0
        if size > 0:
            known |= {
                one.name: dataclasses.replace(one, mean=0.5 / size, sd=0.5 / size)
                for one in model.parameters
                if one.name in WEIGHTS
            }
        return dataclasses.replace(model, parameters=tuple(known.get(one.name, one) for one in model.parameters))


@functools.lru_cache
def happiness() -> Model:
    """Ratings of ``happiness`` beside choices between a sure amount (``choice`` 0) and an even gamble (1).

    Choices follow prospect theory. After the ``outcome`` is shown, happiness is w0 plus what is left of all sure rewards,
    expected values of gambles that were taken, and prediction errors of these, each with its weight. Ratings may be missing in
    most trials; bring them to a scale of about 1 (0 to 1, or z scores).

    References
    ----------
    Rutledge, R. B., Skandali, N., Dayan, P., & Dolan, R. J. (2014). A computational and neural model of momentary
    subjective well-being. PNAS, 111(33), 12252-12257. https://doi.org/10.1073/pnas.1407535111

    Examples
    --------
    >>> happiness().columns
    ('gain', 'loss', 'certain', 'choice', 'outcome', 'happiness')
    """
    choices = prospect()
    worth = worth_of(choices)
    assert worth is not None
    weights = (
        _weight("w_certain", "sure rewards"),
        _weight("w_ev", "expected values of gambles"),
        _weight("w_rpe", "prediction errors of gambles"),
    )
    return Model(
        "happiness",
        (*choices.parameters, W0, *weights, GAMMA, SIGMA),
        _Policy(worth),
        init=_start,
        update=_move,
        options=2,
        responses=("choice", "happiness"),
        inputs=("gain", "loss", "certain"),
        between=(("happiness", ("choice", "outcome")),),
        optional=("happiness",),
        autoscale=_Scale(choices),
        task=CoinFlips(),
        doc="happiness beside choices: expectations and prediction errors",
        reference=_RUTLEDGE,
    )


MODELS: dict[str, Callable[..., Model]] = {"happiness": happiness}
