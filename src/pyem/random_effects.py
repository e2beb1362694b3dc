"""Random-effects model selection: people may differ in the model that holds for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFrequencies:
    """How frequent each model is in the population.

    Parameters
    ----------
    alpha
        The posterior of the frequencies is a Dirichlet distribution with these parameters, (M,).
    frequency
        Expected frequency of each model, (M,).
    exceedance
        Probability that a model is more frequent than all others, (M,).
    protected_exceedance
        The same, allowing that frequencies differ by chance only, (M,).
    omnibus_risk
        Probability that all models are equally frequent ("Bayesian omnibus risk").
    attribution
        Probability that a subject's data came from each model, (S, M).
    log_evidence, log_evidence_null
        Of the random-effects model (a lower bound), and of equal frequencies, in nats.
    """

    alpha: np.ndarray
    frequency: np.ndarray
    exceedance: np.ndarray
    protected_exceedance: np.ndarray
    omnibus_risk: float
    attribution: np.ndarray = dataclasses.field(repr=False)
    log_evidence: float
    log_evidence_null: float


def random_effects_bms(log_evidence: Any, *, prior: float = 1.0, tol: float = 1e-10) -> ModelFrequencies:
    """Random-effects Bayesian model selection.

    Parameters
    ----------
    log_evidence
        Log evidence of each model for each subject, in nats, (S, M): for example
        ``np.column_stack([lme(fit).subject for fit in fits])``. If only BIC is at hand, ``-bic(fit).subject / 2``.
    prior
        Of the Dirichlet distribution over frequencies: how many subjects of each model were seen before, so to say.
    tol
        Stop when no parameter changes by more.

    Raises
    ------
    ValueError
        If the evidence is not a table of finite numbers with two models or more.

    Notes
    -----
    Evidence that was computed with group parameters fitted under the assumption that the model holds for everybody (as by EM)
    favours no model by itself, but the group is then not that of the model's own people; hierarchical Bayesian inference
    estimates both together.

    References
    ----------
    Stephan, K. E., Penny, W. D., Daunizeau, J., Moran, R. J., & Friston, K. J. (2009). Bayesian model selection for group
    studies. NeuroImage, 46(4), 1004-1017. https://doi.org/10.1016/j.neuroimage.2009.03.025

    Rigoux, L., Stephan, K. E., Friston, K. J., & Daunizeau, J. (2014). Bayesian model selection for group studies - revisited.
    NeuroImage, 84, 971-985. https://doi.org/10.1016/j.neuroimage.2013.08.065

    Examples
    --------
    >>> found = random_effects_bms([[0.0, -9.0]] * 9 + [[-9.0, 0.0]])
    >>> found.frequency.round(2).tolist()
    [0.83, 0.17]
    """
    table = np.asarray(log_evidence, float)
    if table.ndim != 2 or table.shape[1] < 2 or table.shape[0] < 1 or not np.isfinite(table).all():
        raise ValueError(
            f"expected finite log evidences (subjects, models) of at least two models, but was given shape {table.shape} with "
            f"{int((~np.isfinite(table)).sum())} values that are not finite; leave subjects without evidence out for all models"
        )
    if not prior > 0:
        raise ValueError(f"prior={prior}; it must be above 0")
    alpha, attribution = _variational(table, prior, tol)
    bound, null = _free_energy(table, prior, alpha, attribution), _log_mean_exp(table).sum()
    risk = float(1 / (1 + np.exp(np.clip(bound - null, -700, 700))))
    exceeds = exceedance(alpha)
    return ModelFrequencies(
        alpha=alpha,
        frequency=alpha / alpha.sum(),
        exceedance=exceeds,
        protected_exceedance=exceeds * (1 - risk) + risk / len(alpha),
        omnibus_risk=risk,
        attribution=attribution,
        log_evidence=float(bound),
        log_evidence_null=float(null),
    )


def _variational(table: np.ndarray, prior: float, tol: float, max_iter: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """Dirichlet parameters and attributions that maximise the bound."""
    alpha = np.full(table.shape[1], prior + table.shape[0] / table.shape[1])
    for _ in range(max_iter):
        attribution = _softmax(table + _expected_log(alpha))
        new = prior + attribution.sum(0)
        change, alpha = np.abs(new - alpha).max(), new
        if change < tol:
            break
    return alpha, attribution


def _free_energy(table: np.ndarray, prior: float, alpha: np.ndarray, attribution: np.ndarray) -> float:
    from scipy.special import gammaln, xlogy

    expected = _expected_log(alpha)
    fit = (attribution * (table + expected)).sum() - xlogy(attribution, attribution).sum()
    log_norm = lambda a: gammaln(a.sum()) - gammaln(a).sum()  # noqa: E731
    start = np.full(len(alpha), prior)
    return float(fit + log_norm(start) + ((start - alpha) * expected).sum() - log_norm(alpha))


def _expected_log(alpha: np.ndarray) -> np.ndarray:
    from scipy.special import digamma

    return digamma(alpha) - digamma(alpha.sum())


def _softmax(table: np.ndarray) -> np.ndarray:
    weight = np.exp(table - table.max(1, keepdims=True))
    return weight / weight.sum(1, keepdims=True)


def _log_mean_exp(table: np.ndarray) -> np.ndarray:
    top = table.max(1)
    return top + np.log(np.exp(table - top[:, None]).mean(1))


def exceedance(alpha: Any) -> np.ndarray:
    """Probability that each of a Dirichlet's frequencies is the largest, (M,), by quadrature.

    A Dirichlet draw is a set of independent gamma draws over their sum, so that the largest is that of the gammas:
    ``∫ pdf_k(t) Π_j cdf_j(t) dt``, which the trapezoid rule integrates over log t to rounding.

    Examples
    --------
    >>> exceedance([3.0, 1.0]).round(6).tolist()
    [0.875, 0.125]
    """
    from scipy.special import gammainc, gammainccinv, gammaincinv, gammaln

    alpha = np.asarray(alpha, float)
    out = np.empty(len(alpha))
    for k, a in enumerate(alpha):
        low, high = np.log(np.maximum([gammaincinv(a, 1e-18), gammainccinv(a, 1e-18)], 1e-300))
        t = np.linspace(low, high, 4001)
        others = gammainc(np.delete(alpha, k)[:, None], np.exp(t)).prod(0)
        out[k] = (np.exp(a * t - np.exp(t) - gammaln(a)) * others).sum() * (t[1] - t[0])
    return out / out.sum()
