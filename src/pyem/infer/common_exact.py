"""Parameters with one value for everybody, with people integrated out exactly: adaptive quadrature.

People are integrated over points in what they differ in. Where the points are stays while the group and the common values move
to the maximum of the marginal likelihood; then points are put around the posteriors that were found, until the group stays.
The score is that of the integral over the points: of the group by Fisher's identity, of common values as differences.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.nodes import NodeEStep, Nodes, log_lik_at
from pyem.infer.common import INFORMATION_STEP, climbed, units
from pyem.infer.common_evidence import Evidence, Point, with_prior
from pyem.infer.edge_search import Edge, Slope, at_edge
from pyem.infer.em_loop import EMRun
from pyem.infer.exact import THINNEST, less_correlated
from pyem.infer.lattices import RULES, rule_of
from pyem.infer.placing import regular
from pyem.infer.standard_errors import no_wider
from pyem.model.model import Model
from pyem.numerics.lattice import lattice
from pyem.numerics.rng import generator
from pyem.population.people_only import people_only
from pyem.population.population import COMMON_SD, Population
from pyem.population.posterior import Laplace, Moments, Status
from pyem.results.group_rows import group_covariance
from pyem.results.point_problems import JUMPED

STEP = 1e-4
"""Step of the differences by common values."""
NEAR = 2.0
"""Factor of width within which the points made for one group serve another."""
WIDE = 0.3
"""Least width of the groups that points are first made for, as a share of the typical group's: narrow groups see too little."""
GONE = 0.02
"""Width, as a share of the typical group's, below which people count as not differing at all."""
SETTLED = 1e-4
"""Change of an entry of the group's `vector`, in sds between people, below which the points are not placed anew."""
ROUNDS = 15
"""Times that points are placed, at most."""
FEW = 5.0
"""Effective number of points below which the points do not represent a posterior."""


