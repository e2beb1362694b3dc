"""Indices beyond the ends of arrays in the functions of a model are found, and those that have no effect are not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem import Categorical, DataError, Interval, Model, Parameter
from pyem.engine.indices import watched

TABLE = jnp.arange(1.0, 5.0)
PAIRS = jnp.arange(1.0, 5.0).reshape(2, 2)
HARMFUL = {
    "read": lambda i: TABLE[i],
    "read of a vector": lambda i: TABLE[jnp.array([0, 1]) * i],
    "read of a pair": lambda i: PAIRS[i // 2, i // 2],
    "read of a row": lambda i: PAIRS[i // 2],
    "write": lambda i: TABLE.at[i].add(1.0),
    "write of a pair": lambda i: PAIRS.at[i // 2, 1].set(1.0),
    "in a scan": lambda i: jax.lax.scan(lambda c, k: (c + TABLE[i + 0 * k], c), 0.0, jnp.arange(3))[0],
}
HARMFUL |= {
    "in a branch": lambda i: jax.lax.cond(i != 0, lambda: TABLE[i], lambda: TABLE[0]),
    "in a loop": lambda i: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + TABLE[i]), (0, 0.0))[1],
}
HARMLESS = {
    "in a branch that is not taken": lambda i: jax.lax.switch(
        jnp.clip((i < 0) + 2 * (i > 3), 0, 2), [lambda: TABLE[i], lambda: TABLE[0], lambda: TABLE[1]]
    ),
    "in a loop of no steps": lambda i: jax.lax.while_loop(
        lambda c: c[0] < jnp.where((i >= 0) & (i < 4), 2, 0), lambda c: (c[0] + 1, c[1] + TABLE[i]), (0, 0.0)
    )[1],
    "put aside": lambda i: jnp.where((i >= 0) & (i < 4), TABLE[i], 0.0),
    "clipped": lambda i: TABLE[jnp.clip(i, 0, 3)],
    "one of many": lambda i: jax.nn.one_hot(i, 4) @ TABLE,
}


@pytest.mark.parametrize("name", [*HARMFUL, *HARMLESS])
def test_indices_beyond_the_ends_are_seen_where_they_matter(name):
    function = (HARMFUL | HARMLESS)[name]
    with jax.enable_x64(True):
        hurt = jax.jit(jax.vmap(lambda i: watched(function, i)[0]))(jnp.array([0, 3, 4, -1, -9]))
    assert hurt.tolist() == [False, False, *[name in HARMFUL] * 3]


def cue_model(*, codes: bool = False, guard: bool = False) -> Model:
    def value(q, cue):
        return jnp.where(cue < 4, q[jnp.clip(cue, 0, 3)], 0.0) if guard else q[cue]

    return Model(
        "cue",
        (Parameter("beta", Interval(0, 20)), Parameter("alpha", Interval(0, 1))),
        lambda p, q, trial: Categorical(p.beta * value(q, trial.cue)),
        init=lambda p: jnp.full((4, 2), 0.5),
        update=lambda p, q, trial: (q.at[trial.cue % 4, trial.choice].add(p.alpha * (trial.reward - 0.5)), {}),
        options=2,
        inputs=("cue",),
        outcomes=("reward",),
        input_codes=(("cue", 4),) if codes else (),
    )


def cue_data(*cues: int) -> pyem.Dataset:
    choice = np.array([[[0, 1, 0, 1]]] * 2)
    return pyem.Dataset.from_arrays(
        {"cue": [[list(cues)]] * 2, "choice": choice, "reward": choice + 0.5}, subjects=["a", "b"]
    )


@pytest.mark.parametrize(("cues", "index"), [((1, 2, 3, 4), 4), ((0, 1, -1, 2), -1)])
def test_every_fit_and_check_find_a_column_that_is_no_index(cues, index):
    message = (
        rf"policy\(p, state, trial\) reads index {index} of an axis of length 4 \(test_indices\.py, line \d+, in cue"
    )
    message += r".*for subject 'a', block 0, trial \d.*the value of 'cue': recode .*input_codes=\(\('cue', 4\),\)"
    with pytest.raises(DataError, match=message):
        pyem.log_lik(cue_model(), cue_data(*cues), [1.0, 0.5])
    assert not pyem.check(cue_model(), cue_data(*cues))


def test_what_is_right_declared_or_put_aside_passes():
    assert np.isfinite(pyem.log_lik(cue_model(), cue_data(0, 1, 2, 3), [1.0, 0.5])).all()
    assert np.isfinite(pyem.log_lik(cue_model(guard=True), cue_data(1, 2, 3, 4), [1.0, 0.5])).all()
    with pytest.raises(DataError, match="column 'cue' has code 4"):
        pyem.log_lik(cue_model(codes=True), cue_data(1, 2, 3, 4), [1.0, 0.5])


def test_check_finds_indices_that_come_from_the_state():
    counting = Model(
        "counting",
        (Parameter("beta", Interval(0, 20)),),
        lambda p, n, trial: Categorical(p.beta * PAIRS[n.astype(int)]),
        init=lambda p: jnp.zeros(()),
        update=lambda p, n, trial: (n + 1, {}),
        options=2,
    )
    assert "reads index 2 of an axis of length 2" in str(pyem.check(counting, cue_data(0, 0, 0, 0)))


def test_check_finds_them_in_models_of_whole_blocks():
    def log_lik(p, trials):
        return jax.nn.log_softmax(p.beta * jnp.eye(4)[trials.cue])[:, 0]

    whole = Model("whole", (Parameter("beta"),), log_likelihood=log_lik, options=2, inputs=("cue",))
    assert "log_likelihood(p, trials) reads index 4" in str(pyem.check(whole, cue_data(1, 2, 3, 4)))
