"""Exact posteriors of one or two parameters per person, by quadrature on a grid: the reference for the other methods."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.nodes import NodeEStep
from pyem.engine.opaque import require_traceable
from pyem.engine.regress import takes_designs
from pyem.engine.scale import ready_to_fit
from pyem.errors import renamed, require_number, require_whole, warn, without
from pyem.infer.edge_search import Edge, at_edge, expected_score
from pyem.infer.em import fit_em
from pyem.infer.em_loop import run_em
from pyem.infer.group_prior import group_prior
from pyem.infer.laplace import JaxEStep
from pyem.infer.natural_prior import NaturalPrior, PriorFunction, given_prior
from pyem.infer.progress import progress_line
from pyem.infer.quadrature import (
    Grids,
    LogPrior,
    ends_of,
    gaussian_log_prior,
    grid_estep,
    log_lik_on,
    make_grids,
    moments,
)
from pyem.infer.standard_errors import oakes_information
from pyem.infer.units import Units, standardised
from pyem.infer.words import GROUP
from pyem.model.model import Model
from pyem.population.group import Group, spelled_out
from pyem.population.population import Population
from pyem.population.posterior import Status
from pyem.results.grid import GridFit

WIDTH = 30.0
"""Width, in smallest possible sds, of the group under which slopes are computed where people do not differ."""
GIVEN_NONE = Group()
"""Default of `group`: this very object shows that none was given."""


@without(**GROUP)
@renamed(tol="accuracy")
@takes_designs
def fit_grid(
    model: Model,
    data: Dataset,
    *,
    group: Group | Population | None = GIVEN_NONE,
    priors: Mapping[str, Any] | None = None,
    mean: Any = None,
    sd: Any = None,
    log_prior: Callable[[Any], Any] | None = None,
    accuracy: float = 1e-8,
    max_points: int = 513,
    max_iter: int = 2000,
    progress: bool | None = None,
) -> GridFit:
    """The exact posterior of every subject, for models with one or two parameters.

    The trapezoid rule on a grid around each subject's posterior converges faster than any power of the spacing, so that
    the result is exact to about `tol`. Other modes of a posterior are found if they lie in the prior's range.

    Parameters
    ----------
    model, data
        The model, and the data to fit.
    group
        A Gaussian `Group` (the default) is estimated by maximum marginal likelihood (EM with exact E-steps). A `Population`,
        such as ``fit.population`` of another fit, is taken as it is. None: people are on their own, with one given prior.
    priors, mean, sd, log_prior
        Prior if ``group=None``, as in `fit_map`: NumPyro distributions of natural parameters by name; mean and sd (P,)
        of a Gaussian on the unconstrained scale; or a log-density of the natural parameters. With a `Group`, `priors` are of
        its parameters, and the group is at the mode of its posterior, as in `fit_em`.
    accuracy
        Error of the log evidence of every subject, in nats. The grid is refined until every other point alone gives the
        evidence to the root of this; halving the spacing then squares the error.
    max_points
        Grid points along each parameter, at most.
    max_iter
        Iterations of EM, at most, where a group is estimated.
    progress
        Show how far EM is; by default at an interactive prompt and in a notebook only.

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
    >>> fit = pyem.fit_grid(model, pyem.simulate(model, subjects=2, key=1), group=None)
    >>> fit.params.shape
    (2, 2)
    """
    require_traceable(model, "fit_grid")
    require_whole(max_points=(max_points, 5), max_iter=(max_iter, 1))
    require_number(accuracy=(accuracy, 1e-15))
    if model.n_params > 2:
        raise ValueError(
            f"fit_grid integrates over one or two parameters, but model {model.name!r} has {model.n_params}; hold some "
            "at a value with fix(model, ...), or use fit_nuts"
        )
    model = ready_to_fit(model, data)
    group = _group_of(group, priors, given=not (mean is None and sd is None and log_prior is None))
    group = spelled_out(group, data.covariates)
    settings = {"group": group, "priors": priors, "mean": mean, "sd": sd, "log_prior": log_prior}
    settings |= {"accuracy": accuracy, "max_points": max_points, "max_iter": max_iter}
    if isinstance(group, Group):
        if group.common:
            raise ValueError(
                f"fit_grid lets people differ in all parameters, but {', '.join(group.common)} would be common to all; use "
                "fit_em with integrate='exact', which integrates over those in which they differ, or fit_bayes"
            )
        return _fit_group(model, data, group, priors, accuracy, max_points, max_iter, progress, settings)
    prior = given_prior(model, data, priors=priors, mean=mean, sd=sd, log_prior=log_prior)
    if group is None and prior.function is not None:
        return _fit_general(model, data, prior.function, accuracy, max_points, settings)
    population = prior.population if group is None else group
    assert population is not None
    if population.design.shape[0] != data.n_subjects or population.cov.shape[0] != model.n_params:
        raise ValueError(
            f"the population is of {population.design.shape[0]} subjects and {population.cov.shape[0]} parameters, but there "
            f"are {data.n_subjects} and {model.n_params}; pass the population of a fit of this model to these data"
        )
    grids = make_grids(model, data, gaussian_log_prior(population), _prior_box(population), accuracy, max_points)
    is_group = group is not None
    return _result(model, data, grids, gaussian_log_prior(population), population, None, is_group, settings)


def _group_of(group: Any, priors: Any, *, given: bool) -> Group | Population | None:
    """Return the group after checking the other arguments; `given` says whether a prior was given other than by `priors`."""
    if group is GIVEN_NONE and given:
        # Before there was a default group, giving a prior alone meant people on their own.
        warn("fit_grid: a prior (mean and sd, or log_prior) is for group=None; write that, too", DeprecationWarning)
        return None
    if not (group is None or isinstance(group, Group | Population)):
        raise ValueError(f"group={group!r}; a pyem.Group, a population of another fit, or None is expected")
    if group is not None and given:
        raise ValueError(
            "give either group or a prior (mean and sd, or log_prior), not both; pass group=None with a prior"
        )
    if isinstance(group, Population) and priors:
        raise ValueError(
            f"priors={priors!r:.60}; a population is taken as it is, and has none: give a Group, or pass group=None with "
            "priors of natural parameters"
        )
    if isinstance(group, Group) and not (priors is None or isinstance(priors, Mapping)):
        raise ValueError(
            f"priors={priors!r:.60}; a mapping is expected, such as {{'sd': numpyro.distributions.HalfNormal(1)}}"
        )
    _gaussian_only(group)
    return group


def _gaussian_only(group: Group | Population | None) -> None:
    kind = group.group if isinstance(group, Population) else group
    if kind is not None and kind.family != "gaussian":
        raise ValueError(f"fit_grid needs a Gaussian group, but was given a {kind.family} one; use fit_em or fit_nuts")


def _prior_box(population: Population) -> np.ndarray:
    """(S, P, 2): box outside of which the prior is negligible."""
    reach = 9 * np.sqrt(np.diag(population.cov))
    return np.stack([population.mean - reach, population.mean + reach], axis=-1)


def _fit_group(
    model: Model,
    data: Dataset,
    group: Group,
    priors: Mapping[str, Any] | None,
    accuracy: float,
    max_points: int,
    max_iter: int,
    progress: bool | None,
    settings: dict[str, Any],
) -> GridFit:
    # Steps and tolerances must not depend on the units of covariates.
    own = data
    data = (
        dataclasses.replace(own, covariates=standardised(dict(own.covariates), centred=group.centred))
        if group.covariates
        else own
    )
    # The Laplace group is where to start; coarse grids find the neighbourhood, fine ones the answer.
    start = fit_em(
        model, data, group=group, boundary_avoiding=priors is not None, standard_errors=False, progress=progress
    )
    population = start.population
    assert population is not None
    if priors is not None:
        hyper = group_prior(model, population, dict(own.covariates), priors)
        population = dataclasses.replace(population, penalty=0.0, hyper=hyper)
    with progress_line(progress, f"EM {model.name}") as say:
        report = say and (lambda n, value, change: say(n, f"log evidence {value:.3f}, change {change:.1e}"))
        for error in (1e-3, *[accuracy] * 10):
            grids = make_grids(model, data, gaussian_log_prior(population), _prior_box(population), error, max_points)
            run = run_em(grid_estep(grids, group), population, max_iter=max_iter, report=report)
            moved = run.population.distance(population)
            population = run.population
            if error == accuracy and moved < 0.05:
                break

    def look(near: Population) -> NodeEStep:
        around = make_grids(model, data, gaussian_log_prior(near), _prior_box(near), accuracy, max_points)
        return grid_estep(around, group)

    units, wider = Units.of(model, population, dict(own.covariates)), population
    edge = Edge.of(population, WIDTH * population.smallest)
    if edge.any:
        population, _ = at_edge(population, edge, lambda near: expected_score(look(near)))
        grids = make_grids(model, data, gaussian_log_prior(population), _prior_box(population), accuracy, max_points)
        wider = edge.widened(population, 1.0)
    estep = look(wider) if edge.any else grid_estep(grids, group)
    info = units.information(population, oakes_information(estep, wider))
    population = dataclasses.replace(units.population(population), hyper=None)
    return _result(model, own, grids, gaussian_log_prior(population), population, info, True, settings, run.message)


def _fit_general(
    model: Model,
    data: Dataset,
    prior: NaturalPrior | PriorFunction,
    accuracy: float,
    max_points: int,
    settings: dict[str, Any],
) -> GridFit:
    start = np.tile(model.typical[0], (data.n_subjects, 1))
    laplace = JaxEStep(model, data, start).general(prior)
    reach = 10 * np.sqrt(np.maximum(np.diagonal(laplace.cov, axis1=1, axis2=2), 1e-12))
    reach = np.minimum(reach, np.ptp(ends_of(model), axis=1) / 4)
    density = jax.jit(jax.vmap(jax.vmap(prior)))

    def log_prior(x: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            values = np.asarray(density(jnp.asarray(x)))
        return np.where(np.isnan(values), -np.inf, values)

    box = np.stack([laplace.mode - reach, laplace.mode + reach], axis=-1)
    grids = make_grids(model, data, log_prior, box, accuracy, max_points)
    return _result(model, data, grids, log_prior, None, None, False, settings)


def _result(
    model: Model,
    data: Dataset,
    grids: Grids,
    log_prior: LogPrior,
    population: Population | None,
    info: np.ndarray | None,
    is_group: bool,
    settings: dict[str, Any],
    message: str = "",
) -> GridFit:
    found, weight = moments(grids, log_prior)
    status = found.status.copy()
    # A posterior that has not died away where the grid must end is improper, or nearly so.
    ends, axes = ends_of(model), grids.axes
    edge = ((axes[:, :, 0] <= ends[:, 0]) | (axes[:, :, -1] >= ends[:, 1])).any(1)
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
        settings=settings,
    )
