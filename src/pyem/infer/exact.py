"""EM with people integrated out exactly: the E-step on points whose likelihood is kept while the group moves.

The Laplace approximation says where the points go at first. EM on them costs no likelihood; then points are put anew around the
posteriors that were found, until the group stays. People whose posterior reaches beyond their points get a mixture.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from pyem.engine.nodes import NodeEStep
from pyem.infer.em_loop import EMRun, run_em
from pyem.infer.hierarchy import likelihood_of
from pyem.infer.multimodal import Make
from pyem.infer.placing import Places, Scouts, regular
from pyem.infer.standard_errors import derivative, no_wider, not_vanished
from pyem.population.population import Population
from pyem.population.posterior import Laplace, Moments, Status
from pyem.results.group_rows import group_covariance

SETTLED = 0.01
"""Points stay where they are once the group has moved by less than this share of its standard error."""
ROUNDS = 12
"""Times that points are placed, at most."""
UNREACHED, FEW = 0.02, 5.0
"""Share of the evidence beyond the points, and effective number of points, from which a person needs a mixture."""
FINE = 1e-3
"""The same as a share of the group's sds, where there are so many people that this is more."""
AGREE = 0.1
"""Points are placed again if that changes a person's log evidence by more: a standard error, in nats."""
NEAR = 0.5
"""Points are judged once the group moves by less than this, in standard errors: around modes they are only roughly right."""
NARROWEST = 0.02
"""Points are made for groups no narrower than this share of the typical one, unless people do not differ at all."""
THINNEST = 0.05
"""The same of groups with correlations, of what is left of an sd given the others: where a correlation nears 1."""
ROUND, ROUNDED = 0.1, 0.3
"""Where the smallest eigenvalue of the correlations is below the first, the search begins with so much less of them."""
APART = 0.02
"""The variance of a group where it is 0 counts as this share of what a person's data leave open, for the error of its mean."""
ENOUGH = 20.0
"""Effective points of a mixture below which moments are not reliable."""


@dataclasses.dataclass(frozen=True)
class Exact:
    """A group at the maximum of the marginal likelihood, and its people, integrated over points.

    Parameters
    ----------
    population, estep, moments
        The group, the E-step on the last points, and posterior moments of everybody under the group.
    hard
        People with mixtures, (S,).
    effective, unreached
        Effective number of points of each person, and the share of the evidence beyond them as far as scouts see, (S,).
    run
        How EM on the last points ended.
    rounds
        How often points were placed.
    moved
        Distance of the last two groups, in standard errors.
    error
        Standard error of everybody's log evidence as the last two placings have it, (S,).
    """

    population: Population
    estep: NodeEStep
    moments: Moments
    hard: np.ndarray
    effective: np.ndarray
    unreached: np.ndarray
    run: EMRun
    rounds: int
    moved: float
    error: np.ndarray

    @property
    def converged(self) -> bool:
        """Whether EM ended and the group stays where it is when points are placed anew."""
        return self.run.converged and self.moved < 10 * SETTLED

    @property
    def message(self) -> str:
        """How it ended, in words."""
        text = f"{self.run.message}; points placed {self.rounds} times"
        return text if self.moved < 10 * SETTLED else f"{text}, and the group still moved by {self.moved:.2g} se"

    def trace(self) -> dict[str, np.ndarray]:
        """The path of the last iteration, and what is known of each person's points."""
        return {**self.run.trace, "effective_nodes": self.effective, "unreached": self.unreached}


Climb = Callable[[NodeEStep, Population], EMRun]
"""Finds the best group given points, from a group near by."""


def exact_em(
    places: Places, run: EMRun, make: Make, *, seed: int = 0, settled: float = SETTLED, **options: Any
) -> Exact:
    """EM on points, from where EM by Laplace approximation ended.

    Parameters
    ----------
    places
        Makes the points.
    run
        EM by Laplace approximation.
    make
        Makes E-steps that find modes, for people whose mode is not the one that was found.
    seed
        Of the scouts.
    settled
        Share of its standard error by which the group may still move.
    **options
        Those of `pyem.infer.em_loop.run_em`.
    """
    population, laplace = wide_enough(places, run.population, run.laplace, make)
    scouts = Scouts(places, population, seed)
    around = first_places(population, laplace, scouts, make)
    return on_points(places, population, around, scouts, functools.partial(run_em, **options), settled)


