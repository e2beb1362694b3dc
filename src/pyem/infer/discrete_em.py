"""Hierarchical EM with parameters that have one of a few values: people are a mixture over the values."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.opaque import is_opaque
from pyem.errors import ModelError
from pyem.infer.conditional import Conditional
from pyem.infer.discrete import embedded
from pyem.infer.em_loop import EMRun, run_em
from pyem.infer.em_ways import Search
from pyem.infer.natural_prior import given_prior
from pyem.infer.progress import progress_line
from pyem.infer.side_by_side import Values, Way, side_by_side
from pyem.model.model import Model
from pyem.population.group import Group
from pyem.population.posterior import GaussianPrior, Laplace, Moments, Status


def require_simple(model: Model, group: Group, integrate: str, *elsewhere: Any) -> None:
    """Raise unless a group can be fitted to a model with discrete parameters.

    Raises
    ------
    ModelError
        If the group is not Gaussian with independent parameters, people are to be integrated out exactly, or the fit is to be
        kept or to run `elsewhere` (a checkpoint, a cluster).
    """
    names = ", ".join(model.discrete)
    simple = group.family == "gaussian" and group.covariance == "diagonal" and not group.common and not group.covariates
    if (
        not simple
        or integrate != "laplace"
        or any(one is not None for one in elsewhere)
        or model.design
        or model.autoscale
        or is_opaque(model)
    ):
        raise ModelError(
            f"model {model.name!r} has the discrete parameter {names}, with which fit_em fits a Gaussian group of independent "
            "parameters without covariates, by Laplace approximation, in one place: leave group, integrate, checkpoint and "
            "cluster out, or hold it (pyem.fix)"
        )


class Mixture:
    """The E-step: everybody's posterior over the values of discrete parameters, and over the others given each.

    Parameters
    ----------
    search
        The searches given what is held.
    combinations
        The values, (C, D), all of them as likely before the data.
    discrete
        (P,): which parameters of the group they are.
    modes
        Starting points of the searches, (C, S, P - D).
    """

    def __init__(self, search: Conditional, combinations: np.ndarray, discrete: np.ndarray, modes: np.ndarray) -> None:
        self._search, self._combinations, self._discrete = search, combinations, discrete
        self._x = modes
        self.found: list[Laplace] = []
        """Posterior given each combination, as of the last call."""
        self.weights = np.empty((0, 0))
        """Posterior probability of each combination, (C, S)."""

    def __call__(self, prior: GaussianPrior, tol: float) -> Laplace:
        """Means and covariances of everybody's posterior, with the log evidence."""
        inside = inner(prior, ~self._discrete)
        held = np.repeat(self._combinations[:, None], self._x.shape[1], axis=1)
        self.found = self._search.modes(self._x, held, tol, inside)
        modes = np.array([one.mode for one in self.found])
        self._x = np.where(np.isfinite(modes), modes, self._x)
        evidence = np.array([_log_evidence(one, inside) for one in self.found])
        top = evidence.max(0)
        lost = ~np.isfinite(top)
        shares = np.where(lost, 1.0, np.exp(evidence - np.where(lost, 0.0, top)))
        self.weights = shares / shares.sum(0)
        total = np.where(lost, np.nan, top + np.log(shares.mean(0)))
        return self._moments(total)

    def _moments(self, log_evidence: np.ndarray) -> Laplace:
        mode, cov = (np.array([getattr(one, name) for one in self.found]) for name in ("mode", "cov"))
        usable = np.array([one.usable for one in self.found])
        weights = np.where(usable, self.weights, 0.0)[..., None]
        each = np.empty((*mode.shape[:2], len(self._discrete)))
        each[..., ~self._discrete] = np.where(usable[..., None], mode, 0.0)
        each[..., self._discrete] = self._combinations[:, None]
        mean = (weights * each).sum(0)
        gap = each - mean
        spread = np.einsum("cs,csp,csq->spq", weights[..., 0], gap, gap)
        rows = np.flatnonzero(~self._discrete)
        inner = np.where(usable[..., None, None], cov, 0.0)
        spread[:, rows[:, None], rows] += np.einsum("cs,cspq->spq", weights[..., 0], inner)
        status = np.where(np.isfinite(log_evidence), self.best("status"), int(Status.NOT_FINITE))
        return Moments(mean, spread, log_evidence, np.zeros(len(mean)), status)

    def best(self, name: str) -> np.ndarray:
        """A field of the posterior given everybody's most probable combination."""
        return np.array([getattr(self.found[k], name)[s] for s, k in enumerate(self.weights.argmax(0))])


