"""Exact posteriors of one or two parameters per person, by quadrature on a grid: the reference for the other methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.validate import validate
from pyem.infer.em import fit_em
from pyem.infer.em_loop import run_em
from pyem.infer.laplace import JaxEStep
from pyem.infer.natural_prior import NaturalPrior
from pyem.infer.quadrature import (
    FARTHEST,
    GridEStep,
    Grids,
    LogPrior,
    gaussian_log_prior,
    log_lik_on,
    make_grids,
    moments,
)
from pyem.infer.standard_errors import oakes_information
from pyem.model.model import Model
from pyem.population.group import Group
from pyem.population.population import Population, populate
from pyem.population.posterior import Status
from pyem.results.grid import GridFit


def fit_grid(
    model: Model,
    data: Dataset,
    *,
    group: Group | Population | None = None,
    mean: Any = None,
    sd: Any = None,
    log_prior: Callable[[Any], Any] | None = None,
    tol: float = 1e-8,
    max_points: int = 513,
) -> GridFit:
    """The exact posterior of every subject, for models with one or two parameters.

    The trapezoid rule on a grid around each subject's posterior converges faster than any power of the spacing, so that
    the result is exact to about `tol`. Other modes of a posterior are found if they lie in the prior's range.

    Parameters
    ----------
    model, data
        What to fit to what.
    group
        A Gaussian `Group` is estimated by maximum marginal likelihood (EM with exact E-steps). A `Population`, such as
        ``fit.population`` of another fit, is taken as it is. None: one given prior for all subjects.
    mean, sd
        (P,) of a Gaussian prior on the unconstrained scale; the model's typical population if not given.
    log_prior
        Instead, a traceable function of the named natural parameters of one subject: a log-density of the natural
        parameters, as in `fit_map`.
    tol
        Error of the log evidence of every subject, in nats. The grid is refined until every other point alone gives the
        evidence to the root of this; halving the spacing then squares the error.
    max_points
        Grid points along each parameter, at most.

    Raises
    ------
    ValueError
        If the model has more than two parameters, or the group is not Gaussian.

    References
    ----------
    Trefethen, L. N., & Weideman, J. A. C. (2014). The exponentially convergent trapezoidal rule. SIAM Review, 56(3),
    385-458. https://doi.org/10.1137/130932132

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_grid(model, pyem.simulate(model, subjects=2, key=1))
    >>> fit.params.shape
    (2, 2)
    """
    if model.n_params not in (1, 2):
        raise ValueError(
            f"fit_grid integrates over one or two parameters, but model {model.name!r} has {model.n_params}; hold some "
            "at a value with fix(model, ...), or use fit_nuts"
        )
    validate(model, data)
    if group is not None and (mean is not None or sd is not None or log_prior is not None):
        raise ValueError("give either group or a prior (mean and sd, or log_prior), not both")
    _gaussian_only(group)
    if isinstance(group, Group):
        return _fit_group(model, data, group, tol, max_points)
    if log_prior is not None:
        if mean is not None or sd is not None:
            raise ValueError("give either log_prior or mean and sd, not both")
        return _fit_general(model, data, NaturalPrior(model, log_prior), tol, max_points)
    population = group if isinstance(group, Population) else _given(model, data, mean, sd)
    if population.design.shape[0] != data.n_subjects or population.cov.shape[0] != model.n_params:
        raise ValueError(
            f"the population is of {population.design.shape[0]} subjects and {population.cov.shape[0]} parameters, but there "
            f"are {data.n_subjects} and {model.n_params}; pass the population of a fit of this model to these data"
        )
    grids = make_grids(model, data, gaussian_log_prior(population), _prior_box(population), tol, max_points)
    return _result(model, data, grids, gaussian_log_prior(population), population, None, group is not None)


def _gaussian_only(group: Group | Population | None) -> None:
    kind = group.group if isinstance(group, Population) else group
    if kind is not None and kind.family != "gaussian":
        raise ValueError(f"fit_grid needs a Gaussian group, but was given a {kind.family} one; use fit_em or fit_nuts")


def _given(model: Model, data: Dataset, mean: Any, sd: Any) -> Population:
    typical_mean, typical_sd = model.typical
    mean = np.broadcast_to(np.asarray(typical_mean if mean is None else mean, float), (model.n_params,))
    sd = np.broadcast_to(np.asarray(typical_sd if sd is None else sd, float), (model.n_params,))
    if not (np.isfinite(mean).all() and np.isfinite(sd).all() and (sd > 0).all()):
        raise ValueError(f"the prior needs finite means and sds above 0, but was given mean={mean}, sd={sd}")
    return populate(Group(), names=model.names, mean=mean, sd=sd, covariates={}, n_subjects=data.n_subjects)


def _prior_box(population: Population) -> np.ndarray:
    """(S, P, 2): where the prior is not negligible."""
    reach = 9 * np.sqrt(np.diag(population.cov))
    return np.stack([population.mean - reach, population.mean + reach], axis=-1)


def _fit_group(model: Model, data: Dataset, group: Group, tol: float, max_points: int) -> GridFit:
    # The Laplace group is where to start; coarse grids find the neighbourhood, fine ones the answer.
    population = fit_em(model, data, group=group, standard_errors=False).population
    assert population is not None
    for error in (1e-3, *[tol] * 10):
        grids = make_grids(model, data, gaussian_log_prior(population), _prior_box(population), error, max_points)
        run = run_em(GridEStep(grids), population, max_iter=2000)
        moved = run.population.distance(population)
        population = run.population
        if error == tol and moved < 0.05:
            break
    info = oakes_information(GridEStep(grids), population)
    return _result(model, data, grids, gaussian_log_prior(population), population, info, True, run.message)


def _fit_general(model: Model, data: Dataset, prior: NaturalPrior, tol: float, max_points: int) -> GridFit:
    start = np.tile(model.typical[0], (data.n_subjects, 1))
    laplace = JaxEStep(model, data, start).general(prior)
    reach = 10 * np.sqrt(np.maximum(np.diagonal(laplace.cov, axis1=1, axis2=2), 1e-12))
    reach = np.minimum(reach, FARTHEST / 2)
    density = jax.jit(jax.vmap(jax.vmap(prior)))

    def log_prior(x: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            values = np.asarray(density(jnp.asarray(x)))
        return np.where(np.isnan(values), -np.inf, values)

    box = np.stack([laplace.mode - reach, laplace.mode + reach], axis=-1)
    return _result(model, data, make_grids(model, data, log_prior, box, tol, max_points), log_prior, None, None, False)


def _result(
    model: Model,
    data: Dataset,
    grids: Grids,
    log_prior: LogPrior,
    population: Population | None,
    info: np.ndarray | None,
    is_group: bool,
    message: str = "",
    settings: Mapping[str, Any] | None = None,
) -> GridFit:
    found, weight = moments(grids, log_prior)
    status = found.status.copy()
    # A posterior that has not died away where the grid must end is improper, or nearly so.
    edge = np.abs(grids.axes[:, :, [0, -1]]).max((1, 2)) >= FARTHEST
    status[edge & (status == Status.CONVERGED)] = Status.FLAT
    cell = np.exp(grids.log_cell).reshape(-1, *[1] * grids.axes.shape[1])
    return GridFit(
        model=model,
        data=data,
        x=found.mode,
        cov=found.cov,
        log_lik=log_lik_on(model, data, found.mode[:, None])[:, 0],
        log_prior=log_prior(found.mode[:, None])[:, 0],
        log_evidence=found.log_lik,
        status=status,
        population=population if is_group else None,
        prior=None if is_group or population is None else (population.coef[0], population.cov),
        information=info,
        converged=bool((status == Status.CONVERGED).all()),
        message=message or f"{int((status == Status.CONVERGED).sum())} of {len(status)} posteriors integrated",
        axes=grids.axes,
        density=weight.reshape(grids.log_lik.shape) / cell,
        settings=settings or {},
    )
