"""Models: parameters and their transforms, distributions of responses, modifiers, and the scan over trials."""

from pyem.model.distribution import Bernoulli, Binomial, Categorical, Normal, Poisson
from pyem.model.model import Model
from pyem.model.modifiers import (
    fix,
    tie,
    with_cues,
    with_eligibility,
    with_forgetting,
    with_lapse,
    with_range,
    with_side_bias,
    with_stickiness,
)
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.rollout import rollout
from pyem.model.transform import Interval, Ordered, Positive, Probit, Real

__all__ = [
    "Bernoulli",
    "Binomial",
    "Categorical",
    "Interval",
    "Model",
    "Normal",
    "Ordered",
    "Parameter",
    "Poisson",
    "Positive",
    "Probit",
    "Real",
    "Record",
    "fix",
    "rollout",
    "tie",
    "with_cues",
    "with_eligibility",
    "with_forgetting",
    "with_lapse",
    "with_range",
    "with_side_bias",
    "with_stickiness",
]
