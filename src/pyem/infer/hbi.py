"""Hierarchical Bayesian inference: models and groups are estimated together, each group from the people whose model it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.scale import ready_to_fit
from pyem.errors import ModelError, list_of, require_kind, require_number, require_whole, warn, without
from pyem.infer.esteps import at_once, compile_ahead, estep_maker
from pyem.infer.hbi_loop import SETTLED, Iteration, Run, State
from pyem.infer.hbi_updates import GroupPosterior, HyperPrior
from pyem.infer.progress import progress_line
from pyem.infer.starts import plain_start, starting_points
from pyem.infer.units import in_standard_units, laplace_in_units
from pyem.infer.words import HBI
from pyem.model.model import Model
from pyem.numerics.rng import plain_key, seed_of
from pyem.population.group import Group
from pyem.population.population import populate
from pyem.population.posterior import Laplace, Status
from pyem.results.hbi import EARLY, HBIFit
from pyem.results.point import PointFit

SLACK = 1e-3
"""Nats by which the bound may fall in a step: Laplace approximations are not exactly what maximises it."""


@without(**HBI)
def fit_hbi(
    models: Mapping[str, Model],
    data: Dataset,
    *,
    start: Mapping[str, Any] | None = None,
    starts: int = 1,
    max_iter: int = 500,
    tol: float = 1e-6,
    accelerate: bool = True,
    beta: float = 1.0,
    shape: float = 0.5,
    rate: float = 0.01,
    concentration: float = 1.0,
    null: bool = True,
    key: Any = 0,
    progress: bool | None = None,
) -> HBIFit:
    """Fit several models and compare them at once: each model's group is that of the people whose model it is.

    People are Laplace approximations under each model; each belongs to a model with a probability (its responsibility), and
    counts in the group of the model with that weight. A person whom another model explains does not move the group, so that
    group means are robust to outlying people.

    Parameters
    ----------
    models
        A name for each model, at least two.
    data
        Data to fit.
    start
        Starting points of people for each model: natural values (S, P) or a fit; the typical parameters if not given.
    starts
        Number of starting points: those, and random ones around them. The fit with the largest bound is kept.
    max_iter, tol
        Stop where the group means (in sds of the group, root mean square) and the frequencies change by less than `tol`. The
        published rule stops at 0.01, sooner than the frequencies have settled: what was known there is in ``fit.early``.
    accelerate
        Extrapolate steps that have become short, after the published rule stops: where two models explain the same people,
        there are hundreds of them else. Where they end is the same.
    beta, shape, rate
        The prior of each group: its mean is worth `beta` people at the typical parameters, precisions have a Gamma distribution
        with this shape and rate on the unconstrained scale. The defaults are the published ones.
    concentration
        Concentration of the Dirichlet prior of the frequencies, for each model.
    null
        Also fit with equal frequencies, for protected exceedance probabilities.
    key
        Seed of random starts.
    progress
        Show how far it is; by default at an interactive prompt and in a notebook only.

    Warns
    -----
    FitWarning
        If it did not converge, the bound fell, people have no finite likelihood, or several starts disagree.

    Raises
    ------
    ValueError
        If there are fewer than two models or people, or a hyperparameter is not above 0.

    References
    ----------
    Piray, P., Dezfouli, A., Heskes, T., Frank, M. J., & Daw, N. D. (2019). Hierarchical Bayesian inference for concurrent model
    fitting and comparison for group studies. PLoS Computational Biology, 15(6), e1007043.
    https://doi.org/10.1371/journal.pcbi.1007043

    Examples
    --------
    >>> import pyem
    >>> models = {name: pyem.models.get(name) for name in ("wsls", "bias")}
    >>> data = pyem.simulate(models["wsls"], subjects=10, key=1)
    >>> fit = pyem.fit_hbi(models, data)
    >>> fit.frequency["wsls"] > 0.8, fit.responsibilities.shape
    (True, (10, 2))
    """
    require_kind("data", data)
    _require(models, data, max_iter)
    require_number(tol=(tol, 0), beta=(beta, 0), shape=(shape, 0), rate=(rate, 0), concentration=(concentration, 0))
    prior = HyperPrior(beta, shape, rate, concentration)
    settings = {
        "start": {name: plain_start(one) for name, one in (start or {}).items()} or None,
        "starts": starts,
        "max_iter": max_iter,
        "tol": tol,
        "accelerate": accelerate,
        "beta": beta,
        "shape": shape,
        "rate": rate,
    }
    settings |= {"concentration": concentration, "null": null, "key": plain_key(key)}
    given = {name: ready_to_fit(model, data) for name, model in models.items()}
    search = {name: in_standard_units(model) for name, model in given.items()}
    points = [starting_points(model, data, (start or {}).get(name), starts, key) for name, model in search.items()]
    runs, threads = [], min(at_once(model) for model in search.values())
    first = _first(search, data, prior)
    with progress_line(progress, f"HBI of {len(models)} models", max_iter) as say:
        for at in zip(*points, strict=True):
            iteration = _iteration(search, data, at, prior, seed_of(key))
            compile_ahead(iteration.esteps, [group.prior(data.n_subjects) for group in first.groups], threads)
            run = iteration.run(first, max_iter, tol, accelerate=accelerate, report=say, threads=threads)
            runs.append((iteration, run))
    iteration, run = max(runs, key=lambda one: one[1].bound)
    nothing = None
    if null:
        alike, state = dataclasses.replace(iteration, null=True), _alike(run.last[0], first, prior)
        # Only the bound is needed, which settles long before groups do that have no certain members.
        nothing = alike.run(state, max_iter, tol, accelerate=accelerate, threads=threads, settled=SETTLED).bound
    fit = _as_fit(given, search, data, run, prior, nothing, settings)
    for text in [*fit.problems(), *_apart([one.bound for _, one in runs])]:
        warn(f"fit_hbi: {text}")
    return fit


def _require(models: Mapping[str, Model], data: Dataset, max_iter: int) -> None:
    require_whole(max_iter=(max_iter, 1))
    if not isinstance(models, Mapping) or len(models) < 2 or not all(isinstance(one, Model) for one in models.values()):
        raise ValueError(
            f"models={models!r:.80}; at least two models by name are expected, such as {{'rw': pyem.models.get('rw1a1b'), "
            "'bias': pyem.models.get('bias')}; fit_em fits one"
        )
    if data.n_subjects < 2:
        raise ValueError("fit_hbi estimates how people differ and needs at least 2 subjects; use fit_map for one")


def _iteration(
    models: Mapping[str, Model], data: Dataset, points: tuple[np.ndarray, ...], prior: HyperPrior, seed: int
) -> Iteration:
    makers = [estep_maker(model, data, seed=seed, warm=True) for model in models.values()]
    esteps = tuple(make(point) for make, point in zip(makers, points, strict=True))
    middles = tuple(model.typical[0] for model in models.values())
    return Iteration(esteps, middles, prior, data.n_subjects)


def _first(models: Mapping[str, Model], data: Dataset, prior: HyperPrior) -> State:
    """Typical groups of equally frequent models."""
    share = data.n_subjects / len(models)
    shape = prior.shape + share / 2
    groups = [
        GroupPosterior(mean, prior.beta + share, shape, shape * sd**2)
        for mean, sd in (model.typical for model in models.values())
    ]
    return State(tuple(groups), np.full(len(models), prior.concentration + share))


def _alike(ended: State, first: State, prior: HyperPrior) -> State:
    """Start of the iteration with equal frequencies, without groups that nobody belongs to: those would be slow."""
    has_people = ended.alpha - prior.concentration >= 1
    pairs = zip(ended.groups, first.groups, has_people, strict=True)
    return State(tuple(mine if has else typical for mine, typical, has in pairs), first.alpha)


def _apart(bounds: list[float]) -> list[str]:
    """Warn if several starts ended with different bounds."""
    if max(bounds) - min(bounds) < SLACK:
        return []
    told = ", ".join(f"{bound:.3f}" for bound in bounds)
    return [f"{len(bounds)} starts end with different bounds of the log evidence ({told}); the largest was kept"]


def _as_fit(
    given: Mapping[str, Model],
    search: Mapping[str, Model],
    data: Dataset,
    run: Run,
    prior: HyperPrior,
    bound_null: float | None,
    settings: Mapping[str, Any],
) -> HBIFit:
    state, step = run.last
    names = list(given)
    lost = np.asarray(~np.isfinite(step.evidence).any(1))
    if lost.all():
        raise ModelError(
            f"none of {list_of(names)} has a finite log-likelihood for any subject; see what pyem.check(model, data) says"
        )
    fits, groups = {}, {}
    for k, name in enumerate(names):
        shift, scale = search[name].units
        laplace = laplace_in_units(shift, scale, step.laplace[k])
        group = state.groups[k]
        moved = group._replace(mean=shift + scale * group.mean, rate=group.rate * scale**2)
        fits[name] = _point_fit(given[name], data, laplace, moved, run.converged)
        groups[name] = {"mean": moved.mean, "beta": moved.beta, "shape": moved.shape, "rate": moved.rate}
    changes = np.array([change for *_, change in run.path])
    early = int(np.argmax(changes < EARLY)) if (changes < EARLY).any() else len(changes) - 1
    return HBIFit(
        fits=fits,
        responsibilities=np.where(lost[:, None], np.nan, step.weight),
        alpha=prior.concentration + step.weight.sum(0),
        groups=groups,
        bound=run.bound,
        bound_null=bound_null,
        converged=run.converged,
        trace=run.trace(names),
        early=early,
        settings=dict(settings),
    )


def _point_fit(model: Model, data: Dataset, laplace: Laplace, group: GroupPosterior, converged: bool) -> PointFit:
    """Present people and group of one model as a fit like any other."""
    population = populate(
        Group(),
        names=model.names,
        mean=group.mean,
        sd=1 / np.sqrt(group.precision),
        covariates={},
        n_subjects=data.n_subjects,
    )
    lost = ~laplace.usable
    hide = lambda values: np.where(lost.reshape(-1, *[1] * (values.ndim - 1)), np.nan, values)  # noqa: E731
    log_prior = group.log_density(laplace.mode)
    return PointFit(
        method="hbi",
        model=model,
        data=data,
        x=hide(laplace.mode),
        cov=hide(laplace.cov),
        log_lik=hide(laplace.log_lik),
        log_prior=hide(log_prior),
        log_evidence=hide(laplace.log_evidence(log_prior)),
        status=np.where(lost & (laplace.status == Status.CONVERGED), int(Status.NOT_FINITE), laplace.status),
        population=population,
        prior=None,
        information=None,
        converged=converged,
        message="the groups stopped moving" if converged else "not converged",
        trace={},
    )
