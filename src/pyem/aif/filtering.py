"""State inference and prediction: exact on the joint state, or mean-field over factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.aif.products import averages, product
from pyem.aif.structure import LETTERS, Structure

FLOOR = float(np.finfo(float).eps)
"""Least value of probabilities in logarithms, as in pymdp: what was thought impossible may happen."""


class Generative(NamedTuple):
    """The generative model of an agent at given parameters."""

    A: tuple[Array, ...]
    """Likelihood of each modality, (outcome, states of the factors it depends on)."""
    B: tuple[Array, ...]
    """Transition of each factor, (next state, states of the factors it depends on, control)."""
    C: tuple[Array, ...]
    """Preferences of each modality in nats, (outcome,) or (step, outcome)."""
    D: tuple[Array, ...]
    """Initial beliefs of each factor."""
    log_E: Array
    """Log prior of each policy."""
    gamma: Array
    """Precision of policies."""
    alpha: Array
    """Precision of actions."""


def module_of(*arrays: Any) -> Any:
    """Return NumPy if all arrays are NumPy's, so that constants are not compiled; else JAX's NumPy."""
    return np if all(isinstance(a, np.ndarray) for a in arrays) else jnp


def log_floored(x: Any) -> Any:
    """Logarithm of `x`, but of no less than `FLOOR`."""
    xp = module_of(x)
    return xp.log(xp.maximum(x, FLOOR))


@jax.custom_jvp
def x_log_x(x: Array) -> Array:
    """``x log x``, 0 at 0; its derivative at 0 is that of a logarithm which stops at `FLOOR`."""
    return x * log_floored(x)


@x_log_x.defjvp
def _x_log_x_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    log_x = log_floored(x)
    return x * log_x, dx * (log_x + (x > FLOOR))


def normalised(x: Array, axis: Any = None) -> Array:
    """`x` divided by its sum."""
    return x / x.sum(axis, keepdims=True)


def always(mask: Any) -> bool:
    """Whether a mask is True before anything is known of the data."""
    return isinstance(mask, np.bool_) and bool(mask)


def _if(mask: Any, value: Array, other: Any) -> Array:
    return value if always(mask) else jnp.where(mask, value, other)


def _row(table: Any, index: Array) -> Array:
    """One row of a table; codes are known to be in range."""
    return jnp.asarray(table).at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


class Inference(Protocol):
    """A method of holding and changing beliefs. Beliefs about `nodes` of a policy tree have a leading axis for these."""

    def initial(self, g: Generative) -> Any:
        """The belief before anything was observed."""
        ...

    def posterior(self, g: Generative, prior: Any, outcomes: Sequence[Array], seen: Sequence[Array]) -> Any:
        """The belief after outcomes (one index for each modality); those not seen tell nothing."""
        ...

    def predict(self, g: Generative, belief: Any, weights: Array) -> Any:
        """Return the belief after an action, given as probabilities of all actions (U,)."""
        ...

    def children(self, g: Generative, nodes: Any, parent: np.ndarray, action: np.ndarray) -> Any:
        """Return beliefs (child, ...) after the `action` of each child at its `parent` node."""
        ...

    def average(self, nodes: Any, tables: Sequence[Array]) -> list[Array]:
        """``tables[m]`` (k, states of the factors of modality m) averaged over the belief of each node.

        The parts (k of some modalities, node) are in an order that depends on which tables are constants and their factors.
        """
        ...

    def add_up(self, nodes: Any, tables: Sequence[Array]) -> Array:
        """Sum over modalities tables of k rows each, averaged over the belief of each node, (k, node)."""
        ...

    def marginals(self, belief: Any) -> tuple[Array, ...]:
        """The belief about each factor."""
        ...


class Exact(NamedTuple):
    """Bayes' rule on the joint state, for problems of up to some hundred joint states. A belief is (S,), a node (n, S)."""

    structure: Structure

    def initial(self, g: Generative) -> Array:
        """The product of the factors' initial beliefs."""
        joint = np.ones(1)
        for d in g.D:
            joint = (joint[:, None] * d).reshape(-1)
        return jnp.asarray(joint)

    def posterior(self, g: Generative, prior: Array, outcomes: Sequence[Array], seen: Sequence[Array]) -> Array:
        """Prior times likelihood, normalised."""
        joint = prior.reshape(self.structure.num_states)
        for m, (a, o, here) in enumerate(zip(g.A, outcomes, seen, strict=True)):
            lik = jnp.maximum(_row(a, o), FLOOR)
            if lik.dtype == jnp.float32:
                # The scale does not matter; this one keeps products of several small numbers apart from zero.
                lik = lik / lax.stop_gradient(lik.max())
            joint = joint * _if(here, self._spread(m, lik), 1.0)
        return normalised(joint.reshape(-1))

    def predict(self, g: Generative, belief: Array, weights: Array) -> Array:
        """Mix the beliefs after each action by the actions' probabilities."""
        return product("ust,t,u->s", self._transitions(g), belief, weights)

    def children(self, g: Generative, nodes: Array, parent: np.ndarray, action: np.ndarray) -> Array:
        """Compute the beliefs after all actions at all nodes, and take those that the tree has."""
        moved = product("ust,nt->nus", self._transitions(g), nodes)
        return _picked(moved, parent, action)

    def average(self, nodes: Array, tables: Sequence[Array]) -> list[Array]:
        """Average tables over the beliefs: all tables are spread over the joint state, in one product."""
        joint = [self._everywhere(m, table) for m, table in enumerate(tables)]
        return [product("ks,ns->kn", module_of(*joint).concatenate(joint), nodes)]

    def add_up(self, nodes: Array, tables: Sequence[Array]) -> Array:
        """Average the sum of tables over the beliefs: tables are spread over the joint state, in one product."""
        return product("ks,ns->kn", sum(self._everywhere(m, table) for m, table in enumerate(tables)), nodes)  # type: ignore[arg-type]

    def marginals(self, belief: Array) -> tuple[Array, ...]:
        """Sum the joint belief over the other factors, for each factor."""
        joint = belief.reshape(self.structure.num_states)
        axes = range(joint.ndim)
        return tuple(joint.sum([k for k in axes if k != f]) for f in axes)

    def _spread(self, m: int, table: Array) -> Array:
        """Give `table`, whose last axes are the factors of modality m, an axis for every factor in order."""
        depends = self.structure.A_dependencies[m]
        lead = table.ndim - len(depends)
        order = np.argsort(depends)
        table = module_of(table).transpose(table, (*range(lead), *(lead + int(k) for k in order)))
        shape = [n if f in depends else 1 for f, n in enumerate(self.structure.num_states)]
        return table.reshape(*table.shape[:lead], *shape)

    def _everywhere(self, m: int, table: Array) -> Array:
        """`table` (k, states of the factors of modality m) as (k, joint state)."""
        shape = (len(table), *self.structure.num_states)
        return module_of(table).broadcast_to(self._spread(m, table), shape).reshape(len(table), -1)

    def _transitions(self, g: Generative) -> Array:
        """Transitions of the joint state, (U, next, now)."""
        s, xp = self.structure, module_of(*g.B)
        now = LETTERS[: len(s.num_states)]
        after = now.upper()
        labels, operands = [], []
        for f, depends in enumerate(s.B_dependencies):
            operands.append(xp.moveaxis(g.B[f], -1, 0)[s.actions[:, f]])
            labels.append(f"u{after[f]}{''.join(now[k] for k in depends)}")
        # A factor that nothing depends on has no axis yet.
        reached = "".join(letter for letter in now if letter in "".join(labels))
        joint = xp.einsum(f"{','.join(labels)}->u{after}{reached}", *operands)
        joint = joint.reshape(
            *joint.shape[: 1 + len(after)], *(n if k in reached else 1 for k, n in zip(now, s.num_states, strict=False))
        )
        joint = xp.broadcast_to(joint, (s.n_actions, *s.num_states, *s.num_states))
        return joint.reshape(s.n_actions, s.n_joint, s.n_joint)


