"""Model evidence: what the data say for a model when its parameters are averaged over, not maximised."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np

from pyem.engine.importance import log_evidence as importance_sampled
from pyem.errors import FitWarning, UndefinedCriterion
from pyem.population.posterior import Status
from pyem.results.point import PointFit


@dataclasses.dataclass(frozen=True, eq=False)
class LogEvidence:
    """Log model evidence by the Laplace approximation, in nats; larger is better.

    Parameters
    ----------
    value
        The total less ``n_group / 2 * log(number of subjects)``: what compares models of different groups.
    total
        Sum over subjects.
    n_group
        Number of group parameters that were estimated (0 where the prior was given).
    subject
        Log marginal likelihood of each subject given the group's parameters, (S,).
    """

    value: float
    total: float
    n_group: int
    subject: np.ndarray = dataclasses.field(repr=False)


def lme(fit: PointFit) -> LogEvidence:
    """Log model evidence of a fit by EM or MAP, from the Laplace approximation of every subject's integral.

    Each subject's log marginal likelihood is ``log p(y | m) + log p(m) + P/2 log 2π - 1/2 log det H`` at the mode `m`, `H` the
    Hessian of the negative log joint. Parameters of the group that were estimated from the same data are paid for as in the
    BIC of a model whose observations are the S subjects: half a log S each. Larger is better.

    Raises
    ------
    ValueError
        If the fit has no prior (maximum likelihood).

    Warns
    -----
    FitWarning
        If there are subjects without a regular mode, for whom the approximation does not hold, as `integrated_bic` does.

    References
    ----------
    Kass, R. E., & Raftery, A. E. (1995). Bayes factors. Journal of the American Statistical Association, 90(430), 773-795.
    https://doi.org/10.1080/01621459.1995.10476572

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_em(model, pyem.simulate(model, subjects=10, key=1))
    >>> lme(fit).n_group
    4
    """
    if fit.log_evidence is None:
        raise UndefinedCriterion(
            f"a fit by {fit.method} has no prior and so no evidence; use fit_em or fit_map, or compare by aic or bic"
        )
    irregular = [str(label) for label in fit.data.subjects[fit.status != Status.CONVERGED]]
    if irregular:
        warnings.warn(
            f"the Laplace approximation does not hold for {len(irregular)} of {len(fit.status)} subjects without a regular "
            f"mode ({', '.join(irregular[:10])}{', ...' if len(irregular) > 10 else ''}); use integrated_bic",
            FitWarning,
            stacklevel=2,
        )
    total, n_group = float(fit.log_evidence.sum()), n_group_params(fit)
    return LogEvidence(total - 0.5 * n_group * math.log(len(fit.x)), total, n_group, fit.log_evidence)


def n_group_params(fit: PointFit) -> int:
    """Number of parameters of the group that were estimated: means, effects, standard deviations, correlations."""
    return 0 if fit.population is None else len(fit.population.vector)


@dataclasses.dataclass(frozen=True, eq=False)
class IntegratedBIC:
    """Integrated BIC and its Monte-Carlo error; smaller is better.

    Parameters
    ----------
    value, se
        ``-2 * log_evidence.sum() + n_group * log(n_responses)``, and its Monte-Carlo standard error.
    n_group, n_responses
        Number of group parameters that were estimated, and of responses of all subjects.
    draws
        Number of draws for each subject.
    log_evidence, log_evidence_se
        Log marginal likelihood of each subject given the group's parameters, and its Monte-Carlo standard error, (S,), in nats.
    ess
        Effective number of draws for each subject, (S,).
    """

    value: float
    se: float
    n_group: int
    n_responses: int
    draws: int
    log_evidence: np.ndarray = dataclasses.field(repr=False)
    log_evidence_se: np.ndarray = dataclasses.field(repr=False)
    ess: np.ndarray = dataclasses.field(repr=False)


def integrated_bic(fit: PointFit, *, draws: int = 1000, key: Any) -> IntegratedBIC:
    """Integrated BIC of a fit by EM or MAP: ``-2 Σ log ∫ p(y | x) p(x | group) dx + n_group log(all responses)``.

    Parameters
    ----------
    fit
        By EM, or by MAP with a Gaussian prior (which has no group parameters to pay for).
    draws
        For each subject's integral, at least. The error falls with their square root.
    key
        Seed of the draws.

    Raises
    ------
    ValueError
        If the fit has no prior that can be evaluated.

    Warns
    -----
    FitWarning
        If less than 20 draws are effective for some subjects: then the error is not reliable.

    Notes
    -----
    Importance sampling, see `pyem.engine.importance.log_evidence`: exact but for the Monte-Carlo error, whatever the shape of
    the posterior.

    References
    ----------
    Huys, Q. J. M., et al. (2011). Disentangling the roles of approach, activation and valence in instrumental and
    pavlovian responding. PLoS Computational Biology, 7(4), e1002028. https://doi.org/10.1371/journal.pcbi.1002028

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_em(model, pyem.simulate(model, subjects=10, key=1))
    >>> integrated_bic(fit, draws=200, key=0).n_responses
    1000
    """
    if fit.population is not None:
        group, mean, cov = fit.population.group, fit.population.mean, fit.population.cov
    elif fit.prior is not None:
        from pyem.population.group import Group

        group, mean, cov = Group(), np.tile(fit.prior[0], (len(fit.x), 1)), fit.prior[1]
    else:
        raise UndefinedCriterion(
            f"this fit by {fit.method} keeps no prior density to integrate over; use fit_em, or fit_map with mean and sd"
        )
    found = importance_sampled(fit.model, fit.data, fit.x, fit.cov, group, mean, cov, draws=draws, key=key)
    poor = [str(label) for label in fit.data.subjects[found.ess < 20]]
    if poor:
        warnings.warn(
            f"less than 20 of {found.draws} draws are effective for {len(poor)} subjects ({', '.join(poor[:10])}"
            f"{', ...' if len(poor) > 10 else ''}); the error is not reliable: raise draws",
            FitWarning,
            stacklevel=2,
        )
    n_responses, n_group = int(fit.data.n_responses(fit.model).sum()), n_group_params(fit)
    return IntegratedBIC(
        value=float(-2 * found.log_evidence.sum() + n_group * math.log(n_responses)),
        se=float(2 * np.sqrt((found.se**2).sum())),
        n_group=n_group,
        n_responses=n_responses,
        draws=found.draws,
        log_evidence=found.log_evidence,
        log_evidence_se=found.se,
        ess=found.ess,
    )
