"""Lanes laid out by length: the same numbers as one array padded to the longest, from work that follows the trials."""

import dataclasses
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import pyem
from pyem import Categorical, Dataset, Interval, Model, Parameter
from pyem.data import lengths, ragged
from pyem.data.lengths import groups, lane_lengths, ranges
from pyem.engine import differentiable, evaluate, layout, pointwise
from pyem.engine.layout import batch
from pyem.infer.quadrature import log_lik_on
from pyem.numerics.jit import TRACES

EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}
LENGTHS = [[5, 90, 7], [6], [88, 4], [5], [3, 6], [95], [5, 5], [8], [92, 7, 4], [7, 6, 5]]
"""Trials of each block of each person: some people have blocks that differ twentyfold."""


@pytest.fixture(autouse=True)
def as_users_do(monkeypatch):
    """Sizes are rounded as they are outside the tests."""
    monkeypatch.setattr(layout, "COARSE", 0)


def table(blocks, seed=0):
    """A long table of made-up choices; some choices and rewards are missing."""
    rng = np.random.default_rng(seed)
    rows = [(s, b, t) for s, person in enumerate(blocks) for b, n in enumerate(person) for t in range(n)]
    frame = pd.DataFrame(rows, columns=["who", "block", "t"])
    frame["choice"] = rng.integers(0, 2, len(frame)).astype(float)
    frame["reward"] = rng.integers(0, 2, len(frame)).astype(float)
    frame["x"] = rng.normal(size=len(frame))
    frame.loc[rng.uniform(size=len(frame)) < 0.1, "choice"] = np.nan
    frame.loc[rng.uniform(size=len(frame)) < 0.1, "reward"] = np.nan
    return frame


def as_data(frame):
    columns = {"choice": "choice", "reward": "reward", "y": "choice", "predictors": ["x"]}
    return Dataset.from_frame(frame, subject="who", block="block", trial="t", columns=columns, codes={"choice": [0, 1]})


@pytest.fixture
def both(monkeypatch):
    """The same data twice: laid out padded to the longest lane, and in ranges of length wherever that spares a trial."""
    padded, by_length = as_data(table(LENGTHS)), as_data(table(LENGTHS))
    model = pyem.models.get("rw1a1b")
    for exact in (False, True):
        assert len(set(batch(model, padded, exact=exact).group)) == 1
    monkeypatch.setattr(lengths, "SPARED", 0)
    monkeypatch.setattr("pyem.engine.layout.STEP_LANES", 0)
    for exact in (False, True):
        laid = batch(model, by_length, exact=exact)
        assert len(set(laid.group)) == 2
        assert max(len(shard.parts) for shard in laid.shards) > 1, "a person's blocks should be of different ranges"
    return padded, by_length


def stationary(p, trials):
    """A whole block at once, as a sum."""
    return jnp.where(trials.responded, -((trials.y - p.level) ** 2), 0.0).sum()


