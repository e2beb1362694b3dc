"""Cross-validation by fitting anew, against posteriors that are known."""

import dataclasses
import pickle
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import pyem
from pyem import Categorical, Dataset, Model, Parameter
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


# -- several models -----------------------------------------------------------------------------------------------------------

SIDE = Model(
    "side", (Parameter("b", sd=2.0),), lambda p, state, trial: Categorical(jnp.stack([0.0 * p.b, p.b])), options=2
)
CUED = Model(
    "cued",
    (Parameter("c", mean=0.5, sd=2.0),),
    lambda p, state, trial: Categorical(jnp.stack([-p.c * (2 * trial.cue - 1), 0.0 * p.c])),
    options=2,
    inputs=("cue",),
)
BOTH = {"side": SIDE, "cued": CUED}


@pytest.fixture(scope="module")
def choices():
    """Eight people, two blocks of 15 trials each; every other person follows the cue."""
    rng = np.random.default_rng(3)
    cue = rng.integers(2, size=(8, 2, 15))
    yes = rng.random(cue.shape) < 0.8
    choice = np.where(np.arange(8)[:, None, None] % 2, np.where(yes, cue, 1 - cue), yes.astype(int))
    return Dataset.from_arrays({"choice": choice, "cue": cue}), choice, cue


def under_both(choice, cue, mean, sd):
    """(S, 2): log of the integral of the likelihood of choices (S, T) over a Gaussian of each model, (S, 2), by quadrature."""
    z, w = np.polynomial.hermite_e.hermegauss(60)
    yes = np.stack([choice, (choice == cue).astype(int)]).sum(-1).T
    x = mean[..., None] + sd[..., None] * z
    log_lik = -yes[..., None] * np.logaddexp(0, -x) - (choice.shape[-1] - yes)[..., None] * np.logaddexp(0, x)
    return np.log((np.exp(log_lik) * w).sum(-1) / w.sum())


def test_a_block_is_predicted_by_the_models_that_a_person_may_have(choices):
    data, choice, cue = choices
    found = pyem.cross_validate(BOTH, data, fit=pyem.fit_hbi, draws=4000)
    told = data.valid & (data.lane_block == data.lane_block[0])
    fit = pyem.fit_hbi(BOTH, dataclasses.replace(data, counted=told))
    mean = np.column_stack([one.x[:, 0] for one in fit.fits.values()])
    sd = np.sqrt(np.column_stack([one.cov[:, 0, 0] for one in fit.fits.values()]))
    second = np.log((fit.responsibilities * np.exp(under_both(choice[:, 1], cue[:, 1], mean, sd))).sum(1))
    np.testing.assert_allclose(found.pointwise[data.lane_block != data.lane_block[0]], second, atol=0.05)
    assert (found.folds, found.method, found.n_trials) == (2, "hbi", 240)


def test_a_new_person_has_a_model_by_the_frequencies_of_the_others(choices):
    data, choice, cue = choices
    found = pyem.cross_validate(BOTH, data, fit=pyem.fit_hbi, by="subject", folds=2)
    np.testing.assert_array_equal(found.labels["subject"], data.subjects)
    alone = pyem.cross_validate(BOTH, data, fit=pyem.fit_hbi, by="subject")
    fit = pyem.fit_hbi(BOTH, data.select(np.arange(1, 8)))
    mean = np.array([[one.population.coef[0, 0] for one in fit.fits.values()]])
    sd = np.array([[np.sqrt(one.population.cov[0, 0]) for one in fit.fits.values()]])
    values = under_both(choice[:1].reshape(1, -1), cue[:1].reshape(1, -1), mean, sd)
    first = np.log((np.array(list(fit.frequency.values())) * np.exp(values)).sum())
    assert alone.pointwise[0] == pytest.approx(first, abs=0.02)
    assert found.folds == 2
    assert np.isfinite(found.pointwise).all()
