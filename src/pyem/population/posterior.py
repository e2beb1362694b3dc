"""Arguments and results of an E-step: people's priors, the Laplace approximation of posteriors, the status of searches."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

T = TypeVar("T")


class GaussianPrior(NamedTuple):
    """Each subject's prior: ``N(mean_s, (precision * sqrt(weight_s weight_s'))^-1)``."""

    mean: np.ndarray
    """Mean of each subject's prior, (S, P)."""
    precision: np.ndarray
    """Precision matrix (P, P), shared by all subjects."""
    weight: np.ndarray
    """Weight of each subject's precision, (S, P): 1 for a Gaussian group, less for outlying people under heavy tails."""


class Laplace(NamedTuple):
    """The Laplace approximation of every subject's posterior."""

    mode: np.ndarray
    """Mode of each subject's posterior, unconstrained, (S, P)."""
    cov: np.ndarray
    """Inverse Hessian of the negative log joint density at the mode, (S, P, P)."""
    log_lik: np.ndarray
    """Log-likelihood at the mode, in nats, (S,)."""
    log_det: np.ndarray
    """Log-determinant of that Hessian, (S,)."""
    status: np.ndarray
    """Status of each subject's search, (S,); see `Status`."""

    @property
    def usable(self) -> np.ndarray:
        """(S,): subjects that inform the group: the likelihood and its derivatives are finite."""
        return is_known(self.status)

    @property
    def scale_weights(self) -> np.ndarray | None:
        """(S, P): expected weights of the scale mixture if the E-step computes them; None if its moments imply them."""
        return None

    @property
    def derivatives(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Gradient (S, P) and Hessian (S, P, P) of the log-likelihood at the mode if the E-step computes them, else None."""
        return None

    @property
    def n_usable(self) -> int:
        """Number of subjects that inform the group."""
        return int(self.usable.sum())

    def total(self, function: Callable[[Any, Laplace], T], population: Any) -> T:
        """Sum a function of a population and of its people over the people."""
        return function(population, self)

    def rows(self, function: Callable[[Any, Laplace], np.ndarray], population: Any) -> np.ndarray:
        """Return all rows of a function of a population and of its people that has one row for each person."""
        return function(population, self)

    def whole(self) -> Laplace:
        """Return everybody's Laplace approximation."""
        return self

    def reordered(self, order: np.ndarray) -> Laplace:
        """Return the approximation with the parameters in another order."""
        if (order == np.arange(len(order))).all():
            return self
        return self._replace(mode=self.mode[:, order], cov=self.cov[:, order][:, :, order])

    def log_evidence(self, log_prior: np.ndarray) -> np.ndarray:
        """(S,): log marginal likelihood by Laplace approximation, in nats, from the log prior at the mode."""
        return self.log_lik + log_prior + 0.5 * self.mode.shape[1] * math.log(2 * math.pi) - 0.5 * self.log_det


class Modes(Laplace):
    """Modes with the derivatives of the likelihood."""

    _known: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def known(cls, laplace: Laplace, grad: np.ndarray, hess: np.ndarray) -> Modes:
        """Add the gradient (S, P) and Hessian (S, P, P) of the log-likelihood to an approximation."""
        out = cls(*laplace)
        out._known = grad, hess
        return out

    @property
    def derivatives(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Gradient (S, P) and Hessian (S, P, P) of the log-likelihood at the mode."""
        return self._known

    def reordered(self, order: np.ndarray) -> Laplace:
        """Return the modes with the parameters in another order."""
        out = super().reordered(order)
        if self._known is None:
            return out
        grad, hess = self._known
        return Modes.known(out, grad[:, order], hess[:, order][:, :, order])


def joined(parts: Sequence[Laplace]) -> Laplace:
    """Join the approximations of several parts of the people."""
    out = Laplace(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    known = [part.derivatives for part in parts]
    if any(each is None for each in known):
        return out
    grad, hess = (np.concatenate(each) for each in zip(*known, strict=True))  # type: ignore[arg-type]
    return Modes.known(out, grad, hess)


class Moments(Laplace):
    """Posterior mean and covariance in place of mode and curvature; ``log_lik`` is the log evidence, exact."""

    _weights: np.ndarray | None = None

    @classmethod
    def weighted(cls, moments: Moments, weights: np.ndarray) -> Moments:
        """Moments whose mean and covariance are weighted by a scale mixture, with the expected weights (S, P)."""
        out = cls(*moments)
        out._weights = weights
        return out

    @property
    def scale_weights(self) -> np.ndarray | None:
        """(S, P): expected weights of the scale mixture; None for a Gaussian group."""
        return self._weights

    def reordered(self, order: np.ndarray) -> Laplace:
        """Return the moments with the parameters in another order."""
        out = Moments(*super().reordered(order))
        return out if self._weights is None else Moments.weighted(out, self._weights[:, order])

    def log_evidence(self, log_prior: np.ndarray) -> np.ndarray:
        """Log evidence (S,), in nats, which is exact."""
        del log_prior
        return self.log_lik


class Found(Protocol):
    """Result of an E-step as an iteration of EM uses it, wherever people's approximations are kept."""

    @property
    def n_usable(self) -> int:
        """Number of subjects that inform the group."""
        ...

    def total(self, function: Callable[[Any, Laplace], T], population: Any) -> T:
        """Sum a function of a population and of its people over the people."""
        ...

    def rows(self, function: Callable[[Any, Laplace], np.ndarray], population: Any) -> np.ndarray:
        """Return all rows of a function of a population and of its people that has one row for each person."""
        ...

    def whole(self) -> Laplace:
        """Return everybody's Laplace approximation."""
        ...

    def reordered(self, order: np.ndarray) -> Found:
        """Return the result with the parameters in another order."""
        ...


class EStep(Protocol):
    """An E-step: the Laplace approximation under a prior, started from the last one."""

    def __call__(self, prior: GaussianPrior, tol: float) -> Laplace:
        """All subjects' modes, to within `tol` nats."""
        ...


class Status(enum.IntEnum):
    """Status of the search for one subject's mode.

    ``CONVERGED``: at a mode with a regular curvature. ``MAX_STEPS``: too few evaluations were allowed. ``NOT_FINITE``: the
    likelihood or a derivative is not finite. ``FLAT``: the likelihood does not depend on a parameter. ``AT_BOUND``: the
    estimate is at an end of a parameter's range, as far as the likelihood tells. ``STUCK``: no step was better, although the
    slope says that there is something to gain, as at the edge of where the likelihood is finite, or at a sharp corner.
    ``NOT_COVERED``: the points that a posterior is integrated over do not cover it. ``DIVERGED``: an update of the model has
    no value at the parameters where the search ended, so that the likelihood is zero.
    """

    CONVERGED = 0
    MAX_STEPS = 1
    NOT_FINITE = 2
    FLAT = 3
    AT_BOUND = 4
    STUCK = 5
    NOT_COVERED = 6
    DIVERGED = 7

    @property
    def text(self) -> str:
        """A few words for tables."""
        return {
            Status.CONVERGED: "ok",
            Status.MAX_STEPS: "not converged",
            Status.NOT_FINITE: "likelihood not finite",
            Status.FLAT: "flat likelihood",
            Status.AT_BOUND: "at the boundary",
            Status.STUCK: "search stuck",
            Status.NOT_COVERED: "posterior not covered",
            Status.DIVERGED: "update diverged",
        }[self]


# Plain numbers: this is asked for many times in each iteration.
_NOT_FINITE, _DIVERGED = int(Status.NOT_FINITE), int(Status.DIVERGED)


def is_known(status: np.ndarray) -> np.ndarray:
    """(S,): whether a status says that the likelihood is finite; people without a finite one are left out of the group."""
    return (status != _NOT_FINITE) & (status != _DIVERGED)
