"""Fits of several models at once, of which each person has one with a probability: predictions are means over the models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pyem.results.fit import Fit
from pyem.results.hbi import HBIFit


class Share(NamedTuple):
    """One model's part in a prediction."""

    fit: Fit
    person: np.ndarray
    """Probability that each fitted person has this model, (S,)."""
    anybody: float
    """Probability that a new person has this model."""


def shares(found: Any) -> list[Share]:
    """Return the models of a fit; a fit of one model is everybody's.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("bias")
    >>> data = pyem.simulate(model, subjects=3, key=1)
    >>> [(share.person, share.anybody) for share in shares(pyem.fit_map(model, data))]
    [(array([1., 1., 1.]), 1.0)]
    """
    if not isinstance(found, HBIFit):
        return [Share(found, np.ones(found.data.n_subjects), 1.0)]
    columns = zip(found.fits.items(), found.responsibilities.T, strict=True)
    return [Share(fit, column, found.frequency[name]) for (name, fit), column in columns]


def mixed(values: Sequence[np.ndarray], weights: Sequence[Any]) -> np.ndarray:
    """Average likelihoods over models: the log of their mean, (S,).

    Given are their logs (S,) under each model, and the models' probabilities, (S,) or a number.

    A model of probability 0 has no say, even if its value is unknown.

    Examples
    --------
    >>> print(mixed([np.log([0.2, 0.4]), np.array([np.log(0.6), np.nan])], [np.array([0.5, 1.0]), np.array([0.5, 0.0])]))
    [-0.91629073 -0.91629073]
    """
    if len(values) == 1:
        return values[0]
    from scipy.special import logsumexp

    share = np.stack([np.broadcast_to(weight, one.shape) for weight, one in zip(weights, values, strict=True)])
    return np.asarray(logsumexp(np.where(share == 0, -np.inf, np.stack(values)), axis=0, b=share))


def log_mean_exp(values: np.ndarray) -> np.ndarray:
    """Average likelihoods along the first axis: the log of their mean, given their logs."""
    from scipy.special import logsumexp

    return np.asarray(logsumexp(values, axis=0)) - math.log(len(values))