def inner(prior: GaussianPrior, places: np.ndarray) -> GaussianPrior:
    """The prior of some of the parameters (P,), which are independent of the others."""
    return GaussianPrior(prior.mean[:, places], prior.precision[np.ix_(places, places)], prior.weight[:, places])


def log_density(x: np.ndarray, prior: GaussianPrior) -> np.ndarray:
    """Log-density (S,) of a Gaussian prior at (S, P)."""
    gap = x - prior.mean
    square = np.einsum("sp,pq,sq->s", gap, prior.precision, gap)
    return 0.5 * (np.linalg.slogdet(prior.precision)[1] - square - gap.shape[1] * math.log(2 * math.pi))


def _log_evidence(found: Laplace, prior: GaussianPrior) -> np.ndarray:
    """Log evidence (S,) by Laplace approximation; minus infinity where it is not finite."""
    value = found.log_evidence(log_density(found.mode, prior))
    return np.where(np.isfinite(value) & found.usable, value, -np.inf)


@dataclasses.dataclass(frozen=True)
class DiscreteEM:
    """The group and people at which the iteration ended."""

    run: EMRun
    people: Laplace
    """Everybody's mode given the most probable values."""
    log_prior: np.ndarray
    """Log prior density (S,) at these modes."""
    trace: dict[str, np.ndarray]
    """The probabilities of the values."""


def discrete_em(
    search: Search, held: dict[Values, Model], data: Dataset, start: Any, starts: int, progress: bool | None
) -> DiscreteEM:
    """EM over a mixture of the values of discrete parameters, from the best modes under the typical population.

    All values are as likely before the data. The group's mean and sd of a discrete parameter say how it is spread over people.

    Parameters
    ----------
    search
        The iteration for the whole model.
    held
        The model with each combination held.
    data, start, starts, progress
        Arguments as in `pyem.fit_em`; `start` without the discrete parameters.
    """
    model, told = search.model, {"priors": None, "mean": None, "sd": None, "log_prior": None}
    way = Way(lambda one: given_prior(one, data, **told), max_iter=100, key=search.seed)
    rounds = side_by_side(way, list(model.discrete), held, data, start, starts)
    discrete = np.array([name in model.discrete for name in model.names])
    estep = Mixture(rounds.search, rounds.combinations, discrete, np.array([one.mode for one in rounds.found]))
    middle = np.tile(model.typical[0], (data.n_subjects, 1))
    with progress_line(progress, f"EM {model.name}", search.max_iter) as say:
        report = say and (
            lambda n, value, change: say(n, f"iteration {n}, log evidence {value:.3f}, change {change:.1e}")
        )
        options = {"max_iter": search.max_iter, "tol": search.tol, "accelerate": search.accelerate, "report": report}
        run = run_em(estep, search.population(middle, False), **options, scale=model.typical[1])
    best = estep.weights.argmax(0)
    x, cov, trace = embedded(model, estep.best("mode"), estep.best("cov"), best, estep.weights, rounds.combinations)
    people = Laplace(x, cov, estep.best("log_lik"), estep.best("log_det"), estep.best("status"))
    log_prior = log_density(people.mode[:, ~discrete], inner(run.population.prior, ~discrete)) - math.log(len(held))
    return DiscreteEM(run, people, log_prior, run.trace | trace)
