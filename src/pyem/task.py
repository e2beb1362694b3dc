"""Tasks, for simulation: what a subject is shown on a trial, and what comes of the response."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model import Record


class Task(Protocol):
    """What a simulation needs of an experiment. Instances are frozen and hashable.

    The state is the task's own (a drifting payoff, the trial number): an array, or a tuple or dict of arrays.
    """

    def init(self, key: Array) -> Any:
        """The state before the first trial of a block."""
        ...

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """The columns that are shown before the response."""
        ...

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """The next state, and the columns of the outcome, from what was shown and the response (``trial.choice``)."""
        ...


@dataclasses.dataclass(frozen=True)
class Bandit:
    """Options that pay 1 with fixed probabilities, else 0.

    Parameters
    ----------
    probabilities
        Of a reward, for each option.
    outcome
        Name of the outcome's column.

    Examples
    --------
    >>> Bandit((0.8, 0.2)).probabilities
    (0.8, 0.2)
    """

    probabilities: tuple[float, ...] = (0.8, 0.2)
    outcome: str = "reward"

    @property
    def n_options(self) -> int:
        """Number of options."""
        return len(self.probabilities)

    def init(self, key: Array) -> Any:
        """Nothing changes in this task."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Nothing but the options is shown."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """A reward of 0 or 1."""
        p = jnp.asarray(self.probabilities)[trial.choice]
        return state, {self.outcome: jax.random.bernoulli(key, p).astype(float)}


