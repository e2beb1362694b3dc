"""Result of `EMModel.fit`."""

from __future__ import annotations

import dataclasses

import numpy as np


class NotFittedError(ValueError, RuntimeError):
    """The model has not been fitted yet."""


@dataclasses.dataclass(eq=False)
class FitResult:
    """A fit by hierarchical EM.

    Parameters
    ----------
    m
        Every subject's mode, unconstrained, (P, S).
    inv_h
        Inverse Hessian of every subject's negative log-posterior at the mode, (P, P, S).
    posterior_mu, posterior_sigma
        Mean and *variance* of the group, (P,).
    NPL, NLPrior, NLL
        Negative log-posterior, minus the log prior density, and negative log-likelihood of each subject, (S,), in nats.
    convergence
        Whether the iteration came to its end.
    """

    m: np.ndarray
    inv_h: np.ndarray
    posterior_mu: np.ndarray
    posterior_sigma: np.ndarray
    NPL: np.ndarray
    NLPrior: np.ndarray
    NLL: np.ndarray
    convergence: bool
