"""Point estimates: maximum likelihood, maximum a posteriori, and hierarchical EM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.validate import validate
from pyem.infer.laplace import JaxEStep
from pyem.infer.natural_prior import NaturalPrior, natural_log_prior
from pyem.infer.outcome import as_point_fit, ended
from pyem.model.model import Model
from pyem.population.group import Group
from pyem.population.population import populate
from pyem.population.posterior import GaussianPrior, Laplace
from pyem.results.point import PointFit


def fit_map(
    model: Model,
    data: Dataset,
    *,
    mean: Any = None,
    sd: Any = None,
    log_prior: Callable[[Any], Any] | None = None,
    max_steps: int = 200,
) -> PointFit:
    """Maximum a posteriori estimates of every subject under one given prior.

    Parameters
    ----------
    model, data
        What to fit to what.
    mean, sd
        (P,) of a Gaussian prior on the unconstrained scale; the model's typical population if not given.
    log_prior
        Instead, a traceable function of the named natural parameters of one subject, for example
        ``lambda p: -p.beta / 5``: a log-density *of the natural parameters*; the Jacobian of the transforms is added.
    max_steps
        Evaluations for each subject, at most.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=3, key=1)
    >>> pyem.fit_map(model, data).x.shape
    (3, 2)
    """
    validate(model, data)
    if log_prior is not None and (mean is not None or sd is not None):
        raise ValueError("give either log_prior or mean and sd, not both")
    typical_mean, typical_sd = model.typical
    mean = np.broadcast_to(np.asarray(typical_mean if mean is None else mean, float), (model.n_params,))
    sd = np.broadcast_to(np.asarray(typical_sd if sd is None else sd, float), (model.n_params,))
    if not (np.isfinite(mean).all() and np.isfinite(sd).all() and (sd > 0).all()):
        raise ValueError(f"the prior needs finite means and sds above 0, but was given mean={mean}, sd={sd}")
    estep = JaxEStep(model, data, np.tile(mean, (data.n_subjects, 1)), max_steps=max_steps)
    if log_prior is not None:
        laplace = estep.general(NaturalPrior(model, log_prior))
        density = natural_log_prior(model, log_prior, laplace.mode)
        return as_point_fit(
            "map", model, data, laplace, None, None, *ended(laplace), {}, log_prior=density, stacklevel=3
        )
    population = populate(Group(), names=model.names, mean=mean, sd=sd, covariates={}, n_subjects=data.n_subjects)
    laplace = estep(population.prior)
    return as_point_fit("map", model, data, laplace, population, None, *ended(laplace), {}, stacklevel=3)


def fit_mle(model: Model, data: Dataset, *, starts: int = 5, key: int | Any = 0, max_steps: int = 200) -> PointFit:
    """Maximum-likelihood estimates of every subject, the best of several starts.

    Parameters
    ----------
    model, data
        What to fit to what.
    starts
        Number of starting points: the typical parameters, and random ones around them.
    key
        Seed of the random starts.
    max_steps
        Evaluations for each subject and start, at most.

    Notes
    -----
    The likelihood of few trials often has no maximum inside the range of the parameters (someone who always chooses the
    same): such subjects have the status "at the boundary" or "flat likelihood".

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=3, key=1)
    >>> bool((pyem.fit_mle(model, data).log_lik >= pyem.fit_map(model, data).log_lik - 1e-9).all())
    True
    """
    validate(model, data)
    if starts < 1:
        raise ValueError(f"starts={starts}; at least one starting point is needed")
    mean, sd = model.typical
    shape = (data.n_subjects, model.n_params)
    flat = GaussianPrior(np.zeros(shape), np.zeros((model.n_params, model.n_params)), np.ones(shape))
    draws = np.random.default_rng(_seed(key)).normal(size=(starts - 1, *shape))
    best: Laplace | None = None
    for start in [np.tile(mean, (data.n_subjects, 1)), *(mean + 1.5 * sd * draws)]:
        found = JaxEStep(model, data, start, max_steps=max_steps)(flat)
        best = found if best is None else _better(best, found)
    assert best is not None
    return as_point_fit("mle", model, data, best, None, None, *ended(best), {}, stacklevel=3)


def _better(a: Laplace, b: Laplace) -> Laplace:
    rank = lambda fit: np.where(np.isfinite(fit.log_lik), fit.log_lik, -np.inf)  # noqa: E731
    take = rank(b) > rank(a) + 1e-9
    pick = lambda one, other: np.where(take.reshape(-1, *[1] * (one.ndim - 1)), other, one)  # noqa: E731
    return Laplace(*(pick(one, other) for one, other in zip(a, b, strict=True)))


def _seed(key: Any) -> int:
    if isinstance(key, int | np.integer):
        return int(key)
    return int(np.asarray(jax.random.key_data(key)).ravel()[-1])
