"""Planning: expected free energy of policies over a tree of shared prefixes, and the probabilities of actions."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.aif.filtering import FLOOR, Generative, Inference, log_floored, module_of, x_log_x
from pyem.aif.products import product
from pyem.aif.structure import LETTERS, Structure


class Plan(NamedTuple):
    """Expected free energies of an agent's policies, and the probabilities of its actions."""

    neg_efe: Array
    """Negative expected free energy of each policy, in nats, (policy,)."""
    log_action: Array
    """Log-probability of each action, (U,)."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """The terms of the expected free energy that an agent uses."""

    utility: bool = True
    states_info_gain: bool = True
    param_info_gain: bool = False


class Counts(NamedTuple):
    """Dirichlet counts of what an agent learns; None for what it does not learn."""

    A: tuple[Array | None, ...]
    B: tuple[Array | None, ...]
    D: tuple[Array | None, ...]


def plan(
    structure: Structure, inference: Inference, terms: Terms, g: Generative, belief: Any, counts: Counts | None = None
) -> Plan:
    """Score all policies from a belief, and compute the probabilities of their first actions.

    ``q(policy) ∝ exp(alpha (gamma G + ln E))`` with G the negative expected free energy, and the probability of an action is
    that of the policies that begin with it. A prefix that policies share is evaluated once.

    References
    ----------
    Friston, K., et al. (2015). Active inference and epistemic value. Cognitive Neuroscience, 6(4), 187-214.
    https://doi.org/10.1080/17588928.2015.1020053

    Heins, C., et al. (2022). pymdp: A Python library for active inference in discrete state spaces. Journal of Open
    Source Software, 7(73), 4098. https://doi.org/10.21105/joss.04098
    """
    scores = _tree(structure, inference, terms, g, belief, counts)
    logits = g.alpha * (g.gamma * scores + g.log_E)
    return Plan(scores, _by_first_action(structure, logits) - jax.nn.logsumexp(logits))


def _tree(
    structure: Structure, inference: Inference, terms: Terms, g: Generative, belief: Any, counts: Counts | None
) -> Array:
    nodes: Any = jax.tree.map(lambda q: q[None], belief)
    layers, novelty, sizes = [], [], []
    for level in structure.tree:
        children = inference.children(g, nodes, level.parent, level.action)
        novelty.append(_transition_novelty(structure, inference, terms, nodes, children, level, counts))
        layers.append(children)
        sizes.append(len(level.parent))
        nodes = children
    everything = jax.tree.map(lambda *parts: jnp.concatenate(parts), *layers) if len(layers) > 1 else layers[0]
    values = _values(inference, terms, g, everything, counts, np.repeat(np.arange(len(sizes)), sizes))
    total: Any = jnp.zeros(1, values.dtype)
    ends = np.cumsum(sizes)
    for level, more, start, end in zip(structure.tree, novelty, ends - sizes, ends, strict=True):
        total = _of_parents(total, level.parent) + values[start:end] + more
    return total


def _of_parents(values: Array, parent: np.ndarray) -> Array:
    """``values[parent]``, without a gather where all nodes have as many children."""
    times = len(parent) // len(values)
    return (
        jnp.repeat(values, times)
        if np.array_equal(parent, np.repeat(np.arange(len(values)), times))
        else values[parent]
    )


def _values(
    inference: Inference, terms: Terms, g: Generative, nodes: Any, counts: Counts | None, step: np.ndarray
) -> Array:
    """Negative expected free energy of each node: preferred outcomes, and learning about the state (and the likelihood)."""
    by_step = inference.add_up(nodes, [_linear(terms, g, m, int(step.max()) + 1) for m in range(len(g.A))])
    total = by_step[0] if len(by_step) == 1 else by_step[step, np.arange(len(step))]
    if terms.states_info_gain or terms.param_info_gain:
        novelty = terms.param_info_gain and counts is not None
        # Not as constants where there is novelty, so that its parts are those of the outcomes.
        expected = inference.average(nodes, [jnp.asarray(a) for a in g.A] if novelty else g.A)
        if terms.states_info_gain:
            total = total - sum(x_log_x(part).sum(0) for part in expected)
        if terms.param_info_gain and counts is not None:
            weights = [
                jnp.zeros_like(a) if c is None else information_weight(c) for a, c in zip(g.A, counts.A, strict=True)
            ]
            novel = inference.average(nodes, weights)
            total = total + sum((a * b).sum(0) for a, b in zip(expected, novel, strict=True))
    return total


def _linear(terms: Terms, g: Generative, m: int, steps: int) -> Any:
    """Terms that are linear in the belief: preference minus ambiguity of each state, of modality m; (step or 1, states)."""
    a, timed = g.A[m], any(c.ndim > 1 for c in g.C)
    c = g.C[m] if g.C[m].ndim > 1 else g.C[m][None]
    total: Any = np.zeros((steps if timed else 1, *a.shape[1:]))
    if terms.utility:
        total = total + module_of(a, c).tensordot(c, a, 1)
    if terms.states_info_gain:
        total = total + (a * log_floored(a) if isinstance(a, np.ndarray) else x_log_x(a)).sum(0)
    return total


def _transition_novelty(
    structure: Structure,
    inference: Inference,
    terms: Terms,
    parents: Any,
    children: Any,
    level: Any,
    counts: Counts | None,
) -> Array:
    """Expected information about transitions, for each child."""
    total: Any = 0.0
    if not terms.param_info_gain or counts is None:
        return total
    controls = structure.actions[level.action]
    before = _node_marginals(inference, parents)
    after = _node_marginals(inference, children)
    for f, b in enumerate(counts.B):
        if b is None:
            continue
        depends = structure.B_dependencies[f]
        letters = LETTERS[: len(depends)]
        weight = jnp.moveaxis(information_weight(b), -1, 0)[controls[:, f]]
        names = ",".join([f"ns{letters}", "ns", *(f"n{letter}" for letter in letters)])
        total = total + product(f"{names}->n", weight, after[f], *(before[k][level.parent] for k in depends))
    return total


def _node_marginals(inference: Inference, nodes: Any) -> tuple[Array, ...]:
    return jax.vmap(inference.marginals)(nodes)


_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160, 43867 / 14364)
"""Coefficients of the digamma function's asymptotic series, in powers of its argument to -2, -4, ..."""


