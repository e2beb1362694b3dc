"""Search for the mode of a group's posterior if some parameters are common to all, from which importance sampling begins."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.common_points import CommonValues
from pyem.engine.common_values import degree_for, trials_of
from pyem.engine.nodes import NodeEStep, Nodes
from pyem.infer.common_exact import wide_group
from pyem.infer.em_by_points import WithCommon
from pyem.infer.em_loop import EMRun
from pyem.infer.em_ways import Search
from pyem.infer.esteps import estep_maker
from pyem.infer.exact import ACCURACY, Exact, around, error_between, judged, wanting
from pyem.infer.group_posterior import GroupPosterior, mode_of
from pyem.infer.group_start import SETTLED, Climb, possible
from pyem.infer.lattices import MIXED, PLAIN
from pyem.infer.moves import distance, trusted
from pyem.infer.placing import Places
from pyem.infer.starts import starting_points
from pyem.model.model import Model
from pyem.numerics.rng import seed_of
from pyem.population.group import Group
from pyem.population.people_only import moments_only, people_only
from pyem.population.population import Population
from pyem.population.posterior import Laplace, Moments

ROUGH = 2
"""Degree of the polynomials with which the posterior is located."""
ROUNDS = 20
"""Largest number of times that points are placed."""
AGREE = 0.1
"""Change of a person's log evidence by new points, in nats, above which points are placed again: a standard error."""
STEP = 2.0
"""Largest move of common values between two placements of points, in units of their uncertainty."""
FIRST = 1.5
"""Uncertainty of common values that is assumed at first, as a multiple of that given the group."""
WIDEST = 5.0
"""Largest uncertainty of common values, as a multiple of that given the group."""
LITTLE = 3000
"""Number of points times trials up to which the likelihood is evaluated for each draw of the group, per evaluation that a
polynomial needs."""
WEAK = 3.0
"""Largest uncertainty of common values that is assumed, in typical sds."""


def located_with_common(
    model: Model,
    data: Dataset,
    group: Group,
    made: Places,
    priors: Mapping[str, Any] | None,
    key: Any,
    progress: bool | None,
) -> tuple[Exact, Places]:
    """The mode of the posterior of a group with common values, points that tell it roughly, and what makes better ones.

    The search begins at the maximum of the Laplace approximation of the evidence, as far as the priors have that possible.
    """
    climb = Climb(model, priors)
    population, laplace = _begun(climb, data, group, key, progress)
    random, typical = population.random, model.typical[1]
    own = people_only(population)
    mean, cov = around(Laplace(*moments_only(Moments(*laplace), random)), own)
    degree = min(degree_for(int((~random).sum())), ROUGH)
    level, spread, last = np.full(len(mean), MIXED if made.rule is None else PLAIN), None, None
    for rounds in itertools.count(1):
        common = population.mean[:, ~random]
        near = CommonValues.near(model, data, _whole(random, mean, common), random, degree)
        least = _left_open(model, population, near, cov)
        open_ = FIRST * least if spread is None else _no_less(spread, least)
        made = dataclasses.replace(made, common=dataclasses.replace(near, spread=open_))
        parts = made.nodes(mean, cov, population, level, rounds)
        estep = NodeEStep(parts, own.group)
        before = estep.posterior(own.prior)
        posterior = climb.posterior(population, with_common(before, population, open_))
        start = posterior.vector(population)
        v, inverse = mode_of(posterior.log_density(parts), start)
        gap = np.linalg.solve(open_, (posterior.populations(v[None])[0].mean[:, ~random] - common)[..., None])
        v = start + min(1.0, STEP / max(float(np.sqrt((gap**2).sum(1)).max()), 1e-300)) * (v - start)
        found, far = trusted(own, people_only(posterior.populations(v[None])[0]), typical[random])
        new = _with_people(posterior.populations(v[None])[0], found)
        spread = spread_of(posterior, inverse, new)
        shift = np.linalg.solve(open_, (new.mean[:, ~random] - common)[..., None])
        moved = max(distance(found, own, before, typical[random]), float(np.abs(shift).max()))
        at_new = NodeEStep([part.moved(new.mean[:, ~random]) for part in parts], own.group)
        moments = at_new.posterior(found.prior)
        effective = at_new.effective(found.prior)
        rim = made.rim(parts, at_new.weights(found.prior))
        more = wanting(level, rim > made.at_rim, effective) & moments.usable & (moved < 0.5)
        error = error_between(last, estep, own)
        if rounds == ROUNDS or (moved < SETTLED and not far and not more.any() and error.max() < AGREE):
            break
        population, own, last, level = new, found, at_new, np.where(more, MIXED, level)
        mean, cov = around(Laplace(*moments), own)
    assert spread is not None
    moments = judged(moments, level, effective)
    run = EMRun(new, moments, True, "mode of the group's posterior", {}, estep)
    made = dataclasses.replace(
        made, common=dataclasses.replace(near, spread=_no_less(spread, least), degree=_degree(data, parts, spread))
    )
    whole = with_common(moments, new, spread)
    unreached = np.where(level == PLAIN, rim, 0.0)
    return Exact(new, estep, whole, level, effective, unreached, run, rounds, moved, error, ACCURACY), made


