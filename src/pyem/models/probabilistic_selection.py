"""Probabilistic selection: pairs of stimuli are learned, then all stimuli are compared without feedback."""

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
from pyem.models.learning import BETA, Scale, Start, per_unit, reward_scale, start_value
from pyem.task.pairs import ProbabilisticSelection

FRANK = "https://doi.org/10.1073/pnas.0706111104"
ALPHA_GAIN = Parameter("alpha_gain", Interval(0, 1), "learning rate from outcomes better than expected", mean=-1.0)
ALPHA_LOSS = Parameter("alpha_loss", Interval(0, 1), "learning rate from outcomes worse than expected", mean=-1.0)
BETA_TRANSFER = dataclasses.replace(
    BETA, name="beta_transfer", doc="inverse temperature in the transfer phase, per range of the rewards"
)


@dataclasses.dataclass(frozen=True)
class _Policy:
    transfer: bool

    def __call__(self, p: Record, q: Array, trial: Record) -> Categorical:
        shown = jnp.stack([q[trial.option_left], q[trial.option_right]])
        if not self.transfer:
            return Categorical(per_unit(p) * shown)
        beta = jnp.where(trial.phase == 1, p.beta_transfer, p.beta)
        return Categorical(beta / (p.reward_high - p.reward_low) * shown)


@dataclasses.dataclass(frozen=True)
class _Update:
    transfer: bool

    def __call__(self, p: Record, q: Array, trial: Record) -> tuple[Array, dict[str, Array]]:
        taken = jnp.where(trial.choice == 0, trial.option_left, trial.option_right)
        error = trial.reward - q[taken]
        step = jnp.where(error >= 0, p.alpha_gain, p.alpha_loss) * error
        if self.transfer:
            step = jnp.where(trial.phase == 1, 0.0, step)
        return q.at[taken].add(step), {"prediction_error": error}


@functools.lru_cache
def probabilistic_selection(
    stimuli: int = 6,
    transfer: bool = False,
    start: float | None = None,
    reward_range: tuple[float, float] | None = None,
    scale: Scale = "auto",
) -> Model:
    """Probabilistic selection: learning from gains and losses about stimuli that are shown in pairs.

    Columns ``option_left`` and ``option_right`` are the stimuli of a trial (A to F are 0 to 5), ``choice`` is 0 for the one on
    the left and 1 for the other. In a transfer phase without feedback ``reward`` is left empty: such a trial counts, and
    teaches nothing. Keep training and transfer in one block of the table, as values start afresh with each. To fit the choices
    of one phase only, read the table with ``count=``.

    Parameters
    ----------
    stimuli
        Number of stimuli.
    transfer
        There is a column ``phase``, 0 in training and 1 in the transfer phase, in which choices have an inverse temperature
        of their own, ``beta_transfer``, and nothing is learned even if an outcome is written.
    start
        Value of every stimulus before the first trial, in units of the rewards; the middle of their range if not given.
    reward_range, scale
        Lowest and highest reward; see `pyem.models.learning.reward_scale`.

    References
    ----------
    Frank, M. J., Moustafa, A. A., Haughey, H. M., Curran, T., & Hutchison, K. E. (2007). Genetic triple dissociation reveals
    multiple roles for dopamine in reinforcement learning. PNAS, 104(41), 16311-16316. https://doi.org/10.1073/pnas.0706111104

    Examples
    --------
    >>> probabilistic_selection().columns
    ('option_left', 'option_right', 'choice', 'reward')
    >>> probabilistic_selection(transfer=True).names
    ('beta', 'alpha_gain', 'alpha_loss', 'beta_transfer')
    """
    return Model(
        "probabilistic_selection",
        (BETA, ALPHA_GAIN, ALPHA_LOSS, *((BETA_TRANSFER,) if transfer else ())),
        _Policy(transfer),
        init=Start(start_value(start, "middle"), stimuli),
        update=_Update(transfer),
        options=2,
        inputs=("option_left", "option_right", *(("phase",) if transfer else ())),
        input_codes=(("option_left", stimuli), ("option_right", stimuli)),
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale),
        task=ProbabilisticSelection(training=60 if transfer else None),
        doc=f"Probabilistic selection from pairs, rates for gains and losses{', transfer phase' if transfer else ''}",
        reference=FRANK,
    )


MODELS: dict[str, Callable[..., Model]] = {
    "probabilistic_selection": probabilistic_selection,
}
