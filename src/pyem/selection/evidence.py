"""Model evidence: the probability of the data under a model whose parameters are averaged over, not maximised."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.engine.importance import Estimate
from pyem.engine.importance import log_evidence as importance_sampled
from pyem.errors import FitWarning, counted, require_kind
from pyem.population.group import Group
from pyem.population.population import Population
from pyem.population.posterior import Status
from pyem.selection.criterion import Criterion, Score, Settings, has_draws

if TYPE_CHECKING:
    from pyem.selection.criterion import Fit


@dataclasses.dataclass(frozen=True, eq=False)
class LogEvidence:
    """Log model evidence, in nats; larger is better.

    Exact for fits on a grid or by `fit_em` with ``integrate="exact"``, else by the Laplace approximation.

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


def lme(fit: Fit) -> LogEvidence:
    """Log model evidence of a fit by EM or MAP, from the Laplace approximation of every subject's integral.

    Each subject's log marginal likelihood is ``log p(y | m) + log p(m) + P/2 log 2π - 1/2 log det H`` at the mode `m`, `H` the
    Hessian of the negative log joint; of a fit on a grid, or by ``fit_em(..., integrate="exact")``, it is the integral
    itself. Parameters of the group that were estimated from the same data are paid for as in the BIC of a model whose
    observations are the S subjects: half a log S each. Larger is better.

    Raises
    ------
    UndefinedCriterion
        If the fit has no prior (maximum likelihood), or consists of draws, which do not tell the evidence.

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
    require_kind("fit", fit)
    LME.require(fit)
    _warn_of_irregular(fit)
    assert fit.log_evidence is not None
    total, n_group = float(fit.log_evidence.sum()), n_group_params(fit)
    return LogEvidence(total - 0.5 * n_group * math.log(len(fit.x)), total, n_group, fit.log_evidence)


def _warn_of_irregular(fit: Fit) -> None:
    irregular = fit.data.subjects[fit.status != Status.CONVERGED]
    if not len(irregular):
        return
    who = f"{len(irregular)} of {counted(len(fit.status), 'subject')}"
    if is_exact(fit):
        text = f"the points do not hold the whole posterior of {who} ({_some(irregular)}); their evidence is not exact"
    else:
        text = (
            f"the Laplace approximation does not hold for {who} without a regular mode ({_some(irregular)}); use "
            "integrated_bic"
        )
    warnings.warn(text, FitWarning, stacklevel=3)


def _some(labels: np.ndarray) -> str:
    return ", ".join(map(str, labels[:10])) + (", ..." if len(labels) > 10 else "")


def is_exact(fit: Fit) -> bool:
    """Whether a fit integrates over each subject's parameters exactly: on a grid, or over points."""
    return fit.method == "grid" or "effective_nodes" in fit.trace


def n_group_params(fit: Fit) -> int:
    """Number of parameters of the group that were estimated: means, effects, standard deviations, correlations.

    None were where the fit took the population of another one as it was.
    """
    given = isinstance(fit.settings.get("group"), Population)
    return 0 if fit.population is None or given else len(fit.population.vector)


def _no_evidence(fit: Fit, settings: Settings) -> str | None:
    del settings
    if has_draws(fit):
        return (
            f"a fit by {fit.method} has draws from the posterior, which do not tell the evidence; fit the model by fit_em, "
            "fit_map or fit_grid to have it, or compare by what the draws predict"
        )
    if fit.log_evidence is None:
        return f"a fit by {fit.method} has no prior and so no evidence; use fit_em or fit_map"
    return None


def _lme_score(fit: Fit, settings: Settings) -> Score:
    del settings
    found = lme(fit)
    price = -0.5 * found.n_group * math.log(len(fit.x))
    return Score(found.subject, price, extras={"n_group": found.n_group})


def _has_prior(fit: Fit) -> bool:
    return fit.log_evidence is not None


