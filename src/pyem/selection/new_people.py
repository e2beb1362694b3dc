"""New people of a fitted group: their likelihood, with their parameters integrated out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.importance import log_evidence
from pyem.engine.integrals import GroupDraws, integrated
from pyem.infer.hierarchy import likelihood_anchor
from pyem.numerics.rng import generator
from pyem.results.fit import Fit
from pyem.results.sample import SampleFit
from pyem.selection.shares import log_mean_exp

GROUPS = 64
"""Number of draws of the group over which a new person's likelihood is averaged."""


def covariates_of_new(fit: Fit, data: Dataset, people: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Covariates of each new person, (S, K), centred as in the fit, on which the person's mean depends."""
    population = fit.population
    assert population is not None
    columns = [np.ones(len(people))]
    for name, _ in population.group.covariates:
        values = data.covariates[name]
        columns.append(values[people] - (values[others].mean() if population.group.centred else 0.0))
    return np.column_stack(columns)


def log_lik_of_new(
    fit: Any, test: Dataset, design: np.ndarray, around: tuple[np.ndarray, np.ndarray], draws: int, key: Any
) -> np.ndarray:
    """Compute the log-likelihood of new people (S,) with covariates `design`; parameters are integrated out around modes."""
    if isinstance(fit, SampleFit):
        return _over_groups(fit, test, design, around, draws, key)
    population = fit.population
    mean = design @ population.coef
    with_all = log_evidence(fit.model, test, *around, population.group, mean, population.cov, draws=draws, key=key)
    return with_all.log_evidence


def _over_groups(
    fit: SampleFit, test: Dataset, design: np.ndarray, around: tuple[np.ndarray, np.ndarray], draws: int, key: Any
) -> np.ndarray:
    group = fit.draws(min(GROUPS, fit.n_draws), key=key).group
    population = fit.population
    assert population is not None
    new = dataclasses.replace(population, design=design, weight=np.ones((len(design), len(fit.model.names))))
    anchor = likelihood_anchor(fit.model, test, around[0], new)
    gaussian = np.moveaxis(np.asarray(anchor.precision), -1, 0), np.asarray(anchor.shift).T
    drawn = GroupDraws.of(group["coef"], group["sd"], group.get("corr"))
    rng = generator(key)
    value, _ = integrated(fit.model, test, population.group, design, drawn, gaussian, around, n=draws, rng=rng)
    return log_mean_exp(value)
