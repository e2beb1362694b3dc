"""Counterfactual learning: what the option that was not taken would have paid teaches, too."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from jax import Array

from pyem.model.entries import entry, with_entry
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval
from pyem.models.learning import ALPHA, BETA, Scale, Start, reward_scale, softmax, start_value
from pyem.task.bandits import Reversal
from pyem.task.full_feedback import FullFeedback

Unchosen = Literal["shown", "mirrored", "negative"]
Rates = Literal["outcome", "sign", "confirmation"]

PALMINTERI = "https://doi.org/10.1038/ncomms9096"
GLASCHER = "https://doi.org/10.1093/cercor/bhn098"
CONFIRMATION = "https://doi.org/10.1371/journal.pcbi.1005684"
SHOWN = "outcome_unchosen"


def _rate(name: str, doc: str) -> Parameter:
    return Parameter(name, Interval(0, 1), f"learning rate from {doc}", mean=-0.5)


_RATES: dict[str, tuple[Parameter, ...]] = {
    "outcome": (ALPHA, _rate("alpha_unchosen", "the outcome of the option not taken")),
    "sign": (
        _rate("alpha_pos", "better-than-expected outcomes"),
        _rate("alpha_neg", "worse-than-expected outcomes"),
        _rate("alpha_unchosen_pos", "better-than-expected outcomes of the option not taken"),
        _rate("alpha_unchosen_neg", "worse-than-expected outcomes of the option not taken"),
    ),
    "confirmation": (
        _rate("alpha_conf", "what confirms the choice: good news of the option taken, bad news of the other"),
        dataclasses.replace(
            _rate("alpha_disc", "what speaks against the choice: bad news of it, good news of the other"), mean=-1.5
        ),
    ),
}


def _rates(rates: Rates, p: Record, error: Array, error_unchosen: Array) -> tuple[Array, Array]:
    """Learning rates for the option taken and for the other."""
    if rates == "outcome":
        return p.alpha, p.alpha_unchosen
    good, good_unchosen = error >= 0, error_unchosen >= 0
    if rates == "sign":
        own = jnp.where(good, p.alpha_pos, p.alpha_neg)
        return own, jnp.where(good_unchosen, p.alpha_unchosen_pos, p.alpha_unchosen_neg)
    return jnp.where(good, p.alpha_conf, p.alpha_disc), jnp.where(good_unchosen, p.alpha_disc, p.alpha_conf)


@dataclasses.dataclass(frozen=True)
class _Update:
    unchosen: Unchosen
    rates: Rates

    def would(self, p: Record, trial: Record) -> tuple[Array, Any]:
        """Outcome of the other option, and whether it is known."""
        if self.unchosen == "shown":
            return trial[SHOWN], trial.seen[SHOWN]
        return (-trial.reward if self.unchosen == "negative" else p.reward_low + p.reward_high - trial.reward), True

    def __call__(self, p: Record, q: Array, trial: Record) -> tuple[Array, dict[str, Array]]:
        c, other = trial.choice, 1 - trial.choice
        outcome, known = self.would(p, trial)
        error, error_unchosen = trial.reward - entry(q, c), jnp.where(known, outcome - entry(q, other), 0.0)
        rate, rate_unchosen = _rates(self.rates, p, error, error_unchosen)
        new = with_entry(with_entry(q, c, q + rate * error), other, q + rate_unchosen * error_unchosen)
        return new, {"prediction_error": error, "prediction_error_unchosen": error_unchosen}


_SAYS = {
    ("shown", "outcome"): ("fictive", "Counterfactual learning from the outcome of the option not taken", PALMINTERI),
    ("shown", "confirmation"): (
        "confirmation_bias",
        "Counterfactual learning with a rate for what confirms the choice and one for what does not",
        CONFIRMATION,
    ),
    ("mirrored", "outcome"): (
        "fictive_mirrored",
        "Counterfactual learning as if the other option had had the opposite outcome",
        GLASCHER,
    ),
}


@functools.lru_cache
def fictive(
    unchosen: Unchosen = "shown",
    rates: Rates = "outcome",
    start: float | None = None,
    reward_range: tuple[float, float] | None = None,
    scale: Scale = "auto",
) -> Model:
    """Counterfactual (fictive) learning between two options: the one not taken is learned about, too.

    Parameters
    ----------
    unchosen
        Assumed outcome of the other option: ``"shown"``, the column ``outcome_unchosen``; ``"mirrored"``, the outcome
        of the choice mirrored at the middle of the range, which is 1 - r of rewards of 0 and 1 and -r of rewards of -1 and 1;
        ``"negative"``, -r whatever the range. Where ``outcome_unchosen`` is missing only the option taken is learned about, so
        that blocks without full feedback may be in the same table.
    rates
        ``"outcome"``: a learning rate for each of the two outcomes; ``"sign"``: for each by good and bad news;
        ``"confirmation"``: one for what confirms the choice (good news of the option taken and bad news of the other), and one
        for what speaks against it.
    start
        Value of both options before the first trial, in units of the rewards; the middle of their range if not given.
    reward_range, scale
        Lowest and highest reward; see `pyem.models.learning.reward_scale`.

    References
    ----------
    Palminteri, S., Khamassi, M., Joffily, M., & Coricelli, G. (2015). Contextual modulation of value signals in reward and
    punishment learning. Nature Communications, 6, 8096. https://doi.org/10.1038/ncomms9096

    Palminteri, S., Lefebvre, G., Kilford, E. J., & Blakemore, S.-J. (2017). Confirmation bias in human reinforcement learning:
    Evidence from counterfactual feedback processing. PLoS Computational Biology, 13(8), e1005684.
    https://doi.org/10.1371/journal.pcbi.1005684

    Gläscher, J., Hampton, A. N., & O'Doherty, J. P. (2009). Determining a role for ventromedial prefrontal cortex in encoding
    action-based value signals during reward-related decision making. Cerebral Cortex, 19(2), 483-495.
    https://doi.org/10.1093/cercor/bhn098

    Examples
    --------
    >>> fictive().columns
    ('choice', 'reward', 'outcome_unchosen')
    >>> fictive("mirrored", "sign").names
    ('beta', 'alpha_pos', 'alpha_neg', 'alpha_unchosen_pos', 'alpha_unchosen_neg')
    """
    if unchosen not in ("shown", "mirrored", "negative") or rates not in _RATES:
        raise ValueError(
            f"unchosen={unchosen!r}, rates={rates!r}; unchosen is 'shown', 'mirrored' or 'negative', and rates one of "
            f"{', '.join(_RATES)}"
        )
    shown = (SHOWN,) if unchosen == "shown" else ()
    plain = (f"fictive_{unchosen}_{rates}", f"Counterfactual learning, outcome {unchosen}, rates by {rates}", GLASCHER)
    name, doc, reference = _SAYS.get((unchosen, rates), plain)
    return Model(
        name,
        (BETA, *_RATES[rates]),
        softmax,
        init=Start(start_value(start, "middle"), 2),
        update=_Update(unchosen, rates),
        options=2,
        outcomes=("reward", *shown),
        optional=shown,
        reward_range=reward_scale(reward_range, scale),
        task=FullFeedback() if shown else Reversal(),
        doc=doc,
        reference=reference,
    )


MODELS: dict[str, Callable[..., Model]] = {
    "fictive": fictive,
    "fictive_mirrored": functools.partial(fictive, "mirrored"),
    "confirmation_bias": functools.partial(fictive, "shown", "confirmation"),
}