def on_points(
    places: Places,
    population: Population,
    around: tuple[np.ndarray, np.ndarray],
    scouts: Scouts,
    climb: Climb,
    settled: float,
) -> Exact:
    """Climb on points, place them anew around the posteriors that were found, and climb again, until the group stays.

    Parameters
    ----------
    places, scouts
        Make points, and see what they do not reach.
    population, around
        Where to start: a group, and means (S, P) and covariances (S, P, P) of its people.
    climb
        Finds the best group on points.
    settled
        Share of its standard error by which the group may still move.
    """
    mean, cov = around
    hard, last = np.full(len(mean), places.rule is None), None
    for rounds in itertools.count(1):
        parts = places.nodes(mean, cov, population, hard)
        estep = NodeEStep(parts, population.group)
        found = climb(estep, population)
        new, far = _trusted(population, found.population, places.model.typical[1])
        before = estep.posterior(population.prior)
        moved = distance(new, population, before, places.model.typical[1])
        if far and rounds < ROUNDS:
            # The points do not tell posteriors under such a group, but what they say of the likelihood does, roughly.
            mean, cov = predicted(before, population, new)
            population, last = new, estep
            continue
        population = new
        moments = estep.posterior(population.prior)
        effective = estep.effective(population.prior)
        mean, wide = _around(moments, population)
        # A few points say little of a covariance, but that it is not much smaller than their cells.
        cov = np.where((effective < ENOUGH)[:, None, None], wide + places.cell * cov, wide)
        unreached, _ = scouts.unreached(population, mean, cov, moments.log_lik, places.reach)
        rim = places.rim(parts, estep.weights(population.prior))
        more = ~hard & ((unreached > UNREACHED) | (rim > places.at_rim) | (effective < FEW)) & moments.usable
        more &= moved < NEAR
        error = _disagreement(last, moments, population)
        settled = max(settled, FINE * np.sqrt(len(mean)))
        if rounds == ROUNDS or (moved < settled and not more.any() and error.max() < AGREE):
            break
        hard, last = hard | more, estep
    unreached = np.where(hard, 0.0, np.maximum(unreached, rim))
    judged = _judged(moments, hard, effective)
    return Exact(population, estep, judged, hard, effective, unreached, found, rounds, moved, error)


def _disagreement(last: NodeEStep | None, moments: Moments, population: Population) -> np.ndarray:
    """Standard error (S,) of everybody's log evidence, from what the points of the last round say of the same group."""
    if last is None:
        return np.full(len(moments.log_lik), np.inf)
    with np.errstate(invalid="ignore"):
        change = np.abs(moments.log_lik - last.posterior(population.prior).log_lik) / np.sqrt(2)
    return np.where(moments.usable, change, 0.0)


def _judged(moments: Moments, hard: np.ndarray, effective: np.ndarray) -> Moments:
    """Moments with the status of people whose points do not tell them."""
    poor = (effective < np.where(hard, ENOUGH, FEW)) & moments.usable
    return Moments(*moments[:-1], np.where(poor, int(Status.NOT_COVERED), moments.status))


def wide_enough(places: Places, started: Population, laplace: Laplace, make: Make) -> tuple[Population, Laplace]:
    """A group that is not narrow in any direction, and modes under it: points for a narrow group see nothing else."""
    given = started
    sd = np.sqrt(np.diag(started.cov))
    wide = np.maximum(sd, 0.3 * places.model.typical[1])
    corr = started.cov / np.outer(sd, sd)
    if started.correlated:
        # A correlation of 1 is neared as a standard deviation of 0 is, but points have to have some width.
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
    mean, cov = _around(laplace, population)
    evidence = laplace.log_evidence(population.log_prior(mean))
    share, best = scouts.unreached(population, mean, cov, np.where(laplace.usable, evidence, -np.inf), 4.5)
    lost = share > 0.3
    if not lost.any():
        return mean, cov
    other = make(np.where(lost[:, None], best, mean))(population.prior, 1e-8)
    gain = other.log_evidence(population.log_prior(other.mode)) - evidence
    take = lost & other.usable & (~laplace.usable | (gain > 0.01))
    new_mean, new_cov = _around(other, population)
    return np.where(take[:, None], new_mean, mean), np.where(take[:, None, None], new_cov, cov)


def _around(found: Laplace, population: Population) -> tuple[np.ndarray, np.ndarray]:
    """Where points go: means, and covariances that are regular and no wider than the group (twice, for a heavy-tailed one)."""
    known = found.usable & np.isfinite(found.mode).all(1)
    limit = population.cov if population.group.family == "gaussian" else 4 * population.cov
    cov = no_wider(regular(Moments(*found), population.cov), limit)
    return np.where(known[:, None], found.mode, population.mean), cov


def predicted(moments: Moments, old: Population, new: Population) -> tuple[np.ndarray, np.ndarray]:
    """Roughly everybody's posterior mean (S, P) and covariance (S, P, P) under a `new` group, from that under an `old` one."""
    precision, shift = likelihood_of(moments, dataclasses.replace(old, weight=np.ones_like(old.weight)))
    prior = np.linalg.inv(new.cov)
    cov = np.linalg.inv(precision + prior)
    return np.einsum("spq,sq->sp", cov, shift + new.mean @ prior), (cov + np.swapaxes(cov, 1, 2)) / 2


