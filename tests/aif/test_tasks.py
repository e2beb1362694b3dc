"""Environments: arrays, frequencies, episodes, and the picture of a block."""

from __future__ import annotations

import numpy as np
import pytest

import pyem
from pyem.aif import Episodes, POMDPTask, TMaze, plot_posteriors
from pyem.aif.maze import PATHS
from pyem.draw import figures as draw


def test_arrays_of_the_maze():
    task = TMaze(0.7, 0.9)
    for array in (*task.A, *task.B):
        np.testing.assert_allclose(array.sum(0), 1)
    assert task.A[1][:, 1, 0].tolist() == pytest.approx([0, 0.7, 0.3])
    assert task.A[1][:, 1, 1].tolist() == pytest.approx([0, 0.3, 0.7])
    apart = TMaze(0.7, dependent_outcomes=False, punishment_probability=0.6)
    assert apart.A[1][:, 2, 1].tolist() == pytest.approx([0.3, 0.7, 0])
    assert apart.A[1][:, 1, 1].tolist() == pytest.approx([0.4, 0, 0.6])
    assert TMaze(reward_side=1).D[1].tolist() == [0, 1]
    assert TMaze() == TMaze()
    assert hash(TMaze()) == hash(TMaze())
    assert TMaze() != TMaze(0.7)


def test_moves_of_the_maze_are_those_of_neighbours():
    moves = TMaze().B[0]
    for now in range(5):
        for request in range(5):
            goes = request if (now, request) in PATHS or (request, now) in PATHS else now
            assert moves[goes, now, request] == 1


def test_what_the_maze_shows_is_as_frequent_as_it_should_be():
    model = pyem.models.get("aif_tmaze", cue_validity=0.8)
    data = pyem.simulate(model, [[0.9]] * 2, blocks=2000, trials=5, key=7)
    o0, o1, o2, action = (data.fields[name] for name in ("o0", "o1", "o2", "action"))
    assert (o0[0] == 0).all()
    neighbours = {*PATHS, *((b, a) for a, b in PATHS)}
    expected = [
        a if (now, a) in neighbours else now for now, a in zip(o0[:-1].ravel(), action[:-1].ravel(), strict=True)
    ]
    np.testing.assert_array_equal(o0[1:].ravel(), expected)
    assert set(o1[(o0 != 1) & (o0 != 2)]) == {0}
    assert set(o2[o0 != 3]) == {0}
    # Two looks at the cue in one block are the same with probability .8^2 + .2^2.
    twice = [o2[o0[:, k] == 3, k][:2] for k in range(data.n_lanes) if (o0[:, k] == 3).sum() > 1]
    same = np.mean([a == b for a, b in twice])
    assert abs(same - 0.68) < 4 * np.sqrt(0.68 * 0.32 / len(twice))
    paid = o1[(o0 == 1) | (o0 == 2)]
    assert set(paid) == {1, 2}


def test_episodes_start_anew():
    task = Episodes(TMaze(), 4)
    model = pyem.models.get("aif_tmaze")
    data = pyem.simulate(model, subjects=3, trials=12, key=1, task=task)
    assert data.fields["start"][:, 0].tolist() == [1, 0, 0, 0] * 3
    assert (data.fields["o0"][::4] == 0).all()


def test_a_task_of_arrays():
    flip = np.stack([np.eye(2), np.eye(2)[::-1]], axis=-1)
    task = POMDPTask(A=[[[0.9, 0.2], [0.1, 0.8]]], B=[flip], D=[[1, 0]], observations=("shown",), action="choice")
    agent = pyem.aif.DiscretePOMDP(A=task.A, B=task.B, D=task.D, alpha=0.5)
    model = agent.model("flipper", [pyem.Parameter("unused")], observations=("shown",), action="choice", task=task)
    data = pyem.simulate(model, [[0.0]], blocks=3000, trials=3, key=2)
    state = np.cumsum(data.fields["choice"][:-1], axis=0) % 2
    seen = data.fields["shown"]
    for value, probability in ((0, 0.1), (1, 0.8)):
        here = seen[1:][state == value]
        assert abs(here.mean() - probability) < 4 * np.sqrt(probability * (1 - probability) / len(here))


@pytest.mark.parametrize("options", [{"reward_probability": 1.2}, {"cue_validity": -0.1}, {"reward_side": 2}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        TMaze(**options)


def test_a_block_is_drawn_trial_by_trial():
    model = pyem.models.get("aif_tmaze")
    data = pyem.simulate(model, subjects=2, blocks=2, trials=5, key=1)
    figure = model.task.render(data, subject=1, block=1)
    titles = [axis.get_title() for axis in figure.axes]
    lane = np.flatnonzero(data.lane_subject == 1)[1]
    places = ("centre", "left", "right", "cue", "middle")
    assert titles == [f"trial {t}: to the {places[a]}" for t, a in enumerate(data.fields["action"][:, lane])]
    with pytest.raises(ValueError, match="there is no block 2"):
        model.task.render(data, subject=1, block=2)


def test_posteriors_are_sorted_by_the_truth():
    rng = np.random.default_rng(0)
    truth = np.array([0.9, 0.5, 0.7])
    figure = plot_posteriors(truth[:, None] + 0.02 * rng.normal(size=(3, 400)), truth, name="r", labels=["a", "b", "c"])
    above = figure.axes[0]
    assert [tick.get_text() for tick in above.get_xticklabels()] == ["b", "c", "a"]
    crosses = next(line for line in above.lines if line.get_label() == "truth")
    assert list(crosses.get_ydata()) == [0.5, 0.7, 0.9]
    low, high = figure.axes[0].get_ylim()
    assert low < 0.5 < 0.9 < high
    with pytest.raises(ValueError, match="pick one parameter"):
        plot_posteriors(np.zeros((3, 4, 2)))
    with pytest.raises(ValueError, match="there are 3 subjects"):
        plot_posteriors(np.zeros((3, 4)), np.zeros(2))


def test_posteriors_of_a_fit_have_its_names_and_range():
    model = pyem.models.get("aif_tmaze")
    data = pyem.simulate(model, subjects=2, blocks=5, trials=5, key=1)
    fit = pyem.fit_grid(model, data, group=None, mean=0, sd=1)
    figure = plot_posteriors(fit, data.true_params[:, 0])
    above = figure.axes[0]
    assert above.get_ylabel() == "reward_probability"
    assert above.get_ylim() == (0.5, 1.0)
    medians = sorted(line.vertices[0, 1] for line in above.collections[-1].get_paths())
    np.testing.assert_allclose(medians, sorted(fit.quantile(0.5)[:, 0]), atol=0.02)
    with pytest.raises(ValueError, match="has no parameter 'alpha'; name one of reward_probability"):
        plot_posteriors(fit, name="alpha")


def test_the_loss_is_shown_where_it_ended():
    loss = np.concatenate([[5000.0], 800 + np.exp(-np.arange(199) / 30)])
    panel = draw.loss(title="loss", step=np.arange(200), loss=loss).axes[0]
    assert panel.lines[0].get_ydata().tolist() == loss.tolist()
    low, high = panel.get_ylim()
    assert low < loss.min() < high < 810
