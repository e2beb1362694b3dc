"""Environments for active-inference agents: discrete POMDPs, the T-maze, and episodes of them in a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.aif.structure import all_actions
from pyem.model.record import Record


class POMDPTask:
    """An environment with hidden states, given by arrays as an agent is; the agent may believe others.

    On each trial the columns of the observations are emitted; the action then moves the state.

    Parameters
    ----------
    A, B, D
        Arrays as in `pyem.aif.DiscretePOMDP`.
    A_dependencies, B_dependencies
        Dependencies as in `pyem.aif.DiscretePOMDP`.
    observations
        Columns, ``o0``, ``o1``, ... if not given.
    action
        Column of the actions.

    Examples
    --------
    >>> task = POMDPTask(A=[np.eye(2)], B=[np.stack([np.eye(2), np.eye(2)[::-1]], axis=-1)], D=[[1, 0]])
    >>> {name: int(value) for name, value in task.present(task.init(jax.random.key(0)), jax.random.key(1)).items()}
    {'o0': 0}
    """

    def __init__(
        self,
        A: Sequence[Any],
        B: Sequence[Any],
        D: Sequence[Any],
        *,
        A_dependencies: Sequence[Sequence[int]] | None = None,
        B_dependencies: Sequence[Sequence[int]] | None = None,
        observations: Sequence[str] | None = None,
        action: str = "action",
    ) -> None:
        self.A = [np.asarray(a, float) for a in A]
        self.B = [np.asarray(b, float) for b in B]
        self.D = [np.asarray(d, float) for d in D]
        n = len(self.B)
        self.A_dependencies = tuple(tuple(d) for d in A_dependencies or [range(n)] * len(self.A))
        self.B_dependencies = tuple(tuple(d) for d in B_dependencies or [(f,) for f in range(n)])
        self.observations = tuple(observations or (f"o{m}" for m in range(len(self.A))))
        self.action = action
        self._key = (
            tuple((a.shape, a.tobytes()) for a in [*self.A, *self.B, *self.D]),
            self.A_dependencies,
            self.B_dependencies,
            self.observations,
            action,
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._key == other._key  # type: ignore[attr-defined]

    def init(self, key: Array) -> Any:
        """A state drawn from D."""
        chance = jax.random.uniform(key, (len(self.D),))
        return tuple(_draw(u, np.cumsum(d)) for u, d in zip(chance, self.D, strict=True))

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Draw an observation of each modality."""
        chance = jax.random.uniform(key, (len(self.A),))
        return {
            name: _draw(u, jnp.asarray(np.cumsum(a, axis=0))[(slice(None), *(state[f] for f in depends))])
            for name, u, a, depends in zip(self.observations, chance, self.A, self.A_dependencies, strict=True)
        }

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Draw the next state; nothing is shown until the next trial."""
        chance = jax.random.uniform(key, (len(self.B),))
        controls = jnp.asarray(all_actions([b.shape[-1] for b in self.B]))[trial[self.action]]
        after = tuple(
            _draw(u, jnp.asarray(np.cumsum(b, axis=0))[(slice(None), *(state[g] for g in depends), controls[f])])
            for f, (u, b, depends) in enumerate(zip(chance, self.B, self.B_dependencies, strict=True))
        )
        return after, {}


def _draw(chance: Array, cumulative: Any) -> Array:
    """The first value whose cumulative probability exceeds a uniform number."""
    # Rounding may leave the last sum a little below 1.
    return (chance >= jnp.asarray(cumulative)[:-1]).sum().astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class Episodes:
    """A task that starts anew after a number of trials within one block, for agents that learn across blocks.

    Shows the column ``start``, 1 on the first trial of an episode.

    Examples
    --------
    >>> from pyem.aif import TMaze
    >>> Episodes(TMaze(), trials=5).trials
    5
    """

    task: Any
    trials: int

    def init(self, key: Array) -> Any:
        """Return the task's own state, and the number of trials so far."""
        return self.task.init(key), jnp.zeros((), jnp.int32)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Return what the task shows, and whether an episode starts."""
        inner, n = state
        return {**self.task.present(inner, key), "start": (n % self.trials == 0).astype(jnp.int32)}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Let the task respond; at the end of an episode, start it anew."""
        inner, n = state
        go, again = jax.random.split(key)
        after, outcome = self.task.respond(inner, trial, go)
        over = (n + 1) % self.trials == 0
        after = jax.tree.map(lambda new, old: jnp.where(over, new, old), self.task.init(again), after)
        return (after, n + 1), outcome


