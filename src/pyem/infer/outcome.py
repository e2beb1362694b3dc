"""Results made from searches, with a warning that names people without a regular mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import ModelError, warn
from pyem.model.model import Model
from pyem.population.population import Population
from pyem.population.posterior import Laplace, Status
from pyem.results.point import PointFit
from pyem.results.point_problems import bound_problems, drift_problems, vague_problems


def ended(laplace: Laplace) -> tuple[bool, str]:
    """Whether everybody has a regular mode, and a sentence that counts those who do."""
    return ended_texts(laplace.status)


def ended_texts(status: np.ndarray) -> tuple[bool, str]:
    """Whether everybody has a regular mode, and a sentence that counts those who do, from everybody's status (S,)."""
    done = status == Status.CONVERGED
    return bool(done.all()), f"{int(done.sum())} of {len(done)} subjects converged"


def as_point_fit(
    method: str,
    model: Model,
    data: Dataset,
    laplace: Laplace,
    population: Population | None,
    info: np.ndarray | None,
    converged: bool,
    message: str,
    trace: Mapping[str, np.ndarray],
    *,
    log_prior: np.ndarray | None = None,
    log_evidence: np.ndarray | None = None,
    settings: Mapping[str, Any],
) -> PointFit:
    """The result of a fit from its Laplace approximations, with a warning that names people without a regular mode.

    `log_evidence` (S,), if given, stands in place of that of the Laplace approximation.
    """
    some_finite(model, laplace)
    laplace = _without_lost(laplace)
    if log_prior is None and population is not None:
        log_prior = population.log_prior(laplace.mode)
    if log_evidence is None and log_prior is not None:
        log_evidence = laplace.log_evidence(log_prior)
    if log_evidence is not None:
        log_evidence = np.where(laplace.usable, log_evidence, np.nan)
    fit = PointFit(
        method=method,
        model=model,
        data=data,
        x=laplace.mode,
        cov=laplace.cov,
        log_lik=laplace.log_lik,
        log_prior=log_prior,
        log_evidence=log_evidence,
        status=laplace.status,
        population=population if method == "em" else None,
        prior=(population.coef[0], population.cov) if method == "map" and population is not None else None,
        information=info,
        converged=converged,
        message=message,
        trace=dict(trace),
        settings=dict(settings),
    )
    warn_of_failures(fit)
    remarks = bound_problems(model, fit.params, fit.status)
    remarks += drift_problems(model, fit.population, fit.cov, message) + vague_problems(model, fit.population, info)
    for text in remarks:
        warn(f"fit_{method} of {model.name!r}: {text}")
    return fit


def some_finite(model: Model, laplace: Laplace) -> None:
    """Raise a ModelError unless somebody has a finite likelihood."""
    if (laplace.status == Status.DIVERGED).all():
        raise ModelError(
            f"the update of model {model.name!r} diverges for all {len(laplace.status)} subjects where the search starts, so "
            "that no likelihood is finite; give start= or a prior with mean= where it does not, or take an update that "
            "diverges less often (update='ehgf' of hgf); pyem.check(model, data) says on which trial"
        )
    if not laplace.usable.any():
        raise ModelError(
            f"model {model.name!r} has no finite log-likelihood for any of the {len(laplace.status)} subjects where the search "
            "starts; look for a logarithm or a division of 0, a root of a negative number, or data far out of scale, and see "
            "what pyem.check(model, data) says"
        )


def _without_lost(laplace: Laplace) -> Laplace:
    """Set the numbers of subjects whose likelihood is not finite to NaN, so that none looks like an estimate."""
    lost = ~laplace.usable
    if not lost.any():
        return laplace
    hide = lambda values: np.where(lost.reshape(-1, *[1] * (values.ndim - 1)), np.nan, values)  # noqa: E731
    mode, cov, log_lik, log_det = map(hide, laplace[:4])
    return Laplace(mode, cov, log_lik, log_det, laplace.status)


def warn_of_failures(fit: PointFit) -> None:
    """Warn of the people without a regular mode, if there are any."""
    failed = np.flatnonzero(fit.status != Status.CONVERGED)
    if not len(failed):
        return
    named = [f"{fit.data.subjects[s]} ({Status(fit.status[s]).text})" for s in failed[:10]]
    more = f" and {len(failed) - 10} more" if len(failed) > 10 else ""
    warn(
        f"fit_{fit.method} of {fit.model.name!r}: {len(failed)} of {len(fit.status)} subjects have no regular mode: "
        f"{', '.join(named)}{more}; see the column status of table()"
    )
