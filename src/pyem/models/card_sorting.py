"""Wisconsin card sorting: attention to colour, form and number, shifted by feedback."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval
from pyem.models.offers import power
from pyem.task.cards import CardSorting

R = Parameter("r", Interval(0, 1), "how far attention shifts after a right answer", mean=0.0)
P = Parameter("p", Interval(0, 1), "how far attention shifts after a wrong answer", mean=0.0)
D = Parameter(
    "d", Interval(0, 5), "consistency of decisions: 1 is matching, more is more deterministic", mean=0.0, sd=0.7
)

_BISHARA = "https://doi.org/10.1016/j.jmp.2008.10.002"
WHOLE = 1 - 1e-12
"""Largest shift: after a complete one no attention would be left for the next feedback to shift."""
_DIMENSIONS = ("match_colour", "match_form", "match_number")


def _start(p: Record) -> Array:
    return jnp.full(3, 1 / 3)


def _matches(trial: Record) -> Array:
    """(dimension, pile): whether the card matches the pile."""
    return jnp.stack([jnp.arange(4) == trial[name] for name in _DIMENSIONS])


@dataclasses.dataclass(frozen=True)
class _Sort:
    floor: float

    def __call__(self, p: Record, attention: Array, trial: Record) -> Categorical:
        weight = power(attention, p.d)
        chances = (_matches(trial) * weight[:, None]).sum(0) / weight.sum()
        return Categorical(jnp.log(self.floor / 4 + (1 - self.floor) * chances))


def _shift(p: Record, attention: Array, trial: Record) -> tuple[Array, dict[str, Array]]:
    agrees = _matches(trial)[:, trial.choice]
    right = trial.correct == 1
    signal = attention * jnp.where(right, agrees, ~agrees)
    total = signal.sum()
    # Feedback without information about any dimension changes nothing.
    told = total > 0
    rate = jnp.minimum(jnp.where(right, p.r, p.p), WHOLE)
    shifted = attention + rate * (signal / jnp.where(told, total, 1.0) - attention)
    names = ("attention_colour", "attention_form", "attention_number")
    return jnp.where(told, shifted, attention), dict(zip(names, attention, strict=True))


@functools.lru_cache
def card_sorting(floor: float = 0.001) -> Model:
    """Wisconsin card sorting: one of four piles (``choice``), and whether it was ``correct`` (1 or 0).

    ``match_colour``, ``match_form`` and ``match_number`` are the piles that the card matches (codes 0 to 3). Attention to the
    three begins at 1/3 each and moves to those that the feedback speaks for, in proportion to the attention they have. The
    floor is ours: that the paper has one is not known.

    Parameters
    ----------
    floor
        Share of random choices, so that a pile which matches in nothing is not impossible.

    References
    ----------
    Bishara, A. J., Kruschke, J. K., Stout, J. C., Bechara, A., McCabe, D. P., & Busemeyer, J. R. (2010). Sequential learning
    models for the Wisconsin card sort task: Assessing processes in substance dependent individuals. Journal of Mathematical
    Psychology, 54(1), 5-13. https://doi.org/10.1016/j.jmp.2008.10.002

    Examples
    --------
    >>> card_sorting().names
    ('r', 'p', 'd')
    """
    if not 0 < floor < 1:
        raise ValueError(f"floor={floor}; it is a share above 0 and below 1")
    return Model(
        "card_sorting",
        (R, P, D),
        _Sort(floor),
        init=_start,
        update=_shift,
        options=4,
        inputs=_DIMENSIONS,
        input_codes=tuple((name, 4) for name in _DIMENSIONS),
        outcomes=("correct",),
        task=CardSorting(),
        doc="Wisconsin card sorting: attention shifted by feedback",
        reference=_BISHARA,
    )


MODELS: dict[str, Callable[..., Model]] = {"card_sorting": card_sorting}
