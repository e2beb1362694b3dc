"""Signal detection: telling a signal from noise, with and without ratings of confidence, and which of two places has it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.ratings import Ordinal, log_between
from pyem.model.record import Record
from pyem.model.times.tails import log_ndtr
from pyem.model.transform import Positive, Real
from pyem.models.judgement import judged, shown
from pyem.models.rating import spread_thresholds

D_PRIME = Parameter("d_prime", Real(), "distance between signal and noise, in sds of the noise", mean=1.2, sd=0.6)
CRITERION = Parameter("criterion", Real(), "criterion, from the middle between noise and signal, in sds", sd=0.4)
SIGMA = Parameter("sigma", Positive(), "sd of the signal's evidence, in sds of the noise", mean=0.2, sd=0.25)
BIAS = Parameter("bias", Real(), "bias against the second place, in sds of the difference", sd=0.3)

_DORFMAN = "https://doi.org/10.1016/0022-2496(69)90019-4"
_STANISLAW = "https://doi.org/10.3758/BF03207704"
_DECARLO = "https://doi.org/10.1016/j.jmp.2012.02.004"


def yes_or_no(evidence: Array) -> Categorical:
    """Choose option 1 with the normal probability of `evidence`, else 0; the logarithms of both are exact."""
    return Categorical(jnp.stack([log_ndtr(-evidence), log_ndtr(evidence)]))


def _side(trial: Record, column: str = "signal") -> Array:
    """Return 1/2 where there is a signal, and -1/2 where there is none."""
    return jnp.where(trial[column] == 1, 0.5, -0.5)


@dataclasses.dataclass(frozen=True)
class _YesNo:
    kind: Literal["yes_no", "afc"]

    def evidence(self, p: Record, trial: Record) -> Array:
        if self.kind == "afc":
            return math.sqrt(2) * p.d_prime * _side(trial) - p.bias
        return p.d_prime * _side(trial) - p.criterion

    def __call__(self, p: Record, trial: Record) -> Categorical:
        return yes_or_no(self.evidence(p, trial))

    def latents(self, p: Record, trial: Record) -> dict[str, Array]:
        return {"p_yes": jnp.exp(log_ndtr(self.evidence(p, trial)))}


@functools.lru_cache
def sdt() -> Model:
    """Yes (``choice`` 1) or no (0): was there a ``signal`` (1) or noise only (0)? Both have the same variance.

    P(yes) = Phi(d_prime / 2 - criterion) where there is a signal, and Phi(-d_prime / 2 - criterion) where there is none. By
    `fit_mle`, d_prime = z(hits) - z(false alarms) and criterion = -(z(hits) + z(false alarms)) / 2.

    References
    ----------
    Stanislaw, H., & Todorov, N. (1999). Calculation of signal detection theory measures. Behavior Research Methods,
    Instruments, & Computers, 31(1), 137-149. https://doi.org/10.3758/BF03207704

    Examples
    --------
    >>> sdt().names, sdt().columns
    (('d_prime', 'criterion'), ('signal', 'choice'))
    """
    return judged(
        "sdt",
        (D_PRIME, CRITERION),
        _YesNo("yes_no"),
        options=2,
        inputs=("signal",),
        input_codes=(("signal", 2),),
        share=True,
        task=shown(0, signal=(0.0, 1.0)),
        doc="signal detection, yes or no, equal variances",
        reference=_STANISLAW,
    )


@functools.lru_cache
def two_afc() -> Model:
    """Two-alternative forced choice: the place or interval of the signal (``signal`` 0 or 1, as ``choice``), with a bias.

    P(choice = 1) = Phi(d_prime / sqrt(2) - bias) where the second one had it, and Phi(-d_prime / sqrt(2) - bias) where the
    first one had it: ``d_prime`` is that of a single place, as of `sdt`.

    References
    ----------
    DeCarlo, L. T. (2012). On a signal detection approach to m-alternative forced choice with bias, with maximum likelihood and
    Bayesian approaches to estimation. Journal of Mathematical Psychology, 56(3), 196-207.
    https://doi.org/10.1016/j.jmp.2012.02.004

    Examples
    --------
    >>> two_afc().names
    ('d_prime', 'bias')
    """
    return judged(
        "two_afc",
        (D_PRIME, BIAS),
        _YesNo("afc"),
        options=2,
        inputs=("signal",),
        input_codes=(("signal", 2),),
        share=True,
        task=shown(0, signal=(0.0, 1.0)),
        doc="signal detection, choice between two places, with a bias",
        reference=_DECARLO,
    )


@dataclasses.dataclass(frozen=True)
class _Rating:
    unequal: bool

    def __call__(self, p: Record, trial: Record) -> Ordinal | Categorical:
        place = p.d_prime * _side(trial)
        if not self.unequal:
            return Ordinal(place, p.criterion, "probit")
        spread = jnp.where(trial.signal == 1, p.sigma, 1.0)
        found = log_between((p.criterion - place) / jnp.where(spread > 0, spread, 1.0), "probit")
        # Without any spread there is one rating only.
        alone = jnp.where(jnp.arange(found.shape[-1]) == (p.criterion < place).sum(), 0.0, -jnp.inf)
        return Categorical(jnp.where(spread > 0, found, alone))

    def latents(self, p: Record, trial: Record) -> dict[str, Array]:
        chances = jnp.exp(self(p, trial).logits)
        return {"predicted": (chances * jnp.arange(chances.shape[-1])).sum(-1)}


@functools.lru_cache
def sdt_rating(levels: int = 6, unequal: bool = False) -> Model:
    """Ratings of a ``signal``: ``rating_level`` from 0, surely noise, to ``levels - 1``, surely a signal.

    Evidence is normal, around -d_prime / 2 with the sd 1 for noise and around d_prime / 2 for a signal. A rating of k says that
    it was between the criteria k - 1 and k.

    Parameters
    ----------
    levels
        Number of ratings; there is one criterion less.
    unequal
        Whether the evidence of signals has an sd of its own, ``sigma``. Usually it is above 1 in recognition memory.

    References
    ----------
    Green, D. M., & Swets, J. A. (1966). Signal Detection Theory and Psychophysics. Wiley.

    Dorfman, D. D., & Alf, E. (1969). Maximum-likelihood estimation of parameters of signal-detection theory and determination
    of confidence intervals: Rating-method data. Journal of Mathematical Psychology, 6(3), 487-496.
    https://doi.org/10.1016/0022-2496(69)90019-4

    Examples
    --------
    >>> sdt_rating(3, unequal=True).names
    ('d_prime', 'sigma', 'criterion0', 'criterion1')
    """
    if levels < 3:
        raise ValueError(f"levels={levels}; of two levels, which are yes and no, the model is 'sdt'")
    criteria = spread_thresholds(levels, "criteria, from the middle between noise and signal, in sds", 1.2, "criterion")
    return judged(
        "sdt_rating_unequal" if unequal else "sdt_rating",
        (D_PRIME, *((SIGMA,) if unequal else ()), criteria),
        _Rating(unequal),
        responses=("rating_level",),
        options=levels,
        inputs=("signal",),
        input_codes=(("signal", 2),),
        share=True,
        task=shown(0, signal=(0.0, 1.0)),
        doc=f"signal detection, ratings, {'unequal' if unequal else 'equal'} variances",
        reference=_DORFMAN,
    )


MODELS: dict[str, Callable[..., Model]] = {
    "sdt": sdt,
    "sdt_rating": sdt_rating,
    "sdt_rating_unequal": functools.partial(sdt_rating, unequal=True),
    "two_afc": two_afc,
}
