"""Metacognition: how well confidence tells right decisions from wrong ones."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from jax import Array

from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.ratings import Steps
from pyem.model.record import Record
from pyem.model.times.tails import log_ndtr
from pyem.model.transform import Positive
from pyem.models.detection import CRITERION, D_PRIME, yes_or_no
from pyem.models.judgement import judged, shown

Held = Literal["relative", "absolute"]

M_RATIO = Parameter("m_ratio", Positive(), "metacognitive efficiency: meta-d' / d'", mean=-0.2, sd=0.4)

_FLEMING = "https://doi.org/10.1093/nc/nix007"


def _steps(name: str, option: int, levels: int) -> Parameter:
    doc = f"distances between the criteria of confidence in option {option}, in sds, from the criterion outwards"
    return Parameter(name, Positive(), doc, mean=math.log(1.5 / levels), sd=0.4, size=levels - 1)


@dataclasses.dataclass(frozen=True)
class _Confidence:
    held: Held

    def __call__(self, p: Record, trial: Record) -> dict[str, Any]:
        side = jnp.where(trial.signal == 1, 0.5, -0.5)
        return {
            "choice": yes_or_no(p.d_prime * side - p.criterion),
            "confidence_level": lambda later: self.confidence(p, side, later.choice == 1),
        }

    def confidence(self, p: Record, side: Array, chosen: Array) -> Steps:
        """Distribution of the level of confidence, given the chosen side of the criterion."""
        place, sign = p.m_ratio * p.d_prime * side, jnp.where(chosen, 1.0, -1.0)
        border = p.criterion * (p.m_ratio if self.held == "relative" else 1.0)
        # Mirrored for option 0, so that confidence grows to the right for both.
        return Steps(sign * (border - place), jnp.where(chosen, p.steps1, p.steps0))

    def latents(self, p: Record, trial: Record) -> dict[str, Array]:
        side = jnp.where(trial.signal == 1, 0.5, -0.5)
        return {"p_yes": jnp.exp(log_ndtr(p.d_prime * side - p.criterion)), "meta_d": p.m_ratio * p.d_prime}


@functools.lru_cache
def meta_d(levels: int = 4, held: Held = "relative") -> Model:
    """Meta-d': decisions (``choice``) of which of two stimuli (``signal``) there was, and the ``confidence_level`` of each.

    Decisions are as in `sdt`. Confidence is what an observer with the sensitivity meta-d' = m_ratio d_prime would report who
    came to the same decision: with ``m_ratio`` = 1 it uses all that the decision used, below 1 less. Decisions and confidence
    are fitted together, so that the uncertainty about d' is part of that about ``m_ratio``.

    Where the criterion of the second decision lies, see `held`, is as in the parameterizations that the maintainers of HMeta-d
    describe.

    Parameters
    ----------
    levels
        Number of levels of confidence, codes 0, 1, ... from the lowest.
    held
        Criterion that decisions and confidence have in common: the criterion in units of d', as Maniscalco and Lau have it
        (``"relative"``), or in sds of the noise, as HMeta-d has it (``"absolute"``).

    References
    ----------
    Maniscalco, B., & Lau, H. (2012). A signal detection theoretic approach for estimating metacognitive sensitivity from
    confidence ratings. Consciousness and Cognition, 21(1), 422-430. https://doi.org/10.1016/j.concog.2011.09.021

    Fleming, S. M. (2017). HMeta-d: hierarchical Bayesian estimation of metacognitive efficiency from confidence ratings.
    Neuroscience of Consciousness, 2017(1), nix007. https://doi.org/10.1093/nc/nix007

    Examples
    --------
    >>> meta_d(2).names
    ('d_prime', 'criterion', 'm_ratio', 'steps00', 'steps10')
    """
    if levels < 2 or held not in ("relative", "absolute"):
        raise ValueError(
            f"levels={levels}, held={held!r}; there are at least 2 levels, and held is 'relative' or 'absolute'"
        )
    return judged(
        "meta_d",
        (D_PRIME, CRITERION, M_RATIO, _steps("steps0", 0, levels), _steps("steps1", 1, levels)),
        _Confidence(held),
        responses=("choice", "confidence_level"),
        options=2,
        between=(("confidence_level", ("choice",)),),
        inputs=("signal",),
        input_codes=(("signal", 2), ("confidence_level", levels)),
        task=shown(0, signal=(0.0, 1.0)),
        doc="meta-d': decisions and confidence in them",
        reference=_FLEMING,
    )


MODELS: dict[str, Callable[..., Model]] = {"meta_d": meta_d}
