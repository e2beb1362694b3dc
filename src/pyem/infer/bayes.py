"""The posterior of a group and its people without a Markov chain: people integrated out, the group by importance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.opaque import require_traceable
from pyem.engine.regress import takes_designs
from pyem.errors import list_of, require_whole, warn, without
from pyem.infer.adaptive import Weighted, adaptive_importance
from pyem.infer.bayes_alone import fit_alone, require_known
from pyem.infer.correction import systematic
from pyem.infer.exact import Exact, around
from pyem.infer.group_nuts import CHAINS, nuts_on_points
from pyem.infer.group_posterior import GroupPosterior, group_posterior, lopsided, mode_of
from pyem.infer.group_start import located
from pyem.infer.group_start_common import located_with_common
from pyem.infer.node_sets import NodeSets
from pyem.infer.people_draws import people_given, with_moments
from pyem.infer.placing import places
from pyem.infer.proposal_coordinates import ProposalCoordinates
from pyem.infer.setup import Clock, as_result, ready_with_priors
from pyem.infer.units import Units
from pyem.infer.words import SAMPLED
from pyem.model.model import Model
from pyem.numerics.diagnostics import ess, rhat
from pyem.numerics.pareto import GOOD
from pyem.numerics.rng import generator, plain_key
from pyem.population.group import Group, spelled_out
from pyem.population.patterns import covariance_pattern
from pyem.population.people_only import moments_only, people_only
from pyem.population.posterior import Laplace, Status
from pyem.results.diagnosis import RHAT_LIMIT
from pyem.results.sample import SampleFit

FEW_DRAWS = 100
"""Effective draws of the group below which quantiles are not reliable."""
NODES = {2: 256, 5: 1536}
"""Points of each person, where more than those of `pyem.infer.lattices.RULES` make the posterior of a small group steadier."""
LOST = (
    "the search for the mode of the group's posterior did not end, so that draws may be of a part of it only: use fit_nuts, or "
    "let fewer parameters be common to all"
)
FOREIGN = 0.01
"""Share of the group's draws that may be evaluated on points made for others."""


@without(**SAMPLED)
@takes_designs
def fit_bayes(
    model: Model,
    data: Dataset,
    *,
    group: Group | None = Group(),  # noqa: B008 (a Group is frozen)
    priors: Mapping[str, Any] | None = None,
    mean: Any = None,
    sd: Any = None,
    draws: int = 2000,
    nodes: int | None = None,
    key: Any = 0,
    progress: bool | None = None,
) -> SampleFit:
    """The joint posterior of a group and its people, in seconds, and the log marginal likelihood of the whole model.

    Given a person's data, the likelihood at chosen points does not depend on the group. It is evaluated once for each point;
    then the group's posterior, with the people integrated out, is a function of a few parameters that costs next to nothing.
    Draws from it come by importance sampling, and people are drawn given each draw of the group. The priors, and so the
    posterior, are those of `fit_nuts`. Parameters that are common to all are among the group's; how the likelihood at the
    points changes with them is told by polynomials, or, where that costs little, evaluated for each draw.

    Parameters
    ----------
    model, data, group, priors, mean, sd
        Arguments as in `fit_nuts`.
    draws
        Draws that are kept.
    nodes
        Points of each person; 64, 256, 384, 512 or 1,536 for one to five parameters in which people differ, if not given (128
        for two with `group=None`).
    key
        Seed or JAX random key.
    progress
        Show how far it is; by default at an interactive prompt and in a notebook only.

    Warns
    -----
    FitWarning
        If the importance sampling does not cover the group's posterior (Pareto k above 0.7) and NUTS on the points cannot take
        its place, or points do not cover people's.

    Raises
    ------
    ValueError
        As `fit_nuts`, and if all parameters are common to all.

    Notes
    -----
    Where importance sampling does not cover the posterior of a group with independent parameters, draws of it come from four
    chains of NUTS over the points, which costs seconds; ``fit.trace["rhat"]`` then says whether these agree.

    ``fit.trace`` has ``log_marginal_likelihood`` and its Monte-Carlo standard error ``log_marginal_likelihood_se`` (in nats),
    ``pareto_k`` of the group's draws, the number of independent draws that they are worth, ``effective_draws``, and for each
    person ``effective_nodes``, ``unreached``, the share of the evidence that points do not reach, and ``evidence_error``, the
    standard error of the log evidence given the group.

    References
    ----------
    Rue, H., Martino, S., & Chopin, N. (2009). Approximate Bayesian inference for latent Gaussian models by using integrated
    nested Laplace approximations. Journal of the Royal Statistical Society B, 71(2), 319-392.
    https://doi.org/10.1111/j.1467-9868.2008.00700.x

    Vehtari, A., Simpson, D., Gelman, A., Yao, Y., & Gabry, J. (2024). Pareto smoothed importance sampling. Journal of Machine
    Learning Research, 25(72), 1-58.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=10, key=1, trials=40)
    >>> fit = pyem.fit_bayes(model, data, key=2)
    >>> bool(fit.trace["pareto_k"] < 0.7)
    True
    """
    require_traceable(model, "fit_bayes")
    require_whole(draws=(draws, 1), **({} if nodes is None else {"nodes": (nodes, 16)}))
    group = spelled_out(group, data.covariates)
    settings = {"group": group, "priors": priors, "mean": mean, "sd": sd, "draws": draws, "nodes": nodes}
    settings |= {"key": plain_key(key)}
    clock = Clock()
    model = ready_with_priors(model, data, group, priors, mean, sd)
    if group is None:
        fit = fit_alone(model, data, priors, mean, sd, draws=draws, nodes=nodes, key=key, settings=settings)
    else:
        fit = _fit_group(model, data, group, priors, draws, nodes, key, progress, clock, settings)
    for problem in fit.problems():
        warn(f"fit_bayes of {model.name!r}: {problem}")
    return fit


