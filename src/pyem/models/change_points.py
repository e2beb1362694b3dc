"""Predictions of a number whose mean jumps now and then: the reduced Bayesian model of change points."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.distribution import Normal
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.task.beliefs import ChangePoints

NASSAR = "https://doi.org/10.1523/JNEUROSCI.0822-10.2010"

HAZARD = Parameter(
    "hazard", Interval(0, 1), "probability of a change point before each outcome, as believed", mean=-2.0
)
NOISE = Parameter(
    "noise", Positive(), "sd of outcomes around their mean, as believed, in units of the outcome", mean=-2.3
)
LAMBDA = Parameter("lambda_", Interval(0, 1), "weight of the likelihood when a change point is inferred", mean=1.0)
ZETA = Parameter("zeta", Positive(), "sd of predictions around the believed mean, in units of the outcome", mean=-3.0)


def _begin(p: Record) -> dict[str, Array]:
    return {"belief": 0.5 * (p.reward_low + p.reward_high), "run_length": jnp.zeros(())}


def predict(p: Record, state: dict[str, Array], trial: Record) -> Normal:
    """Predict around the believed mean; before any observation, anywhere in the range."""
    anywhere = jnp.square(p.reward_high - p.reward_low) / 12
    variance = jnp.square(p.zeta) + jnp.where(state["run_length"] > 0, 0.0, anywhere)
    return Normal(state["belief"], jnp.sqrt(variance))


def update(p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
    """Move the believed mean the more, the more likely a change point is, and the less is known."""
    belief, run = state["belief"], state["run_length"]
    seen = jnp.where(run > 0, run, 1.0)
    error = trial.outcome - belief
    expected = Normal(belief, p.noise * jnp.sqrt(1 + 1 / seen)).log_prob(trial.outcome)
    anywhere = -jnp.log(p.reward_high - p.reward_low)
    against = p.lambda_ * jnp.where(p.lambda_ > 0, anywhere - expected, 0.0)
    odds = jnp.log(p.hazard) - jnp.log1p(-p.hazard) + against
    change = jnp.where(p.hazard > 0, jax.nn.sigmoid(odds), 0.0)
    rate = jnp.where(run > 0, (1 + change * seen) / (1 + seen), 1.0)
    new = {"belief": belief + rate * error, "run_length": jnp.where(run > 0, (seen + 1) * (1 - change) + change, 1.0)}
    shown = {"prediction_error": error, "learning_rate": rate, "change_point_probability": change}
    return new, shown | {"relative_uncertainty": 1 / (1 + run)}


def in_units(parameters: tuple[Parameter, ...], width: float) -> tuple[Parameter, ...]:
    """Give parameters a typical population for means drawn from a range of this width."""
    # From their means in a range of 1, so that what is in these units already stays the same.
    means = {one.name: one.mean + math.log(width) for one in (NOISE, ZETA)}  # type: ignore[operator]
    return tuple(dataclasses.replace(one, mean=means.get(one.name, one.mean)) for one in parameters)


def on_scale(model: Model, x: np.ndarray, y: np.ndarray) -> Model:
    """Give the model a typical population in the units of the predictions `y`."""
    del x
    # The sd of uniform numbers from a range of width 1 is 0.29.
    width = float(y.std()) / 0.29 if y.std() > 0 else 1.0
    return dataclasses.replace(model, parameters=in_units(model.parameters, width))


@functools.lru_cache
def change_point(
    noise: float | None = None, lambda_: float | None = None, limits: tuple[float, float] | None = None
) -> Model:
    """Reduced Bayesian model of change points: predictions of a number whose mean jumps now and then.

    Columns are the ``outcome``, which teaches whether or not there was a response, and the ``prediction`` made before it, in
    the same units. What a new outcome changes depends on the probability that it follows on a change point, and on how many
    outcomes since the last one are remembered. Blocks start afresh: the first outcome is believed.

    From 400 predictions ``lambda_`` is not recovered beside ``hazard`` (r .2): hold it, ``change_point(lambda_=1)``.

    Parameters
    ----------
    noise
        Standard deviation of outcomes around their mean, where people were told or trained; None for a free parameter.
    lambda_
        Weight of the likelihood when change points are inferred: 1 for none of the under-weighting; None for a free parameter.
    limits
        Lowest and highest value that the mean may have; the lowest and highest outcome in the data if not given.

    References
    ----------
    Nassar, M. R., Wilson, R. C., Heasly, B., & Gold, J. I. (2010). An approximately Bayesian delta-rule model explains the
    dynamics of belief updating in a changing environment. Journal of Neuroscience, 30(37), 12366-12378.
    https://doi.org/10.1523/JNEUROSCI.0822-10.2010

    Examples
    --------
    >>> change_point().names
    ('hazard', 'noise', 'lambda_', 'zeta')
    >>> change_point(noise=10.0, lambda_=1.0, limits=(0, 300)).names
    ('hazard', 'zeta')
    """
    if (noise is not None and not noise > 0) or (lambda_ is not None and not 0 <= lambda_ <= 1):
        raise ValueError(
            f"noise={noise}, lambda_={lambda_}; noise is a standard deviation above 0, lambda_ a weight between 0 and 1, and "
            "None makes them free parameters"
        )
    if limits is not None and not limits[0] < limits[1]:
        raise ValueError(f"limits={limits}; give the lowest and the highest mean, such as limits=(0, 300)")
    given = {"noise": noise, "lambda_": lambda_}
    free = tuple(one for one in (HAZARD, NOISE, LAMBDA, ZETA) if given.get(one.name) is None)
    return Model(
        "change_point",
        free if limits is None else in_units(free, limits[1] - limits[0]),
        predict,
        init=_begin,
        update=update,
        responses=("prediction",),
        outcomes=("outcome",),
        updates="shown",
        reward_range="auto" if limits is None else limits,
        fixed=tuple((name, float(value)) for name, value in given.items() if value is not None),
        autoscale=on_scale if limits is None else None,
        task=ChangePoints(),
        doc="Reduced Bayesian model of change points",
        reference=NASSAR,
    )


MODELS: dict[str, Callable[..., Model]] = {"change_point": change_point}
