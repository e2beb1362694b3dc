"""Point estimates of people on their own: maximum likelihood and maximum a posteriori."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.opaque import require_traceable
from pyem.engine.regress import takes_designs
from pyem.engine.scale import ready_to_fit
from pyem.errors import renamed, require_whole, warn, without
from pyem.infer.discrete import fit_each
from pyem.infer.esteps import estep_maker, glance_of
from pyem.infer.glances import Glance, JaxGlance
from pyem.infer.natural_prior import PersonPrior, given_prior
from pyem.infer.other_modes import Surroundings, other_modes, several_modes
from pyem.infer.outcome import as_point_fit, ended
from pyem.infer.pooled import places_of, pooled_modes, without_shared_prior
from pyem.infer.progress import progress_line
from pyem.infer.side_by_side import Way
from pyem.infer.starts import better, disagreement, gain_of, plain_start, starting_points
from pyem.infer.units import in_standard_units, laplace_in_units
from pyem.infer.words import ALONE, MLE
from pyem.model.model import Model
from pyem.numerics.rng import plain_key, seed_of
from pyem.population.group import names_of
from pyem.population.posterior import GaussianPrior, Laplace
from pyem.results.point import PointFit


@without(**ALONE)
@renamed(max_steps="max_iter")
@takes_designs
def fit_map(
    model: Model,
    data: Dataset,
    *,
    priors: Mapping[str, Any] | None = None,
    mean: Any = None,
    sd: Any = None,
    log_prior: Callable[[Any], Any] | None = None,
    common: Sequence[str] = (),
    start: Any = None,
    starts: int = 1,
    max_iter: int = 200,
    key: Any = 0,
    progress: bool | None = None,
) -> PointFit:
    """Maximum a posteriori estimates of every subject under one given prior.

    People are on their own here, as with ``group=None`` in other methods: there is no group to estimate, and so no argument
    for one. `fit_em` estimates a group, and everybody's mode under it.

    Parameters
    ----------
    model, data
        The model, and the data to fit, which may come from `pyem.Dataset.open`.
    priors
        NumPyro distributions of natural parameters by name, ``{"alpha": Beta(2, 2)}``: the Jacobian of the transforms is
        added, and a prior that goes beyond the range of its parameter is cut off there. Parameters without one have the
        Gaussian of `mean` and `sd`.
    mean, sd
        (P,) of a Gaussian prior on the unconstrained scale; the model's typical population if not given.
    log_prior
        Instead, a traceable function of the named natural parameters of one subject, for example
        ``lambda p: -p.beta / 5``: a log-density *of the natural parameters*; the Jacobian of the transforms is added.
    common
        Parameters that have one value for everybody, the best for all together; of a design, those that its formulas say.
    start
        Starting point: natural values (S, P), another fit of the same people and parameters, or ``"ez"`` for EZ estimates
        of a diffusion decision model. If not given, near the mean of the prior, on the side where a few places
        around it are likelier.
    starts
        Number of starting points: that one, and random ones around it. The best maximum of each person is kept.
    max_iter
        Evaluations for each subject and start, at most.
    key
        Seed of the random starts.
    progress
        Show how far it is; by default at an interactive prompt and in a notebook only.

    Warns
    -----
    FitWarning
        If people have no regular mode or another one with a fair share of the evidence, or the best one was found from one
        of several starts only.

    Notes
    -----
    The values of discrete parameters (`Parameter(values=...)`) are alike before the data; their posterior, by Laplace
    approximation of each, is in `table()`, and the estimates are those given the most probable value.

    Unless it is told where to start, the search looks for better modes on both sides of the prior's mean, along each
    parameter. The share of the evidence of another mode that was found is in ``fit.trace["other_mode"]``, by Laplace
    approximation of both.

    Examples
    --------
    >>> import pyem
    >>> import numpyro.distributions as dist
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=3, key=1)
    >>> pyem.fit_map(model, data).x.shape
    (3, 2)
    >>> fit = pyem.fit_map(model, data, priors={"alpha": dist.Beta(2, 2)})
    >>> again = pyem.fit_map(model, data, **fit.settings)
    >>> bool((again.x == fit.x).all())
    True
    """
    settings = {"priors": priors, "mean": mean, "sd": sd, "log_prior": log_prior, "start": plain_start(start)}
    common = names_of(common)
    settings |= {"common": common, "starts": starts, "max_iter": max_iter, "key": plain_key(key)}
    if model.discrete:
        more = {name: settings[name] for name in ("priors", "mean", "sd", "log_prior", "common", "max_iter")}
        _require_unshared(common)
        more = _without_discrete(model, more)
        each = functools.partial(fit_map, **more, key=key, progress=progress)
        told = {name: more[name] for name in ("priors", "mean", "sd", "log_prior")}
        given, result = functools.partial(_prior_held, told, data), functools.partial(_map_held, told, data)
        way = Way(given, max_iter, key, each, result, marginal=True)
        return fit_each(way, model, data, start, starts, settings)
    model = ready_to_fit(model, data, in_parts=True)
    search = in_standard_units(model)
    # Started here, further code is compiled during the search itself.
    glance = glance_of(search, data) if start is None and not common else None
    told = {"priors": priors, "mean": mean, "sd": sd, "log_prior": log_prior}
    prior = given_prior(model, data, **told)
    inside = prior if search is model else given_prior(search, data, **told)
    middle = None if inside.population is None else inside.population.coef[0]
    points = starting_points(search, data, start, starts, key, middle)
    seen = None if glance is None else _seen(search, data, glance, inside, points[0])
    if seen is not None:
        points[0] = seen.centre()
    found, trace = _best("MAP", search, data, Priors(prior, inside), points, max_iter, key, progress)
    if start is None and not common:
        found, share = other_modes(search, data, seen, found, max_iter, seed_of(key))
        trace |= {"other_mode": share}
        for text in several_modes(share, data, "fit_bayes"):
            warn(f"fit_map of {model.name!r}: {text}")
    if common:
        found, prior = _shared(search, data, Priors(prior, inside), common, found, max_iter)
    return _map_result(model, data, _in_units(search, found, common), prior, trace, settings)


def _seen(model: Model, data: Dataset, glance: Glance, prior: PersonPrior, point: np.ndarray) -> Surroundings:
    """Evaluate everybody's posterior at a few places before the search."""
    if isinstance(glance, JaxGlance) and glance.pending:
        # A search without steps compiles the remaining code meanwhile.
        prior.modes(estep_maker(model, data, max_steps=0)(point))
    return Surroundings.seen(model, data, glance, prior)


