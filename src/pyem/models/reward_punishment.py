"""Wins and losses of the same choice, learned apart."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.entries import entry, with_entry
from pyem.model.model import Model
from pyem.model.modifiers import with_lapse
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive
from pyem.models.learning import Scale, reward_scale
from pyem.task.wins_losses import WinsAndLosses

SEYMOUR = "https://doi.org/10.1523/JNEUROSCI.0053-12.2012"
AYLWARD = "https://doi.org/10.1038/s41562-019-0628-0"
ALPHA_REW = Parameter("alpha_rew", Interval(0, 1), "learning rate of wins", mean=-0.8)
ALPHA_PUN = Parameter("alpha_pun", Interval(0, 1), "learning rate of losses", mean=-0.8)
RHO_REW = Parameter("rho_rew", Positive(), "sensitivity to wins, per range", mean=1.2, sd=0.5, per_reward=True)
RHO_PUN = Parameter("rho_pun", Positive(), "sensitivity to losses, per range", mean=1.2, sd=0.5, per_reward=True)
DECAY = Parameter(
    "decay", Interval(0, 1), "share of the values of options not taken that is lost on each trial", mean=-1.5
)


@dataclasses.dataclass(frozen=True)
class _Start:
    options: int

    def __call__(self, p: Record) -> dict[str, Array]:
        return {"win": jnp.zeros(self.options), "loss": jnp.zeros(self.options)}


def _policy(p: Record, state: dict[str, Array], trial: Record) -> Categorical:
    return Categorical(state["win"] - state["loss"])


@dataclasses.dataclass(frozen=True)
class _Update:
    decays: bool

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        unit, c = p.reward_high - p.reward_low, trial.choice
        felt = {"win": p.rho_rew * trial.gain / unit, "loss": p.rho_pun * jnp.abs(trial.loss) / unit}
        rates = {"win": p.alpha_rew, "loss": p.alpha_pun}
        new, latents = {}, {}
        for kind, value in state.items():
            worth = entry(value, c)
            error = felt[kind] - worth
            kept = value * (1 - p.decay) if self.decays else value
            new[kind] = with_entry(kept, c, worth + rates[kind] * error)
            latents |= {f"prediction_error_{kind}": error, f"value_{kind}": worth}
        return new, latents


@functools.lru_cache
def reward_punishment(
    options: int = 4,
    decay: bool = False,
    lapse: bool = False,
    reward_range: tuple[float, float] | None = None,
    scale: Scale = "auto",
) -> Model:
    """Options that can win and lose on the same trial: both are learned apart, each with a rate and a sensitivity.

    Columns are ``gain``, what was won, and ``loss``, what was lost, of either sign. Values start at 0 and are in nats; learning
    rates and sensitivities are often called Arew, Apun, R and P.

    Parameters
    ----------
    options
        Number of options.
    decay
        Values of the options not taken decay to 0, with a rate ``decay``; otherwise they stay as they are.
    lapse
        A share ``lapse`` of random responses. Beside ``decay`` it is hardly recovered from 200 trials (r .4): hold it,
        ``fix(model, lapse=0.05)``.
    reward_range, scale
        See `pyem.models.learning.reward_scale`. Sensitivities are per largest outcome.

    References
    ----------
    Seymour, B., Daw, N. D., Roiser, J. P., Dayan, P., & Dolan, R. (2012). Serotonin selectively modulates reward value in human
    decision-making. Journal of Neuroscience, 32(17), 5833-5842. https://doi.org/10.1523/JNEUROSCI.0053-12.2012

    Aylward, J., et al. (2019). Altered learning under uncertainty in unmedicated mood and anxiety disorders. Nature Human
    Behaviour, 3, 1116-1123. https://doi.org/10.1038/s41562-019-0628-0

    Examples
    --------
    >>> reward_punishment().names
    ('alpha_rew', 'alpha_pun', 'rho_rew', 'rho_pun')
    >>> reward_punishment(decay=True, lapse=True).names[4:]
    ('decay', 'lapse')
    """
    ends = "_decay" if decay else ""
    made = Model(
        "reward_punishment" + ends,
        (ALPHA_REW, ALPHA_PUN, RHO_REW, RHO_PUN, *((DECAY,) if decay else ())),
        _policy,
        init=_Start(options),
        update=_Update(decay),
        options=options,
        outcomes=("gain", "loss"),
        reward_range=reward_scale(reward_range, scale, from_zero=True),
        task=WinsAndLosses(options),
        doc=f"Wins and losses learned apart, with sensitivities{' and decay' if decay else ''}",
        reference=AYLWARD if decay or lapse else SEYMOUR,
    )
    if not lapse:
        return made
    doc = made.doc + (" and lapses" if decay else ", and lapses")
    return dataclasses.replace(with_lapse(made), name=made.name + "_lapse", doc=doc)


MODELS: dict[str, Callable[..., Model]] = {
    "reward_punishment": reward_punishment,
    "reward_punishment_lapse": functools.partial(reward_punishment, lapse=True),
    "reward_punishment_decay_lapse": functools.partial(reward_punishment, decay=True, lapse=True),
}