def _degree(data: Dataset, parts: list[Nodes], spread: np.ndarray) -> int:
    """Degree of polynomials that stand for the likelihood; 0 where evaluating it costs no more than making these."""
    degree = degree_for(spread.shape[1])
    evaluations = len(trials_of(spread.shape[1], degree)[0])
    little = data.valid.size * parts[0].x.shape[1] <= LITTLE * evaluations
    return 0 if little else degree


def _begun(climb: Climb, data: Dataset, group: Group, key: Any, progress: bool | None) -> tuple[Population, Laplace]:
    """A group that is not narrow in any direction, and everybody's modes under it."""
    search = Search(climb.model, data, group, 100, 1e-3, True, False, seed_of(key))
    start = starting_points(climb.model, data, None, 1, key)[0]
    way = WithCommon(search)
    first = way.search(start, False, progress)
    run, _ = way.joined(first, way.begun(first, start))
    population = wide_group(possible(climb, search.population(start, False), run), climb.model.typical[1])
    modes = np.where(np.isfinite(run.laplace.mode), run.laplace.mode, population.mean)
    modes = np.where(population.random, modes, population.mean)
    make = estep_maker(climb.model, data, seed=search.seed, warm=True)
    return population, make(modes)(population.prior, 1e-8)


def _whole(random: np.ndarray, mean: np.ndarray, common: np.ndarray) -> np.ndarray:
    out = np.empty((len(mean), len(random)))
    out[:, random], out[:, ~random] = mean, common
    return out


def _with_people(whole: Population, own: Population) -> Population:
    """A group with the covariance of what people differ in from another."""
    cov = whole.cov.copy()
    cov[np.ix_(whole.random, whole.random)] = own.cov
    return dataclasses.replace(whole, cov=cov)


def with_common(moments: Moments, population: Population, spread: np.ndarray) -> Moments:
    """Moments of all parameters; a person's share of what is known of the common ones is one of as many as there are."""
    random, n = population.random, len(moments.mode)
    if random.all():
        return moments
    cov = np.zeros((n, len(random), len(random)))
    cov[np.ix_(np.arange(n), random, random)] = moments.cov
    cov[np.ix_(np.arange(n), ~random, ~random)] = n * spread @ np.swapaxes(spread, 1, 2)
    return moments._replace(mode=_whole(random, moments.mode, population.mean[:, ~random]), cov=cov)


def _left_open(model: Model, population: Population, near: CommonValues, cov: np.ndarray) -> np.ndarray:
    """Covariance (S, C, C) of everybody's common values given the group and all data: see `CommonValues`."""
    known = -np.nansum(near.with_people_out(cov), axis=0)
    weak = np.diag((WEAK * model.typical[1][~population.random]) ** -2.0)
    values, axes = np.linalg.eigh((known + known.T) / 2)
    precision = (axes * np.maximum(values, 0.0)) @ axes.T + weak
    design = population.design
    share = np.einsum("sk,kl,sl->s", design, np.linalg.pinv(design.T @ design), design) * len(design)
    root = np.linalg.cholesky(np.linalg.inv(precision))
    return np.sqrt(share)[:, None, None] * root


def _no_less(spread: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Factors (S, C, C) of the uncertainty of common values, limited in every direction by that given the group."""
    white = np.linalg.solve(least, spread)
    values, axes = np.linalg.eigh(white @ np.swapaxes(white, 1, 2))
    root = least @ (axes * np.sqrt(np.clip(values, 1.0, WIDEST**2))[:, None])
    return np.linalg.cholesky(root @ np.swapaxes(root, 1, 2))


def spread_of(posterior: GroupPosterior, cov: np.ndarray, population: Population) -> np.ndarray:
    """Uncertainty of common values, from the covariance (G, G) of the group's coordinates."""
    common = np.flatnonzero(~population.random)
    rows, columns = np.nonzero(population.free)
    change = np.zeros((len(population.design), len(common), len(cov)))
    scale = np.asarray(posterior.at.scale)
    for g, (row, column) in enumerate(zip(rows, columns, strict=True)):
        if not population.random[column]:
            change[:, np.searchsorted(common, column), g] = population.design[:, row] * scale[g]
    out = np.einsum("scg,gh,sdh->scd", change, cov, change)
    least = 1e-12 * np.einsum("scc->s", out)[:, None, None] * np.eye(len(common))
    return np.linalg.cholesky(out + least + 1e-300 * np.eye(len(common)))
