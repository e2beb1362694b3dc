"""Sharing of contexts gives the likelihood of the plain scan, from less work; optional columns may be missing."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem import Categorical, Dataset, Interval, Model, Normal, Parameter
from pyem.engine import contexts, pasts
from pyem.engine.evaluate import log_lik, trial_values, value_grad_hess
from pyem.engine.layout import batch, bucket

RATE = Parameter("rate", Interval(0, 1))
BETA = Parameter("beta", Interval(0, 10))


def learn(p, q, trial):
    target = jnp.where(trial.seen["reward"], trial.reward, 0.5)
    moved = q.at[trial.choice].add(p.rate * (target - q[trial.choice]))
    return jnp.where(trial.responded["choice"], moved, 0.9 * q), {}


def choose(p, q, trial):
    return Categorical(p.beta * q + jnp.array([0.0, 0.2, 0.0]) * trial.cue)


PLAIN = Model(
    "learner",
    (RATE, BETA),
    choose,
    init=lambda p: jnp.full(3, 0.5),
    update=learn,
    options=3,
    inputs=("cue",),
    outcomes=("reward",),
    optional=("reward",),
    updates="always",
)
SHARED = dataclasses.replace(PLAIN, share=True)


@pytest.fixture(scope="module")
def data():
    """Short blocks of unequal length, with missed choices and missing rewards."""
    rng = np.random.default_rng(2)
    choice = rng.integers(0, 3, (4, 150, 3)).astype(float)
    reward = rng.integers(0, 2, (4, 150, 3)).astype(float)
    cue = rng.integers(0, 2, (4, 150, 3)).astype(float)
    choice[rng.uniform(size=choice.shape) < 0.05] = np.nan
    reward[rng.uniform(size=choice.shape) < 0.05] = np.nan
    made = Dataset.from_arrays({"choice": choice, "reward": reward, "cue": cue})
    valid = made.valid.copy()
    valid[2, ::7] = False
    present = {name: here & valid for name, here in made.present.items()}
    return dataclasses.replace(made, valid=valid, present=present)


@pytest.fixture(scope="module")
def x(data):
    return np.random.default_rng(5).normal(size=(data.n_subjects, 2))


def test_value_gradient_and_hessian_are_those_of_the_plain_scan(data, x):
    assert "counts" in batch(SHARED, data).shards[0].trials
    for mine, plain in zip(value_grad_hess(SHARED, data, x), value_grad_hess(PLAIN, data, x), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-10, atol=1e-10)


SHARING = [name for name in pyem.models.names() if pyem.models.get(name).share]


@pytest.mark.parametrize(
    "name", [name if name == "sdt_rating" else pytest.param(name, marks=pytest.mark.slow) for name in SHARING]
)
def test_registered_models_share_them_on_data_as_large_as_those_of_people(name):
    model = pyem.models.get(name)
    data = pyem.simulate(model, key=1, subjects=5, blocks=2, trials=40)
    mine, plain = (log_lik(one, data, data.truth) for one in (model, dataclasses.replace(model, share=False)))
    assert "counts" in batch(model, data).shards[0].trials
    np.testing.assert_allclose(mine, plain, rtol=1e-10)


def test_every_trial_is_still_to_be_had(data, x):
    mine, plain = trial_values(SHARED, data, x), trial_values(PLAIN, data, x)
    np.testing.assert_allclose(mine["log_lik"], plain["log_lik"], atol=1e-12)


def test_fits_are_the_same(data):
    mine, plain = pyem.fit_map(SHARED, data), pyem.fit_map(PLAIN, data)
    np.testing.assert_allclose(mine.x, plain.x, atol=1e-7)
    np.testing.assert_allclose(mine.cov, plain.cov, atol=1e-7)


def test_equal_states_are_found():
    """A count that wraps around is the same whatever the past: four contexts are all there is."""
    clock = Model(
        "clock",
        (BETA,),
        lambda p, n, trial: Categorical(p.beta * jnp.array([0.0, 1.0]) * n),
        init=lambda p: jnp.zeros(()),
        update=lambda p, n, trial: ((n + 1) % 4, {}),
        options=2,
        share=True,
    )
    data = Dataset.from_arrays({"choice": np.random.default_rng(0).integers(0, 2, (3, 40, 12))})
    laid = batch(clock, data).shards[0].trials
    assert laid.node.shape[1] == 4
    assert np.asarray(laid.counts["choice"]).sum() == data.n_trials
    x = np.array([[0.3], [-1.0], [2.0]])
    plain = dataclasses.replace(clock, share=False)
    np.testing.assert_allclose(log_lik(clock, data, x), log_lik(plain, data, x), rtol=1e-12)


def test_long_blocks_are_left_alone():
    rng = np.random.default_rng(1)
    data = Dataset.from_arrays({"choice": rng.integers(0, 2, (3, 1, 80)), "reward": rng.integers(0, 2, (3, 1, 80))})
    model = dataclasses.replace(pyem.models.get("rw1a1b"), share=True)
    assert contexts.shared(model, data, bucket) is None
    assert "counts" not in batch(model, data).shards[0].trials


def test_a_response_that_is_a_number_is_left_alone():
    model = Model("rating", (Parameter("mean"),), lambda p, s, t: Normal(p.mean, 1.0), responses=("y",), share=True)
    data = Dataset.from_arrays({"y": np.zeros((2, 5, 30))})
    assert contexts.shared(model, data, bucket) is None


def test_states_that_are_equal_by_chance_are_told_apart(data, x, monkeypatch):
    """States that looked equal where they were compared, but are not: the check finds it, and only pasts are shared."""
    monkeypatch.setattr(pasts, "_groups", lambda values: np.zeros(len(values), int))
    laid = contexts.shared(SHARED, data, bucket)
    assert laid is not None
    tree = pasts.prefixes(pasts.events_of(SHARED, data))
    assert laid.counts["choice"].sum() == sum(mask.sum() for mask in data.masks(SHARED)[0].values())
    assert len(tree.context_at) >= laid.node.shape[0] > 1


def test_a_missing_optional_column_keeps_nothing_from_counting(data, x):
    responded, learns = data.masks(PLAIN)
    assert (learns == data.valid).all()
    assert (responded["choice"] == data.present["choice"]).all()
    strict = dataclasses.replace(PLAIN, optional=(), updates="responded")
    assert (data.masks(strict)[1] < learns).any()
    seen = data.trials(PLAIN).seen["reward"]
    assert (seen == data.present["reward"]).all()


def test_few_trials_are_not_worth_a_search(data):
    few = data.select(np.array([0]))
    fewer = dataclasses.replace(few, valid=few.valid & (np.arange(few.n_lanes) < 50))
    assert fewer.n_trials < contexts.FEWEST < few.n_trials
    assert contexts.shared(SHARED, fewer, bucket) is None
    assert contexts.shared(SHARED, few, bucket) is not None