@dataclasses.dataclass(frozen=True)
class Reversal:
    """A bandit whose probabilities are reversed every `every` trials.

    Examples
    --------
    >>> Reversal((0.8, 0.2), every=20).every
    20
    """

    probabilities: tuple[float, ...] = (0.8, 0.2)
    every: int = 20
    outcome: str = "reward"

    @property
    def n_options(self) -> int:
        """Number of options."""
        return len(self.probabilities)

    def init(self, key: Array) -> Any:
        """The number of trials so far."""
        return jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Nothing but the options is shown."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """A reward of 0 or 1."""
        p = jnp.asarray(self.probabilities)
        p = jnp.where((state // self.every) % 2 == 1, p[::-1], p)[trial.choice]
        return state + 1, {self.outcome: jax.random.bernoulli(key, p).astype(float)}


@dataclasses.dataclass(frozen=True)
class DriftingBandit:
    """Options whose probabilities of a reward walk at random between two bounds (Daw et al., 2006, for binary rewards).

    Parameters
    ----------
    n_options
        How many.
    sd
        Standard deviation of a step.
    low, high
        Reflecting bounds.

    References
    ----------
    Daw, N. D., et al. (2006). Cortical substrates for exploratory decisions in humans. Nature, 441, 876-879.
    https://doi.org/10.1038/nature04766

    Examples
    --------
    >>> DriftingBandit(4).n_options
    4
    """

    n_options: int = 2
    sd: float = 0.025
    low: float = 0.25
    high: float = 0.75
    outcome: str = "reward"

    def init(self, key: Array) -> Any:
        """Probabilities drawn uniformly between the bounds."""
        return jax.random.uniform(key, (self.n_options,), minval=self.low, maxval=self.high, dtype=float)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Nothing but the options is shown."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """A reward of 0 or 1, and the probabilities of the next trial."""
        pay, walk = jax.random.split(key)
        reward = jax.random.bernoulli(pay, state[trial.choice]).astype(float)
        moved = state + self.sd * jax.random.normal(walk, state.shape, state.dtype)
        # Back and forth between the bounds, however long the step.
        width = self.high - self.low
        beyond = (moved - self.low) % (2 * width)
        return self.low + width - jnp.abs(beyond - width), {self.outcome: reward}


@dataclasses.dataclass(frozen=True)
class ProsocialBandit:
    """Options that pay 1 or 0 to each of several recipients at once: oneself, another person, no one.

    Parameters
    ----------
    probabilities
        Of a reward: for each recipient, one for each option.
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
        """Nothing changes in this task."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Nothing but the options is shown."""
        return {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """A reward of 0 or 1 for each recipient, drawn independently."""
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
        Of +1, 0 and -1 from an option that is good.
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
        """The block's pair, the number of trials so far, and the decks (option, person, card)."""
        pick, shuffle = jax.random.split(key)
        state = {"pair": jax.random.randint(pick, (), 0, len(PAIRS)), "trial": jnp.zeros((), jnp.int32)}
        if self.deck is None:
            return state
        sorted_deck = jnp.repeat(jnp.array([1, 0, -1]), jnp.array(self.cards), total_repeat_length=self.deck)
        decks = jnp.broadcast_to(sorted_deck, (4, 2, self.deck))
        return state | {"decks": jax.random.permutation(shuffle, decks, axis=-1, independent=True)}

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """The options on the left and on the right, 0-3 for A-D."""
        side, pick = jax.random.split(key)
        pair = jax.random.randint(pick, (), 0, len(PAIRS)) if self.mixed else state["pair"]
        options = jnp.asarray(PAIRS, jnp.int32)[pair]
        left = jax.random.randint(side, (), 0, 2)
        return {"option_left": options[left], "option_right": options[1 - left]}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """The outcomes -1, 0 or 1 for oneself and the other person, of the option taken."""
        option = jnp.where(trial.choice == 0, trial.option_left, trial.option_right)
        if self.deck is None:
            card = 1 - jax.random.categorical(key, jnp.log(jnp.asarray(self.chances)), shape=(2,))
        else:
            card = state["decks"][option, :, state["trial"] % self.deck]
        outcome = (jnp.asarray(SIGNS)[option] * card).astype(float)
        return state | {"trial": state["trial"] + 1}, {"outcome_self": outcome[0], "outcome_other": outcome[1]}


@dataclasses.dataclass(frozen=True)
class Replay:
    """The columns of a real design, trial by trial: what was shown, and what each option would have paid.

    Parameters
    ----------
    shown
        (name, one value for each trial) for each column that is shown.
    payoffs
        (name, a tuple with one value for each option, for each trial) for each outcome.

    Examples
    --------
    >>> Replay(payoffs=(("reward", ((1.0, 0.0), (0.0, 1.0))),)).payoffs[0][0]
    'reward'
    """

    shown: tuple[tuple[str, tuple[float, ...]], ...] = ()
    payoffs: tuple[tuple[str, tuple[tuple[float, ...], ...]], ...] = ()

    def init(self, key: Array) -> Any:
        """The number of trials so far."""
        return jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """The columns of this trial; a simulation longer than the design repeats it."""
        return {name: jnp.asarray(values)[state % len(values)] for name, values in self.shown}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """What the chosen option pays on this trial."""
        paid = {name: jnp.asarray(values)[state % len(values), trial.choice] for name, values in self.payoffs}
        return state + 1, paid


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """A course of the experiment for each person and block: what was shown, and what each option would have paid.

    Only for `simulate`, which needs to compile nothing anew for another design of the same shape.

    Parameters
    ----------
    shown
        For each column that is shown its values, (subject, block, trial, ...). One subject's stand for all.
    payoffs
        For each outcome what every option would pay, (subject, block, trial, option, ...).

    Examples
    --------
    >>> Design(payoffs={"reward": np.ones((1, 4, 24, 2))}).lanes(3, 4, 24)["payoffs"]["reward"].shape
    (24, 2, 12)
    """

    shown: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    payoffs: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def lanes(self, subjects: int, blocks: int, trials: int) -> dict[str, dict[str, np.ndarray]]:
        """Its arrays as (trial, ..., lane).

        Raises
        ------
        ValueError
            If an array is not of the size of the experiment.
        """

        def arrange(name: str, values: Any) -> np.ndarray:
            array = np.asarray(values)
            if array.ndim < 3 or array.shape[0] not in (1, subjects) or array.shape[1:3] != (blocks, trials):
                raise ValueError(
                    f"the design of {name!r} has shape {array.shape}, but the experiment has {subjects} subjects, "
                    f"{blocks} blocks and {trials} trials; expected (subjects or 1, blocks, trials, ...)"
                )
            everyone = np.broadcast_to(array, (subjects, *array.shape[1:]))
            return np.moveaxis(everyone.reshape(-1, *array.shape[2:]), 0, -1)

        return {
            "shown": {name: arrange(name, values) for name, values in self.shown.items()},
            "payoffs": {name: arrange(name, values) for name, values in self.payoffs.items()},
        }


@dataclasses.dataclass(frozen=True)
class _Replayed:
    """The task of one lane of a `Design`, which is part of its state."""

    def init(self, key: Any) -> Any:
        return jnp.zeros((), jnp.int32), key

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        n, given = state
        return {name: values[n] for name, values in given["shown"].items()}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        n, given = state
        paid = {name: values[n, trial.choice] for name, values in given["payoffs"].items()}
        return (n + 1, given), paid


REPLAYED = _Replayed()


@dataclasses.dataclass(frozen=True)
class Regressors:
    """Random columns of a design matrix: the first is 1, the rest are standard normal. For given columns, see `Replay`.

    Parameters
    ----------
    n_predictors
        Number of columns, that of ones included.

    Examples
    --------
    >>> Regressors(3).n_predictors
    3
    """

    n_predictors: int = 3

    def init(self, key: Array) -> Any:
        """Trials are independent."""
        return ()

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """One row of the design matrix."""
        rest = jax.random.normal(key, (self.n_predictors - 1,), float)
        return {"predictors": jnp.concatenate([jnp.ones(1), rest])}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Nothing comes of a response."""
        return state, {}


@dataclasses.dataclass(frozen=True)
class Ponds:
    """One of several ponds is hidden in each block, and its fish are shown one by one.

    Parameters
    ----------
    n_ponds
        Number of ponds, and of colours of fish.
    own
        Probability that a fish has its pond's own colour; the other colours share the rest.

    Examples
    --------
    >>> Ponds().own
    0.8
    """

    n_ponds: int = 3
    own: float = 0.8

    def init(self, key: Array) -> Any:
        """The hidden pond."""
        return jax.random.randint(key, (), 0, self.n_ponds)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """The colour of a fish, and the pond that it comes from."""
        chance = jnp.where(jnp.arange(self.n_ponds) == state, self.own, (1 - self.own) / (self.n_ponds - 1))
        return {"observation": jax.random.categorical(key, jnp.log(chance)), "pond": state}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """No feedback."""
        return state, {}
