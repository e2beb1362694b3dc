"""Groups on which extrapolation alone goes astray: flat learning rates, several fixed points."""

import dataclasses

import numpy as np
import pytest

import pyem
from pyem import Dataset, Model, Normal, Parameter
from pyem.engine.evaluate import log_lik
from pyem.infer.glances import JaxGlance, Looking
from pyem.infer.laplace import JaxEStep
from pyem.infer.multimodal import NEAR, JaxESteps, is_near, places_around, run_em_global
from pyem.infer.natural_prior import given_prior
from pyem.infer.other_modes import Surroundings
from pyem.numerics.jit import TRACES
from pyem.population.group import Group
from pyem.population.population import populate
from pyem.population.posterior import Status

MODEL = pyem.models.get("rw1a1b")
JAX_GLANCE = JaxGlance.__call__


def group(seed):
    """People of low inverse temperature, whose learning rates the data hardly tell."""
    rng = np.random.default_rng(seed)
    beta = np.abs(rng.normal(0, 2, 400))
    beta = beta[(beta > 0.75) & (beta < 10)][:90]
    params = np.column_stack([beta, rng.beta(1.1, 1.1, 90) * 0.9 + 0.05])
    return pyem.simulate(MODEL, params, key=seed, blocks=4, trials=24)


def fit(data, *, accelerate, max_iter, looks=5):
    start = np.zeros((90, 2))
    population = populate(Group(), names=MODEL.names, mean=start[0], sd=np.full(2, 10.0), covariates={}, n_subjects=90)

    make = JaxESteps(MODEL, data)
    return run_em_global(
        make, start, population, glance=JaxGlance(MODEL, data), looks=looks, accelerate=accelerate, max_iter=max_iter
    )


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 8))])
def test_the_accelerated_iteration_ends_where_the_plain_one_does(seed):
    data = group(seed)
    fast, plain = fit(data, accelerate=True, max_iter=200), fit(data, accelerate=False, max_iter=2000)
    assert fast.converged
    assert plain.converged
    np.testing.assert_allclose(fast.population.coef[0], plain.population.coef[0], atol=1e-4)
    np.testing.assert_allclose(np.diag(fast.population.cov), np.diag(plain.population.cov), atol=1e-4)


def gain(data, found, x):
    """How much better off everybody would be with the mode that is found from x."""
    there = JaxEStep(MODEL, data, x)(found.population.prior, 1e-16)
    joint = lambda laplace: laplace.log_lik + found.population.log_prior(laplace.mode)  # noqa: E731
    return joint(there) - joint(found.laplace)


def test_nobody_is_left_in_the_lesser_of_two_modes():
    data = group(4)
    warm, looked = (fit(data, accelerate=False, max_iter=2000, looks=looks) for looks in (0, 5))
    elsewhere = np.tile([-2.0, -4.0], (90, 1))
    # Without another look somebody would be better off elsewhere: otherwise this data set tests nothing.
    assert gain(data, warm, elsewhere).max() > 0.1
    assert gain(data, looked, elsewhere).max() < 1e-4


def test_a_map_fit_begins_where_searches_are_short_and_misses_no_better_mode():
    data = group(4)
    prior = given_prior(MODEL, data, priors=None, mean=None, sd=None, log_prior=None)
    seen = Surroundings.seen(MODEL, data, JaxGlance(MODEL, data), prior)
    known = Surroundings(seen.looking, prior, seen.middle, seen.x, np.where(np.arange(90) == 3, -np.inf, seen.there))
    # Whose posterior is not finite at a place begins in the middle, and the others do where they would.
    assert (known.centre() == np.where(np.arange(90)[:, None] == 3, seen.middle, seen.centre())).all()
    assert prior.population is not None
    ended = [JaxEStep(MODEL, data, x, max_steps=5)(prior.population.prior).status for x in (seen.middle, seen.centre())]
    before, now = ((status == Status.CONVERGED).sum() for status in ended)
    assert now > before + 10
    one, many = pyem.fit_map(MODEL, data), pyem.fit_map(MODEL, data, starts=6, key=1)
    assert (many.log_lik + many.log_prior - one.log_lik - one.log_prior).max() < 1e-6


