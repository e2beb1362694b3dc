"""Simulations of a given course of the experiment."""

import numpy as np
import pytest

import pyem
from pyem.engine.evaluate import log_lik
from pyem.task.designs import Design

MODEL = pyem.models.get("rw1a1b", scale="none")


def per_block(data, name):
    lanes = np.moveaxis(data.fields[name], -1, 0)
    return lanes.reshape(data.n_subjects, -1, *lanes.shape[1:])


@pytest.mark.parametrize("of_each", [True, False])
def test_outcomes_are_those_of_the_design(of_each):
    payoffs = np.random.default_rng(0).normal(size=(3 if of_each else 1, 2, 7, 2))
    data = pyem.simulate(MODEL, [[3.0, 0.4]] * 3, key=1, blocks=2, trials=7, task=Design(payoffs={"reward": payoffs}))
    choice = per_block(data, "choice")
    expected = np.take_along_axis(np.broadcast_to(payoffs, (3, 2, 7, 2)), choice[..., None], -1)[..., 0]
    np.testing.assert_array_equal(per_block(data, "reward"), expected)
    np.testing.assert_allclose(log_lik(MODEL, data, data.truth), data.log_lik, rtol=1e-12)
    assert len(np.unique(choice)) == 2


def test_another_design_of_the_same_shape_is_played_without_another_compilation():
    from pyem.simulation.play import play_compiled

    shape = (1, 2, 7, 2)
    play = lambda value: pyem.simulate(  # noqa: E731
        MODEL, [[3.0, 0.4]] * 3, key=1, blocks=2, trials=7, task=Design(payoffs={"reward": np.full(shape, value)})
    )
    play(0.0)
    before = play_compiled._cache_size()
    assert play(1.0).fields["reward"].min() == 1.0
    assert play_compiled._cache_size() == before


def test_a_design_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"design of 'reward' has shape \(1, 2, 5, 2\).*7 trials"):
        pyem.simulate(
            MODEL, [[3.0, 0.4]], key=1, blocks=2, trials=7, task=Design(payoffs={"reward": np.ones((1, 2, 5, 2))})
        )