def information_weight(counts: Array) -> Array:
    """Expected information of one more outcome about a Dirichlet distribution over the first axis, in nats.

    References
    ----------
    Da Costa, L., et al. (2020). Active inference on discrete state-spaces: A synthesis. Journal of Mathematical Psychology,
    99, 102447, equation D.15. https://doi.org/10.1016/j.jmp.2020.102447
    """
    safe = jnp.maximum(counts, FLOOR)
    total = safe.sum(0, keepdims=True)
    weight = jnp.log(total) - jnp.log(safe) + _digamma(safe + 1) - _digamma(total + 1)
    return jnp.where(counts > 0, weight, 0.0)


def _digamma(x: Array) -> Array:
    """The digamma function from 1 upwards: its series, six further up.

    The derivatives of JAX's own are sums over the zeta function, which took most of the time of agents that learn.
    """
    if x.dtype == jnp.float32:
        # The sums would lose digits, of which there are few.
        return jax.scipy.special.digamma(x)
    # 1 / x + ... + 1 / (x + 5), the first and the last of them together, and so on.
    middle = x * (x + 5)
    steps = (2 * x + 5) * (1 / middle + 1 / (middle + 4) + 1 / (middle + 6))
    far = x + 6.0
    square = far**-2
    tail = jnp.zeros_like(far)
    for coefficient in reversed(_SERIES):
        tail = (tail + coefficient) * square
    return jnp.log(far) - 0.5 / far - tail - steps


def _by_first_action(structure: Structure, logits: Array) -> Array:
    first, u = structure.first_actions, structure.n_actions
    if len(logits) % u == 0 and np.array_equal(first, np.repeat(np.eye(u, dtype=bool), len(logits) // u, axis=1)):
        return jax.nn.logsumexp(logits.reshape(u, -1), axis=1)
    # An action that no policy begins with is all but impossible.
    begun = np.flatnonzero(first.any(1))
    sums = jax.nn.logsumexp(jnp.where(first[begun], logits, -jnp.inf), axis=1)
    return jnp.full(u, logits.max() + math.log(FLOOR), logits.dtype).at[begun].set(sums)