def test_who_has_two_modes_is_named_with_the_share_of_the_other_one(monkeypatch):
    """People whose data tell the size of a parameter and not its sign: under a Gaussian prior the share has a closed form."""
    model = Model("size", (Parameter("a", mean=0.5),), lambda p, state, trial: Normal(p.a**2, 0.1), responses=("y",))
    size = np.array([0.6, 0.8, 2.5, 0.9, 1.1])
    data = Dataset.from_arrays({"y": np.tile(size[:, None, None] ** 2, (1, 1, 16))})

    def other(mean):
        return 1 / (1 + np.exp(2 * size * abs(mean)))

    looks = []
    monkeypatch.setattr(JaxGlance, "__call__", lambda self, x: looks.append(len(x)) or JAX_GLANCE(self, x))
    with pytest.warns(pyem.FitWarning) as told:
        em = pyem.fit_em(model, data, group=pyem.Group(sd={"a": 1.0}))
    # Once around the group, and along the ways from there: what this saw also tells of other modes in the end.
    assert looks == [2, 2, 2]
    with pytest.warns(pyem.FitWarning, match="have another mode, .* fit_bayes integrates over all"):
        alone = pyem.fit_map(model, data, mean=[0.5], sd=[1.0])
    expected = other(em.population.coef[0, 0])
    assert (expected > 0.05).tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(em.trace["other_mode"], expected, rtol=0.1)
    # The first one's other mode is between the places that are looked at.
    np.testing.assert_allclose(alone.trace["other_mode"][1:], other(0.5)[1:], rtol=0.1)
    words = "; ".join(str(one.message) for one in told)
    share = int(100 * em.trace["other_mode"].max())
    assert (
        f"the posteriors of 4 of 5 subjects (0, 1, 3, 4) have another mode, with up to {share} % of the evidence"
        in words
    )
    assert "fit_em with integrate='exact' or fit_bayes integrates over all" in words
    one_way = pyem.fit_em(MODEL, pyem.simulate(MODEL, subjects=5, key=1))
    assert one_way.trace["other_mode"].tolist() == [0.0] * 5


def test_what_was_seen_is_used_again_only_near_to_where_it_was_seen():
    population = populate(Group(), names=MODEL.names, mean=np.zeros(2), sd=np.ones(2), covariates={}, n_subjects=2)
    looks = []
    looking = Looking(lambda x: looks.append(len(x)) or -(x**2).sum(-1))
    looking.around(np.stack(places_around(population)))
    assert looking.seen is not None
    assert is_near(looking.seen, population)
    assert is_near(looking.seen, dataclasses.replace(population, coef=population.coef + 0.9 * NEAR))
    assert not is_near(looking.seen, dataclasses.replace(population, coef=population.coef + 5 * NEAR))
    start, mode = np.array([[1.5, 0.0], [0.2, 0.3]]), np.array([[0.1, 0.1], [0.2, 0.3]])
    way = looking.between(start, mode, 4)
    assert looks == [4, 4]
    np.testing.assert_allclose(way.log_lik, -(way.x**2).sum(-1))
    # Whose mode hardly moved, or who has no way to go.
    assert looking.between(start, mode + np.array([[0.05], [0.0]]), 4) is way
    assert looking.between(np.array([[1.5, 0.0], [0.5, 0.5]]), np.array([[0.1, 0.1], [0.5, 0.5]]), 4) is way
    assert looks == [4, 4]
    assert looking.between(start, mode + np.array([[0.3], [0.0]]), 4) is not way
    assert looking.between(start + np.array([[0.0], [0.5]]), mode, 4) is not way
    assert looks == [4, 4, 4, 4]
    forgetful = Looking(lambda x: x.sum(-1), remember=False)
    forgetful.around(way.x)
    forgetful.between(start, mode, 4)
    assert forgetful.seen is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_nobody_of_a_wide_group_with_two_steps_is_left_in_a_much_lesser_mode():
    model = pyem.models.get("two_step")
    mean, sd = model.typical
    rng = np.random.default_rng(2)
    truth = mean + 2.5 * sd * rng.normal(size=(20, 7))
    data = pyem.simulate(model, model.natural(truth), trials=200, key=2)
    fit = pyem.fit_em(model, data, max_iter=100, standard_errors=False)
    group = fit.population
    best = fit.log_lik + group.log_prior(fit.x)
    root = np.linalg.cholesky(group.cov)
    for _ in range(10):
        found = JaxEStep(fit.model, data, group.mean + 1.5 * rng.normal(size=truth.shape) @ root.T)(group.prior, 1e-10)
        there = np.where(found.usable, found.log_lik + group.log_prior(found.mode), -np.inf)
        # One of them is 1.7 nats short if places along the axes are all that is looked at; .3 nats are still missed.
        assert (there - best).max() < 0.5
    plain = pyem.fit_map(model, data)
    many = pyem.fit_map(model, data, starts=10, key=3)
    gain = many.log_lik - plain.log_lik - 0.5 * (((many.x - mean) ** 2 - (plain.x - mean) ** 2) / sd**2).sum(1)
    assert gain.max() < 0.02