def _picked(moved: Array, parent: np.ndarray, action: np.ndarray) -> Array:
    """Take entries (child, ...) of (node, action, ...), without a gather for a full tree."""
    n, u = moved.shape[:2]
    place = parent * u + action
    flat = moved.reshape(n * u, *moved.shape[2:])
    return flat if np.array_equal(place, np.arange(n * u)) else flat[place]


def _message(tables: dict[tuple[int, ...], Array], q: tuple[Array, ...], f: int) -> Array:
    """Expected log-likelihood of each state of factor f, from tables by the factors on which they depend."""
    total = jnp.zeros_like(q[f])
    for depends, table in tables.items():
        if f in depends:
            others = [axis for axis, k in enumerate(depends) if k != f]
            weighted = table
            # Sums of so few terms are quicker than products of matrices, each of which is a call of its own.
            for axis in others:
                weighted = weighted * q[depends[axis]].reshape([-1 if k == axis else 1 for k in range(table.ndim)])
            total = total + weighted.sum(others)
    return total


def _joint(nodes: tuple[Array, ...], depends: Sequence[int]) -> Array:
    """Probability of each combination of some factors' states, which are independent, (node, combination)."""
    out = nodes[depends[0]]
    for k in depends[1:]:
        out = (out[:, :, None] * nodes[k][:, None, :]).reshape(len(out), -1)
    return out


