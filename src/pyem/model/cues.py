"""Several cues, each of which is learned about on its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.errors import require_kind
from pyem.model.derivation import Either, derived, redesigned
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import diverged


def with_cues(model: Either, cues: int = 4, column: str = "cue") -> Either:
    """Give the model a table of values for each of several cues, which are learned apart.

    A cue (stimulus, context) is shown before the response, in a column of codes 0, 1, ... What the model keeps from trial
    to trial it keeps for each cue.

    Parameters
    ----------
    model
        The model, or a design of it.
    cues
        Number of cues.
    column
        The column of the cue.

    Raises
    ------
    ValueError
        If the model keeps nothing from trial to trial, has such a column already, or there is no cue.

    Examples
    --------
    >>> from pyem.models import get
    >>> with_cues(get("rw1a1b"), 3).columns
    ('cue', 'choice', 'reward')
    """
    require_kind("design", model)
    arguments = {"cues": cues, "column": column}
    if not isinstance(model, Model):
        return model.modified("with_cues", arguments)
    if model.design is not None:
        return redesigned(model, with_cues(model.design.base, cues, column))
    if model.policy is None or model.init is None or model.update is None:
        raise ValueError(f"with_cues keeps values for each cue, but model {model.name!r} keeps nothing between trials")
    if cues < 1 or column in model.columns:
        raise ValueError(
            f"cues={cues}, column={column!r}: there is at least one cue, and its column is none of the model's own, which are "
            f"{', '.join(model.columns)}"
        )
    return derived(
        model,
        "with_cues",
        tuple(arguments.items()),
        name=f"{model.name}+cues",
        init=_Init(model.init, cues),
        policy=_Policy(model.policy, column),
        update=_Update(model.update, column),
        inputs=(column, *model.inputs),
        input_codes=(*model.input_codes, (column, cues)),
        task=None if model.task is None else Cued(model.task, cues, column),
    )


def _at(state: Any, cue: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[cue], state)


def _put(state: Any, cue: Array, new: Any) -> Any:
    return jax.tree.map(lambda leaf, own: leaf.at[cue].set(own), state, new)


def _told(tables: Any) -> Any:
    """State of all cues; if the model's updates may diverge, with an entry for whether that of any cue did."""
    bad = diverged(tables)
    return tables if bad is None else {"cues": tables, "diverged": bad.max()}


def _own(state: Any) -> Any:
    told = isinstance(state, dict) and set(state) == {"cues", "diverged"}
    return state["cues"] if told else state


@dataclasses.dataclass(frozen=True)
class _Init:
    base: Callable[..., Any]
    cues: int

    def __call__(self, p: Record) -> Any:
        return _told(jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * self.cues), self.base(p)))


@dataclasses.dataclass(frozen=True)
class _Policy:
    base: Callable[..., Any]
    column: str

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        return self.base(p, _at(_own(state), trial[self.column]), trial)


@dataclasses.dataclass(frozen=True)
class _Update:
    base: Callable[..., Any]
    column: str

    def __call__(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
        cue, tables = trial[self.column], _own(state)
        new, latents = self.base(p, _at(tables, cue), trial)
        return _told(_put(tables, cue, new)), latents


@dataclasses.dataclass(frozen=True)
class Cued:
    """A separate task for each of several cues: each has its own payoffs, and all come equally often, in random order.

    Parameters
    ----------
    task
        The task of a cue.
    cues
        Number of cues.
    column
        The column of the cue.

    Examples
    --------
    >>> from pyem.task import Bandit
    >>> Cued(Bandit((0.8, 0.2)), 3).n_options
    2
    """

    task: Any
    cues: int = 4
    column: str = "cue"

    @property
    def n_options(self) -> int | None:
        """Number of options, if the task has options."""
        return getattr(self.task, "n_options", None)

    def init(self, key: Array) -> Any:
        """Return the number of trials so far, the order of the cues, and the state of each one's task."""
        order, own = jax.random.split(key)
        worlds = jax.vmap(self.task.init)(jax.random.split(own, self.cues))
        return jnp.zeros((), jnp.int32), jax.random.permutation(order, self.cues), worlds

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Return the cue, and what its task shows."""
        n, order, worlds = state
        cue = order[n % self.cues]
        return {self.column: cue, **self.task.present(_at(worlds, cue), key)}

    def between(self, state: Any, response: str, trial: Record, key: Array) -> dict[str, Any]:
        """Return what the task of the cue shows between responses, if anything."""
        own = _at(state[2], trial[self.column])
        return self.task.between(own, response, trial, key) if hasattr(self.task, "between") else {}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Let the task of the cue respond."""
        n, order, worlds = state
        answer, shuffle = jax.random.split(key)
        cue = trial[self.column]
        own, paid = self.task.respond(_at(worlds, cue), trial, answer)
        order = jnp.where((n + 1) % self.cues == 0, jax.random.permutation(shuffle, self.cues), order)
        return (n + 1, order, _put(worlds, cue, own)), paid
