"""Hierarchical EM: people and the group that they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.opaque import is_opaque
from pyem.engine.regress import takes_designs
from pyem.engine.scale import ready_to_fit
from pyem.errors import ModelError, list_of, require_number, require_whole, warn, without
from pyem.infer.checkpoint import Checkpoint, KeptEM
from pyem.infer.em_loop import EMRun
from pyem.infer.em_ways import ByLaplace, Integrate, Search, Way
from pyem.infer.other_modes import several_modes
from pyem.infer.outcome import as_point_fit, some_finite
from pyem.infer.standard_errors import information, with_scatter
from pyem.infer.starts import plain_start, starting_points
from pyem.infer.units import Units, in_standard_units
from pyem.infer.words import EM
from pyem.model.model import Model
from pyem.numerics.rng import plain_key, seed_of
from pyem.population import mstep
from pyem.population.group import Group, spelled_out
from pyem.results.point import PointFit
from pyem.results.point_problems import remedy

if TYPE_CHECKING:
    from pyem.infer.cluster import Cluster


@without(**EM)
@takes_designs
def fit_em(
    model: Model,
    data: Dataset,
    *,
    group: Group | None = Group(),  # noqa: B008 (a Group is frozen)
    priors: Mapping[str, Any] | None = None,
    start: Any = None,
    starts: int = 1,
    max_iter: int = 500,
    tol: float = 1e-7,
    accelerate: bool = True,
    standard_errors: bool = True,
    integrate: Integrate = "laplace",
    nodes: int | None = None,
    accuracy: float | None = None,
    boundary_avoiding: bool = False,
    key: Any = 0,
    checkpoint: str | Path | None = None,
    cluster: Any = None,
    progress: bool | None = None,
) -> PointFit:
    """Fit a model to a group of people by hierarchical expectation maximisation.

    People are integrated out by Laplace approximation, or exactly. The iteration looks for better modes of people whose
    likelihood has several, see `pyem.infer.multimodal`.

    Parameters
    ----------
    model, data
        The model, and the data to fit, which may come from `pyem.Dataset.open`.
    group
        The population distribution; Gaussian with independent parameters if not given. People on their own (``group=None`` in
        other methods) have `fit_map` and `fit_mle`.
    priors
        Priors of the group, ``{"mean": ..., "sd": ..., "effect": ..., "correlation": ...}`` as in `fit_nuts`, whose
        priors also stand for what is not named. The group is then at the mode of its posterior, by its means, effects, sds
        and correlations, with people integrated out; standard errors are from the curvature there. Without (the default), at
        the largest likelihood.
    start
        Starting point: natural values (S, P), another fit of the same people and parameters, or ``"ez"`` for EZ estimates of a
        diffusion decision model. The group starts with their mean and sd; the model's typical population if not given.
    starts
        Number of starting points: that one, and random ones around it, for people and group. The fit with the largest
        evidence is kept.
    max_iter, tol, accelerate
        See `pyem.infer.em_loop.run_em`.
    standard_errors
        Compute the standard errors of the group's parameters.
    integrate
        ``"laplace"``: a Gaussian around each person's mode. ``"exact"``: over points around each person's posterior, whose
        likelihood is kept while the group moves. Estimates of people are then posterior means, their covariances include
        what is not known of the group, and the log evidence is exact. It takes two to five times as long. With common
        parameters it is what others call adaptive quadrature, for up to five parameters in which people differ.
    nodes
        Points of each person for ``"exact"``; 64, 128, 384, 512 or 768 for one to five parameters if not given.
    accuracy
        Standard error of each person's log evidence that is asked for, in nats, for ``"exact"``: people of whom the points tell
        less get four times as many, up to five times. If not given, up to five parameters, 0.05 nats; what is reached is in
        ``table()`` as ``evidence_error``.
    boundary_avoiding
        Keep the group's sds away from 0 by a gamma prior with shape 2 (more with covariates) and no scale. Its mode has N -
        1 in place of N people in the denominator, so that it also undoes the bias of maximum likelihood with few people.
    key
        Seed of the random starts, and of the points.
    checkpoint
        A folder in which the iteration keeps where it stands. The same call goes on from there after it was killed, and ends
        with the same result to the last bit. Remove the folder when it is not needed any more.
    cluster
        A `distributed.Client` whose workers compute the partitions of data that `pyem.Dataset.open` opened; they all need to
        see the folder of these. The result is the same.
    progress
        Show how far it is; by default at an interactive prompt and in a notebook only.

    Notes
    -----
    With ``integrate="laplace"``, ``fit.trace["other_mode"]`` has the share of the evidence of another mode that a person's
    posterior has, as far as the search saw one; 0 for data of `pyem.Dataset.open`, where none is looked for.

    The values of discrete parameters (`Parameter(values=...)`) are alike before the data, and people are summed over them:
    their probabilities are in `table()`, estimates are those given the most probable value, and the group's mean and sd of such
    a parameter are those of its values over people. The group is then Gaussian, with independent parameters.

    Warns
    -----
    FitWarning
        If people have no regular mode, or two of them, the iteration did not converge, a parameter means nothing or does not
        vary, or several starts end in different modes of some people.

    Raises
    ------
    ValueError
        If there is one subject only, the data do not suit the model, or a covariate is of no use.

    References
    ----------
    Huys, Q. J. M., et al. (2011). Disentangling the roles of approach, activation and valence in instrumental and
    pavlovian responding. PLoS Computational Biology, 7(4), e1002028. https://doi.org/10.1371/journal.pcbi.1002028

    Bock, R. D., & Aitkin, M. (1981). Marginal maximum likelihood estimation of item parameters: Application of an EM algorithm.
    Psychometrika, 46(4), 443-459. https://doi.org/10.1007/BF02293801

    Chung, Y., Rabe-Hesketh, S., Dorie, V., Gelman, A., & Liu, J. (2013). A nondegenerate penalized likelihood estimator for
    variance parameters in multilevel models. Psychometrika, 78(4), 685-709. https://doi.org/10.1007/s11336-013-9328-2

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=20, key=1)
    >>> fit = pyem.fit_em(model, data)
    >>> fit.converged
    True
    >>> exact = pyem.fit_em(model, data, integrate="exact")
    >>> "effective_nodes" in exact.table()
    True
    """
    group = spelled_out(_group_of(group), data.covariates)
    _require_priors(priors, model, boundary_avoiding)
    model = model if model.discrete else ready_to_fit(model, data, in_parts=True)
    _require_group(data, max_iter)
    require_number(tol=(tol, 0))
    _require_way(integrate, nodes, accuracy)
    settings = {"group": group, "priors": priors, "start": plain_start(start), "starts": starts, "max_iter": max_iter}
    settings |= {"tol": tol, "accelerate": accelerate, "standard_errors": standard_errors, "integrate": integrate}
    settings |= {"nodes": nodes, "accuracy": accuracy, "boundary_avoiding": boundary_avoiding, "key": plain_key(key)}
    search = Search(in_standard_units(model), data, group, max_iter, tol, accelerate, boundary_avoiding, seed_of(key))
    search = dataclasses.replace(search, priors=priors)
    if model.discrete:
        from pyem.infer.discrete_em import require_simple

        require_simple(model, group, integrate, checkpoint, cluster)
        return _with_discrete(search, start, starts, standard_errors, progress, settings)
    if cluster is not None:
        search = dataclasses.replace(search, cluster=_cluster(cluster, search, integrate))
    way = _way_of(search, integrate, nodes, accuracy)
    points = starting_points(search.model, data, start, starts, key)
    kept = None if checkpoint is None else _checkpoint(checkpoint, way, model, data, settings)
    runs = [
        way.search(point, k > 0 or start is not None, progress, kept and KeptEM(kept.part(k)))
        for k, point in enumerate(points)
    ]
    best = max(runs, key=_total)
    some_finite(model, best.laplace)
    ended = way.end(best, points[0], standard_errors=standard_errors)
    apart = [] if group.common else _starts_disagree(runs, best, data)
    share = ended.run.trace.get("other_mode", np.zeros(1))
    modes = several_modes(share, data, "fit_em with integrate='exact' or fit_bayes")
    for text in [*_remarks(ended.before, model.names), *apart, *modes]:
        warn(f"fit_em of {model.name!r}: {text}")
    units = Units.of(search.model, ended.run.population, dict(data.covariates))
    info = None if ended.information is None else units.information(ended.run.population, ended.information)
    run = units.run(ended.run)
    return as_point_fit(
        "em",
        model,
        data,
        run.laplace,
        dataclasses.replace(run.population, hyper=None),
        info,
        run.converged,
        run.message,
        run.trace,
        log_evidence=ended.log_evidence,
        settings=settings,
    )


def _way_of(search: Search, integrate: Integrate, nodes: int | None, accuracy: float | None) -> Way:
    if integrate == "laplace" and not search.group.common:
        return ByLaplace(search)
    # Importing the code for integration takes as long as a small fit.
    from pyem.infer.em_by_points import way_of

    return way_of(search, integrate, nodes, accuracy)


def _checkpoint(folder: str | Path, way: Way, model: Model, data: Dataset, settings: Mapping[str, Any]) -> Checkpoint:
    """Open the checkpoint of a fit."""
    if not isinstance(way, ByLaplace) or is_opaque(model):
        raise ValueError(
            "checkpoint= is for integrate='laplace' without common parameters, and for models that JAX can trace; leave it out"
        )
    return Checkpoint.of(folder, model, data, settings)


def _cluster(client: Any, search: Search, integrate: str) -> Cluster:
    """Make a cluster of the workers of a fit."""
    from pyem.infer.cluster import Cluster

    if integrate != "laplace" or search.group.common:
        raise ValueError("cluster= is for integrate='laplace' without common parameters; leave it out")
    return Cluster.of(client, search.model, search.data)


def _with_discrete(
    search: Search, start: Any, starts: int, standard_errors: bool, progress: bool | None, settings: dict[str, Any]
) -> PointFit:
    """The fit of a model with discrete parameters, whose values people are summed over."""
    from pyem.infer.discrete import each_held, without_discrete
    from pyem.infer.discrete_em import discrete_em

    held, data = each_held(search.model), search.data
    scaled = ready_to_fit(next(iter(held.values())), data)
    told = {"reward_range": scaled.reward_range, "longest_outlier": scaled.longest_outlier}
    model = dataclasses.replace(search.model, **told)
    given = None if start is None else without_discrete(model, start)
    found = discrete_em(dataclasses.replace(search, model=model), held, data, given, starts, progress)
    run, moments = found.run, found.run.laplace
    some_finite(model, found.people)
    for text in _remarks(run, model.names):
        warn(f"fit_em of {model.name!r}: {text}")
    info = information(run.estep, run.population, moments) if standard_errors else None
    population = with_scatter(run.population, lambda: moments)
    told = {"log_prior": found.log_prior, "log_evidence": moments.log_lik, "settings": settings}
    ends = (population, info, run.converged, run.message, found.trace)
    return as_point_fit("em", model, data, found.people, *ends, **told)


def _require_priors(priors: Mapping[str, Any] | None, model: Model, boundary_avoiding: bool) -> None:
    if priors is None:
        return
    if not isinstance(priors, Mapping):
        raise ValueError(
            f"priors={priors!r:.60}; a mapping is expected, such as {{'sd': numpyro.distributions.HalfNormal(1)}}"
        )
    if boundary_avoiding:
        raise ValueError("boundary_avoiding is a prior of the group's sds itself; leave it out, or give no priors")
    if model.discrete:
        raise ModelError(
            f"priors of the group are not for model {model.name!r} with the discrete parameter {', '.join(model.discrete)}; "
            "leave them out, or hold it (pyem.fix)"
        )


def _group_of(group: Group | None) -> Group:
    if group is None:
        warn(
            "fit_em: group=None means people on their own, whom fit_map and fit_mle fit; leave group out for Group(), which "
            "None still stands for here",
            DeprecationWarning,
        )
        return Group()
    if not isinstance(group, Group):
        raise ValueError(f"group={group!r}; a pyem.Group is expected, such as Group('student_t')")
    return group


def _require_group(data: Dataset, max_iter: int) -> None:
    if max_iter < 1:
        raise ValueError(f"max_iter={max_iter}; at least one iteration is needed")
    if data.n_subjects < 2:
        raise ValueError(
            "fit_em estimates how people differ and needs at least 2 subjects; use fit_map or fit_mle for one"
        )


def _require_way(integrate: str, nodes: int | None, accuracy: float | None) -> None:
    if integrate not in ("laplace", "exact"):
        raise ValueError(f"integrate={integrate!r}; choose 'laplace' or 'exact'")
    if nodes is not None:
        require_whole(nodes=(nodes, 16))
        if integrate != "exact":
            raise ValueError(f"nodes={nodes} are for integrate='exact'; give that, too, or leave nodes out")
    if accuracy is not None:
        require_number(accuracy=(accuracy, 0))
        if integrate != "exact":
            raise ValueError(f"accuracy={accuracy} is for integrate='exact'; give that, too, or leave accuracy out")


def _total(run: EMRun) -> float:
    """Log evidence of everybody, and the log prior of the group, in nats; minus infinity if nobody has a finite one."""
    laplace, hyper = run.laplace, run.population.hyper
    if not laplace.usable.any():
        return -np.inf
    value = mstep.evidence(run.population, laplace)
    return value if hyper is None else value + hyper.slopes(run.population).value


def _starts_disagree(runs: list[EMRun], best: EMRun, data: Dataset) -> list[str]:
    """Warn of people whose mode differs between starts of the fit."""
    sd = np.sqrt(np.diag(best.population.cov))
    gaps = np.array([np.abs(run.laplace.mode - best.laplace.mode) / np.maximum(sd, 1e-3) for run in runs])
    other = (gaps > 0.5).any((0, 2)) & best.laplace.usable
    if not other.any():
        return []
    totals = ", ".join(f"{_total(run):.3f}" for run in runs)
    return [
        f"{len(runs)} starts end in different modes of {int(other.sum())} of {len(other)} subjects "
        f"({list_of(data.subjects[other].tolist())}); log evidence {totals}: the largest was kept"
    ]


def _remarks(run: EMRun, names: tuple[str, ...]) -> list[str]:
    """Describe what the user should know about how the iteration went."""
    gained = _information_gained(run)
    mute = [name for name, share in zip(names, gained, strict=True) if share == 0]
    same = [name for name, floor in zip(names, run.population.vanished, strict=True) if floor]
    remarks = []
    if mute:
        told = "those of their priors" if run.population.hyper else "what the iteration started from, and mean nothing"
        remarks.append(
            f"the likelihood of these data does not depend on {', '.join(mute)}: the mean and sd of the group are {told}; fix "
            "it (pyem.fix), or use data in which it matters"
        )
    if same:
        remarks.append(
            f"as far as these data say, people do not differ in {', '.join(same)}: the sd of the group is 0 (and has no "
            "standard error), and everybody's estimate is the mean of the group"
        )
    if not run.converged:
        remarks.append(f"{run.message}; {remedy(run.message)}")
    return remarks


def _information_gained(run: EMRun) -> np.ndarray:
    """(P,): narrowing of people's posteriors relative to the group, on average, as a share; exactly 0 without information."""
    use = run.laplace.usable
    weight, prior = run.population.weight[use], run.population.cov
    variance = np.diagonal(run.laplace.cov[use], axis1=1, axis2=2) * weight / np.diag(prior)
    moved = np.abs(run.laplace.mode - run.population.mean)[use] / np.sqrt(np.diag(prior))
    nothing = (np.abs(variance - 1).max(0) < 1e-9) & (moved.max(0) < 1e-9) & run.population.random
    return np.where(nothing, 0.0, np.maximum(1 - variance.mean(0), 1e-12))
