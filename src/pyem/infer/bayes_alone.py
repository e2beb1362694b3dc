"""Exact posteriors of people on their own, with given priors of natural parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.integrals import log_prior
from pyem.engine.nodes import Nodes, log_sum
from pyem.errors import ModelError, list_of
from pyem.infer.alone import alone_args
from pyem.infer.exact import ENOUGH
from pyem.infer.lattices import FINEST, MIXED, PLAIN
from pyem.infer.people_draws import drawn_points, with_moments
from pyem.infer.placing import Places, mixture, places
from pyem.infer.setup import Clock, as_result
from pyem.model.model import Model
from pyem.numerics.rng import generator
from pyem.population.group import Group
from pyem.population.population import Population
from pyem.population.posterior import Status
from pyem.population.priors import NaturalPriors, natural_priors
from pyem.results.sample import SampleFit

ROUNDS = 3
"""Times that points are placed around each posterior."""
AGREE = 0.02
"""Nats by which the evidence by lattice and by mixture, or by two lattices, may differ and still count as the same."""
FINE = 0.002
"""Nats by which two lattices differ once no finer ones are tried."""
SURE = 3.0
"""Standard errors of the mixture within which the finest lattice has to agree with it; else the mixture is used."""


def fit_alone(
    model: Model,
    data: Dataset,
    priors: Mapping[str, Any] | None,
    mean: Any,
    sd: Any,
    *,
    draws: int,
    nodes: int | None,
    key: Any,
    settings: Mapping[str, Any],
) -> SampleFit:
    """Everybody's posterior on their own; see `pyem.fit_bayes`."""
    clock, rng = Clock(), generator(key)
    given = natural_priors(model, priors, mean=mean, sd=sd)
    spec, args = alone_args(model, data, given)
    made = places(model, data, nodes=nodes, rng=rng)
    chol = np.moveaxis(np.asarray(args.chol), -1, 0)
    x, cov = np.asarray(args.center).T, chol @ np.swapaxes(chol, 1, 2)
    clock("start")
    everybody = np.full(len(x), PLAIN)
    typical = _typical(given, x)
    evidence = before = np.full(len(x), np.nan)
    for turn in range(ROUNDS if made.rule is not None else 0):
        (part,) = made.nodes(x, cov, typical, everybody, turn)
        before = evidence
        x, cov, evidence, _ = _integrated(model, given, part)
    points, total, centre, width = _mixed(model, given, made, x, cov, typical)
    require_known(model, data, ~np.isfinite(total[1]))
    same = np.abs(total[1] - evidence) < AGREE
    effective = 1 / (total[0] ** 2).sum(1)
    # Error of a lattice: the change when it is placed again; of a mixture: at most that of independent draws.
    error = np.where(same, np.abs(evidence - before) / np.sqrt(2), np.sqrt(1 / effective))
    evidence = np.where(same, evidence, total[1])
    some = np.flatnonzero(~same) if made.rule is not None else np.empty(0, int)
    x[~same], cov[~same] = centre[~same], width[~same]
    if len(some):
        *finer, apart = _finely(model, given, made, typical, x, cov, some)
        # A lattice that misses a part of the posterior settles too, but on another value than the mixture.
        right = (apart < AGREE) & (np.abs(finer[2] - evidence[some]) < SURE * error[some])
        for old, new in zip((x, cov, evidence, error), (*finer, apart), strict=True):
            old[some[right]] = new[right]
    drawn = points.x[np.arange(len(x))[:, None], drawn_points(total[0], draws, rng)]
    drawn = with_moments(np.swapaxes(drawn, 0, 1), x, cov)
    clock("people")
    trace = _trace(evidence, error, effective, data)
    message = f"everybody integrated over {points.x.shape[1]} points; log evidence {evidence.sum():.3f}"
    return as_result("bayes", data, None, spec, args, {"x": drawn[None]}, {}, clock.seconds, trace, message, settings)


def require_known(model: Model, data: Dataset, lost: np.ndarray) -> None:
    """Raise a ModelError if people are `lost` (S,): without a finite likelihood, so that nothing is known of them."""
    if lost.any():
        raise ModelError(
            f"model {model.name!r} has no finite log-likelihood for {int(lost.sum())} of {len(lost)} subjects "
            f"({list_of(data.subjects[lost].tolist())}), who have no posterior; leave them out with data.select, and see what "
            "pyem.check(model, data) says"
        )


def _typical(given: NaturalPriors, x: np.ndarray) -> Population:
    """A Gaussian group that stands for the prior where points are chosen."""
    mean, sd = (np.asarray(part) for part in given.typical)
    ones = np.ones((len(x), 1))
    return Population(Group(), ones, np.ones((1, len(mean)), bool), mean[None], np.diag(4 * sd**2), np.ones_like(x))


def _mixed(
    model: Model, given: NaturalPriors, made: Places, x: np.ndarray, cov: np.ndarray, typical: Population
) -> tuple[Nodes, tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Points that reach all of the prior, their probabilities (S, K) and the log evidence (S,), and posterior moments."""
    cube = made.cube(np.arange(len(x)))
    for _ in range(2):
        at, log_q = mixture(cube, x, cov, typical.mean, typical.cov, typical.group)
        everybody = np.arange(len(x))
        points = Nodes(everybody, at, made.log_lik(everybody, at) - log_q - np.log(at.shape[1]))
        x, cov, evidence, weight = _integrated(model, given, points)
    return points, (weight, evidence), x, cov


def _finely(
    model: Model,
    given: NaturalPriors,
    made: Places,
    typical: Population,
    mean: np.ndarray,
    cov: np.ndarray,
    some: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Moments and log evidence of `some` people (n,) by finer and finer lattices, and how far the last two are apart."""
    before = apart = np.full(len(some), np.nan)
    level, found = np.full(len(mean), -1), ()
    for level[some] in range(MIXED + 1, FINEST):
        (part,) = made.nodes(mean, cov, typical, level)
        *found, _ = _integrated(model, given, part)
        apart, before = np.abs(found[2] - before), found[2]
        if (apart < FINE).all():
            break
    return *found, apart


def _integrated(model: Model, given: NaturalPriors, part: Nodes) -> tuple[np.ndarray, ...]:
    """Posterior mean (S, P), covariance (S, P, P), log evidence (S,) and probabilities of the points (S, K)."""
    prior = log_prior(model, given, part.x)
    joint = part.log_weight + np.where(np.isnan(prior), -np.inf, prior)
    evidence = log_sum(joint)
    weight = np.exp(joint - evidence[:, None])
    mean, cov = part.moments(weight)
    floor = 1e-10 * np.einsum("spp->s", cov)[:, None, None] + 1e-14
    return mean, cov + floor * np.eye(mean.shape[1]), evidence, weight


def _trace(evidence: np.ndarray, error: np.ndarray, effective: np.ndarray, data: Dataset) -> dict[str, np.ndarray]:
    poor = ~(effective >= ENOUGH)
    problems = []
    if poor.any():
        problems = [
            f"the points that {int(poor.sum())} of {len(poor)} subjects ({list_of(data.subjects[poor].tolist())}) are "
            "integrated over "
            "do not cover their posteriors: raise nodes, or use fit_nuts"
        ]
    return {
        "log_marginal_likelihood": np.array(evidence.sum()),
        "log_marginal_likelihood_se": np.array(np.sqrt((error**2).sum())),
        "people_log_evidence": evidence,
        "effective_nodes": effective,
        "status": np.where(poor, int(Status.NOT_COVERED), int(Status.CONVERGED)),
        "problems": np.array(problems, object),
    }
