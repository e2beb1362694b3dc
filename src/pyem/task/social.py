"""Choices that pay oneself, another person and no one."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.model.record import Record


@dataclasses.dataclass(frozen=True)
class ProsocialBandit:
    """Options that pay 1 or 0 to each of several recipients at once: oneself, another person, no one.

    Parameters
    ----------
    probabilities
        Probabilities of a reward: for each recipient, one for each option.
    recipients
        Names; the outcome's columns are ``reward_<name>``.

    Examples
    --------
    >>> ProsocialBandit().recipients
    ('self', 'other', 'noone')
    """

    probabilities: tuple[tuple[float, ...], ...] = ((0.5, 0.5),) * 3
    recipients: tuple[str, ...] = ("self", "other", "noone")

    def __post_init__(self) -> None:
        if len(self.probabilities) != len(self.recipients) or len({len(row) for row in self.probabilities}) != 1:
            raise ValueError(
                f"ProsocialBandit has the recipients {', '.join(self.recipients)} and probabilities={self.probabilities}; give "
                "one row for each recipient, with one probability for each option"
            )

    @property
    def n_options(self) -> int:
        """Number of options."""
        return len(self.probabilities[0])

    def init(self, key: Array) -> Any:
        """Return an empty state: nothing changes in this task."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Show nothing but the options."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw a reward of 0 or 1 for each recipient, independently."""
        paid = jax.random.bernoulli(key, jnp.asarray(self.probabilities)[:, trial.choice]).astype(float)
        return state, {f"reward_{who}": paid[k] for k, who in enumerate(self.recipients)}


PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""The six pairs of four options."""
SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""Whether options A, B, C, D are good (1) or bad (-1) for oneself and for the other person."""


@dataclasses.dataclass(frozen=True)
class PairedBandit:
    """Four options shown in pairs, each of which tends to be good or bad for oneself and for another person.

    A and B are good for oneself, A and C for the other. An option that is good gives +1, 0 or -1 with the given chances, one
    that is bad the opposite; both people's outcomes are drawn independently. ``choice`` is 0 for the option on the left, 1
    for the one on the right; sides change at random.

    Parameters
    ----------
    chances
        Probabilities of +1, 0 and -1 from an option that is good.
    deck
        Without it, outcomes are independent draws. With ``deck=20``, each option's outcomes for each person are a shuffled
        deck of exactly 15, 3 and 2 such cards, one for each trial of the block, dealt again in the same order when it is
        used up.
    mixed
        Draw a pair for each trial, instead of one for the whole block.

    Examples
    --------
    >>> PairedBandit(deck=20).cards
    (15, 3, 2)
    """

    chances: tuple[float, float, float] = (0.75, 0.15, 0.10)
    deck: int | None = None
    mixed: bool = False

    def __post_init__(self) -> None:
        if min(self.chances) < 0 or abs(sum(self.chances) - 1) > 1e-9:
            raise ValueError(f"chances={self.chances} must be three probabilities that sum to 1")
        if self.deck is not None and (
            self.deck < 1 or any(abs(self.deck * p - round(self.deck * p)) > 1e-9 for p in self.chances)
        ):
            raise ValueError(
                f"deck={self.deck} cards cannot have the shares {self.chances} exactly; try deck=20, or another number "
                "that makes them whole"
            )

    @property
    def n_options(self) -> int:
        """Number of responses: left and right."""
        return 2

    @property
    def cards(self) -> tuple[int, ...]:
        """Number of cards +1, 0 and -1 in the deck of a good option."""
        return tuple(round((self.deck or 0) * p) for p in self.chances)

    def init(self, key: Array) -> Any:
        """Draw the block's pair and the decks (option, person, card); no trials so far."""
        pick, shuffle = jax.random.split(key)
        state = {"pair": jax.random.randint(pick, (), 0, len(PAIRS)), "trial": jnp.zeros((), jnp.int32)}
        if self.deck is None:
            return state
        sorted_deck = jnp.repeat(jnp.array([1, 0, -1]), jnp.array(self.cards), total_repeat_length=self.deck)
        decks = jnp.broadcast_to(sorted_deck, (4, 2, self.deck))
        return state | {"decks": jax.random.permutation(shuffle, decks, axis=-1, independent=True)}

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Return the options on the left and on the right, 0-3 for A-D."""
        side, pick = jax.random.split(key)
        pair = jax.random.randint(pick, (), 0, len(PAIRS)) if self.mixed else state["pair"]
        options = jnp.asarray(PAIRS, jnp.int32)[pair]
        left = jax.random.randint(side, (), 0, 2)
        return {"option_left": options[left], "option_right": options[1 - left]}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return the outcomes -1, 0 or 1 of the option taken, for oneself and the other person."""
        option = jnp.where(trial.choice == 0, trial.option_left, trial.option_right)
        if self.deck is None:
            card = 1 - jax.random.categorical(key, jnp.log(jnp.asarray(self.chances)), shape=(2,))
        else:
            card = state["decks"][option, :, state["trial"] % self.deck]
        outcome = (jnp.asarray(SIGNS)[option] * card).astype(float)
        return state | {"trial": state["trial"] + 1}, {"outcome_self": outcome[0], "outcome_other": outcome[1]}