def _fit_group(
    model: Model,
    data: Dataset,
    group: Group,
    priors: Mapping[str, Any] | None,
    draws: int,
    nodes: int | None,
    key: Any,
    progress: bool | None,
    clock: Clock,
    settings: Mapping[str, Any],
) -> SampleFit:
    rng = generator(key)
    dim = _differing(model, group)
    made = places(model, data, nodes=nodes or NODES.get(dim), rng=rng, dim=dim)
    if group.common:
        exact, made = located_with_common(model, data, group, made, priors, key, progress)
    else:
        exact = located(model, data, group, made, priors, key, progress)
    require_known(model, data, ~exact.moments.usable)
    clock("start")
    population = Units.of(model, exact.population, dict(data.covariates)).population(exact.population)
    posterior = group_posterior(model, population, exact.moments, priors)
    top, cov = mode_of(posterior.log_density(exact.estep.parts), posterior.vector(population))
    middle, known = posterior.populations(top[None])[0], moments_only(exact.moments, population.random)
    parts = exact.estep.parts
    if group.common:
        parts = made.nodes(*around(Laplace(*known), people_only(middle)), middle, exact.level, 1)
    sets = NodeSets(posterior, made, middle, known, parts, exact.level)
    evidence = sets.people_log_evidence(parts)
    if group.common:
        error = np.abs(evidence - sets.people_log_evidence(exact.estep.parts)) / np.sqrt(2)
        exact = dataclasses.replace(exact, error=error)
    clock("mode")
    proposals = ProposalCoordinates.around(posterior.spec, np.asarray(posterior.at.scale), top)
    first = lopsided(proposals.density(sets.log_density), *proposals.moments(top, cov))
    found = _by_importance(proposals, sets, first, int(rng.integers(2**31)))
    chains = None
    if not _covers(found) and not (group.common or posterior.spec.blocks):
        chains, found = _by_nuts(posterior, proposals, sets, found, -(-draws // CHAINS), int(rng.integers(2**31)))
    clock("group")
    if chains is None:
        picked, times = np.unique(systematic(found.weight, rng, draws), return_counts=True)
        v, order = found.v[picked], rng.permutation(draws)
    else:
        v = chains.reshape(-1, chains.shape[2])
        times, order = np.ones(len(v), int), np.arange(len(v))
    some, _ = posterior.unpack(v)
    x, mean, spread = people_given(sets, some, times, rng)
    foreign = sets.foreign(some)
    some = some.some(np.repeat(np.arange(len(times)), times)[order])
    values = {"x": posterior.whole(with_moments(x, mean, spread)[order], some)} | posterior.values(some)
    clock("people")
    # Variance due to the draws, and due to the points.
    found = found._replace(error=float(np.hypot(found.error, np.sqrt((exact.error**2).sum()))))
    trace = _trace(found, evidence, len(sets), exact)
    if chains is not None:
        trace |= {"effective_draws": ess(chains).min(), "rhat": rhat(chains).max()}
    problems = _problems(found, chains, foreign, trace["status"], data) + ([] if exact.moved < 1 else [LOST])
    trace["problems"] = np.array(problems, object)
    return as_result(
        "bayes",
        data,
        group,
        posterior.spec,
        posterior.at,
        {name: part.reshape(1 if chains is None else CHAINS, -1, *part.shape[1:]) for name, part in values.items()},
        {},
        clock.seconds,
        trace,
        _message(found, len(v), chains is not None, trace),
        settings,
    )


def _message(found: Weighted, kept: int, by_nuts: bool, trace: Mapping[str, np.ndarray]) -> str:
    """Message that says what was done; `kept` draws of the group are in the result."""
    by = f"{kept} draws of the group by NUTS over the points" if by_nuts else f"{len(found.v)} draws of the group"
    return (
        f"{by} worth {trace['effective_draws']:.0f} (Pareto k {found.pareto_k:.2f}), people integrated out; log "
        f"marginal likelihood {found.log_total:.3f} (se {found.error:.3f})"
    )


def _covers(found: Weighted) -> bool:
    """Whether the draws by importance cover the group's posterior."""
    return found.pareto_k <= GOOD and found.effective >= FEW_DRAWS


def _by_importance(
    proposals: ProposalCoordinates, sets: NodeSets, first: tuple[np.ndarray, np.ndarray], seed: int
) -> Weighted:
    """Draws of the group's coordinates by importance; the `first` mean and covariance are those of coordinates of proposals."""
    found = adaptive_importance(proposals.density(sets.log_density), *first, seed=seed)
    return found._replace(v=proposals.back(found.v)[0])


def _by_nuts(
    posterior: GroupPosterior,
    proposals: ProposalCoordinates,
    sets: NodeSets,
    found: Weighted,
    draws: int,
    seed: int,
) -> tuple[np.ndarray, Weighted]:
    """Draws (chain, draw, G) of the group's coordinates by NUTS over the points, and draws by importance around these."""
    mean = found.weight @ found.v
    cov = ((found.v - mean).T * found.weight) @ (found.v - mean)
    likely = found.v[systematic(found.weight, generator(seed))]
    points = sets.stacked(posterior.unpack(likely)[0])
    chains = nuts_on_points(posterior, points, mean, cov, draws=draws, key=seed)
    u = proposals.of(chains.reshape(-1, chains.shape[2]))
    return chains, _by_importance(proposals, sets, (u.mean(0), np.atleast_2d(np.cov(u.T))), seed)


def _differing(model: Model, group: Group) -> int:
    """Number of parameters in which people differ."""
    n = int((covariance_pattern(group, model.names)[1] != 0).sum())
    if not n:
        raise ValueError(
            "fit_bayes integrates over what people differ in, and here everything is common to all; use fit_nuts, or fit_mle "
            "with common="
        )
    return n


def _trace(found: Weighted, evidence: np.ndarray, n_sets: int, exact: Exact) -> dict[str, np.ndarray]:
    return {
        "log_marginal_likelihood": np.array(found.log_total),
        "log_marginal_likelihood_se": np.array(found.error),
        "pareto_k": np.array(found.pareto_k),
        "effective_draws": np.array(found.effective),
        "node_sets": np.array(n_sets),
        "people_log_evidence": evidence,
        "effective_nodes": exact.effective,
        "unreached": exact.unreached,
        "evidence_error": exact.error,
        "status": exact.moments.status,
    }


def _problems(
    found: Weighted, chains: np.ndarray | None, foreign: float, status: np.ndarray, data: Dataset
) -> list[str]:
    """Describe what is wrong with the draws, and what to do about it."""
    out = []
    if chains is not None:
        out += _of_chains(found, chains)
    elif not found.pareto_k <= GOOD:
        out.append(
            f"the importance sampling does not cover the group's posterior (Pareto k {found.pareto_k:.2f}, should be below "
            f"{GOOD}); "
            "its intervals may be too narrow: use fit_nuts, or narrower priors of the group's sds"
        )
    elif found.effective < FEW_DRAWS:
        out.append(
            f"the draws of the group are worth {found.effective:.0f} independent ones only, too few for intervals: use fit_nuts"
        )
    if foreign > FOREIGN:
        out.append(
            f"{foreign:.0%} of the group's draws were evaluated on points that were made for others, because groups that these "
            "data allow differ too much; give narrower priors to the group's sds, or use fit_nuts"
        )
    poor = np.flatnonzero(status == Status.NOT_COVERED)
    if len(poor):
        out.append(
            f"the points that {len(poor)} of {len(status)} subjects ({list_of(data.subjects[poor].tolist())}) are "
            "integrated over do "
            "not cover their posteriors: raise nodes, or use fit_nuts"
        )
    return out


def _of_chains(found: Weighted, chains: np.ndarray) -> list[str]:
    """Describe what is wrong with draws by NUTS over the points."""
    out, worst = [], float(rhat(chains).max())
    if not worst < RHAT_LIMIT:
        out.append(
            f"chains of the group's parameters disagree (Rhat {worst:.3f}, should be below {RHAT_LIMIT}); use fit_nuts"
        )
    if not _covers(found):
        out.append(
            f"the log marginal likelihood is not told by importance sampling (Pareto k {found.pareto_k:.2f}, should be below "
            f"{GOOD}), from which the draws by NUTS are free; use bridge_evidence of a fit by fit_nuts"
        )
    return out