def distance(new: Population, old: Population, moments: Moments, typical: np.ndarray) -> float:
    """How far two groups are apart, in standard errors of the group's means, roughly."""
    variance = np.diag(old.cov)
    own = np.diagonal(moments.cov, axis1=1, axis2=2)
    within = 1 / np.maximum(1 / own - 1 / variance, 1 / (3 * typical) ** 2)
    error = np.sqrt((variance + np.median(within, axis=0)) / len(own))
    sizes = np.maximum(new.design.std(0), new.design.mean(0))
    steps = [sizes[:, None] * (new.coef - old.coef), (np.linalg.cholesky(new.cov) - np.linalg.cholesky(old.cov)).T]
    return float(max((np.abs(step) / error).max() for step in steps))


def _trusted(old: Population, new: Population, typical: np.ndarray) -> tuple[Population, bool]:
    """The new group, but no farther from the one that points were made for than they can tell; and whether it is that far."""
    before, after = np.sqrt(np.diag(old.cov)), np.sqrt(np.diag(new.cov))
    floor = NARROWEST * typical
    same = before < 1.5 * old.smallest
    # Whoever wants to be narrower still than the narrowest is not different at all.
    gone = ~same & (before <= 1.01 * floor) & (after < before)
    sd = np.clip(after, np.maximum(0.5 * before, np.minimum(floor, before)), 2 * before)
    sd = np.where(same | gone, old.smallest, sd)
    far = gone.any() or (np.abs(np.log(sd / after))[~same] > 1e-6).any()
    cov = new.cov * np.outer(sd / after, sd / after)
    if new.correlated:
        nearer = _near(old, cov)
        far = far or not np.allclose(nearer, cov, rtol=1e-6, atol=1e-9)
        cov = nearer
    return dataclasses.replace(new, cov=cov), bool(far)


def _near(old: Population, cov: np.ndarray) -> np.ndarray:
    """A covariance that in no direction is less than half as wide, or more than twice as wide, as that of the old group."""
    root = np.linalg.cholesky(old.cov)
    white = np.linalg.inv(root)
    values, axes = np.linalg.eigh(white @ cov @ white.T)
    axes = root @ axes
    return old.floored((axes * np.clip(values, 0.25, 4.0)) @ axes.T)


# -- errors ---------------------------------------------------------------------------------------------------------------


def information_and_spread(exact: Exact, places: Places, run: EMRun) -> tuple[np.ndarray, np.ndarray]:
    """Observed information of the group's `vector`, and what the group's error adds to the covariance of each person (S, P, P).

    The information is minus the derivative of the score, whose expectation over the points is exact (Fisher's identity); a
    person's posterior mean moves with the group, and so its error is added.

    References
    ----------
    Kass, R. E., & Steffey, D. (1989). Approximate Bayesian inference in conditionally independent hierarchical models
    (parametric empirical Bayes models). Journal of the American Statistical Association, 84(407), 717-726.
    https://doi.org/10.1080/01621459.1989.10478825
    """
    population, estep = _told_apart(exact, places, run)

    def score_and_means(moved: Population) -> np.ndarray:
        prior = moved.prior
        score = moved.score(estep(prior))
        return np.concatenate([score, estep.posterior(prior).mode.ravel()])

    n = len(population.vector)
    slopes = derivative(population, score_and_means)
    information = -(slopes[:, :n] + slopes[:, :n].T) / 2
    moves = slopes[:, n:].reshape(n, *exact.moments.mode.shape)
    covariance = group_covariance(exact.population, information)
    known = np.where(np.isfinite(covariance), covariance, 0.0)
    return information, np.einsum("gsp,gh,hsq->spq", moves, known, moves, optimize=True)


def _told_apart(exact: Exact, places: Places, run: EMRun) -> tuple[Population, NodeEStep]:
    """The group with sds that are not 0, and an E-step on points for it; see `pyem.infer.standard_errors.not_vanished`."""
    wider = not_vanished(exact.population, np.sqrt(APART / _information_of_one(run)))
    if wider is exact.population:
        return wider, exact.estep
    # Where people do not differ, their posterior is the group's.
    more = np.sqrt(np.diag(wider.cov) / np.diag(exact.population.cov))
    mean, cov = _around(exact.moments._replace(cov=exact.moments.cov * np.outer(more, more)), wider)
    return wider, NodeEStep(places.nodes(mean, cov, wider, exact.hard), wider.group)


def _information_of_one(run: EMRun) -> np.ndarray:
    """(P,): what the data of one person say of a parameter, on average, by Laplace approximation: one over a variance."""
    use, prior = run.laplace.usable, run.population.prior
    root = np.sqrt(prior.weight[use])
    known = np.linalg.inv(run.laplace.cov[use]) - prior.precision * root[:, :, None] * root[:, None]
    return np.maximum(np.diagonal(known, axis1=1, axis2=2).mean(0), 1e-6)


def estimates(exact: Exact, spread: np.ndarray | None, log_lik: Callable[[np.ndarray], np.ndarray]) -> Laplace:
    """Posterior means, covariances with what the group's error adds, and the log-likelihood at the means."""
    found = exact.moments
    cov = found.cov if spread is None else found.cov + spread
    return Laplace(found.mode, cov, log_lik(found.mode), found.log_det, found.status)
