"""Groups in which people hardly differ in some direction: there the Laplace approximation is exact, and points are not.

Where the group is narrow, a person's likelihood does not bend within it. Points around it tell next to nothing of where the
mean should be, and a group that is estimated on them keeps some width, so that it can be told at all.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.nodes import NodeEStep
from pyem.infer.common_exact import Found, evidence_at
from pyem.infer.em_loop import EMRun
from pyem.infer.exact import Exact, around, error_between
from pyem.infer.placing import Places
from pyem.model.model import Model
from pyem.population.edges import log_evidence_of
from pyem.population.posterior import Laplace, Moments

SAME = 0.01
"""Nats, summed over people, by which exact and approximate log evidence may differ for the approximation to count as exact."""
TEXT = "; people hardly differ, so that the group is that of the Laplace approximation, which is exact there"


def or_laplace(found: Exact, places: Places, run: EMRun) -> Exact:
    """The group that was `found` on points, or that of the Laplace approximation where people hardly differ and it is better.

    Parameters
    ----------
    found
        The group at the maximum on points.
    places
        Makes the points.
    run
        Result of EM by Laplace approximation.
    """
    group, laplace = run.population, run.laplace
    if group.group.family != "gaussian" or group.hyper is not None or (found.stays and not _narrowest(found)):
        return found
    mean, cov = around(laplace, group)
    last, estep = (NodeEStep(places.nodes(mean, cov, group, found.level, turn), group.group) for turn in (1, 2))
    exact, error = estep.posterior(group.prior).log_lik, error_between(last, estep, group)
    value = log_evidence_of(laplace, group.log_prior(laplace.mode), group.chol)
    better = value.sum() > found.moments.log_lik.sum() - found.error.sum()
    if not (better and alike(laplace, value, exact, error)):
        return found
    return dataclasses.replace(
        found,
        population=group,
        estep=estep,
        moments=Moments(*laplace._replace(log_lik=value)),
        effective=estep.effective(group.prior),
        unreached=np.zeros_like(found.unreached),
        run=dataclasses.replace(run, message=run.message + TEXT),
        rounds=found.rounds + 2,
        moved=0.0,
        error=np.abs(exact - value),
        approximated=True,
    )


def common_or_laplace(found: Found, run: EMRun, model: Model, data: Dataset, *, seed: int) -> Found | None:
    """A group with common values that was `found` on points; None where that of a Laplace `run` has to take its place.

    This is where the group moves with the points for ever, although the approximation is exact.
    """
    if found.run.converged:
        return found
    exact, error = evidence_at(model, data, run, seed=seed)
    value = run.laplace.log_evidence(run.population.log_prior(run.laplace.mode))
    return None if alike(run.laplace, value, exact, error) else found


def alike(laplace: Laplace, value: np.ndarray, exact: np.ndarray, error: np.ndarray) -> bool:
    """Whether log evidence (S,) by Laplace approximation equals that over points, to within the points' standard errors."""
    gap = np.abs(np.where(laplace.usable, exact - value, np.inf)).sum()
    return bool(gap < SAME + error.sum())


def _narrowest(found: Exact) -> bool:
    """Whether the group is, in some direction, as narrow as points allow."""
    group = found.population
    return bool(group.correlated and np.linalg.eigvalsh(group.cov)[0] < 1.05 * group.least**2)
