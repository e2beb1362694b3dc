"""Belief updating without feedback about the source of what is seen."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval
from pyem.task.ponds import Ponds

LAMBDA = Parameter(
    "lambda1", Interval(0, 1), "probability that a pond shows its own colour, as the subject believes", mean=0.5
)


@dataclasses.dataclass(frozen=True)
class _NothingSeen:
    ponds: int

    def __call__(self, p: Record) -> dict[str, Array]:
        return {"lead": jnp.zeros(self.ponds)}


def _log_belief(p: Record, lead: Array) -> Array:
    """Log-probability of each pond; `lead` is the number of fish of its colour minus that of the rarest colour.

    Beliefs are kept as counts, which tell ponds apart even where they are certain: at a ``lambda1`` of 1 any pond is ruled
    out by a fish of another colour, and those least contradicted are left. As logs, beliefs near 0 keep their derivative.
    """
    for_own = jnp.log(p.lambda1) - jnp.log1p(-p.lambda1) + jnp.log(lead.shape[-1] - 1.0)
    behind = lead - jnp.where(for_own > 0, lead.max(-1), lead.min(-1))
    return jax.nn.log_softmax(jnp.where(behind == 0, 0.0, for_own * jnp.where(behind == 0, 1.0, behind)))


def _with_this(lead: Array, trial: Record) -> Array:
    counts = lead + (jnp.arange(lead.shape[-1]) == trial.observation)
    return counts - counts.min(-1)


def match_belief(p: Record, state: dict[str, Array], trial: Record) -> Categorical:
    """Choose each pond with its probability given what was seen."""
    return Categorical(_log_belief(p, _with_this(state["lead"], trial)))


def update_belief(p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
    """Update the belief by Bayes' rule; the latent is the surprise at the observation, in nats."""
    lead = state["lead"]
    own = jnp.arange(lead.shape[-1]) == trial.observation
    chance = jnp.where(own, jnp.log(p.lambda1), jnp.log1p(-p.lambda1) - jnp.log(lead.shape[-1] - 1.0))
    return {"lead": _with_this(lead, trial)}, {"surprise": -jax.nn.logsumexp(_log_belief(p, lead) + chance)}


@functools.lru_cache
def bayes(ponds: int = 3) -> Model:
    """Bayesian updating of the belief which of several ponds the fish come from, one block for each hidden pond.

    On each trial a fish of some colour is seen (``observation``: 0, 1, ...), and the subject says which pond it is. A fish of
    the pond's own colour is believed to have the probability ``lambda1``, the others share the rest; after Bayes' rule, choices
    match the belief. Fish teach something also where no answer was given.

    Parameters
    ----------
    ponds
        Number of ponds, and of colours.

    References
    ----------
    Huq, S. F., Garety, P. A., & Hemsley, D. R. (1988). Probabilistic judgements in deluded and non-deluded subjects.
    Quarterly Journal of Experimental Psychology A, 40(4), 801-812.
    https://doi.org/10.1080/14640748808402300

    Examples
    --------
    >>> bayes().names
    ('lambda1',)
    """
    if ponds < 2:
        raise ValueError(f"ponds={ponds}; there must be at least 2 to tell apart")
    return Model(
        "bayes",
        (LAMBDA,),
        match_belief,
        init=_NothingSeen(ponds),
        update=update_belief,
        options=ponds,
        inputs=("observation",),
        input_codes=(("observation", ponds),),
        updates="shown",
        task=Ponds(ponds),
        doc="Bayesian belief updating about hidden sources",
        reference="https://doi.org/10.1080/14640748808402300",
    )


MODELS = {"bayes": bayes}
