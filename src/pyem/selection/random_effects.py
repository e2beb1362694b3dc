"""Random-effects model selection: people may differ in the model that holds for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pyem.numerics.dirichlet import exceedance, free_energy, log_mean_exp, variational


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
        Log evidence of the random-effects model (a lower bound), and of equal frequencies, in nats.
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
        Parameter of the Dirichlet distribution over frequencies: how many subjects of each model were seen before, so to say.
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
    alpha, attribution = variational(table, prior, tol)
    bound, null = free_energy(table, prior, alpha, attribution), log_mean_exp(table).sum()
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
