"""EM with people integrated out exactly: the E-step on points whose likelihood is kept while the group moves.

The Laplace approximation says where the points go at first. EM on them costs no likelihood; then points are put anew around the
posteriors that were found, until the group stays. People whose posterior reaches beyond their points get a mixture.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from pyem.engine.nodes import NodeEStep
from pyem.infer.em_loop import EMRun
from pyem.infer.lattices import BETTER, FINEST, MIXED, PLAIN, points_at
from pyem.infer.moves import distance, predicted, trusted
from pyem.infer.multimodal import Make
from pyem.infer.placing import Places, Scouts, regular
from pyem.infer.standard_errors import no_wider
from pyem.population.population import Population
from pyem.population.posterior import Laplace, Moments, Status

SETTLED = 0.05
"""Move of the group, as a share of its standard error, below which points stay: other lattices would move it as much."""
ROUNDS = 15
"""Largest number of times that points are placed."""
UNREACHED, FEW = 0.02, 5.0
"""Share of the evidence beyond the points, and effective number of points, from which a person needs a mixture."""
FINE = 1e-3
"""Move of the group, as a share of its sds, below which points stay where `SETTLED` is smaller because people are many."""
ACCURACY = 0.05
"""Default standard error of a person's log evidence, in nats, above which more points are made."""
NEAR = 0.5
"""Move of the group, in standard errors, below which points are judged: around modes they are only roughly right."""
CAUTION = 0.1
"""Difference of two lattices, as a share of the requested accuracy, up to which no finer lattices are made."""
MOST = 2**22
"""Largest number of points of one level of care for all people together, which have to be kept in memory."""
THINNEST = 0.05
"""Least sd given the other parameters, as a share of the typical sd, in a group with correlations that points are made for."""
ROUND, ROUNDED = 0.1, 0.3
"""Smallest eigenvalue of the correlations below which the search starts from weaker ones, and the share by which these
shrink."""
ENOUGH = 20.0
"""Effective number of points of a mixture below which moments are not reliable."""


@dataclasses.dataclass(frozen=True)
class Exact:
    """A group at the maximum of the marginal likelihood, and its people, integrated over points.

    Parameters
    ----------
    population, estep, moments
        The group, the E-step on the last points, and posterior moments of everybody under the group.
    level
        Everybody's level of care, (S,); see `pyem.infer.lattices`.
    effective, unreached
        Effective number of points of each person, and the share of the evidence beyond them as far as scouts see, (S,).
    run
        Result of EM on the last points.
    rounds
        Number of times that points were placed.
    moved
        Distance of the last two groups, in standard errors.
    error
        Standard error of everybody's log evidence, (S,): of lattices as the last two placings have it, of mixtures at most that
        of independent points.
    accuracy
        Above which there are more points, where possible.
    approximated
        Whether group and moments are those of the Laplace approximation; see `pyem.infer.collapsed`.
    """

    population: Population
    estep: NodeEStep
    moments: Moments
    level: np.ndarray
    effective: np.ndarray
    unreached: np.ndarray
    run: EMRun
    rounds: int
    moved: float
    error: np.ndarray
    accuracy: float
    approximated: bool = False

    @property
    def converged(self) -> bool:
        """Whether EM ended and the group stays where it is when points are placed anew."""
        return self.run.converged and self.stays

    @property
    def stays(self) -> bool:
        """Whether the group hardly moves when points are placed anew."""
        return bool(self.moved < 2 * max(SETTLED, FINE * np.sqrt(len(self.level))))

    @property
    def message(self) -> str:
        """Describe how the iteration ended."""
        text = f"{self.run.message}; points placed {self.rounds} times"
        if not self.stays:
            text += f", and the group still moved by {self.moved:.2g} se"
        rough = self.error > self.accuracy
        if rough.any():
            text += f"; the log evidence of {rough.sum()} subjects is known to {self.error.max():.2g} nats only"
        return text

    def trace(self) -> dict[str, np.ndarray]:
        """Path of the last iteration, and measures of each person's points."""
        known = {"effective_nodes": self.effective, "unreached": self.unreached, "evidence_error": self.error}
        return {**self.run.trace, **known}


Climb = Callable[[NodeEStep, Population], EMRun]
"""Function that finds the best group given points, from a group near by."""


