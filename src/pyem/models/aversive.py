"""Learning to expect a shock."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval
from pyem.models.offers import TAU, OfferScale
from pyem.task.shocks import Shocks

ALPHA = Parameter("alpha", Interval(0, 1), "learning rate of the probability of a shock", mean=-1.0)
GAMMA = Parameter("gamma", Interval(0, 10), "how far probabilities count; 1: as much as they should", mean=-1.8, sd=0.5)

_BROWNING = "https://doi.org/10.1038/nn.3961"


def _start(p: Record) -> Array:
    return jnp.asarray(0.5)


def _harm(p: Record, chance: Array, trial: Record) -> Array:
    """Expected size of the shock after each option."""
    felt = jnp.clip(p.gamma * (chance - 0.5) + 0.5, 0.0, 1.0)
    return jnp.stack([felt * trial.magnitude0, (1 - felt) * trial.magnitude1])


def _avoid(p: Record, chance: Array, trial: Record) -> Categorical:
    return Categorical(-p.tau * _harm(p, chance, trial))


def _learn(p: Record, chance: Array, trial: Record) -> tuple[Any, dict[str, Array]]:
    error = (1.0 - trial.shocked) - chance
    return chance + p.alpha * error, {"p_shock0": chance, "prediction_error": error}


@functools.lru_cache
def aversive() -> Model:
    """Learning which of two options a shock follows, when its sizes (``magnitude0``, ``magnitude1``) are told.

    ``shocked`` is the option (0 or 1) that the shock followed or would have followed, whatever was chosen. Learning rates of
    stable and volatile blocks are told apart by `pyem.by(model, alpha="phase")`. Written from a description of the model: how
    ``gamma`` bends the probability is not compared with the paper's equation.

    References
    ----------
    Browning, M., Behrens, T. E., Jocham, G., O'Reilly, J. X., & Bishop, S. J. (2015). Anxious individuals have difficulty
    learning the causal statistics of aversive environments. Nature Neuroscience, 18(4), 590-596.
    https://doi.org/10.1038/nn.3961

    Behrens, T. E. J., Woolrich, M. W., Walton, M. E., & Rushworth, M. F. S. (2007). Learning the value of information in an
    uncertain world. Nature Neuroscience, 10(9), 1214-1221. https://doi.org/10.1038/nn1954

    Examples
    --------
    >>> aversive().names
    ('alpha', 'gamma', 'tau')
    """
    return Model(
        "aversive",
        (ALPHA, GAMMA, TAU),
        _avoid,
        init=_start,
        update=_learn,
        options=2,
        inputs=("magnitude0", "magnitude1"),
        outcomes=("shocked",),
        autoscale=OfferScale(("magnitude0", "magnitude1")),
        task=Shocks(),
        doc="learning which option a shock follows",
        reference=_BROWNING,
    )


MODELS: dict[str, Callable[..., Model]] = {"aversive": aversive}
