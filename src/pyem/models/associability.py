"""Learning rates that change with experience: associability after Pearce and Hall, and experience-weighted attraction."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.entries import entry, with_entry
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval
from pyem.models.learning import BETA, Scale, bandit, per_unit, reward_scale, start_value, worth
from pyem.task.bandits import Reversal

LI = "https://doi.org/10.1038/nn.2904"
DEN_OUDEN = "https://doi.org/10.1016/j.neuron.2013.08.030"
KAPPA = Parameter("kappa", Interval(0, 1), "learning rate where associability is 1", mean=0.0)
ETA = Parameter("eta", Interval(0, 1), "how fast associability follows surprise", mean=-1.0)
WEIGHT = Parameter(
    "weight", Interval(0, 1), "weight of associability, the rest being that of a constant rate", mean=1.0
)


# -- associability -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Start:
    value: float | str
    options: int
    second: float

    def __call__(self, p: Record) -> dict[str, Array]:
        return {
            "q": jnp.full(self.options, worth(self.value, p)),  # type: ignore[arg-type]
            "second": jnp.full(self.options, self.second),
        }


def value_softmax(p: Record, state: dict[str, Array], trial: Record) -> Categorical:
    """Choose by a softmax of the values in a state that holds more than values."""
    return Categorical(per_unit(p) * state["q"])


@dataclasses.dataclass(frozen=True)
class _Associability:
    mixed: bool

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        c, q, old = trial.choice, state["q"], state["second"]
        error, before = trial.reward - entry(q, c), entry(old, c)
        surprise = jnp.abs(error) / (p.reward_high - p.reward_low)
        rate = p.kappa * (1 - p.weight + p.weight * before if self.mixed else before)
        new = {
            "q": with_entry(q, c, q + rate * error),
            "second": with_entry(old, c, before + p.eta * (surprise - before)),
        }
        return new, {"prediction_error": error, "associability": before, "learning_rate": rate}


@functools.lru_cache
def pearce_hall(
    options: int = 2,
    mixed: bool = False,
    start: float | None = None,
    reward_range: tuple[float, float] | None = None,
    scale: Scale = "auto",
) -> Model:
    """Learning from prediction errors at a rate that follows surprise, the associability of Pearce and Hall.

    Associability starts at 1. Surprise is the size of the prediction error, as a share of the range of the rewards.

    Parameters
    ----------
    options
        Number of options; each has an associability of its own.
    mixed
        The rate is a mixture of a constant one and of associability, with another parameter ``weight``: 0 is Rescorla-Wagner
        learning with the rate ``kappa``, 1 is the model without this option. In 160 trials of a reversal task ``weight`` and
        ``eta`` are hardly recovered (r .2 and .3): use it to compare the ends, by ``fix(model, weight=0)`` and ``weight=1``.
    start
        Value of every option before the first trial, in units of the rewards; the middle of their range if not given.
    reward_range, scale
        Lowest and highest reward; see `pyem.models.learning.reward_scale`.

    References
    ----------
    Li, J., Schiller, D., Schoenbaum, G., Phelps, E. A., & Daw, N. D. (2011). Differential roles of human striatum and amygdala
    in associative learning. Nature Neuroscience, 14(10), 1250-1252. https://doi.org/10.1038/nn.2904

    Pearce, J. M., & Hall, G. (1980). A model for Pavlovian learning: Variations in the effectiveness of conditioned but not of
    unconditioned stimuli. Psychological Review, 87(6), 532-552. https://doi.org/10.1037/0033-295X.87.6.532

    Examples
    --------
    >>> pearce_hall().names
    ('beta', 'kappa', 'eta')
    >>> pearce_hall(mixed=True).names
    ('beta', 'kappa', 'eta', 'weight')
    """
    return Model(
        "pearce_hall_hybrid" if mixed else "pearce_hall",
        (BETA, KAPPA, ETA, *((WEIGHT,) if mixed else ())),
        value_softmax,
        init=_Start(start_value(start, "middle"), options, 1.0),
        update=_Associability(mixed),
        options=options,
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale),
        task=Reversal() if options == 2 else bandit(options),
        doc=f"Learning at a rate that follows surprise{', mixed with a constant one' if mixed else ''}",
        reference=LI,
    )


# -- experience-weighted attraction --------------------------------------------------------------------------------------

PHI = Parameter(
    "phi", Interval(0, 1), "what is kept of earlier outcomes; 1 minus a learning rate where rho is 0", mean=0.5
)
RHO = Parameter("rho", Interval(0, 1), "what is kept of earlier experience: above 0 learning slows down", mean=0.0)
BETA_EWA = dataclasses.replace(BETA, mean=-1.5)


def _attraction(p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
    c, q, n = trial.choice, state["q"], state["second"]
    before, attraction = entry(n, c), entry(q, c)
    experience = p.rho * before + 1
    value = (p.phi * before * attraction + trial.reward) / experience
    new = {"q": with_entry(q, c, value), "second": with_entry(n, c, experience)}
    return new, {"prediction_error": trial.reward - attraction, "experience": experience}


@functools.lru_cache
def ewa(
    options: int = 2, start: float = 0.0, reward_range: tuple[float, float] | None = None, scale: Scale = "auto"
) -> Model:
    """Experience-weighted attraction: the more experience with an option, the less its value is moved by an outcome.

    Parameters
    ----------
    options
        Number of options.
    start
        Value of every option before the first outcome, in units of the rewards. Experience starts at nothing.
    reward_range, scale
        Lowest and highest reward; see `pyem.models.learning.reward_scale`. Here the scale is that of the largest size, from 0,
        where 0 is among the outcomes.

    References
    ----------
    Den Ouden, H. E. M., et al. (2013). Dissociable effects of dopamine and serotonin on reversal learning. Neuron, 80(4),
    1090-1100. https://doi.org/10.1016/j.neuron.2013.08.030

    Camerer, C., & Ho, T.-H. (1999). Experience-weighted attraction learning in normal form games. Econometrica, 67(4), 827-874.
    https://doi.org/10.1111/1468-0262.00054

    Examples
    --------
    >>> ewa().names
    ('beta', 'phi', 'rho')
    """
    return Model(
        "ewa",
        (BETA_EWA, PHI, RHO),
        value_softmax,
        init=_Start(start, options, 0.0),
        update=_attraction,
        options=options,
        outcomes=("reward",),
        reward_range=reward_scale(reward_range, scale, from_zero=True),
        task=Reversal() if options == 2 else bandit(options),
        doc="Experience-weighted attraction: learning slows down with experience",
        reference=DEN_OUDEN,
    )


MODELS: dict[str, Callable[..., Model]] = {
    "pearce_hall": pearce_hall,
    "pearce_hall_hybrid": functools.partial(pearce_hall, mixed=True),
    "ewa": ewa,
}