def on_points(
    places: Places,
    population: Population,
    beside: tuple[np.ndarray, np.ndarray],
    scouts: Scouts,
    climb: Climb,
    settled: float,
    accuracy: float | None = None,
) -> Exact:
    """Climb on points, place them anew around the posteriors that were found, and climb again, until the group stays.

    People whose posterior the points do not cover get a mixture, and those whose evidence they do not tell get more points.

    Parameters
    ----------
    places, scouts
        Make points, and see what they do not reach.
    population, beside
        Starting point: a group, and means (S, P) and covariances (S, P, P) of its people.
    climb
        Finds the best group on points.
    settled
        Share of its standard error by which the group may still move.
    accuracy
        Standard error of a person's log evidence, in nats, above which there are more points.
    """
    mean, cov = beside
    level, last = np.full(len(mean), MIXED if places.rule is None else PLAIN), None
    limit = ACCURACY if accuracy is None else accuracy
    settled = max(settled, FINE * np.sqrt(len(mean)))
    for rounds in itertools.count(1):
        parts = places.nodes(mean, cov, population, level, rounds)
        estep = NodeEStep(parts, population.group)
        found = climb(estep, population)
        new, far = trusted(population, found.population, places.model.typical[1])
        before = estep.posterior(population.prior)
        moved = distance(new, population, before, places.model.typical[1])
        if far and rounds < ROUNDS:
            # The points do not represent posteriors under such a group, but they show the likelihood roughly.
            mean, cov = predicted(before, population, new)
            population, last = new, estep
            continue
        population = new
        moments = estep.posterior(population.prior)
        effective = estep.effective(population.prior)
        mean, wide = around(moments, population)
        # A few points give a poor covariance, except that it is not much smaller than their cells.
        few = (level == PLAIN) & (effective < ENOUGH)
        cov = np.where(few[:, None, None], wide + places.cell * cov, wide)
        unreached, _ = scouts.unreached(population, mean, cov, moments.log_lik, places.reach)
        rim = places.rim(parts, estep.weights(population.prior))
        lost = wanting(level, (unreached > UNREACHED) | (rim > places.at_rim), effective)
        lost &= moments.usable & (moved < NEAR)
        error = error_between(last, estep, population)
        if rounds == ROUNDS or (last is not None and moved < settled and not lost.any()):
            break
        last, level = estep, np.where(lost, MIXED, level)
    unreached = np.where(level == PLAIN, np.maximum(unreached, rim), 0.0)
    ended = Exact(population, estep, moments, level, effective, unreached, found, rounds, moved, error, limit)
    if places.rule is not None or accuracy is not None:
        ended = refined(ended, places, (mean, cov), climb, 1.0 if accuracy is None else CAUTION)
    return dataclasses.replace(ended, moments=judged(ended.moments, ended.level, ended.effective))