LME = Criterion(
    "lme",
    "LME",
    _lme_score,
    "largest",
    1.0,
    quantity="log model evidence",
    note="(Laplace, or exact where people are integrated out, less the penalty of the group's parameters)",
    reason=_no_evidence,
    needs="the evidence of every subject",
    usual=_has_prior,
    order=20,
    marginal=True,
)


# -- integrated BIC -----------------------------------------------------------------------------------------------------------


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
        Number of draws for each subject; 0 where the fit has the integrals.
    log_evidence, log_evidence_se
        Log marginal likelihood of each subject given the group's parameters, and its Monte-Carlo standard error, (S,), in nats.
    ess
        Effective number of draws for each subject, (S,); infinite where nothing is drawn.
    """

    value: float
    se: float
    n_group: int
    n_responses: int
    draws: int
    log_evidence: np.ndarray = dataclasses.field(repr=False)
    log_evidence_se: np.ndarray = dataclasses.field(repr=False)
    ess: np.ndarray = dataclasses.field(repr=False)


def integrated_bic(fit: Fit, *, draws: int = 1000, key: Any = 0) -> IntegratedBIC:
    """Integrated BIC of a fit by EM or MAP: ``-2 Σ log ∫ p(y | x) p(x | group) dx + n_group log(all responses)``.

    Parameters
    ----------
    fit
        Fit by EM, or by MAP with a Gaussian prior (which has no group parameters to penalise). A fit on a grid, or over points,
        has the integrals already: they are taken as they are, with error 0.
    draws
        Least number of draws for each subject's integral. The error falls with their square root.
    key
        Seed of the draws.

    Raises
    ------
    UndefinedCriterion
        If the fit has no prior that can be evaluated, or consists of draws.

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
    require_kind("fit", fit)
    INTEGRATED_BIC.require(fit)
    found = _exactly(fit) if is_exact(fit) else _sampled(fit, draws, key)
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


def _exactly(fit: Fit) -> Estimate:
    assert fit.log_evidence is not None
    _warn_of_irregular(fit)
    n = len(fit.x)
    return Estimate(fit.log_evidence, np.zeros(n), np.full(n, np.inf), 0)


def _sampled(fit: Any, draws: int, key: Any) -> Estimate:
    if fit.population is not None:
        group, mean, cov = fit.population.group, fit.population.mean, fit.population.cov
    else:
        group, mean, cov = Group(), np.tile(fit.prior[0], (len(fit.x), 1)), fit.prior[1]
    found = importance_sampled(fit.model, fit.data, fit.x, fit.cov, group, mean, cov, draws=draws, key=key)
    poor = fit.data.subjects[found.ess < 20]
    if len(poor):
        warnings.warn(
            f"less than 20 of {found.draws} draws are effective for {counted(len(poor), 'subject')} ({_some(poor)}); the error "
            "is not reliable: raise draws",
            FitWarning,
            stacklevel=3,
        )
    return found


def _no_integral(fit: Any, settings: Settings) -> str | None:
    if not settings.draws:
        return "with draws=0 the integrals are left out; give draws=1000"
    if has_draws(fit):
        return _no_evidence(fit, settings)
    if is_exact(fit) or fit.population is not None or fit.prior is not None:
        return None
    return f"this fit by {fit.method} keeps no prior density to integrate over; use fit_em, or fit_map with mean and sd"


def _integrated_score(fit: Fit, settings: Settings) -> Score:
    found = integrated_bic(fit, draws=settings.draws, key=settings.key)
    price = found.n_group * math.log(found.n_responses)
    shown = {"integrated_bic_se": found.se}
    return Score(
        -2 * found.log_evidence, price, found.se, shown=shown, extras={"n_group": found.n_group, "ess": found.ess}
    )


INTEGRATED_BIC = Criterion(
    "integrated_bic",
    "integrated BIC",
    _integrated_score,
    "smallest",
    -0.5,
    note="(Huys et al., 2011)",
    reason=_no_integral,
    needs="a prior whose density is known",
    columns={"integrated_bic": "integrated BIC", "integrated_bic_se": ""},
    usual=_has_prior,
    order=10,
    marginal=True,
)