def require_few(random: np.ndarray) -> None:
    """Raise unless there are lattices for as many parameters as people differ in.

    Raises
    ------
    ValueError
        If there are none, or too many.
    """
    if not 0 < random.sum() <= max(RULES):
        raise ValueError(
            f"with common parameters, integrate='exact' is for 1 to {max(RULES)} parameters in which people differ, and here "
            f"they differ in {int(random.sum())}; use integrate='laplace', or fit_nuts"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class ExactEvidence:
    """Everybody's log marginal likelihood as a function of the group and the common values, on points that stay.

    Parameters
    ----------
    model, data
        The model, and its data.
    placed
        The group that the points were made for.
    nodes
        Points (S, K, Q) in the Q parameters in which people differ, weighted by the volume that each stands for.
    """

    model: Model
    data: Dataset
    placed: Population
    nodes: Nodes

    def __call__(self, population: Population) -> Point:
        """Log marginal likelihood at a population, with its gradient; minus infinity where the points do not suffice."""
        random, inner, common = population.random, people_only(population), population.mean[:, ~population.random]
        found = self._integrated(inner, common)
        use = found.usable
        slope = np.zeros_like(common)
        for k, move in enumerate(STEP * np.eye(common.shape[1])):
            ends = [self._integrated(inner, common + sign * move).log_lik for sign in (1, -1)]
            slope[use, k] = (ends[0] - ends[1])[use] / (2 * STEP)
        # By Fisher's identity, the gradient by the group is the expected score.
        n, score = int(inner.free.sum()), inner.score(found)
        of_people = np.zeros(inner.free.shape)
        of_people[inner.free] = score[:n]
        by_coef = np.zeros(population.coef.shape)
        by_coef[:, random], by_coef[:, ~random] = of_people, population.design.T @ slope
        grad = np.concatenate([by_coef[population.free], score[n:]])
        value = float(found.log_lik[use].sum()) if _is_near(inner, people_only(self.placed)) else -np.inf
        return with_prior(Point(population, _whole(population, found), value, grad))

    def _weighted(self, common: np.ndarray) -> Nodes:
        """The points, weighted by the likelihood at common values (S, C)."""
        x = np.empty((*self.nodes.x.shape[:2], len(self.placed.cov)))
        x[..., self.placed.random] = self.nodes.x
        x[..., ~self.placed.random] = common[:, None]
        part = copy.copy(self.nodes)
        part.log_weight = self.nodes.log_weight + log_lik_at(self.model, self.data, x)
        return part

    def _integrated(self, inner: Population, common: np.ndarray) -> Moments:
        return NodeEStep([self._weighted(common)], inner.group).posterior(inner.prior)

    def effective(self, population: Population) -> np.ndarray:
        """Effective number of points of each person, (S,)."""
        inner, part = people_only(population), self._weighted(population.mean[:, ~population.random])
        return NodeEStep([part], inner.group).effective(inner.prior)


def _whole(population: Population, found: Moments) -> Moments:
    """Moments of all parameters; the common ones are where the group has them."""
    random = population.random
    mode, cov = population.mean.copy(), np.zeros((len(found.mode), *population.cov.shape))
    mode[:, random] = found.mode
    cov[:, ~random, ~random] = COMMON_SD**2
    cov[np.ix_(np.arange(len(cov)), random, random)] = found.cov
    return Moments(mode, cov, *found[2:])


def _is_near(group: Population, placed: Population, times: float = NEAR) -> bool:
    """Whether a group is less than `times` as wide, and as narrow, as another in every direction."""
    white = np.linalg.inv(np.linalg.cholesky(placed.cov))
    values = np.linalg.eigvalsh(white @ group.cov @ white.T)
    return bool(values[0] > times**-2 and values[-1] < times**2)


# -- the maximum ----------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """A group with common values at the maximum of the marginal likelihood."""

    run: EMRun
    moments: Moments
    """Posterior means and covariances of everybody given the group, and the log evidence."""
    wide: Population
    """The group, widened where it has no width."""
    evidence: ExactEvidence
    """The log marginal likelihood on points for the `wide` group."""


def exact_common(
    model: Model, data: Dataset, run: EMRun, *, nodes: int | None, seed: int, max_iter: int, tol: float
) -> Found:
    """The maximum of the marginal likelihood over points, from that of its Laplace approximation.

    Parameters
    ----------
    model, data
        The model, and its data.
    run
        The maximum of the Laplace approximation.
    nodes
        Points of each person; as many as suit the number of parameters if not given.
    seed
        Seed of the lattice's shifts.
    max_iter, tol
        See `pyem.infer.common.climbed`.
    """
    typical, random = model.typical[1], run.population.random
    z, log_volume = _lattice(int(random.sum()), nodes, data.n_subjects, seed)
    population = wide_group(run.population, typical)
    at = Evidence(model, data, run.estep)(population)
    path: list[tuple[float, float, np.ndarray]] = []
    for rounds in itertools.count(1):
        x, volume = _placed(z, log_volume, at.laplace, population)
        evidence = ExactEvidence(model, data, population, Nodes(np.arange(data.n_subjects), x, volume))
        at, message = climbed(evidence, evidence(population), path, max_iter, tol)
        new = _vanished(at.population, population, typical)
        moved = float(np.abs((new.vector - population.vector) / units(population)).max())
        near = new is at.population and _is_near(people_only(new), people_only(population), 0.95 * NEAR)
        if rounds == ROUNDS or new.vanished.any() or (moved < SETTLED and near):
            break
        population = new

    def look(beside: Point, near: Population) -> ExactEvidence:
        x, volume = _placed(z, log_volume, _widened(beside, near), near)
        return ExactEvidence(model, data, near, Nodes(np.arange(data.n_subjects), x, volume))

    wide, edge = at.population, Edge.of(new, THINNEST * typical)
    while edge.any:
        before = new
        new, ended = at_edge(before, edge, lambda near, at=at: _slope(look(at, near)))
        message = "" if ended else "the maximum where people do not differ in some parameter was not found"
        evidence = look(at, new)
        at, moved, wide = evidence(new), 0.0, edge.widened(new, 1.0)
        # Where one sd is 0, others may turn out to be 0 too.
        narrower = _vanished(new, before, typical)
        if not ended or narrower is new:
            break
        new, edge = narrower, Edge.of(narrower, THINNEST * typical)
    if moved > 100 * SETTLED:
        message = f"the group still moved by {moved:.2g} sd when points were placed for the {rounds}th time"
    # That no step is better is no fault of a Laplace approximation here.
    message = "no step is better for the points as they are placed" if message == JUMPED else message
    done = message or f"the log evidence of the group is at its maximum; points placed {rounds} times"
    effective = evidence.effective(at.population)
    moments = Moments(*at.laplace)
    poor = (effective < FEW) & moments.usable
    moments = Moments(*moments[:-1], np.where(poor, int(Status.NOT_COVERED), moments.status))
    values, changes, vectors = zip(*path, strict=True)
    trace = {"log_evidence": np.array(values), "change": np.array(changes), "vector": np.array(vectors)}
    trace |= {"evaluated": np.array(len(values)), "effective_nodes": effective, "unreached": np.zeros(len(effective))}
    run = EMRun(at.population, moments, not message, done, trace, run.estep)
    return Found(run, moments, wide, look(at, wide) if edge.any else evidence)


def _slope(evidence: ExactEvidence) -> Slope:
    return lambda population: evidence(population).grad


def _widened(at: Point, population: Population) -> Laplace:
    """Approximate people's posteriors under a group that is wider in some directions and has moved a little."""
    more = population.chol @ np.linalg.inv(at.population.chol)
    mode = population.mean + (at.laplace.mode - at.population.mean) @ more.T
    return at.laplace._replace(mode=mode, cov=more @ at.laplace.cov @ more.T)


def evidence_at(model: Model, data: Dataset, run: EMRun, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Everybody's log evidence (S,) under the group of a Laplace `run`, over points, and its standard error."""
    population, both = run.population, []
    for turn in (0, 1):
        z, log_volume = _lattice(int(population.random.sum()), None, data.n_subjects, seed + turn)
        x, volume = _placed(z, log_volume, run.laplace, population)
        evidence = ExactEvidence(model, data, population, Nodes(np.arange(data.n_subjects), x, volume))
        both.append(evidence(population).laplace.log_lik)
    return (both[0] + both[1]) / 2, np.abs(both[0] - both[1]) / 2


def _lattice(dim: int, nodes: int | None, people: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points before they are placed, (S, K, Q), and the log volume of each, (S, K)."""
    rule = rule_of(dim, nodes)
    assert rule is not None
    return lattice(rule.n, dim, rule.radius, rule.stretch, people, generator(seed))


def _placed(
    z: np.ndarray, log_volume: np.ndarray, found: Laplace, population: Population
) -> tuple[np.ndarray, np.ndarray]:
    """Points around the posteriors that were `found`, and the log volume of each."""
    random = population.random
    own = population.cov[np.ix_(random, random)]
    cov = found.cov[:, random][:, :, random]
    mean = found.mode[:, random]
    known = found.usable & np.isfinite(mean).all(1)
    some = Moments(mean, cov, found.log_lik, found.log_det, found.status)
    chol = np.linalg.cholesky(no_wider(regular(some, own), own))
    mean = np.where(known[:, None], mean, population.mean[:, random])
    log_scale = np.log(np.diagonal(chol, axis1=1, axis2=2)).sum(1)
    return mean[:, None] + z @ np.swapaxes(chol, 1, 2), log_volume + log_scale[:, None]


def wide_group(population: Population, typical: np.ndarray) -> Population:
    """A group that is not narrow in any direction in which people may differ."""
    if population.correlated:
        population = dataclasses.replace(population, least=THINNEST * float(typical.min()))
    sd = np.sqrt(np.diag(population.cov))
    free = np.isnan(population.given_sd)
    wide = np.where(free, np.maximum(sd, WIDE * typical), sd)
    corr = less_correlated(population.cov / np.outer(sd, sd))
    return dataclasses.replace(population, cov=population.floored(corr * np.outer(wide, wide)))


def _vanished(new: Population, old: Population, typical: np.ndarray) -> Population:
    """Set to zero the differences between people that have become smaller than points can tell."""
    sd, before = np.sqrt(np.diag(new.cov)), np.sqrt(np.diag(old.cov))
    gone = np.isnan(new.given_sd) & (sd < np.minimum(GONE * typical, before)) & ~new.vanished
    if not gone.any():
        return new
    cov = new.cov.copy()
    cov[gone], cov[:, gone] = 0.0, 0.0
    return dataclasses.replace(new, cov=new.floored(cov))


# -- errors ---------------------------------------------------------------------------------------------------------------


def information_and_spread(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """Observed information of the group's `vector`, and what its error adds to the covariance of each person (S, P, P)."""
    population, evidence = found.wide, found.evidence
    vector = population.vector
    slopes, moves = [], []
    for move in INFORMATION_STEP * np.eye(len(vector)):
        up, down = (evidence(population.with_vector(vector + sign * move)) for sign in (1, -1))
        slopes.append((up.grad - down.grad) / (2 * INFORMATION_STEP))
        moves.append((up.laplace.mode - down.laplace.mode) / (2 * INFORMATION_STEP))
    information = -np.array(slopes)
    information = (information + information.T) / 2
    covariance = group_covariance(found.run.population, information)
    known = np.where(np.isfinite(covariance), covariance, 0.0)
    return information, np.einsum("gsp,gh,hsq->spq", np.array(moves), known, np.array(moves), optimize=True)