MODELS = {
    "two parameters": pyem.models.get("rw1a1b"),
    "reverse mode": pyem.with_stickiness(pyem.models.get("rw1a1b")),
    "whole blocks": Model(
        "level", (Parameter("level"),), responses=("y",), log_likelihood=stationary, inputs=("predictors",)
    ),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def draw(model, n=10, seed=1):
    return np.random.default_rng(seed).normal(size=(n, model.n_params))


# -- the same numbers ---------------------------------------------------------------------------------------------------


def test_values_and_derivatives_are_those_of_the_padded_layout(both, model):
    x = draw(model)
    for mine, plain in zip(*(evaluate.value_grad_hess(model, data, x) for data in reversed(both)), strict=True):
        np.testing.assert_allclose(mine, plain, **EXACT)
    mine, plain = (evaluate.log_lik(model, data, x) for data in reversed(both))
    np.testing.assert_allclose(mine, plain, **EXACT)


def test_draws_and_grids(both):
    model = MODELS["two parameters"]
    x = np.random.default_rng(2).normal(size=(5, 10, model.n_params))
    padded, by_length = both
    mine, plain = (evaluate.log_lik_draws(model, data, x) for data in (by_length, padded))
    np.testing.assert_allclose(mine, plain, **EXACT)
    np.testing.assert_allclose(log_lik_on(model, by_length, np.swapaxes(x, 0, 1)), plain.T, **EXACT)


def test_every_trial_and_what_comes_after_the_last(both, model):
    mine, plain = (evaluate.trial_values(model, data, draw(model)) for data in reversed(both))
    lane, row = ragged.places(np.minimum(lane_lengths(both[0].valid) + 1, len(both[0].valid)))
    np.testing.assert_allclose(mine["log_lik"], plain["log_lik"], **EXACT)
    assert not mine["log_lik"][~both[0].valid].any()
    after = [jax.tree.leaves((out["state"], out["latents"])) for out in (mine, plain)]
    for a, b in zip(*after, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(np.moveaxis(a, -1, 1)[row, lane], np.moveaxis(b, -1, 1)[row, lane], **EXACT)


def test_single_trials_of_several_draws(both):
    model = MODELS["two parameters"]
    x = np.random.default_rng(3).normal(size=(10, 6, model.n_params))
    values = []
    for data in both:
        seen = pointwise.Observed(model, data)
        values.append(pointwise.trial_log_lik(model, data, x, seen.lane, seen.row))
    np.testing.assert_allclose(values[1], values[0], **EXACT)
    total = evaluate.log_lik(model, both[0], x[:, 0])
    np.testing.assert_allclose(np.bincount(both[0].lane_subject[seen.lane], values[1][0]), total, **EXACT)


def test_the_function_for_samplers(both, model):
    def both_modes(data):
        laid = differentiable.people(model, data)
        weight = jnp.arange(1.0, 11.0)

        @jax.jit
        def everything(x):
            values, back = jax.vjp(lambda x: differentiable.log_lik(model, laid, x), x)
            return values, back(weight)[0]

        return everything(x)

    with jax.enable_x64(True):
        x = jnp.asarray(draw(model).T)
        for mine, plain in zip(*(both_modes(data) for data in reversed(both)), strict=True):
            np.testing.assert_allclose(mine, plain, **EXACT)


@pytest.mark.slow
def test_single_trials_for_samplers(both):
    model = MODELS["two parameters"]

    def both_modes(data):
        laid, seen = differentiable.people(model, data, by_trial=True), pointwise.Observed(model, data)
        places = differentiable.trial_places(model, data, seen.lane, seen.row)
        value, change = jax.jvp(lambda x: differentiable.trial_log_lik(model, laid, x)[places], (x,), (x**2,))
        weight = jnp.asarray(np.random.default_rng(0).normal(size=len(places)))
        slope = jax.grad(lambda x: (differentiable.trial_log_lik(model, laid, x)[places] * weight).sum())(x)
        return value, change, slope

    with jax.enable_x64(True):
        x = jnp.asarray(draw(model).T)
        for mine, plain in zip(*(both_modes(data) for data in reversed(both)), strict=True):
            np.testing.assert_allclose(mine, plain, **EXACT)


@pytest.mark.slow
def test_fits(both):
    padded, by_length = (pyem.fit_map(MODELS["whole blocks"], data) for data in both)
    np.testing.assert_allclose(by_length.x, padded.x, **EXACT)
    np.testing.assert_allclose(by_length.cov, padded.cov, **EXACT)
    np.testing.assert_allclose(by_length.log_lik, padded.log_lik, **EXACT)


def test_designs_of_a_study_are_laid_out_alike():
    shapes = []
    for n in (20, 30, 30):
        data = Dataset.from_arrays({"choice": np.zeros((9, 1, n), int), "reward": np.ones((9, 1, n))})
        with layout.coarsely(64 if len(shapes) < 2 else 0):
            laid = batch(pyem.models.get("rw1a1b"), data, by_trial=True)
        shapes.append([leaf.shape for leaf in jax.tree.leaves(laid.shards)])
    assert shapes[0] == shapes[1] != shapes[2]
    assert layout.COARSE == 0


@pytest.mark.parametrize("coarse", [0, 64])
def test_what_only_fills_up_an_array_counts_for_nobody(coarse, monkeypatch):
    """Also where the function of a whole block does not look at which trials count: 9 people are laid out as 10 or 16."""
    monkeypatch.setattr(layout, "COARSE", coarse)
    whole = lambda p, trials: -0.5 * (trials.u[0] - p.level) ** 2 - 1.0  # noqa: E731
    model = Model("whole", (Parameter("level"),), responses=("y",), inputs=("u",), log_likelihood=whole)
    u = np.random.default_rng(0).normal(size=(9, 1, 1))
    data = Dataset.from_arrays({"y": np.zeros((9, 1, 1)), "u": u})
    assert batch(model, data).shards[0].lane_subject.shape == (1, 16 if coarse else 10)
    value, grad, hess = evaluate.value_grad_hess(model, data, np.zeros((9, 1)))
    np.testing.assert_allclose(value, -0.5 * u[:, 0, 0] ** 2 - 1.0, **EXACT)
    np.testing.assert_allclose(grad, u[:, 0], **EXACT)
    np.testing.assert_allclose(hess, -np.ones((9, 1, 1)), **EXACT)


def test_contexts_of_people_of_unequal_length(monkeypatch):
    learner = Model(
        "learner",
        (Parameter("rate", Interval(0, 1)), Parameter("beta", Interval(0, 10))),
        lambda p, q, trial: Categorical(p.beta * q),
        init=lambda p: jnp.full(2, 0.5),
        update=lambda p, q, trial: (q.at[trial.choice].add(p.rate * (trial.reward - q[trial.choice])), {}),
        options=2,
        outcomes=("reward",),
        share=True,
    )
    plain = dataclasses.replace(learner, share=False)
    # Short blocks have common pasts; a long one has not, so that one group shares contexts and the other does not.
    data = as_data(table([[4] * 60, [3] * 70, [5] * 60, [300], [4] * 80, [290, 4, 4]]))
    monkeypatch.setattr(lengths, "SPARED", 0)
    laid = batch(learner, data)
    assert {"counts" in shard.trials for shard in laid.shards} == {True, False}
    x = draw(learner, 6)
    mine, one = (evaluate.log_lik(model, data, x) for model in (learner, plain))
    np.testing.assert_allclose(mine, one, rtol=1e-10, atol=1e-10)


# -- the work -----------------------------------------------------------------------------------------------------------


def test_lanes_of_similar_length_stay_together():
    rng = np.random.default_rng(0)
    assert len(ranges(np.full(400, 24))) == 1
    assert len(ranges(rng.integers(80, 97, 20_000))) == 1
    assert len(ranges(np.array([20, 40, 60] * 100))) == 1, "too little to be worth compiling twice"
    # The arrays keep the length that the data have.
    data = as_data(table([[24, 20]] * 5))
    longer = np.concatenate([data.valid, np.zeros((4, data.n_lanes), bool)])
    (found,) = groups(lane_lengths(longer), data.lane_subject, 28)
    assert found.n_trials == (28,)
    laid = batch(pyem.models.get("rw1a1b"), data)
    assert [(shard.trials.choice.shape, shard.shorter) for shard in laid.shards] == [((1, 24, 10), ())]
    assert laid.index[0].shape == (1, 5)


@pytest.mark.parametrize(
    "blocks",
    [
        [[60]] * 2000 + [[6000]],
        [[60] * 4] * 500 + [[6000, 60, 60, 60]],
        [[600, *[20] * 30]] * 100,
        [[n] for n in range(10, 3000, 3)],
    ],
    ids=["one long person", "one long block", "everybody has a long block", "all lengths"],
)
def test_work_follows_the_number_of_trials(blocks):
    found = np.array([n for person in blocks for n in person])
    owner = np.repeat(np.arange(len(blocks)), [len(person) for person in blocks])
    parts = groups(found, owner, int(found.max()))
    lanes = np.concatenate([lanes for group in parts for lanes in group.lanes])
    assert sorted(lanes.tolist()) == list(range(len(found)))
    for group in parts:
        assert set(np.concatenate([owner[lanes] for lanes in group.lanes])) == set(group.subjects.tolist())
    work = sum(len(lanes) * n for group in parts for lanes, n in zip(group.lanes, group.n_trials, strict=True))
    assert work <= 1.5 * found.sum() < max(found) * len(found)
    assert sum(len(group.lanes) for group in parts) <= 5


def test_memory_of_the_layout_follows_the_number_of_trials():
    data = as_data(table([[60]] * 2000 + [[6000]]))
    assert isinstance(data.fields, ragged.RaggedFields)
    laid = batch(pyem.models.get("rw1a1b"), data)
    values = sum(shard.trials.choice.size for shard in laid.shards)
    assert data.n_trials == 126_000
    assert laid.n_cells == data.n_trials
    assert values <= 1.3 * data.n_trials


def test_one_trace_for_each_range(both):
    model = dataclasses.replace(pyem.models.get("rw1a1b"), name="traced by length")
    laid = batch(model, both[1])
    for _ in range(2):
        evaluate.log_lik(model, both[1], draw(model))
    assert TRACES[model.name, "log_lik"] == len(set(laid.group))


# -- the data -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sparse(monkeypatch):
    """The same data with arrays kept whole, and with only the real trials kept."""
    whole = as_data(table(LENGTHS))
    monkeypatch.setattr(ragged, "LARGE", 0)
    monkeypatch.setattr(ragged, "SPARSE", 1.2)
    kept = as_data(table(LENGTHS))
    assert isinstance(kept.fields, ragged.RaggedFields)
    assert not isinstance(whole.fields, ragged.RaggedFields)
    return whole, kept


def assert_same(one, other):
    for name in one.fields:
        np.testing.assert_array_equal(one.fields[name], other.fields[name])
        np.testing.assert_array_equal(one.present[name], other.present[name])
        assert one.fields[name].dtype == other.fields[name].dtype
    np.testing.assert_array_equal(one.valid, other.valid)
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())
    assert repr(one) == repr(other)


def test_arrays_are_the_same_whether_padding_is_kept_or_not(sparse):
    whole, kept = sparse
    assert_same(whole, kept)
    assert_same(whole, pickle.loads(pickle.dumps(kept)))
    assert_same(whole, dataclasses.replace(kept))
    assert_same(whole.select([5, 2, 0]), kept.select([5, 2, 0]))
    assert_same(whole.cut(np.array([1, 4, 5]), 8), kept.cut(np.array([1, 4, 5]), 8))
    again = dataclasses.replace(whole, fields=dict(kept.fields))
    assert isinstance(again.fields, ragged.RaggedFields), "arrays are let go of however the data were made"
    pd.testing.assert_frame_equal(again.to_frame(), whole.to_frame())


def test_counts_and_fits_are_the_same_whether_padding_is_kept_or_not(sparse):
    model = pyem.models.get("rw1a1b")
    whole, kept = sparse
    assert len(kept.pieces()) >= 1
    np.testing.assert_array_equal(whole.n_responses(model), kept.n_responses(model))
    assert whole.fingerprint(model) == kept.fingerprint(model)
    x = draw(model)
    np.testing.assert_allclose(evaluate.log_lik(model, kept, x), evaluate.log_lik(model, whole, x), **EXACT)


def test_trial_labels_are_kept_small_and_given_whole():
    data = as_data(table([[60]] * 2000 + [[6000]]))
    assert data.trial.dtype == np.int16
    assert data.to_frame()["trial"].dtype == np.int64
    assert sum(len(lanes) for lanes, _ in data.pieces()) == data.n_lanes
    assert max(part.valid.size for _, part in data.pieces()) <= 130_000


def test_models_without_a_state_are_compiled_lightly_for_more_trials(monkeypatch):
    monkeypatch.setattr(layout, "n_cores", lambda: 2)
    rng = np.random.default_rng(0)
    shape = (100, 1, 250)
    fields = {"choice": rng.integers(0, 2, shape), "reward": rng.random(shape), "rt": rng.uniform(0.4, 1.6, shape)}
    data = Dataset.from_arrays(fields)

    def light(name: str, data: Dataset) -> bool:
        model = pyem.models.get(name)
        return all(layout.is_light(model, shard) for shard in batch(model, data).shards)

    assert light("lba", data)
    assert not light("rw1a1b", data)
    assert light("rw1a1b", data.select(np.arange(20)))
    assert not light("lba", data.select(np.repeat(np.arange(100), 8)))
