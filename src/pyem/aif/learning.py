"""Dirichlet learning of likelihoods, transitions and initial beliefs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.aif.filtering import FLOOR, Generative, Inference
from pyem.aif.planning import Counts
from pyem.aif.products import product
from pyem.aif.structure import LETTERS, Structure

Weight = float | Callable[[Any], Any]
"""A number, or a function of the parameters."""


@dataclasses.dataclass(frozen=True)
class Learning:
    """The quantities that an agent learns, and how fast.

    Each trial adds ``rate`` times the evidence to the Dirichlet counts, after they moved back towards the prior counts:
    ``counts <- prior + (1 - forgetting) (counts - prior) + rate * evidence``.

    Parameters
    ----------
    A, B, D
        ``A(p)`` returns the prior counts of each modality, of the shape of A, or None for a modality that is known; `B` of
        each factor's transitions; `D` of each factor's initial state. None: nothing of the kind is learned.
    rate
        Evidence of one trial, in counts: a number or a function of the parameters.
    forgetting
        Share of what was learned that is lost on each trial: a number or a function of the parameters.
    across_blocks
        Whether what is learned is kept from block to block. The data then have a subject's blocks joined to one sequence (see
        `join_blocks`), whose column ``start`` is 1 where a block starts and beliefs about the state begin anew.

    Examples
    --------
    >>> Learning(A=lambda p: [jnp.ones((2, 2))], rate=lambda p: p.rate).across_blocks
    False
    """

    A: Callable[[Any], Sequence[Any]] | None = None
    B: Callable[[Any], Sequence[Any]] | None = None
    D: Callable[[Any], Sequence[Any]] | None = None
    rate: Weight = 1.0
    forgetting: Weight = 0.0
    across_blocks: bool = False

    def __post_init__(self) -> None:
        if self.A is None and self.B is None and self.D is None:
            raise ValueError("Learning needs prior counts of A, B or D; without any, leave learning out")

    def counts(self, p: Any, structure: Structure) -> Counts:
        """Return the prior counts at the parameters `p`."""

        def each(function: Callable[[Any], Sequence[Any]] | None, n: int) -> tuple[Array | None, ...]:
            if function is None:
                return (None,) * n
            return tuple(None if c is None else _float(c) for c in function(p))

        s = structure
        return Counts(each(self.A, len(s.num_obs)), each(self.B, len(s.num_states)), each(self.D, len(s.num_states)))


def _float(x: Any) -> Array:
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float))


def weight_of(weight: Weight, p: Any) -> Any:
    """Return the value of a number or of a function of the parameters."""
    return weight(p) if callable(weight) else weight


def expected(g: Generative, counts: Counts) -> Generative:
    """The generative model, with what is learned replaced by the expectation of its counts."""

    def mean(known: tuple[Array, ...], learned: tuple[Array | None, ...]) -> tuple[Array, ...]:
        return tuple(k if c is None else _mean(c) for k, c in zip(known, learned, strict=True))

    return g._replace(A=mean(g.A, counts.A), B=mean(g.B, counts.B), D=mean(g.D, counts.D))


def _mean(counts: Array) -> Array:
    safe = jnp.maximum(counts, FLOOR)
    return safe / safe.sum(0, keepdims=True)


def learned(counts: Counts, prior: Counts, evidence: Counts, rate: Any, forgetting: Any) -> Counts:
    """Return the counts after a trial."""

    def one(c: Array | None, c0: Array | None, e: Array | None) -> Array | None:
        return None if c is None else c0 + (1 - forgetting) * (c - c0) + rate * e  # type: ignore[operator]

    return jax.tree.map(one, counts, prior, evidence, is_leaf=lambda x: x is None)


def evidence_A(
    structure: Structure,
    inference: Inference,
    counts: Counts,
    belief: Any,
    outcomes: Sequence[Array],
    seen: Sequence[Array],
) -> tuple[Array | None, ...]:
    """Outcome times the belief about the factors it depends on, for each modality that is learned."""
    out: list[Array | None] = []
    for m, c in enumerate(counts.A):
        if c is None:
            out.append(None)
            continue
        state = joint_of(structure, inference, belief, structure.A_dependencies[m])
        o = jax.nn.one_hot(outcomes[m], structure.num_obs[m], dtype=state.dtype) * seen[m]
        out.append(o.reshape(-1, *[1] * state.ndim) * state)
    return tuple(out)


def evidence_B(
    structure: Structure, inference: Inference, counts: Counts, before: Any, after: Any, weights: Array
) -> tuple[Array | None, ...]:
    """Next belief times last belief times the probability of each control, for each factor that is learned."""
    out: list[Array | None] = []
    marginals = inference.marginals(after)
    for f, c in enumerate(counts.B):
        if c is None:
            out.append(None)
            continue
        last = joint_of(structure, inference, before, structure.B_dependencies[f])
        by_control = jax.ops.segment_sum(weights, structure.actions[:, f], structure.num_controls[f])
        letters = LETTERS[: last.ndim]
        out.append(product(f"s,{letters},u->s{letters}u", marginals[f], last, by_control))
    return tuple(out)


def evidence_D(inference: Inference, counts: Counts, belief: Any, start: Array) -> tuple[Array | None, ...]:
    """Belief at the start of a block, for each factor that is learned."""
    return tuple(None if c is None else q * start for c, q in zip(counts.D, inference.marginals(belief), strict=True))


def joint_of(structure: Structure, inference: Inference, belief: Any, factors: Sequence[int]) -> Array:
    """The belief about some factors together, in the given order."""
    if isinstance(belief, tuple):
        out = jnp.ones(())
        for f in factors:
            out = out[..., None] * belief[f]
        return out
    joint = belief.reshape(structure.num_states)
    rest = [k for k in range(joint.ndim) if k not in factors]
    kept = sorted(factors)
    return jnp.transpose(joint.sum(rest), [kept.index(f) for f in factors])