def _map_result(
    model: Model,
    data: Dataset,
    found: Laplace,
    prior: PersonPrior,
    trace: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> PointFit:
    density = None if prior.population is not None else prior.log_density(found.mode)
    told = {"log_prior": density, "settings": settings}
    return as_point_fit("map", model, data, found, prior.population, None, *ended(found), trace, **told)


def _map_held(told: Mapping[str, Any], data: Dataset, model: Model, found: Laplace) -> PointFit:
    """Make the result of a fit in which discrete parameters are held."""
    model = ready_to_fit(model, data)
    return _map_result(model, data, found, given_prior(model, data, **told), {}, {})


@without(**MLE)
@renamed(max_steps="max_iter")
@takes_designs
def fit_mle(
    model: Model,
    data: Dataset,
    *,
    common: Sequence[str] = (),
    start: Any = None,
    starts: int = 5,
    max_iter: int = 200,
    key: Any = 0,
    progress: bool | None = None,
) -> PointFit:
    """Maximum-likelihood estimates of every subject, the best of several starts.

    People are on their own, as with ``group=None`` in other methods, and there is no prior.

    Parameters
    ----------
    model, data
        The model, and the data to fit, which may come from `pyem.Dataset.open`.
    common
        Parameters that have one value for everybody, the best for all together; of a design, those that its formulas say.
    start
        Starting point: natural values (S, P), another fit of the same people and parameters, or ``"ez"`` for EZ estimates
        of a diffusion decision model; the typical parameters if not given.
    starts
        Number of starting points: that one, and random ones around it.
    max_iter
        Evaluations for each subject and start, at most.
    key
        Seed of the random starts.
    progress
        Show how far it is; by default at an interactive prompt and in a notebook only.

    Warns
    -----
    FitWarning
        If people have no regular maximum, or the best one was found from one of the starts only.

    Notes
    -----
    Discrete parameters (`Parameter(values=...)`) have the value that is best for each person, and count as parameters. How the
    likelihoods at the best parameters of each value compare, is in `table()`, as shares of their sum.

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
    common = names_of(common)
    settings = {
        "common": common,
        "start": plain_start(start),
        "starts": starts,
        "max_iter": max_iter,
        "key": plain_key(key),
    }
    if model.discrete:
        _require_unshared(common)
        each = functools.partial(fit_mle, max_iter=max_iter, key=key, progress=progress)
        way = Way(lambda held: None, max_iter, key, each, functools.partial(_mle_held, data))
        return fit_each(way, model, data, start, starts, settings)
    model = ready_to_fit(model, data, in_parts=True)
    search = in_standard_units(model)
    points = starting_points(search, data, start, starts, key)
    found, trace = _best("MLE", search, data, None, points, max_iter, key, progress)
    if common:
        found, _ = _shared(search, data, None, common, found, max_iter)
    found = _in_units(search, found, common)
    return as_point_fit("mle", model, data, found, None, None, *ended(found), trace, settings=settings)


def _prior_held(told: Mapping[str, Any], data: Dataset, model: Model) -> PersonPrior:
    """Return the prior of a fit in which discrete parameters are held."""
    return given_prior(model, data, **told)


def _mle_held(data: Dataset, model: Model, found: Laplace) -> PointFit:
    model = ready_to_fit(model, data)
    return as_point_fit("mle", model, data, found, None, None, *ended(found), {}, settings={})


def _require_unshared(common: Sequence[str]) -> None:
    if common:
        raise ValueError(
            f"common={tuple(common)} of a model with discrete parameters; fix the discrete ones (pyem.fix)"
        )


def _without_discrete(model: Model, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a fit with discrete parameters held: without their entries of `mean` and `sd`."""
    for name in settings["priors"] or {}:
        if name in model.discrete:
            values = ", ".join(f"{one:g}" for one in model.discrete[name])
            raise ValueError(
                f"priors names {name!r}, but {name} is one of {values}, which are equally probable a priori; leave it "
                f"out of priors, or hold it: pyem.fix(model, {name}=...)"
            )
    kept = np.array([name not in model.discrete for name in model.names])
    short = {
        name: np.asarray(settings[name], float)[kept]
        for name in ("mean", "sd")
        if settings[name] is not None and np.shape(settings[name]) == kept.shape
    }
    return settings | short


class Priors(NamedTuple):
    """A prior of people, in the units of the model and in those of the search."""

    units: PersonPrior
    inside: PersonPrior


def _best(
    label: str,
    model: Model,
    data: Dataset,
    prior: Priors | None,
    points: list[np.ndarray],
    max_iter: int,
    key: Any,
    progress: bool | None,
) -> tuple[Laplace, dict[str, np.ndarray]]:
    """Everybody's best mode from several points, in the units of the search, and what each of them gave, (start, S)."""
    require_whole(max_iter=(max_iter, 1))
    make = estep_maker(model, data, max_steps=max_iter, seed=seed_of(key))
    best, values = None, []
    with progress_line(progress, f"{label} {model.name}", len(points)) as say:
        for n, point in enumerate(points, start=1):
            found = _modes(make(point), prior, point.shape)
            if len(points) > 1 or say:
                values.append(_joint(_in_units(model, found), prior))
            best = found if best is None else better(best, found, _gain(values))
            if say:
                say(n, f"start {n} of {len(points)}, best sum {np.max(values, axis=0).sum():.3f}")
    assert best is not None
    if len(points) == 1:
        return best, {}
    remarks = disagreement(np.array(values), data)
    for text in remarks:
        warn(f"fit_{label.lower()} of {model.name!r}: {text}")
    return best, {"start_values": np.array(values), "problems": np.array(remarks, object)}


def _shared(
    model: Model, data: Dataset, prior: Priors | None, common: Sequence[str], found: Laplace, max_iter: int
) -> tuple[Laplace, Any]:
    """Fit again with some parameters common to all, and return the prior, in units, without its part of these."""
    require_traceable(model, "a fit with common parameters")
    places = places_of(model, tuple(common))
    given, in_units = (None, None) if prior is None else (prior.inside.population, prior.units.population)
    if prior is not None and (given is None or in_units is None):
        raise ValueError("common parameters need a Gaussian prior: give mean and sd in place of priors or log_prior")
    middle = np.where(np.isfinite(found.mode), found.mode, model.typical[0])
    estep = estep_maker(model, data, max_steps=max_iter)(middle)
    modes = pooled_modes(model, data, estep, given, places, middle)
    return modes, None if in_units is None else PersonPrior(without_shared_prior(in_units, places), None)


def _in_units(model: Model, found: Laplace, common: Sequence[str] = ()) -> Laplace:
    """Convert the result of a search to the units of the model's parameters."""
    return laplace_in_units(*model.units, found, np.isin(model.names, common))


def _gain(values: list[np.ndarray]) -> np.ndarray:
    """(S,): gain of the last of several starts over the best before it."""
    return gain_of(np.max(values[:-1], axis=0), values[-1])


def _modes(estep: Any, prior: Priors | None, shape: tuple[int, ...]) -> Laplace:
    if prior is not None:
        return prior.inside.modes(estep)
    return estep(GaussianPrior(np.zeros(shape), np.zeros((shape[1], shape[1])), np.ones(shape)))


def _joint(found: Laplace, prior: Priors | None) -> np.ndarray:
    """(S,): the maximised function, in nats; minus infinity where it is not finite."""
    value = found.log_lik if prior is None else found.log_lik + prior.units.log_density(found.mode)
    return np.where(np.isfinite(value) & found.usable, value, -np.inf)