class MeanField(NamedTuple):
    """Independent beliefs about the factors, by fixed-point iteration: tuples of (states,), for nodes of (n, states).

    References
    ----------
    Da Costa, L., et al. (2020). Active inference on discrete state-spaces: A synthesis. Journal of Mathematical Psychology,
    99, 102447. https://doi.org/10.1016/j.jmp.2020.102447
    """

    structure: Structure
    sweeps: int = 16

    def initial(self, g: Generative) -> tuple[Array, ...]:
        """Return the factors' initial beliefs."""
        return tuple(g.D)

    def posterior(
        self, g: Generative, prior: tuple[Array, ...], outcomes: Sequence[Array], seen: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Update all factors at once in sweeps that begin at uniform beliefs, as pymdp does."""
        log_prior = [log_floored(q) for q in prior]
        tables: dict[tuple[int, ...], Array] = {}
        for m, (a, o, here) in enumerate(zip(g.A, outcomes, seen, strict=True)):
            table, depends = _if(here, _row(log_floored(a), o), 0.0), tuple(self.structure.A_dependencies[m])
            # Messages that do not depend on other factors are the same in each sweep, and messages of the same factors add up.
            if len(depends) == 1:
                log_prior[depends[0]] = log_prior[depends[0]] + table
            else:
                tables[depends] = tables[depends] + table if depends in tables else table
        if not tables:
            return tuple(jax.nn.softmax(v) for v in log_prior)

        def sweep(log_q: tuple[Array, ...], _: None) -> tuple[tuple[Array, ...], None]:
            q = tuple(jax.nn.softmax(v) for v in log_q)
            return tuple(log_prior[f] + _message(tables, q, f) for f in range(len(q))), None

        start = tuple(jnp.zeros_like(v) for v in log_prior)
        log_q, _ = lax.scan(sweep, start, None, length=self.sweeps)
        return tuple(jax.nn.softmax(v) for v in log_q)

    def predict(self, g: Generative, belief: tuple[Array, ...], weights: Array) -> tuple[Array, ...]:
        """Mix each factor's transitions by the probabilities of its own controls, and apply them to the belief."""
        nodes, actions = tuple(q[None] for q in belief), self.structure.actions
        out = []
        for f, depends in enumerate(self.structure.B_dependencies):
            states, controls = g.B[f].shape[0], g.B[f].shape[-1]
            chances = jnp.stack([weights[actions[:, f] == u].sum() for u in range(controls)])
            # Known actions have no derivative, so that those of the beliefs need the mixed transitions only.
            mixed = averages(g.B[f].reshape(-1, controls), chances[None])
            out.append(averages(mixed.reshape(states, -1), _joint(nodes, depends))[:, 0])
        return tuple(out)

    def _moved(self, g: Generative, nodes: tuple[Array, ...]) -> list[Array]:
        """Beliefs about each factor after each of its own controls, (node, control, state)."""
        out = []
        for f, depends in enumerate(self.structure.B_dependencies):
            states, controls = g.B[f].shape[0], g.B[f].shape[-1]
            q = _joint(nodes, depends)
            table = module_of(g.B[f]).moveaxis(g.B[f], -1, 0).reshape(controls * states, -1)
            out.append(averages(table, q).T.reshape(len(q), controls, states))
        return out

    def children(
        self, g: Generative, nodes: tuple[Array, ...], parent: np.ndarray, action: np.ndarray
    ) -> tuple[Array, ...]:
        """Beliefs about each factor after its own control of each child's action."""
        controls = self.structure.actions[action]
        return tuple(_picked(after, parent, controls[:, f]) for f, after in enumerate(self._moved(g, nodes)))

    def average(self, nodes: tuple[Array, ...], tables: Sequence[Array]) -> list[Array]:
        """Average each table over its own factors; those of the same factors together."""
        parts = self._alike(tables)
        return [
            averages(module_of(*some).concatenate(some), _joint(nodes, depends)) for (depends, _), some in parts.items()
        ]

    def add_up(self, nodes: tuple[Array, ...], tables: Sequence[Array]) -> Array:
        """Average each table over its own factors, and add up."""
        parts = self._alike(tables)
        return sum(averages(sum(some), _joint(nodes, depends)) for (depends, _), some in parts.items())  # type: ignore[return-value,arg-type]

    def _alike(self, tables: Sequence[Any]) -> dict[tuple[tuple[int, ...], bool], list[Any]]:
        """Tables (k, combination of states) by their factors and whether they are constants, which have no derivatives."""
        out: dict[tuple[tuple[int, ...], bool], list[Any]] = {}
        for table, depends in zip(tables, self.structure.A_dependencies, strict=True):
            key = tuple(depends), module_of(table) is np
            out.setdefault(key, []).append(table.reshape(len(table), -1))
        return out

    def marginals(self, belief: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return the belief, which consists of marginals."""
        return belief