def test_looking_again_compiles_nothing_and_keeps_the_whole_path():
    data = group(4)
    fit(data, accelerate=True, max_iter=200)
    before = TRACES.total()
    found = fit(data, accelerate=True, max_iter=200)
    assert TRACES.total() == before
    assert {len(values) for name, values in found.trace.items() if name != "evaluated"} == {len(found.trace["change"])}
    # The path goes through where it began and, after looking, ends at rest.
    assert found.trace["change"][0] > 0.1
    assert found.trace["change"][-1] < 1e-7
    assert found.trace["evaluated"] >= len(found.trace["change"])


def small_group(seed, covariates=None):
    """People who hardly differ, as far as a few trials tell."""
    x = np.array([0.0, 0.7]) + np.array([0.05, 0.5]) * np.random.default_rng(seed).normal(size=(30, 2))
    return pyem.simulate(MODEL, MODEL.natural(x), key=seed, blocks=2, trials=30, covariates=covariates)


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize("seed", [3, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 1, 2, 4, 5))])
def test_people_who_hardly_differ_are_fitted_in_few_iterations(seed):
    data = small_group(seed)
    fast = pyem.fit_em(MODEL, data)
    assert fast.converged
    assert len(fast.trace["change"]) < 60
    # Plain steps get ever shorter, and closer.
    plain = [pyem.fit_em(MODEL, data, accelerate=False, max_iter=n, tol=1e-12).population for n in (100, 1600)]
    far, near = (one.distance(fast.population) for one in plain)
    assert near < 1e-5 or near < 0.6 * far


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize(("seed", "people", "sd", "covariance"), [(12, 10, 0.02, "diagonal"), (14, 30, 0.2, "full")])
def test_a_small_sd_that_falls_does_not_lead_to_a_lesser_fixed_point(seed, people, sd, covariance):
    x = MODEL.typical[0] + sd * np.random.default_rng(seed).normal(size=(people, 2))
    data = pyem.simulate(MODEL, MODEL.natural(x), trials=60, key=seed)
    fit = pyem.fit_em(MODEL, data, group=Group(covariance=covariance))
    assert fit.converged
    # Where small sds fall by Newton steps that are not extrapolated, the end is .02 or .96 nats lower.
    assert fit.log_evidence.sum() == pytest.approx({12: -146.73028, 14: -447.98405}[seed], abs=1e-4)


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_the_mean_of_people_who_do_not_differ_is_that_of_one_person_with_all_data():
    truth = np.tile(MODEL.natural(np.array([0.0, 0.7])), (20, 1))
    data = next(d for d in (pyem.simulate(MODEL, truth, key=k, trials=60) for k in range(50)) if collapsed(d))
    fit = pyem.fit_em(MODEL, data)
    pooled = fit.x[0]
    step = 1e-3 * np.eye(2)

    def total(x):
        return float(log_lik(MODEL, data, np.tile(x, (20, 1))).sum())

    for h in step:
        # The group's mean is where the likelihood of all data together is highest.
        assert total(pooled) >= max(total(pooled + h), total(pooled - h))


def collapsed(data):
    return (np.diag(pyem.fit_em(MODEL, data).population.cov) < 1e-6).all()
