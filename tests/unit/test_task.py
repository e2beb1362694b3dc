"""Tasks: what they show and pay, played by hand."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pyem.data.dataset import Dataset
from pyem.model.record import Record
from pyem.task.bandits import Bandit, DriftingBandit, Reversal
from pyem.task.designs import Replay
from pyem.task.social import PAIRS, PairedBandit, ProsocialBandit

FALSE_ALARM = 1e-3
"""Of each statistical test, if its seed had not been fixed."""


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


def play(task, choices, *, blocks: int = 1, seed: int = 0):
    """Columns (block, trial) and states (block, trial, ...) of a task in which `choices` (trial,) are made."""

    def block(key):
        first, *_ = keys = jax.random.split(key, 2 * len(choices) + 1)

        def step(state, inputs):
            choice, (show, answer) = inputs
            trial = Record(**task.present(state, show), choice=choice)
            new, outcome = task.respond(state, trial, answer)
            return new, (dict(trial) | outcome, state)

        return jax.lax.scan(step, task.init(first), (jnp.asarray(choices), keys[1:].reshape(-1, 2)))[1]

    columns, states = jax.jit(jax.vmap(block))(jax.random.split(jax.random.key(seed), blocks))
    return {name: np.asarray(values) for name, values in columns.items()}, jax.tree.map(np.asarray, states)


def binomial_p(made: np.ndarray, chance: float) -> float:
    return stats.binomtest(int(made.sum()), made.size, chance).pvalue


def test_bandit_pays_with_its_probabilities():
    choices = np.tile([0, 1, 2], 20)
    columns, _ = play(Bandit((0.9, 0.5, 0.1), outcome="points"), choices, blocks=50)
    assert set(np.unique(columns["points"])) == {0.0, 1.0}
    for option, chance in enumerate((0.9, 0.5, 0.1)):
        assert binomial_p(columns["points"][:, choices == option], chance) > FALSE_ALARM


def test_reversal_swaps_the_options_every_so_often():
    columns, states = play(Reversal((1.0, 0.0), every=3), np.zeros(12, int))
    np.testing.assert_array_equal(columns["reward"][0], [1, 1, 1, 0, 0, 0] * 2)
    np.testing.assert_array_equal(states[0], np.arange(12))


def test_drifting_probabilities_stay_between_the_bounds_however_long_the_steps():
    _, states = play(DriftingBandit(3, sd=5.0, low=0.2, high=0.7), np.zeros(200, int), blocks=5)
    assert states.shape == (5, 200, 3)
    assert states.min() >= 0.2
    assert states.max() <= 0.7
    assert np.ptp(states) > 0.3


def test_drifting_probabilities_move_by_steps_of_the_given_size():
    _, states = play(DriftingBandit(2, sd=0.01, low=0.0, high=1.0), np.zeros(300, int), blocks=10)
    steps = np.diff(states, axis=1)
    inside = (states[:, :-1] > 0.05) & (states[:, :-1] < 0.95)
    assert steps[inside].std() == pytest.approx(0.01, rel=0.05)
    assert abs(np.corrcoef(steps[..., 0].ravel(), steps[..., 1].ravel())[0, 1]) < 0.1


def test_drifting_bandit_pays_with_the_probability_of_the_moment():
    columns, states = play(DriftingBandit(2, sd=0.2, low=0.0, high=1.0), np.ones(100, int), blocks=40)
    chance, paid = states[..., 1].ravel(), columns["reward"].ravel()
    z = (paid - chance).sum() / np.sqrt((chance * (1 - chance)).sum())
    assert 2 * stats.norm.sf(abs(z)) > FALSE_ALARM
    assert np.corrcoef(chance, paid)[0, 1] > 0.4


def test_prosocial_bandit_pays_every_recipient_independently():
    task = ProsocialBandit(((0.9, 0.1), (0.5, 0.5), (0.2, 0.7)))
    choices = np.tile([0, 1], 50)
    columns, _ = play(task, choices, blocks=40)
    paid = np.stack([columns[f"reward_{who}"] for who in ("self", "other", "noone")])
    for recipient, option in itertools.product(range(3), range(2)):
        assert binomial_p(paid[recipient][:, choices == option], task.probabilities[recipient][option]) > FALSE_ALARM
    assert np.abs(np.corrcoef(paid[:, :, choices == 0].reshape(3, -1)) - np.eye(3)).max() < 0.1
    assert task.n_options == 2


def test_prosocial_bandit_needs_a_probability_for_everyone():
    with pytest.raises(ValueError, match="one row for each recipient"):
        ProsocialBandit(((0.5, 0.5),) * 2)
    with pytest.raises(ValueError, match="one probability for each option"):
        ProsocialBandit(((0.5, 0.5), (0.5,), (0.5, 0.5)))


GOOD_FOR = {"self": {0, 1}, "other": {0, 2}}
"""A and B are good for oneself, A and C for the other person."""


def oriented(columns, person):
    """Outcomes of a person, with the sign that makes them those of a good option."""
    taken = np.where(columns["choice"] == 0, columns["option_left"], columns["option_right"])
    return np.where(np.isin(taken, list(GOOD_FOR[person])), 1, -1) * columns[f"outcome_{person}"]


@pytest.fixture(scope="module")
def mixed_pairs():
    """Columns (block, trial) of a paired bandit with a new pair on each trial."""
    choices = np.tile([0, 1], 20)
    with jax.enable_x64(True):
        columns, _ = play(PairedBandit(mixed=True), choices, blocks=60)
    return columns | {"choice": np.broadcast_to(choices, columns["option_left"].shape)}


@pytest.mark.parametrize("person", ["self", "other"])
def test_paired_bandit_pays_by_the_option_taken(mixed_pairs, person):
    outcome = oriented(mixed_pairs, person)
    counts = [(outcome == card).sum() for card in (1, 0, -1)]
    assert stats.chisquare(counts, np.array([0.75, 0.15, 0.10]) * outcome.size).pvalue > FALSE_ALARM


def test_paired_bandit_mixed_shows_every_pair_alike(mixed_pairs):
    shown = np.stack([mixed_pairs["option_left"], mixed_pairs["option_right"]], -1).reshape(-1, 2)
    assert (shown[:, 0] != shown[:, 1]).all()
    pairs = [PAIRS.index((int(a), int(b))) for a, b in np.sort(shown)]
    assert stats.chisquare(np.bincount(pairs, minlength=6)).pvalue > FALSE_ALARM


def test_paired_bandit_shows_one_pair_a_block_on_changing_sides():
    columns, _ = play(PairedBandit(), np.zeros(40, int), blocks=200)
    shown = np.sort(np.stack([columns["option_left"], columns["option_right"]], -1), -1)
    assert (shown == shown[:, :1]).all()
    pairs = [PAIRS.index((int(a), int(b))) for a, b in shown[:, 0]]
    assert stats.chisquare(np.bincount(pairs, minlength=6)).pvalue > FALSE_ALARM
    left_first = columns["option_left"] == shown[..., 0]
    assert binomial_p(left_first, 0.5) > FALSE_ALARM


def test_a_deck_of_20_has_exactly_15_3_and_2_cards():
    task = PairedBandit(deck=20)
    assert task.cards == (15, 3, 2)
    decks = np.asarray(jax.jit(jax.vmap(task.init))(jax.random.split(jax.random.key(0), 30))["decks"])
    assert decks.shape == (30, 4, 2, 20)
    for card, count in zip((1, 0, -1), task.cards, strict=True):
        assert ((decks == card).sum(-1) == count).all()
    assert len({deck.tobytes() for deck in decks.reshape(-1, 20)}) > 200, "decks are shuffled independently"


def test_whoever_keeps_to_one_option_gets_its_deck():
    task = PairedBandit(deck=20)
    deck = np.random.default_rng(1).permuted(np.repeat([1, 0, -1], [15, 3, 2]))
    decks = np.broadcast_to(np.arange(20), (4, 2, 20)).copy()
    decks[3] = deck, deck[::-1]
    state = {"pair": jnp.asarray(2), "trial": jnp.asarray(0), "decks": jnp.asarray(decks)}
    trial = Record(option_left=jnp.asarray(0), option_right=jnp.asarray(3), choice=jnp.asarray(1))
    respond = jax.jit(task.respond)
    paid = []
    for _ in range(40):
        state, outcome = respond(state, trial, jax.random.key(0))
        paid.append([float(outcome["outcome_self"]), float(outcome["outcome_other"])])
    # Option D is bad for both people: it gives the opposite of its cards, and the deck comes again.
    np.testing.assert_array_equal(paid, -np.tile(np.stack([deck, deck[::-1]], 1), (2, 1)))


@pytest.mark.parametrize("deck", [0, 7, 15])
def test_a_deck_must_have_whole_shares(deck):
    with pytest.raises(ValueError, match="try deck=20"):
        PairedBandit(deck=deck)


def test_chances_must_be_probabilities():
    with pytest.raises(ValueError, match="sum to 1"):
        PairedBandit((0.75, 0.15, 0.2))


def test_replay_shows_and_pays_what_the_design_says_and_starts_again():
    task = Replay(
        shown=(("cue", (3, 5)),), payoffs=(("reward", ((0.0, 10.0), (1.0, 11.0))), ("pain", ((2, 3), (4, 5))))
    )
    columns, _ = play(task, np.array([0, 1, 1, 0, 1]))
    np.testing.assert_array_equal(columns["cue"][0], [3, 5, 3, 5, 3])
    np.testing.assert_array_equal(columns["reward"][0], [0, 11, 10, 1, 10])
    np.testing.assert_array_equal(columns["pain"][0], [2, 5, 3, 4, 3])


@pytest.mark.parametrize(
    "task",
    [Bandit(), Reversal(), DriftingBandit(3), ProsocialBandit(), PairedBandit(deck=20), Replay((("cue", (1.0,)),))],
    ids=lambda task: type(task).__name__,
)
def test_tasks_are_keys(task):
    twin = eval(repr(task))
    assert twin == task
    assert hash(twin) == hash(task)


def test_a_data_set_is_no_replay():
    data = Dataset.from_arrays({"choice": [[[0, 1]]]})
    for wrong in (data, data.to_frame(), {"cue": [0, 1]}):
        with pytest.raises(ValueError, match=r"expected pairs of a column and its values.*columns of its to_frame\(\)"):
            Replay(wrong)  # type: ignore[arg-type]
