"""Sizes and dependencies of a discrete POMDP: everything about an agent that does not depend on its parameters."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

LETTERS = "abcdefghijklm"
"""Letters for the axes of hidden-state factors in an einsum; ``o`` is the outcome, ``s`` the next state, ``n`` the node,
``u`` the control."""

Tuples = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Structure:
    """Sizes and dependencies of the arrays of a discrete POMDP.

    Parameters
    ----------
    num_obs, num_states, num_controls
        Number of outcomes of each modality, states of each factor, controls of each factor.
    A_dependencies, B_dependencies
        Factors that each modality, and the transition of each factor, depends on.
    policies
        Sequences of actions; an action is an index into `actions`.
    """

    num_obs: tuple[int, ...]
    num_states: tuple[int, ...]
    num_controls: tuple[int, ...]
    A_dependencies: Tuples
    B_dependencies: Tuples
    policies: Tuples

    @property
    def actions(self) -> np.ndarray:
        """The controls of each action, (action, factor): all combinations, the last factor varying fastest."""
        return all_actions(self.num_controls)

    @property
    def n_actions(self) -> int:
        """Number of actions, U."""
        return math.prod(self.num_controls)

    @property
    def n_joint(self) -> int:
        """Number of joint states, S."""
        return math.prod(self.num_states)

    @property
    def horizon(self) -> int:
        """Length of the policies."""
        return len(self.policies[0])

    @property
    def first_actions(self) -> np.ndarray:
        """(U, policy): whether a policy begins with an action."""
        return np.array([policy[0] for policy in self.policies]) == np.arange(self.n_actions)[:, None]

    @property
    def tree(self) -> tuple[Level, ...]:
        """The policies as a tree, so that what they share is evaluated once; the leaves are the policies in order."""
        levels = []
        known: dict[tuple[int, ...], int] = {(): 0}
        for depth in range(1, self.horizon + 1):
            prefixes = dict.fromkeys(policy[:depth] for policy in self.policies)
            parent = [known[prefix[:-1]] for prefix in prefixes]
            levels.append(Level(np.array(parent), np.array([prefix[-1] for prefix in prefixes])))
            known = {prefix: k for k, prefix in enumerate(prefixes)}
        return tuple(levels)


@dataclasses.dataclass(frozen=True, eq=False)
class Level:
    """The nodes of a policy tree at one depth: their parents among the nodes above, and the action that leads to each."""

    parent: np.ndarray
    action: np.ndarray


def all_actions(num_controls: Sequence[int]) -> np.ndarray:
    """All combinations of controls, (action, factor)."""
    return np.array(list(itertools.product(*(range(n) for n in num_controls)))).reshape(-1, len(num_controls))


def all_policies(n_actions: int, horizon: int) -> Tuples:
    """All sequences of actions of one length, the last action varying fastest."""
    return tuple(itertools.product(range(n_actions), repeat=horizon))


def infer_structure(
    A: Sequence[Any],
    B: Sequence[Any],
    *,
    A_dependencies: Sequence[Sequence[int]] | None,
    B_dependencies: Sequence[Sequence[int]] | None,
    policy_len: int,
    policies: Sequence[Sequence[int]] | None,
) -> Structure:
    """Infer the structure from the shapes of A and B, and check it.

    Raises
    ------
    ValueError
        If shapes, dependencies and policies do not belong together.
    """
    n_factors = len(B)
    given_b = tuple(tuple(d) for d in B_dependencies) if B_dependencies else tuple((f,) for f in range(n_factors))
    given_a = tuple(tuple(d) for d in A_dependencies) if A_dependencies else (tuple(range(n_factors)),) * len(A)
    if len(given_a) != len(A) or len(given_b) != n_factors:
        raise ValueError(
            f"there are {len(A)} modalities and {n_factors} factors, but A_dependencies names {len(given_a)} and "
            f"B_dependencies {len(given_b)}; give one list of factors for each"
        )
    num_states = tuple(int(b.shape[0]) for b in B)
    for label, arrays, dependencies, extra in (("A", A, given_a, 0), ("B", B, given_b, 1)):
        for k, (array, depends) in enumerate(zip(arrays, dependencies, strict=True)):
            if any(not 0 <= f < n_factors for f in depends):
                raise ValueError(f"{label}_dependencies[{k}] = {depends}, but the factors are 0 to {n_factors - 1}")
            expected = tuple(num_states[f] for f in depends)
            got = tuple(array.shape[1 : len(array.shape) - extra])
            if got != expected:
                raise ValueError(
                    f"{label}[{k}] has shape {tuple(array.shape)}, but with dependencies {depends} and factors of "
                    f"{num_states} states it should be "
                    f"({'outcomes' if label == 'A' else 'next state'}, {', '.join(map(str, expected))}"
                    f"{', controls' if extra else ''})"
                )
    num_controls = tuple(int(b.shape[-1]) for b in B)
    n_actions = math.prod(num_controls)
    chosen = all_policies(n_actions, policy_len) if policies is None else tuple(tuple(map(int, q)) for q in policies)
    if not chosen or len({len(q) for q in chosen}) != 1 or not chosen[0]:
        raise ValueError("policies should be sequences of actions, all of the same length")
    if min(map(min, chosen)) < 0 or max(map(max, chosen)) >= n_actions:
        raise ValueError(f"policies hold actions from 0 to {n_actions - 1}, but there are others in {chosen[:3]} ...")
    return Structure(
        num_obs=tuple(int(a.shape[0]) for a in A),
        num_states=num_states,
        num_controls=num_controls,
        A_dependencies=given_a,
        B_dependencies=given_b,
        policies=chosen,
    )
