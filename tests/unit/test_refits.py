"""Cross-validation by fitting anew, against posteriors that are known."""

import dataclasses
import pickle
from functools import partial

import numpy as np
import pytest
from scipy import stats

import pyem
from pyem.selection import CRITERIA, Settings

LEVEL = pyem.fix(pyem.models.get("glm", predictors=1), sigma=1.0)
"""A mean of numbers with noise of sd 1."""
BLOCKS, TRIALS = 3, 4


@pytest.fixture(scope="module")
def data():
    return pyem.simulate(LEVEL, subjects=5, blocks=BLOCKS, trials=TRIALS, key=1)


def numbers(data):
    """The responses (S, block, trial)."""
    y = data.fields[LEVEL.responses[0]]
    return np.stack([y[:, data.lane_subject == s].T for s in range(data.n_subjects)])


def predicted(y, mean, sd):
    """Log-density of several numbers with a common mean that is Normal(mean, sd)."""
    return stats.multivariate_normal(np.full(len(y), mean), np.eye(len(y)) + sd**2).logpdf(y)


def test_a_block_is_predicted_from_the_posterior_of_the_others(data):
    found = pyem.cross_validate(LEVEL, data, fit=partial(pyem.fit_map, mean=0.0, sd=2.0), draws=20_000)
    y, expected = numbers(data), []
    for person in y:
        for k in range(BLOCKS):
            rest = np.delete(person, k, axis=0).ravel()
            variance = 1 / (1 / 4 + len(rest))
            expected.append(predicted(person[k], variance * rest.sum(), variance**0.5))
    assert found.folds == BLOCKS
    assert found.n_trials == y.size
    np.testing.assert_allclose(found.pointwise, expected, atol=0.03)
    np.testing.assert_allclose(found.elpd, sum(expected), atol=0.15)
    assert found.per_trial == found.elpd / y.size
    sums = np.reshape(found.pointwise, (5, BLOCKS)).sum(1)
    np.testing.assert_allclose(found.se, 5**0.5 * sums.std(ddof=1))
    assert list(found.table()) == ["subject", "block", "elpd"]
    assert "a trial" in str(found)


class Pool:
    """Runs what it is given through pickles and in the opposite order, as other processes may."""

    def __init__(self):
        self.jobs = 0

    def map(self, function, jobs):
        self.jobs += len(jobs)
        done = [pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(function))(job))) for job in reversed(jobs)]
        return reversed(done)


def test_maximum_likelihood_is_plugged_in(data):
    pool = Pool()
    found = pyem.cross_validate(LEVEL, data, fit=pyem.fit_mle, pool=pool)
    assert pool.jobs == found.folds
    np.testing.assert_array_equal(found.pointwise, pyem.cross_validate(LEVEL, data, fit=pyem.fit_mle).pointwise)
    y = numbers(data)
    mean = (y.sum((1, 2))[:, None] - y.sum(2)) / (y[0].size - TRIALS)
    np.testing.assert_allclose(found.pointwise, stats.norm(mean[..., None]).logpdf(y).sum(2).ravel(), atol=1e-6)


def test_blocks_that_are_left_out_together_are_predicted_one_by_one(data):
    found = pyem.cross_validate(LEVEL, data, fit=pyem.fit_mle, folds=2, key=3)
    assert found.folds == 2
    assert found.pointwise.shape == (15,)
    assert np.isfinite(found.pointwise).all()


def test_a_person_is_predicted_from_the_group_of_the_others(data):
    found = pyem.cross_validate(LEVEL, data, by="subject", draws=4000)
    y = numbers(data).reshape(5, -1)
    for s in range(5):
        group = pyem.fit_em(LEVEL, data.select(np.delete(np.arange(5), s))).population
        expected = predicted(y[s], group.mean[0, 0], group.cov[0, 0] ** 0.5)
        np.testing.assert_allclose(found.pointwise[s], expected, atol=0.05)
    assert found.folds == 5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_draws_of_the_group_are_averaged_over(data):
    fit = partial(pyem.fit_bayes, draws=300)
    found = pyem.cross_validate(LEVEL, data, fit=fit, by="subject", key=1)
    y = numbers(data).reshape(5, -1)
    for s in range(5):
        group = fit(LEVEL, data.select(np.delete(np.arange(5), s))).draws(64, key=1).group
        pairs = zip(group["coef"][:, 0, 0], group["sd"][:, 0], strict=True)
        expected = np.logaddexp.reduce([predicted(y[s], mean, sd) for mean, sd in pairs]) - np.log(64)
        np.testing.assert_allclose(found.pointwise[s], expected, atol=0.05)
    assert found.method == "bayes"


def test_it_is_a_criterion(data):
    fits = {"level": pyem.fit_map(LEVEL, data), "zero": pyem.fit_map(LEVEL, data, mean=5.0, sd=0.1)}
    table = pyem.compare_fits(fits, by="cross_validation", unit="block")
    assert table.index[0] == "level"
    assert table.attrs["method"].startswith("cross-validation, blocks left out one at a time")
    direct = pyem.cross_validate(LEVEL, data, fit=pyem.fit_map)
    np.testing.assert_allclose(table.loc["level", "held_out"], direct.elpd)
    reason = CRITERIA["cross_validation"].reason
    assert "pass unit='block'" in reason(fits["level"], Settings())
    assert "says nothing of new people" in reason(fits["level"], Settings(unit="subject"))
    one = dataclasses.replace(fits["level"], settings={})
    assert "does not say how to repeat it" in reason(one, Settings(unit="block"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "trial"}, "choose 'block' or 'subject'"),
        ({"folds": 1}, "folds=1; at least 2"),
        ({"folds": 4}, "there are 3 blocks of each person"),
        ({"by": "subject", "fit": pyem.fit_mle}, "say nothing of a new person"),
        ({"draws": 2}, "draws=2; at least 32"),
    ],
)
def test_what_cannot_be_left_out(data, options, message):
    with pytest.raises(ValueError, match=message):
        pyem.cross_validate(LEVEL, data, **options)


def test_a_person_with_one_block_is_named(data):
    short = data.cut(np.flatnonzero((data.lane_subject != 2) | (np.arange(15) % 3 == 0)), TRIALS)
    with pytest.raises(pyem.DataError, match=r"2 has one block.*by='subject'"):
        pyem.cross_validate(LEVEL, short)
