"""The contract, first half: what holds for the likelihood of every registered model, each property once.

Independent likelihoods and data are in `tests.oracle`; see `tests.oracle.cases` for how a new model joins.
"""

from __future__ import annotations

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import pyem
from pyem import Dataset, Model, models
from pyem.engine import evaluate as engine
from pyem.engine.scale import scaled
from tests.contract.people import (
    BLOCKS,
    COSTLY,
    IN_FULL,
    VARIANTS,
    draw_people,
    draw_x,
    full,
    oracle,
    to_dataset,
    totals,
    usual,
    with_missing,
)
from tests.oracle.cases import CASES

NAMES = models.names()
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def settings_of(name: str) -> list[dict]:
    return list(CASES[name].settings) if name in CASES else [{}]


def complete(name: str, seed: int = 1) -> tuple[Model, Dataset]:
    model = models.get(name)
    return model, to_dataset(draw_people(CASES[name], seed), model)


# -- registry -----------------------------------------------------------------------------------------------------------


def test_every_registered_model_has_an_oracle():
    assert set(NAMES) == set(CASES)


def test_models_that_are_tested_in_another_way_are_registered():
    assert set(NAMES) >= IN_FULL | COSTLY | VARIANTS
    assert not IN_FULL & (COSTLY | VARIANTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_says_what_it_is(name):
    model = models.get(name)
    assert model.name == name
    assert len(model.doc) > 10
    assert model.reference.startswith("https://doi.org/10.")
    assert model.columns
    assert all(parameter.doc for parameter in model.parameters)
    assert (model.typical[1] > 0).all()
    assert model.policy is None or model.task is not None, "a model with a policy can be simulated, so it needs a task"
    said = models._FACTORIES[name].__doc__ or ""
    assert len(said.strip()) > 20
    assert said != models.get.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_equal_models_are_equal_and_survive_pickling(name):
    model = models.get(name)
    copies = [dataclasses.replace(model), pickle.loads(pickle.dumps(model)), models.get(name)]
    assert all(copy == model and hash(copy) == hash(model) for copy in copies)
    assert dataclasses.replace(model, name="another") != model


# -- likelihood ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "settings"), [(name, settings) for name in NAMES for settings in settings_of(name)])
def test_log_likelihood_is_that_of_the_oracle(name, settings):
    case, model = CASES[name], models.get(name, **settings)
    people = draw_people(case, 2, **settings)
    data, x = to_dataset(people, model), draw_x(model, len(people), 2)
    expected = oracle(case, model, people, x, **settings)
    np.testing.assert_allclose(engine.log_lik(model, data, x), totals(expected), **EXACT)


@pytest.mark.parametrize("name", usual(NAMES))
def test_log_probability_of_every_trial_is_that_of_the_oracle(name):
    case, model = CASES[name], models.get(name)
    people = with_missing(draw_people(case, 3), model.responses, 3)
    data, x = to_dataset(people, model), draw_x(model, len(people), 3)
    found = engine.trial_values(model, data, x)["log_lik"]
    blocks = [block for person in oracle(case, model, people, x) for block in person]
    assert found.shape == data.valid.shape
    for lane, block in enumerate(blocks):
        np.testing.assert_allclose(found[: len(block), lane], block, **EXACT)
    assert not found[~data.valid].any()


@pytest.mark.parametrize(
    ("name", "column"),
    [
        pytest.param(name, column, marks=[pytest.mark.slow] if name in COSTLY else [])
        for name in NAMES
        for column in models.get(name).columns
    ],
)
def test_missing_values_are_treated_as_the_oracle_treats_them(name, column):
    case, model = CASES[name], models.get(name)
    whole = draw_people(case, 4)
    people = with_missing(whole, (column,), 4)
    data, x = to_dataset(people, model), draw_x(model, len(people), 4)
    found = engine.log_lik(model, data, x)
    np.testing.assert_allclose(found, totals(oracle(case, model, people, x)), **EXACT)
    same = np.allclose(found, totals(oracle(case, model, whole, x)))
    assert same == (column in case.redundant), "nothing was missing, or it made no difference"


@pytest.mark.parametrize("name", full(NAMES))
def test_any_pattern_of_missing_values(name):
    case, model = CASES[name], models.get(name)
    people = with_missing(draw_people(case, 5), model.columns, 5, share=0.2)
    data, x = to_dataset(people, model), draw_x(model, len(people), 5)
    np.testing.assert_allclose(engine.log_lik(model, data, x), totals(oracle(case, model, people, x)), **EXACT)


# -- lanes --------------------------------------------------------------------------------------------------------------


def everything(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    """Value, gradient and Hessian of each subject, (S, 1 + P + P * P)."""
    value, grad, hess = engine.value_grad_hess(model, data, x)
    return np.concatenate([value[:, None], grad, hess.reshape(len(x), -1)], axis=1)


def rubbish(data: Dataset, seed: int) -> Dataset:
    """The same data with other valid values wherever nothing was observed."""
    rng = np.random.default_rng(seed)
    fields = {}
    for name, array in data.fields.items():
        lanes_first = np.moveaxis(array, -1, 1)
        seen = lanes_first[data.present[name]]
        hidden = ~data.present[name]
        lanes_first = lanes_first.copy()
        lanes_first[hidden] = seen[rng.integers(len(seen), size=hidden.sum())]
        fields[name] = np.moveaxis(lanes_first, 1, -1)
    return dataclasses.replace(data, fields=fields)


def longer(data: Dataset, extra: int) -> Dataset:
    """The same data with `extra` rows of padding at the end of every lane."""
    grow = lambda array, fill: np.concatenate([array, np.broadcast_to(fill, (extra, *array.shape[1:]))])  # noqa: E731
    return dataclasses.replace(
        data,
        fields={name: grow(array, array[:1]) for name, array in data.fields.items()},
        present={name: grow(mask, False) for name, mask in data.present.items()},
        valid=grow(data.valid, False),
        trial=None,
    )


def with_empty_lane(data: Dataset) -> Dataset:
    """The same data, and the last subject has another block in which there is no trial."""
    last = lambda array: np.concatenate([array, array[..., -1:]], axis=-1)  # noqa: E731
    empty = lambda mask: np.concatenate([mask, np.zeros_like(mask[:, :1])], axis=1)  # noqa: E731
    return dataclasses.replace(
        data,
        fields={name: last(array) for name, array in data.fields.items()},
        present={name: empty(mask) for name, mask in data.present.items()},
        valid=empty(data.valid),
        lane_subject=last(data.lane_subject),
        lane_block=last(data.lane_block),
        trial=None,
    )


@pytest.mark.parametrize("name", full(NAMES))
def test_padding_is_inert(name):
    case, model = CASES[name], models.get(name)
    people = with_missing(draw_people(case, 6), model.columns, 6, share=0.15)
    data, x = to_dataset(people, model), draw_x(model, len(people), 6)
    before = everything(model, data, x)
    assert not data.valid.all()
    np.testing.assert_allclose(everything(model, rubbish(data, 6), x), before, **EXACT)
    larger = rubbish(with_empty_lane(longer(data, 9)), 7)
    assert (larger.n_lanes, larger.n_trials) == (data.n_lanes + 1, data.n_trials)
    np.testing.assert_allclose(engine.log_lik(model, larger, x), before[:, 0], **EXACT)


@pytest.mark.parametrize("name", full(NAMES))
def test_blocks_start_afresh(name):
    case, model = CASES[name], models.get(name)
    people = draw_people(case, 9)
    x = draw_x(model, len(people), 9)
    together = engine.log_lik(model, to_dataset(people, model), x)
    alone = np.zeros(len(people))
    for b in range(max(BLOCKS)):
        # The same block over and over, as often as the person has blocks: each time it has the same probability.
        copies = [[person[b if b < len(person) else 0]] * len(person) for person in people]
        value = engine.log_lik(model, to_dataset(copies, model), x)
        alone += [v / len(person) if b < len(person) else 0.0 for v, person in zip(value, people, strict=True)]
    np.testing.assert_allclose(alone, together, **EXACT)


@pytest.mark.parametrize("name", full(NAMES))
def test_one_block_with_the_same_trials_is_that_of_the_oracle(name):
    case, model = CASES[name], models.get(name)
    people = [[[trial for block in person for trial in block]] for person in draw_people(case, 18)]
    x = draw_x(model, len(people), 18)
    expected = totals(oracle(case, model, people, x))
    np.testing.assert_allclose(engine.log_lik(model, to_dataset(people, model), x), expected, **EXACT)


@pytest.mark.parametrize("name", full(NAMES))
def test_order_of_people_and_blocks_does_not_matter(name):
    case, model = CASES[name], models.get(name)
    people = with_missing(draw_people(case, 10), model.responses, 10)
    x = draw_x(model, len(people), 10)
    before = everything(model, to_dataset(people, model), x)
    order = np.array([3, 0, 4, 2, 1])
    shuffled = [people[s][::-1] for s in order]
    after = everything(model, to_dataset(shuffled, model, labels=[f"person {s}" for s in order]), x[order])
    np.testing.assert_allclose(after, before[order], **EXACT)


# -- derivatives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", usual(NAMES))
def test_gradient_and_hessian_are_finite_differences(name):
    model, data = complete(name, 11)
    x, step = draw_x(model, data.n_subjects, 11, spread=1.0), 1e-5
    _, grad, hess = engine.value_grad_hess(model, data, x)
    for k in range(model.n_params):
        shift = step * np.eye(model.n_params)[k]
        slope = (engine.log_lik(model, data, x + shift) - engine.log_lik(model, data, x - shift)) / (2 * step)
        np.testing.assert_allclose(grad[:, k], slope, rtol=1e-6, atol=1e-7)
        ends = [engine.value_grad_hess(model, data, x + sign * shift)[1] for sign in (1, -1)]
        np.testing.assert_allclose(hess[:, k], (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(hess, np.swapaxes(hess, 1, 2), **EXACT)


@pytest.mark.parametrize("name", full(NAMES, {"rw1a1b", "rlwm", "hgf", "dd_hyperbolic", "glm"}))
@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_derivatives_of_the_rollout_in_both_modes(name, order):
    model, data = complete(name, 12)
    x = draw_x(model, data.n_subjects, 12, spread=1.0)
    with jax.enable_x64(True):
        trials = jax.tree.map(lambda a: jnp.asarray(a[:6, ..., :3]), data.trials(model))
        lanes = jnp.asarray(x.T[:, data.lane_subject[:3]])
        function = jax.jit(lambda x: pyem.rollout(model, x, trials))
        # The usual steps of 1e-4 are too long for models with large curvatures.
        check_grads(function, (lanes,), order=order, modes=("fwd", "rev"), rtol=1e-5, eps=1e-5)


@pytest.mark.parametrize("name", usual(NAMES))
def test_finite_in_the_corners_of_the_parameter_space(name):
    model, data = complete(name, 13)
    corners = np.random.default_rng(13).choice([-20.0, 20.0], size=(data.n_subjects, model.n_params))
    value, *derivatives = np.split(everything(model, data, corners), [1], axis=1)
    assert (np.isfinite(value) | (CASES[name].diverges & (value == -np.inf))).all()
    assert np.isfinite(derivatives).all()


@pytest.mark.parametrize("name", full(NAMES))
def test_natural_parameters_give_the_same_and_the_ends_of_ranges_their_limit(name):
    model, data = complete(name, 14)
    x = draw_x(model, data.n_subjects, 14)
    same = engine.log_lik(scaled(model, data), data, x)
    np.testing.assert_allclose(pyem.log_lik(model, data, model.natural(x)), same, **EXACT)
    for end in (0, 1):
        params, near = model.natural(x), model.natural(x)
        for k, bounds in enumerate(
            parameter.transform.bounds for parameter in model.parameters for _ in parameter.names
        ):
            if np.isfinite(bounds[end]):
                params[:, k] = bounds[end]
                near[:, k] = bounds[end] + (1e-12 if end == 0 else -1e-12) * max(abs(bounds[end]), 1)
        found, limit = pyem.log_lik(model, data, params), pyem.log_lik(model, data, near)
        possible = np.isfinite(found)
        np.testing.assert_allclose(found[possible], limit[possible], rtol=1e-6, atol=1e-6)
        assert (found[~possible] == -np.inf).all()
        assert (limit[~possible] < -20).all()