def wanting(level: np.ndarray, beyond: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """(S,): people who need a mixture and have none, as their posterior exceeds their points, or few points are effective."""
    return (level == PLAIN) & (beyond | (effective < FEW))


def error_between(last: NodeEStep | None, estep: NodeEStep, population: Population) -> np.ndarray:
    """Standard error (S,) of everybody's log evidence, from the difference to other points, as many, for the same group.

    That of a mixture is at most that of as many independent points.
    """
    if last is None:
        return np.full(estep.n_people, np.inf)
    now, before = (one.posterior(population.prior) for one in (estep, last))
    with np.errstate(invalid="ignore"):
        error = np.abs(now.log_lik - before.log_lik) / np.sqrt(2)
    for part in estep.parts:
        if part.frame is None:
            share = 1 / estep.effective(population.prior)[part.people] - 1 / part.x.shape[1]
            error[part.people] = np.sqrt(np.maximum(share, 0.0))
    return np.where(now.usable, error, 0.0)


def refined(found: Exact, places: Places, beside: tuple[np.ndarray, np.ndarray], climb: Climb, caution: float) -> Exact:
    """Add points for people whose log evidence is not exact enough; those of the others stay.

    The difference of two plain lattices may be small by chance, so it is held against `caution` times what is asked for.
    """
    while True:
        least = found.accuracy * np.where(found.level == PLAIN, caution, 1.0)
        level = _finer(found.level, (found.error > least) & found.moments.usable, places)
        if (level == found.level).all():
            return found
        found = _with_levels(found, level, places, beside, climb)


def _with_levels(
    found: Exact, level: np.ndarray, places: Places, beside: tuple[np.ndarray, np.ndarray], climb: Climb
) -> Exact:
    """Find the group again, with new points for those whose `level` (S,) has changed."""
    some, start = level != found.level, found.population
    kept = (part.without(np.flatnonzero(some)) for part in found.estep.parts)
    parts = [part for part in kept if part is not None] + places.nodes(*beside, start, np.where(some, level, -1))
    estep = NodeEStep(parts, start.group)
    run = climb(estep, start)
    population, prior = run.population, run.population.prior
    # Where there were mixtures before, most of the difference is theirs.
    better = np.where(found.level == MIXED, 1.0, np.sqrt(2) / BETTER)
    error = np.where(some, better * error_between(found.estep, estep, population), found.error)
    moments = estep.posterior(prior)
    moved = max(found.moved, distance(population, start, moments, places.model.typical[1]))
    told = {"effective": estep.effective(prior), "error": error, "moved": moved}
    return dataclasses.replace(found, population=population, estep=estep, moments=moments, level=level, run=run, **told)


def _finer(level: np.ndarray, rough: np.ndarray, places: Places) -> np.ndarray:
    """Raise the level of care (S,) of those whose evidence is `rough` by one, as far as there is room for points."""
    up = np.maximum(level, MIXED) + 1
    out = np.where(rough & (up <= FINEST), up, level)
    plain = places.n_mixed if places.rule is None else places.rule.n
    return out if sum(points_at(int(care)) for care in out) * plain <= MOST else level


def judged(moments: Moments, level: np.ndarray, effective: np.ndarray) -> Moments:
    """Moments with the status of people whose points do not tell them."""
    poor = (effective < np.where(level > PLAIN, ENOUGH, FEW)) & moments.usable
    return Moments(*moments[:-1], np.where(poor, int(Status.NOT_COVERED), moments.status))


def wide_enough(places: Places, started: Population, laplace: Laplace, make: Make) -> tuple[Population, Laplace]:
    """A group that is not narrow in any direction, and modes under it: points for a narrow group see nothing else."""
    given = started
    sd = np.sqrt(np.diag(started.cov))
    wide = np.maximum(sd, 0.3 * places.model.typical[1])
    corr = started.cov / np.outer(sd, sd)
    if started.correlated:
        # A correlation of 1 is approached as a standard deviation of 0 is, but points must have some width.
        started = dataclasses.replace(started, least=THINNEST * float(places.model.typical[1].min()))
        corr = less_correlated(corr)
    elif (wide <= 1.01 * sd).all():
        return given, laplace
    population = dataclasses.replace(started, cov=started.floored(corr * np.outer(wide, wide)))
    if np.array_equal(population.cov, given.cov):
        return population, laplace
    start = np.where(np.isfinite(laplace.mode), laplace.mode, population.mean)
    return population, make(start)(population.prior, 1e-8)


def less_correlated(corr: np.ndarray) -> np.ndarray:
    """Correlations (P, P) from which a search may begin: none is nearly 1.

    Examples
    --------
    >>> less_correlated(np.ones((2, 2))).tolist()
    [[1.0, 0.7], [0.7, 1.0]]
    """
    return corr if np.linalg.eigvalsh(corr).min() > ROUND else (1 - ROUNDED) * corr + ROUNDED * np.eye(len(corr))


def first_places(population: Population, laplace: Laplace, scouts: Scouts, make: Make) -> tuple[np.ndarray, np.ndarray]:
    """Modes and covariances, of better modes where scouts say that most of the evidence is elsewhere."""
    mean, cov = around(laplace, population)
    evidence = laplace.log_evidence(population.log_prior(mean))
    share, best = scouts.unreached(population, mean, cov, np.where(laplace.usable, evidence, -np.inf), 4.5)
    lost = share > 0.3
    if not lost.any():
        return mean, cov
    other = make(np.where(lost[:, None], best, mean))(population.prior, 1e-8)
    gain = other.log_evidence(population.log_prior(other.mode)) - evidence
    take = lost & other.usable & (~laplace.usable | (gain > 0.01))
    new_mean, new_cov = around(other, population)
    return np.where(take[:, None], new_mean, mean), np.where(take[:, None, None], new_cov, cov)


def around(found: Laplace, population: Population) -> tuple[np.ndarray, np.ndarray]:
    """Centres and covariances of points: regular, and no wider than the group (twice that for heavy tails)."""
    known = found.usable & np.isfinite(found.mode).all(1)
    limit = population.cov if population.group.family == "gaussian" else 4 * population.cov
    cov = no_wider(regular(Moments(*found), population.cov), limit)
    return np.where(known[:, None], found.mode, population.mean), cov
