"""The contract, second half: simulated people, compilation and dry runs of every registered model.

The statistical tests are of people who are simulated with a fixed seed: 500 people with two blocks of 12 trials.
"""

from __future__ import annotations

import dataclasses
import functools
import pickle

import numpy as np
import pytest
from scipy import stats

import pyem
from pyem import models
from pyem.engine import evaluate as engine
from pyem.engine.validate import validate
from tests.contract.people import (
    by_fives,
    draw_people,
    draw_x,
    from_table,
    full,
    oracle,
    plain,
    to_dataset,
    totals,
    usual,
)
from tests.oracle.cases import CASES

NAMES = models.names()
SIMULATED = [name for name in NAMES if models.get(name).policy is not None]
CATEGORICAL = [name for name in SIMULATED if models.get(name).options is not None]
TYPICAL = ("rw1a1b", "bayes", "glm_ar", "poisson")
"""A model of each kind of response: a dry run compiles a model in several ways."""
BOUNDED = [name for name in SIMULATED if models.get(name).seconds or name == "beta_rating"]
"""Models whose responses have a range that other numbers are outside of: times above 0, and shares between 0 and 1."""
EXACT = {"rtol": 1e-10, "atol": 1e-10}
FALSE_ALARM = 1e-3
"""Of each statistical test of a model, if its seed had not been fixed."""


@functools.lru_cache(maxsize=4)
def simulated(name: str, missed: float = 0.0) -> pyem.Simulation:
    model = models.get(name)
    params = model.natural(draw_x(model, 500, 14, spread=1.0))
    return pyem.simulate(model, params, key=14, blocks=2, trials=12, missed=missed)


# -- the simulation agrees with the likelihood --------------------------------------------------------------------------


@pytest.mark.parametrize("name", full(SIMULATED))
def test_simulated_probability_is_that_of_the_likelihood(name):
    model, data = models.get(name), simulated(name, missed=0.2)
    assert 0.1 < 1 - data.present[model.responses[0]].mean() < 0.3
    found = np.concatenate(by_fives(engine.log_lik, model, data, data.truth))
    np.testing.assert_allclose(found, data.log_lik, **EXACT)


@pytest.mark.parametrize("name", usual(BOUNDED))
def test_people_far_from_typical_respond_within_the_range_of_responses(name):
    model = models.get(name)
    params = model.natural(draw_x(model, 500, 15, spread=2.0))
    data = pyem.simulate(model, params, key=15, blocks=2, trials=12)
    validate(model, data)
    assert np.isfinite(data.log_lik).all()


@pytest.mark.parametrize("name", full(SIMULATED))
def test_a_simulation_written_as_a_table_and_read_back_is_the_same(name):
    model, data = models.get(name), simulated(name, missed=0.2).select(np.arange(5))
    sizes = {c: data.fields[c].shape[1] for c in model.columns if data.fields[c].ndim == 3}
    again = from_table(data.to_frame(), model, sizes)
    for field in model.columns:
        np.testing.assert_array_equal(again.present[field], data.present[field])
        here = data.present[field]
        np.testing.assert_array_equal(
            np.moveaxis(again.fields[field], -1, 1)[here], np.moveaxis(data.fields[field], -1, 1)[here]
        )
    np.testing.assert_allclose(engine.log_lik(model, again, data.truth), data.log_lik, **EXACT)


@pytest.mark.parametrize("name", usual(SIMULATED))
def test_simulated_probability_is_that_of_the_oracle(name):
    case, model, data = CASES[name], models.get(name), simulated(name, missed=0.2).select(np.arange(5))
    people = [[] for _ in range(5)]
    for lane, subject in enumerate(data.lane_subject):
        block = [
            {c: plain(data.fields[c][t, ..., lane]) if data.present[c][t, lane] else None for c in model.columns}
            for t in range(len(data.valid))
        ]
        people[subject].append(block)
    np.testing.assert_allclose(totals(oracle(case, model, people, data.truth)), data.log_lik, **EXACT)


# -- the sampler agrees with the density --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", full(SIMULATED))
def test_simulated_people_obey_the_density(name):
    """At the truth the gradient of the log-likelihood has mean 0, and its square the mean of minus the second derivative."""
    data = simulated(name)
    parts = by_fives(engine.value_grad_hess, models.get(name), data, data.truth)
    _, grad, hess = (np.concatenate(part) for part in zip(*parts, strict=True))
    n, p = grad.shape
    mean, cov = grad.mean(0), np.cov(grad.T).reshape(p, p)
    hotelling = n * mean @ np.linalg.solve(cov, mean) * (n - p) / (p * (n - 1))
    assert stats.f.sf(hotelling, p, n - p) > FALSE_ALARM
    gap = grad**2 + np.diagonal(hess, axis1=1, axis2=2)
    z = gap.mean(0) / (gap.std(0, ddof=1) / np.sqrt(n))
    assert (2 * stats.norm.sf(np.abs(z)) > FALSE_ALARM / p).all()


@pytest.mark.parametrize("name", full(CATEGORICAL))
def test_simulated_choices_are_as_frequent_as_their_probability(name):
    """In each tenth of the predicted probabilities, the choices made against those expected: a chi-square for each option."""
    model, data = models.get(name), simulated(name)
    parts = by_fives(engine.trial_values, model, data, data.truth)
    log_p = np.concatenate([part["log_probs"][0] for part in parts], axis=-1)
    chosen = data.fields[model.responses[0]].ravel()
    n_options = log_p.shape[1]
    assert n_options == model.options
    for option in range(n_options):
        predicted, made = np.exp(log_p[:, option]).ravel(), chosen == option
        # Which tenth a trial falls into is settled before the choice is made.
        tenth = np.digitize(predicted, np.quantile(predicted, np.arange(1, 10) / 10))
        weights = (predicted, predicted * (1 - predicted), made)
        expected, variance, observed = (np.bincount(tenth, weight, minlength=10) for weight in weights)
        filled = variance > 1
        chi2 = ((observed - expected)[filled] ** 2 / variance[filled]).sum()
        assert stats.chi2.sf(chi2, filled.sum()) > FALSE_ALARM / n_options


# -- compilation and dry runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", full(NAMES))
def test_traced_once_for_data_of_similar_shape_and_for_equal_models(name):
    case, label = CASES[name], f"{name} traced"
    model = dataclasses.replace(models.get(name), name=label)
    twin = pickle.loads(pickle.dumps(model))
    assert twin is not model
    shorter = [[block[:11] for block in person] for person in draw_people(case, 15)]
    fewer = [shorter[0][:1], *shorter[1:]]
    datasets = [to_dataset(people, model) for people in (draw_people(case, 16), fewer)]
    assert [data.valid.shape for data in datasets] == [(12, 10), (11, 9)]
    for one in (model, twin):
        for data in datasets:
            assert np.isfinite(engine.log_lik(one, data, draw_x(model, data.n_subjects, 15))).all()
    assert engine.TRACES[label, "log_lik"] == 1


@pytest.mark.parametrize("name", [n if n in TYPICAL else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_check_passes(name):
    model = models.get(name)
    report = pyem.check(model, to_dataset(draw_people(CASES[name], 17), model))
    assert report, str(report)
    assert len(report.rungs) == 7
