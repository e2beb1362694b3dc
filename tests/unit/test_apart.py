"""Derivatives of models that learn and have response times: of learning, and of responses given what was learned."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem import Dataset, Parameter, models
from pyem.engine import evaluate
from pyem.engine.regress import on_data
from pyem.engine.scale import scaled
from pyem.model import apart
from pyem.model.transform import Real


def learners() -> dict[str, Any]:
    ddm = pyem.with_decision(models.get("rw1a1b"), "ddm")
    return {
        "ddm": ddm,
        "rdm": pyem.with_decision(models.get("rw1a1b"), "rdm"),
        "lapses": pyem.with_lapse(pyem.fix(ddm, z=0.45)),
        "formula": pyem.regress(pyem.with_decision(pyem.with_stickiness(models.get("rw1a1b")), "ddm"), "a ~ side"),
    }


def incomplete() -> Dataset:
    """Two people, one of whom has two blocks; some trials have no response, and some no time."""
    rng = np.random.default_rng(2)
    shape = (2, 2, 7)
    rt = rng.uniform(0.5, 1.5, shape)
    choice = rng.integers(2, size=shape).astype(float)
    rt[0, 0, 3] = rt[1, 0, 1] = choice[1, 0, 1] = rt[1, 1] = choice[1, 1] = np.nan
    reward = np.where(np.isnan(choice), np.nan, rng.integers(2, size=shape))
    return Dataset.from_arrays(
        {"choice": choice, "rt": rt, "reward": reward, "side": rng.integers(2, size=shape) - 0.5}
    )


@pytest.mark.parametrize("name", ["ddm", pytest.param("rdm", marks=pytest.mark.slow), "lapses", "formula"])
def test_derivatives_of_learning_and_of_times_are_those_of_the_likelihood(name, monkeypatch):
    # Pieces of three trials and of two: the last one of seven is filled up.
    monkeypatch.setattr(apart, "CELLS", 8)
    data = incomplete()
    model, data = on_data(learners()[name], data)
    model = scaled(model, data)
    x = np.tile(model.typical[0], (2, 1)) + np.linspace(-0.2, 0.2, 2 * model.n_params).reshape(2, -1)
    value, grad, hess = evaluate.value_grad_hess(model, data, x)
    np.testing.assert_allclose(value, evaluate.log_lik(model, data, x), rtol=1e-12)
    steps = 1e-5 * np.eye(model.n_params)
    both_ways = lambda of, step: (of(x + step) - of(x - step)) / 2e-5  # noqa: E731
    slopes = [both_ways(lambda x: evaluate.log_lik(model, data, x), step) for step in steps]
    np.testing.assert_allclose(grad.T, slopes, rtol=1e-6, atol=1e-6)
    bends = [both_ways(lambda x: evaluate.value_grad_hess(model, data, x)[1], step) for step in steps]
    np.testing.assert_allclose(np.moveaxis(hess, 1, 0), bends, rtol=1e-6, atol=1e-6)


@jax.custom_jvp
def slope(x):
    return x


@slope.defjvp
def _(at, way):
    # Three times what it is, so that one can see whether the rule was used.
    return slope(*at), 3.0 * way[0]


@jax.custom_jvp
def height(x):
    return 0.5 * x**2


@height.defjvp
def _(at, way):
    return height(*at), slope(*at) * way[0]


class Ruled(NamedTuple):
    x: jax.Array

    @property
    def logits(self):
        return jnp.zeros(2)

    def log_prob(self, value):
        return height(self.x) + 0.0 * value[1]


@pytest.mark.parametrize("n_params", [2, 5])
def test_rules_for_derivatives_of_a_distribution_hold_when_a_model_learns(n_params):
    more = tuple(Parameter(f"b{k}", Real()) for k in range(n_params - 1))
    model = pyem.Model(
        name="ruled",
        parameters=(Parameter("b", Real()), *more),
        responses=(("choice", "rt"),),
        options=2,
        outcomes=("reward",),
        init=lambda p: {"q": 1.0},
        policy=lambda p, state, trial: Ruled(p.b * state["q"]),
        update=lambda p, state, trial: ({"q": 0.5 * state["q"] + trial.reward}, {}),
    )
    data = Dataset.from_arrays({"choice": np.zeros((1, 1, 4)), "rt": np.ones((1, 1, 4)), "reward": np.ones((1, 1, 4))})
    _, grad, hess = evaluate.value_grad_hess(model, data, np.full((1, n_params), 0.7))
    q = np.array([1.0, 1.5, 1.75, 1.875])
    np.testing.assert_allclose([grad[0, 0], hess[0, 0, 0]], [0.7 * (q**2).sum(), 3 * (q**2).sum()], rtol=1e-12)