@dataclasses.dataclass(frozen=True)
class LookAhead:
    """A task that also tells, after each action, what will be so before the next one, in columns of their own.

    So the last observation of a block, which no decision follows, is there as well. The task's state, which no agent sees,
    is in columns ``hidden0``, ``hidden1``, ..., in the order of `hidden_of`.

    Examples
    --------
    >>> from pyem.aif import TMaze
    >>> task = LookAhead(TMaze(), ("o0", "o1", "o2"))
    >>> sorted(task.respond(task.init(jax.random.key(0)), Record(action=3), jax.random.key(1))[1])
    ['hidden0_next', 'hidden1_next', 'o0_next', 'o1_next', 'o2_next']
    """

    task: Any
    columns: tuple[str, ...]

    def init(self, key: Array) -> Any:
        """Return the task's own state, and what is observed in it."""
        begin, look = jax.random.split(key)
        state = self.task.init(begin)
        return state, dict(self.task.present(state, look))

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Return what was drawn when the state was reached, and the state."""
        return state[1] | self._hidden(state[0])

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Let the task respond, and draw what it shows next and its next state."""
        go, look = jax.random.split(key)
        after, outcome = self.task.respond(state[0], trial, go)
        shown = dict(self.task.present(after, look))
        told = {name: value for name, value in shown.items() if name in self.columns} | self._hidden(after)
        return (after, shown), outcome | {ahead(name): value for name, value in told.items()}

    def _hidden(self, state: Any) -> dict[str, Any]:
        return {hidden(k): _numbers(value) for k, value in enumerate(jax.tree.leaves(hidden_of(self.task, state)))}


def hidden_of(task: Any, state: Any) -> Any:
    """Return the state that the environment itself keeps, which is part of its state as a task."""
    return state[0] if isinstance(task, StepTask) else state


def _numbers(value: Any) -> Array:
    """Part of a state, which may be a random key."""
    value = jnp.asarray(value)
    return jax.random.key_data(value) if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else value


def hidden(k: int) -> str:
    """The column in which `LookAhead` tells the k-th part of the task's state."""
    return f"hidden{k}"


def ahead(column: str) -> str:
    """Name of the column in which `LookAhead` shows the next value of `column`."""
    return f"{column}_next"


@dataclasses.dataclass(frozen=True)
class StepTask:
    """An environment with pymdp's ``reset(key)`` and ``step(key, state, action)`` as a task.

    Parameters
    ----------
    env
        Its methods return observations, a list with an index for each modality, and its state.
    columns
        One for each modality.
    controls
        Number of controls of each factor; ``step`` gets a control for each.
    action
        Column of the actions, indices into all combinations of controls.
    """

    env: Any
    columns: tuple[str, ...]
    controls: tuple[int, ...]
    action: str = "action"

    def init(self, key: Array) -> Any:
        """Return the state of the environment, and what is observed in it."""
        return self._state(self.env.reset(key))

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Return what the environment showed when the state was reached."""
        return dict(zip(self.columns, state[1], strict=True))

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return the environment's next state; nothing is shown until the next trial."""
        controls = jnp.asarray(all_actions(self.controls))[trial[self.action]]
        return self._state(self.env.step(key, state[0], list(controls))), {}

    def _state(self, stepped: tuple[Any, Any]) -> Any:
        outcomes, state = stepped
        if len(outcomes) != len(self.columns):
            raise ValueError(
                f"the environment {type(self.env).__name__} shows {len(outcomes)} modalities, but the agent observes "
                f"{len(self.columns)}; the two must agree"
            )
        return state, tuple(jnp.asarray(o).reshape(()).astype(jnp.int32) for o in outcomes)
